//! The few operations on files that outputs need, and what they promise.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// A file system, as far as outputs need one. Nothing is promised to survive a crash but the bytes
/// of a file after its [`sync`](OutputFile::sync), and the names in a directory after
/// [`sync_directory`](OutputDisk::sync_directory).
///
/// All errors are those of the file system.
#[allow(clippy::missing_errors_doc)]
pub trait OutputDisk: fmt::Debug + Send + Sync + 'static {
    /// A new, empty file; one of this name is emptied.
    fn create(&self, path: &Path) -> io::Result<Box<dyn OutputFile>>;

    /// A file that is there, cut off at `len`, to be written on from its end.
    fn reopen(&self, path: &Path, len: u64) -> io::Result<Box<dyn OutputFile>>;

    /// The length of a file; `None` where there is none.
    fn len(&self, path: &Path) -> io::Result<Option<u64>>;

    /// The bytes of a small file; `None` where there is none.
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>>;

    /// Gives a file another name in its directory, replacing what had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// The names in a directory, in no order; `None` where there is no such directory.
    fn list(&self, directory: &Path) -> io::Result<Option<Vec<String>>>;

    /// Makes a directory in one that is there.
    fn create_directory(&self, directory: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;
}

/// A file that is being written.
#[allow(clippy::missing_errors_doc)]
pub trait OutputFile: Send {
    /// Adds bytes at the end.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes all bytes durable.
    fn sync(&mut self) -> io::Result<()>;
}

/// The machine's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine;

impl OutputDisk for Machine {
    fn create(&self, path: &Path) -> io::Result<Box<dyn OutputFile>> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
        Ok(Box::new(file))
    }

    fn reopen(&self, path: &Path, len: u64) -> io::Result<Box<dyn OutputFile>> {
        let file = OpenOptions::new().append(true).open(path)?;
        file.set_len(len)?;
        Ok(Box::new(file))
    }

    fn len(&self, path: &Path) -> io::Result<Option<u64>> {
        present(std::fs::metadata(path).map(|metadata| metadata.len()))
    }

    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        present(std::fs::read(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Option<Vec<String>>> {
        let Some(entries) = present(std::fs::read_dir(directory))? else { return Ok(None) };
        let name = |entry: io::Result<std::fs::DirEntry>| {
            entry.map(|entry| entry.file_name().to_string_lossy().into_owned())
        };
        entries.map(name).collect::<io::Result<_>>().map(Some)
    }

    fn create_directory(&self, directory: &Path) -> io::Result<()> {
        std::fs::create_dir(directory)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        File::open(directory)?.sync_all()
    }
}

fn present<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl OutputFile for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// The directory that a file lies in.
pub(super) fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
