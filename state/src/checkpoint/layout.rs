//! The bytes of a segment's header, blocks, index and footer; `docs/checkpoint-format.md` draws
//! them.
//!
//! Everything is little-endian, every byte is under a CRC32C, and every part begins at a multiple
//! of 64, so that frames lie aligned in memory as they do in the file.

use std::ops::Range;

use tailwater_core::{Error, Fault, Result, fault};

use super::cursor::{Cursor, pad, put_blob, u32_at, u64_at};
use crate::changes::EVERY_GROUP;

/// The version of the format that this program writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;
/// Where parts of a segment begin: at multiples of this.
pub(crate) const UNIT: usize = 64;
/// The length of a block's header, of the fixed part of a segment's header and of its footer.
pub(crate) const HEADER: usize = 64;

const SEGMENT_MAGIC: &[u8; 8] = b"TWSEGMNT";
const BLOCK_MAGIC: u32 = u32::from_le_bytes(*b"TWBK");
const FOOTER_MAGIC: &[u8; 8] = b"TWSEGEND";

/// A job's name is at most so long: it is in every file, and names a directory for people.
pub(crate) const JOB_NAME_MAX: usize = 4096;
/// A block's payload is at most so long, one large value included: readers keep a block in memory.
pub(crate) const PAYLOAD_MAX: usize = 1 << 30;

/// The CRC32C of two slices as if they were one.
pub(crate) fn crc_of_two(first: &[u8], second: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(first), second)
}

/// Whether a checksum is the one that was written.
pub(crate) fn is_intact(crc: u32, written: u32) -> bool {
    crc == written || fault(Fault::SkipChecksum)
}

/// What a segment says of itself in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub job: String,
    /// The checkpoints whose changes it holds.
    pub first: u64,
    pub last: u64,
    /// Whether it needs nothing older.
    pub is_full: bool,
    pub key_groups: u32,
}

impl SegmentHeader {
    pub fn to_bytes(&self) -> Vec<u8> {
        let len = (HEADER + self.job.len()).next_multiple_of(UNIT);
        let mut bytes = Vec::with_capacity(len);
        bytes.extend_from_slice(SEGMENT_MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&(len as u32).to_le_bytes());
        bytes.extend_from_slice(&self.first.to_le_bytes());
        bytes.extend_from_slice(&self.last.to_le_bytes());
        bytes.extend_from_slice(&u32::from(self.is_full).to_le_bytes());
        bytes.extend_from_slice(&self.key_groups.to_le_bytes());
        bytes.extend_from_slice(&(self.job.len() as u32).to_le_bytes());
        bytes.resize(HEADER, 0);
        bytes.extend_from_slice(self.job.as_bytes());
        pad(&mut bytes, UNIT);
        let crc = crc_of_two(&bytes[..60], &bytes[HEADER..]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The length of the whole header, from its fixed part.
    pub fn len_of(fixed: &[u8; HEADER]) -> Result<usize> {
        if &fixed[..8] != SEGMENT_MAGIC {
            return Err(Error::format("it does not begin as a segment does (byte 0)"));
        }
        let len = u32_at(fixed, 12) as usize;
        if !len.is_multiple_of(UNIT) || !(HEADER..=HEADER + JOB_NAME_MAX).contains(&len) {
            return Err(Error::format(format!("its header cannot be {len} bytes long (byte 12)")));
        }
        Ok(len)
    }

    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if !is_intact(crc_of_two(&bytes[..60], &bytes[HEADER..]), u32_at(bytes, 60)) {
            return Err(Error::format("the checksum of its header is wrong (byte 60)"));
        }
        check_version(u32_at(bytes, 8))?;
        let name_len = u32_at(bytes, 40) as usize;
        let name = bytes[HEADER..].get(..name_len).and_then(|name| std::str::from_utf8(name).ok());
        let Some(job) = name else {
            return Err(Error::format("the job's name in its header is no text (byte 64)"));
        };
        Ok(Self {
            job: job.to_owned(),
            first: u64_at(bytes, 16),
            last: u64_at(bytes, 24),
            is_full: u32_at(bytes, 32) != 0,
            key_groups: u32_at(bytes, 36),
        })
    }
}

/// Refuses what a later version wrote. What comes before this check, magic, version, the length and
/// the checksum of the header, is the same in every version: a flipped bit is no later version.
pub(crate) fn check_version(version: u32) -> Result<()> {
    if version == FORMAT_VERSION {
        return Ok(());
    }
    Err(Error::new(
        tailwater_core::ErrorKind::Configuration,
        format!(
            "it has format version {version}, this program reads version {FORMAT_VERSION}: use the \
             program that wrote it, or a later one"
        ),
    ))
}

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockKind {
    /// Frames with values: entries as they are after the checkpoint.
    Upserts,
    /// Frames that say what is gone; they apply before the upserts of the same segment.
    Tombstones,
    /// Items of a small state of one core.
    Values,
}

impl BlockKind {
    fn code(self) -> u8 {
        match self {
            Self::Upserts => 1,
            Self::Tombstones => 2,
            Self::Values => 3,
        }
    }

