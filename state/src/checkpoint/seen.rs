//! A set of keys by their bytes, which is emptied and filled again.

use tailwater_core::stable_hash;

/// The keys lie one after the other, each behind its length and padded to 8; the table has for each
/// the upper half of its hash and its place.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    keys: Vec<u8>,
    /// `hash << 32 | place / 8 + 1`; 0 is empty. A power of two of them, at most half full.
    table: Vec<u64>,
    count: usize,
}

const TABLE_MIN: usize = 1 << 10;
/// The table's place of a key has 32 bits.
const KEYS_MAX: usize = 8 * (u32::MAX as usize - 1);

impl Seen {
    pub fn clear(&mut self) {
        self.keys.clear();
        self.table.fill(0);
        self.count = 0;
    }

    #[inline]
    pub fn contains(&self, key: &[u8]) -> bool {
        !self.table.is_empty() && self.find(key, stable_hash(key)).is_ok()
    }

    /// Adds a key; `false` when it was there.
    #[inline]
    pub fn insert(&mut self, key: &[u8]) -> bool {
        if self.count * 2 >= self.table.len() {
            self.grow();
        }
        let hash = stable_hash(key);
        let Err(free) = self.find(key, hash) else { return false };
        let place = self.keys.len();
        assert!(place < KEYS_MAX, "the keys of a slice fit 32 GiB");
        self.table[free] = hash >> 32 << 32 | (place as u64 / 8 + 1);
        self.keys.extend_from_slice(&(key.len() as u64).to_le_bytes());
        self.keys.extend_from_slice(key);
        super::cursor::pad(&mut self.keys, 8);
        self.count += 1;
        true
    }

    /// The slot of a key, or the free one where it belongs.
    #[inline]
    fn find(&self, key: &[u8], hash: u64) -> Result<usize, usize> {
        let mask = self.table.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            let entry = self.table[slot];
            if entry == 0 {
                return Err(slot);
            }
            if entry >> 32 == hash >> 32 && self.key_at(entry) == key {
                return Ok(slot);
            }
            slot = (slot + 1) & mask;
        }
    }

    #[inline]
    fn key_at(&self, entry: u64) -> &[u8] {
        let place = (entry as u32 as usize - 1) * 8;
        let len = super::cursor::u64_at(&self.keys, place) as usize;
        &self.keys[place + 8..place + 8 + len]
    }

    #[cold]
    fn grow(&mut self) {
        let size = (self.table.len() * 2).max(TABLE_MIN);
        let old = std::mem::replace(&mut self.table, vec![0; size]);
        for entry in old.into_iter().filter(|entry| *entry != 0) {
            let mut slot = stable_hash(self.key_at(entry)) as usize & (size - 1);
            while self.table[slot] != 0 {
                slot = (slot + 1) & (size - 1);
            }
            self.table[slot] = entry;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn keys_are_seen_once() {
        let mut seen = Seen::default();
        for _ in 0..3 {
            let mut model = BTreeSet::new();
            for number in 0..5_000u64 {
                // Short keys come again every 256 numbers.
                let key = &number.to_le_bytes()[..(number % 9) as usize];
                assert_eq!(seen.contains(key), model.contains(key));
                assert_eq!(seen.insert(key), model.insert(key.to_vec()));
            }
            seen.clear();
        }
    }
}
