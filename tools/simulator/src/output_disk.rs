//! The simulated disk as outputs see it.

use std::io;
use std::path::Path;

use tailwater::connectors::sink::{OutputDisk, OutputFile};
use tailwater_state::store::{Disk, DiskFile};

use crate::disk::{SimDisk, SimFile};

impl OutputDisk for SimDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn OutputFile>> {
        Ok(Box::new(Disk::create(self, path)?))
    }

    fn reopen(&self, path: &Path, len: u64) -> io::Result<Box<dyn OutputFile>> {
        Ok(Box::new(self.cut(path, len)?))
    }

    fn len(&self, path: &Path) -> io::Result<Option<u64>> {
        Ok(self.look(path)?.map(|bytes| bytes.len() as u64))
    }

    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        self.look(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk::rename(self, from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.delete(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Option<Vec<String>>> {
        if !self.has_directory(directory) {
            return Ok(None);
        }
        let files = Disk::list(self, directory)?;
        Ok(Some(files.into_iter().map(|(name, _)| name).collect()))
    }

    fn create_directory(&self, directory: &Path) -> io::Result<()> {
        self.make_directory(directory)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        Disk::sync_directory(self, directory)
    }
}

impl OutputFile for SimFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        DiskFile::append(self, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        DiskFile::sync(self)
    }
}
