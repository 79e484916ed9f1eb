//! A bounded map whose entries expire: what look-ups remember.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use tailwater_core::Timestamp;

/// Up to a number of values. What makes room is the one that was asked for least lately, nearly: a
/// queue in which each goes to the end once more if it was asked for since it came there.
pub(super) struct Cache<K, V> {
    entries_max: usize,
    entries: HashMap<K, Entry<V>>,
    /// The keys of all entries.
    turns: VecDeque<K>,
}

struct Entry<V> {
    value: V,
    expires: Timestamp,
    is_used: bool,
}

impl<K: Hash + Eq + Clone, V> Cache<K, V> {
    /// The value of a key, unless it has expired.
    pub fn get(&mut self, key: &K, now: Timestamp) -> Option<&V> {
        let entry = self.entries.get_mut(key).filter(|entry| now < entry.expires)?;
        entry.is_used = true;
        Some(&entry.value)
    }

    /// Keeps a value until it expires, or others need its room.
    pub fn insert(&mut self, key: K, value: V, now: Timestamp, expires: Timestamp) {
        if self.entries_max == 0 {
            return;
        }
        let entry = Entry { value, expires, is_used: false };
        if let Some(before) = self.entries.get_mut(&key) {
            *before = entry;
            return;
        }
        while self.entries.len() >= self.entries_max
            && let Some(oldest) = self.turns.pop_front()
        {
            match self.entries.get_mut(&oldest) {
                Some(entry) if entry.is_used && now < entry.expires => {
                    entry.is_used = false;
                    self.turns.push_back(oldest);
                }
                _ => drop(self.entries.remove(&oldest)),
            }
        }
        self.turns.push_back(key.clone());
        self.entries.insert(key, entry);
    }
}

impl<K, V> Cache<K, V> {
    /// An empty one, for up to so many values.
    pub fn new(entries_max: usize) -> Self {
        Self { entries_max, entries: HashMap::new(), turns: VecDeque::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: Timestamp = Timestamp::MAX;

    #[test]
    fn entries_expire() {
        let mut cache = Cache::new(2);
        cache.insert('a', 1, Timestamp(0), Timestamp(10));
        assert_eq!(cache.get(&'a', Timestamp(9)), Some(&1));
        assert_eq!(cache.get(&'a', Timestamp(10)), None);
        cache.insert('a', 2, Timestamp(10), Timestamp(20));
        assert_eq!(cache.get(&'a', Timestamp(19)), Some(&2));
        assert_eq!(cache.turns.len(), 1, "a key has one turn");
    }

    #[test]
    fn what_was_asked_for_stays_and_the_rest_makes_room() {
        let mut cache = Cache::new(3);
        for (key, value) in [('a', 1), ('b', 2), ('c', 3)] {
            cache.insert(key, value, Timestamp(0), NEVER);
        }
        cache.get(&'a', Timestamp(0));
        cache.insert('d', 4, Timestamp(0), NEVER);
        let kept = |cache: &mut Cache<char, i32>| -> String {
            "abcd".chars().filter(|key| cache.get(key, Timestamp(0)).is_some()).collect()
        };
        assert_eq!(kept(&mut cache), "acd");
        // All were asked for now: the first in the queue goes.
        cache.insert('b', 5, Timestamp(0), NEVER);
        assert_eq!(kept(&mut cache).len(), 3);
        assert!(cache.get(&'b', Timestamp(0)).is_some());
    }

    #[test]
    fn a_cache_of_nothing_keeps_nothing() {
        let mut cache = Cache::new(0);
        cache.insert('a', 1, Timestamp(0), NEVER);
        assert_eq!(cache.get(&'a', Timestamp(0)), None);
    }
}
