//! One-minute VWAP per symbol, every second: from a CSV file to JSON lines.
//!
//! ```text
//! cargo run --release -- generate --format csv --events 1000000 --output trades.csv
//! cargo run --release --example vwap
//! ```
use tailwater::prelude::*;

#[record]
struct Trade {
    symbol: Symbol,
    price: Price,
    size: Size,
    at: Timestamp,
}

#[record]
#[derive(Default)]
struct Turnover {
    notional: Notional,
    size: Volume,
}

impl Aggregate<Trade> for Turnover {
    type Output = Price;

    fn add(&mut self, trade: &Trade) {
        self.notional += trade.price * trade.size;
        self.size += trade.size;
    }

    fn merge(&mut self, other: &Self) {
        self.notional += other.notional;
        self.size += other.size;
    }

    fn finish(&self) -> Price {
        self.notional / self.size
    }

    /// A sum can be taken back, so a sliding window costs the same however long it is.
    fn subtract(&mut self, other: &Self) -> bool {
        self.notional -= other.notional;
        self.size -= other.size;
        true
    }
}

fn main() -> Result<()> {
    let job = Job::new("vwap");
    job.source(Files::csv("trades.csv"))
        .event_time(|trade: &Trade| trade.at, Watermarks::bounded(5.millis()))
        .filter(|trade| !trade.size.is_zero())
        .key_by(|trade| trade.symbol)
        .window(Sliding::of(60.secs()).every(1.secs()))
        .aggregate(Turnover::default())
        .in_order(|result| result.key)
        .sink(Files::jsonl("vwap.jsonl"));
    job.main()
}
