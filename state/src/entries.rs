//! Entries that are found by number and tracked: what the windows of a core are kept in.
//!
//! ```text
//! epoch of an entry   when it was last touched; barriers raise the epoch of the whole
//!   = the current     changed since the last barrier: nothing to do when it is touched again
//!   = the last cut's  to be drained as it is; the first touch saves its frame before
//!   0                 unchanged, and in the last checkpoint
//! ```
//!
//! A barrier costs the same whatever there is, a touch a comparison, and a drain what was touched.

use std::collections::HashMap;

use rkyv::util::AlignedVec;
use tailwater_core::{Error, KeyGroups, Record, Result, Schema};

use crate::StateContext;
use crate::archive::{Whose, append_hashed, read};
use crate::arena::LINE;
use crate::budget::{Budget, Held};
use crate::changes::{
    CHUNK_BYTES, Chunk, Declaration, Drain, Frame, Payload, SnapshotKind, TrackedState,
};
use crate::prefetch::prefetch_line;

/// What [`Entries`] hold: in memory as is convenient, in checkpoints as a key and a value.
pub trait Entry: 'static {
    /// What identifies the entry in checkpoints. It never changes, and is never used again once the
    /// entry was removed.
    type Key: Record;
    /// What a checkpoint knows of the entry beside its key.
    type Value: Record;

    /// The stable hash that gives the key group: that of the key which the stream is keyed by.
    fn hash(&self) -> u64;

    /// The key.
    fn key(&self) -> Self::Key;

    /// Calls `use_it` with the value; the entry is the same afterwards.
    fn with_value<R>(&mut self, use_it: impl FnOnce(&Self::Value) -> R) -> R;

    /// The entry that had this key and value.
    fn restored(key: Self::Key, value: Self::Value) -> Self;
}

/// Entries with numbers that stay while they are there, and whose changes are tracked.
pub struct Entries<E> {
    /// By number; those that are free are empty.
    places: Vec<Option<Place<E>>>,
    /// The numbers that are free; the last is given out next.
    free: Vec<u32>,
    key_groups: KeyGroups,
    epoch: u32,
    /// Whether a checkpoint has been taken or restored: before, all entries count as changed.
    is_tracking: bool,
    /// Entries touched in this epoch. May name some twice and some that are gone.
    changed: Vec<u32>,
    /// Tombstones of entries that went in this epoch.
    gone: Frames,
    cut: Option<Cut>,
    /// An entry that could not be saved; told by the next drain.
    failure: Option<Error>,
    scratch: AlignedVec,
    /// Numbers by key archive while a checkpoint is read.
    loading: HashMap<Vec<u8>, u32>,
    /// The memory of the places. What entries own elsewhere is not counted.
    held: Held,
}

struct Place<E> {
    entry: E,
    epoch: u32,
    /// Whether a checkpoint has it, so that a tombstone is needed when it goes.
    is_stored: bool,
}

/// What the last barrier saw and is not drained yet.
struct Cut {
    state: u16,
    epoch: u32,
    walk: Walk,
    /// Tombstones, and frames of entries that were touched before they were drained.
    frames: Frames,
}

enum Walk {
    /// The entries touched in the epoch; taken from the end.
    Changed(Vec<u32>),
    /// All entries below `end`, from `next` on.
    Full { next: usize, end: usize },
}

/// Frames in the making, in chunks.
#[derive(Default)]
struct Frames {
    full: Vec<(Vec<u8>, u32)>,
    bytes: Vec<u8>,
    count: u32,
}

impl Frames {
    fn added(&mut self) {
        self.count += 1;
        if self.bytes.len() >= CHUNK_BYTES {
            self.full.push((std::mem::take(&mut self.bytes), std::mem::take(&mut self.count)));
        }
    }

    fn push(&mut self, state: u16, last: bool, into: &mut Drain) {
        if last && self.count > 0 {
            self.full.push((std::mem::take(&mut self.bytes), std::mem::take(&mut self.count)));
        }
        for (bytes, frames) in self.full.drain(..) {
            into.push(Chunk { state, frames, groups: None, bytes });
        }
    }
}

/// So many bytes of a large entry count as another one in a drain's budget.
const BYTES_OF_AN_ENTRY: usize = 1024;
/// Below so many names of changed entries none are looked for that could be left out.
const CHANGED_MIN: usize = 1024;

impl<E> Default for Entries<E> {
    /// None, with keys in the key groups of a job on one core.
    fn default() -> Self {
        Self::in_groups(KeyGroups::default_for(1), Budget::unlimited())
    }
}

