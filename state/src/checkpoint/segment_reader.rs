//! Reads a segment: its index at once, its blocks in large reads, each compared with its checksum.

use std::sync::Arc;

use rkyv::util::AlignedVec;
use tailwater_core::{Error, Result};

use super::layout::{BlockEntry, Footer, HEADER, Index, SegmentHeader, is_intact};
use super::segment_writer::SegmentRef;
use crate::store::{CheckpointStore, StoredFile};

/// An index is at most so long: some 30 million blocks.
const INDEX_MAX: u64 = 1 << 30;

/// Bytes as they lie in a file, aligned as frames need it.
pub(crate) type Buffer = AlignedVec<64>;

/// A finished segment, opened.
pub(crate) struct Segment {
    file: Arc<dyn StoredFile>,
    pub name: String,
    pub header: SegmentHeader,
    pub index: Index,
    /// The CRC32C of the index.
    pub index_crc: u32,
}

/// An error that names the file; the cause says where in it.
pub(crate) fn damaged(name: &str, cause: Error) -> Error {
    cause.context(format!("`{name}` is damaged"))
}

fn damaged_at(name: &str, at: u64, what: &str) -> Error {
    Error::format(format!("`{name}` is damaged at byte {at}: {what}"))
}

impl Segment {
    /// Opens a segment that a checkpoint refers to; any other file under its name is refused.
    pub fn open(store: &dyn CheckpointStore, reference: &SegmentRef) -> Result<Self> {
        let segment = Self::open_any(store, &reference.name)?;
        let (len, header) = (segment.file.len(), &segment.header);
        if len != reference.len {
            let (name, meant) = (&reference.name, reference.len);
            return Err(Error::format(format!(
                "`{name}` is damaged: it has {len} bytes, the manifest says {meant}"
            )));
        }
        let is = (segment.index_crc, header.first, header.last, header.is_full);
        let SegmentRef { index_crc, first, last, is_full, .. } = *reference;
        if is != (index_crc, first, last, is_full) {
            let name = &reference.name;
            return Err(Error::format(format!("`{name}` is not the segment of the manifest")));
        }
        Ok(segment)
    }

    /// Opens a segment by name alone.
    pub fn open_any(store: &dyn CheckpointStore, name: &str) -> Result<Self> {
        let Some(file) = store.open(name)? else {
            let place = store.describe();
            return Err(Error::format(format!("`{name}` is missing in `{place}`")));
        };
        Self::parse(file, name)
    }

    fn parse(file: Arc<dyn StoredFile>, name: &str) -> Result<Self> {
        let header = read_header(&*file, name)?;
        let file_len = file.len();
        let explain = |cause| damaged(name, cause);
        let mut end = [0; HEADER];
        file.read_at(file_len - HEADER as u64, &mut end)?;
        let footer = Footer::parse(&end, file_len).map_err(explain)?;
        let begin = header.to_bytes().len() as u64;
        if footer.last != header.last || footer.index_offset < begin {
            return Err(damaged_at(name, file_len - HEADER as u64, "its end is another segment's"));
        }
        if footer.index_len > INDEX_MAX {
            return Err(damaged_at(name, footer.index_offset, "its index is too long"));
        }
        let mut index = Buffer::new();
        index.resize(footer.index_len as usize, 0);
        file.read_at(footer.index_offset, &mut index)?;
        if !is_intact(crc32c::crc32c(&index), footer.index_crc) {
            let at = footer.index_offset;
            return Err(damaged_at(name, at, "the checksum of its index is wrong"));
        }
        let index_crc = footer.index_crc;
        let index = Index::parse(&index, begin, footer.index_offset).map_err(explain)?;
        Ok(Self { file, name: name.to_owned(), header, index, index_crc })
    }

    /// The number that this segment's blocks carry for a state.
    pub fn number_of(&self, operator: &str, state: &str) -> Option<u16> {
        let states = &self.index.states;
        states.iter().position(|(o, s)| o == operator && s == state).map(|number| number as u16)
    }

