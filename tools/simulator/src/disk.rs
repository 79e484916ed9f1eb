//! A disk in memory that keeps a process to its word: what was not synced may be gone after a
//! crash, names as well as bytes.
//!
//! ```text
//! file        appended ------ sync -----> durable   a crash cuts what is not durable, anywhere
//! name        created, renamed, deleted
//!                   `-------- sync of the directory -----> durable   a crash may undo the others
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tailwater_core::Random;
use tailwater_state::store::{Disk, DiskFile, DiskRead};

use crate::world::World;

/// What is in a file.
#[derive(Clone, Debug, Default)]
struct Content {
    /// As programs see it.
    bytes: Vec<u8>,
    /// As it is after a crash, whatever happens.
    durable: Vec<u8>,
}

type Inode = u64;

/// Bits that rot at once: more than one, or few of them would lie where they matter.
const BITS_ROTTEN_MAX: u64 = 8;

/// A change of names that is not durable.
#[derive(Clone, Debug)]
enum Change {
    Link(PathBuf, Inode),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf, Inode),
    Directory(PathBuf),
}

/// What there is by name.
#[derive(Clone, Debug, Default)]
struct Names {
    files: BTreeMap<PathBuf, Inode>,
    directories: BTreeSet<PathBuf>,
}

impl Change {
    fn apply(&self, Names { files, directories }: &mut Names) {
        match self {
            Self::Link(path, inode) => drop(files.insert(path.clone(), *inode)),
            Self::Unlink(path) => drop(files.remove(path)),
            Self::Rename(from, to, inode) => {
                files.remove(from);
                files.insert(to.clone(), *inode);
            }
            Self::Directory(path) => drop(directories.insert(path.clone())),
        }
    }

    fn is_in(&self, directory: &Path) -> bool {
        let path = match self {
            Self::Link(path, _) | Self::Unlink(path) | Self::Directory(path) => path,
            Self::Rename(_, to, _) => to,
        };
        path.parent() == Some(directory)
    }
}

/// What may go wrong with operations.
#[derive(Clone, Debug, Default)]
pub struct Trouble {
    /// Nothing can be created or appended for so many operations, each time that it is found full.
    pub full_for: u64,
    /// The disk is found full one time in so many; zero for never.
    pub full_one_in: u64,
    /// One operation in so many fails; zero for none.
    pub error_one_in: u64,
    /// After so many operations the process is killed within one.
    pub crash_in: Option<u64>,
}

/// What a crash may do to what was not synced.
#[derive(Clone, Copy, Debug)]
pub struct Loss {
    /// A file keeps any part of what was written to it, or garbage; else nothing of it.
    pub torn_writes: bool,
    /// Any of the names that were not synced are lost; else none or all of them.
    pub lost_names: bool,
}

#[derive(Debug)]
struct State {
    contents: BTreeMap<Inode, Content>,
    names: Names,
    durable_names: Names,
    pending: Vec<Change>,
    next_inode: Inode,
    random: Random,
    trouble: Trouble,
    full_left: u64,
    /// Counts processes: handles of one that is gone reach nothing.
    process: u64,
    /// The process that runs was killed within an operation.
    is_killed: bool,
    /// Whether trouble has come of anything since it was set.
    has_troubled: bool,
}

/// A disk as one process sees it.
#[derive(Clone, Debug)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    world: Arc<World>,
    process: u64,
}

