//! A sorted run of records in a file without a name.
//!
//! ```text
//! record  hash u64 | event time i64 | length u32 | archive      little-endian, one after the other
//! ```

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use rkyv::util::AlignedVec;
use tailwater_core::{Error, Record, Result, Timestamp};

use crate::archive;

/// What is read or written at once.
pub(super) const BUFFER_BYTES: usize = 256 << 10;
const HEAD_BYTES: usize = 20;

/// Writes a run.
pub(super) struct RunWriter<T> {
    directory: PathBuf,
    file: BufWriter<File>,
    records: u64,
    bytes: Vec<u8>,
    scratch: AlignedVec,
    types: PhantomData<fn(T)>,
}

impl<T: Record> RunWriter<T> {
    /// In a new file of `directory`.
    pub(super) fn create(directory: &Path) -> Result<Self> {
        let file = tempfile::tempfile_in(directory).map_err(|cause| {
            let shown = directory.display();
            Error::io(
                format!(
                    "cannot make a file for sorted records in `{shown}`: name a directory that can \
                     be written, or allow sorting more memory"
                ),
                cause,
            )
        })?;
        Ok(Self::over(file, directory))
    }

    pub(super) fn over(file: File, directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            file: BufWriter::with_capacity(BUFFER_BYTES, file),
            records: 0,
            bytes: Vec::new(),
            scratch: AlignedVec::new(),
            types: PhantomData,
        }
    }

    pub(super) fn write(&mut self, hash: u64, at: Timestamp, value: &T) -> Result<()> {
        self.bytes.clear();
        self.bytes.extend_from_slice(&hash.to_le_bytes());
        self.bytes.extend_from_slice(&at.0.to_le_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        archive::append(value, &mut self.bytes, &mut self.scratch)?;
        let len = u32::try_from(self.bytes.len() - HEAD_BYTES)
            .map_err(|_| Error::overflow("a record's archive takes more than 4 GiB"))?;
        self.bytes[HEAD_BYTES - 4..HEAD_BYTES].copy_from_slice(&len.to_le_bytes());
        self.records += 1;
        let written = self.file.write_all(&self.bytes);
        written.map_err(|cause| cannot_write(&self.directory, cause))
    }

    /// The run, to be read from its start.
    pub(super) fn finish(self) -> Result<Run<T>> {
        let Self { directory, file, records, .. } = self;
        let file = file
            .into_inner()
            .map_err(|refused| refused.into_error())
            .and_then(|mut file| file.rewind().map(|()| file))
            .map_err(|cause| cannot_write(&directory, cause))?;
        Ok(Run {
            directory,
            file: BufReader::with_capacity(BUFFER_BYTES, file),
            left: records,
            len: 0,
            bytes: AlignedVec::new(),
            scratch: AlignedVec::new(),
            types: PhantomData,
        })
    }
}

fn cannot_write(directory: &Path, cause: std::io::Error) -> Error {
    let shown = directory.display();
    Error::io(
        format!(
            "cannot write sorted records into `{shown}`: make room there, name another directory, \
             or allow sorting more memory"
        ),
        cause,
    )
}

/// Reads a run.
#[derive(Debug)]
pub(super) struct Run<T> {
    directory: PathBuf,
    file: BufReader<File>,
    left: u64,
    /// The length of the archive whose head was read.
    len: usize,
    bytes: AlignedVec,
    scratch: AlignedVec,
    types: PhantomData<fn() -> T>,
}

impl<T: Record> Run<T> {
    /// The hash and time of the next record, whose value is read next; `None` at the end.
    pub(super) fn advance(&mut self) -> Result<Option<(u64, Timestamp)>> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        let mut head = [0; HEAD_BYTES];
        self.file.read_exact(&mut head).map_err(|cause| self.cannot_read(cause))?;
        let (hash, rest) = head.split_at(8);
        let (at, len) = rest.split_at(8);
        let word =
            |bytes: &[u8]| bytes.iter().rev().fold(0u64, |word, byte| word << 8 | u64::from(*byte));
        self.len = word(len) as usize;
        Ok(Some((word(hash), Timestamp(word(at) as i64))))
    }

    /// The value behind the head that was read last.
    pub(super) fn value(&mut self) -> Result<T> {
        self.bytes.resize(self.len, 0);
        self.file.read_exact(&mut self.bytes).map_err(|cause| self.cannot_read(cause))?;
        archive::read(&self.bytes, &mut self.scratch)
    }

    fn cannot_read(&self, cause: std::io::Error) -> Error {
        Error::io(format!("cannot read sorted records in `{}`", self.directory.display()), cause)
    }
}
