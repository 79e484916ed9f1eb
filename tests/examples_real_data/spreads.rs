//! Effective spreads against a search through all quotes, sorted by time.

use tailwater::connectors::market::{MarketEvent, Quote, Trade};
use tailwater::prelude::*;

use super::effective_spread::{Execution, executions};
use super::{BTC, ETH, capture, data, run_on_capture};

#[test]
fn each_trade_has_the_last_quote_at_or_before_it() {
    for path in [BTC, ETH].into_iter().filter_map(data) {
        let (mut trades, mut quotes): (Vec<Trade>, Vec<Quote>) = (Vec::new(), Vec::new());
        for event in capture(&path) {
            match event {
                MarketEvent::Trade(trade) => trades.push(trade),
                MarketEvent::Quote(quote) => quotes.push(quote),
                MarketEvent::Depth(_) | MarketEvent::Snapshot(_) => {}
            }
        }
        // Stable: of equal times the last to arrive is the last.
        quotes.sort_by_key(|quote| quote.at);
        let mut expected: Vec<(u64, Price, i64)> = trades
            .iter()
            .filter_map(|trade| {
                let behind = quotes.partition_point(|quote| quote.at <= trade.at);
                let quote = quotes.get(behind.checked_sub(1)?)?;
                let is_fresh = trade.at - quote.at <= 1.secs();
                let doubled = 2 * trade.price.units() - quote.bid.units() - quote.ask.units();
                is_fresh.then(|| (trade.id, quote.ask - quote.bid, doubled.abs()))
            })
            .collect();
        expected.sort();

        let results: Vec<Execution> = run_on_capture(&path, executions);
        let found = results.iter().map(|e| (e.id, e.quoted, e.effective.units()));
        let mut found: Vec<_> = found.collect();
        found.sort();
        assert!(found.len() > 14_000, "{} trades of {}", found.len(), trades.len());
        assert_eq!(found, expected);
    }
}
