//! What does a deterministic merge cost? Prints, for each job, the seconds without it over those
//! with it: the share of its speed that a job keeps.
//!
//! `cargo bench -p tailwater --bench determinism [RECORDS]`. The better of three runs in turn
//! counts.
#![allow(missing_docs, clippy::print_stdout)]

use tailwater::prelude::*;
use tailwater_core::random::nth;

const RUNS: usize = 3;
const ACCOUNTS: u64 = 1_000;

#[record]
struct Order {
    account: u64,
    size: i64,
    at: Timestamp,
}

/// A split for each of two cores, up to 10 us out of order.
fn orders(records: u64) -> Vec<Vec<Order>> {
    let order = |index| Order {
        account: nth(1, index) % ACCOUNTS,
        size: (nth(2, index) % 1_000) as i64,
        at: Timestamp(index as i64 * 1_000 - (nth(3, index) % 10_000) as i64),
    };
    (0..2).map(|split| (0..records / 2).map(|n| order(2 * n + split)).collect()).collect()
}

type Orders = Stream<Order, tailwater::operators::Identity<Order>>;

/// A name, and what becomes of the orders.
type Case<'a> = (&'static str, &'a dyn Fn(Orders));

fn secs(splits: &[Vec<Order>], local: Local, build: &dyn Fn(Orders)) -> f64 {
    let job = Job::new("determinism");
    let source = job
        .source(from_splits(splits.to_vec()))
        .event_time(|order: &Order| order.at, Watermarks::bounded(10.micros()));
    build(source);
    job.run(local).expect("the job has nothing to fail on").secs
}

fn main() {
    let records = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(2_000_000);
    let cases: [Case<'_>; 3] = [
        ("running totals of 1,000 accounts", &|orders| {
            orders
                .key_by(|order| order.account)
                .sum(|order| order.size, |order, sum| order.size = sum)
                .sink(counting(|order: &Stamped<Order>| order.value.size as u64));
        }),
        ("the same, then by size: two exchanges", &|orders| {
            orders
                .key_by(|order| order.account)
                .sum(|order| order.size, |order, sum| order.size = sum)
                .named("totals")
                .key_by(|order| order.size % 1_000)
                .sum(|order| order.size, |order, sum| order.size = sum)
                .named("totals of totals")
                .sink(counting(|order: &Stamped<Order>| order.value.size as u64));
        }),
        ("tumbling windows of 100 ms, 1,000 accounts", &|orders| {
            orders
                .key_by(|order| order.account)
                .window(Tumbling::of(100.millis()))
                .aggregate(sum(|order: &Order| order.size))
                .sink(counting(|result: &Stamped<WindowResult<u64, _>>| result.value.key));
        }),
    ];
    let splits = orders(records);
    for cores in [1, 2] {
        for (name, build) in cases {
            let local = Local { driver: Driver::Threads, ..Local::cores(cores) };
            let ways = [local.clone(), local.deterministically()];
            let mut best = [f64::MAX; 2];
            for _ in 0..RUNS {
                for (place, way) in ways.iter().enumerate() {
                    best[place] = best[place].min(secs(&splits, way.clone(), build));
                }
            }
            let [without, with] = best;
            println!(
                "{:.3}  without {without:.3} s, with {with:.3} s: {name}, {records} records, \
                 cores: {cores}",
                without / with
            );
        }
    }
}
