//! What changed, for checkpoints: marks while records flow, a cut at the barrier, the drain after
//! it.
//!
//! ```text
//! epoch n     a change sets the mark of n's parity            removed keys leave tombstones
//! barrier     the marks swap their meaning: that of n now says "waits for the drain"
//! epoch n+1   drain: entries that wait are written, their mark goes
//!             a change of one that waits: first written as the barrier saw it, its mark goes
//! barrier     every entry that waited was written, so the mark of n is free for n+2
//! ```
//!
//! A full checkpoint walks all slots instead: an entry waits if it was not changed in this epoch
//! and lies where the walk was not yet.
//!
//! Before its first barrier a table is all new to the store, and remembers nothing for it.

use std::hash::Hash;

use rkyv::util::AlignedVec;
use tailwater_core::{
    Error, Fault, Key, KeyGroups, Record, Result, Schema, fault, hash_code, stable_hash,
};

use crate::archive::Whose;
use crate::arena::LINE;
use crate::changes::{
    Changes, Declaration, Drain, EVERY_GROUP, Frame, GroupRange, Payload, SnapshotKind,
    TrackedState,
};
use crate::prefetch::prefetch_line;
use crate::slab::Slab;

use super::StateTable;
use super::area::{Area, EVEN, FRESH, GROUP, MARKS, Map, ODD, WORD, map_of};
use super::capture::Capture;

/// Groups of slots that are asked for while as many before them are written: in about the time that
/// the memory takes.
const GROUPS: usize = 8;
/// Looking at so many words of a map costs what writing an entry does.
const WORDS_OF_AN_ENTRY: usize = 32;
/// The most words that are looked at before the budget is.
const WORDS_MAX: usize = GROUPS * GROUP * WORDS_OF_AN_ENTRY;
/// Tables with so many keys take whole buffers for their chunks from the start.
const LARGE: usize = 8 << 10;
/// Tables with more keys sort their upserts: if all change, most stripes are filled more than once.
const SORTED_FROM: usize = if cfg!(test) { 64 } else { 64 << 10 };

/// How entries of a table become frames; known from the first barrier or restored entry on.
type WriteFrame<K, V> =
    fn(&mut Capture, &mut AlignedVec, Whose, Grouping<K>, key: &K, value: Option<&V>) -> Result<()>;

/// What a key falls into a key group by; its own hash where nothing is said.
pub(super) type Grouping<K> = Option<fn(&K) -> u64>;

#[inline(always)]
pub(super) fn group_hash<K: Hash>(grouping: Grouping<K>, key: &K) -> u64 {
    match grouping {
        Some(hash_of) => hash_of(key),
        None => stable_hash(key),
    }
}

#[inline(always)]
fn write_frame<K: Key, V: Record>(
    capture: &mut Capture,
    scratch: &mut AlignedVec,
    whose: Whose,
    grouping: Grouping<K>,
    key: &K,
    value: Option<&V>,
) -> Result<()> {
    let group = whose.key_groups.of_hash(group_hash(grouping, key)) as u16;
    capture.write(scratch, whose.namespace, (group, key), value)
}

/// What a full checkpoint has of a value.
pub(crate) enum Lives<V> {
    /// All of it.
    Whole,
    /// What has not expired of it.
    Partly(V),
    /// Nothing: it has expired.
    Not,
}

/// Tells what a full checkpoint has of a value.
pub(crate) type Trim<V> = Box<dyn Fn(&V) -> Lives<V> + Send>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing waits.
    Idle,
    /// Entries with the mark of the last epoch wait.
    Changed,
    /// Entries that the walk did not reach, and that were not changed since, wait.
    Everything,
}

