//! Bars: open, high, low, close and volume, whatever the order that the trades come in.

use std::marker::PhantomData;

use rkyv::{Archive, Deserialize, Serialize};
use tailwater_core::{Describe, Notional, Price, Size, Timestamp, Volume};

use super::vwap::Turnover;
use crate::Aggregator;

by_closure! {
    /// See [`ohlcv`].
    OhlcvOf {}
}

/// A bar of the trades that `of` gives: opens with the trade least by time, then id, then price,
/// and closes with the greatest.
pub fn ohlcv<T, F>(of: F) -> OhlcvOf<T, Tick, F>
where
    F: Fn(&T) -> Tick + Clone + Send + 'static,
{
    OhlcvOf { of, types: PhantomData }
}

/// A trade as a bar sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// When it happened.
    pub at: Timestamp,
    /// Orders trades of the same instant: an id or the order of arrival.
    pub id: u64,
    /// At what price.
    pub price: Price,
    /// How much.
    pub size: Size,
}

/// A bar. Of no trades, all prices are zero.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Archive,
    Serialize,
    Deserialize,
    Describe,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Ohlcv {
    /// The price of the first trade.
    pub open: Price,
    /// The highest price.
    pub high: Price,
    /// The lowest price.
    pub low: Price,
    /// The price of the last trade.
    pub close: Price,
    /// The sum of the sizes.
    pub volume: Volume,
    /// The sum of price times size.
    pub notional: Notional,
    /// Notional / volume, rounded half to even at eight decimals; zero where the volume is.
    pub vwap: Price,
    /// How many trades there were.
    pub trades: u64,
}

/// A trade's place in time and its price: the first opens a bar, the last closes it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Archive, Serialize, Deserialize, Describe,
)]
pub struct Mark {
    at: Timestamp,
    id: u64,
    price: Price,
}

/// What is kept of the trades.
#[derive(Clone, Copy, Debug, Archive, Serialize, Deserialize, Describe)]
pub struct Bar {
    open: Mark,
    close: Mark,
    high: Price,
    low: Price,
    turnover: Turnover,
}

impl Bar {
    /// Any trade is before its open, after its close, above its high and below its low.
    const EMPTY: Self = Self {
        open: Mark { at: Timestamp::MAX, id: u64::MAX, price: Price::MAX },
        close: Mark { at: Timestamp::MIN, id: 0, price: Price::MIN },
        high: Price::MIN,
        low: Price::MAX,
        turnover: Turnover { notional: Notional::ZERO, volume: Volume::ZERO, trades: 0 },
    };
}

impl<T: 'static, F> Aggregator<T> for OhlcvOf<T, Tick, F>
where
    F: Fn(&T) -> Tick + Clone + Send + 'static,
{
    type Accumulator = Bar;
    type Output = Ohlcv;

    fn create(&self) -> Bar {
        Bar::EMPTY
    }

    #[inline]
    fn add(&self, bar: &mut Bar, record: &T) {
        let Tick { at, id, price, size } = (self.of)(record);
        let mark = Mark { at, id, price };
        if mark < bar.open {
            bar.open = mark;
        }
        if mark > bar.close {
            bar.close = mark;
        }
        bar.high = bar.high.max(price);
        bar.low = bar.low.min(price);
        bar.turnover.add(price, size);
    }

    #[inline]
    fn merge(&self, bar: &mut Bar, other: &Bar) {
        bar.open = bar.open.min(other.open);
        bar.close = bar.close.max(other.close);
        bar.high = bar.high.max(other.high);
        bar.low = bar.low.min(other.low);
        bar.turnover.merge(&other.turnover);
    }

    fn finish(&self, bar: &Bar) -> Ohlcv {
        let Turnover { notional, volume, trades } = bar.turnover;
        let price = |price| if trades == 0 { Price::ZERO } else { price };
        Ohlcv {
            open: price(bar.open.price),
            high: price(bar.high),
            low: price(bar.low),
            close: price(bar.close.price),
            volume,
            notional,
            vwap: bar.turnover.vwap(),
            trades,
        }
    }

    fn name(&self) -> String {
        "ohlcv".to_owned()
    }
}
