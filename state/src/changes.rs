//! What changed since the last barrier, on its way from a table to a checkpoint and back: frames,
//! chunks of them, and the trait of a state that hands them out.
//!
//! ```text
//! frame   header  u64 LE: value_len u32 | key_len u16 | group u16, from the lowest byte
//!         key     [namespace i64 LE] ++ archive of the key      padded with zeros to 8
//!         value   archive of the value                          padded with zeros to 8
//! value_len = 0xFFFF_FFFF   a tombstone: no value follows, the key is gone
//! value_len = 0xFFFF_FFFE   a namespace's tombstone: the key is the namespace, the group 0xFFFF,
//!                           and all keys of the namespace are gone
//! ```

use tailwater_core::{Error, Result, Schema};

use crate::striping::STRIPE_BYTES;

/// What a checkpoint holds of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotKind {
    /// What changed since the last barrier.
    Incremental,
    /// Every entry. Nothing of an earlier checkpoint is relied upon.
    Full,
}

/// The bytes of a full chunk, about.
pub const CHUNK_BYTES: usize = 512 << 10;

/// Frames of one state, handed from a table to the runtime.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// The index that [`TrackedState::begin`] was given.
    pub state: u16,
    /// How many frames there are.
    pub frames: u32,
    /// Where all frames are upserts of these few key groups: a block can have them as they are.
    pub groups: Option<GroupRange>,
    /// The frames, one after the other.
    pub bytes: Vec<u8>,
}

/// Where draining tables put chunks; bounded work a round.
#[derive(Debug, Default)]
pub struct Drain {
    left: usize,
    chunks: Vec<Chunk>,
    buffers: Vec<Vec<u8>>,
    /// Those of the size of a stripe.
    stripes: Vec<Vec<u8>>,
}

impl Drain {
    /// Emptied buffers that are kept to be filled again.
    const BUFFERS_MAX: usize = 16;
    /// The same of stripes, of as many bytes.
    const STRIPES_MAX: usize = Self::BUFFERS_MAX * CHUNK_BYTES / STRIPE_BYTES;

    /// A drain without a budget: nothing may be drained into it yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The budget of this round; what was left of the last one is gone.
    pub fn allow(&mut self, entries: usize) {
        self.left = entries;
    }

    /// How many entries may still be drained in this round.
    #[inline]
    pub fn budget(&self) -> usize {
        self.left
    }

    /// Takes from the budget of this round.
    #[inline]
    pub fn spend(&mut self, entries: usize) {
        self.left = self.left.saturating_sub(entries);
    }

    /// Hands a full chunk on, or the last one.
    pub fn push(&mut self, chunk: Chunk) {
        self.chunks.push(chunk);
    }

    /// The chunks that were pushed, in their order.
    pub fn take(&mut self) -> std::vec::Drain<'_, Chunk> {
        self.chunks.drain(..)
    }

    /// An empty buffer with room for a chunk, which was used before where that is possible.
    pub fn buffer(&mut self) -> Vec<u8> {
        self.buffers.pop().unwrap_or_else(|| Vec::with_capacity(CHUNK_BYTES))
    }

    /// An empty buffer with room for a stripe, if one was used before: the one that came back last,
    /// which is likeliest still in the cache.
    pub(crate) fn stripe_buffer(&mut self) -> Option<Vec<u8>> {
        self.stripes.pop()
    }

    /// Keeps a buffer to be used again.
    pub fn give_back(&mut self, mut buffer: Vec<u8>) {
        let (buffers, max) = match buffer.capacity() {
            CHUNK_BYTES.. => (&mut self.buffers, Self::BUFFERS_MAX),
            STRIPE_BYTES.. => (&mut self.stripes, Self::STRIPES_MAX),
            _ => return,
        };
        if buffers.len() < max {
            buffer.clear();
            buffers.push(buffer);
        }
    }
}

/// A state that a barrier cuts in constant time and that is then drained, while it is in use.
pub trait TrackedState {
    /// What its entries are.
    fn declaration(&self) -> Declaration;

    /// How much changed since the last barrier; zeros where that is not counted.
    fn changes(&self) -> Changes {
        Changes::default()
    }

    /// The barrier: what changed until now is to be drained, with chunks that carry `state`. The
    /// drain of the barrier before is finished.
    fn begin(&mut self, state: u16, kind: SnapshotKind);

