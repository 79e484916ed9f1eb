//! Panes: slices of event time in order, each with its own table, whose slots are used again and
//! again.

use std::mem::take;

use tailwater_core::{Error, Key, Record, Result};

use crate::changes::{Declaration, Drain, Frame, SnapshotKind, TrackedState};
use crate::table::{Capture, namespace_tombstone};
use crate::{StateContext, StateTable};

/// Tables of dropped panes that are kept for new ones. A watermark that jumps drops many panes at
/// once; what is beyond this is given back.
const SPARES_MAX: usize = 64;

/// A slice of event time.
pub struct Pane<K, V> {
    /// Where it lies on the grid of panes; grows with time. The namespace of its keys.
    pub ordinal: i64,
    /// What it holds for each key.
    pub table: StateTable<K, V>,
}

/// The panes that hold something, in order of time.
///
/// As a tracked state they are one, whose keys start with the ordinal of their pane. A dropped pane
/// is one tombstone.
pub struct Panes<K, V> {
    live: Vec<Pane<K, V>>,
    spare: Vec<StateTable<K, V>>,
    /// Tables of dropped panes with entries that wait to be drained.
    retired: Vec<StateTable<K, V>>,
    /// Always empty; new tables are made like it.
    prototype: StateTable<K, V>,
    state: u16,
    is_draining: bool,
    /// Entries as the last barrier saw them.
    capture: Capture,
    /// Tombstones of this epoch.
    tombstones: Capture,
    /// Tombstones of the last epoch, which are handed out first.
    leaving: Capture,
}

impl<K, V> Default for Panes<K, V> {
    fn default() -> Self {
        Self::with_tables_like(StateTable::detached())
    }
}

impl<K, V> Panes<K, V> {
    /// No panes; their tables will take memory from the budget of `context`.
    pub fn new(context: &StateContext) -> Self {
        Self::with_tables_like(StateTable::new(context))
    }

    fn with_tables_like(prototype: StateTable<K, V>) -> Self {
        Self {
            live: Vec::new(),
            spare: Vec::new(),
            retired: Vec::new(),
            prototype,
            state: 0,
            is_draining: false,
            capture: Capture::default(),
            tombstones: Capture::default(),
            leaving: Capture::default(),
        }
    }

    /// All panes in order.
    #[inline]
    pub fn all(&self) -> &[Pane<K, V>] {
        &self.live
    }

    /// The table of the pane at `index` of [`all`](Panes::all).
    #[inline]
    pub fn table_mut(&mut self, index: usize) -> &mut StateTable<K, V> {
        &mut self.live[index].table
    }

    /// As [`table_mut`](Panes::table_mut), or `None` where there are fewer panes.
    #[inline]
    pub fn table_at_mut(&mut self, index: usize) -> Option<&mut StateTable<K, V>> {
        self.live.get_mut(index).map(|pane| &mut pane.table)
    }

    /// How many panes lie before `ordinal`: the index of its pane, if there is one.
    #[inline]
    pub fn index_of(&self, ordinal: i64) -> usize {
        self.live.partition_point(|pane| pane.ordinal < ordinal)
    }

    /// The pane at `ordinal`.
    #[inline]
    pub fn get(&self, ordinal: i64) -> Option<&Pane<K, V>> {
        self.live.get(self.index_of(ordinal)).filter(|pane| pane.ordinal == ordinal)
    }

    /// The panes from `first` to `last`, both included.
    pub fn range(&self, first: i64, last: i64) -> &[Pane<K, V>] {
        let from = self.index_of(first);
        let count = self.live[from..].partition_point(|pane| pane.ordinal <= last);
        &self.live[from..from + count]
    }

    /// The index of the pane at `ordinal`, which is made where there is none.
    pub fn get_or_create(&mut self, ordinal: i64) -> usize {
        let index = self.index_of(ordinal);
        if self.live.get(index).is_none_or(|pane| pane.ordinal != ordinal) {
            let mut table = self.spare.pop().unwrap_or_else(|| self.prototype.sibling());
            table.set_namespace(ordinal);
            self.live.insert(index, Pane { ordinal, table });
        }
        index
    }

    /// Drops the `count` oldest panes.
    pub fn drop_oldest(&mut self, count: usize) {
        self.drop_range(0, count);
    }

    fn drop_range(&mut self, from: usize, to: usize) {
        for pane in self.live.drain(from..to) {
            // The store knows nothing of a pane that came after the last barrier.
            if pane.table.is_known() {
                let namespace = pane.ordinal.to_le_bytes();
                let groups = pane.table.groups();
                self.tombstones.append(&namespace_tombstone(&namespace, groups));
            }
            if pane.table.is_draining() {
                self.retired.push(pane.table);
            } else {
                keep(&mut self.spare, pane.table);
            }
        }
    }
}

