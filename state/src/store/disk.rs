//! The few operations on files that a directory of checkpoints needs, and what they promise.

use std::io;
use std::path::Path;

/// Held as long as it is not dropped; a process that dies drops it.
pub type Lock = Box<dyn Send + Sync>;

/// A file system, as far as checkpoints need one. Nothing is promised to survive a crash but the
/// bytes of a file after its `sync`, and the names in a directory after `sync_directory`.
pub trait Disk: Clone + Send + Sync + 'static {
    /// A file that is being written.
    type File: DiskFile;
    /// A file that is being read.
    type Read: DiskRead;

    /// Makes a directory and those above it; it is no error that it exists.
    ///
    /// # Errors
    /// Those of the file system, as for all that follow.
    fn create_directory(&self, path: &Path) -> io::Result<()>;

    /// A new, empty file; one of this name is emptied.
    ///
    /// # Errors
    /// See above.
    fn create(&self, path: &Path) -> io::Result<Self::File>;

    /// A file for reading.
    ///
    /// # Errors
    /// `NotFound` where there is none; see above.
    fn open(&self, path: &Path) -> io::Result<Self::Read>;

    /// Says that all of a file may be read soon, so that it can be brought into memory ahead of
    /// that. Nothing else changes by it, and what fails fails when the file is read.
    fn expect(&self, path: &Path) {
        let _ = path;
    }

    /// Gives a file another name, replacing what had it.
    ///
    /// # Errors
    /// See above.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// See above.
    fn delete(&self, path: &Path) -> io::Result<()>;

    /// The files of a directory with their lengths, in no order.
    ///
    /// # Errors
    /// See above.
    fn list(&self, path: &Path) -> io::Result<Vec<(String, u64)>>;

    /// Takes a directory for whoever has the lock. Nobody is kept from reading or writing there but
    /// by asking for it. Where there are no locks they are granted, as by default.
    ///
    /// # Errors
    /// `WouldBlock` where another has it.
    fn lock(&self, directory: &Path) -> io::Result<Lock> {
        let _ = directory;
        Ok(Box::new(()))
    }

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// See above.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
}

/// A file that is written from front to back.
pub trait DiskFile: Send {
    /// Adds bytes at the end.
    ///
    /// # Errors
    /// Those of the file system.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Hands all bytes to the file system, without waiting until they are durable. Nothing is
    /// appended afterwards.
    ///
    /// # Errors
    /// Those of the file system.
    fn flush(&mut self) -> io::Result<()>;

    /// Makes all bytes durable. Nothing is appended afterwards.
    ///
    /// # Errors
    /// Those of the file system.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file that is read at any place.
pub trait DiskRead: Send + Sync {
    /// Its length in bytes.
    fn len(&self) -> u64;

    /// Whether it has no bytes at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `into` from `offset` on.
    ///
    /// # Errors
    /// `UnexpectedEof` where the file ends before, and those of the file system.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()>;
}