    fn of_code(code: u8) -> Result<Self> {
        match code {
            1 => Ok(Self::Upserts),
            2 => Ok(Self::Tombstones),
            3 => Ok(Self::Values),
            _ => Err(Error::format(format!("there is no block of kind {code}"))),
        }
    }
}

/// What the index says of a block, and the block's header repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockEntry {
    /// Where its header begins in the file.
    pub offset: u64,
    pub payload_len: u32,
    pub payload_crc: u32,
    /// How many frames or items.
    pub count: u32,
    /// The core that wrote values; of frames nothing, since many cores' may share a block.
    pub core: u32,
    /// The state, by its place in the segment's list.
    pub state: u16,
    pub kind: BlockKind,
    /// The lowest and the highest key group of its frames.
    pub groups: (u16, u16),
}

/// A block's entry in the index takes so many bytes.
pub(crate) const ENTRY: usize = 32;

impl BlockEntry {
    /// The payload with its padding.
    pub fn padded_len(&self) -> usize {
        (self.payload_len as usize).next_multiple_of(UNIT)
    }

    /// Header, payload and padding.
    pub fn len(&self) -> u64 {
        (HEADER + self.padded_len()) as u64
    }

    /// Where the next block begins.
    pub fn end(&self) -> u64 {
        self.offset + self.len()
    }

    /// Whether it may have frames of these key groups; tombstones of namespaces concern all.
    pub fn concerns(&self, groups: &Range<u32>) -> bool {
        let (low, high) = (u32::from(self.groups.0), u32::from(self.groups.1));
        self.groups.1 == EVERY_GROUP || (low < groups.end && high >= groups.start)
    }

    /// Whether all its frames are of these key groups.
    pub fn is_within(&self, groups: &Range<u32>) -> bool {
        groups.contains(&u32::from(self.groups.0)) && groups.contains(&u32::from(self.groups.1))
    }

    /// About how many of its frames are of these key groups, if they are spread evenly.
    pub fn count_about(&self, groups: &Range<u32>) -> u64 {
        let (low, end) = (u32::from(self.groups.0), u32::from(self.groups.1) + 1);
        let common = end.min(groups.end).saturating_sub(low.max(groups.start));
        u64::from(self.count) * u64::from(common) / u64::from(end.saturating_sub(low).max(1))
    }

    fn fields(&self) -> [u8; ENTRY] {
        let mut bytes = [0; ENTRY];
        bytes[..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.payload_len.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.payload_crc.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.count.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.core.to_le_bytes());
        bytes[24..26].copy_from_slice(&self.state.to_le_bytes());
        bytes[26] = self.kind.code();
        bytes[28..30].copy_from_slice(&self.groups.0.to_le_bytes());
        bytes[30..32].copy_from_slice(&self.groups.1.to_le_bytes());
        bytes
    }