/// Keeps the table of a dropped pane for a new one.
fn keep<K, V>(spare: &mut Vec<StateTable<K, V>>, mut table: StateTable<K, V>) {
    if spare.len() < SPARES_MAX {
        table.recycle();
        spare.push(table);
    }
}

impl<K: Key, V: Record> TrackedState for Panes<K, V> {
    fn declaration(&self) -> Declaration {
        Declaration { namespaced: true, ..self.prototype.declaration() }
    }

    fn begin(&mut self, state: u16, kind: SnapshotKind) {
        assert!(!self.is_draining, "the drain of the barrier before is not finished");
        (self.state, self.is_draining) = (state, true);
        let tombstones = take(&mut self.tombstones);
        if kind == SnapshotKind::Incremental {
            self.leaving = tombstones;
        }
        for pane in &mut self.live {
            pane.table.begin(state, kind);
            self.leaving.append_all(pane.table.leaving());
        }
    }

    fn drain(&mut self, into: &mut Drain) -> Result<bool> {
        if !self.is_draining {
            return Ok(true);
        }
        self.leaving.push_all(self.state, into);
        let is_done = self.drain_tables(into)?;
        if is_done {
            self.capture.push_all(self.state, into);
            self.is_draining = false;
        } else {
            self.capture.push_full(self.state, into);
        }
        Ok(is_done)
    }

