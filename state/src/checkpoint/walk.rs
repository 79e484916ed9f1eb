//! Walks the entries of a state over a chain of segments, each key once, with what the newest
//! segment says of it.
//!
//! It goes slice by slice of the key groups, and in a slice from the newest segment to the oldest,
//! so that what is met first is what holds:
//!
//! ```text
//! newest  upserts     not seen: hand on, seen      seen, or its namespace ended later: drop
//!         tombstones  not seen: hand on, seen
//! ..
//! oldest  the same; nothing is older, so nothing need be seen
//! ```
//!
//! Memory: the keys, not the values, of a slice in all but the oldest segment; a slice is so
//! chosen that these segments have some [`SLICE_BYTES`] in it, or a [`STRIPES`]-th of all.

use std::collections::BTreeMap;
use std::ops::Range;

use tailwater_core::{Fault, Result, fault};

use super::cursor::u64_at;
use super::layout::{BlockEntry, BlockKind};
use super::seen::Seen;
use super::segment_reader::{Buffer, Segment};
use crate::changes::{EVERY_GROUP, Frame, GroupRange, Payload};
use crate::striping::STRIPES;

/// Bytes of frames whose keys are kept at once: their table stays in a core's cache.
const SLICE_BYTES: u64 = 8 << 20;

/// One state of a chain on its way past.
pub(crate) struct Walk {
    /// The state's number in each segment that has entries of it.
    numbers: Vec<Option<u16>>,
    key_groups: usize,
    /// The next slice of so many.
    slice: usize,
    slices: usize,
    /// For each namespace that ended, the newest segment that says so of which key groups.
    ended: BTreeMap<u64, Vec<(GroupRange, usize)>>,
    /// What is still to be read of this slice; the next at the end.
    left: Vec<Read>,
}

/// What a walk needs besides, and what is used again by the next.
#[derive(Default)]
pub(crate) struct Scratch {
    seen: Seen,
    buffer: Buffer,
}

/// Blocks of one segment that are read at once.
struct Read {
    segment: usize,
    blocks: Vec<BlockEntry>,
}

impl Walk {
    /// Begins at the first slice. Segments from before checkpoint `since` have nothing of it.
    pub fn begin(
        segments: &[Segment],
        (operator, state): (&str, &str),
        since: u64,
        scratch: &mut Scratch,
    ) -> Result<Self> {
        let number = |segment: &Segment| match segment.header.last < since {
            true => None,
            false => segment.number_of(operator, state),
        };
        let numbers: Vec<_> = segments.iter().map(number).collect();
        let mut ended = BTreeMap::new();
        let mut bytes = 0;
        for (index, segment) in segments.iter().enumerate() {
            let Some(number) = numbers[index] else { continue };
            let blocks = segment.index.blocks.iter().filter(|block| block.state == number);
            let blocks = blocks.map(|block| u64::from(block.payload_len));
            bytes += if index > 0 { blocks.sum() } else { 0 };
            let ends = |block: &BlockEntry| {
                block.state == number
                    && block.kind == BlockKind::Tombstones
                    && block.groups.1 == EVERY_GROUP
            };
            segment.read(ends, &mut scratch.buffer, &mut |_, payload| {
                for_each_frame(payload, |frame, _| {
                    if let Payload::NamespaceTombstone(groups) = frame.payload {
                        let ends: &mut Vec<_> = ended.entry(u64_at(frame.key, 0)).or_default();
                        ends.retain(|(of, _)| *of != groups);
                        ends.push((groups, index));
                    }
                    Ok(())
                })
            })?;
        }
        let key_groups = segments.first().map_or(1, |first| first.header.key_groups) as usize;
        // A power of two, so that slices end where stripes do.
        let slices = bytes.div_ceil(SLICE_BYTES).max(1).next_power_of_two();
        let slices = slices.min(STRIPES.min(key_groups) as u64) as usize;
        Ok(Self { numbers, key_groups, slice: 0, slices, ended, left: Vec::new() })
    }

    /// The namespaces that ended anywhere in the chain.
    pub fn ended(&self) -> impl Iterator<Item = (u64, GroupRange)> + '_ {
        let ended = self.ended.iter();
        ended.flat_map(|(namespace, ends)| ends.iter().map(|(groups, _)| (*namespace, *groups)))
    }

    /// Reads half a megabyte or one block, and hands on what is the newest of its key: the frame
    /// and its bytes, tombstones of keys included. `false` when there is nothing left.
    pub fn step(
        &mut self,
        segments: &[Segment],
        scratch: &mut Scratch,
        each: &mut dyn FnMut(Frame<'_>, &[u8]) -> Result<()>,
    ) -> Result<bool> {
        let Some(read) = self.left.pop() else {
            if self.slice == self.slices {
                return Ok(false);
            }
            scratch.seen.clear();
            self.left = self.reads(segments);
            self.slice += 1;
            return Ok(true);
        };
        let groups = self.groups(self.slice - 1);
        let Scratch { seen, buffer } = scratch;
        let blocks: Vec<_> = read.blocks.iter().collect();
        segments[read.segment].read_run(&blocks, buffer, &mut |_, payload| {
            for_each_frame(payload, |frame, whole| {
                let is_wanted = groups.contains(&u32::from(frame.group));
                if !is_wanted || self.ended_after(&frame, read.segment) {
                    return Ok(());
                }
                let is_new = match read.segment {
                    0 => !seen.contains(frame.key),
                    _ => seen.insert(frame.key),
                };
                if is_new { each(frame, whole) } else { Ok(()) }
            })
        })?;
        Ok(true)
    }

    /// The key groups of a slice.
    fn groups(&self, slice: usize) -> Range<u32> {
        let first_of = |slice: usize| (slice * self.key_groups).div_ceil(self.slices) as u32;
        first_of(slice)..first_of(slice + 1)
    }

    /// All that has entries of the next slice, the first to be read at the end.
    fn reads(&self, segments: &[Segment]) -> Vec<Read> {
        let groups = self.groups(self.slice);
        let mut reads = Vec::new();
        let kinds = match fault(Fault::TombstonesAfterUpserts) {
            false => [BlockKind::Tombstones, BlockKind::Upserts],
            true => [BlockKind::Upserts, BlockKind::Tombstones],
        };
        for (index, segment) in segments.iter().enumerate() {
            let Some(number) = self.numbers[index] else { continue };
            for kind in kinds {
                let wanted = segment.index.blocks.iter().filter(|block| {
                    block.state == number && block.kind == kind && block.concerns(&groups)
                });
                let wanted: Vec<_> = wanted.collect();
                let read = |run: &[&BlockEntry]| Read {
                    segment: index,
                    blocks: run.iter().map(|block| **block).collect(),
                };
                // Taken from the end; within a kind the order does not matter.
                reads.extend(segment.runs(&wanted).map(read));
            }
        }
        reads
    }

    /// Whether the namespace of a frame of this segment ended in a later one.
    #[inline]
    fn ended_after(&self, frame: &Frame<'_>, segment: usize) -> bool {
        !self.ended.is_empty()
            && frame.key.len() >= 8
            && self.ended.get(&u64_at(frame.key, 0)).is_some_and(|ends| {
                ends.iter().any(|(groups, end)| *end > segment && groups.contains(frame.group))
            })
    }
}

/// Calls `each` with every frame and its bytes.
#[inline]
pub(crate) fn for_each_frame<'a>(
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
