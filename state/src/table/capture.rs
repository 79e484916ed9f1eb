//! Frames of a table on their way to a checkpoint: they pile up until a chunk is full.
//!
//! ```text
//! plain    one buffer for all that comes; the checkpoint's writer sorts it by key group
//! sorted   one of STRIPE_BYTES for each stripe of key groups; a full one is a block as it is
//! ```
//!
//! A large table sorts its upserts itself: it has just computed the hash, and writes the frame once
//! all the same. The writer would have to read, parse and copy each frame, on a core that a task
//! works on. Small tables, of which there may be thousands, would fill no stripe.

use rkyv::util::AlignedVec;
use tailwater_core::{KeyGroups, Record, Result};

use crate::archive::{append_frame, usual_frame_bytes};
use crate::arena::LINE;
use crate::changes::{CHUNK_BYTES, Chunk, Drain, Frame, GroupRange};
use crate::prefetch::prefetch_to_write;
use crate::striping::{STRIPE_BYTES, Striping};

/// A chunk is handed on when less than this is left in it.
const CHUNK_REST: usize = 4 << 10;
/// Buffers of stripes that are kept at hand: more than fill up between two looks, mostly.
const SPARES: usize = 8;

/// A stripe asks for the line so many bytes ahead of a frame: its next frames come soon.
const AHEAD: usize = 2 * LINE;

/// Frames that pile up until a chunk is full.
#[derive(Debug, Default)]
pub(crate) struct Capture {
    full: Vec<Chunk>,
    frames: u32,
    bytes: Vec<u8>,
    /// The next buffer.
    spare: Option<Vec<u8>>,
    /// Where upserts go instead.
    sorted: Option<Box<Sorted>>,
}

/// Frames by the stripe of their key group.
#[derive(Debug)]
struct Sorted {
    striping: Striping,
    /// The number of the first of `stripes`.
    first: usize,
    /// Those that the table has key groups of.
    stripes: Vec<Stripe>,
    spares: Vec<Vec<u8>>,
}

#[derive(Debug, Default)]
struct Stripe {
    bytes: Vec<u8>,
    /// How many bytes may still be written.
    left: u32,
    frames: u32,
}

impl Capture {
    /// Takes an upsert, or a tombstone where there is no value.
    #[inline(always)]
    pub(super) fn write<K: Record, V: Record>(
        &mut self,
        scratch: &mut AlignedVec,
        namespace: Option<i64>,
        (group, key): (u16, &K),
        value: Option<&V>,
    ) -> Result<()> {
        let Some((sorted, stripe)) = self.sorted.as_mut().and_then(|it| it.stripe_of(group)) else {
            append_frame(&mut self.bytes, scratch, namespace, (group, key), value)?;
            self.wrote();
            return Ok(());
        };
        debug_assert!(value.is_some(), "tombstones come before upserts");
        if (sorted.stripes[stripe].left as usize) < usual_frame_bytes::<K, V>() {
            sorted.turn(stripe, &mut self.full);
        }
        let stripe = &mut sorted.stripes[stripe];
        let before = stripe.bytes.len();
        prefetch_to_write(stripe.bytes.as_ptr().wrapping_add(before + AHEAD));
        append_frame(&mut stripe.bytes, scratch, namespace, (group, key), value)?;
        stripe.left = stripe.left.saturating_sub((stripe.bytes.len() - before) as u32);
        stripe.frames += 1;
        Ok(())
    }

    /// Appends a frame.
    pub(crate) fn append(&mut self, frame: &Frame<'_>) {
        frame.write(&mut self.bytes);
        self.wrote();
    }

    /// A frame was appended.
    #[inline]
    fn wrote(&mut self) {
        self.frames += 1;
        if self.bytes.len() > CHUNK_BYTES - CHUNK_REST {
            self.turn();
        }
    }

    #[cold]
    fn turn(&mut self) {
        let next = self.spare.take().unwrap_or_else(|| Vec::with_capacity(CHUNK_BYTES));
        let bytes = std::mem::replace(&mut self.bytes, next);
        self.full.push(chunk(std::mem::take(&mut self.frames), None, bytes));
    }

    fn is_empty(&self) -> bool {
        self.frames == 0 && self.full.is_empty() && self.sorted.is_none()
    }

    /// Whether upserts are sorted.
    pub(super) fn is_sorted(&self) -> bool {
        self.sorted.is_some()
    }

    /// From now on, and until all is handed on, upserts are sorted; they are of these key groups.
    pub(super) fn sort(&mut self, key_groups: KeyGroups, groups: GroupRange) {
        let striping = Striping::of(key_groups.count());
        let last = groups.last.min((key_groups.count() - 1) as u16);
        let first = striping.stripe(groups.first.min(last));
        let mut stripes = Vec::new();
        stripes.resize_with(striping.stripe(last) + 1 - first, Stripe::default);
        let sorted = Sorted { striping, first, stripes, spares: Vec::new() };
        self.sorted = Some(Box::new(sorted));
    }