/// What a table knows for checkpoints beside the marks.
pub(super) struct Tracking<K, V> {
    phase: Phase,
    state: u16,
    whose: Whose,
    /// Those of the core: no other table of this state has keys of them.
    pub(super) groups: GroupRange,
    grouping: Grouping<K>,
    write: Option<WriteFrame<K, V>>,
    /// Leaves out of a full checkpoint what has expired; `None` where nothing can.
    trim: Option<Trim<V>>,
    /// Entries as the last barrier saw them.
    capture: Capture,
    /// Tombstones of this epoch.
    tombstones: Capture,
    /// Tombstones of the last epoch, which are handed out first.
    leaving: Capture,
    /// Tombstones that a full checkpoint made pointless.
    stale: Capture,
    error: Option<Error>,
    scratch: AlignedVec,
    /// Entries that were made or changed in this epoch.
    pub(super) changed: usize,
}

impl<K, V> Tracking<K, V> {
    pub(super) fn new(key_groups: KeyGroups, groups: GroupRange) -> Self {
        Self {
            phase: Phase::Idle,
            state: 0,
            whose: Whose { namespace: None, key_groups },
            groups,
            grouping: None,
            write: None,
            trim: None,
            capture: Capture::default(),
            tombstones: Capture::default(),
            leaving: Capture::default(),
            stale: Capture::default(),
            error: None,
            scratch: AlignedVec::new(),
            changed: 0,
        }
    }

    pub(super) fn key_groups(&self) -> KeyGroups {
        self.whose.key_groups
    }

    pub(super) fn grouping(&self) -> Grouping<K> {
        self.grouping
    }

    pub(super) fn set_grouping(&mut self, hash_of: fn(&K) -> u64) {
        self.grouping = Some(hash_of);
    }

    pub(super) fn namespace(&self) -> Option<i64> {
        self.whose.namespace
    }

    pub(super) fn set_namespace(&mut self, namespace: Option<i64>) {
        self.whose.namespace = namespace;
    }

    /// As new: the store knows nothing of the table.
    pub(super) fn reset(&mut self) {
        assert!(self.phase == Phase::Idle, "a table that waits for its drain is not used again");
        (self.write, self.trim, self.changed) = (None, None, 0);
        (self.tombstones, self.leaving) = (Capture::default(), Capture::default());
    }

    /// Whether an entry was not yet written as the last barrier saw it.
    #[inline]
    fn waits(&self, area: &Area<K, V>, mark: u32, index: usize) -> bool {
        match self.phase {
            Phase::Idle => false,
            Phase::Changed => area.tag(index) & other(mark) != 0,
            Phase::Everything => area.tag(index) & mark == 0 && index >= area.walked,
        }
    }

    /// Writes an entry as it is.
    #[inline(never)]
    fn save(&mut self, area: &Area<K, V>, slab: &Slab<V>, index: usize) {
        let write = self.write.expect("known since the barrier");
        let (key, value) = (area.key(index), area.value(index, slab));
        let trimmed = trimmed(self.trim.as_ref(), value);
        let Some(value) = trimmed.as_ref().map(|owned| owned.as_ref().unwrap_or(value)) else {
            return;
        };
        let Self { capture, scratch, whose, grouping, .. } = self;
        if let Err(error) = write(capture, scratch, *whose, *grouping, key, Some(value)) {
            self.error = Some(error);
        }
    }

    /// The first change of an entry in this epoch is about to happen.
    #[inline(never)]
    pub(super) fn touch(&mut self, area: &mut Area<K, V>, slab: &Slab<V>, mark: u32, index: usize) {
        if self.waits(area, mark, index) && !fault(Fault::SkipCopyOnFirstTouch) {
            self.save(area, slab, index);
        }
        area.set_tag(index, (area.tag(index) & !MARKS) | mark);
        area.set_bit(map_of(mark), index);
        self.changed += 1;
    }

    /// The tag that an entry gets that moves to a place which the walk under way did or did not yet
    /// visit. It is saved first where it would be missed there.
    #[inline]
    pub(super) fn settle(
        &mut self,
        area: &Area<K, V>,
        slab: &Slab<V>,
        mark: u32,
        from: usize,
        is_ahead: bool,
    ) -> u32 {
        let tag = area.tag(from);
        if self.phase == Phase::Idle {
            return tag;
        }
        match (self.waits(area, mark, from), is_ahead) {
            (true, true) => tag,
            (true, false) => {
                if !fault(Fault::LoseMovedEntry) {
                    self.save(area, slab, from);
                }
                tag & !MARKS
            }
            // Written already, and the walk would write it again: it counts as changed since.
            (false, true) if self.phase == Phase::Everything && tag & mark == 0 => {
                (tag & !MARKS) | mark
            }
            (false, _) => tag,
        }
    }

