//! Windows that are summed up on each core before the exchange give what windows give that are not:
//! on any number of cores, for hot keys and for keys that hardly repeat, tumbling, sliding and
//! reduced.

use tailwater::prelude::*;
use tailwater_core::random::nth;

const TRADES: u64 = 20_000;

#[record]
struct Trade {
    account: u64,
    amount: i64,
    at: Timestamp,
}

fn trades(cores: u64, accounts: u64) -> Vec<Vec<Trade>> {
    let trade = |index| {
        let r = nth(7, index);
        // Half of the trades are of one account.
        let account = if r & 1 == 0 { 0 } else { (r >> 8) % accounts };
        let at = Timestamp(index as i64 * 1_000 - (r >> 48) as i64 % 50_000);
        Trade { account, amount: (r >> 16) as i64 & 0xFFFF, at }
    };
    let part = |core| (0..TRADES).filter(|index| index % cores == core).map(trade).collect();
    (0..cores).map(part).collect()
}

/// Whether records are summed up before the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Local,
    Direct,
}

/// The windows' results in order.
fn run(windows: Sliding, accounts: u64, way: Way, local: Local) -> Vec<(u64, i64, i64)> {
    let splits = if way == Way::Direct { 1 } else { 3 };
    let job = Job::new("trades");
    let results = collect();
    let windowed = job
        .source(from_splits(trades(splits, accounts)))
        .event_time(|trade: &Trade| trade.at, Watermarks::bounded(50.micros()))
        .key_by(|trade| trade.account)
        .window(windows);
    let total = |a: &Trade, b: &Trade| Trade { amount: a.amount + b.amount, ..a.clone() };
    match way {
        Way::Direct => {
            windowed.without_local_aggregation().reduce(total).sink(results.clone());
        }
        Way::Local => windowed.reduce(total).sink(results.clone()),
    }
    let report = job.run(local).unwrap();
    assert_eq!((report.records, report.late()), (TRADES, 0));
    let row =
        |result: WindowResult<u64, Trade>| (result.key, result.window.start.0, result.value.amount);
    let mut rows: Vec<_> = results.take().into_iter().map(row).collect();
    rows.sort_unstable();
    rows
}

#[test]
fn both_ways_agree() {
    let tumbling = Sliding::of(1.millis());
    for windows in [tumbling, tumbling.every(300.micros()), tumbling.every(1_700.micros())] {
        for accounts in [10, 1_000_000_000] {
            let expected = run(windows, accounts, Way::Direct, Local::cores(1));
            assert!(expected.len() > 10);
            for seed in 0..6 {
                let local = Local { ring_capacity: 16, ..Local::seeded(3, seed) };
                assert_eq!(run(windows, accounts, Way::Local, local), expected, "seed {seed}");
            }
            assert_eq!(run(windows, accounts, Way::Local, Local::cores(2)), expected);
        }
    }
}
