//! Breaches of risk limits against positions that are added up fill by fill.

use std::collections::HashMap;

use tailwater::connectors::market::{Side, Trade};
use tailwater::prelude::*;

use super::risk_limits::{Breach, Fill, Limit, breaches};
use super::{BTC, ETH, OUT_OF_ORDER, data, read};

const ACCOUNTS: u32 = 8;

/// The taker of a trade as one of some accounts.
fn fill_of(trade: Trade) -> Fill {
    let Trade { symbol, side, price, size, at, id } = trade;
    Fill { account: (id % u64::from(ACCOUNTS)) as u32, symbol, side, price, size, at, id }
}

/// Each account has a limit from the start, and another from its own second on.
fn limits(start: Timestamp) -> Vec<Limit> {
    let limit = |account: u32, coins: i64, from: Timestamp| Limit {
        account,
        position_max: Size::from_units(coins * 100_000_000),
        exposure_max: Notional::from_units(500_000 * 10_i128.pow(16)),
        from,
    };
    let first = (0..ACCOUNTS).map(|account| limit(account, 30, start));
    let second = (0..ACCOUNTS).map(|account| {
        limit(account, 2 + i64::from(account), start + (30 * i64::from(account)).secs())
    });
    let mut all: Vec<_> = first.chain(second).collect();
    all.sort_by_key(|limit| limit.from);
    all
}

#[test]
fn fills_beyond_the_limits_of_their_time_are_found() {
    for path in [BTC, ETH].into_iter().filter_map(data) {
        let mut fills: Vec<Fill> =
            read(Files::trades(path.as_str())).into_iter().map(fill_of).collect();
        fills.sort_by_key(|fill| (fill.at, fill.id));
        let limits = limits(fills[0].at);
        let mut positions: HashMap<u32, i64> = HashMap::new();
        let mut expected = Vec::new();
        for fill in &fills {
            let position = positions.entry(fill.account).or_default();
            *position += match fill.side {
                Side::Buy => fill.size.units(),
                Side::Sell => -fill.size.units(),
                Side::Unknown => 0,
            };
            let exposure = i128::from(fill.price.units()) * i128::from(position.abs());
            let limit = limits
                .iter()
                .rfind(|limit| limit.account == fill.account && limit.from <= fill.at)
                .expect("each account has a limit from the start");
            if position.abs() > limit.position_max.units() || exposure > limit.exposure_max.units()
            {
                expected.push((fill.id, *position, exposure, limit.from));
            }
        }
        expected.sort();

        let (job, results) = (Job::new("risk"), collect());
        let fills_of_job = job
            .source(Files::trades(path.as_str()))
            .named("fills")
            .event_time(|trade: &Trade| trade.at, Watermarks::bounded(Span(OUT_OF_ORDER)))
            .map(fill_of);
        let limits_of_job = job
            .source(from_vec(limits))
            .named("limits")
            .event_time(|limit: &Limit| limit.from, Watermarks::monotonous());
        breaches(fills_of_job, limits_of_job).sink(results.clone());
        job.run(Local::cores(2)).unwrap();
        let found = results.take().into_iter().map(|breach| {
            let Breach { fill, position, exposure, limit } = breach;
            (fill.id, position.units(), exposure.units(), limit.from)
        });
        let mut found: Vec<_> = found.collect();
        found.sort();
        assert!(found.len() > 100 && found.len() < fills.len(), "{} breaches", found.len());
        assert_eq!(found, expected);
    }
}