    /// Takes whole buffers for the chunks of a table that is not small.
    pub(super) fn expect_much(&mut self, from: &mut Drain) {
        if self.bytes.capacity() == 0 && self.sorted.is_none() {
            self.bytes = from.buffer();
        }
    }

    /// Takes buffers for the next stripes.
    #[inline]
    pub(super) fn restock(&mut self, from: &mut Drain) {
        let Some(sorted) = &mut self.sorted else { return };
        while sorted.spares.len() < SPARES
            && let Some(buffer) = from.stripe_buffer()
        {
            sorted.spares.push(buffer);
        }
    }

    /// Takes over what another captured.
    pub(crate) fn append_all(&mut self, other: &mut Self) {
        if other.is_empty() {
            return;
        }
        if self.is_empty() {
            std::mem::swap(self, other);
            return;
        }
        self.append_full(other);
        self.bytes.append(&mut other.bytes);
        self.frames += std::mem::take(&mut other.frames);
        if self.sorted.is_none() {
            self.sorted = other.sorted.take();
        } else if let Some(mut sorted) = other.sorted.take() {
            sorted.turn_all(&mut self.full);
        }
    }

    /// Takes over the full chunks of another.
    pub(super) fn append_full(&mut self, other: &mut Self) {
        self.full.append(&mut other.full);
    }

    /// Hands full chunks on.
    pub(crate) fn push_full(&mut self, state: u16, into: &mut Drain) {
        for chunk in self.full.drain(..) {
            let is_sorted = chunk.groups.is_some();
            into.push(Chunk { state, ..chunk });
            if self.spare.is_none() && !is_sorted {
                self.spare = Some(into.buffer());
            }
        }
    }

    /// Hands all on.
    pub(crate) fn push_all(&mut self, state: u16, into: &mut Drain) {
        if let Some(mut sorted) = self.sorted.take() {
            sorted.turn_all(&mut self.full);
            sorted.spares.drain(..).for_each(|buffer| into.give_back(buffer));
        }
        self.push_full(state, into);
        if self.frames > 0 {
            let frames = std::mem::take(&mut self.frames);
            let bytes = std::mem::take(&mut self.bytes);
            into.push(Chunk { state, ..chunk(frames, None, bytes) });
        }
        if let Some(spare) = self.spare.take() {
            into.give_back(spare);
        }
    }

    /// Forgets all, and gives the memory back.
    pub(crate) fn discard(&mut self, into: &mut Drain) {
        if let Some(mut sorted) = self.sorted.take() {
            sorted.turn_all(&mut self.full);
        }
        self.full.drain(..).for_each(|chunk| into.give_back(chunk.bytes));
        for bytes in [std::mem::take(&mut self.bytes), self.spare.take().unwrap_or_default()] {
            into.give_back(bytes);
        }
        self.frames = 0;
    }
}

impl Sorted {
    /// The place of a key group's stripe, if that is one of the table's.
    #[inline(always)]
    fn stripe_of(&mut self, group: u16) -> Option<(&mut Self, usize)> {
        let stripe = self.striping.stripe(group).wrapping_sub(self.first);
        (stripe < self.stripes.len()).then_some((self, stripe))
    }

    /// Moves what a stripe has to the full chunks, and gives it an empty buffer.
    #[cold]
    #[inline(never)]
    fn turn(&mut self, index: usize, full: &mut Vec<Chunk>) {
        let next = self.spares.pop().unwrap_or_else(|| Vec::with_capacity(STRIPE_BYTES));
        let next = Stripe { bytes: next, left: STRIPE_BYTES as u32, frames: 0 };
        let stripe = std::mem::replace(&mut self.stripes[index], next);
        self.push(index, stripe, full);
    }

    /// Moves all there is to the full chunks.
    fn turn_all(&mut self, full: &mut Vec<Chunk>) {
        for index in 0..self.stripes.len() {
            let stripe = std::mem::take(&mut self.stripes[index]);
            self.push(index, stripe, full);
        }
    }

    fn push(&self, index: usize, stripe: Stripe, full: &mut Vec<Chunk>) {
        if stripe.frames == 0 {
            return;
        }
        let groups = self.striping.groups(self.first + index);
        full.push(chunk(stripe.frames, Some(groups), stripe.bytes));
    }
}

/// A chunk whose state is not known yet.
fn chunk(frames: u32, groups: Option<GroupRange>, bytes: Vec<u8>) -> Chunk {
    Chunk { state: 0, frames, groups, bytes }
}
