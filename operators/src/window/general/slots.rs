//! The windows of one core: slots with stable numbers, found by the hash of what identifies them.
//!
//! ```text
//! heads    hash -> slot -> slot -> slot           chained, newest first: a few
//!          hash -> ORDERED   (hash, start, slot)  in order of their starts: more than a few, which
//!                                                 are sessions of a key that the watermark lags
//!                                                 behind by many gaps
//! ```

use std::collections::BTreeSet;

use tailwater_core::{Key, Record, Timestamp, stable_hash};
use tailwater_state::budget::Held;
use tailwater_state::keyed::Domain;
use tailwater_state::{Entries, Entry, StateContext, StateTable};

use super::firing::touch;
use super::timers::{Each, TimerSet};
use crate::window::Window;

/// The end of a chain of slots: no slot.
pub(super) const NONE: u32 = u32::MAX;
/// In place of the first slot of a chain or of the next one: those with this hash are in order.
const ORDERED: u32 = NONE - 1;
/// Memory of a slot in order: 24 bytes, in nodes that are two thirds full.
const ORDERED_BYTES: usize = 40;
/// Memory is counted for so many at once.
const COUNTED_AT_ONCE: usize = 1024;
/// Slots of a chain that are looked through one by one.
const CHAIN_MAX: u8 = 8;

/// A window of a key.
#[derive(Debug)]
pub(crate) struct Slot<K, C, S> {
    pub key: K,
    pub window: Window,
    /// The contents; absent before the first record, after a purge and when all has been evicted.
    pub kept: Option<C>,
    /// What the trigger and the window function know.
    pub state: S,
    /// What the trigger waits for. The cleanup is not among them: it follows from the window.
    pub timers: Each<TimerSet>,
    /// Unlike that of any other window, and growing: the order in which windows came to be.
    pub number: u64,
    /// When the window's wake-ups are due, where it has them.
    pub wake_up: Each<Option<Timestamp>>,
    hash: u64,
    /// The next slot with the same hash.
    next: u32,
    /// Whether the chain of its hash begins here.
    is_first: bool,
    /// At most how many slots follow in the chain.
    behind: u8,
}

impl<K, C, S> Slot<K, C, S> {
    /// Whether there is no other with this hash.
    #[inline]
    pub fn is_alone(&self) -> bool {
        self.is_first && self.next == NONE
    }

    /// Whether the window is woken before it has anything to do by a clock, as far as its timers
    /// say.
    #[inline]
    pub fn sleeps(&self, domain: Domain) -> bool {
        let timer = self.timers[domain].first();
        self.wake_up[domain].is_some_and(|known| timer.is_none_or(|timer| known <= timer))
    }

    /// The first thing to be done for the window by a clock; `cleanup` is when it is dropped, where
    /// that goes by this clock.
    #[inline]
    pub fn earliest(&self, domain: Domain, cleanup: Option<Timestamp>) -> Option<Timestamp> {
        match (self.timers[domain].first(), cleanup) {
            (Some(timer), Some(cleanup)) => Some(timer.min(cleanup)),
            (timer, cleanup) => timer.or(cleanup),
        }
    }
}

/// A window in a checkpoint. With its number the key makes it unlike any other, also where the
/// windows of several cores come together.
impl<K: Key, C: Record, S: Record + Default> Entry for Slot<K, C, S> {
    type Key = (K, u64);
    /// Bounds, contents, states, and timers of event time and of the wall clock.
    type Value = (Window, Option<C>, S, (Vec<Timestamp>, Vec<Timestamp>));

    fn hash(&self) -> u64 {
        stable_hash(&self.key)
    }

    fn key(&self) -> (K, u64) {
        (self.key.clone(), self.number)
    }

    fn with_value<R>(&mut self, use_it: impl FnOnce(&Self::Value) -> R) -> R {
        let (kept, state) = (self.kept.take(), std::mem::take(&mut self.state));
        let timers = [Domain::Event, Domain::Processing].map(|of| self.timers[of].to_vec());
        let value = (self.window, kept, state, timers.into());
        let result = use_it(&value);
        (_, self.kept, self.state, _) = value;
        result
    }

    fn restored((key, number): (K, u64), (window, kept, state, timers): Self::Value) -> Self {
        let (event, processing) = timers;
        let timers = Each::new(event.into_iter().collect(), processing.into_iter().collect());
        let wake_up = Each::default();
        Self {
            key,
            window,
            kept,
            state,
            timers,
            number,
            wake_up,
            hash: 0,
            next: NONE,
            is_first: true,
            behind: 0,
        }
    }
}

