//! A table of keys in memory that a barrier cuts in constant time: open addressing with linear
//! probing, key and value in one slot where they fit into a cache line.
//!
//! ```text
//! area     slots, and a bit a few slots for where some are taken or changed (`area.rs`)
//! home     (tag rotated) & (slots-1)   a key lies there or in the unbroken run of slots after it
//! growth   two areas; every operation moves a few slots over (`growth.rs`)
//! changes  marks in the tags, swapped at the barrier, drained afterwards (`tracking.rs`)
//! ```
//!
//! A probe touches one cache line where key and value fit into it. A removed key is closed over by
//! shifting back, so that runs never rot.

mod area;
mod capture;
mod growth;
mod load;
mod tracking;

#[cfg(test)]
mod tests;

use std::hash::Hash;
use std::ops::Range;

use tailwater_core::{KeyGroups, stable_hash};

use crate::StateContext;
use crate::arena::{Arena, LINE, Pending};
use crate::changes::GroupRange;
use crate::context::{Prefault, Warnings};
use crate::slab::Slab;
use crate::{Budget, prefetch::prefetch_line};

use area::{Area, FRESH, MARKS, Map, map_of, tag_of};
use growth::Old;
use tracking::{Tracking, group_hash};

pub(crate) use capture::Capture;
pub(crate) use tracking::{Lives, Trim, namespace_tombstone};

/// Keys with their values. Every call takes the key's 64-bit hash, which must be
/// `tailwater_core::stable_hash` of the key, computed once by the caller.
///
/// What changed since the last barrier is known at any time: see
/// [`TrackedState`](crate::TrackedState).
///
/// ```
/// use tailwater_core::stable_hash;
/// use tailwater_state::StateTable;
///
/// let mut counts = StateTable::<u32, u64>::detached();
/// for key in [7, 8, 7] {
///     *counts.get_or_insert_with(stable_hash(&key), key, || 0) += 1;
/// }
/// assert_eq!(counts.get(stable_hash(&7u32), &7), Some(&2));
/// assert_eq!(counts.remove(stable_hash(&8u32), &8), Some(1));
/// assert_eq!(counts.len(), 1);
/// ```
pub struct StateTable<K, V> {
    area: Area<K, V>,
    /// The area that keys are moved out of, while the table grows.
    old: Option<Box<Old<K, V>>>,
    /// The mark of what changed in this epoch.
    mark: u32,
    len: usize,
    /// An insert that finds so many keys looks after growth first.
    len_max: usize,
    slab: Slab<V>,
    tracking: Tracking<K, V>,
    arena: Arena,
    pending: Option<Pending>,
    /// What callers write to when there is no memory at all, until the job fails.
    trash: Option<Box<V>>,
}

impl<K, V> Default for StateTable<K, V> {
    fn default() -> Self {
        Self::detached()
    }
}

impl<K, V> StateTable<K, V> {
    /// An empty table; memory comes with the first key.
    pub fn new(context: &StateContext) -> Self {
        let StateContext { budget, prefault, warnings, .. } = context.clone();
        let arena = Arena { budget, prefault, warnings };
        Self::with_arena(arena, context.key_groups, context.groups)
    }

    /// A table without a budget: for tests and prototypes of operators.
    pub fn detached() -> Self {
        let (budget, prefault) = (Budget::unlimited(), Prefault::inline());
        let arena = Arena { budget, prefault, warnings: Warnings::default() };
        Self::with_arena(arena, KeyGroups::default_for(1), GroupRange::ALL)
    }

    fn with_arena(arena: Arena, key_groups: KeyGroups, groups: GroupRange) -> Self {
        Self {
            area: Area::empty(),
            old: None,
            mark: area::EVEN,
            len: 0,
            len_max: 0,
            slab: Slab::default(),
            tracking: Tracking::new(key_groups, groups),
            arena,
            pending: None,
            trash: None,
        }
    }

    /// The key groups that the table has.
    pub(crate) fn groups(&self) -> GroupRange {
        self.tracking.groups
    }

