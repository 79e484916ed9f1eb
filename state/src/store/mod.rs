//! Where checkpoints lie: named files that become visible whole, or not at all.
//!
//! A store is flat. Its files are written once, from front to back, and are there under their name
//! only when they are durable; they are read at any place, and deleted. [`DirectoryStore`] keeps
//! them in a directory of a [`Disk`]: the machine's, or in tests and the
//! simulator one that crashes.

mod directory;
pub mod disk;
mod real_disk;
mod sim_disk;

use std::sync::Arc;

use tailwater_core::Result;

pub use directory::DirectoryStore;
pub use disk::{Disk, DiskFile, DiskRead, Lock};
pub use real_disk::{Caching, RealDisk};
pub use sim_disk::{SimDisk, Trouble};

/// Files of checkpoints. Calls block: they belong on the checkpoint service's thread, or before the
/// first record.
pub trait CheckpointStore: Send + Sync {
    /// What people call it: a path, a URL.
    fn describe(&self) -> String;

    /// Takes the store for one job, as long as the lock is held: two that took checkpoints in one
    /// place would delete each other's. A store that knows no locks grants any, as object stores
    /// do.
    ///
    /// # Errors
    /// When another job has it.
    fn lock(&self) -> Result<Lock> {
        Ok(Box::new(()))
    }

    /// A new file that appears as `name` when it is finished; until then it is not listed.
    ///
    /// # Errors
    /// When the store refuses.
    fn begin(&self, name: &str) -> Result<Box<dyn NewFile>>;

    /// Writes a small file whole: after this it is there and durable, after an error or a crash it
    /// is there whole or not at all.
    ///
    /// # Errors
    /// When the store refuses.
    fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut file = self.begin(name)?;
        file.append(bytes)?;
        file.finish()
    }

    /// All finished files, by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn list(&self) -> Result<Vec<Listed>>;

    /// A finished file, for reading; `None` where there is none of this name.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn open(&self, name: &str) -> Result<Option<Arc<dyn StoredFile>>>;

    /// Says that all of a file may be read soon, so that it can be brought into memory ahead of
    /// that. Nothing else changes by it, and what fails fails when the file is read.
    fn expect(&self, name: &str) {
        let _ = name;
    }

    /// Removes a file, if it is there.
    ///
    /// # Errors
    /// When the store refuses.
    fn delete(&self, name: &str) -> Result<()>;

    /// Makes durable that the listed files are there. Of a file that `finish` failed on, or whose
    /// process was killed within it, that is not known.
    ///
    /// # Errors
    /// When the store refuses.
    fn settle(&self) -> Result<()> {
        Ok(())
    }

    /// Removes what crashed runs began and did not finish. Only files that a store's `begin` may
    /// have left are touched.
    ///
    /// # Errors
    /// When the store refuses.
    fn clear_unfinished(&self) -> Result<()>;
}

/// A finished file of a store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub len: u64,
}

/// A file that is being written. Dropped unfinished, it never was.
pub trait NewFile: Send {
    /// Adds bytes at the end.
    ///
    /// # Errors
    /// When the store refuses: a full disk, for instance. The file is of no use then.
    fn append(&mut self, bytes: &[u8]) -> Result<()>;

    /// Makes it durable, then visible under its name.
    ///
    /// # Errors
    /// When the store refuses; the file may not be there then.
    fn finish(self: Box<Self>) -> Result<()>;
}

/// A finished file, read by several threads at once.
pub trait StoredFile: Send + Sync {
    /// Its length in bytes.
    fn len(&self) -> u64;

    /// Whether it has no bytes at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes are best read at once: enough for the full speed of what is behind, and for
    /// a file system so few that they stay in a core's cache while they are looked at.
    fn read_len(&self) -> u64 {
        512 << 10
    }

    /// Fills `into` with the bytes from `offset` on.
    ///
    /// # Errors
    /// When they cannot be read, or the file ends before.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<()>;
}
