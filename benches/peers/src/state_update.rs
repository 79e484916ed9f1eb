//! The workload of state stores: read-modify-write of 32-byte values under uniform keys.
//!
//! ```text
//! update i:  r = random(SEED ^ 0x57, i) ;  key = ((r>>32) * KEYS) >> 32 ;  amount = 1 + (r & 0xFF)
//! value:     zeros at first; w0 += 1 ; w1 += amount ; w2 ^= amount ; w3 = rotate_left(w3, 5) ^ w1
//! output:    hash = mix(w3)            checksum = sum of all output hashes
//! ```

use crate::workloads::{SEED, mix, random};

const STATE_UPDATE_SEED: u64 = SEED ^ 0x57;
/// The length of a value as bytes.
pub const VALUE_LEN: usize = 32;

/// A value; an update changes all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Value {
    words: [u64; 4],
}

impl Value {
    /// What an update does, in every store.
    #[inline(always)]
    pub fn update(&mut self, amount: u64) {
        self.words[0] += 1;
        self.words[1] = self.words[1].wrapping_add(amount);
        self.words[2] ^= amount;
        self.words[3] = self.words[3].rotate_left(5) ^ self.words[1];
    }

    /// The hash whose sum over all updates is the checksum.
    #[inline(always)]
    pub fn hash(&self) -> u64 {
        mix(self.words[3])
    }

    /// A hash of all words and the key.
    #[inline]
    pub fn entry_hash(&self, key: u64) -> u64 {
        self.words.iter().fold(mix(key), |hash, word| mix(hash ^ word))
    }

    /// The bytes that a store keeps.
    #[inline(always)]
    pub fn to_bytes(self) -> [u8; VALUE_LEN] {
        let mut bytes = [0; VALUE_LEN];
        for (bytes, word) in bytes.chunks_exact_mut(8).zip(self.words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// The value that a store kept, if it has the right length.
    #[inline(always)]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; VALUE_LEN] = bytes.try_into().ok()?;
        let (words, _) = bytes.as_chunks::<8>();
        Some(Self { words: std::array::from_fn(|i| u64::from_le_bytes(words[i])) })
    }
}

/// An update of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// The key, below the number of keys.
    pub key: u64,
    /// 1 to 256.
    pub amount: u64,
}

/// Update `i` over `keys` keys.
#[inline(always)]
pub fn update(i: u64, keys: u64) -> Update {
    let r = random(STATE_UPDATE_SEED, i);
    let key = ((u128::from(r >> 32) * u128::from(keys)) >> 32) as u64;
    Update { key, amount: 1 + (r & 0xFF) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flat_values::FlatValues;
    use crate::workloads::Totals;
    use std::collections::BTreeMap;

    #[test]
    fn the_flat_table_agrees_with_a_map() {
        let keys = 1000;
        let updates: Vec<Update> = (0..20_000).map(|i| update(i, keys)).collect();
        let mut map = BTreeMap::<u64, Value>::new();
        let mut expected = Totals::default();
        for update in &updates {
            let value = map.entry(update.key).or_default();
            value.update(update.amount);
            expected.add(value.hash());
        }
        let mut table = FlatValues::with_capacity(keys);
        let mut totals = Totals::default();
        for block in updates.chunks(77) {
            table.update_all(block, |value| totals.add(value.hash()));
        }
        assert_eq!(totals, expected);
        let sum = map.iter().fold(0, |sum, (key, value)| value.entry_hash(*key).wrapping_add(sum));
        assert_eq!(table.entries(), (map.len() as u64, sum));
        assert!(map.iter().all(|(key, value)| table.value(*key) == value));
    }

    #[test]
    fn values_survive_as_bytes() {
        let value = Value { words: [1, u64::MAX, 3 << 40, 4] };
        assert_eq!(Value::from_bytes(&value.to_bytes()), Some(value));
        assert_eq!(Value::from_bytes(&[0; 31]), None);
    }
}