    /// An empty table beside this one: the same budget and key groups, no namespace.
    pub(crate) fn sibling(&self) -> Self {
        let Tracking { groups, .. } = self.tracking;
        Self::with_arena(self.arena.clone(), self.tracking.key_groups(), groups)
    }

    /// The same table, whose keys in a checkpoint start with `namespace`.
    #[must_use]
    pub fn with_namespace(mut self, namespace: i64) -> Self {
        self.tracking.set_namespace(Some(namespace));
        self
    }

    /// The same table, whose keys fall into key groups by what `hash_of` gives, where a key is more
    /// than what the stream is partitioned by: `stable_hash` of that part.
    #[must_use]
    pub fn grouped_by(mut self, hash_of: fn(&K) -> u64) -> Self {
        self.tracking.set_grouping(hash_of);
        self
    }

    /// How many keys there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no key.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes that the slots and what lies beside them take.
    pub fn slot_bytes(&self) -> usize {
        let old = self.old.as_ref().map_or(0, |old| old.area.slot_bytes());
        self.area.slot_bytes() + old + self.slab.bytes()
    }

    /// Asks the processor to bring in the home slot of `hash`; never waits.
    #[inline(always)]
    pub fn prefetch(&self, hash: u64) {
        let tag = tag_of(hash);
        prefetch_slot(&self.area, tag);
        // The first change in an epoch sets a bit, which is not in the first cache either.
        if self.is_known() {
            prefetch_line(self.area.bit_address(map_of(self.mark), self.area.home(tag)));
        }
        if let Some(old) = &self.old {
            prefetch_slot(&old.area, tag);
        }
    }

    /// The next key at or after `cursor`, and the cursor to go on from. Starting with zero and
    /// until `None` it visits each key once, in an order of no meaning, if the table does not
    /// change meanwhile.
    #[inline]
    pub fn next_from(&self, cursor: usize) -> Option<(usize, &K, &V)> {
        let (area, index, next) = self.next_place(cursor)?;
        Some((next, area.key(index), area.value(index, &self.slab)))
    }

    /// All keys with a hash that finds them in any table: its upper half is the key's own, but for
    /// four bits.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &K, &V)> {
        let mut cursor = 0;
        std::iter::from_fn(move || {
            let (area, index, next) = self.next_place(cursor)?;
            cursor = next;
            let hash = u64::from(area.tag(index) & !MARKS) << 32;
            Some((hash, area.key(index), area.value(index, &self.slab)))
        })
    }

    /// All keys of these key groups with their hashes.
    pub fn by_group(&self, groups: Range<u32>) -> impl Iterator<Item = (u64, &K, &V)>
    where
        K: Hash,
    {
        let (key_groups, grouping) = (self.tracking.key_groups(), self.tracking.grouping());
        self.iter().filter_map(move |(_, key, value)| {
            let group = key_groups.of_hash(group_hash(grouping, key));
            groups.contains(&group).then(|| (stable_hash(key), key, value))
        })
    }

    /// Where a walk goes on: first over the area that is being left, then over the other.
    #[inline]
    fn next_place(&self, cursor: usize) -> Option<(&Area<K, V>, usize, usize)> {
        let mut before = 0;
        if let Some(old) = &self.old {
            if let Some(index) = old.area.next_taken(cursor) {
                return Some((&old.area, index, index + 1));
            }
            before = old.area.count();
        }
        let index = self.area.next_taken(cursor.saturating_sub(before))?;
        Some((&self.area, index, before + index + 1))
    }

    /// Forgets all keys and keeps the slots.
    pub fn clear(&mut self) {
        let Self { area, old, slab, tracking, mark, .. } = self;
        for area in old.iter_mut().map(|old| &mut old.area).chain([area]) {
            tracking.bury_all(area, slab, *mark);
            forget_all(area, slab);
        }
        self.cleared();
    }

    /// As [`clear`](StateTable::clear), and nothing of it enters a checkpoint: the table is as new,
    /// but keeps its slots.
    pub(crate) fn recycle(&mut self) {
        self.tracking.reset();
        let Self { area, old, slab, .. } = self;
        for area in old.iter_mut().map(|old| &mut old.area).chain([area]) {
            forget_all(area, slab);
        }
        self.cleared();
    }

    /// After all keys were forgotten: there is nothing to move over any more.
    fn cleared(&mut self) {
        self.len = 0;
        self.trash = None;
        self.slab.reset();
        if let Some(old) = self.old.take() {
            self.arena.retire(old.area.into_region());
            self.len_max = growth::len_before_growth(self.area.count());
        }
    }
}

