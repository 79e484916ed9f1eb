//! Prints what each trade cost against the quote at its time.
//!
//! ```text
//! cargo run --release --example effective_spread
//! BINANCE=capture.jsonl.gz cargo run --release --example effective_spread
//! ```
mod job;

use tailwater::connectors::market::{Captured, MarketEvent, Quote, Side, Trade};
use tailwater::prelude::*;

fn main() -> Result<()> {
    let job = Job::new("effective-spread");
    if let Ok(path) = std::env::var("BINANCE") {
        let events = job
            .source(Files::binance_events(path))
            .event_time(|captured| captured.event.at(), Watermarks::bounded(200.millis()))
            .map(|captured: Captured| captured.event);
        job::executions(events).sink(stdout());
    } else {
        let events = job
            .source(from_vec(synthetic()))
            .event_time(|event: &MarketEvent| event.at(), Watermarks::monotonous());
        job::executions(events).sink(stdout());
    }
    job.main()
}

/// Quotes that walk up and down, and after every other one a trade at the ask.
fn synthetic() -> Vec<MarketEvent> {
    let symbol = Symbol::from_bytes(b"DEMO").unwrap_or_default();
    let price = |cents: u64| Price::from_units(cents as i64 * 1_000_000);
    let size = Size::from_units(100_000_000);
    let events = (0..20).map(|id| {
        let at = Timestamp(id as i64 * 1_000_000);
        let walk = 10_000 + id / 2 % 5;
        let (bid, ask) = (price(walk), price(walk + 2));
        if id.is_multiple_of(2) {
            MarketEvent::Quote(Quote { symbol, bid, bid_size: size, ask, ask_size: size, at, id })
        } else {
            MarketEvent::Trade(Trade { symbol, price: ask, size, at, id, side: Side::Buy })
        }
    });
    events.collect()
}
