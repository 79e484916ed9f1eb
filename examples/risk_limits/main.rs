//! Prints the fills that left an account beyond its limits.
//!
//! ```text
//! cargo run --release --example risk_limits
//! FILLS=fills.csv LIMITS=limits.csv cargo run --release --example risk_limits
//! ```
mod job;

use tailwater::connectors::market::Side;
use tailwater::prelude::*;

use job::{Fill, Limit};

fn main() -> Result<()> {
    let job = Job::new("risk-limits");
    let time_of_fill = |fill: &Fill| fill.at;
    let time_of_limit = |limit: &Limit| limit.from;
    if let (Ok(fills), Ok(limits)) = (std::env::var("FILLS"), std::env::var("LIMITS")) {
        let fills = job
            .source(Files::csv(fills))
            .named("fills")
            .event_time(time_of_fill, Watermarks::bounded(1.secs()));
        let limits = job
            .source(Files::csv(limits))
            .named("limits")
            .event_time(time_of_limit, Watermarks::monotonous());
        job::breaches(fills, limits).sink(stdout());
    } else {
        let fills = job
            .source(from_vec(fills()))
            .named("fills")
            .event_time(time_of_fill, Watermarks::monotonous());
        let limits = job
            .source(from_vec(limits()))
            .named("limits")
            .event_time(time_of_limit, Watermarks::monotonous());
        job::breaches(fills, limits).sink(stdout());
    }
    job.main()
}

/// Three accounts that buy three and sell one, again and again.
fn fills() -> Vec<Fill> {
    let fill = |id: u64| Fill {
        account: id as u32 % 3,
        symbol: Symbol::from_bytes(b"DEMO").unwrap_or_default(),
        side: if id / 3 % 4 == 3 { Side::Sell } else { Side::Buy },
        price: Price::from_units(10_000_000_000),
        size: Size::from_units(100_000_000),
        at: Timestamp(id as i64 * 1_000_000),
        id,
    };
    (0..60).map(fill).collect()
}

/// Each may hold more than the one before; the last is cut back in the middle.
fn limits() -> Vec<Limit> {
    let limit = |account: u32, position: i64, from: i64| Limit {
        account,
        position_max: Size::from_units(position * 100_000_000),
        exposure_max: Notional::MAX,
        from: Timestamp(from * 1_000_000),
    };
    vec![limit(0, 8, 0), limit(1, 9, 0), limit(2, 100, 0), limit(2, 5, 30)]
}