#[inline(always)]
fn prefetch_slot<K, V>(area: &Area<K, V>, tag: u32) {
    let slot = area.address(area.home(tag));
    prefetch_line(slot);
    // Slots start at a cache line, so one whose size divides it lies in one.
    if !LINE.is_multiple_of(Area::<K, V>::STRIDE) {
        prefetch_line(slot.wrapping_add(Area::<K, V>::STRIDE - 1));
    }
}

/// Empties an area and its maps of bits; the cost follows what is there.
fn forget_all<K, V>(area: &mut Area<K, V>, slab: &mut Slab<V>) {
    let mut next = 0;
    while let Some(index) = area.next_taken(next) {
        if std::mem::needs_drop::<(K, V)>() {
            drop(area.take(index, slab));
        } else {
            area.set_tag(index, 0);
        }
        next = index + 1;
    }
    for word in 0..area.words() {
        for map in [Map::Occupied, Map::Even, Map::Odd] {
            area.set_word(map, word, 0);
        }
    }
}

impl<K: Eq, V> StateTable<K, V> {
    /// The value of `key`.
    #[inline]
    pub fn get(&self, hash: u64, key: &K) -> Option<&V> {
        if self.len == 0 {
            return None;
        }
        let tag = tag_of(hash);
        let area = match &self.old {
            Some(old) if old.holds(tag) => &old.area,
            _ => &self.area,
        };
        area.find(tag, key).map(|index| area.value(index, &self.slab))
    }

    /// The value of `key`, to change.
    #[inline]
    pub fn get_mut(&mut self, hash: u64, key: &K) -> Option<&mut V> {
        if self.old.is_some() {
            self.move_some();
        }
        if self.len == 0 {
            return None;
        }
        let Self { area, old, slab, tracking, mark, .. } = self;
        let tag = tag_of(hash);
        let area = match old {
            Some(old) if old.holds(tag) => &mut old.area,
            _ => area,
        };
        let index = area.find(tag, key)?;
        if area.tag(index) & *mark == 0 {
            tracking.touch(area, slab, *mark, index);
        }
        Some(area.value_mut(index, slab))
    }

    /// The value of `key`, made by `make` where there is none.
    #[inline(always)]
    pub fn get_or_insert_with(&mut self, hash: u64, key: K, make: impl FnOnce() -> V) -> &mut V {
        if self.len >= self.len_max {
            self.make_room();
            if self.old.is_some() || self.is_full() {
                return self.get_or_insert_apart(hash, key, make);
            }
        }
        let Self { area, slab, tracking, mark, len, arena, trash, .. } = self;
        get_or_insert((area, slab, arena), tracking, (*mark, len, trash), (hash, key), make)
    }

    /// As [`get_or_insert_with`](StateTable::get_or_insert_with), while the table grows or cannot.
    #[cold]
    #[inline(never)]
    fn get_or_insert_apart(&mut self, hash: u64, key: K, make: impl FnOnce() -> V) -> &mut V {
        if self.is_full() {
            // The budget has failed; this lasts until the task's next step fails the job.
            return match self.get(hash, &key).is_some() {
                true => self.get_mut(hash, &key).expect("it was just there"),
                false => self.trash.insert(Box::new(make())),
            };
        }
        let Self { area, old, slab, tracking, mark, len, arena, trash, .. } = self;
        let area = match old {
            Some(old) if old.holds(tag_of(hash)) => &mut old.area,
            _ => area,
        };
        get_or_insert((area, slab, arena), tracking, (*mark, len, trash), (hash, key), make)
    }

