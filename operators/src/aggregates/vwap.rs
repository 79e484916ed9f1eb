//! The volume-weighted average price.

use rkyv::{Archive, Deserialize, Serialize};
use tailwater_core::{Describe, Notional, Price, Size, Volume};

use crate::Aggregator;

/// See [`vwap`].
pub struct VwapOf<P, S> {
    price: P,
    size: S,
}

impl<P: Clone, S: Clone> Clone for VwapOf<P, S> {
    fn clone(&self) -> Self {
        Self { price: self.price.clone(), size: self.size.clone() }
    }
}

/// The volume-weighted average price with the sums that it comes from.
pub fn vwap<T, P, S>(price: P, size: S) -> VwapOf<P, S>
where
    P: Fn(&T) -> Price + Clone + Send + 'static,
    S: Fn(&T) -> Size + Clone + Send + 'static,
{
    VwapOf { price, size }
}

/// The average price of a window, weighted by size.
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
pub struct Vwap {
    /// Notional / volume, rounded half to even at eight decimals; zero where the volume is.
    pub vwap: Price,
    /// The sum of the sizes.
    pub volume: Volume,
    /// The sum of price times size.
    pub notional: Notional,
    /// How many trades there were.
    pub trades: u64,
}

/// What is kept of the trades.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize, Describe)]
pub struct Turnover {
    /// The sum of price times size.
    pub notional: Notional,
    /// The sum of the sizes.
    pub volume: Volume,
    /// How many trades there were.
    pub trades: u64,
}

impl Turnover {
    #[inline]
    pub(super) fn add(&mut self, price: Price, size: Size) {
        self.notional += price * size;
        self.volume += size;
        self.trades += 1;
    }

    #[inline]
    pub(super) fn merge(&mut self, other: &Self) {
        self.notional += other.notional;
        self.volume += other.volume;
        self.trades += other.trades;
    }

    #[inline]
    pub(super) fn vwap(&self) -> Price {
        if self.volume.is_zero() { Price::ZERO } else { self.notional / self.volume }
    }
}

impl<T, P, S> Aggregator<T> for VwapOf<P, S>
where
    P: Fn(&T) -> Price + Clone + Send + 'static,
    S: Fn(&T) -> Size + Clone + Send + 'static,
{
    type Accumulator = Turnover;
    type Output = Vwap;

    fn create(&self) -> Turnover {
        Turnover::default()
    }

    #[inline]
    fn add(&self, turnover: &mut Turnover, record: &T) {
        turnover.add((self.price)(record), (self.size)(record));
    }

    #[inline]
    fn merge(&self, turnover: &mut Turnover, other: &Turnover) {
        turnover.merge(other);
    }

    #[inline]
    fn finish(&self, turnover: &Turnover) -> Vwap {
        let Turnover { notional, volume, trades } = *turnover;
        Vwap { vwap: turnover.vwap(), volume, notional, trades }
    }

    #[inline]
    fn subtract(&self, turnover: &mut Turnover, other: &Turnover) -> bool {
        turnover.notional -= other.notional;
        turnover.volume -= other.volume;
        turnover.trades -= other.trades;
        true
    }

    fn name(&self) -> String {
        "vwap".to_owned()
    }
}
