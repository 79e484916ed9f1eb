//! A running count and sum per key in timely: exchange by key, one output for each input.

use peers::counts::Counts;
use peers::report::Report;
use peers::workloads::{Amount, Count, Totals, amount};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard};
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::{Input, Probe};
use timely::dataflow::{InputHandleVec, ProbeHandle, Stream};
use timely::worker::Worker;

/// Records between two steps of a worker: enough that stepping and progress cost little.
const BLOCK_LEN: u64 = 16_384;
/// Records in an epoch, the unit in which progress is tracked.
const EPOCH_LEN: u64 = 1 << 18;
/// Epochs that a worker generates ahead of the slowest: bounds what waits in channels.
const EPOCHS_AHEAD_MAX: u64 = 2;

/// Runs the workload and prints its line; the tables are made before the clock starts.
pub fn run<C: Counts + Send + 'static>(
    table: &str,
    workers: usize,
    events: u64,
    keys: u64,
) -> Result<(), String> {
    let (secs, parts) = crate::execute(workers, move |worker| {
        let share = keys.div_ceil(worker.peers() as u64);
        let counts = Arc::new(Mutex::new(C::with_capacity(share)));
        let (mut input, probe, totals) = build(worker, counts.clone());
        move |worker: &mut Worker| {
            let (index, peers) = (worker.index() as u64, worker.peers());
            let mut block = Vec::new();
            for number in (index..events.div_ceil(BLOCK_LEN)).step_by(peers) {
                let first = number * BLOCK_LEN;
                let end = (first + BLOCK_LEN).min(events);
                // A channel hands back a container it is done with, whatever is in it.
                block.clear();
                block.extend((first..end).map(|i| amount(i, keys)));
                input.send_batch(&mut block);
                input.advance_to(end / EPOCH_LEN);
                worker.step();
                crate::step_until(worker, &probe, input.time().saturating_sub(EPOCHS_AHEAD_MAX));
            }
            drop(input);
            crate::step_until(worker, &probe, u64::MAX);
            (totals.get(), counts)
        }
    })?;
    let mut all = Vec::new();
    let mut sum = 0;
    for (totals, counts) in parts {
        all.push(totals);
        sum += lock(&counts).sum();
    }
    Report::new("timely", "keyed-count", workers)
        .word("table", table)
        .number("keys", keys)
        .throughput(events, secs)
        .totals(all.into_iter().sum())
        .number("sum", sum)
        .print();
    Ok(())
}

type Dataflow = (InputHandleVec<u64, Amount>, ProbeHandle<u64>, Rc<Cell<Totals>>);

fn build<C: Counts + 'static>(worker: &mut Worker, counts: Arc<Mutex<C>>) -> Dataflow {
    let totals = Rc::new(Cell::new(Totals::default()));
    let probe = ProbeHandle::new();
    let input = worker.dataflow(|scope| {
        let (input, amounts) = scope.new_input();
        crate::sink(count(amounts, counts), totals.clone(), Count::hash).probe_with(&probe);
        input
    });
    (input, probe, totals)
}

/// The table is shared only to be read after the run: one uncontended lock an activation.
fn count<'scope, C: Counts + 'static>(
    amounts: Stream<'scope, u64, Vec<Amount>>,
    counts: Arc<Mutex<C>>,
) -> Stream<'scope, u64, Vec<Count>> {
    let by_key = Exchange::new(|record: &Amount| record.key);
    amounts.unary(by_key, "Count", move |_, _| {
        move |input, output| {
            let mut counts = lock(&counts);
            input.for_each(|time, records| {
                let mut session = output.session(&time);
                counts.add_all(records, |count| session.give(count));
                records.clear();
            });
        }
    })
}

fn lock<C>(counts: &Mutex<C>) -> MutexGuard<'_, C> {
    counts.lock().expect("no worker panicked")
}
