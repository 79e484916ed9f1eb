//! The machine's file system: written past the page cache where it lets us, read through it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rkyv::util::AlignedVec;
use rustix::fs::{Advice, OFlags, fadvise};

use super::disk::{Disk, DiskFile, DiskRead, Lock};

/// Direct writes begin and end at multiples of this: the largest block size of usual disks.
const ALIGNMENT: usize = 4096;
/// Bytes of a write: large enough for a disk's full speed, small enough for a pool's cache.
const BUFFER: usize = 512 << 10;
/// Bytes that the kernel is told of at once: of more it reads only the beginning.
const AHEAD: u64 = 512 << 10;
/// Bytes that are copied at once: just below what the C library leaves to one string instruction,
/// which some processors do several times slower than the moves of vectors.
const COPIED_AT_ONCE: usize = 2 << 10;

const _: () = assert!(BUFFER.is_multiple_of(ALIGNMENT));

/// Whether files are written past the page cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Caching {
    /// Past the page cache where the file system allows it: checkpoints do not push out what the
    /// job reads, and there is no burst of write-back.
    #[default]
    Direct,
    /// Through the page cache.
    Buffered,
}

/// The machine's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk {
    /// How files are written.
    pub caching: Caching,
}

/// A file that is being written.
#[derive(Debug)]
pub struct RealFile {
    file: File,
    caching: Caching,
    buffer: AlignedVec<ALIGNMENT>,
    /// All that was appended.
    len: u64,
}

/// A file that is being read.
#[derive(Debug)]
pub struct RealRead {
    file: File,
    len: u64,
}

impl RealDisk {
    /// How files in this directory will be written: asked with a file that is removed again.
    ///
    /// # Errors
    /// When no file can be created there.
    pub fn probe(&self, directory: &Path) -> io::Result<Caching> {
        let path = directory.join("probe.tmp");
        let file = self.create(&path)?;
        fs::remove_file(&path)?;
        Ok(file.caching)
    }
}

impl Disk for RealDisk {
    type File = RealFile;
    type Read = RealRead;

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)?;
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
            _ => Ok(()),
        }
    }

    fn create(&self, path: &Path) -> io::Result<RealFile> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        let direct = match self.caching {
            Caching::Direct => {
                options.clone().custom_flags(OFlags::DIRECT.bits() as i32).open(path)
            }
            Caching::Buffered => Err(io::ErrorKind::InvalidInput.into()),
        };
        let (file, caching) = match direct {
            Ok(file) => (file, Caching::Direct),
            // EINVAL: this file system has no direct writes.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                (options.open(path)?, Caching::Buffered)
            }
            Err(error) => return Err(error),
        };
        Ok(RealFile { file, caching, buffer: AlignedVec::with_capacity(BUFFER), len: 0 })
    }

    fn open(&self, path: &Path) -> io::Result<RealRead> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(RealRead { file, len })
    }

    fn expect(&self, path: &Path) {
        let Ok(RealRead { file, len }) = self.open(path) else { return };
        for at in (0..len).step_by(AHEAD as usize) {
            // A file system that cannot read ahead reads when asked.
            let _ = fadvise(&file, at, NonZeroU64::new(AHEAD), Advice::WillNeed);
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn delete(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<(String, u64)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            // Files whose names are no text are none of ours.
            let Ok(name) = entry.file_name().into_string() else { continue };
            match entry.metadata() {
                Ok(metadata) if metadata.is_file() => files.push((name, metadata.len())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(files)
    }

    /// By `flock` on the directory itself, which needs no right to write there, and which the
    /// kernel gives up for a process that is killed.
    fn lock(&self, directory: &Path) -> io::Result<Lock> {
        let directory = File::open(directory)?;
        match directory.try_lock() {
            Ok(()) => Ok(Box::new(directory)),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            // A file system without locks, or without those of directories.
            Err(TryLockError::Error(_)) => Ok(Box::new(())),
        }
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

impl RealFile {
    fn write_buffer(&mut self) -> io::Result<()> {
        self.file.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

impl DiskFile for RealFile {
    fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.len += bytes.len() as u64;
        while !bytes.is_empty() {
            let wanted = bytes.len().min(BUFFER - self.buffer.len());
            let (now, later) = bytes.split_at(wanted);
            now.chunks(COPIED_AT_ONCE).for_each(|piece| self.buffer.extend_from_slice(piece));
            bytes = later;
            if self.buffer.len() == BUFFER {
                self.write_buffer()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            if self.caching == Caching::Direct {
                self.buffer.resize(self.buffer.len().next_multiple_of(ALIGNMENT), 0);
            }
            self.write_buffer()?;
        }
        if self.caching == Caching::Direct {
            self.file.set_len(self.len)?;
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.flush()?;
        self.file.sync_data()
    }
}

impl DiskRead for RealRead {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(into, offset)
    }
}
