//! Prints the best bid and ask of each instrument whenever they change.
//!
//! ```text
//! cargo run --release --example top_of_book
//! BINANCE=capture.jsonl.gz cargo run --release --example top_of_book
//! ITCH=day.itch.gz cargo run --release --example top_of_book
//! ```
mod job;

use tailwater::connectors::market::{Captured, Depth, Level, MarketEvent, Snapshot};
use tailwater::prelude::*;

fn main() -> Result<()> {
    let job = Job::new("top-of-book");
    if let Ok(path) = std::env::var("ITCH") {
        let messages = job
            .source(Files::itch_messages(path))
            .event_time(|message| message.at, Watermarks::monotonous());
        job::of_orders(messages).sink(stdout());
    } else if let Ok(path) = std::env::var("BINANCE") {
        let events = job
            .source(Files::binance_events(path))
            .event_time(|captured| captured.received, Watermarks::monotonous())
            .map(|captured: Captured| captured.event);
        job::of_levels(events).sink(stdout());
    } else {
        let events = job
            .source(from_vec(synthetic()))
            .event_time(|event: &MarketEvent| event.at(), Watermarks::monotonous());
        job::of_levels(events).sink(stdout());
    }
    job.main()
}

/// A book whose best bid and ask take turns to be taken away and put back.
fn synthetic() -> Vec<MarketEvent> {
    let symbol = Symbol::from_bytes(b"DEMO").unwrap_or_default();
    let level = |price: i64, size: i64| Level {
        price: Price::from_units(price * 100_000_000),
        size: Size::from_units(size * 100_000_000),
    };
    let snapshot = Snapshot {
        symbol,
        at: Timestamp(0),
        last_id: 0,
        bids: (90..100).rev().map(|price| level(price, 5)).collect(),
        asks: (101..111).map(|price| level(price, 5)).collect(),
    };
    let depth = |n: u64| {
        let size = if n % 4 < 2 { 0 } else { 5 };
        let (bids, asks) = if n.is_multiple_of(2) {
            (vec![level(99, size)], vec![])
        } else {
            (vec![], vec![level(101, size)])
        };
        let at = Timestamp(n as i64 * 1_000_000);
        let (first_id, last_id, previous_id) = (n, n, n - 1);
        MarketEvent::Depth(Depth { symbol, at, first_id, last_id, previous_id, bids, asks })
    };
    std::iter::once(MarketEvent::Snapshot(snapshot)).chain((1..=20).map(depth)).collect()
}
