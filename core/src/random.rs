//! Random numbers from a seed: splitmix64, whose i-th output can be had without the ones before it.

/// Sebastiano Vigna's splitmix64 (public domain reference implementation,
/// <https://prng.di.unimi.it>).
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// The finaliser of splitmix64: a bijection that spreads every input bit over the output.
#[inline]
pub const fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The `index`-th output of the sequence from `seed`, so that workers can generate disjoint parts.
#[inline]
pub const fn nth(seed: u64, index: u64) -> u64 {
    mix(seed.wrapping_add(index.wrapping_add(1).wrapping_mul(GAMMA)))
}

impl Random {
    /// The sequence from a seed.
    pub const fn from_seed(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 64 random bits.
    #[inline]
    pub const fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GAMMA);
        mix(self.state)
    }

    /// A number below `bound` (which must not be zero), with a bias below `bound` / 2^64.
    #[inline]
    pub const fn below(&mut self, bound: u64) -> u64 {
        ((self.next_u64() as u128 * bound as u128) >> 64) as u64
    }

    /// True `numerator` times out of `denominator`.
    #[inline]
    pub const fn chance(&mut self, numerator: u64, denominator: u64) -> bool {
        self.below(denominator) < numerator
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nth_output_needs_no_others() {
        let mut random = Random::from_seed(0x5EED);
        for index in 0..100 {
            assert_eq!(random.next_u64(), nth(0x5EED, index));
        }
        // The reference implementation's first outputs from seed 1234567.
        assert_eq!(nth(1_234_567, 0), 6_457_827_717_110_365_317);
        assert_eq!(nth(1_234_567, 1), 3_203_168_211_198_807_973);
    }
}