    /// Hands out entries as the barrier saw them, within the drain's budget. `true` when nothing
    /// is left and the last chunk was pushed.
    ///
    /// # Errors
    /// When an entry cannot be archived, now or when it was saved before a change.
    fn drain(&mut self, into: &mut Drain) -> Result<bool>;

    /// About so many entries will come with [`load`](TrackedState::load): a table takes the memory
    /// for them at once.
    fn expect(&mut self, _entries: usize) {}

    /// Takes entries of a checkpoint in; they count as unchanged. The order is that of the chain of
    /// checkpoints, in each the tombstones first.
    ///
    /// # Errors
    /// When a key or a value is not a valid archive.
    fn load(&mut self, frames: &[Frame<'_>]) -> Result<()>;

    /// All entries were taken in: rebuilds what is derived from them.
    ///
    /// # Errors
    /// When the entries contradict each other.
    fn loaded(&mut self) -> Result<()> {
        Ok(())
    }
}

/// How much of some state changed since the last barrier, about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Entries that were made or changed; some of them may be gone.
    pub changed: usize,
    /// Entries that there are.
    pub entries: usize,
}

impl std::ops::AddAssign for Changes {
    fn add_assign(&mut self, other: Self) {
        self.changed += other.changed;
        self.entries += other.entries;
    }
}

/// What the entries of a state are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// What a key is.
    pub key: Schema,
    /// What a value is.
    pub value: Schema,
    /// Whether keys start with a namespace.
    pub namespaced: bool,
}

/// An entry as read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The key group.
    pub group: u16,
    /// The namespace, if the state has them, and the key's archive, without padding.
    pub key: &'a [u8],
    /// What became of the key.
    pub payload: Payload<'a>,
}

/// What became of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// It has this value: its archive, without padding.
    Upsert(&'a [u8]),
    /// It is gone.
    Tombstone,
    /// All keys of the namespace that is the key are gone, of these key groups: a core speaks for
    /// its own, and another may still have keys of the namespace.
    NamespaceTombstone(GroupRange),
}

/// Neighbouring key groups, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupRange {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

impl GroupRange {
    /// All that there can be.
    pub const ALL: Self = Self { first: 0, last: EVERY_GROUP };

    /// Whether a key group is one of them.
    #[inline]
    pub fn contains(self, group: u16) -> bool {
        self.first <= group && group <= self.last
    }
}

/// The `value_len` of a tombstone.
pub const TOMBSTONE: u32 = u32::MAX;
/// The `value_len` of a namespace's tombstone.
pub const NAMESPACE_TOMBSTONE: u32 = u32::MAX - 1;
/// The `group` of a namespace's tombstone: it concerns keys of all groups.
pub const EVERY_GROUP: u16 = u16::MAX;
/// The bytes after the key of a namespace's tombstone: its key groups, and zeros.
const RANGE_BYTES: usize = 8;
/// The bytes of a frame's header.
pub const HEADER_BYTES: usize = 8;

/// The header of a frame.
#[inline]
pub fn header(value_len: u32, key_len: u16, group: u16) -> [u8; HEADER_BYTES] {
    (u64::from(value_len) | u64::from(key_len) << 32 | u64::from(group) << 48).to_le_bytes()
}

/// `len` with padding.
#[inline]
pub const fn padded(len: usize) -> usize {
    len.next_multiple_of(8)
}

