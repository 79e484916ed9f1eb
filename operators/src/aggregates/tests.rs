//! Laws that all aggregates obey, whatever the records, and examples of each.

use std::fmt::Debug;

use proptest::prelude::*;
use tailwater_core::record::{from_archive, to_archive};
use tailwater_core::{Notional, Price, Size, Timestamp, Volume};

use super::*;
use crate::Aggregator;

#[derive(Clone, Debug)]
struct Trade {
    at: i64,
    id: u64,
    price: i64,
    size: i64,
}

impl Trade {
    fn tick(&self) -> Tick {
        Tick {
            at: Timestamp(self.at),
            id: self.id,
            price: Price::from_units(self.price),
            size: Size::from_units(self.size),
        }
    }
}

fn price(trade: &Trade) -> Price {
    Price::from_units(trade.price)
}

fn size(trade: &Trade) -> Size {
    Size::from_units(trade.size)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subtracts {
    Yes,
    No,
}

/// Splits and merges in any order are the same as adding all; what was merged can be taken out
/// again, or the refusal changes nothing; an accumulator survives its archive; of nothing there is
/// a result.
fn obeys<G: Aggregator<Trade, Output: PartialEq + Debug>>(
    aggregator: &G,
    trades: &[(Trade, usize)],
    subtracts: Subtracts,
) {
    let of = |wanted: &dyn Fn(usize) -> bool| {
        let mut accumulator = aggregator.create();
        for (trade, _) in trades.iter().filter(|(_, part)| wanted(*part)) {
            aggregator.add(&mut accumulator, trade);
        }
        accumulator
    };
    let all = aggregator.finish(&of(&|_| true));
    let mut merged = aggregator.create();
    for wanted in (0..4).rev() {
        aggregator.merge(&mut merged, &of(&|part| part == wanted));
        aggregator.merge(&mut merged, &aggregator.create());
    }
    assert_eq!(aggregator.finish(&merged), all, "{}", aggregator.name());
    let archive = to_archive(&merged).unwrap();
    let mut restored = from_archive::<G::Accumulator>(&archive).unwrap();
    assert_eq!(aggregator.finish(&restored), all, "{} restored", aggregator.name());

    let first = of(&|part| part == 0);
    let (done, left) = match aggregator.subtract(&mut restored, &first) {
        true => (Subtracts::Yes, aggregator.finish(&of(&|part| part != 0))),
        false => (Subtracts::No, all),
    };
    assert_eq!((done, aggregator.finish(&restored)), (subtracts, left), "{}", aggregator.name());
}

fn trades() -> impl Strategy<Value = Vec<(Trade, usize)>> {
    let trade = (0i64..20, 0u64..4, -50i64..1_000, 1i64..500, 0usize..4)
        .prop_map(|(at, id, price, size, part)| (Trade { at, id, price, size }, part));
    proptest::collection::vec(trade, 0..40)
}

proptest! {
    #[test]
    fn the_subtractable(trades in trades()) {
        obeys(&count(), &trades, Subtracts::Yes);
        obeys(&sum(|t: &Trade| t.price), &trades, Subtracts::Yes);
        obeys(&sum(size), &trades, Subtracts::Yes);
        obeys(&mean(|t: &Trade| t.size as u32), &trades, Subtracts::Yes);
        obeys(&mean(price), &trades, Subtracts::Yes);
        obeys(&vwap(price, size), &trades, Subtracts::Yes);
        obeys(&(count(), sum(price)), &trades, Subtracts::Yes);
        obeys(&(count(), mean(price), sum(size), vwap(price, size)), &trades, Subtracts::Yes);
    }

    #[test]
    fn the_others(trades in trades()) {
        obeys(&min(price), &trades, Subtracts::No);
        obeys(&max(|t: &Trade| (t.price, t.id)), &trades, Subtracts::No);
        obeys(&ohlcv(Trade::tick), &trades, Subtracts::No);
        for n in [0, 1, 3] {
            obeys(&top_n(n, price), &trades, Subtracts::No);
        }
        obeys(&distinct(|t: &Trade| t.price.to_string()), &trades, Subtracts::No);
        obeys(&quantile(0.9, |t: &Trade| t.price as f64).unwrap(), &trades, Subtracts::No);
        obeys(&(count(), sum(price), min(price)), &trades, Subtracts::No);
        // Whole numbers, so that the order of addition does not show.
        obeys(&sum(|t: &Trade| t.price as f64), &trades, Subtracts::No);
        obeys(&mean(|t: &Trade| t.size as f64), &trades, Subtracts::No);
    }

    #[test]
    fn agree_with_std(trades in trades()) {
        let trades: Vec<Trade> = trades.into_iter().map(|(trade, _)| trade).collect();
        let mut prices: Vec<i64> = trades.iter().map(|trade| trade.price).collect();
        prices.sort_unstable();
        let unit = |t: &Trade| t.price;
        prop_assert_eq!(result(&min(unit), &trades), prices.first().copied());
        prop_assert_eq!(result(&max(unit), &trades), prices.last().copied());
        let total: i64 = prices.iter().sum();
        prop_assert_eq!(result(&sum(unit), &trades), i128::from(total));
        let expected = (!prices.is_empty()).then(|| total as f64 / prices.len() as f64);
        prop_assert_eq!(result(&mean(unit), &trades), expected);
        let greatest: Vec<i64> = prices.iter().rev().take(5).copied().collect();
        prop_assert_eq!(result(&top_n(5, unit), &trades), greatest);
        let median = result(&quantile(0.5, |t: &Trade| t.price as f64).unwrap(), &trades);
        match prices.len().checked_sub(1) {
            None => prop_assert_eq!(median, None),
            Some(last) => {
                let exact = prices[last / 2] as f64;
                let error = (median.unwrap() - exact).abs();
                prop_assert!(error <= exact.abs() * quantile::RELATIVE_ERROR * 1.001);
            }
        }
        prices.dedup();
        prop_assert_eq!(result(&distinct(unit), &trades), prices.len() as u64);
    }
}

fn result<G: Aggregator<Trade>>(aggregator: &G, trades: &[Trade]) -> G::Output {
    let mut accumulator = aggregator.create();
    for trade in trades {
        aggregator.add(&mut accumulator, trade);
    }
    aggregator.finish(&accumulator)
}

fn trade(at: i64, id: u64, price: i64, size: i64) -> Trade {
    Trade { at, id, price, size }
}

#[test]
fn a_bar_opens_and_closes_by_time_and_id_not_by_arrival() {
    let trades = [trade(5, 2, 10, 1), trade(5, 1, 30, 2), trade(9, 7, 20, 1), trade(9, 3, 5, 1)];
    let bar = result(&ohlcv(Trade::tick), &trades);
    let prices = [bar.open, bar.high, bar.low, bar.close].map(Price::units);
    assert_eq!(prices, [30, 30, 5, 20]);
    assert_eq!((bar.volume, bar.notional), (Volume::from_units(5), Notional::from_units(95)));
    assert_eq!((bar.vwap, bar.trades), (Price::from_units(19), 4));
}

#[test]
fn of_no_records() {
    let nothing = result(&vwap(price, size), &[]);
    assert_eq!((nothing.vwap, nothing.trades), (Price::ZERO, 0));
    let bar = result(&ohlcv(Trade::tick), &[]);
    assert_eq!([bar.open, bar.high, bar.low, bar.close, bar.vwap], [Price::ZERO; 5]);
    assert_eq!(result(&mean(price), &[]), None);
    assert_eq!(result(&top_n(3, price), &[]), []);
}

#[test]
fn means_of_money_are_money() {
    let trades = [trade(0, 0, 1, 1), trade(0, 0, 2, 1)];
    assert_eq!(result(&mean(price), &trades), Some(Price::from_units(2)));
    assert_eq!(result(&sum(size), &trades), Volume::from_units(2));
}

#[test]
fn a_quantile_outside_the_unit_interval_is_refused() {
    for q in [-0.1, 1.1, f64::NAN] {
        assert!(quantile(q, |t: &Trade| t.price as f64).is_err(), "{q}");
    }
}

#[test]
fn quantiles_leave_out_what_is_no_number() {
    let values = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 3.0];
    let of = move |t: &Trade| values[t.id as usize];
    let trades: Vec<Trade> = (0..4).map(|id| trade(0, id, 0, 0)).collect();
    assert_eq!(result(&quantile(1.0, of).unwrap(), &trades), Some(3.0));
}

#[test]
fn names_say_what_is_computed() {
    let both = (count(), top_n(3, price));
    assert_eq!(Aggregator::<Trade>::name(&both), "count + top 3");
}
