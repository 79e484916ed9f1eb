//! Prints the VWAP of each symbol since the open, every second that it traded.
//!
//! ```text
//! cargo run --release --example session_vwap
//! TRADES=capture.jsonl.gz cargo run --release --example session_vwap
//! TRADES=capture.jsonl.gz CALENDAR=nyse.txt cargo run --release --example session_vwap
//! ```
mod job;

use tailwater::connectors::market::{Side, Trade};
use tailwater::prelude::*;

/// A market that never sleeps: its day begins at midnight.
const ALWAYS_OPEN: &str = "
    time-zone UTC
    days 2000-01-01 2099-12-31
    session Mon-Sun 00:00 00:00+1
";

/// Three days of New York: a usual one, a holiday, and one that ends early.
const THANKSGIVING: &str = "
    time-zone America/New_York
    days 2026-11-24 2026-11-28
    session Mon-Fri 09:30 16:00
    holiday 2026-11-26 Thanksgiving
    half-day 2026-11-27 09:30 13:00
";

fn main() -> Result<()> {
    let job = Job::new("session-vwap");
    if let Ok(path) = std::env::var("TRADES") {
        let calendar = match std::env::var("CALENDAR") {
            Ok(path) => Calendar::read(path)?,
            Err(_) => Calendar::parse("always open", ALWAYS_OPEN)?,
        };
        let trades = job
            .source(Files::trades(path))
            .event_time(|trade| trade.at, Watermarks::bounded(200.millis()));
        job::since_open(trades, &calendar).sink(stdout());
    } else {
        let calendar = Calendar::parse("Thanksgiving", THANKSGIVING)?;
        let trades = job
            .source(from_vec(synthetic()))
            .event_time(|trade: &Trade| trade.at, Watermarks::monotonous());
        job::since_open(trades, &calendar).sink(stdout());
    }
    job.main()
}

/// A price that rises by one every hour, for the three days from 2026-11-25.
fn synthetic() -> Vec<Trade> {
    let symbol = Symbol::from_bytes(b"DEMO").unwrap_or_default();
    let midnight = Timestamp(0) + 1_795_564_800.secs();
    let trade = |id: u64| Trade {
        symbol,
        price: Price::from_units((100 + id as i64 / 4 % 24) * 100_000_000),
        size: Size::from_units(100_000_000),
        at: midnight + (15 * id as i64).minutes(),
        id,
        side: Side::Buy,
    };
    (0..288).map(trade).collect()
}
