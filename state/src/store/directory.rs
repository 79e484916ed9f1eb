//! Checkpoints in a directory: a file is written under another name, synced, renamed, and then the
//! directory is synced.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tailwater_core::{Error, Fault, Result, fault};

use super::disk::{Disk, DiskFile, DiskRead, Lock};
use super::{CheckpointStore, Listed, NewFile, StoredFile};

/// What is added to the name of a file that is not finished.
const UNFINISHED: &str = ".tmp";

/// A directory of a disk.
#[derive(Clone, Debug)]
pub struct DirectoryStore<D> {
    disk: D,
    path: PathBuf,
}

impl<D: Disk> DirectoryStore<D> {
    /// The directory at `path`, made if it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(disk: D, path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        disk.create_directory(&path).map_err(|cause| {
            let path = path.display();
            Error::io(format!("cannot make the checkpoint directory `{path}`"), cause)
        })?;
        Ok(Self { disk, path })
    }

    /// The directory at `path`, for reading what is there.
    pub fn at(disk: D, path: impl Into<PathBuf>) -> Self {
        Self { disk, path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn refused(&self, what: &str, name: &str, cause: io::Error) -> Error {
        refused(what, &self.path.join(name), cause)
    }
}

fn refused(what: &str, path: &Path, cause: io::Error) -> Error {
    let advice = match cause.kind() {
        io::ErrorKind::StorageFull => " (free some space; the older checkpoints are kept)",
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            " (let the job write there, or give it another directory)"
        }
        _ => "",
    };
    Error::io(format!("cannot {what} `{}`{advice}", path.display()), cause)
}

impl<D: Disk> CheckpointStore for DirectoryStore<D> {
    fn describe(&self) -> String {
        self.path.display().to_string()
    }

    fn lock(&self) -> Result<Lock> {
        self.disk.lock(&self.path).map_err(|cause| match cause.kind() {
            io::ErrorKind::WouldBlock => Error::configuration(format!(
                "another job takes checkpoints in `{}`, and would lose them: give this one a \
                 directory of its own, or wait until that one has ended",
                self.path.display()
            )),
            _ => self.refused("lock", "", cause),
        })
    }

    fn begin(&self, name: &str) -> Result<Box<dyn NewFile>> {
        let unfinished = self.path.join(format!("{name}{UNFINISHED}"));
        let file = self.disk.create(&unfinished);
        let file = file.map_err(|cause| refused("create", &unfinished, cause))?;
        let store = self.clone();
        Ok(Box::new(DirectoryFile { store, file, name: name.to_owned(), unfinished, done: false }))
    }

    fn list(&self) -> Result<Vec<Listed>> {
        let files = self.disk.list(&self.path);
        let files = files.map_err(|cause| self.refused("list", "", cause))?;
        let finished = files.into_iter().filter(|(name, _)| !name.ends_with(UNFINISHED));
        let mut listed: Vec<_> = finished.map(|(name, len)| Listed { name, len }).collect();
        listed.sort();
        Ok(listed)
    }

    fn open(&self, name: &str) -> Result<Option<Arc<dyn StoredFile>>> {
        let path = self.path.join(name);
        match self.disk.open(&path) {
            Ok(file) => Ok(Some(Arc::new(ReadFile { file, path }))),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(refused("open", &path, cause)),
        }
    }

    fn expect(&self, name: &str) {
        self.disk.expect(&self.path.join(name));
    }

    fn delete(&self, name: &str) -> Result<()> {
        match self.disk.delete(&self.path.join(name)) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                Err(self.refused("delete", name, cause))
            }
            _ => Ok(()),
        }
    }

    fn settle(&self) -> Result<()> {
        let synced = self.disk.sync_directory(&self.path);
        synced.map_err(|cause| self.refused("sync", "", cause))
    }

    fn clear_unfinished(&self) -> Result<()> {
        let files = self.disk.list(&self.path);
        let files = files.map_err(|cause| self.refused("list", "", cause))?;
        for (name, _) in files {
            let finished = name.strip_suffix(UNFINISHED);
            if finished.is_some_and(|name| crate::checkpoint::names::parse(name).is_some()) {
                self.delete(&name)?;
            }
        }
        Ok(())
    }
}

/// A file that is being written under its unfinished name.
struct DirectoryFile<D: Disk> {
    store: DirectoryStore<D>,
    file: D::File,
    name: String,
    unfinished: PathBuf,
    done: bool,
}

impl<D: Disk> NewFile for DirectoryFile<D> {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.append(bytes).map_err(|cause| refused("write", &self.unfinished, cause))
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        let skip_sync = fault(Fault::SkipFileSync);
        if !skip_sync {
            self.file.sync().map_err(|cause| refused("sync", &self.unfinished, cause))?;
        } else {
            self.file.flush().map_err(|cause| refused("write", &self.unfinished, cause))?;
        }
        let path = self.store.path.join(&self.name);
        let disk = &self.store.disk;
        disk.rename(&self.unfinished, &path).map_err(|cause| refused("rename", &path, cause))?;
        self.done = true;
        if !fault(Fault::SkipDirectorySync) {
            let synced = disk.sync_directory(&self.store.path);
            synced.map_err(|cause| self.store.refused("sync", "", cause))?;
        }
        Ok(())
    }
}

impl<D: Disk> Drop for DirectoryFile<D> {
    fn drop(&mut self) {
        if !self.done {
            // What cannot be removed now is a left-over that the next opening clears.
            let _ = self.store.disk.delete(&self.unfinished);
        }
    }
}

struct ReadFile<R> {
    file: R,
    path: PathBuf,
}

impl<R: DiskRead> StoredFile for ReadFile<R> {
    fn len(&self) -> u64 {
        self.file.len()
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        self.file.read_at(offset, into).map_err(|cause| {
            let (path, len) = (self.path.display(), into.len());
            Error::io(format!("cannot read {len} bytes at byte {offset} of `{path}`"), cause)
        })
    }
}
