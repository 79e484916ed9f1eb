//! A map for each key, an entry of the table for each entry of the map.

use std::collections::BTreeSet;

use tailwater_core::{Key, Record, Result, stable_hash};

use super::ttl::Life;
use super::{CurrentKey, Kept, Lasting, Now, Stamp, StatePart, Ttl};
use crate::budget::Held;
use crate::{
    Changes, Declaration, Drain, Frame, SnapshotKind, StateContext, StateTable, TrackedState,
};

/// A map for each key, in the order of its own keys.
///
/// Reading or changing an entry costs the same whatever the size of the map. Declared with a TTL
/// each entry lives for itself (SEMANTICS 54).
pub struct Map<K, E, V, S = Lasting> {
    table: StateTable<(K, E), Kept<V, S>>,
    /// The keys of each map, in order; derived from the table.
    index: StateTable<K, BTreeSet<E>>,
    current: CurrentKey<K>,
    life: Life,
    /// Entries that have expired, were seen, and go before anything else.
    doomed: Vec<(K, E)>,
    /// The memory of what the index has of each entry.
    held: Held,
}

/// The memory of the index is counted for so many entries at a time.
const COUNTED: usize = 1024;

impl<K: Key, E: Key + Ord, V: Record, S: Stamp> Map<K, E, V, S> {
    /// The value of `entry`.
    #[inline]
    pub fn get(&mut self, entry: &E) -> Option<&V> {
        if !S::IS_LASTING {
            self.look(entry);
        }
        let probe = (self.current.lend(), entry.clone());
        let kept = self.table.get(stable_hash(&probe), &probe);
        self.current.give_back(probe.0);
        kept.map(|kept| &kept.value)
    }

    /// Whether there is an `entry` that has not expired (SEMANTICS 54). Does not count as reading.
    pub fn contains(&mut self, entry: &E) -> bool {
        self.bury();
        let probe = (self.current.lend(), entry.clone());
        let kept = self.table.get(stable_hash(&probe), &probe);
        self.current.give_back(probe.0);
        kept.is_some_and(|kept| !self.life.is_expired(kept.stamp))
    }

    /// The value of `entry`, to change in place. Counts as a change.
    #[inline]
    pub fn get_mut(&mut self, entry: &E) -> Option<&mut V> {
        if !S::IS_LASTING {
            self.drop_hidden(entry);
        }
        let probe = (self.current.lend(), entry.clone());
        let kept = self.table.get_mut(stable_hash(&probe), &probe);
        self.current.give_back(probe.0);
        let kept = kept?;
        self.life.touch(&mut kept.stamp);
        Some(&mut kept.value)
    }

    /// Changes the value of `entry` in place, where there is one.
    #[inline]
    pub fn update<R>(&mut self, entry: &E, change: impl FnOnce(&mut V) -> R) -> Option<R> {
        self.get_mut(entry).map(change)
    }

    /// Puts a value for `entry`.
    pub fn insert(&mut self, entry: E, value: V) {
        self.bury();
        let probe = (self.current.lend(), entry);
        let hash = stable_hash(&probe);
        let Self { table, life, .. } = self;
        if let Some(kept) = table.get_mut(hash, &probe) {
            kept.value = value;
            life.touch(&mut kept.stamp);
            self.current.give_back(probe.0);
        } else {
            self.current.give_back(probe.0.clone());
            self.note(probe.1.clone());
            let stamp = self.life.stamp();
            self.table.get_or_insert_with(hash, probe, || Kept { value, stamp });
        }
    }

    /// The value of `entry`, made by `make` where there is none. Counts as a change.
    pub fn or_insert_with(&mut self, entry: E, make: impl FnOnce() -> V) -> &mut V {
        if self.get_mut(&entry).is_none() {
            self.insert(entry.clone(), make());
        }
        let probe = (self.current.lend(), entry);
        let kept = self.table.get_mut(stable_hash(&probe), &probe);
        self.current.give_back(probe.0);
        &mut kept.expect("it was just put there").value
    }

    /// Takes the value of `entry` out.
    pub fn remove(&mut self, entry: &E) -> Option<V> {
        if !S::IS_LASTING {
            self.drop_hidden(entry);
        }
        self.delete(entry)
    }