    /// Takes `key` out.
    pub fn remove(&mut self, hash: u64, key: &K) -> Option<V> {
        if self.old.is_some() {
            self.move_some();
        }
        self.remove_quietly(hash, key, |tracking, area, slab, mark, index| {
            tracking.bury(area, slab, mark, index);
        })
    }

    #[inline]
    fn remove_quietly(
        &mut self,
        hash: u64,
        key: &K,
        before: impl FnOnce(&mut Tracking<K, V>, &Area<K, V>, &Slab<V>, u32, usize),
    ) -> Option<V> {
        if self.len == 0 {
            return None;
        }
        let Self { area, old, slab, tracking, mark, .. } = self;
        let tag = tag_of(hash);
        let area = match old {
            Some(old) if old.holds(tag) => &mut old.area,
            _ => area,
        };
        let index = area.find(tag, key)?;
        before(tracking, area, slab, *mark, index);
        let (_key, value) = area.take(index, slab);
        close_over(area, slab, tracking, *mark, index);
        self.len -= 1;
        Some(value)
    }
}

/// The value of a key in an area that has room for one more.
#[inline(always)]
fn get_or_insert<'a, K: Eq, V>(
    (area, slab, arena): (&'a mut Area<K, V>, &'a mut Slab<V>, &Arena),
    tracking: &mut Tracking<K, V>,
    (mark, len, trash): (u32, &mut usize, &'a mut Option<Box<V>>),
    (hash, key): (u64, K),
    make: impl FnOnce() -> V,
) -> &'a mut V {
    let tag = tag_of(hash) | mark;
    let mut index = area.home(tag);
    loop {
        let found = area.tag(index);
        if (found ^ tag) & !MARKS == 0 && *area.key(index) == key {
            if found & mark == 0 {
                tracking.touch(area, slab, mark, index);
            }
            break;
        }
        if found == 0 {
            if !Area::<K, V>::INLINE && !slab.make_room(arena) {
                return trash.insert(Box::new(make()));
            }
            area.put(index, tag | FRESH, key, make(), slab);
            area.set_bit(Map::Occupied, index);
            area.set_bit(map_of(mark), index);
            *len += 1;
            tracking.changed += 1;
            break;
        }
        index = (index + 1) & area.mask();
    }
    area.value_mut(index, slab)
}

/// Closes the gap at `hole`, which was just emptied: keys after it move back where they may.
#[inline]
fn close_over<K, V>(
    area: &mut Area<K, V>,
    slab: &Slab<V>,
    tracking: &mut Tracking<K, V>,
    mark: u32,
    mut hole: usize,
) {
    let mask = area.mask();
    let mut index = (hole + 1) & mask;
    loop {
        let tag = area.tag(index);
        if tag == 0 {
            return area.vacated(hole);
        }
        // A key may move back to the hole unless its home lies between the hole and where it is.
        let from_home = index.wrapping_sub(area.home(tag)) & mask;
        if from_home >= index.wrapping_sub(hole) & mask {
            let tag = tracking.settle(area, slab, mark, index, hole >= area.walked);
            area.move_within(index, hole, tag);
            set_bits(area, hole, tag);
            hole = index;
        }
        index = (index + 1) & mask;
    }
}

/// What the maps say of a slot with this tag.
#[inline]
fn set_bits<K, V>(area: &mut Area<K, V>, index: usize, tag: u32) {
    area.set_bit(Map::Occupied, index);
    for mark in [area::EVEN, area::ODD] {
        if tag & mark != 0 {
            area.set_bit(map_of(mark), index);
        }
    }
}

impl<K, V> Drop for StateTable<K, V> {
    fn drop(&mut self) {
        if std::mem::needs_drop::<(K, V)>() {
            let Self { area, old, slab, .. } = self;
            for area in old.iter_mut().map(|old| &mut old.area).chain([area]) {
                forget_all(area, slab);
            }
        }
        let area = std::mem::replace(&mut self.area, Area::empty());
        self.arena.retire(area.into_region());
    }
}
