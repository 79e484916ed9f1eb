//! Writes a segment: blocks from front to back, then the index and the end.

use tailwater_core::{Error, Result};

use super::cursor::put_blob;
use super::layout::{
    BlockEntry, BlockKind, Footer, HEADER, Index, PAYLOAD_MAX, SegmentHeader, UNIT,
};
use crate::store::{CheckpointStore, NewFile};

/// What a manifest says of a segment, so that no other file can take its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentRef {
    /// Its name in the store.
    pub name: String,
    /// Its length in bytes.
    pub len: u64,
    /// The CRC32C of its index, which has those of all blocks.
    pub index_crc: u32,
    /// The first checkpoint whose changes it holds.
    pub first: u64,
    /// The last of them.
    pub last: u64,
    /// Whether it needs nothing older.
    pub is_full: bool,
}

/// A segment on its way into a store.
pub(crate) struct SegmentWriter {
    file: Box<dyn NewFile>,
    name: String,
    header: SegmentHeader,
    index: Index,
    /// Where the next block begins.
    at: u64,
}

/// A block to be written; the writer knows the rest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewBlock {
    pub kind: BlockKind,
    pub state: u16,
    pub core: u32,
    pub count: u32,
    pub groups: (u16, u16),
}

impl SegmentWriter {
    pub fn begin(store: &dyn CheckpointStore, name: String, header: SegmentHeader) -> Result<Self> {
        let mut file = store.begin(&name)?;
        let bytes = header.to_bytes();
        file.append(&bytes)?;
        Ok(Self { file, name, header, index: Index::default(), at: bytes.len() as u64 })
    }

    pub fn header(&self) -> &SegmentHeader {
        &self.header
    }

    /// The blocks that were written.
    #[cfg(test)]
    pub fn blocks(&self) -> impl Iterator<Item = &BlockEntry> {
        self.index.blocks.iter()
    }

    /// How many bytes were written.
    pub fn len(&self) -> u64 {
        self.at
    }

    /// The number that blocks carry for a state.
    pub fn number_of(&mut self, operator: &str, state: &str) -> Result<u16> {
        let states = &mut self.index.states;
        let known = states.iter().position(|(o, s)| o == operator && s == state);
        let number = known.unwrap_or_else(|| {
            states.push((operator.to_owned(), state.to_owned()));
            states.len() - 1
        });
        u16::try_from(number).map_err(|_| Error::internal("a job has more than 65,536 states"))
    }

    /// Appends a block with this payload.
    pub fn append(&mut self, block: NewBlock, payload: &[u8]) -> Result<()> {
        if payload.len() > PAYLOAD_MAX {
            let (operator, state) = &self.index.states[usize::from(block.state)];
            return Err(Error::new(
                tailwater_core::ErrorKind::User,
                format!(
                    "a value of `{operator}/{state}` has {} bytes, a checkpoint can hold {} \
                     (split it: keep a map or a list)",
                    payload.len(),
                    PAYLOAD_MAX
                ),
            ));
        }
        let padding = &[0; UNIT][..payload.len().next_multiple_of(UNIT) - payload.len()];
        let NewBlock { kind, state, core, count, groups } = block;
        let entry = BlockEntry {
            offset: self.at,
            payload_len: payload.len() as u32,
            payload_crc: super::layout::crc_of_two(payload, padding),
            count,
            core,
            state,
            kind,
            groups,
        };
        self.file.append(&entry.header(self.header.last))?;
        self.file.append(payload)?;
        self.file.append(padding)?;
        self.at = entry.end();
        self.index.blocks.push(entry);
        Ok(())
    }

    /// Appends items of a small state of one core.
    pub fn append_items(&mut self, state: u16, core: u32, items: &[Vec<u8>]) -> Result<()> {
        let len = items.iter().map(|item| 4 + item.len()).sum();
        let mut payload = Vec::with_capacity(len);
        for item in items {
            put_blob(&mut payload, item);
        }
        let count = items.len() as u32;
        let block = NewBlock { kind: BlockKind::Values, state, core, count, groups: (0, 0) };
        self.append(block, &payload)
    }

    /// Writes index and end, and makes the segment durable and visible.
    pub fn finish(self) -> Result<SegmentRef> {
        let (file, reference) = self.seal()?;
        file.finish()?;
        Ok(reference)
    }

    /// Writes index and end; the segment is neither durable nor visible yet.
    pub fn seal(mut self) -> Result<(Box<dyn NewFile>, SegmentRef)> {
        let index = self.index.to_bytes();
        let footer = Footer {
            index_offset: self.at,
            index_len: index.len() as u64,
            index_crc: crc32c::crc32c(&index),
            last: self.header.last,
        };
        self.file.append(&index)?;
        self.file.append(&footer.to_bytes())?;
        let reference = SegmentRef {
            name: self.name,
            len: self.at + (index.len() + HEADER) as u64,
            index_crc: footer.index_crc,
            first: self.header.first,
            last: self.header.last,
            is_full: self.header.is_full,
        };
        Ok((self.file, reference))
    }
}
