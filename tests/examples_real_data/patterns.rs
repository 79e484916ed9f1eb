//! Surveillance: spoofing in a real order log against a search through it, wash trades by hand.

use std::collections::HashMap;

use tailwater::prelude::*;
use tailwater::testing::{JobHarness, TestSink, TestSource};

use super::surveillance::{Action, Fill, OrderEvent, Spoofing, Wash, Washing, spoofs, washes};
use super::{data, read};

#[test]
fn orders_that_were_shown_and_taken_back_are_found() {
    let Some(path) = data("bitstamp-btcusd-orders-20150501.csv.xz") else { return };
    let events: Vec<OrderEvent> = read(Files::csv(path.as_str()));
    assert_eq!(events.len(), 50_414, "what is known of the file");
    let (volume_min, within_ms) = (1_000_000_000, 2_000);
    let mut by_order: HashMap<u64, Vec<&OrderEvent>> = HashMap::new();
    events.iter().for_each(|event| by_order.entry(event.id).or_default().push(event));
    let mut expected: Vec<(u64, i64, Timestamp, Timestamp)> = by_order
        .iter()
        .filter_map(|(id, life)| match life[..] {
            [created, deleted]
                if created.action == Action::Created
                    && deleted.action == Action::Deleted
                    && created.volume >= volume_min
                    && deleted.volume == created.volume
                    && deleted.at_ms - created.at_ms <= within_ms =>
            {
                Some((*id, created.volume, created.at(), deleted.at()))
            }
            _ => None,
        })
        .collect();
    expected.sort();

    let (job, results) = (Job::new("spoofing"), collect());
    let stream =
        job.source(Files::csv(path.as_str())).event_time(OrderEvent::at, Watermarks::monotonous());
    spoofs(stream, Spoofing { volume_min, within: within_ms.millis() }).sink(results.clone());
    job.run(Local::cores(2)).unwrap();
    let found = results.take().into_iter().map(|s| (s.order, s.volume, s.shown_at, s.gone_at));
    let mut found: Vec<_> = found.collect();
    found.sort();
    assert!(found.len() > 10, "{} orders", found.len());
    assert_eq!(found, expected);
}

#[test]
fn trades_that_change_no_owner_are_found() {
    let (fills, found) = (TestSource::new(), TestSink::new());
    let job = Job::new("washing");
    let stream =
        job.source(fills.clone()).event_time(|fill: &Fill| fill.at, Watermarks::monotonous());
    washes(stream, Washing { within: 10.secs() }).sink(found.clone());
    let mut harness = JobHarness::new(job, Local::seeded(2, 1)).unwrap();
    let fill = |id: u64, (buyer, seller): (u32, u32), size: i64, secs: i64| Fill {
        id,
        symbol: Symbol::default(),
        buyer,
        seller,
        price: Price::from_units(1),
        size: Size::from_units(size),
        at: Timestamp(0) + secs.secs(),
    };
    let mut told = |id, accounts, size, secs| {
        fills.push(fill(id, accounts, size, secs));
        harness.run_until_idle().unwrap();
        harness.checkpoint().unwrap();
        harness.restart(1 + id as u32 % 3).unwrap();
        found.take().into_iter().map(|Wash { fill, undoes }| (fill.id, undoes.map(|f| f.id))).next()
    };
    assert_eq!(told(1, (7, 7), 100, 0), Some((1, None)));
    assert_eq!(told(2, (1, 2), 100, 0), None);
    // Another size, the same direction, other accounts: none undoes the second.
    assert_eq!(told(3, (2, 1), 50, 1), None);
    assert_eq!(told(4, (1, 2), 100, 2), None);
    assert_eq!(told(5, (2, 3), 100, 3), None);
    assert_eq!(told(6, (2, 1), 100, 10), Some((6, Some(2))));
    // The fourth is open still, and the second is not; eleven seconds are too long.
    assert_eq!(told(7, (2, 1), 100, 11), Some((7, Some(4))));
    assert_eq!(told(8, (3, 2), 100, 14), None);
}
