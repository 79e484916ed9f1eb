//! Prints one-second bars at once, and again where a late print or a correction changes them.
//!
//! ```text
//! cargo run --release --example late_prints
//! TRADES=capture.jsonl.gz cargo run --release --example late_prints
//! ```
mod job;

use tailwater::connectors::market::{Side, Trade};
use tailwater::prelude::*;

use job::{Kind, Print};

fn main() -> Result<()> {
    let job = Job::new("late-prints");
    if let Ok(path) = std::env::var("TRADES") {
        let prints = job
            .source(Files::trades(path))
            .event_time(|trade| trade.at, Watermarks::bounded(5.millis()))
            .map(|trade| Print { trade, kind: Kind::Done });
        job::bars(prints, 10.minutes()).sink(stdout());
    } else {
        let prints = job
            .source(from_vec(synthetic()))
            .event_time(|print: &Print| print.trade.at, Watermarks::monotonous());
        job::bars(prints, 10.minutes()).sink(stdout());
    }
    job.main()
}

/// Prints of some seconds; every hundredth is taken back forty seconds later, and printed at
/// another price.
fn synthetic() -> Vec<Print> {
    let symbol = Symbol::from_bytes(b"DEMO").unwrap_or_default();
    let trade = |id: u64, price: i64| Trade {
        symbol,
        price: Price::from_units(price * 100_000_000),
        size: Size::from_units(100_000_000),
        at: Timestamp(id as i64 * 100_000_000),
        id,
        side: Side::Buy,
    };
    let mut prints = Vec::new();
    for id in 0..2_000 {
        prints.push(Print { trade: trade(id, 100), kind: Kind::Done });
        if id >= 400 && id.is_multiple_of(100) {
            let wrong = trade(id - 400, 100);
            prints.push(Print { trade: wrong, kind: Kind::TakenBack });
            prints.push(Print { trade: trade(id - 400, 110), kind: Kind::Done });
        }
    }
    prints
}
