//! Sorts the frames of a state by key group, roughly, on their way into a segment.
//!
//! Small tables hand entries out in the order of their memory, so that a chunk has all key groups
//! of a core. A large one hands out chunks of one stripe each, which are blocks as they are.

use tailwater_core::{Error, Result};

use super::layout::BlockKind;
use super::segment_writer::{NewBlock, SegmentWriter};
use crate::changes::{Chunk, EVERY_GROUP, Frame, Frames, Payload};
use crate::striping::{STRIPE_BYTES, Striping};

/// A chunk of a stripe that has fewer bytes waits for others to share its block.
const OWN_BLOCK_MIN: usize = STRIPE_BYTES / 2;

/// Frames that will be a block.
#[derive(Debug, Default)]
struct Stripe {
    bytes: Vec<u8>,
    frames: u32,
    groups: Option<(u16, u16)>,
}

/// The frames of one state that are not written yet.
#[derive(Debug)]
pub(crate) struct Stripes {
    /// The state's number in the segment.
    number: u16,
    striping: Striping,
    stripes: Vec<Stripe>,
    tombstones: Stripe,
    /// How many bytes wait.
    waiting: usize,
}

impl Stripe {
    #[inline]
    fn add(&mut self, frame: &[u8], group: u16) {
        self.bytes.extend_from_slice(frame);
        self.frames += 1;
        self.widen((group, group));
    }

    #[inline]
    fn widen(&mut self, (first, last): (u16, u16)) {
        let (low, high) = self.groups.unwrap_or((first, last));
        self.groups = Some((low.min(first), high.max(last)));
    }

    fn write(&mut self, kind: BlockKind, state: u16, into: &mut SegmentWriter) -> Result<()> {
        let Some(groups) = self.groups.take() else { return Ok(()) };
        let block = NewBlock { kind, state, core: 0, count: self.frames, groups };
        self.frames = 0;
        let written = into.append(block, &self.bytes);
        self.bytes.clear();
        written
    }

    fn absorb(&mut self, other: &mut Self) {
        let Some(groups) = other.groups.take() else { return };
        self.bytes.append(&mut other.bytes);
        self.frames += std::mem::take(&mut other.frames);
        self.widen(groups);
    }
}

impl Stripes {
    pub fn new(number: u16, key_groups: u32) -> Self {
        let striping = Striping::of(key_groups);
        let stripes = std::iter::repeat_with(Stripe::default).take(striping.count()).collect();
        Self { number, striping, stripes, tombstones: Stripe::default(), waiting: 0 }
    }

    /// How many bytes wait to be written.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Takes frames; writes the stripes that are full. Gives back how many frames there were.
    pub fn add(&mut self, mut bytes: &[u8], into: &mut SegmentWriter) -> Result<u32> {
        let mut count = 0;
        while !bytes.is_empty() {
            let (frame, len) = Frame::parse(bytes)?;
            let (whole, rest) = bytes.split_at(len);
            bytes = rest;
            count += 1;
            self.add_frame(&frame, whole, into)?;
        }
        Ok(count)
    }

    /// Takes a chunk of upserts that are of one stripe already.
    pub fn add_sorted(&mut self, chunk: &Chunk, into: &mut SegmentWriter) -> Result<()> {
        let stripe = chunk.groups.and_then(|groups| self.striping.stripe_of_all(groups));
        let (Some(groups), Some(stripe)) = (chunk.groups, stripe) else {
            return Err(Error::internal("a chunk was sorted by other key groups than the job's"));
        };
        if !chunk.bytes.len().is_multiple_of(8) {
            return Err(Error::internal("a sorted chunk ends within a frame"));
        }
        debug_assert!(is_of(chunk, |group| groups.contains(group)), "as it says of itself");
        let (bytes, number) = (&chunk.bytes[..], self.number);
        let groups = (groups.first, groups.last);
        if bytes.len() >= OWN_BLOCK_MIN {
            let (kind, count) = (BlockKind::Upserts, chunk.frames);
            return into.append(NewBlock { kind, state: number, core: 0, count, groups }, bytes);
        }
        let stripe = &mut self.stripes[stripe];
        stripe.bytes.extend_from_slice(bytes);
        stripe.frames += chunk.frames;
        stripe.widen(groups);
        self.waiting += bytes.len();
        if stripe.bytes.len() >= STRIPE_BYTES {
            self.waiting -= stripe.bytes.len();
            stripe.write(BlockKind::Upserts, number, into)?;
        }
        Ok(())
    }

