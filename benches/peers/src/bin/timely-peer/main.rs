//! Timely dataflow on the same workloads, as its own users would write them.

mod keyed_count;
mod tick_vwap;

use peers::arguments::Arguments;
use peers::counts::HashCounts;
use peers::flat_table::{Any, Dense, FlatCounts};
use peers::threads::{self, timed};
use peers::workloads::Totals;
use std::cell::Cell;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::{Arc, Barrier};
use timely::Config;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::{ProbeHandle, Stream};
use timely::worker::Worker;

const USAGE: &str = "usage: timely-peer SUBCOMMAND
  tick-vwap    --workers 1|2 --events N
  keyed-count  --workers 1|2 --events N --keys K --table flat|flat-any|hashbrown";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("timely-peer: {message}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), String> {
    let mut arguments = Arguments::parse(std::env::args().skip(1))?;
    match arguments.subcommand.as_str() {
        "tick-vwap" => {
            let workers = arguments.threads("workers")?;
            let events = arguments.number("events", 10_000_000)?;
            arguments.finish()?;
            tick_vwap::run(workers, events)
        }
        "keyed-count" => {
            let workers = arguments.threads("workers")?;
            let events = arguments.number("events", 10_000_000)?;
            let keys = arguments.number("keys", 1_000_000)?;
            let table = arguments.choice("table", &["flat", "flat-any", "hashbrown"])?;
            arguments.finish()?;
            match table {
                "flat" => keyed_count::run::<FlatCounts<Dense>>(table, workers, events, keys),
                "flat-any" => keyed_count::run::<FlatCounts<Any>>(table, workers, events, keys),
                _ => keyed_count::run::<HashCounts>(table, workers, events, keys),
            }
        }
        other => Err(format!("unknown subcommand {other}")),
    }
}

/// Runs pinned workers: `build` makes a dataflow untimed, and what it returns is timed.
fn execute<T, W, B>(workers: usize, build: B) -> Result<(f64, Vec<T>), String>
where
    T: Send + 'static,
    W: FnOnce(&mut Worker) -> T,
    B: Fn(&mut Worker) -> W + Send + Sync + 'static,
{
    let config = if workers == 1 { Config::thread() } else { Config::process(workers) };
    let start_line = Arc::new(Barrier::new(workers));
    let cores = threads::cores_for(workers);
    let guards = timely::execute(config, move |worker| {
        threads::pin(cores[worker.index()]);
        let work = build(worker);
        timed(&start_line, || work(worker))
    })?;
    let parts = guards.join().into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(threads::collect(parts))
}

/// Steps until every worker has completed all times before `time`.
fn step_until(worker: &mut Worker, probe: &ProbeHandle<u64>, time: u64) {
    while probe.less_than(&time) {
        worker.step();
        // The peer may need this very core to make progress.
        std::thread::yield_now();
    }
}

/// Consumes outputs in an operator of its own and keeps their totals.
fn sink<'scope, D: 'static>(
    outputs: Stream<'scope, u64, Vec<D>>,
    totals: Rc<Cell<Totals>>,
    hash: impl Fn(&D) -> u64 + 'static,
) -> Stream<'scope, u64, Vec<()>> {
    outputs.unary::<CapacityContainerBuilder<_>, _, _, _>(Pipeline, "Sink", move |_, _| {
        move |input, _| {
            let mut sum = totals.get();
            input
                .for_each(|_, outputs| outputs.drain(..).for_each(|output| sum.add(hash(&output))));
            totals.set(sum);
        }
    })
}