    /// An entry is about to be removed.
    #[inline]
    pub(super) fn bury(&mut self, area: &Area<K, V>, slab: &Slab<V>, mark: u32, index: usize) {
        if self.waits(area, mark, index) {
            self.save(area, slab, index);
        }
        let is_new = area.tag(index) & (FRESH | mark) == FRESH | mark;
        let Some(write) = self.write.filter(|_| !is_new && !fault(Fault::ForgetTombstone)) else {
            return;
        };
        let Self { tombstones, scratch, whose, grouping, .. } = self;
        if let Err(error) = write(tombstones, scratch, *whose, *grouping, area.key(index), None) {
            self.error = Some(error);
        }
    }

    /// All entries of an area are about to be removed.
    pub(super) fn bury_all(&mut self, area: &Area<K, V>, slab: &Slab<V>, mark: u32) {
        if self.write.is_none() {
            return;
        }
        if let Some(namespace) = self.whose.namespace {
            // One tombstone for all; it is harmless where nothing was stored.
            let namespace = namespace.to_le_bytes();
            self.tombstones.append(&namespace_tombstone(&namespace, self.groups));
            if self.phase == Phase::Idle {
                return;
            }
        }
        let mut next = 0;
        while let Some(index) = area.next_taken(next) {
            if self.whose.namespace.is_none() {
                self.bury(area, slab, mark, index);
            } else if self.waits(area, mark, index) {
                self.save(area, slab, index);
            }
            next = index + 1;
        }
    }
}

/// Says that all keys of a namespace are gone, of the key groups that the table has.
pub(crate) fn namespace_tombstone(namespace: &[u8; 8], groups: GroupRange) -> Frame<'_> {
    Frame { group: EVERY_GROUP, key: namespace, payload: Payload::NamespaceTombstone(groups) }
}

/// What is written of a value: `None` for nothing, `Some(None)` for all of it.
#[inline(always)]
fn trimmed<V>(trim: Option<&Trim<V>>, value: &V) -> Option<Option<V>> {
    match trim.map_or(Lives::Whole, |trim| trim(value)) {
        Lives::Whole => Some(None),
        Lives::Partly(lives) => Some(Some(lives)),
        Lives::Not => None,
    }
}

#[inline(always)]
fn other(mark: u32) -> u32 {
    mark ^ (EVEN | ODD)
}

impl<K, V> StateTable<K, V> {
    /// Whether a barrier has cut this table, or entries were restored into it: only then the store
    /// can know of its keys.
    pub(crate) fn is_known(&self) -> bool {
        self.tracking.write.is_some()
    }

    /// Whether entries wait to be drained.
    pub(crate) fn is_draining(&self) -> bool {
        self.tracking.phase != Phase::Idle
    }

    /// The tombstones that the last barrier cut off.
    pub(crate) fn leaving(&mut self) -> &mut Capture {
        &mut self.tracking.leaving
    }

    /// Gives the table another namespace, while it is empty.
    pub(crate) fn set_namespace(&mut self, namespace: i64) {
        assert!(self.len == 0 && !self.is_known(), "the keys of a table have one namespace");
        self.tracking.set_namespace(Some(namespace));
    }
}

impl<K: Key, V: Record> StateTable<K, V> {
    /// Learns how entries are written; from now on removed keys are remembered.
    pub(super) fn become_known(&mut self) {
        self.tracking.write = Some(write_frame::<K, V>);
    }

