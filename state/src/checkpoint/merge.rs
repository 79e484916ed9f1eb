//! Merges neighbouring segments of a chain into one, in small steps, by the bytes of the keys.
//!
//! A state is merged slice by slice of its key groups, and in a slice from the newest segment to
//! the oldest, so that an entry is written when it is first met:
//!
//! ```text
//! newest  upserts     not seen: write, seen        seen, or its namespace ended later: drop
//!         tombstones  not seen: write, seen        (the base: nothing is older, do not write)
//! ..
//! oldest  the same; nothing is older, so nothing need be seen
//! ```
//!
//! Memory: the keys, not the values, of a slice in all but the oldest segment; a slice is so
//! chosen that these segments have some [`SLICE_BYTES`] in it, or a [`STRIPES`]-th of all.

use std::collections::BTreeMap;
use std::ops::Range;

use tailwater_core::{Error, Result};

use super::cursor::u64_at;
use super::layout::{BlockEntry, BlockKind, SegmentHeader};
use super::manifest::{StateEntry, StateSort};
use super::seen::Seen;
use super::segment_reader::{Buffer, Segment, runs};
use super::segment_writer::{SegmentRef, SegmentWriter};
use super::stripes::{STRIPES, Stripes};
use crate::changes::{EVERY_GROUP, Frame, Payload};
use crate::fault::{Fault, fault};
use crate::store::CheckpointStore;

/// Bytes of frames whose keys are kept at once: their table stays in a core's cache.
const SLICE_BYTES: u64 = 8 << 20;

/// What a merge made, or that there is more to do.
pub(crate) enum Step {
    More(Box<Merge>),
    Done(SegmentRef),
}

/// A merge under way. Dropped, it never was.
pub(crate) struct Merge {
    /// The oldest first.
    inputs: Vec<Segment>,
    states: Vec<(String, String, u64)>,
    output: SegmentWriter,
    /// The state that is being merged.
    state: Option<StateMerge>,
    seen: Seen,
    buffer: Buffer,
}

/// One state of a merge.
struct StateMerge {
    stripes: Stripes,
    key_groups: usize,
    /// The next slice of so many.
    slice: usize,
    slices: usize,
    /// For each namespace that ended, the newest input that says so.
    ended: BTreeMap<u64, usize>,
    namespaced: bool,
    /// What is still to be read of this slice; the next at the end.
    left: Vec<Read>,
}

impl StateMerge {
    /// The key groups of a slice.
    fn groups(&self, slice: usize) -> Range<u32> {
        let first_of = |slice: usize| (slice * self.key_groups).div_ceil(self.slices) as u32;
        first_of(slice)..first_of(slice + 1)
    }
}

/// Blocks of one input that are read at once.
struct Read {
    input: usize,
    blocks: Vec<BlockEntry>,
}

impl Merge {
    /// Begins to merge these segments, the oldest first, of a job whose newest checkpoint has these
    /// states; what others left in the segments is dropped.
    pub fn begin(
        store: &dyn CheckpointStore,
        name: String,
        inputs: &[SegmentRef],
        states: &[StateEntry],
    ) -> Result<Self> {
        let inputs = inputs.iter().map(|input| Segment::open(store, input));
        let inputs = inputs.collect::<Result<Vec<_>>>()?;
        let (Some(oldest), Some(newest)) = (inputs.first(), inputs.last()) else {
            return Err(Error::internal("a merge needs segments"));
        };
        let header = SegmentHeader { last: newest.header.last, ..oldest.header.clone() };
        let tracked = states.iter().filter(|s| matches!(s.sort, StateSort::Tracked { .. }));
        let mut states: Vec<_> =
            tracked.map(|s| (s.operator.clone(), s.state.clone(), s.since)).collect();
        states.reverse();
        let output = SegmentWriter::begin(store, name, header)?;
        let (seen, buffer) = (Seen::default(), Buffer::new());
        Ok(Self { inputs, states, output, state: None, seen, buffer })
    }

    /// Does some work: reads half a megabyte or one block, and writes what is left of it.
    pub fn step(mut self: Box<Self>) -> Result<Step> {
        let Some(mut state) = self.state.take() else {
            let Some(name) = self.states.last().cloned() else {
                return Ok(Step::Done(self.output.finish()?));
            };
            self.state = Some(self.begin_state(&name)?);
            return Ok(Step::More(self));
        };
        if let Some(read) = state.left.pop() {
            self.merge_blocks(&mut state, &read)?;
            self.state = Some(state);
        } else if state.slice < state.slices {
            self.seen.clear();
            state.left = self.reads_of(&state);
            state.slice += 1;
            self.state = Some(state);
        } else {
            state.stripes.flush(&mut self.output)?;
            self.states.pop();
        }
        Ok(Step::More(self))
    }

    /// The number of the state that is being merged, in an input that has entries of it.
    fn number_in(&self, input: &Segment) -> Option<u16> {
        let (operator, state, since) = self.states.last()?;
        if input.header.last < *since { None } else { input.number_of(operator, state) }
    }

