//! One checkpoint on its way into a store: what the cores hand over, sorted into a segment.

use std::collections::BTreeMap;

use tailwater_core::{Error, Result};

use super::layout::SegmentHeader;
use super::manifest::{StateEntry, StateSort, StoredSchema, Transaction};
use super::names;
use super::segment_writer::{SegmentRef, SegmentWriter};
use super::stripes::Stripes;
use crate::changes::{Changes, Chunk};
use crate::snapshot::Spread;
use crate::store::{CheckpointStore, NewFile};

/// Frames of all states that wait to be sorted into blocks take at most so many bytes.
const WAITING_MAX: usize = 64 << 20;
/// Items of a list share a block while they have at most so many bytes.
const ITEMS_BYTES: usize = 256 << 10;

/// A checkpoint that is being written. Dropped, it never was.
pub struct CheckpointWriter {
    segment: SegmentWriter,
    states: BTreeMap<(String, String), Declared>,
    /// The stripes of tracked states, by the number that `tracked` gave.
    stripes: Vec<Stripes>,
    waiting: usize,
    transactions: Vec<Transaction>,
    frames: u64,
    frame_bytes: u64,
    /// Of all states that tell.
    pub(super) changes: Changes,
}

struct Declared {
    sort: StateSort,
    /// Where its stripes are, if it is tracked.
    number: usize,
    /// The cores that wrote its values.
    cores: Vec<u32>,
}

/// What a checkpoint wrote, ready for its manifest.
pub(crate) struct Written {
    /// Neither durable nor visible yet.
    pub file: Box<dyn NewFile>,
    pub segment: SegmentRef,
    pub states: Vec<StateEntry>,
    pub transactions: Vec<Transaction>,
    pub frames: u64,
    pub frame_bytes: u64,
    pub changes: Changes,
}

/// A tracked state in a checkpoint that is being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackedNumber(usize);

impl CheckpointWriter {
    pub(crate) fn begin(store: &dyn CheckpointStore, header: SegmentHeader) -> Result<Self> {
        let name = names::segment(header.last);
        Ok(Self {
            segment: SegmentWriter::begin(store, name, header)?,
            states: BTreeMap::new(),
            stripes: Vec::new(),
            waiting: 0,
            transactions: Vec::new(),
            frames: 0,
            frame_bytes: 0,
            changes: Changes::default(),
        })
    }

    /// The checkpoint's number.
    pub fn checkpoint(&self) -> u64 {
        self.segment.header().last
    }

    /// Declares a tracked state; every core that has entries of it does, in the same way.
    ///
    /// # Errors
    /// When it was declared in another way.
    pub fn tracked(
        &mut self,
        operator: &str,
        state: &str,
        (key, value): (StoredSchema, StoredSchema),
        namespaced: bool,
    ) -> Result<TrackedNumber> {
        let sort = StateSort::Tracked { key, value, namespaced };
        let number = self.declare(operator, state, sort)?.number;
        if number == self.stripes.len() {
            let in_segment = self.segment.number_of(operator, state)?;
            let key_groups = self.segment.header().key_groups;
            self.stripes.push(Stripes::new(in_segment, key_groups));
        }
        Ok(TrackedNumber(number))
    }

    /// Takes frames of a tracked state, as a table drained them.
    ///
    /// # Errors
    /// When the store refuses, or the bytes are no frames.
    pub fn frames(&mut self, of: TrackedNumber, bytes: &[u8]) -> Result<()> {
        self.take(of, bytes.len(), |stripes, segment| stripes.add(bytes, segment))
    }

    /// Takes frames of a tracked state that are of one stripe.
    pub(super) fn sorted(&mut self, of: TrackedNumber, chunk: &Chunk) -> Result<()> {
        self.take(of, chunk.bytes.len(), |stripes, segment| {
            stripes.add_sorted(chunk, segment)?;
            Ok(chunk.frames)
        })
    }

    fn take(
        &mut self,
        of: TrackedNumber,
        bytes: usize,
        add: impl FnOnce(&mut Stripes, &mut SegmentWriter) -> Result<u32>,
    ) -> Result<()> {
        let stripes = &mut self.stripes[of.0];
        let before = stripes.waiting();
        self.frames += u64::from(add(stripes, &mut self.segment)?);
        self.frame_bytes += bytes as u64;
        self.waiting = self.waiting + stripes.waiting() - before;
        if self.waiting > WAITING_MAX {
            self.waiting -= stripes.waiting();
            stripes.flush(&mut self.segment)?;
        }
        Ok(())
    }

    /// Takes the items of a small state that a core wrote at the barrier.
    ///
    /// # Errors
    /// When the store refuses, the core wrote this state before, or it was declared in another way.
    pub fn items(
        &mut self,
        core: u32,
        (operator, state): (&str, &str),
        (spread, item): (Spread, StoredSchema),
        items: &[Vec<u8>],
    ) -> Result<()> {
        let declared = self.declare(operator, state, StateSort::List { spread, item })?;
        if declared.cores.contains(&core) {
            let problem = format!("core {core} wrote `{operator}/{state}` twice in a checkpoint");
            return Err(Error::internal(problem));
        }
        declared.cores.push(core);
        let number = self.segment.number_of(operator, state)?;
        let mut left = items;
        // A core that wrote no items wrote that there are none.
        loop {
            let mut bytes = 0;
            let fits = left.iter().take_while(|item| {
                bytes += item.len();
                bytes <= ITEMS_BYTES
            });
            let count = fits.count().max(1).min(left.len());
            let (block, rest) = left.split_at(count);
            self.segment.append_items(number, core, block)?;
            left = rest;
            if left.is_empty() {
                return Ok(());
            }
        }
    }

    /// Takes what a sink prepared on a core.
    pub fn transaction(&mut self, sink: &str, core: u32, bytes: Vec<u8>) {
        self.transactions.push(Transaction { sink: sink.to_owned(), core, bytes });
    }

    fn declare(&mut self, operator: &str, state: &str, sort: StateSort) -> Result<&mut Declared> {
        let name = (operator.to_owned(), state.to_owned());
        let number = self.stripes.len();
        let new = || Declared { sort: sort.clone(), number, cores: Vec::new() };
        let declared = self.states.entry(name).or_insert_with(new);
        if declared.sort != sort {
            let problem = format!("two cores have another type of `{operator}/{state}`");
            return Err(Error::internal(problem));
        }
        Ok(declared)
    }

    /// How many bytes went into the segment so far.
    pub fn len(&self) -> u64 {
        self.segment.len() + self.waiting as u64
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// Writes all that waits.
    pub(crate) fn seal(mut self) -> Result<Written> {
        for stripes in &mut self.stripes {
            stripes.flush(&mut self.segment)?;
        }
        let since = self.checkpoint();
        let states = self.states.into_iter().map(|((operator, state), declared)| StateEntry {
            operator,
            state,
            sort: declared.sort,
            since,
        });
        let (file, segment) = self.segment.seal()?;
        Ok(Written {
            file,
            segment,
            states: states.collect(),
            transactions: self.transactions,
            frames: self.frames,
            frame_bytes: self.frame_bytes,
            changes: self.changes,
        })
    }
}
