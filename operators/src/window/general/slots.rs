//! The windows of one core: slots with stable numbers, found by the hash of what identifies them.

use hashbrown::HashTable;
use slab::Slab;
use tailwater_core::{Span, Timestamp};

use super::timers::TimerSet;
use crate::window::Window;

/// The end of a chain of slots.
const NONE: u32 = u32::MAX;

/// A window of a key.
#[derive(Debug)]
pub(crate) struct Slot<K, C, S> {
    pub key: K,
    pub window: Window,
    /// The contents; absent before the first record, after a purge and when all has been evicted.
    pub kept: Option<C>,
    /// What the trigger knows.
    pub state: S,
    /// What the trigger waits for. The cleanup is not among them: it follows from the window.
    pub timers: TimerSet,
    /// Unlike that of any other window, and growing: the order in which windows came to be.
    pub number: u64,
    /// When the window's wake-up is due, where it has one.
    pub wake_up: Option<Timestamp>,
    hash: u64,
    /// The next slot with the same hash.
    next: u32,
}

impl<K, C, S> Slot<K, C, S> {
    /// When the slot is dropped; `None` where that is never (SEMANTICS 24).
    #[inline]
    pub fn cleanup(&self, allowed_lateness: Span) -> Option<Timestamp> {
        Some(self.window.cleanup(allowed_lateness)).filter(|&at| at < Timestamp::MAX)
    }

    /// The first thing to be done for the window.
    #[inline]
    pub fn earliest(&self, allowed_lateness: Span) -> Option<Timestamp> {
        match (self.timers.first(), self.cleanup(allowed_lateness)) {
            (Some(timer), Some(cleanup)) => Some(timer.min(cleanup)),
            (timer, cleanup) => timer.or(cleanup),
        }
    }
}

/// All windows of a core. Windows with one hash are chained through their slots: the sessions of a
/// key, and the rare windows whose hashes collide.
#[derive(Debug)]
pub(crate) struct Slots<K, C, S> {
    slots: Slab<Slot<K, C, S>>,
    /// The first slot of each chain.
    heads: HashTable<u32>,
    next_number: u64,
}

impl<K, C, S> Default for Slots<K, C, S> {
    fn default() -> Self {
        Self { slots: Slab::new(), heads: HashTable::new(), next_number: 0 }
    }
}

impl<K, C, S: Default> Slots<K, C, S> {
    /// A slot for a new window, with a number of its own.
    pub fn insert(&mut self, hash: u64, key: K, window: Window) -> u32 {
        let number = self.next_number;
        self.insert_numbered(hash, key, window, number)
    }
}

impl<K, C, S: Default> Slots<K, C, S> {
    /// A slot for a window that has its number from before.
    pub fn insert_numbered(&mut self, hash: u64, key: K, window: Window, number: u64) -> u32 {
        self.next_number = self.next_number.max(number + 1);
        let Self { slots, heads, .. } = self;
        let entry = slots.vacant_entry();
        let slot = u32::try_from(entry.key())
            .ok()
            .filter(|&slot| slot != NONE)
            .expect("a core has fewer than 2^32 windows: each takes dozens of bytes");
        entry.insert(Slot {
            key,
            window,
            kept: None,
            state: S::default(),
            timers: TimerSet::default(),
            number,
            wake_up: None,
            hash,
            next: NONE,
        });
        let same_hash = |&head: &u32| slots[head as usize].hash == hash;
        if let Some(head) = heads.find_mut(hash, same_hash) {
            slots[slot as usize].next = *head;
            *head = slot;
        } else {
            heads.insert_unique(hash, slot, |&head| slots[head as usize].hash);
        }
        slot
    }
}

impl<K, C, S> Slots<K, C, S> {
    #[inline]
    pub fn get(&self, slot: u32) -> Option<&Slot<K, C, S>> {
        self.slots.get(slot as usize)
    }

    /// The slots with this hash, newest first.
    #[inline]
    pub fn chain(&self, hash: u64) -> impl Iterator<Item = (u32, &Slot<K, C, S>)> {
        let same_hash = |&head: &u32| self.slots[head as usize].hash == hash;
        let mut next = self.heads.find(hash, same_hash).copied().unwrap_or(NONE);
        std::iter::from_fn(move || {
            let slot = self.slots.get(next as usize)?;
            Some((std::mem::replace(&mut next, slot.next), slot))
        })
    }

    /// Takes a window out.
    pub fn remove(&mut self, slot: u32) -> Slot<K, C, S> {
        let Self { slots, heads, .. } = self;
        let removed = slots.remove(slot as usize);
        let same_hash = |&head: &u32| {
            head == slot || slots.get(head as usize).is_some_and(|other| other.hash == removed.hash)
        };
        match heads.find_entry(removed.hash, same_hash) {
            Ok(mut head) if *head.get() == slot => {
                if removed.next == NONE {
                    head.remove();
                } else {
                    *head.get_mut() = removed.next;
                }
            }
            Ok(head) => {
                let mut before = *head.get() as usize;
                while slots[before].next != slot {
                    before = slots[before].next as usize;
                }
                slots[before].next = removed.next;
            }
            Err(_) => unreachable!("every slot is in the chain of its hash"),
        }
        removed
    }

    /// All windows, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Slot<K, C, S>> {
        self.slots.iter().map(|(_, slot)| slot)
    }
}

impl<K, C, S> std::ops::Index<u32> for Slots<K, C, S> {
    type Output = Slot<K, C, S>;

    #[inline]
    fn index(&self, slot: u32) -> &Slot<K, C, S> {
        &self.slots[slot as usize]
    }
}

impl<K, C, S> std::ops::IndexMut<u32> for Slots<K, C, S> {
    #[inline]
    fn index_mut(&mut self, slot: u32) -> &mut Slot<K, C, S> {
        &mut self.slots[slot as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// Few hashes, so that chains grow long and lose slots at both ends and in the middle.
        #[test]
        fn slots_are_found_by_hash(steps: Vec<(bool, u8)>) {
            let mut slots = Slots::<u8, (), ()>::default();
            let mut model = BTreeMap::new();
            for (insert, key) in steps {
                let hash = u64::from(key % 4);
                if insert && !model.contains_key(&key) {
                    model.insert(key, slots.insert(hash, key, Window::GLOBAL));
                } else if !insert && let Some(slot) = model.remove(&key) {
                    prop_assert_eq!(slots.remove(slot).key, key);
                }
                prop_assert_eq!(slots.iter().count(), model.len());
                for hash in 0..4 {
                    let mut found: Vec<_> =
                        slots.chain(hash).map(|(slot, entry)| (entry.key, slot)).collect();
                    found.sort_unstable();
                    let expected: Vec<_> = model
                        .iter()
                        .filter(|&(key, _)| u64::from(key % 4) == hash)
                        .map(|(&key, &slot)| (key, slot))
                        .collect();
                    prop_assert_eq!(found, expected);
                }
            }
        }
    }
}