impl<E> Entries<E> {
    /// None, with keys in key groups and memory of the budget as `context` says.
    pub fn new(context: &StateContext) -> Self {
        Self::in_groups(context.key_groups, context.budget.clone())
    }

    fn in_groups(key_groups: KeyGroups, budget: Budget) -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
            key_groups,
            epoch: 1,
            is_tracking: false,
            changed: Vec::new(),
            gone: Frames::default(),
            cut: None,
            failure: None,
            scratch: AlignedVec::new(),
            loading: HashMap::new(),
            held: Held::of(&budget),
        }
    }

    /// Counts the memory of the places, after one was taken.
    #[inline]
    fn count(&mut self) {
        self.held.set(self.places.capacity() * size_of::<Option<Place<E>>>());
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Asks the processor to bring in the entry of this number; never waits.
    #[inline]
    pub fn prefetch(&self, number: u32) {
        if let Some(place) = self.places.get(number as usize) {
            let start = std::ptr::from_ref(place).cast::<u8>();
            for offset in (0..size_of::<Option<Place<E>>>()).step_by(LINE) {
                prefetch_line(start.wrapping_add(offset));
            }
        }
    }

    /// The entry of this number.
    #[inline]
    pub fn get(&self, number: u32) -> Option<&E> {
        self.places.get(number as usize)?.as_ref().map(|place| &place.entry)
    }

    /// The entry of this number, to change what no checkpoint knows of it.
    ///
    /// # Panics
    /// When there is none.
    #[inline]
    pub fn untracked(&mut self, number: u32) -> &mut E {
        &mut self.place(number).entry
    }

    /// All entries with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &E)> {
        let places = self.places.iter().zip(0..);
        places.filter_map(|(place, number)| place.as_ref().map(|place| (number, &place.entry)))
    }

    #[inline(always)]
    fn place(&mut self, number: u32) -> &mut Place<E> {
        self.places[number as usize].as_mut().expect("whoever has a number has not removed it")
    }

    fn put(&mut self, place: Place<E>) -> u32 {
        if let Some(number) = self.free.pop() {
            self.places[number as usize] = Some(place);
            return number;
        }
        let number = u32::try_from(self.places.len())
            .expect("a core has fewer than 2^32 entries: each takes dozens of bytes");
        self.places.push(Some(place));
        self.count();
        number
    }

    fn take(&mut self, number: u32) -> Place<E> {
        let place = self.places[number as usize].take();
        self.free.push(number);
        place.expect("whoever has a number has not removed it")
    }
}

impl<E: Entry> Entries<E> {
    /// Adds an entry; its number is free again when it is removed.
    ///
    /// # Panics
    /// With 2^32 entries.
    pub fn insert(&mut self, entry: E) -> u32 {
        let number = self.put(Place { entry, epoch: self.epoch, is_stored: false });
        if self.is_tracking {
            self.note(number);
        }
        number
    }

    /// The entry of this number, to change. Counts as changed, used or not.
    ///
    /// # Panics
    /// When there is none.
    #[inline]
    pub fn touch(&mut self, number: u32) -> &mut E {
        if self.place(number).epoch != self.epoch {
            return self.first_touch(number);
        }
        &mut self.place(number).entry
    }

    /// Takes an entry out.
    ///
    /// # Panics
    /// When there is none.
    pub fn remove(&mut self, number: u32) -> E {
        self.save(number);
        let place = self.take(number);
        if place.is_stored {
            let Self { gone, scratch, key_groups, .. } = self;
            let whose = Whose { namespace: None, key_groups: *key_groups };
            let hashed = (place.entry.hash(), &place.entry.key());
            let none: Option<&E::Value> = None;
            match append_hashed(&mut gone.bytes, scratch, whose, hashed, none) {
                Ok(()) => gone.added(),
                Err(error) => self.failure = Some(error),
            }
        }
        place.entry
    }

    #[cold]
    #[inline(never)]
    fn first_touch(&mut self, number: u32) -> &mut E {
        self.save(number);
        let epoch = self.epoch;
        self.place(number).epoch = epoch;
        self.note(number);
        &mut self.place(number).entry
    }

    fn note(&mut self, number: u32) {
        self.changed.push(number);
        // Entries that come and go leave their names; where no barrier comes they must not pile up.
        if self.changed.len() > CHANGED_MIN.max(2 * self.len()) {
            let Self { places, epoch, changed, .. } = self;
            changed.sort_unstable();
            changed.dedup();
            changed.retain(|number| {
                let place = places.get(*number as usize).and_then(Option::as_ref);
                place.is_some_and(|place| place.epoch == *epoch)
            });
        }
    }

