//! Volatility and late prints against sums over all trades of a second.

use std::collections::BTreeMap;

use tailwater::connectors::market::Trade;
use tailwater::prelude::*;
use tailwater::testing::{JobHarness, TestSink, TestSource};

use super::late_prints::{Bar, Kind, Print, bars};
use super::rolling_volatility::{Volatility, volatility};
use super::{BTC, ETH, OUT_OF_ORDER, data, read};

const SECOND: i64 = 1_000_000_000;

#[test]
fn volatility_is_that_of_the_closes_of_sixty_seconds() {
    for path in [BTC, ETH].into_iter().filter_map(data) {
        let mut trades: Vec<Trade> = read(Files::trades(path.as_str()));
        trades.sort_by_key(|trade| (trade.at, trade.id));
        let closes: BTreeMap<i64, i64> =
            trades.iter().map(|t| (t.at.0.div_euclid(SECOND), t.price.units())).collect();
        let closes: Vec<_> = closes.into_iter().collect();
        let returns: Vec<(i64, i128)> = closes
            .windows(2)
            .map(|pair| {
                let change = i128::from(pair[1].1 - pair[0].1);
                (pair[1].0, change * 1_000_000_000 / i128::from(pair[0].1))
            })
            .collect();
        let (first, last) = (returns[0].0, returns[returns.len() - 1].0);
        // A window ends behind each second that is in it.
        let expected: Vec<_> = (first..last + 60)
            .filter_map(|end| {
                let within = returns.iter().filter(|r| (end - 59..=end).contains(&r.0));
                let squares: Vec<_> = within.map(|r| (r.1 * r.1) as u128).collect();
                let at = Timestamp((end + 1) * SECOND - 1);
                let root = squares.iter().sum::<u128>().isqrt() as u64;
                (!squares.is_empty()).then_some((at, squares.len() as u64, root))
            })
            .collect();

        let (job, results) = (Job::new("volatility"), collect());
        let stream = job
            .source(Files::trades(path.as_str()))
            .event_time(|trade| trade.at, Watermarks::bounded(Span(OUT_OF_ORDER)));
        volatility(stream).sink(results.clone());
        job.run(Local::cores(2)).unwrap();
        let mut found: Vec<_> = results
            .take()
            .into_iter()
            .map(|Volatility { at, returns, realised, .. }| (at, returns, realised))
            .collect();
        found.sort();
        assert!(found.len() > 300, "the capture has 344 seconds: {}", found.len());
        assert_eq!(found, expected);
    }
}

/// The last bar of each second, and how many were told before it.
fn last_of_each(told: Vec<Bar>) -> (BTreeMap<Timestamp, Bar>, usize) {
    let count = told.len();
    let last: BTreeMap<_, _> = told.into_iter().map(|bar| (bar.start, bar)).collect();
    let fired_again = count - last.len();
    (last, fired_again)
}

#[test]
fn the_last_bar_of_each_second_has_all_its_prints() {
    for path in [BTC, ETH].into_iter().filter_map(data) {
        let trades: Vec<Trade> = read(Files::trades(path.as_str()));
        let mut expected: BTreeMap<Timestamp, (i128, i128, i64)> = BTreeMap::new();
        for trade in &trades {
            let start = Timestamp(trade.at.0.div_euclid(SECOND) * SECOND);
            let (notional, volume, prints) = expected.entry(start).or_default();
            *notional += i128::from(trade.price.units()) * i128::from(trade.size.units());
            *volume += i128::from(trade.size.units());
            *prints += 1;
        }
        // Every fiftieth trade is reported two seconds late, behind the watermark.
        let reported = |trade: &Trade| {
            if trade.id.is_multiple_of(50) { trade.at + 2.secs() } else { trade.at }
        };
        let mut trades = trades;
        trades.sort_by_key(|trade| (reported(trade), trade.id));
        let (prints, sink) = (TestSource::new(), TestSink::new());
        let job = Job::new("late");
        let stream = job
            .source(prints.clone())
            .event_time(|print: &Print| print.trade.at, Watermarks::bounded(5.millis()));
        bars(stream, 10.secs()).sink(sink.clone());
        let mut harness = JobHarness::new(job, Local::seeded(2, 1)).unwrap();
        prints.extend(trades.iter().map(|&trade| Print { trade, kind: Kind::Done }));
        prints.end();
        harness.run_until_idle().unwrap();
        assert_eq!(harness.count("late_records_dropped"), 0);
        let (last, fired_again) = last_of_each(sink.take());
        assert!(fired_again > 0, "some bars changed after they were told");
        assert_eq!(last.len(), expected.len());
        for (start, (notional, volume, prints)) in expected {
            let bar = &last[&start];
            assert_eq!((bar.volume, bar.prints), (Volume::from_units(volume), prints));
            let vwap = Notional::from_units(notional).checked_div(Volume::from_units(volume));
            assert_eq!(bar.vwap, vwap, "the bar at {start}");
        }
    }
}

#[test]
fn a_correction_changes_its_bar_and_no_other() {
    let (prints, sink) = (TestSource::new(), TestSink::new());
    let job = Job::new("corrections");
    let stream = job
        .source(prints.clone())
        .event_time(|print: &Print| print.trade.at, Watermarks::by_source());
    bars(stream, 10.secs()).sink(sink.clone());
    let mut harness = JobHarness::new(job, Local::seeded(2, 1)).unwrap();
    let print = |id: u64, price: i64, kind| {
        let symbol = Symbol::default();
        let price = Price::from_units(price * 100_000_000);
        let (size, at) = (Size::from_units(100_000_000), Timestamp(id as i64 * SECOND / 2));
        let side = tailwater::connectors::market::Side::Buy;
        Print { trade: Trade { symbol, price, size, at, id, side }, kind }
    };
    let mut told = |pushed: &[Print], watermark: i64| {
        prints.extend(pushed.iter().cloned());
        prints.watermark(Timestamp(watermark));
        harness.run_until_idle().unwrap();
        // A crash in between changes nothing.
        harness.checkpoint().unwrap();
        harness.restart(1 + (watermark % 3) as u32).unwrap();
        let bars = sink.take().into_iter();
        bars.map(|bar| (bar.start.0 / SECOND, bar.vwap.map(|p| p.to_string()), bar.prints))
            .collect::<Vec<_>>()
    };
    let done: Vec<_> = (0..4).map(|id| print(id, 100, Kind::Done)).collect();
    let price = |text: &str| Some(text.to_owned());
    let first = told(&done, 2 * SECOND);
    assert_eq!(first, [(0, price("100"), 2), (1, price("100"), 2)]);
    let corrected = [print(1, 100, Kind::TakenBack), print(1, 110, Kind::Done)];
    let second = told(&corrected, 3 * SECOND);
    assert_eq!(second.last(), Some(&(0, price("105"), 2)));
    assert!(second.iter().all(|bar| bar.0 == 0));
    let gone = [print(2, 100, Kind::TakenBack), print(3, 100, Kind::TakenBack)];
    assert_eq!(told(&gone, 4 * SECOND).last(), Some(&(1, None, 0)));
}