impl<'a> Frame<'a> {
    /// The frame at the start of `bytes`, and how many bytes it takes.
    ///
    /// # Errors
    /// When the bytes end before the frame does, or its header contradicts itself.
    // What it gives back would else be written in small parts and read in large ones.
    #[inline(always)]
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, usize)> {
        let Some((head, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Err(damaged("its header is cut off"));
        };
        let head = u64::from_le_bytes(*head);
        let (value_len, key_len, group) = (head as u32, (head >> 32) as u16, (head >> 48) as u16);
        let Some(key) = rest.get(..usize::from(key_len)) else {
            return Err(damaged("its key is cut off"));
        };
        let key_end = HEADER_BYTES + padded(key.len());
        let (payload, end) = match value_len {
            TOMBSTONE => (Payload::Tombstone, key_end),
            NAMESPACE_TOMBSTONE if key_len == 8 && group == EVERY_GROUP => {
                let Some(range) = bytes.get(key_end..key_end + RANGE_BYTES) else {
                    return Err(damaged("its key groups are cut off"));
                };
                let first = u16::from_le_bytes([range[0], range[1]]);
                let last = u16::from_le_bytes([range[2], range[3]]);
                let groups = GroupRange { first, last };
                (Payload::NamespaceTombstone(groups), key_end + RANGE_BYTES)
            }
            NAMESPACE_TOMBSTONE => return Err(damaged("a namespace's tombstone has another key")),
            len => {
                let value =
                    key_end.checked_add(len as usize).and_then(|end| bytes.get(key_end..end));
                let Some(value) = value else { return Err(damaged("its value is cut off")) };
                (Payload::Upsert(value), key_end + padded(value.len()))
            }
        };
        if end > bytes.len() {
            return Err(damaged("its padding is cut off"));
        }
        Ok((Self { group, key, payload }, end))
    }

    /// Appends the frame to `bytes`.
    ///
    /// # Panics
    /// When key or value are longer than a frame can say.
    pub fn write(&self, bytes: &mut Vec<u8>) {
        let key_len = u16::try_from(self.key.len()).expect("a key's archive is below 64 KiB");
        let range;
        let (value_len, value) = match self.payload {
            Payload::Upsert(value) => {
                let len = u32::try_from(value.len()).ok().filter(|len| *len < NAMESPACE_TOMBSTONE);
                (len.expect("a value's archive is below 4 GiB"), value)
            }
            Payload::Tombstone => (TOMBSTONE, &[][..]),
            Payload::NamespaceTombstone(GroupRange { first, last }) => {
                range = (u64::from(first) | u64::from(last) << 16).to_le_bytes();
                (NAMESPACE_TOMBSTONE, &range[..])
            }
        };
        bytes.extend_from_slice(&header(value_len, key_len, self.group));
        for part in [self.key, value] {
            bytes.extend_from_slice(part);
            bytes.resize(padded(bytes.len()), 0);
        }
    }
}

/// Walks the frames of a chunk, or of any bytes that are frames from start to end.
#[derive(Clone, Debug)]
pub struct Frames<'a>(&'a [u8]);

impl<'a> Frames<'a> {
    /// Starts at the first of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        Some(match Frame::parse(self.0) {
            Ok((frame, len)) => {
                self.0 = &self.0[len..];
                Ok(frame)
            }
            Err(error) => {
                self.0 = &[];
                Err(error)
            }
        })
    }
}

fn damaged(what: &str) -> Error {
    Error::format(format!("a frame of state is damaged: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_as_they_were_written_and_cut_ones_are_refused() {
        let namespace = 7i64.to_le_bytes();
        let frames = [
            Frame { group: 3, key: b"key", payload: Payload::Upsert(b"a value") },
            Frame { group: 3, key: b"", payload: Payload::Upsert(b"") },
            Frame { group: 127, key: b"12345678", payload: Payload::Tombstone },
            Frame {
                group: EVERY_GROUP,
                key: &namespace,
                payload: Payload::NamespaceTombstone(GroupRange { first: 3, last: 300 }),
            },
        ];
        let mut bytes = Vec::new();
        for frame in &frames {
            frame.write(&mut bytes);
            assert!(bytes.len().is_multiple_of(8));
        }
        assert_eq!(bytes[..24], *b"\x07\0\0\0\x03\0\x03\0key\0\0\0\0\0a value\0");
        assert_eq!(Frames::new(&bytes).collect::<Result<Vec<_>>>().unwrap(), frames);
        let (_, first) = Frame::parse(&bytes).unwrap();
        for len in 0..first {
            assert!(Frame::parse(&bytes[..len]).is_err(), "{len} bytes");
        }
        let mut wrong = bytes[bytes.len() - 24..].to_vec();
        wrong[7] = 0;
        assert!(Frames::new(&wrong).any(|frame| frame.is_err()));
    }

    #[test]
    fn buffers_are_used_again() {
        let mut drain = Drain::new();
        let mut buffer = drain.buffer();
        buffer.push(1);
        let address = buffer.as_ptr();
        drain.give_back(buffer);
        let buffer = drain.buffer();
        assert!(buffer.is_empty() && buffer.as_ptr() == address);
        drain.allow(3);
        drain.spend(5);
        assert_eq!(drain.budget(), 0);
    }
}
