//! Prints the VWAP of each symbol since the open, every second that it traded.
//!
//! ```text
//! cargo run --release --example session_vwap
//! TRADES=capture.jsonl.gz cargo run --release --example session_vwap
//! ```
mod job;

use tailwater::connectors::market::{Side, Trade};
use tailwater::prelude::*;

use job::Hours;

fn main() -> Result<()> {
    let job = Job::new("session-vwap");
    if let Ok(path) = std::env::var("TRADES") {
        // A market that never sleeps: its day begins at midnight.
        let hours = Hours { open: Span::ZERO, close: 24.hours() - Span(1) };
        let trades = job
            .source(Files::trades(path))
            .event_time(|trade| trade.at, Watermarks::bounded(200.millis()));
        job::since_open(trades, hours).sink(stdout());
    } else {
        let hours = Hours { open: 14.hours() + 30.minutes(), close: 21.hours() };
        let trades = job
            .source(from_vec(synthetic()))
            .event_time(|trade: &Trade| trade.at, Watermarks::monotonous());
        job::since_open(trades, hours).sink(stdout());
    }
    job.main()
}

/// A price that rises by one every hour, for two days.
fn synthetic() -> Vec<Trade> {
    let symbol = Symbol::from_bytes(b"DEMO").unwrap_or_default();
    let trade = |id: u64| Trade {
        symbol,
        price: Price::from_units((100 + id as i64 / 4 % 24) * 100_000_000),
        size: Size::from_units(100_000_000),
        at: Timestamp(0) + (15 * id as i64).minutes(),
        id,
        side: Side::Buy,
    };
    (0..192).map(trade).collect()
}