    /// Takes one frame, whose bytes are `whole`.
    #[inline]
    pub fn add_frame(
        &mut self,
        frame: &Frame<'_>,
        whole: &[u8],
        into: &mut SegmentWriter,
    ) -> Result<()> {
        let stripe = self.striping.stripe(frame.group);
        let is_upsert = matches!(frame.payload, Payload::Upsert(_));
        let (stripe, kind) = if stripe < self.stripes.len() {
            match is_upsert {
                true => (&mut self.stripes[stripe], BlockKind::Upserts),
                false => (&mut self.tombstones, BlockKind::Tombstones),
            }
        } else if frame.group == EVERY_GROUP && !is_upsert {
            (&mut self.tombstones, BlockKind::Tombstones)
        } else {
            let (group, key_groups) = (frame.group, self.striping.key_groups);
            return Err(Error::internal(format!(
                "a frame has key group {group}, the job has {key_groups}"
            )));
        };
        stripe.add(whole, frame.group);
        self.waiting += whole.len();
        if stripe.bytes.len() >= STRIPE_BYTES {
            self.waiting -= stripe.bytes.len();
            stripe.write(kind, self.number, into)?;
        }
        Ok(())
    }

    /// Writes all that waits; neighbouring stripes share a block while they fit one.
    pub fn flush(&mut self, into: &mut SegmentWriter) -> Result<()> {
        self.tombstones.write(BlockKind::Tombstones, self.number, into)?;
        let mut block = Stripe::default();
        for stripe in &mut self.stripes {
            if block.bytes.len() + stripe.bytes.len() > STRIPE_BYTES {
                block.write(BlockKind::Upserts, self.number, into)?;
            }
            block.absorb(stripe);
        }
        block.write(BlockKind::Upserts, self.number, into)?;
        self.waiting = 0;
        Ok(())
    }
}

/// Whether a chunk has as many frames as it says, all of them upserts of such key groups.
fn is_of(chunk: &Chunk, has: impl Fn(u16) -> bool) -> bool {
    let mut frames = Frames::new(&chunk.bytes);
    let is_upsert = |frame: &Frame<'_>| matches!(frame.payload, Payload::Upsert(_));
    frames.clone().count() == chunk.frames as usize
        && frames.all(|frame| frame.is_ok_and(|frame| is_upsert(&frame) && has(frame.group)))
}

#[cfg(test)]
mod tests {
    use super::super::layout::SegmentHeader;
    use super::*;
    use crate::changes::GroupRange;
    use crate::store::{DirectoryStore, RealDisk};

    fn chunk(groups: (u16, u16), frames: u32) -> Chunk {
        let mut bytes = Vec::new();
        for number in 0..frames {
            let (group, key) = (if number % 2 == 0 { groups.0 } else { groups.1 }, b"key");
            Frame { group, key, payload: Payload::Upsert(&number.to_le_bytes()) }.write(&mut bytes);
        }
        let groups = Some(GroupRange { first: groups.0, last: groups.1 });
        Chunk { state: 0, frames, groups, bytes }
    }

    #[test]
    fn a_sorted_chunk_is_a_block_or_shares_one() {
        let directory = tempfile::tempdir().unwrap();
        let store = DirectoryStore::create(RealDisk::default(), directory.path()).unwrap();
        let header =
            SegmentHeader { job: "job".into(), key_groups: 128, first: 1, last: 1, is_full: true };
        let mut segment = SegmentWriter::begin(&store, "1.segment".into(), header).unwrap();
        let number = segment.number_of("operator", "state").unwrap();
        let mut stripes = Stripes::new(number, 128);
        let full = STRIPE_BYTES as u32 / 24;
        stripes.add_sorted(&chunk((2, 3), full), &mut segment).unwrap();
        assert_eq!(stripes.waiting(), 0);
        for groups in [(2, 3), (4, 5), (126, 127)] {
            stripes.add_sorted(&chunk(groups, 5), &mut segment).unwrap();
        }
        assert_eq!(stripes.waiting(), 3 * 5 * 24);
        for groups in [(3, 4), (127, 128), (5, 4)] {
            let outcome = stripes.add_sorted(&chunk(groups, 5), &mut segment);
            assert!(outcome.is_err(), "{groups:?}");
        }
        stripes.flush(&mut segment).unwrap();
        let blocks: Vec<_> = segment.blocks().map(|block| (block.groups, block.count)).collect();
        assert_eq!(blocks, [((2, 3), full), ((2, 127), 15)]);
    }
}