    /// As [`begin`](TrackedState::begin); a checkpoint that builds on no other has of each value
    /// what `trim` leaves. In one that does, a key that is left out would have its old value.
    pub(crate) fn begin_trimmed(&mut self, state: u16, kind: SnapshotKind, trim: Option<Trim<V>>) {
        let is_first = !self.is_known();
        self.begin(state, kind);
        self.tracking.trim = trim.filter(|_| is_first || kind == SnapshotKind::Full);
    }

    /// Writes entries that wait to `capture`; `true` when none is left. A table that sorts them
    /// hands on what is full, and the rest when none is left.
    pub(crate) fn drain_to(&mut self, into: &mut Drain, capture: &mut Capture) -> Result<bool> {
        if let Some(error) = self.tracking.error.take() {
            return Err(error);
        }
        self.tracking.stale.discard(into);
        if self.len > SORTED_FROM && !self.tracking.capture.is_sorted() {
            let Tracking { capture, whose, groups, .. } = &mut self.tracking;
            capture.sort(whose.key_groups, *groups);
        }
        let is_done = if self.tracking.capture.is_sorted() {
            let mut own = std::mem::take(&mut self.tracking.capture);
            let outcome = self.write_waiting(into, &mut own);
            capture.append_full(&mut own);
            match outcome {
                Ok(true) => capture.append_all(&mut own),
                _ => self.tracking.capture = own,
            }
            outcome?
        } else {
            capture.append_all(&mut self.tracking.capture);
            if self.len > LARGE {
                capture.expect_much(into);
            }
            self.write_waiting(into, capture)?
        };
        if is_done {
            (self.tracking.phase, self.tracking.trim) = (Phase::Idle, None);
        }
        Ok(is_done)
    }