/// All windows of a core. Windows with one hash are the sessions of a key, and the rare windows
/// whose hashes collide.
pub(crate) struct Slots<K, C, S> {
    /// What is tracked of them; the rest follows from it.
    pub entries: Entries<Slot<K, C, S>>,
    /// The first slot of each chain, by hash. It follows from the entries: no checkpoint has it.
    heads: StateTable<u64, u32>,
    /// Slots by hash and start, where they are not chained. Follows from the entries too.
    ordered: BTreeSet<(u64, Timestamp, u32)>,
    /// The memory of those in order; entries and heads count their own.
    memory: Held,
    next_number: u64,
}

impl<K, C, S> Default for Slots<K, C, S> {
    fn default() -> Self {
        let (entries, heads) = (Entries::default(), StateTable::detached());
        Self { entries, heads, ordered: BTreeSet::new(), memory: Held::default(), next_number: 0 }
    }
}

impl<K: Key, C: Record, S: Record + Default> Slots<K, C, S> {
    /// Those of a core with this context: none yet.
    pub fn new(context: &StateContext) -> Self {
        let (entries, heads) = (Entries::new(context), StateTable::new(context));
        let memory = Held::of(&context.budget);
        Self { entries, heads, ordered: BTreeSet::new(), memory, next_number: 0 }
    }

    /// A slot for a new window, with a number of its own.
    pub fn insert(&mut self, hash: u64, key: K, window: Window) -> u32 {
        let number = self.next_number;
        self.next_number += 1;
        let slot = self.entries.insert(Slot {
            key,
            window,
            kept: None,
            state: S::default(),
            timers: Each::default(),
            number,
            wake_up: Each::default(),
            hash,
            next: NONE,
            is_first: true,
            behind: 0,
        });
        self.link(slot);
        slot
    }

    /// Finds windows that a checkpoint gave back, by what `hash_of` says, and numbers new ones
    /// after them.
    pub fn link_restored(&mut self, hash_of: impl Fn(&K, Window) -> u64) {
        let restored: Vec<u32> = self.entries.iter().map(|(slot, _)| slot).collect();
        for slot in restored {
            let entry = self.entries.untracked(slot);
            entry.hash = hash_of(&entry.key, entry.window);
            self.next_number = self.next_number.max(entry.number + 1);
            self.link(slot);
        }
    }

    /// Puts a slot at the head of the chain of its hash, or in order.
    #[inline]
    fn link(&mut self, slot: u32) {
        assert!(slot < ORDERED, "the last numbers are marks");
        let Self { entries, heads, ordered, .. } = self;
        let entry = entries.untracked(slot);
        let hash = entry.hash;
        let head = heads.get_or_insert_with(hash, hash, || NONE);
        if *head == ORDERED {
            put_in_order(entry, slot, ordered);
            return self.count();
        }
        let next = std::mem::replace(head, slot);
        entry.next = next;
        if next != NONE {
            let second = entries.untracked(next);
            second.is_first = false;
            let behind = second.behind + 1;
            entries.untracked(slot).behind = behind;
            if behind >= CHAIN_MAX {
                self.order(hash, slot);
            }
        }
    }

    /// Puts a chain in order if it is as long as it may be.
    #[cold]
    #[inline(never)]
    fn order(&mut self, hash: u64, first: u32) {
        let chained: Vec<u32> = self.chain(hash).map(|(slot, _)| slot).collect();
        let Self { entries, heads, ordered, .. } = self;
        if let Ok(len @ ..=CHAIN_MAX) = u8::try_from(chained.len()) {
            // Others have gone since.
            entries.untracked(first).behind = len.saturating_sub(1);
            return;
        }
        for slot in chained {
            put_in_order(entries.untracked(slot), slot, ordered);
        }
        if let Some(head) = heads.get_mut(hash, &hash) {
            *head = ORDERED;
        }
        self.count();
    }

    /// Counts the memory of those in order, after some came or went.
    fn count(&mut self) {
        self.memory.set(self.ordered.len().next_multiple_of(COUNTED_AT_ONCE) * ORDERED_BYTES);
    }

    /// The slot, to change what a checkpoint knows of it, but for its window.
    #[inline]
    pub fn touch(&mut self, slot: u32) -> &mut Slot<K, C, S> {
        self.entries.touch(slot)
    }

    /// The slot with a new window.
    #[inline]
    pub fn resize(&mut self, slot: u32, window: Window) -> &mut Slot<K, C, S> {
        let entry = self.entries.touch(slot);
        let start = std::mem::replace(&mut entry.window, window).start;
        if entry.next == ORDERED && start != window.start {
            self.ordered.remove(&(entry.hash, start, slot));
            self.ordered.insert((entry.hash, window.start, slot));
        }
        entry
    }

