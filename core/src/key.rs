//! Keys: their stable hash, the key groups it falls into, and the contiguous ranges that cores own.

use std::hash::{Hash, Hasher};
use std::ops::Range;

use crate::{Error, Record, Result};

/// What a stream can be partitioned by. State is found by it, so its hash must mean the same for
/// ever: derive `Hash`, and do not change the order of the fields of a key once state exists.
pub trait Key: Record + Hash + Eq {}

impl<K: Record + Hash + Eq> Key for K {}

/// The hash that decides which core owns a key and where its state lies. Frozen by test vectors: it
/// is the same in every process, on every run and in every version.
#[inline]
pub fn stable_hash<K: Hash + ?Sized>(key: &K) -> u64 {
    let mut hasher = StableHasher { state: SEED };
    key.hash(&mut hasher);
    hasher.finish()
}

/// Odd constants with well-spread bits: the golden ratio and a multiplier of splitmix64.
const SEED: u64 = 0x9E37_79B9_7F4A_7C15;
const ROUND: u64 = 0xBF58_476D_1CE4_E5B9;

/// Multiply-and-fold over 64-bit words, read as little-endian on every machine.
struct StableHasher {
    state: u64,
}

/// The two halves of the 128-bit product, folded: every input bit reaches every output bit.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

impl Hasher for StableHasher {
    #[inline]
    fn finish(&self) -> u64 {
        self.state
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            let mut eight = [0; 8];
            eight.copy_from_slice(word);
            self.write_u64(u64::from_le_bytes(eight));
        }
        let rest = words.remainder();
        if !rest.is_empty() {
            let mut eight = [0; 8];
            eight[..rest.len()].copy_from_slice(rest);
            // The length in the top byte tells `a` from `a\0`; a remainder has at most seven bytes.
            eight[7] = rest.len() as u8;
            self.write_u64(u64::from_le_bytes(eight));
        }
    }

    #[inline]
    fn write_u64(&mut self, word: u64) {
        self.state = fold(self.state ^ word, ROUND);
    }

    #[inline]
    fn write_u8(&mut self, value: u8) {
        self.write_u64(value.into());
    }

    #[inline]
    fn write_u16(&mut self, value: u16) {
        self.write_u64(value.into());
    }

    #[inline]
    fn write_u32(&mut self, value: u32) {
        self.write_u64(value.into());
    }

    #[inline]
    fn write_u128(&mut self, value: u128) {
        self.write_u64(value as u64);
        self.write_u64((value >> 64) as u64);
    }

    #[inline]
    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }
}

/// The murmur3 finaliser that Flink spreads hash codes with (`MathUtils.murmurHash`; SEMANTICS 58).
/// Never negative.
#[inline]
pub fn murmur(code: i32) -> i32 {
    let mut code = (code as u32).wrapping_mul(0xCC9E_2D51);
    code = code.rotate_left(15).wrapping_mul(0x1B87_3593);
    code = code.rotate_left(13).wrapping_mul(5).wrapping_add(0xE654_6B64);
    code ^= 4;
    code = (code ^ (code >> 16)).wrapping_mul(0x85EB_CA6B);
    code = (code ^ (code >> 13)).wrapping_mul(0xC2B2_AE35);
    let code = (code ^ (code >> 16)) as i32;
    if code == i32::MIN { 0 } else { code.abs() }
}

/// The 32 bits of a [`stable_hash`] that lead to its key group.
#[inline]
pub fn hash_code(hash: u64) -> u32 {
    (hash ^ (hash >> 32)) as u32
}

/// How keys fall into key groups, and key groups to cores (SEMANTICS 58-61).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyGroups {
    max_parallelism: u32,
}

impl KeyGroups {
    /// The most key groups that a job may have.
    pub const MAX: u32 = 1 << 15;

    /// So many key groups; fixed for the life of a job's state.
    ///
    /// # Errors
    /// When the number is zero or above [`KeyGroups::MAX`].
    pub fn new(max_parallelism: u32) -> Result<Self> {
        if max_parallelism == 0 || max_parallelism > Self::MAX {
            return Err(Error::configuration(format!(
                "max parallelism {max_parallelism} is not between 1 and {}",
                Self::MAX
            )));
        }
        Ok(Self { max_parallelism })
    }

    /// The number that Flink derives from a parallelism when none is given (SEMANTICS 60).
    pub fn default_for(parallelism: u32) -> Self {
        let wanted = u64::from(parallelism) + u64::from(parallelism) / 2;
        let max_parallelism = wanted.next_power_of_two().clamp(128, u64::from(Self::MAX)) as u32;
        Self { max_parallelism }
    }