    /// Forgets all entries.
    pub fn clear(&mut self) {
        self.doomed.clear();
        let (hash, key) = (self.current.hash(), self.current.key());
        let entries = self.index.remove(hash, key).unwrap_or_default();
        for entry in entries {
            let probe = (self.current.lend(), entry);
            self.table.remove(stable_hash(&probe), &probe);
            self.current.give_back(probe.0);
        }
    }

    /// How many entries there are that have not expired.
    pub fn len(&mut self) -> usize {
        self.bury();
        let Self { table, index, current, life, .. } = self;
        let (hash, key) = (current.hash(), current.key());
        let Some(entries) = index.get(hash, key) else { return 0 };
        if S::IS_LASTING {
            return entries.len();
        }
        let is_live = |entry: &&E| {
            let probe = (key.clone(), (*entry).clone());
            let kept = table.get(stable_hash(&probe), &probe);
            kept.is_some_and(|kept| !life.is_expired(kept.stamp))
        };
        entries.iter().filter(is_live).count()
    }

    /// Whether there is no entry that has not expired.
    pub fn is_empty(&mut self) -> bool {
        self.len() == 0
    }

    /// All entries, in the order of their keys, from either end.
    pub fn iter(&mut self) -> impl DoubleEndedIterator<Item = (&E, &V)> {
        if !S::IS_LASTING {
            self.look_at_all();
        }
        let (table, index, current) = (&self.table, &self.index, &self.current);
        let key = current.key();
        index.get(current.hash(), key).into_iter().flatten().filter_map(move |entry| {
            let probe = (key.clone(), entry.clone());
            let kept = table.get(stable_hash(&probe), &probe)?;
            Some((entry, &kept.value))
        })
    }

    /// The entry with the least key.
    pub fn first(&mut self) -> Option<(&E, &V)> {
        self.iter().next()
    }

    /// The entry with the greatest key.
    pub fn last(&mut self) -> Option<(&E, &V)> {
        self.iter().next_back()
    }

    /// Another TTL than the declared one, from here on.
    pub fn set_ttl(&mut self, ttl: Ttl) {
        self.life = Life::new(ttl);
    }

    /// A new entry of the current key.
    fn note(&mut self, entry: E) {
        note(&mut self.index, (self.current.hash(), self.current.key()), entry);
        self.count();
    }

    /// Counts the memory of the index. A node of a set has room for eleven entries, of which half
    /// are there at least, and is found by a pointer.
    #[inline]
    fn count(&mut self) {
        let each = 2 * size_of::<E>() + size_of::<usize>();
        self.held.set(self.table.len().next_multiple_of(COUNTED) * each);
    }

    /// Takes an entry of the current key out of table and index.
    fn delete(&mut self, entry: &E) -> Option<V> {
        let probe = (self.current.lend(), entry.clone());
        let kept = self.table.remove(stable_hash(&probe), &probe);
        self.current.give_back(probe.0);
        if kept.is_some() {
            unnote(&mut self.index, (self.current.hash(), self.current.key()), entry);
        }
        kept.map(|kept| kept.value)
    }

    /// Drops entries that have expired and were seen.
    #[inline]
    fn bury(&mut self) {
        if S::IS_LASTING || self.doomed.is_empty() {
            return;
        }
        for probe in std::mem::take(&mut self.doomed) {
            self.table.remove(stable_hash(&probe), &probe);
            unnote(&mut self.index, (stable_hash(&probe.0), &probe.0), &probe.1);
        }
    }

    /// Drops an entry that nobody may see any more.
    fn drop_hidden(&mut self, entry: &E) {
        self.bury();
        if self.life.hides_expired() && self.has_expired(entry) == Some(true) {
            self.delete(entry);
        }
    }

    fn has_expired(&mut self, entry: &E) -> Option<bool> {
        let probe = (self.current.lend(), entry.clone());
        let kept = self.table.get(stable_hash(&probe), &probe);
        self.current.give_back(probe.0);
        kept.map(|kept| self.life.is_expired(kept.stamp))
    }