    /// Calls `each` with every block that is `wanted`, in the order of the file, and its payload,
    /// which was compared with its checksum. Neighbours are read at once.
    pub fn read(
        &self,
        wanted: impl Fn(&BlockEntry) -> bool,
        buffer: &mut Buffer,
        each: &mut dyn FnMut(&BlockEntry, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let wanted: Vec<_> = self.index.blocks.iter().filter(|block| wanted(block)).collect();
        for run in self.runs(&wanted) {
            self.read_run(run, buffer, each)?;
        }
        Ok(())
    }

    /// Compares a share of the blocks with their checksums: number `index` of `count`.
    pub fn verify_share(&self, index: usize, count: usize, buffer: &mut Buffer) -> Result<()> {
        let blocks: Vec<_> = self.index.blocks.iter().collect();
        let bound = |index: usize| blocks.len() * index / count;
        for run in self.runs(&blocks[bound(index)..bound(index + 1)]) {
            self.read_run(run, buffer, &mut |_, _| Ok(()))?;
        }
        Ok(())
    }

    /// Splits blocks, in the order of the file, into runs that are read at once: neighbours, up to
    /// what is best read at once, or one block.
    pub fn runs<'a, 'b>(
        &self,
        blocks: &'b [&'a BlockEntry],
    ) -> impl Iterator<Item = &'b [&'a BlockEntry]> + use<'a, 'b> {
        let read_len = self.file.read_len();
        let mut left = blocks;
        std::iter::from_fn(move || {
            let first = left.first()?;
            let mut count = 1;
            while let Some(next) = left.get(count) {
                let adjacent = left[count - 1].end() == next.offset;
                if !adjacent || next.end() - first.offset > read_len {
                    break;
                }
                count += 1;
            }
            let (run, rest) = left.split_at(count);
            left = rest;
            Some(run)
        })
    }

    /// Blocks that lie side by side.
    pub fn read_run(
        &self,
        run: &[&BlockEntry],
        buffer: &mut Buffer,
        each: &mut dyn FnMut(&BlockEntry, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(()) };
        let begin = first.offset;
        let len = (last.end() - begin) as usize;
        // Only the first time is anything filled with zeros.
        if buffer.len() < len {
            buffer.resize(len, 0);
        }
        let bytes = &mut buffer[..len];
        self.file.read_at(begin, bytes)?;
        for block in run {
            let bytes = &bytes[(block.offset - begin) as usize..][..block.len() as usize];
            each(block, self.verified(block, bytes)?)?;
        }
        Ok(())
    }

    /// The payload of a block, if header and payload are what the index says.
    fn verified<'a>(&self, block: &BlockEntry, bytes: &'a [u8]) -> Result<&'a [u8]> {
        let (header, padded) = bytes.split_at(HEADER);
        if header != block.header(self.header.last) {
            return Err(damaged_at(
                &self.name,
                block.offset,
                "this is not the header of its block",
            ));
        }
        if !is_intact(crc32c::crc32c(padded), block.payload_crc) {
            let at = block.offset + HEADER as u64;
            return Err(damaged_at(&self.name, at, "the checksum of this block is wrong"));
        }
        Ok(&padded[..block.payload_len as usize])
    }
}

/// Only the header, from which a file can be told to be another job's.
pub(crate) fn read_header(file: &dyn StoredFile, name: &str) -> Result<SegmentHeader> {
    let explain = |cause: Error| match cause.kind() {
        tailwater_core::ErrorKind::Format => damaged(name, cause),
        _ => cause.context(format!("cannot read `{name}`")),
    };
    let mut fixed = [0; HEADER];
    let len = file.len();
    if len < fixed.len() as u64 {
        return Err(damaged_at(name, len, "it is cut off"));
    }
    file.read_at(0, &mut fixed)?;
    let header_len = SegmentHeader::len_of(&fixed).map_err(explain)?;
    if len < (header_len + HEADER) as u64 {
        return Err(damaged_at(name, len, "it is cut off"));
    }
    let mut header = vec![0; header_len];
    file.read_at(0, &mut header)?;
    SegmentHeader::parse(&header).map_err(explain)
}

/// The items in the payload of a block of values.
pub(crate) fn items_of(payload: &[u8], count: u32) -> Result<Vec<Vec<u8>>> {
    let mut cursor = super::cursor::Cursor::new(payload);
    let mut items = Vec::new();
    for _ in 0..count {
        items.push(cursor.blob()?.to_vec());
    }
    match cursor.is_at_end() {
        true => Ok(items),
        false => Err(Error::format(format!("{} items end at byte {}", count, cursor.at()))),
    }
}
