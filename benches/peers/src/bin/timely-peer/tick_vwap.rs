//! Tumbling OHLC and VWAP bars in timely: exchange by symbol, windows closed by the frontier.

use peers::bars::Windows;
use peers::report::Report;
use peers::workloads::{Output, Tick, Totals, WINDOW_NS, tick, watermark_after};
use std::cell::Cell;
use std::rc::Rc;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::{Input, Probe};
use timely::dataflow::{InputHandleVec, ProbeHandle, Stream};
use timely::worker::Worker;

/// Ticks between two steps of a worker: enough that stepping and progress cost little.
const BLOCK_LEN: u64 = 16_384;
/// Windows that a worker generates ahead of the slowest: bounds what waits in channels.
const WINDOWS_AHEAD_MAX: u64 = 2;

/// Runs the workload and prints its line.
///
/// A timestamp is the number of the first window that may still get ticks, so that progress is
/// tracked once a window, and a message says nothing about event time that its ticks do not.
pub fn run(workers: usize, events: u64) -> Result<(), String> {
    let (secs, totals) = crate::execute(workers, move |worker| {
        let (mut input, probe, totals) = build(worker);
        move |worker: &mut Worker| {
            let (index, peers) = (worker.index() as u64, worker.peers());
            input.advance_to(window_of(watermark_after(0)));
            let mut block = Vec::new();
            for number in (index..events.div_ceil(BLOCK_LEN)).step_by(peers) {
                let first = number * BLOCK_LEN;
                let end = (first + BLOCK_LEN).min(events);
                // A channel hands back a container it is done with, whatever is in it.
                block.clear();
                block.extend((first..end).map(tick));
                input.send_batch(&mut block);
                input.advance_to(window_of(watermark_after(end - 1)));
                worker.step();
                crate::step_until(worker, &probe, input.time().saturating_sub(WINDOWS_AHEAD_MAX));
            }
            drop(input);
            crate::step_until(worker, &probe, u64::MAX);
            totals.get()
        }
    })?;
    Report::new("timely", "tick-vwap", workers)
        .throughput(events, secs)
        .totals(totals.into_iter().sum())
        .print();
    Ok(())
}

fn window_of(time: i64) -> u64 {
    time.div_euclid(WINDOW_NS) as u64
}

type Dataflow = (InputHandleVec<u64, Tick>, ProbeHandle<u64>, Rc<Cell<Totals>>);

fn build(worker: &mut Worker) -> Dataflow {
    let totals = Rc::new(Cell::new(Totals::default()));
    let probe = ProbeHandle::new();
    let input = worker.dataflow(|scope| {
        let (input, ticks) = scope.new_input();
        crate::sink(bars(ticks), totals.clone(), Output::hash).probe_with(&probe);
        input
    });
    (input, probe, totals)
}

fn bars<'scope>(ticks: Stream<'scope, u64, Vec<Tick>>) -> Stream<'scope, u64, Vec<Output>> {
    let by_symbol = Exchange::new(|tick: &Tick| u64::from(tick.symbol));
    let mut windows = Windows::new(ticks.scope().peers() as u64);
    ticks.unary_frontier(by_symbol, "Bars", move |capability, _| {
        let mut capability = Some(capability);
        move |(input, frontier), output| {
            input.for_each(|_, ticks| {
                for tick in ticks.iter() {
                    windows.add(tick);
                }
                ticks.clear();
            });
            let Some(held) = capability.as_mut() else { return };
            let next = frontier.frontier().first().copied();
            let watermark = next.map_or(i64::MAX, |window| window as i64 * WINDOW_NS - 1);
            let mut session = output.session(held);
            windows.advance(watermark, |bar| session.give(bar));
            drop(session);
            match next {
                Some(window) => held.downgrade(&window),
                None => capability = None,
            }
        }
    })
}
