//! Session VWAPs against sums over all trades since the open.

use tailwater::connectors::market::Trade;
use tailwater::prelude::*;

use super::session_vwap::{SoFar, since_open};
use super::{BTC, ETH, OUT_OF_ORDER, data, read};

const SECOND: i64 = 1_000_000_000;

#[test]
fn the_vwap_begins_anew_at_the_open() {
    for path in [BTC, ETH].into_iter().filter_map(data) {
        let trades: Vec<Trade> = read(Files::trades(path.as_str()));
        // The captures are of the six minutes before midnight UTC: one session closes, a minute
        // later the next one opens. New York is four hours behind then.
        let calendar = Calendar::parse(
            "captures",
            "time-zone America/New_York
             days 2024-08-01 2024-08-31
             session Mon-Sun 04:00 19:56
             session Mon-Sun 19:57 04:00+1",
        )
        .unwrap();
        let (open, close) = (23.hours() + 57.minutes(), 23.hours() + 56.minutes());
        let midnight = trades[0].at.0.div_euclid(86_400 * SECOND) * 86_400 * SECOND;
        let (opens, closes) = (midnight + open.0, midnight + close.0);
        let mut seconds: Vec<i64> = trades.iter().map(|t| t.at.0.div_euclid(SECOND)).collect();
        seconds.sort_unstable();
        seconds.dedup();
        let (mut expected, mut outside) = (Vec::new(), 0);
        for second in seconds {
            let (from, until) = (second * SECOND, (second + 1) * SECOND);
            let start = match from {
                from if from < closes => i64::MIN,
                from if from >= opens => opens,
                _ => {
                    outside += 1;
                    continue;
                }
            };
            let since = trades.iter().filter(|trade| (start..until).contains(&trade.at.0));
            let (mut notional, mut volume) = (0_i128, 0_i128);
            for trade in since {
                notional += i128::from(trade.price.units()) * i128::from(trade.size.units());
                volume += i128::from(trade.size.units());
            }
            let volume = Volume::from_units(volume);
            let vwap = Notional::from_units(notional) / volume;
            expected.push((Timestamp(until - 1), start == opens, vwap, volume));
        }

        let (job, results) = (Job::new("session"), collect());
        let stream = job
            .source(Files::trades(path.as_str()))
            .event_time(|trade| trade.at, Watermarks::bounded(Span(OUT_OF_ORDER)));
        since_open(stream, &calendar).sink(results.clone());
        let report = job.run(Local::cores(2)).unwrap();
        let found = results.take().into_iter().map(|so_far| {
            let SoFar { at, open, vwap, volume, .. } = so_far;
            (at, open == Timestamp(opens), vwap, volume)
        });
        let mut found: Vec<_> = found.collect();
        found.sort();
        assert!(found.iter().any(|second| second.1) && found.iter().any(|second| !second.1));
        assert_eq!(found, expected);
        assert!(outside > 0);
        assert_eq!(report.counter("records_outside_windows"), outside);
    }
}
