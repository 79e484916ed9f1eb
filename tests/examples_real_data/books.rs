//! Tops of book against what the exchange itself says of them, and against a naive book.

use std::collections::{BTreeMap, HashMap};

use tailwater::connectors::market::itch::ItchBody;
use tailwater::connectors::market::{Level, MarketEvent, Quote, Side};
use tailwater::prelude::*;

use super::top_of_book::{Top, of_levels, of_orders};
use super::{BTC, ETH, capture, data, run_on_capture};

/// The exchange sends its best bid and ask in a stream of their own, with numbers of the same
/// sequence as the changes of levels: what the book says after a change must be what the last of
/// them at or before it says.
fn agrees_with_the_exchange(path: &str) {
    let mut quotes = BTreeMap::new();
    let mut snapshot = None;
    let mut changes = Vec::new();
    for event in capture(path) {
        match event {
            MarketEvent::Quote(quote) => drop(quotes.insert(quote.id, quote)),
            MarketEvent::Snapshot(book) => snapshot = Some(book.last_id),
            MarketEvent::Depth(depth) => changes.push(depth.last_id),
            MarketEvent::Trade(_) => {}
        }
    }
    let snapshot = snapshot.expect("a capture has a snapshot");
    let of = |quote: &Quote| {
        let bid = Level { price: quote.bid, size: quote.bid_size };
        (Some(bid), Some(Level { price: quote.ask, size: quote.ask_size }))
    };
    let at = |id: u64| quotes.range(..=id).next_back().map(|(_, quote)| of(quote));

    let tops: Vec<Top> = run_on_capture(path, of_levels);
    let mut checked = 0;
    for Top { bid, ask, id, .. } in &tops {
        if let Some(expected) = at(*id) {
            assert_eq!((*bid, *ask), expected, "after change {id}");
            checked += 1;
        }
    }
    // No change of the top was left out: between two changes of levels it is told once at most.
    let mut expected: Vec<_> =
        changes.iter().filter(|id| **id > snapshot).filter_map(|id| at(*id)).collect();
    expected.dedup();
    assert!(checked > 3_000, "{checked} of {} tops", tops.len());
    // The job saw the changes before the snapshot at once, when it came.
    assert!(tops.len().abs_diff(expected.len()) <= 2, "{} and {}", tops.len(), expected.len());
}

#[test]
fn tops_of_levels_are_those_of_the_exchange() {
    [BTC, ETH].into_iter().filter_map(data).for_each(|path| agrees_with_the_exchange(&path));
}

/// The best price of a side: the whole book is gone through again.
fn best(orders: &HashMap<u64, (u16, Side, Price, Size)>, stock: u16, side: Side) -> Option<Level> {
    let prices = orders.values().filter(|order| (order.0, order.1) == (stock, side));
    let prices = prices.clone().map(|order| order.2);
    let price = if side == Side::Buy { prices.max() } else { prices.min() }?;
    let at_it = orders.values().filter(|o| (o.0, o.1, o.2) == (stock, side, price));
    Some(Level { price, size: Size::from_units(at_it.map(|order| order.3.units()).sum()) })
}

#[test]
fn tops_of_orders_are_those_of_a_naive_book() {
    let Some(path) = data("nasdaq-itch50-sample-20101224.gz") else { return };
    let messages = super::read(Files::itch_messages(path.as_str()));
    let mut orders: HashMap<u64, (u16, Side, Price, Size)> = HashMap::new();
    let mut expected: BTreeMap<String, Vec<_>> = BTreeMap::new();
    let mut last = HashMap::new();
    let (mut unknown, mut added) = (0, 0);
    for message in messages {
        let mut remove = |reference: u64, size: Size| {
            let order = orders.get_mut(&reference);
            unknown += u32::from(order.is_none());
            let before = *order?;
            orders.get_mut(&reference)?.3 = before.3 - size.min(before.3);
            orders.retain(|_, order| !order.3.is_zero());
            Some(before)
        };
        match message.body {
            ItchBody::Add { reference, side, size, price, .. } => {
                orders.insert(reference, (message.locate, side, price, size));
                added += 1;
            }
            ItchBody::Executed { reference, size, .. }
            | ItchBody::ExecutedAt { reference, size, .. }
            | ItchBody::Cancelled { reference, size } => drop(remove(reference, size)),
            ItchBody::Deleted { reference } => drop(remove(reference, Size::MAX)),
            ItchBody::Replaced { reference, new_reference, size, price } => {
                if let Some((stock, side, ..)) = remove(reference, Size::MAX) {
                    orders.insert(new_reference, (stock, side, price, size));
                }
            }
            _ => continue,
        }
        let stock = message.locate;
        let top = (best(&orders, stock, Side::Buy), best(&orders, stock, Side::Sell));
        if last.get(&stock) != Some(&top) && (last.contains_key(&stock) || top != (None, None)) {
            last.insert(stock, top);
            expected.entry(stock.to_string()).or_default().push((message.at, top));
        }
    }
    assert_eq!((added, unknown), (5_000, 117), "what is known of the file");

    let (job, results) = (Job::new("itch"), collect());
    let messages = job
        .source(Files::itch_messages(path.as_str()))
        .event_time(|message| message.at, Watermarks::monotonous());
    of_orders(messages).sink(results.clone());
    job.run(Local::cores(2)).unwrap();
    let mut tops: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for top in results.take() {
        tops.entry(top.instrument).or_default().push((top.at, (top.bid, top.ask)));
    }
    assert_eq!(tops.len(), 3);
    assert_eq!(tops.values().map(Vec::len).sum::<usize>(), 392);
    assert_eq!(tops, expected);
}
