//! A disk in memory that does what real ones may: loses what was not synced in a crash, tears it,
//! fills up, refuses, and flips bytes. All by a seed.
//!
//! ```text
//! a file    durable bytes | bytes since the last sync      crash: some prefix, some sectors zero
//! a name    durable names | changes since the last sync    crash: some prefix, or any of them
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tailwater_core::Random;

use super::disk::{Disk, DiskFile, DiskRead};

/// What a crash writes or loses as one.
const SECTOR: usize = 512;

/// A disk in memory. Its clones are the same disk.
#[derive(Clone, Debug)]
pub struct SimDisk(Arc<Mutex<State>>);

/// Which operations fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The operation with this number, counted from 0 over the life of the disk.
    Once(u64),
    /// It and all later ones.
    From(u64),
    /// One of so many, drawn from the seed.
    OneOf(u64),
}

#[derive(Debug)]
struct State {
    random: Random,
    directories: BTreeSet<PathBuf>,
    /// By number.
    files: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Changes of names that no sync of their directory has made durable, in their order.
    pending: Vec<Change>,
    operations: u64,
    trouble: Option<(Trouble, io::ErrorKind)>,
    capacity: usize,
    /// Counts crashes: what was opened before one is of no use after it.
    life: u64,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    bytes: Vec<u8>,
    durable: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Change {
    Link(PathBuf, usize),
    Rename { from: PathBuf, to: PathBuf, inode: usize },
    Unlink(PathBuf),
}

impl Change {
    fn directory(&self) -> Option<&Path> {
        match self {
            Self::Link(path, _) | Self::Unlink(path) | Self::Rename { to: path, .. } => {
                path.parent()
            }
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Link(path, inode) => {
                names.insert(path.clone(), *inode);
            }
            Self::Unlink(path) => {
                names.remove(path);
            }
            Self::Rename { from, to, inode } => {
                names.remove(from);
                names.insert(to.clone(), *inode);
            }
        }
    }
}

impl SimDisk {
    /// An empty disk of unlimited size.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            random: Random::from_seed(seed),
            directories: BTreeSet::new(),
            files: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending: Vec::new(),
            operations: 0,
            trouble: None,
            capacity: usize::MAX,
            life: 0,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many operations there were, those that failed included.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Lets operations fail, or none.
    pub fn trouble(&self, trouble: Option<(Trouble, io::ErrorKind)>) {
        self.state().trouble = trouble;
    }

    /// Lets the disk be full when its files have so many bytes.
    pub fn set_capacity(&self, bytes: usize) {
        self.state().capacity = bytes;
    }

    /// The machine dies and comes back: what was not synced may be lost or torn. Files that were
    /// open can no longer be used.
    pub fn crash(&self) {
        self.state().crash();
    }

    /// The files that are there, by path.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.state().names.keys().cloned().collect()
    }

    /// The bytes of a file; `None` where there is none.
    pub fn bytes(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state();
        state.names.get(path).map(|inode| state.files[*inode].bytes.clone())
    }

    /// Changes the bytes of a file behind everybody's back, for ever: damage. `false` where there
    /// is no such file.
    pub fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut state = self.state();
        let Some(&inode) = state.names.get(path) else { return false };
        let file = &mut state.files[inode];
        change(&mut file.bytes);
        file.durable.clone_from(&file.bytes);
        true
    }
}

impl State {
    /// Counts an operation, and lets it fail if it is to.
    fn operate(&mut self) -> io::Result<()> {
        let number = self.operations;
        self.operations += 1;
        let Some((trouble, kind)) = self.trouble else { return Ok(()) };
        let fails = match trouble {
            Trouble::Once(at) => number == at,
            Trouble::From(at) => number >= at,
            Trouble::OneOf(many) => self.random.chance(1, many),
        };
        if fails { Err(kind.into()) } else { Ok(()) }
    }