    /// Takes a window out.
    pub fn remove(&mut self, slot: u32) -> Slot<K, C, S> {
        let Self { entries, heads, ordered, .. } = self;
        let removed = entries.remove(slot);
        let hash = removed.hash;
        match heads.get_mut(hash, &hash) {
            Some(head) if removed.next == ORDERED => {
                ordered.remove(&(hash, removed.window.start, slot));
                let mut left = ordered.range(of_hash(hash));
                if let (Some(&place @ (.., alone)), None) = (left.next(), left.next()) {
                    ordered.remove(&place);
                    *head = alone;
                    let entry = entries.untracked(alone);
                    (entry.next, entry.is_first, entry.behind) = (NONE, true, 0);
                }
                self.count();
            }
            Some(head) if *head != slot => {
                let mut before = *head;
                while before != NONE {
                    let other = entries.untracked(before);
                    if other.next == slot {
                        other.next = removed.next;
                        break;
                    }
                    before = other.next;
                }
            }
            Some(head) if removed.next != NONE => {
                *head = removed.next;
                entries.untracked(removed.next).is_first = true;
            }
            // Where there is none, it found no memory, and the job fails.
            _ => {
                heads.remove(hash, &hash);
            }
        }
        removed
    }
}

/// All places in order of one hash.
fn of_hash(hash: u64) -> std::ops::RangeInclusive<(u64, Timestamp, u32)> {
    (hash, Timestamp::MIN, 0)..=(hash, Timestamp::MAX, NONE)
}

fn put_in_order<K, C, S>(
    entry: &mut Slot<K, C, S>,
    slot: u32,
    ordered: &mut BTreeSet<(u64, Timestamp, u32)>,
) {
    (entry.next, entry.is_first) = (ORDERED, false);
    ordered.insert((entry.hash, entry.window.start, slot));
}

impl<K, C, S> Slots<K, C, S> {
    #[inline]
    pub fn get(&self, slot: u32) -> Option<&Slot<K, C, S>> {
        self.entries.get(slot)
    }

    /// The slots with this hash: chained ones newest first, others latest first, from those on that
    /// start at or before `last`.
    #[inline]
    fn until(&self, hash: u64, last: Timestamp) -> impl Iterator<Item = (u32, &Slot<K, C, S>)> {
        let mut next = self.first(hash).unwrap_or(NONE);
        let range = (hash, Timestamp::MIN, 0)..=(hash, last, NONE);
        let ordered = (next == ORDERED).then(|| self.ordered.range(range).rev());
        let mut ordered = ordered.into_iter().flatten();
        std::iter::from_fn(move || {
            let number = if next == ORDERED { ordered.next()?.2 } else { next };
            let slot = self.entries.get(number)?;
            next = slot.next;
            Some((number, slot))
        })
    }

    /// All slots with this hash.
    #[inline]
    pub fn chain(&self, hash: u64) -> impl Iterator<Item = (u32, &Slot<K, C, S>)> {
        self.until(hash, Timestamp::MAX)
    }

    /// The windows of a key with this hash that touch `window`. Those of one key must not touch
    /// each other.
    #[inline]
    pub fn touching<'a>(
        &'a self,
        hash: u64,
        key: &'a K,
        window: Window,
    ) -> impl Iterator<Item = (u32, Window)> + 'a
    where
        K: Key,
    {
        let of_key = self.until(hash, window.end).filter(|(_, slot)| slot.key == *key);
        // In order, all that come after one which ends too early end before it.
        let is_over =
            move |slot: &Slot<K, C, S>| slot.next == ORDERED && slot.window.end < window.start;
        let of_key = of_key.take_while(move |(_, slot)| !is_over(slot));
        let touching = of_key.filter(move |(_, slot)| touch(slot.window, window));
        touching.map(|(number, slot)| (number, slot.window))
    }

    /// Asks for what tells where the slots with this hash are; never waits.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        self.heads.prefetch(hash);
    }

    /// The first slot with this hash.
    #[inline]
    pub fn first(&self, hash: u64) -> Option<u32> {
        self.heads.get(hash, &hash).copied()
    }

    /// The slot, to change what follows from the rest.
    #[inline]
    pub fn untracked(&mut self, slot: u32) -> &mut Slot<K, C, S> {
        self.entries.untracked(slot)
    }
}

impl<K, C, S> std::ops::Index<u32> for Slots<K, C, S> {
    type Output = Slot<K, C, S>;

    #[inline]
    fn index(&self, slot: u32) -> &Slot<K, C, S> {
        self.entries.get(slot).expect("whoever has a slot's number has not removed it")
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
                prop_assert_eq!(slots.entries.len(), model.len());
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
