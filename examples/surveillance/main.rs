//! Prints orders that were shown and taken back, and trades that changed no owner.
//!
//! ```text
//! cargo run --release --example surveillance
//! ORDERS=orders.csv.xz cargo run --release --example surveillance
//! ```
mod job;

use tailwater::prelude::*;

use job::{Action, Direction, Fill, OrderEvent, Spoofing, Washing};

fn main() -> Result<()> {
    let job = Job::new("surveillance");
    let spoofing = Spoofing { volume_min: 1_000_000_000, within: 2.secs() };
    if let Ok(path) = std::env::var("ORDERS") {
        let events =
            job.source(Files::csv(path)).event_time(OrderEvent::at, Watermarks::monotonous());
        job::spoofs(events, spoofing).sink(stdout());
        return job.main();
    }
    let events = job
        .source(from_vec(orders()))
        .named("orders")
        .event_time(OrderEvent::at, Watermarks::monotonous());
    job::spoofs(events, spoofing).sink(stdout());
    let fills = job
        .source(from_vec(fills()))
        .named("fills")
        .event_time(|fill: &Fill| fill.at, Watermarks::monotonous());
    job::washes(fills, Washing { within: 10.secs() }).sink(stdout());
    job.main()
}

/// Every order is gone after a second; every third is large.
fn orders() -> Vec<OrderEvent> {
    let event = |id: u64, action, at_ms| OrderEvent {
        id,
        at_ms,
        price: Price::from_units(23_000_000_000),
        volume: if id.is_multiple_of(3) { 5_000_000_000 } else { 100_000_000 },
        action,
        direction: if id.is_multiple_of(2) { Direction::Bid } else { Direction::Ask },
    };
    let created = (0..12).map(|id| event(id, Action::Created, id as i64 * 1_500));
    let deleted = (0..12).map(|id| event(id, Action::Deleted, id as i64 * 1_500 + 1_000));
    let mut events: Vec<_> = created.chain(deleted).collect();
    events.sort_by_key(|event| event.at_ms);
    events
}

/// Accounts that trade in a circle, of which two trade back at times, and one with itself.
fn fills() -> Vec<Fill> {
    let fill = |id: u64| {
        let buyer = id as u32 % 5;
        let seller = if id == 7 {
            buyer
        } else if id % 5 == 1 {
            0
        } else {
            (buyer + 1) % 5
        };
        Fill {
            id,
            symbol: Symbol::from_bytes(b"DEMO").unwrap_or_default(),
            buyer,
            seller,
            price: Price::from_units(10_000_000_000),
            size: Size::from_units(100_000_000),
            at: Timestamp(id as i64 * 1_000_000_000),
        }
    };
    (0..30).map(fill).collect()
}