    fn is_in_directory(&self, path: &Path) -> io::Result<()> {
        let parent = path.parent().unwrap_or(Path::new(""));
        match self.directories.contains(parent) {
            true => Ok(()),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn used(&self) -> usize {
        let linked: BTreeSet<_> = self.names.values().collect();
        linked.into_iter().map(|inode| self.files[*inode].bytes.len()).sum()
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.pending.push(change);
    }

    fn crash(&mut self) {
        self.life += 1;
        let pending = std::mem::take(&mut self.pending);
        // A journal keeps the order of changes; a file system without one keeps none.
        let journal = self.random.chance(1, 2);
        let kept = self.random.below(pending.len() as u64 + 1) as usize;
        for (index, change) in pending.iter().enumerate() {
            let survives = if journal { index < kept } else { self.random.chance(1, 2) };
            if survives {
                change.apply(&mut self.durable_names);
            }
        }
        self.names.clone_from(&self.durable_names);
        for file in &mut self.files {
            let (synced, written) = (file.durable.len(), file.bytes.len());
            if written > synced {
                let survives = self.random.below((written - synced) as u64 + 1) as usize;
                file.bytes.truncate(synced + survives);
                let first = synced.next_multiple_of(SECTOR);
                for sector in file.bytes.get_mut(first..).unwrap_or_default().chunks_mut(SECTOR) {
                    if self.random.chance(1, 4) {
                        sector.fill(0);
                    }
                }
            }
            file.durable.clone_from(&file.bytes);
        }
    }
}

/// A file of a [`SimDisk`] that is being written.
#[derive(Debug)]
pub struct SimFile {
    disk: SimDisk,
    inode: usize,
    life: u64,
}

/// A file of a [`SimDisk`] that is being read.
#[derive(Debug)]
pub struct SimRead {
    disk: SimDisk,
    inode: usize,
    len: u64,
}

impl Disk for SimDisk {
    type File = SimFile;
    type Read = SimRead;

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.operate()?;
        for directory in path.ancestors() {
            state.directories.insert(directory.to_owned());
        }
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<SimFile> {
        let mut state = self.state();
        state.operate()?;
        state.is_in_directory(path)?;
        let inode = state.files.len();
        state.files.push(Inode::default());
        state.change(Change::Link(path.to_owned(), inode));
        Ok(SimFile { disk: self.clone(), inode, life: state.life })
    }

    fn open(&self, path: &Path) -> io::Result<SimRead> {
        let mut state = self.state();
        state.operate()?;
        let inode = *state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        let len = state.files[inode].bytes.len() as u64;
        Ok(SimRead { disk: self.clone(), inode, len })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.operate()?;
        let inode = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        state.change(Change::Rename { from: from.to_owned(), to: to.to_owned(), inode });
        Ok(())
    }

    fn delete(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.operate()?;
        if !state.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change(Change::Unlink(path.to_owned()));
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<(String, u64)>> {
        let mut state = self.state();
        state.operate()?;
        if !state.directories.contains(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let files = state.names.iter().filter(|(name, _)| name.parent() == Some(path));
        let files = files.filter_map(|(name, inode)| {
            let name = name.file_name()?.to_str()?.to_owned();
            Some((name, state.files[*inode].bytes.len() as u64))
        });
        Ok(files.collect())
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.operate()?;
        let pending = std::mem::take(&mut state.pending);
        for change in pending {
            match change.directory() == Some(path) {
                true => change.apply(&mut state.durable_names),
                false => state.pending.push(change),
            }
        }
        Ok(())
    }
}

impl DiskFile for SimFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        if state.life != self.life {
            return Err(io::Error::other("the machine crashed since the file was opened"));
        }
        let trouble = state.operate();
        let room = state.capacity.saturating_sub(state.used());
        let written = match &trouble {
            Ok(()) => bytes.len().min(room),
            // A write that fails may have written something.
            Err(_) => state.random.below(bytes.len() as u64 + 1) as usize,
        };
        state.files[self.inode].bytes.extend_from_slice(&bytes[..written]);
        trouble?;
        if written < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.state();
        if state.life != self.life {
            return Err(io::Error::other("the machine crashed since the file was opened"));
        }
        state.operate()?;
        let file = &mut state.files[self.inode];
        file.durable.clone_from(&file.bytes);
        Ok(())
    }
}

impl DiskRead for SimRead {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        state.operate()?;
        let bytes = &state.files[self.inode].bytes;
        let end = (offset as usize).checked_add(into.len());
        let read = end.and_then(|end| bytes.get(offset as usize..end));
        into.copy_from_slice(read.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}
