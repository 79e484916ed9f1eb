//! Is batch mode as fast as streaming on the same input that ends? Prints, for each job, the ratio
//! of streaming's seconds to those of batch: above 1 batch is the faster.
//!
//! `cargo bench -p tailwater --bench batch [RECORDS] [JOB]`; with `JOB` only those whose names have
//! it in them. Runs are paired, streaming and batch, then
//! batch and streaming, so that what else the machine does comes to both; the ratio is the median
//! of the pairs, beside its quartiles. The ratio of the processor's seconds over all runs tells
//! whether the machine was too busy for that.
#![allow(missing_docs, clippy::print_stdout)]

use std::path::Path;

use tailwater::prelude::*;
use tailwater_core::random::nth;

/// Pairs of runs of a job; the first one, which pays for the first touch of memory, does not count.
const PAIRS: usize = 13;
/// Part of a second in which Linux counts what a process has used.
const TICK_SECS: f64 = 0.01;

#[record]
struct Order {
    account: u64,
    size: i64,
    at: Timestamp,
}

/// A split for each of two cores, in order of time.
fn orders(records: u64, accounts: u64) -> Vec<Vec<Order>> {
    let order = |index| Order {
        account: nth(1, index) % accounts,
        size: (nth(2, index) % 1_000) as i64,
        at: Timestamp(index as i64 * 1_000),
    };
    (0..2).map(|split| (0..records / 2).map(|n| order(2 * n + split)).collect()).collect()
}

type Orders = Stream<Order, tailwater::operators::Identity<Order>>;

/// A total that depends on the order of its records, as far as the engine can tell.
fn last_sizes(
    orders: Orders,
) -> Stream<Order, impl tailwater::operators::Operator<Out = Order> + Clone> {
    orders
        .key_by(|order| order.account)
        .reduce(|so_far, order| Order { size: so_far.size + order.size, ..order })
}

fn totals(
    orders: Orders,
) -> Stream<Order, impl tailwater::operators::Operator<Out = Order> + Clone> {
    orders.key_by(|order| order.account).sum(|order| order.size, |order, sum| order.size = sum)
}

/// A name, the number of accounts, and what becomes of their orders.
type Case<'a> = (&'static str, u64, &'a dyn Fn(Orders, &Path));

fn secs(splits: &[Vec<Order>], mode: RuntimeMode, build: &dyn Fn(Orders, &Path)) -> f64 {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let job = Job::new("batch");
    let source = job
        .source(from_splits(splits.to_vec()))
        .event_time(|order: &Order| order.at, Watermarks::monotonous());
    build(source, directory.path());
    let local = Local { driver: Driver::Threads, mode, ..Local::cores(2) };
    job.run(local).expect("the job has nothing to fail on").secs
}

fn main() {
    let mut records = 4_000_000;
    let mut job = String::new();
    // Cargo adds `--bench`.
    for argument in std::env::args().skip(1).filter(|argument| !argument.starts_with('-')) {
        match argument.parse() {
            Ok(number) => records = number,
            Err(_) => job = argument,
        }
    }
    let cases: [Case<'_>; 6] = [
        ("running totals of 1,000 accounts to a JSONL file", 1_000, &|orders, directory| {
            totals(orders).sink(Files::jsonl(directory.join("totals.jsonl")));
        }),
        ("running totals of 1,000 accounts, counted", 1_000, &|orders, _| {
            totals(orders).sink(counting(|order: &Stamped<Order>| order.value.size as u64));
        }),
        ("running totals of 1,000,000 accounts, counted", 1_000_000, &|orders, _| {
            totals(orders).sink(counting(|order: &Stamped<Order>| order.value.size as u64));
        }),
        ("the same by a function, which needs their order", 1_000_000, &|orders, _| {
            last_sizes(orders).sink(counting(|order: &Stamped<Order>| order.value.size as u64));
        }),
        ("tumbling windows of 100 ms, 1,000 accounts", 1_000, &|orders, _| {
            orders
                .key_by(|order| order.account)
                .window(Tumbling::of(100.millis()))
                .aggregate(sum(|order: &Order| order.size))
                .sink(counting(|result: &Stamped<WindowResult<u64, _>>| result.value.key));
        }),
        ("sessions with a gap of 1 ms, 10,000 accounts", 10_000, &|orders, _| {
            orders
                .key_by(|order| order.account)
                .window(Session::with_gap(1.millis()))
                .aggregate(sum(|order: &Order| order.size))
                .sink(counting(|result: &Stamped<WindowResult<u64, _>>| result.value.key));
        }),
    ];
    for (name, accounts, build) in cases.into_iter().filter(|(name, ..)| name.contains(&job)) {
        let splits = orders(records, accounts);
        let modes = [RuntimeMode::Streaming, RuntimeMode::Batch];
        let mut pairs = Vec::new();
        let mut used = [0.0; 2];
        for pair in 0..=PAIRS {
            let mut took = [0.0; 2];
            for place in if pair % 2 == 0 { [0, 1] } else { [1, 0] } {
                let before = processor_secs();
                took[place] = secs(&splits, modes[place], build);
                used[place] += processor_secs() - before;
            }
            pairs.push(took);
        }
        pairs.remove(0);
        let [low, ratio, high] = quartiles(pairs.iter().map(|[one, other]| one / other));
        let [_, streaming, _] = quartiles(pairs.iter().map(|took| took[0]));
        let [_, batch, _] = quartiles(pairs.iter().map(|took| took[1]));
        println!(
            "{ratio:.2} ({low:.2} to {high:.2}), of the processor {:.2}, streaming {streaming:.3} s, \
             batch {batch:.3} s: {name}, {records} records",
            used[0] / used[1]
        );
    }
}

/// The lower quartile, the median and the upper quartile.
fn quartiles(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[(values.len() - 1) * quarter / 4])
}

/// What all threads of this process have used of the processor, kernel included.
fn processor_secs() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux tells of each process");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split(' ').collect();
    // Behind the name: state is field 1, user time 12, system time 13.
    [12, 13]
        .map(|field| fields[field].parse::<f64>().expect("a number of ticks"))
        .iter()
        .sum::<f64>()
        * TICK_SECS
}
