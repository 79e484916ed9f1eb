//! Is batch mode as fast as streaming on the same input that ends? Prints, for each job, the ratio
//! of streaming's seconds to those of batch: above 1 batch is the faster.
//!
//! `cargo bench -p tailwater --bench batch [RECORDS]`. The better of three runs in turn counts.
#![allow(missing_docs, clippy::print_stdout)]

use std::path::Path;

use tailwater::prelude::*;
use tailwater_core::random::nth;

const RUNS: usize = 3;

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
    let records = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(4_000_000);
    let cases: [Case<'_>; 5] = [
        ("running totals of 1,000 accounts to a JSONL file", 1_000, &|orders, directory| {
            totals(orders).sink(Files::jsonl(directory.join("totals.jsonl")));
        }),
        ("running totals of 1,000 accounts, counted", 1_000, &|orders, _| {
            totals(orders).sink(counting(|order: &Stamped<Order>| order.value.size as u64));
        }),
        ("running totals of 1,000,000 accounts, counted", 1_000_000, &|orders, _| {
            totals(orders).sink(counting(|order: &Stamped<Order>| order.value.size as u64));
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
    for (name, accounts, build) in cases {
        let splits = orders(records, accounts);
        let mut best = [f64::MAX; 2];
        for _ in 0..RUNS {
            for (place, mode) in
                [RuntimeMode::Streaming, RuntimeMode::Batch].into_iter().enumerate()
            {
                best[place] = best[place].min(secs(&splits, mode, build));
            }
        }
        let [streaming, batch] = best;
        println!(
            "{:.2}  streaming {streaming:.3} s, batch {batch:.3} s: {name}, {records} records",
            streaming / batch
        );
    }
}
