//! The records, their formulas and the output hashes that every engine is checked by.

use serde::{Deserialize, Serialize};

const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;
pub(crate) const SEED: u64 = 0x5EED_0000_0000_0001;
const KEYED_COUNT_SEED: u64 = SEED ^ 0xC0;

/// The event time of tick 0, before its disorder is subtracted, in nanoseconds.
pub const EVENT_TIME_START_NS: i64 = 1_700_000_000_000_000_000;
/// Event time between two ticks: a million ticks a second.
pub const TICK_INTERVAL_NS: i64 = 1_000;
/// How far the watermark trails; above the greatest disorder of 1.02 ms, so that nothing is late.
pub const WATERMARK_DELAY_NS: i64 = 2_000_000;
/// The length of a tumbling window.
pub const WINDOW_NS: i64 = 1_000_000_000;
/// Symbols are `0..SYMBOLS`, uniformly distributed.
pub const SYMBOLS: u64 = 10_000;

/// The finalizer of splitmix64.
#[inline(always)]
pub fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The `i`-th output of splitmix64, so that workers can generate disjoint sets of indices.
#[inline(always)]
pub fn random(seed: u64, i: u64) -> u64 {
    mix(seed.wrapping_add(i.wrapping_add(1).wrapping_mul(GAMMA)))
}

/// A hash for tables of dense keys: every bit of the key reaches the top bits.
#[inline(always)]
pub fn table_hash(key: u64) -> u64 {
    key.wrapping_mul(GAMMA)
}

/// A trade: the input of tick-vwap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// Event time in nanoseconds.
    pub ts: i64,
    /// Fixed-point price.
    pub price: i64,
    /// Traded size, 1 to 256.
    pub size: u32,
    /// The key, below [`SYMBOLS`].
    pub symbol: u32,
}

/// Tick `i` of the stream.
#[inline(always)]
pub fn tick(i: u64) -> Tick {
    let r = random(SEED, i);
    let disorder_ns = (((r >> 24) & 0xFF) * 4000) as i64;
    Tick {
        ts: EVENT_TIME_START_NS + i as i64 * TICK_INTERVAL_NS - disorder_ns,
        price: 1_000_000 + (r & 0xFFFF) as i64,
        size: 1 + ((r >> 16) & 0xFF) as u32,
        symbol: (((r >> 32) * SYMBOLS) >> 32) as u32,
    }
}

/// The watermark that may be emitted after tick `i`.
#[inline(always)]
pub fn watermark_after(i: u64) -> i64 {
    EVENT_TIME_START_NS + i as i64 * TICK_INTERVAL_NS - WATERMARK_DELAY_NS
}

/// The output of tick-vwap: one per symbol and window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output {
    /// The key.
    pub symbol: u64,
    /// The window's number since the epoch of event time.
    pub window: u64,
    /// Open, high, low and close, then volume-weighted average price, volume and count.
    pub values: [u64; 7],
}

impl Output {
    /// The hash whose sum over all outputs is the checksum.
    pub fn hash(&self) -> u64 {
        let key = mix(self.symbol ^ self.window.rotate_left(32));
        self.values.iter().fold(key, |hash, value| mix(hash ^ value))
    }
}

/// An amount for a key: the input of keyed-count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// The key, below the number of keys.
    pub key: u64,
    /// 1 to 256.
    pub amount: u64,
}

/// Record `i` of keyed-count over `keys` keys.
#[inline(always)]
pub fn amount(i: u64, keys: u64) -> Amount {
    let r = random(KEYED_COUNT_SEED, i);
    let key = ((u128::from(r >> 32) * u128::from(keys)) >> 32) as u64;
    Amount { key, amount: 1 + (r & 0xFF) }
}

/// The output of keyed-count: one per input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// The key.
    pub key: u64,
    /// Records of this key so far.
    pub count: u64,
    /// The sum of their amounts.
    pub sum: u64,
}

impl Count {
    /// The hash whose sum over all outputs is the checksum.
    #[inline(always)]
    pub fn hash(&self) -> u64 {
        mix(self.key ^ self.count.wrapping_mul(GAMMA))
    }
}

/// What an engine did: how many outputs, and the wrapping sum of their hashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Number of outputs.
    pub outputs: u64,
    /// Sum of the outputs' hashes, whatever their order.
    pub checksum: u64,
}

impl Totals {
    /// Takes one more output into account.
    #[inline(always)]
    pub fn add(&mut self, output_hash: u64) {
        self.outputs += 1;
        self.checksum = self.checksum.wrapping_add(output_hash);
    }
}

impl std::iter::Sum for Totals {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), |all, part| Self {
            outputs: all.outputs + part.outputs,
            checksum: all.checksum.wrapping_add(part.checksum),
        })
    }
}

/// The steps of the chain workload over the records `0..N`: three maps and two filters.
pub mod chain {
    use super::GAMMA;

    /// First step, a map that spreads the index over all bits.
    #[inline(always)]
    pub fn spread(x: u64) -> u64 {
        x.wrapping_mul(GAMMA)
    }

    /// Second step, a filter that lets 15 of 16 records pass.
    #[inline(always)]
    pub fn is_high(x: &u64) -> bool {
        x >> 60 != 0
    }

    /// Third step, a map.
    #[inline(always)]
    pub fn fold(x: u64) -> u64 {
        x ^ (x >> 29)
    }

    /// Fourth step, a filter that lets 15 of 16 records pass.
    #[inline(always)]
    pub fn is_not_round(x: &u64) -> bool {
        x & 0xF != 0
    }

    /// Fifth step, a map.
    #[inline(always)]
    pub fn scale(x: u64) -> u64 {
        (x >> 7).wrapping_add(x)
    }
}

#[cfg(test)]
mod tests;