    /// The block's header in a segment whose newest checkpoint is `last`.
    pub fn header(&self, last: u64) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..4].copy_from_slice(&BLOCK_MAGIC.to_le_bytes());
        bytes[8..16].copy_from_slice(&last.to_le_bytes());
        bytes[16..16 + ENTRY].copy_from_slice(&self.fields());
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn parse(cursor: &mut Cursor<'_>) -> Result<Self> {
        let entry = Self {
            offset: cursor.u64()?,
            payload_len: cursor.u32()?,
            payload_crc: cursor.u32()?,
            count: cursor.u32()?,
            core: cursor.u32()?,
            state: cursor.u16()?,
            kind: {
                let kind = BlockKind::of_code(cursor.u8()?)?;
                cursor.u8()?;
                kind
            },
            groups: (cursor.u16()?, cursor.u16()?),
        };
        if entry.payload_len as usize > PAYLOAD_MAX {
            let (at, len) = (entry.offset, entry.payload_len);
            return Err(Error::format(format!("the block at byte {at} cannot have {len} bytes")));
        }
        Ok(entry)
    }
}

/// What stands after the blocks: where each is, and which states their numbers mean.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Index {
    pub blocks: Vec<BlockEntry>,
    /// Operator and state, by number.
    pub states: Vec<(String, String)>,
}

impl Index {
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 + self.blocks.len() * ENTRY + UNIT);
        bytes.extend_from_slice(&(self.blocks.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(self.states.len() as u32).to_le_bytes());
        for block in &self.blocks {
            bytes.extend_from_slice(&block.fields());
        }
        for (operator, state) in &self.states {
            put_blob(&mut bytes, operator.as_bytes());
            put_blob(&mut bytes, state.as_bytes());
        }
        pad(&mut bytes, UNIT);
        bytes
    }

    /// Of a segment whose blocks lie between `begin` and `end`, without gaps.
    pub fn parse(bytes: &[u8], begin: u64, end: u64) -> Result<Self> {
        let mut cursor = Cursor::new(bytes);
        let blocks = cursor.count(ENTRY)?;
        let states = cursor.u32()? as usize;
        let blocks = (0..blocks).map(|_| BlockEntry::parse(&mut cursor));
        let blocks = blocks.collect::<Result<Vec<_>>>()?;
        let states =
            (0..states).map(|_| Ok((cursor.text()?.to_owned(), cursor.text()?.to_owned())));
        let states = states.collect::<Result<Vec<_>>>()?;
        let mut at = begin;
        for block in &blocks {
            if block.offset != at || usize::from(block.state) >= states.len() {
                return Err(Error::format(format!("the index has no block at byte {at}")));
            }
            at = block.end();
        }
        if at != end {
            return Err(Error::format(format!("blocks end at byte {at}, the index is at {end}")));
        }
        Ok(Self { blocks, states })
    }
}

/// The last bytes of a segment: without them it was not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    pub index_offset: u64,
    pub index_len: u64,
    pub index_crc: u32,
    pub last: u64,
}

impl Footer {
    pub fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(FOOTER_MAGIC);
        bytes[8..16].copy_from_slice(&self.index_offset.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.index_len.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.index_crc.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.last.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Of a file of `file_len` bytes, at whose end `bytes` stand.
    pub fn parse(bytes: &[u8; HEADER], file_len: u64) -> Result<Self> {
        let crc = crc32c::crc32c(&bytes[..60]);
        if &bytes[..8] != FOOTER_MAGIC || !is_intact(crc, u32_at(bytes, 60)) {
            return Err(Error::format("it has no end: it was not finished, or cut off"));
        }
        let footer = Self {
            index_offset: u64_at(bytes, 8),
            index_len: u64_at(bytes, 16),
            index_crc: u32_at(bytes, 24),
            last: u64_at(bytes, 32),
        };
        let end = footer.index_offset.checked_add(footer.index_len);
        if end.and_then(|end| end.checked_add(HEADER as u64)) != Some(file_len) {
            return Err(Error::format(format!(
                "its end was written for another length than {file_len}"
            )));
        }
        Ok(footer)
    }
}