fn gone() -> io::Error {
    io::Error::other("the simulated process is gone")
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl SimDisk {
    /// An empty disk.
    pub fn new(world: &Arc<World>) -> Self {
        let state = State {
            contents: BTreeMap::new(),
            names: Names::default(),
            durable_names: Names::default(),
            pending: Vec::new(),
            next_inode: 0,
            random: world.fork(),
            trouble: Trouble::default(),
            full_left: 0,
            process: 0,
            is_killed: false,
            has_troubled: false,
        };
        Self { state: Arc::new(Mutex::new(state)), world: world.clone(), process: 0 }
    }

    /// The disk for the next process; what the one before still holds is void.
    pub fn next_process(&self) -> Self {
        let mut state = self.lock();
        state.process += 1;
        state.is_killed = false;
        state.full_left = 0;
        state.has_troubled = false;
        Self { process: state.process, ..self.clone() }
    }

    /// Sets what may go wrong from now on.
    pub fn set_trouble(&self, trouble: Trouble) {
        let mut state = self.lock();
        state.trouble = trouble;
        state.full_left = 0;
    }

    /// Whether the process was killed within an operation.
    pub fn is_killed(&self) -> bool {
        self.lock().is_killed
    }

    /// Whether an operation has failed because of trouble, in this process.
    pub fn has_troubled(&self) -> bool {
        self.lock().has_troubled
    }

    /// The machine stops: what was not synced is lost as `loss` says.
    pub fn crash(&self, loss: Loss) {
        let state = &mut *self.lock();
        let pending = std::mem::take(&mut state.pending);
        let some = state.random.below(pending.len() as u64 + 1) as usize;
        let all = state.random.chance(1, 2);
        for (index, change) in pending.iter().enumerate() {
            let survives = match loss.lost_names {
                // Either in order up to some change, or each for itself.
                true if all => index < some,
                true => state.random.chance(1, 2),
                false => all,
            };
            if survives {
                change.apply(&mut state.durable_names);
            }
        }
        let Names { files, directories } = &mut state.durable_names;
        files.retain(|path, _| path.parent().is_some_and(|above| directories.contains(above)));
        let named: Vec<Inode> = files.values().copied().collect();
        state.names.clone_from(&state.durable_names);
        state.contents.retain(|inode, _| named.contains(inode));
        for content in state.contents.values_mut() {
            content.crash(&mut state.random, loss.torn_writes);
        }
        self.world.trace.event("crash", &[pending.len() as u64, some as u64]);
    }

    /// Changes some bits of a file, now and for good.
    pub fn rot(&self, path: &Path) {
        let state = &mut *self.lock();
        let Some(content) =
            state.names.files.get(path).and_then(|inode| state.contents.get_mut(inode))
        else {
            return;
        };
        if !content.bytes.is_empty() {
            for _ in 0..=state.random.below(BITS_ROTTEN_MAX) {
                let at = state.random.below(content.bytes.len() as u64) as usize;
                content.bytes[at] ^= 1 << state.random.below(8);
                self.world.trace.text("rot", &format!("{} at byte {at}", path.display()));
            }
            content.durable.clone_from(&content.bytes);
        }
    }

    /// A file as a reader sees it now.
    pub fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.lock();
        let content = state.names.files.get(path).and_then(|inode| state.contents.get(inode));
        content.map(|content| content.bytes.clone())
    }

    /// The names of a directory's files as a reader sees them now, sorted.
    pub fn names_in(&self, directory: &Path) -> Vec<String> {
        let state = self.lock();
        let inside = state.names.files.keys().filter(|path| path.parent() == Some(directory));
        inside.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect()
    }

    /// Makes sure that there is a directory, as somebody does before a job is started.
    pub fn prepare_directory(&self, path: &Path) {
        let mut state = self.lock();
        state.names.directories.insert(path.to_owned());
        state.durable_names.directories.insert(path.to_owned());
    }

    /// A file's bytes for a program; `None` where it is not there.
    pub fn look(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let (state, _, ends) = self.begin("look", path, Sort::Reads);
        ends?;
        let content = state.names.files.get(path).and_then(|inode| state.contents.get(inode));
        Ok(content.map(|content| content.bytes.clone()))
    }

    /// A file that is there, cut off at `len`, to be written on.
    pub fn cut(&self, path: &Path, len: u64) -> io::Result<SimFile> {
        let (mut state, takes_effect, ends) = self.begin("cut", path, Sort::Changes);
        let inode = *state.names.files.get(path).ok_or_else(not_found)?;
        if takes_effect {
            state.content(inode).bytes.resize(len as usize, 0);
        }
        drop(state);
        ends.map(|()| SimFile { disk: self.clone(), inode, path: path.to_owned() })
    }

    /// Whether there is a directory.
    pub fn has_directory(&self, path: &Path) -> bool {
        self.lock().names.directories.contains(path)
    }

    /// Makes a directory, whose name is durable when the one above it is synced.
    pub fn make_directory(&self, path: &Path) -> io::Result<()> {
        let (mut state, takes_effect, ends) = self.begin("mkdir", path, Sort::Changes);
        if takes_effect {
            state.change(Change::Directory(path.to_owned()));
        }
        ends
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins an operation: the state, whether it takes effect, and how it ends.
    fn begin(
        &self,
        what: &'static str,
        path: &Path,
        sort: Sort,
    ) -> (MutexGuard<'_, State>, bool, io::Result<()>) {
        let mut state = self.lock();
        if state.process != self.process || state.is_killed {
            return (state, false, Err(gone()));
        }
        self.world.trace.text(what, &path.to_string_lossy());
        let (takes_effect, ends) = state.meet_trouble(sort);
        if ends.is_err() {
            self.world.trace.text("failed", what);
        }
        (state, takes_effect, ends)
    }
}

/// What an operation needs of a disk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    /// Room.
    Grows,
    /// A change, but no room.
    Changes,
    /// To be read.
    Reads,
}