    /// Keeps the frame of an entry that is about to change, if the drain has yet to come to it.
    fn save(&mut self, number: u32) {
        let Self { places, cut: Some(cut), scratch, key_groups, .. } = self else { return };
        let Some(place) = &mut places[number as usize] else { return };
        if !cut.awaits(number as usize, place.epoch) {
            return;
        }
        if let Err(error) = cut.frames.upsert(place, scratch, *key_groups) {
            self.failure = Some(error);
        }
    }
}

impl Cut {
    /// Whether an entry last touched in `epoch` is part of the cut and not drained yet.
    #[inline]
    fn awaits(&self, number: usize, epoch: u32) -> bool {
        match self.walk {
            Walk::Changed(_) => epoch == self.epoch,
            Walk::Full { next, end } => epoch <= self.epoch && (next..end).contains(&number),
        }
    }

    /// The next entry to look at.
    fn next(&mut self) -> Option<usize> {
        match &mut self.walk {
            Walk::Changed(numbers) => numbers.pop().map(|number| number as usize),
            Walk::Full { next, end } => (*next < *end).then(|| std::mem::replace(next, *next + 1)),
        }
    }
}

impl Frames {
    /// Appends an entry, which then counts as unchanged and stored.
    fn upsert<E: Entry>(
        &mut self,
        place: &mut Place<E>,
        scratch: &mut AlignedVec,
        key_groups: KeyGroups,
    ) -> Result<()> {
        let whose = Whose { namespace: None, key_groups };
        let (hash, key) = (place.entry.hash(), place.entry.key());
        let bytes = &mut self.bytes;
        place
            .entry
            .with_value(|value| append_hashed(bytes, scratch, whose, (hash, &key), Some(value)))?;
        (place.epoch, place.is_stored) = (0, true);
        self.added();
        Ok(())
    }
}

impl<E: Entry> TrackedState for Entries<E> {
    fn declaration(&self) -> Declaration {
        let (key, value) = (Schema::of::<E::Key>(), Schema::of::<E::Value>());
        Declaration { key, value, namespaced: false }
    }

    fn begin(&mut self, state: u16, kind: SnapshotKind) {
        let changed = std::mem::take(&mut self.changed);
        let gone = std::mem::take(&mut self.gone);
        let is_full = kind == SnapshotKind::Full || !self.is_tracking;
        let (walk, frames) = if is_full {
            // A full snapshot needs no tombstones.
            (Walk::Full { next: 0, end: self.places.len() }, Frames::default())
        } else {
            (Walk::Changed(changed), gone)
        };
        self.cut = Some(Cut { state, epoch: self.epoch, walk, frames });
        self.epoch += 1;
        self.is_tracking = true;
    }

    fn drain(&mut self, into: &mut Drain) -> Result<bool> {
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        let Self { places, cut, scratch, key_groups, .. } = self;
        let Some(cut) = cut else { return Ok(true) };
        while into.budget() > 0 {
            let Some(number) = cut.next() else {
                cut.frames.push(cut.state, true, into);
                self.cut = None;
                return Ok(true);
            };
            into.spend(1);
            let Some(place) = places.get_mut(number).and_then(Option::as_mut) else { continue };
            let before = cut.frames.bytes.len();
            let is_due = match cut.walk {
                Walk::Changed(_) => place.epoch == cut.epoch,
                Walk::Full { .. } => place.epoch <= cut.epoch,
            };
            if is_due {
                cut.frames.upsert(place, scratch, *key_groups)?;
                // A large entry is as much work as many small ones.
                into.spend(cut.frames.bytes.len().saturating_sub(before) / BYTES_OF_AN_ENTRY);
            }
            cut.frames.push(cut.state, false, into);
        }
        Ok(false)
    }

    fn load(&mut self, frames: &[Frame<'_>]) -> Result<()> {
        for frame in frames {
            match frame.payload {
                Payload::Upsert(value) => {
                    let key = read(frame.key, &mut self.scratch)?;
                    let entry = E::restored(key, read(value, &mut self.scratch)?);
                    let place = Place { entry, epoch: 0, is_stored: true };
                    if let Some(number) = self.loading.get(frame.key) {
                        *self.place(*number) = place;
                    } else {
                        let number = self.put(place);
                        self.loading.insert(frame.key.to_vec(), number);
                    }
                }
                Payload::Tombstone => {
                    if let Some(number) = self.loading.remove(frame.key) {
                        self.take(number);
                    }
                }
                Payload::NamespaceTombstone(_) => {
                    return Err(Error::format(
                        "a state without namespaces has the tombstone of one",
                    ));
                }
            }
        }
        Ok(())
    }

    fn loaded(&mut self) -> Result<()> {
        self.loading = HashMap::new();
        self.count();
        self.is_tracking = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