    fn load(&mut self, mut frames: &[Frame<'_>]) -> Result<()> {
        while let Some(first) = frames.first() {
            let Some((namespace, _)) = first.key.split_first_chunk::<8>() else {
                return Err(Error::format("the key of a frame has no namespace"));
            };
            let same = |frame: &Frame<'_>| frame.key.starts_with(namespace);
            let count = frames.iter().position(|frame| !same(frame)).unwrap_or(frames.len());
            let index = self.get_or_create(i64::from_le_bytes(*namespace));
            self.live[index].table.load(&frames[..count])?;
            frames = &frames[count..];
        }
        Ok(())
    }

    /// Panes without keys go: they were dropped before the checkpoint.
    fn loaded(&mut self) -> Result<()> {
        self.live.retain(|pane| !pane.table.is_empty());
        Ok(())
    }
}

impl<K: Key, V: Record> Panes<K, V> {
    fn drain_tables(&mut self, into: &mut Drain) -> Result<bool> {
        while let Some(table) = self.retired.last_mut() {
            if !table.drain_to(into, &mut self.capture)? {
                return Ok(false);
            }
            self.retired.pop().into_iter().for_each(|table| keep(&mut self.spare, table));
        }
        for pane in self.live.iter_mut().filter(|pane| pane.table.is_draining()) {
            if !pane.table.drain_to(into, &mut self.capture)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use tailwater_core::{KeyGroups, stable_hash};

    use super::*;
    use crate::testing::{FromNumber, Store, expected};

    #[test]
    fn panes_stay_in_order_and_their_slots_are_used_again() {
        let mut panes = Panes::<u8, u8>::default();
        for ordinal in [5, -3, 9, 5] {
            let index = panes.get_or_create(ordinal);
            panes.table_mut(index).get_or_insert_with(0, 1, || 2);
        }
        let ordinals = |panes: &[Pane<u8, u8>]| panes.iter().map(|p| p.ordinal).collect::<Vec<_>>();
        assert_eq!(ordinals(panes.all()), [-3, 5, 9]);
        assert_eq!(ordinals(panes.range(-2, 9)), [5, 9]);
        assert_eq!(ordinals(panes.range(6, 8)), [0; 0]);
        assert!(panes.get(4).is_none() && panes.get(9).is_some());
        panes.drop_oldest(2);
        let index = panes.get_or_create(10);
        assert_eq!(index, 1);
        assert!(panes.all()[index].table.is_empty());
        assert!(panes.all()[index].table.slot_bytes() > 0);
    }

    /// Watermarks of two cores differ where one of them has heard of a split's silence first.
    #[test]
    fn a_core_speaks_for_its_own_key_groups_only() {
        let groups = KeyGroups::new(8).unwrap();
        let context = StateContext::new(groups, crate::Budget::unlimited());
        let (mut low, mut high) = (
            Panes::<u64, u64>::new(&context.clone().for_groups(0..4)),
            Panes::<u64, u64>::new(&context.clone().for_groups(4..8)),
        );
        let is_low = |key: &u64| groups.of_hash(stable_hash(key)) < 4;
        let keys = 0..50u64;
        for key in keys.clone() {
            let panes = if is_low(&key) { &mut low } else { &mut high };
            let index = panes.get_or_create(7);
            panes.table_mut(index).get_or_insert_with(stable_hash(&key), key, || key);
        }
        let mut chunks = Vec::new();
        let mut checkpoint = |kind, low: &mut Panes<u64, u64>, high: &mut Panes<u64, u64>| {
            for panes in [low, high] {
                let mut drain = Drain::new();
                panes.begin(0, kind);
                drain.allow(usize::MAX);
                assert!(panes.drain(&mut drain).unwrap());
                chunks.extend(drain.take());
            }
        };
        checkpoint(SnapshotKind::Full, &mut low, &mut high);
        low.drop_oldest(1);
        checkpoint(SnapshotKind::Incremental, &mut low, &mut high);
        let mut restored = Panes::<u64, u64>::new(&context);
        for chunk in &chunks {
            let frames: Vec<_> = crate::changes::Frames::new(&chunk.bytes).collect();
            let frames: Vec<Frame<'_>> = frames.into_iter().map(Result::unwrap).collect();
            restored.load(&frames).unwrap();
        }
        restored.loaded().unwrap();
        let mut left: Vec<_> =
            restored.get(7).unwrap().table.iter().map(|(_, key, _)| *key).collect();
        left.sort_unstable();
        assert_eq!(left, keys.filter(|key| !is_low(key)).collect::<Vec<_>>());
    }

    #[derive(Clone, Debug)]
    enum Operation {
        Upsert(i64, u16, u32),
        Remove(i64, u16),
        DropOldest(usize),
        Barrier(SnapshotKind),
        Drain(usize),
        Abandon,
        Restore,
    }

    fn operations() -> impl Strategy<Value = Vec<Operation>> {
        let kind = prop_oneof![3 => Just(SnapshotKind::Incremental), 1 => Just(SnapshotKind::Full)];
        let key = || (-3i64..4, prop_oneof![0u16..6, 0u16..200]);
        let operation = prop_oneof![
            60 => (key(), any::<u32>()).prop_map(|((o, k), v)| Operation::Upsert(o, k, v)),
            12 => key().prop_map(|(o, k)| Operation::Remove(o, k)),
            5 => (0usize..3).prop_map(Operation::DropOldest),
            20 => (0usize..20).prop_map(Operation::Drain),
            8 => kind.prop_map(Operation::Barrier),
            1 => Just(Operation::Abandon),
            1 => Just(Operation::Restore),
        ];
        proptest::collection::vec(operation, 0..300)
    }

    type Model = BTreeMap<(i64, u16), u32>;

    fn contents<V: FromNumber>(panes: &Panes<u16, V>) -> BTreeMap<(i64, u16), V> {
        let entries = panes.all().iter().flat_map(|pane| {
            pane.table.iter().map(|(_, key, value)| ((pane.ordinal, *key), value.clone()))
        });
        entries.collect()
    }

    fn run<V: FromNumber>(operations: &[Operation]) {
        let (mut panes, mut model) = (Panes::<u16, V>::default(), Model::new());
        let mut store = Store::<Model>::default();
        let mut next_is_full = false;
        for operation in operations {
            let mut is_completed = false;
            match *operation {
                Operation::Upsert(ordinal, key, number) => {
                    let index = panes.get_or_create(ordinal);
                    let table = panes.table_mut(index);
                    let value =
                        table.get_or_insert_with(stable_hash(&key), key, || V::from_number(0));
                    *value = V::from_number(number);
                    model.insert((ordinal, key), number);
                }
                Operation::Remove(ordinal, key) => {
                    let index = panes.index_of(ordinal);
                    if panes.get(ordinal).is_some() {
                        let removed = panes.table_mut(index).remove(stable_hash(&key), &key);
                        let expected = model.remove(&(ordinal, key)).map(V::from_number);
                        assert_eq!(removed, expected);
                    }
                }
                Operation::DropOldest(count) => {
                    let count = count.min(panes.all().len());
                    for pane in &panes.all()[..count] {
                        model.retain(|(ordinal, _), _| *ordinal != pane.ordinal);
                    }
                    panes.drop_oldest(count);
                }
                Operation::Barrier(kind) => {
                    let kind = if next_is_full { SnapshotKind::Full } else { kind };
                    is_completed = store.barrier(kind, &mut panes, &model);
                    next_is_full = false;
                }
                Operation::Drain(entries) => is_completed = store.drain(entries, &mut panes),
                Operation::Abandon => next_is_full |= store.abandon(&mut panes),
                Operation::Restore => {
                    (panes, model) = (Panes::default(), store.completed.clone());
                    store.forget_under_way();
                    next_is_full = false;
                    store.restore(5, &mut panes);
                }
            }
            if is_completed {
                let mut restored = Panes::<u16, V>::default();
                store.restore(64, &mut restored);
                assert_eq!(contents(&restored), expected(&store.completed));
                assert!(restored.all().iter().all(|pane| !pane.table.is_empty()));
            }
        }
        assert_eq!(contents(&panes), expected(&model));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

        #[test]
        fn a_chain_of_checkpoints_restores_what_the_barrier_saw(operations in operations()) {
            run::<u64>(&operations);
            run::<(Vec<u16>, [u64; 14])>(&operations);
        }
    }
}