    fn write_waiting(&mut self, into: &mut Drain, capture: &mut Capture) -> Result<bool> {
        let Self { area, old, slab, tracking, mark, .. } = self;
        for area in old.iter_mut().map(|old| &mut old.area).chain([area]) {
            if !walk(area, slab, tracking, *mark, into, capture)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Some groups that have a bit in a map, in order.
struct Groups {
    groups: [usize; GROUPS],
    count: usize,
    /// How many words of the map were looked at.
    words: usize,
    /// The first slot that was not looked for.
    next: usize,
}

impl Groups {
    /// The next groups from a slot on, whose slots are asked for.
    #[inline]
    fn from<K, V>(area: &Area<K, V>, map: Map, from: usize) -> Self {
        let mut found = Self { groups: [0; GROUPS], count: 0, words: 0, next: from };
        while found.next < area.count() && found.count < GROUPS && found.words < WORDS_MAX {
            let first = found.next / WORD * WORD;
            let mut bits = area.groups_from(map, found.next);
            while bits != 0 && found.count < GROUPS {
                let group = first + bits.trailing_zeros() as usize * GROUP;
                ask_for_group(area, group);
                found.groups[found.count] = group;
                found.count += 1;
                bits &= bits - 1;
            }
            let rest = if bits == 0 { WORD } else { bits.trailing_zeros() as usize * GROUP };
            found.next = first + rest;
            found.words += 1;
        }
        found
    }
}

/// Writes entries of an area that wait, in order of their slots; `true` when none is left.
fn walk<K: Key, V: Record>(
    area: &mut Area<K, V>,
    slab: &Slab<V>,
    tracking: &mut Tracking<K, V>,
    mark: u32,
    into: &mut Drain,
    capture: &mut Capture,
) -> Result<bool> {
    if area.walked >= area.count() {
        area.walked = usize::MAX;
        return Ok(true);
    }
    let waiting = other(mark);
    let (map, phase) = match tracking.phase {
        Phase::Everything => (Map::Occupied, Phase::Everything),
        _ => (map_of(waiting), Phase::Changed),
    };
    let mut groups = Groups::from(area, map, area.walked);
    while area.walked < area.count() {
        if into.budget() == 0 {
            return Ok(false);
        }
        capture.restock(into);
        let following = Groups::from(area, map, groups.next);
        // First which slots wait, without a branch that could be foretold wrongly, then the key
        // groups of all of those, then their frames.
        let (mut slots, mut count) = ([0; GROUPS * GROUP], 0);
        for group in &groups.groups[..groups.count] {
            for index in *group..group + GROUP {
                let tag = area.tag(index);
                let waits = match phase {
                    Phase::Everything => (tag != 0) & (tag & mark == 0),
                    _ => tag & waiting != 0,
                };
                slots[count] = index;
                count += usize::from(waits & (index >= area.walked));
            }
        }
        let next = if count > into.budget() { slots[into.budget()] } else { groups.next };
        let slots = &slots[..count.min(into.budget())];
        let mut key_groups = [0; GROUPS * GROUP];
        for (group, index) in key_groups.iter_mut().zip(slots) {
            *group = hash_code(group_hash(tracking.grouping, area.key(*index)));
        }
        tracking.whose.key_groups.of_codes(&mut key_groups[..slots.len()]);
        for (index, group) in slots.iter().copied().zip(key_groups) {
            if index != slots[0] || !fault(Fault::LoseDirtySlot) {
                let (key, value) = (area.key(index), area.value(index, slab));
                if let Some(lives) = trimmed(tracking.trim.as_ref(), value) {
                    let value = Some(lives.as_ref().unwrap_or(value));
                    let Tracking { scratch, whose, .. } = tracking;
                    capture.write(scratch, whose.namespace, (group as u16, key), value)?;
                }
            }
            area.set_tag(index, area.tag(index) & !MARKS);
        }
        for group in &groups.groups[..groups.count] {
            if group + GROUP <= next {
                area.clear_bit(map_of(waiting), *group);
            }
        }
        area.walked = next;
        into.spend((slots.len() + groups.words / WORDS_OF_AN_ENTRY).max(1));
        groups = following;
    }
    area.walked = usize::MAX;
    Ok(true)
}

/// Asks for the lines of a group's slots.
#[inline]
fn ask_for_group<K, V>(area: &Area<K, V>, group: usize) {
    let bytes = GROUP * Area::<K, V>::STRIDE;
    let start = area.address(group);
    (0..bytes).step_by(LINE).for_each(|offset| prefetch_line(start.wrapping_add(offset)));
}

impl<K: Key, V: Record> TrackedState for StateTable<K, V> {
    fn declaration(&self) -> Declaration {
        let namespaced = self.tracking.namespace().is_some();
        Declaration { key: Schema::of::<K>(), value: Schema::of::<V>(), namespaced }
    }

    fn changes(&self) -> Changes {
        Changes { changed: self.tracking.changed, entries: self.len }
    }

    fn begin(&mut self, state: u16, kind: SnapshotKind) {
        assert!(!self.is_draining(), "the drain of the barrier before is not finished");
        self.become_known();
        self.mark = other(self.mark);
        let Self { area, old, tracking, .. } = self;
        (tracking.state, tracking.changed) = (state, 0);
        tracking.phase = match kind {
            SnapshotKind::Incremental => Phase::Changed,
            SnapshotKind::Full => Phase::Everything,
        };
        for area in old.iter_mut().map(|old| &mut old.area).chain([area]) {
            area.walked = 0;
        }
        match kind {
            SnapshotKind::Incremental => {
                tracking.leaving = std::mem::take(&mut tracking.tombstones)
            }
            SnapshotKind::Full => tracking.stale = std::mem::take(&mut tracking.tombstones),
        }
    }

    fn drain(&mut self, into: &mut Drain) -> Result<bool> {
        if !self.is_draining() {
            return Ok(true);
        }
        let state = self.tracking.state;
        self.tracking.leaving.push_all(state, into);
        let mut capture = Capture::default();
        let outcome = self.drain_to(into, &mut capture);
        if matches!(outcome, Ok(true)) {
            capture.push_all(state, into);
        } else {
            capture.push_full(state, into);
            capture.append_all(&mut self.tracking.capture);
            self.tracking.capture = capture;
        }
        outcome
    }

    fn expect(&mut self, entries: usize) {
        self.reserve(entries);
    }

    fn load(&mut self, frames: &[Frame<'_>]) -> Result<()> {
        self.load_frames(frames)
    }
}
