//! A value for each key, found by the key's stable hash: the place that a state table will take.

use hashbrown::HashTable;
use tailwater_core::{Key, stable_hash};

/// Keys with their values. The hash has no random seed, so equal histories make equal snapshots.
#[derive(Debug)]
pub(super) struct Keyed<K, V>(HashTable<(K, V)>);

impl<K, V> Default for Keyed<K, V> {
    fn default() -> Self {
        Self(HashTable::new())
    }
}

impl<K: Key, V> Keyed<K, V> {
    #[inline]
    pub fn find(&mut self, key: &K) -> Option<&mut V> {
        let hash = stable_hash(key);
        self.0.find_mut(hash, |(other, _)| other == key).map(|(_, value)| value)
    }

    /// Adds a key that is not there yet.
    pub fn insert(&mut self, key: K, value: V) {
        let hash = stable_hash(&key);
        self.0.insert_unique(hash, (key, value), |(key, _)| stable_hash(key));
    }

    pub fn to_vec(&self) -> Vec<(K, V)>
    where
        V: Clone,
    {
        self.0.iter().cloned().collect()
    }
}
