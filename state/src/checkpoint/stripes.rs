//! Sorts the frames of a state by key group, roughly, on their way into a segment.
//!
//! Tables hand entries out in the order of their memory, so a chunk has all key groups of a core.
//! Blocks with few key groups are what lets a merge work on one slice of the groups at a time, and
//! a restore on another number of cores read only what it needs.

use tailwater_core::{Error, Result};

use super::layout::BlockKind;
use super::segment_writer::{NewBlock, SegmentWriter};
use crate::changes::{EVERY_GROUP, Frame, Payload};

/// Key groups are sorted into so many stripes: a slice of a merge is at least one of them.
pub(crate) const STRIPES: usize = 64;
/// A stripe is written as a block when it has so many bytes: the header is then a thousandth.
const STRIPE_BYTES: usize = 16 << 10;

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
    key_groups: u32,
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
        let (low, high) = self.groups.unwrap_or((group, group));
        self.groups = Some((low.min(group), high.max(group)));
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
        let Some((low, high)) = other.groups.take() else { return };
        self.bytes.append(&mut other.bytes);
        self.frames += std::mem::take(&mut other.frames);
        let groups = self.groups.map_or((low, high), |(l, h)| (l.min(low), h.max(high)));
        self.groups = Some(groups);
    }
}

impl Stripes {
    pub fn new(number: u16, key_groups: u32) -> Self {
        let count = STRIPES.min(key_groups as usize);
        let stripes = std::iter::repeat_with(Stripe::default).take(count).collect();
        Self { number, key_groups, stripes, tombstones: Stripe::default(), waiting: 0 }
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

    /// Takes one frame, whose bytes are `whole`.
    #[inline]
    pub fn add_frame(
        &mut self,
        frame: &Frame<'_>,
        whole: &[u8],
        into: &mut SegmentWriter,
    ) -> Result<()> {
        let group = u32::from(frame.group);
        let is_upsert = matches!(frame.payload, Payload::Upsert(_));
        let (stripe, kind) = if group < self.key_groups {
            let stripe = (group as usize * self.stripes.len()) / self.key_groups as usize;
            match is_upsert {
                true => (&mut self.stripes[stripe], BlockKind::Upserts),
                false => (&mut self.tombstones, BlockKind::Tombstones),
            }
        } else if frame.group == EVERY_GROUP && !is_upsert {
            (&mut self.tombstones, BlockKind::Tombstones)
        } else {
            return Err(Error::internal(format!(
                "a frame has key group {group}, the job has {}",
                self.key_groups
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