    fn begin_state(&mut self, (operator, state, _): &(String, String, u64)) -> Result<StateMerge> {
        let number = self.output.number_of(operator, state)?;
        let key_groups = self.output.header().key_groups;
        let mut ended = BTreeMap::new();
        let mut bytes = 0;
        for (index, input) in self.inputs.iter().enumerate() {
            let Some(number) = self.number_in(input) else { continue };
            let blocks = input.index.blocks.iter().filter(|block| block.state == number);
            let blocks = blocks.map(|block| u64::from(block.payload_len));
            bytes += if index > 0 { blocks.sum() } else { 0 };
            let ends = |block: &BlockEntry| {
                block.state == number
                    && block.kind == BlockKind::Tombstones
                    && block.groups.1 == EVERY_GROUP
            };
            input.read(ends, &mut self.buffer, &mut |_, payload| {
                for_each_frame(payload, |frame, _| {
                    if frame.payload == Payload::NamespaceTombstone {
                        ended.insert(u64_at(frame.key, 0), index);
                    }
                    Ok(())
                })
            })?;
        }
        let mut stripes = Stripes::new(number, key_groups);
        if !self.output.header().is_full {
            for namespace in ended.keys() {
                let (key, mut whole) = (namespace.to_le_bytes(), Vec::new());
                let payload = Payload::NamespaceTombstone;
                let frame = Frame { group: EVERY_GROUP, key: &key, payload };
                frame.write(&mut whole);
                stripes.add_frame(&frame, &whole, &mut self.output)?;
            }
        }
        // A power of two, so that slices end where stripes do.
        let slices = bytes.div_ceil(SLICE_BYTES).next_power_of_two();
        let slices = slices.min(STRIPES.min(key_groups as usize) as u64) as usize;
        let namespaced = !ended.is_empty();
        let key_groups = key_groups as usize;
        Ok(StateMerge {
            stripes,
            key_groups,
            slice: 0,
            slices,
            ended,
            namespaced,
            left: Vec::new(),
        })
    }

    /// All that has entries of the next slice, the first to be read at the end.
    fn reads_of(&self, state: &StateMerge) -> Vec<Read> {
        let groups = state.groups(state.slice);
        let mut reads = Vec::new();
        let kinds = match fault(Fault::TombstonesAfterUpserts) {
            false => [BlockKind::Tombstones, BlockKind::Upserts],
            true => [BlockKind::Upserts, BlockKind::Tombstones],
        };
        for (input, segment) in self.inputs.iter().enumerate() {
            let Some(number) = self.number_in(segment) else { continue };
            for kind in kinds {
                let wanted = segment.index.blocks.iter().filter(|block| {
                    block.state == number && block.kind == kind && block.concerns(&groups)
                });
                let wanted: Vec<_> = wanted.collect();
                reads.extend(
                    runs(&wanted).map(|run| Read {
                        input,
                        blocks: run.iter().map(|block| **block).collect(),
                    }),
                );
            }
        }
        reads
    }

    fn merge_blocks(&mut self, state: &mut StateMerge, read: &Read) -> Result<()> {
        let Self { inputs, output, seen, buffer, .. } = self;
        let is_full = output.header().is_full;
        let groups = state.groups(state.slice - 1);
        let is_oldest = read.input == 0;
        let segment = &inputs[read.input];
        let blocks: Vec<_> = read.blocks.iter().collect();
        segment.read_run(&blocks, buffer, &mut |_, payload| {
            for_each_frame(payload, |frame, whole| {
                if !groups.contains(&u32::from(frame.group)) {
                    return Ok(());
                }
                if state.namespaced && ended_after(&state.ended, &frame, read.input) {
                    return Ok(());
                }
                let is_new = match is_oldest {
                    true => !seen.contains(frame.key),
                    false => seen.insert(frame.key),
                };
                let is_written = match frame.payload {
                    Payload::Upsert(_) => is_new,
                    _ => is_new && !is_full,
                };
                if is_written {
                    state.stripes.add_frame(&frame, whole, output)?;
                }
                Ok(())
            })
        })
    }
}

/// Whether the namespace of a frame of this input ended in a later one.
fn ended_after(ended: &BTreeMap<u64, usize>, frame: &Frame<'_>, input: usize) -> bool {
    frame.key.len() >= 8 && ended.get(&u64_at(frame.key, 0)).is_some_and(|end| *end > input)
}

/// Calls `each` with every frame and its bytes.
fn for_each_frame<'a>(
    mut bytes: &'a [u8],
    mut each: impl FnMut(Frame<'a>, &'a [u8]) -> Result<()>,
) -> Result<()> {
    while !bytes.is_empty() {
        let (frame, len) = Frame::parse(bytes)?;
        let (whole, rest) = bytes.split_at(len);
        bytes = rest;
        each(frame, whole)?;
    }
    Ok(())
}
