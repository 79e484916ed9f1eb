//! The exchange obeys its own rules.
//!
//! Every event is replayed into a naive book, which must find that only resting orders trade, the
//! best and oldest first and never more than there is, and that bids stay below offers after each.

use std::collections::{BTreeMap, HashMap};

use tailwater_market::{EventKind, Market, Options, Side};

#[derive(Clone, Debug)]
struct Order {
    side: Side,
    shares: u32,
    price: i64,
}

/// Orders by number, and queues of order numbers by price, for one symbol.
#[derive(Default)]
struct Naive {
    orders: HashMap<u64, Order>,
    queues: [BTreeMap<i64, Vec<u64>>; 2],
}

impl Naive {
    fn queues(&mut self, side: Side) -> &mut BTreeMap<i64, Vec<u64>> {
        &mut self.queues[usize::from(side == Side::Sell)]
    }

    fn add(&mut self, number: u64, order: Order) {
        self.queues(order.side).entry(order.price).or_default().push(number);
        assert!(self.orders.insert(number, order).is_none(), "order {number} was there before");
    }

    fn reduce(&mut self, number: u64, shares: u32) {
        let order = self.orders.get_mut(&number).expect("a resting order");
        order.shares = order.shares.checked_sub(shares).expect("no more than there is");
        if order.shares == 0 {
            self.remove(number);
        }
    }

    fn remove(&mut self, number: u64) -> Order {
        let order = self.orders.remove(&number).expect("a resting order");
        let queues = self.queues(order.side);
        let queue = queues.get_mut(&order.price).expect("its queue");
        queue.retain(|&other| other != number);
        if queue.is_empty() {
            queues.remove(&order.price);
        }
        order
    }

    fn best_bid(&self) -> Option<(&i64, &Vec<u64>)> {
        self.queues[0].last_key_value()
    }

    fn best_ask(&self) -> Option<(&i64, &Vec<u64>)> {
        self.queues[1].first_key_value()
    }

    fn execute(&mut self, number: u64, shares: u32, side: Side) -> i64 {
        let order = self.orders[&number].clone();
        assert_eq!(order.side, side);
        let best = match side {
            Side::Buy => self.best_bid(),
            Side::Sell => self.best_ask(),
        };
        let (&price, queue) = best.expect("a best price");
        assert_eq!((price, queue[0]), (order.price, number), "the best and oldest order trades");
        self.reduce(number, shares);
        price
    }

    fn apply(&mut self, kind: EventKind) {
        match kind {
            EventKind::Add { order, side, shares, price } => {
                assert!(shares > 0);
                self.add(order, Order { side, shares, price: price.units() });
            }
            EventKind::Execute { order, shares, side, price, .. } => {
                assert!(shares > 0);
                assert_eq!(self.execute(order, shares, side), price.units());
            }
            EventKind::ExecuteWithPrice { order, shares, side, price, .. } => {
                assert!(shares > 0);
                assert_ne!(self.execute(order, shares, side), price.units());
            }
            EventKind::Cancel { order, shares } => {
                self.reduce(order, shares);
                assert!(self.orders.contains_key(&order), "a cancel leaves some");
            }
            EventKind::Delete { order } => {
                self.remove(order);
            }
            EventKind::Replace { order, new_order, shares, price } => {
                assert!(shares > 0);
                let side = self.remove(order).side;
                self.add(new_order, Order { side, shares, price: price.units() });
            }
            EventKind::Trade { price, shares, .. } => {
                assert!(shares > 0);
                let (bid, ask) = (self.best_bid().expect("bids"), self.best_ask().expect("asks"));
                assert!((*bid.0..=*ask.0).contains(&price.units()));
            }
        }
        if let (Some((bid, _)), Some((ask, _))) = (self.best_bid(), self.best_ask()) {
            assert!(bid < ask, "bid {bid} is not below offer {ask}");
        }
    }
}

fn replay(options: &Options) -> [u64; 7] {
    let mut books: HashMap<u16, Naive> = HashMap::new();
    let (mut counts, mut last) = ([0; 7], None);
    for event in Market::new(options).unwrap() {
        assert!(last <= Some(event.at), "exchange time does not go back");
        last = Some(event.at);
        assert!(u32::from(event.symbol) < options.symbols);
        let book = books.entry(event.symbol).or_default();
        book.apply(event.kind);
        assert!(book.orders.len() <= 128, "a book is bounded");
        counts[match event.kind {
            EventKind::Add { .. } => 0,
            EventKind::Execute { .. } => 1,
            EventKind::ExecuteWithPrice { .. } => 2,
            EventKind::Cancel { .. } => 3,
            EventKind::Delete { .. } => 4,
            EventKind::Replace { .. } => 5,
            EventKind::Trade { .. } => 6,
        }] += 1;
    }
    counts
}

#[test]
fn every_event_is_possible_and_every_kind_happens() {
    for seed in 0..20 {
        let options = Options { seed, symbols: 20, events: 50_000, ..Options::default() };
        let counts = replay(&options);
        assert_eq!(counts.iter().sum::<u64>(), 50_000);
        assert!(counts.iter().all(|&count| count > 50), "seed {seed}: {counts:?}");
        let prints = counts[1] + counts[2] + counts[6];
        assert!(
            (12_500..20_000).contains(&prints),
            "seed {seed}: {prints} prints in 50,000 events"
        );
    }
}

#[test]
fn one_symbol_alone_trades_for_long() {
    let options = Options { symbols: 1, events: 1_000_000, ..Options::default() };
    let counts = replay(&options);
    assert!(counts.iter().all(|&count| count > 1_000), "{counts:?}");
}

#[test]
fn activity_is_skewed() {
    let mut counts = [0_u64; 100];
    for event in Market::new(&Options { events: 500_000, ..Options::default() }).unwrap() {
        counts[usize::from(event.symbol)] += 1;
    }
    assert!(counts[0] > 20 * counts[99] && counts[99] > 0, "{counts:?}");
}

#[test]
fn events_come_at_the_mean_rate_and_in_bursts() {
    let options = Options { events: 1_000_000, rate: 1_000_000, ..Options::default() };
    let events = |burstiness| Market::new(&Options { burstiness, ..options.clone() }).unwrap();
    for burstiness in [1, 10] {
        let end = events(burstiness).last().unwrap().at.nanos();
        assert!(end.abs_diff(1_000_000_000) < 50_000_000, "{burstiness}: {end} ns");
    }
    // The busiest millisecond.
    let busiest = |burstiness| {
        let mut counts = vec![0; 2_000];
        events(burstiness).for_each(|event| counts[(event.at.nanos() / 1_000_000) as usize] += 1);
        counts.into_iter().max().unwrap_or(0)
    };
    assert!(busiest(30) > 2 * busiest(1), "{} {}", busiest(30), busiest(1));
}