    /// What reading does to an entry that may expire (SEMANTICS 52-54).
    fn look(&mut self, entry: &E) {
        self.drop_hidden(entry);
        match self.has_expired(entry) {
            Some(true) => self.doomed.push((self.current.key().clone(), entry.clone())),
            Some(false) if self.life.is_refreshed_by_reads() => {
                let probe = (self.current.lend(), entry.clone());
                if let Some(kept) = self.table.get_mut(stable_hash(&probe), &probe) {
                    self.life.touch(&mut kept.stamp);
                }
                self.current.give_back(probe.0);
            }
            _ => {}
        }
    }

    fn look_at_all(&mut self) {
        self.bury();
        let entries = self.index.get(self.current.hash(), self.current.key());
        let entries: Vec<E> = entries.into_iter().flatten().cloned().collect();
        let mut doomed = Vec::new();
        for entry in &entries {
            self.look(entry);
            // Seen by this iteration, so not before it has ended.
            doomed.append(&mut self.doomed);
        }
        self.doomed = doomed;
    }
}

fn note<K: Key, E: Ord>(index: &mut StateTable<K, BTreeSet<E>>, (hash, key): (u64, &K), entry: E) {
    match index.get_mut(hash, key) {
        Some(entries) => _ = entries.insert(entry),
        None => _ = index.get_or_insert_with(hash, key.clone(), || BTreeSet::from([entry])),
    }
}

fn unnote<K: Key, E: Ord>(
    index: &mut StateTable<K, BTreeSet<E>>,
    (hash, key): (u64, &K),
    entry: &E,
) {
    let Some(entries) = index.get_mut(hash, key) else { return };
    entries.remove(entry);
    if entries.is_empty() {
        index.remove(hash, key);
    }
}

impl<K: Key, E: Key + Ord, V: Record, S: Stamp> StatePart<K> for Map<K, E, V, S> {
    fn new(context: &StateContext, ttl: Ttl) -> Self {
        Self {
            table: StateTable::new(context).grouped_by(|(key, _)| stable_hash(key)),
            index: StateTable::new(context),
            current: CurrentKey::default(),
            life: Life::new(ttl),
            doomed: Vec::new(),
            held: Held::of(&context.budget),
        }
    }

    #[inline]
    fn enter(&mut self, hash: u64, key: &K, now: Now) {
        self.bury();
        self.current.enter(hash, key);
        self.life.enter(now);
    }

    #[inline]
    fn prefetch(&self, _: u64) {
        // Where an entry lies is known when its key is.
    }

    fn each_key(&self, visit: &mut dyn FnMut(&K)) {
        self.index.iter().for_each(|(_, key, _)| visit(key));
    }

    fn tracked(&mut self) -> &mut dyn TrackedState {
        self.bury();
        self
    }

    fn sweep(&mut self, now: Now, entries: usize) -> usize {
        let Some(time) = self.life.sweep_time::<S>(now) else { return entries };
        self.bury();
        let mut left = entries;
        while left > 0 {
            let Some((next, probe, kept)) = self.table.next_from(self.life.cursor) else {
                self.life.end_pass(time);
                break;
            };
            left -= 1;
            self.life.cursor = next;
            if self.life.is_expired_at(kept.stamp, time) {
                let probe = probe.clone();
                self.table.remove(stable_hash(&probe), &probe);
                unnote(&mut self.index, (stable_hash(&probe.0), &probe.0), &probe.1);
                // What lay behind may have moved into the gap.
                self.life.cursor = next - 1;
            }
        }
        left
    }
}

impl<K: Key, E: Key + Ord, V: Record, S: Stamp> TrackedState for Map<K, E, V, S> {
    fn declaration(&self) -> Declaration {
        self.table.declaration()
    }

    fn changes(&self) -> Changes {
        self.table.changes()
    }

    fn begin(&mut self, state: u16, kind: SnapshotKind) {
        self.table.begin_trimmed(state, kind, self.life.trim_value());
    }

    fn drain(&mut self, into: &mut Drain) -> Result<bool> {
        self.table.drain(into)
    }

    fn load(&mut self, frames: &[Frame<'_>]) -> Result<()> {
        self.table.load(frames)
    }

    fn loaded(&mut self) -> Result<()> {
        self.table.loaded()?;
        for (_, (key, entry), _) in self.table.iter() {
            note(&mut self.index, (stable_hash(key), key), entry.clone());
        }
        self.count();
        Ok(())
    }
}
