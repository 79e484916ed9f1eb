//! A naive store for property tests: keeps the chunks of checkpoints and replays them.

use std::collections::{BTreeMap, BTreeSet};

use crate::changes::{Chunk, Drain, Frame, Frames, Payload, SnapshotKind, TrackedState};

/// The index that checkpoints give the state under test.
const STATE: u16 = 7;

/// Checkpoints that build on each other, and what the model held at the last barrier.
pub(crate) struct Store<M> {
    /// Completed checkpoints, the first of them full or the first of all.
    chain: Vec<Vec<Chunk>>,
    /// What the model held when the last of them was cut.
    pub(crate) completed: M,
    /// The checkpoint under way.
    under_way: Option<(SnapshotKind, M, Vec<Chunk>)>,
    drain: Drain,
}

impl<M: Clone + Default> Default for Store<M> {
    fn default() -> Self {
        let (chain, completed) = (Vec::new(), M::default());
        Self { chain, completed, under_way: None, drain: Drain::new() }
    }
}

impl<M: Clone> Store<M> {
    /// A barrier; finishes the drain before. `true` when a checkpoint was completed by that.
    pub(crate) fn barrier(
        &mut self,
        kind: SnapshotKind,
        state: &mut impl TrackedState,
        model: &M,
    ) -> bool {
        let is_completed = self.drain(usize::MAX, state);
        state.begin(STATE, kind);
        self.under_way = Some((kind, model.clone(), Vec::new()));
        is_completed
    }

    /// Drains so many entries. `true` when a checkpoint was completed by that.
    pub(crate) fn drain(&mut self, entries: usize, state: &mut impl TrackedState) -> bool {
        let Some((kind, model, chunks)) = &mut self.under_way else { return false };
        self.drain.allow(entries);
        let is_done = state.drain(&mut self.drain).unwrap();
        chunks.extend(self.drain.take());
        assert!(is_done || entries < usize::MAX, "an unbounded drain ends at once");
        if is_done {
            check(chunks);
            if *kind == SnapshotKind::Full {
                self.chain.clear();
            }
            self.chain.push(std::mem::take(chunks));
            self.completed = model.clone();
            self.under_way = None;
        }
        is_done
    }

    /// The checkpoint under way fails: nothing of it is kept. `true` where there was one.
    pub(crate) fn abandon(&mut self, state: &mut impl TrackedState) -> bool {
        let Some((_, _, _)) = self.under_way.take() else { return false };
        self.drain.allow(usize::MAX);
        assert!(state.drain(&mut self.drain).unwrap());
        self.drain.take();
        true
    }

    /// The process that made the checkpoint under way is gone.
    pub(crate) fn forget_under_way(&mut self) {
        self.under_way = None;
    }

    /// Fills an empty state from the completed checkpoints, `batch` frames at a time.
    pub(crate) fn restore(&self, batch: usize, state: &mut impl TrackedState) {
        for chunk in self.chain.iter().flatten() {
            let frames: Vec<Frame<'_>> = Frames::new(&chunk.bytes).map(Result::unwrap).collect();
            frames.chunks(batch).for_each(|frames| state.load(frames).unwrap());
        }
        state.loaded().unwrap();
    }
}

/// What holds for the delta of every checkpoint.
fn check(chunks: &[Chunk]) {
    let mut upserts = BTreeSet::new();
    for chunk in chunks {
        assert!(chunk.state == STATE && chunk.frames > 0);
        assert_eq!(Frames::new(&chunk.bytes).count(), chunk.frames as usize);
        for frame in Frames::new(&chunk.bytes).map(Result::unwrap) {
            if let Payload::Upsert(_) = frame.payload {
                assert!(upserts.insert(frame.key.to_vec()), "a key has one upsert");
            } else {
                assert!(upserts.is_empty(), "tombstones come first");
            }
        }
    }
}

/// A value made of a number, in forms that tables store in different ways.
pub(crate) trait FromNumber: tailwater_core::Record + PartialEq + std::fmt::Debug {
    fn from_number(number: u32) -> Self;
}

/// In the slot; its bytes are its archive.
impl FromNumber for u64 {
    fn from_number(number: u32) -> Self {
        number.into()
    }
}

/// In the slot; archived, and dropped.
impl FromNumber for String {
    fn from_number(number: u32) -> Self {
        number.to_string().repeat(number as usize % 4)
    }
}

/// In the slab.
impl FromNumber for [i128; 9] {
    fn from_number(number: u32) -> Self {
        [number.into(); 9]
    }
}

/// In the slab; archived, and dropped.
impl FromNumber for (Vec<u16>, [u64; 14]) {
    fn from_number(number: u32) -> Self {
        (vec![number as u16; number as usize % 5], [number.into(); 14])
    }
}

/// A model's values in the form that a table has.
pub(crate) fn expected<K: Ord + Clone, V: FromNumber>(model: &BTreeMap<K, u32>) -> BTreeMap<K, V> {
    model.iter().map(|(key, number)| (key.clone(), V::from_number(*number))).collect()
}