    /// The number of key groups.
    #[inline]
    pub fn count(self) -> u32 {
        self.max_parallelism
    }

    /// The key group of a key with this [`stable_hash`].
    #[inline]
    pub fn of_hash(self, hash: u64) -> u32 {
        let mut group = [hash_code(hash)];
        self.of_codes(&mut group);
        group[0]
    }

    /// Turns [hash codes](hash_code) into key groups: many at once, as the processor does them
    /// several in an instruction.
    #[inline]
    pub fn of_codes(self, codes: &mut [u32]) {
        codes.iter_mut().for_each(|code| *code = murmur(*code as i32) as u32);
        if self.max_parallelism.is_power_of_two() {
            codes.iter_mut().for_each(|code| *code &= self.max_parallelism - 1);
        } else {
            codes.iter_mut().for_each(|code| *code %= self.max_parallelism);
        }
    }

    /// Which of `parallelism` cores owns a key group.
    #[inline]
    pub fn owner(self, group: u32, parallelism: u32) -> u32 {
        (u64::from(group) * u64::from(parallelism) / u64::from(self.max_parallelism)) as u32
    }

    /// The key groups that core `index` of `parallelism` owns; empty where there are more cores
    /// than groups.
    pub fn range(self, index: u32, parallelism: u32) -> Range<u32> {
        let (max, p) = (u64::from(self.max_parallelism), u64::from(parallelism));
        let first_of = |i: u64| (i * max).div_ceil(p) as u32;
        first_of(index.into())..first_of(u64::from(index) + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // SEMANTICS 58
    #[test]
    fn murmur_agrees_with_flink() {
        assert_eq!(murmur(0), 593_689_054);
        assert_eq!(murmur(1), 68_075_478);
    }

    /// State on disk depends on these: they never change.
    #[test]
    fn the_hash_is_frozen() {
        let vectors = [
            (stable_hash(&0u32), FROZEN[0]),
            (stable_hash(&1u32), FROZEN[1]),
            (stable_hash(&u64::MAX), FROZEN[2]),
            (stable_hash("BTCUSDT"), FROZEN[3]),
            (stable_hash(&crate::Symbol::new("BTCUSDT").unwrap()), FROZEN[4]),
            (stable_hash(&(7u16, -1i64, "x".to_owned())), FROZEN[5]),
            (stable_hash(&Some(3u8)), FROZEN[6]),
        ];
        for (index, (hash, frozen)) in vectors.into_iter().enumerate() {
            assert_eq!(hash, frozen, "vector {index} is {hash:#018x}");
        }
    }

    const FROZEN: [u64; 7] = [
        0xa035_e2cc_637f_5704,
        0x615a_395f_4058_ad5d,
        0x2325_f2ab_7a7f_6494,
        0x3453_d83c_fac4_466b,
        0x9281_e05a_9139_2b69,
        0x245e_f90d_a7a4_3e0b,
        0x0348_6da0_ccf3_54d7,
    ];

    // SEMANTICS 59
    #[test]
    fn ranges_of_twelve_groups_on_five_cores() {
        let groups = KeyGroups::new(12).unwrap();
        let ranges: Vec<_> = (0..5).map(|core| groups.range(core, 5)).collect();
        assert_eq!(ranges, [0..3, 3..5, 5..8, 8..10, 10..12]);
    }

    // SEMANTICS 60
    #[test]
    fn the_default_number_of_groups() {
        for (parallelism, groups) in [(1, 128), (85, 128), (86, 256), (32_768, 32_768)] {
            assert_eq!(KeyGroups::default_for(parallelism).count(), groups);
        }
        assert!(KeyGroups::new(0).is_err() && KeyGroups::new(32_769).is_err());
    }

    proptest! {
        // SEMANTICS 59: the two formulas agree.
        #[test]
        fn owner_and_range_agree(max in 1u32..=32_768, parallelism in 1u32..=512) {
            let groups = KeyGroups::new(max).unwrap();
            let mut next = 0;
            for core in 0..parallelism {
                let range = groups.range(core, parallelism);
                prop_assert_eq!(range.start, next);
                next = range.end;
                for group in [range.start, range.end.saturating_sub(1)] {
                    if range.contains(&group) {
                        prop_assert_eq!(groups.owner(group, parallelism), core);
                    }
                }
            }
            prop_assert_eq!(next, max);
        }

        #[test]
        fn groups_are_in_range(hash: u64, max in 1u32..=32_768) {
            prop_assert!(KeyGroups::new(max).unwrap().of_hash(hash) < max);
        }
    }
}
