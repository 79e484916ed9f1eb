//! A disk in memory that crashes: what was not synced is lost, or some of it, as with a real one.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tailwater_core::Random;

use super::disk::{OutputDisk, OutputFile, directory_of};

/// What a crash leaves of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// Nothing.
    LosesAll,
    /// Everything: the process was killed, the machine goes on.
    KeepsAll,
    /// By chance, from this seed: of each file a part of what was added, of each directory the old
    /// names or the new ones.
    Tears(u64),
}

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk(Arc<Mutex<Content>>);

#[derive(Debug, Default)]
struct Content {
    files: Vec<Bytes>,
    /// Directories, with the files in them as they are seen, and as they were synced last.
    directories: BTreeMap<PathBuf, Names>,
    /// Counts crashes: files that were opened before one are of no use after it.
    life: u64,
    calls: u64,
    /// All calls fail from this one on.
    fails_at: Option<u64>,
}

#[derive(Debug, Default)]
struct Bytes {
    seen: Vec<u8>,
    synced: Vec<u8>,
}

#[derive(Debug, Default)]
struct Names {
    seen: BTreeMap<String, usize>,
    synced: BTreeMap<String, usize>,
}

impl MemoryDisk {
    /// An empty disk with these directories.
    pub fn with_directories(directories: &[&str]) -> Self {
        let disk = Self::default();
        for directory in directories {
            disk.lock().directories.insert(directory.into(), Names::default());
        }
        disk
    }

    /// How many calls there were: a crash can be set to each of them.
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// All calls fail from the one of this number on, until the crash.
    pub fn fail_at(&self, call: u64) {
        self.lock().fails_at = Some(call);
    }

    /// Crashes, and works again.
    pub fn crash(&self, crash: Crash) {
        let mut content = self.lock();
        content.life += 1;
        content.fails_at = None;
        let mut random = Random::from_seed(if let Crash::Tears(seed) = crash { seed } else { 0 });
        for bytes in &mut content.files {
            let kept = match crash {
                Crash::LosesAll => bytes.synced.clone(),
                Crash::KeepsAll => bytes.seen.clone(),
                Crash::Tears(_) if bytes.seen.starts_with(&bytes.synced) => {
                    let added = bytes.seen.len() - bytes.synced.len();
                    let some = random.below(added as u64 + 1) as usize;
                    bytes.seen[..bytes.synced.len() + some].to_vec()
                }
                Crash::Tears(_) if random.chance(1, 2) => bytes.seen.clone(),
                Crash::Tears(_) => bytes.synced.clone(),
            };
            (bytes.seen, bytes.synced) = (kept.clone(), kept);
        }
        for names in content.directories.values_mut() {
            let kept = match crash {
                Crash::LosesAll => names.synced.clone(),
                Crash::KeepsAll => names.seen.clone(),
                Crash::Tears(_) if random.chance(1, 2) => names.seen.clone(),
                Crash::Tears(_) => names.synced.clone(),
            };
            (names.seen, names.synced) = (kept.clone(), kept);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call(&self) -> io::Result<MutexGuard<'_, Content>> {
        let mut content = self.lock();
        content.calls += 1;
        match content.fails_at {
            Some(call) if content.calls > call => Err(io::Error::other("the disk has crashed")),
            _ => Ok(content),
        }
    }

    fn file(&self, number: usize, life: u64) -> Box<dyn OutputFile> {
        Box::new(MemoryFile { disk: self.clone(), number, life })
    }
}

fn missing(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("`{}` is not there", path.display()))
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl Content {
    fn names(&mut self, directory: &Path) -> io::Result<&mut Names> {
        // With and without a slash at the end is the same path.
        self.directories.get_mut(directory).ok_or_else(|| missing(directory))
    }

    fn find(&mut self, path: &Path) -> io::Result<Option<usize>> {
        let Ok(names) = self.names(directory_of(path)) else { return Ok(None) };
        Ok(names.seen.get(&name_of(path)).copied())
    }
}

impl OutputDisk for MemoryDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn OutputFile>> {
        let mut content = self.call()?;
        let number = match content.find(path)? {
            Some(number) => {
                content.files[number].seen.clear();
                number
            }
            None => {
                let number = content.files.len();
                content.names(directory_of(path))?.seen.insert(name_of(path), number);
                content.files.push(Bytes::default());
                number
            }
        };
        Ok(self.file(number, content.life))
    }

    fn reopen(&self, path: &Path, len: u64) -> io::Result<Box<dyn OutputFile>> {
        let mut content = self.call()?;
        let number = content.find(path)?.ok_or_else(|| missing(path))?;
        content.files[number].seen.resize(len as usize, 0);
        Ok(self.file(number, content.life))
    }

    fn len(&self, path: &Path) -> io::Result<Option<u64>> {
        Ok(self.read(path)?.map(|bytes| bytes.len() as u64))
    }

    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let mut content = self.call()?;
        let found = content.find(path)?;
        Ok(found.map(|number| content.files[number].seen.clone()))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut content = self.call()?;
        let names = content.names(directory_of(from))?;
        let number = names.seen.remove(&name_of(from)).ok_or_else(|| missing(from))?;
        names.seen.insert(name_of(to), number);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut content = self.call()?;
        let names = content.names(directory_of(path))?;
        names.seen.remove(&name_of(path)).map(drop).ok_or_else(|| missing(path))
    }

    fn list(&self, directory: &Path) -> io::Result<Option<Vec<String>>> {
        let mut content = self.call()?;
        let Ok(names) = content.names(directory) else { return Ok(None) };
        Ok(Some(names.seen.keys().cloned().collect()))
    }

    fn create_directory(&self, directory: &Path) -> io::Result<()> {
        self.call()?.directories.entry(directory.to_owned()).or_default();
        Ok(())
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        let mut content = self.call()?;
        // The one that all directories are in is always there.
        if directory == Path::new(".") {
            return Ok(());
        }
        let names = content.names(directory)?;
        names.synced = names.seen.clone();
        Ok(())
    }
}

struct MemoryFile {
    disk: MemoryDisk,
    number: usize,
    life: u64,
}

impl MemoryFile {
    fn bytes<R>(&self, change: impl FnOnce(&mut Bytes) -> R) -> io::Result<R> {
        let mut content = self.disk.call()?;
        if content.life != self.life {
            return Err(io::Error::other("the disk has crashed since the file was opened"));
        }
        Ok(change(&mut content.files[self.number]))
    }
}

impl OutputFile for MemoryFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes(|file| file.seen.extend_from_slice(bytes))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.bytes(|file| file.synced = file.seen.clone())
    }
}
