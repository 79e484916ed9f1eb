//! Prints the volatility of each symbol over the last minute, every second.
//!
//! ```text
//! cargo run --release --example rolling_volatility
//! TRADES=capture.jsonl.gz cargo run --release --example rolling_volatility
//! ```
mod job;

use tailwater::connectors::market::{Side, Trade};
use tailwater::prelude::*;

fn main() -> Result<()> {
    let job = Job::new("rolling-volatility");
    if let Ok(path) = std::env::var("TRADES") {
        let trades = job
            .source(Files::trades(path))
            .event_time(|trade| trade.at, Watermarks::bounded(200.millis()));
        job::volatility(trades).in_order(|minute| minute.symbol).sink(stdout());
    } else {
        let trades = job
            .source(from_vec(synthetic()))
            .event_time(|trade: &Trade| trade.at, Watermarks::monotonous());
        job::volatility(trades).in_order(|minute| minute.symbol).sink(stdout());
    }
    job.main()
}

/// A price that swings between 100 and 101, faster and faster.
fn synthetic() -> Vec<Trade> {
    let symbol = Symbol::from_bytes(b"DEMO").unwrap_or_default();
    let trade = |id: u64| Trade {
        symbol,
        price: Price::from_units(10_000_000_000 + 100_000_000 * (id * id / 50 % 2) as i64),
        size: Size::from_units(100_000_000),
        at: Timestamp(id as i64 * 500_000_000),
        id,
        side: Side::Buy,
    };
    (0..60).map(trade).collect()
}