impl State {
    fn meet_trouble(&mut self, sort: Sort) -> (bool, io::Result<()>) {
        if let Some(left) = &mut self.trouble.crash_in {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.trouble.crash_in = None;
                self.is_killed = true;
                let takes_effect = self.random.chance(1, 2);
                return (takes_effect, Err(gone()));
            }
        }
        if sort == Sort::Grows && self.trouble.full_one_in > 0 {
            if self.full_left > 0 {
                self.full_left -= 1;
            } else if self.random.chance(1, self.trouble.full_one_in) {
                self.full_left = self.trouble.full_for;
            }
            if self.full_left > 0 {
                self.has_troubled = true;
                return (false, Err(io::ErrorKind::StorageFull.into()));
            }
        }
        if self.trouble.error_one_in > 0 && self.random.chance(1, self.trouble.error_one_in) {
            self.has_troubled = true;
            // What has failed may have happened nevertheless.
            let takes_effect = sort == Sort::Changes && self.random.chance(1, 2);
            return (takes_effect, Err(io::Error::other("simulated input/output error")));
        }
        (true, Ok(()))
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.pending.push(change);
    }

    fn content(&mut self, inode: Inode) -> &mut Content {
        self.contents.entry(inode).or_default()
    }
}

impl Content {
    fn crash(&mut self, random: &mut Random, torn_writes: bool) {
        if self.bytes != self.durable && torn_writes {
            let common = self.bytes.iter().zip(&self.durable).take_while(|(a, b)| a == b).count();
            if common == self.durable.len() || random.chance(1, 3) {
                // Some of what was written, the last of it perhaps as it lay there before.
                let appended = self.bytes.len() - common;
                let kept = common + random.below(appended as u64 + 1) as usize;
                self.bytes.truncate(kept);
                if random.chance(1, 2) {
                    let stale = random.below((kept - common) as u64 + 1) as usize;
                    self.bytes[kept - stale..].fill(0);
                }
            } else if random.chance(1, 2) {
                self.bytes.clone_from(&self.durable);
            }
        } else {
            self.bytes.clone_from(&self.durable);
        }
        self.durable.clone_from(&self.bytes);
    }
}

/// A file that is being written.
pub struct SimFile {
    disk: SimDisk,
    inode: Inode,
    path: PathBuf,
}

/// A file that is being read: as it was when it was opened, since only whole ones are.
pub struct SimRead {
    disk: SimDisk,
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Disk for SimDisk {
    type File = SimFile;
    type Read = SimRead;

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        let (mut state, takes_effect, ends) = self.begin("mkdir", path, Sort::Changes);
        if takes_effect {
            state.names.directories.insert(path.to_owned());
            state.durable_names.directories.insert(path.to_owned());
        }
        ends
    }

    fn create(&self, path: &Path) -> io::Result<SimFile> {
        let (mut state, takes_effect, ends) = self.begin("create", path, Sort::Grows);
        let inode = state.next_inode;
        if takes_effect {
            state.next_inode += 1;
            state.contents.insert(inode, Content::default());
            state.change(Change::Link(path.to_owned(), inode));
        }
        drop(state);
        ends.map(|()| SimFile { disk: self.clone(), inode, path: path.to_owned() })
    }

    fn open(&self, path: &Path) -> io::Result<SimRead> {
        let (state, _, ends) = self.begin("open", path, Sort::Reads);
        ends?;
        let content = state.names.files.get(path).and_then(|inode| state.contents.get(inode));
        let bytes = content.ok_or_else(not_found)?.bytes.clone();
        drop(state);
        Ok(SimRead { disk: self.clone(), path: path.to_owned(), bytes })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (mut state, takes_effect, ends) = self.begin("rename", to, Sort::Changes);
        let inode = *state.names.files.get(from).ok_or_else(not_found)?;
        if takes_effect {
            state.change(Change::Rename(from.to_owned(), to.to_owned(), inode));
        }
        ends
    }

    fn delete(&self, path: &Path) -> io::Result<()> {
        let (mut state, takes_effect, ends) = self.begin("delete", path, Sort::Changes);
        if !state.names.files.contains_key(path) {
            return ends.and(Err(not_found()));
        }
        if takes_effect {
            state.change(Change::Unlink(path.to_owned()));
        }
        ends
    }

    fn list(&self, path: &Path) -> io::Result<Vec<(String, u64)>> {
        let (state, _, ends) = self.begin("list", path, Sort::Reads);
        ends?;
        let inside = state.names.files.iter().filter(|(name, _)| name.parent() == Some(path));
        let files = inside.filter_map(|(name, inode)| {
            let name = name.file_name()?.to_str()?.to_owned();
            Some((name, state.contents.get(inode)?.bytes.len() as u64))
        });
        Ok(files.collect())
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let (mut state, takes_effect, ends) = self.begin("sync directory", path, Sort::Changes);
        if takes_effect {
            let State { pending, durable_names, .. } = &mut *state;
            pending.retain(|change| {
                let is_here = change.is_in(path);
                if is_here {
                    change.apply(durable_names);
                }
                !is_here
            });
        }
        ends
    }
}

impl DiskFile for SimFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (mut state, takes_effect, ends) = self.disk.begin("append", &self.path, Sort::Grows);
        // What fails for want of room or by a crash may have written some of it.
        let written = match ends {
            Ok(()) => bytes.len(),
            Err(_) if takes_effect => state.random.below(bytes.len() as u64 + 1) as usize,
            Err(_) => 0,
        };
        state.content(self.inode).bytes.extend_from_slice(&bytes[..written]);
        drop(state);
        self.disk.world.trace.event("bytes", &[bytes.len() as u64]);
        ends
    }

    fn flush(&mut self) -> io::Result<()> {
        self.disk.begin("flush", &self.path, Sort::Changes).2
    }

    fn sync(&mut self) -> io::Result<()> {
        let (mut state, takes_effect, ends) = self.disk.begin("sync", &self.path, Sort::Changes);
        if takes_effect {
            let content = state.content(self.inode);
            content.durable.clone_from(&content.bytes);
        }
        ends
    }
}

impl DiskRead for SimRead {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.disk.begin("read", &self.path, Sort::Reads).2?;
        let end = offset.checked_add(into.len() as u64).filter(|end| *end <= self.len());
        let Some(end) = end else { return Err(io::ErrorKind::UnexpectedEof.into()) };
        into.copy_from_slice(&self.bytes[offset as usize..end as usize]);
        Ok(())
    }
}

#[cfg(test)]
#[path = "disk_tests.rs"]
mod tests;
