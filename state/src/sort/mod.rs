//! Sorts more records than memory holds: by key, then by time, then by arrival.
//!
//! ```text
//! push --> parts by the best bits of the hash --full--> each sorted --> run (a nameless file)
//!                                             '--finish, no run yet--> take sorts part after part
//!                                                      finish --> merge of the runs --> take
//! ```
//!
//! A part is small enough for the caches where it is sorted. Records are known by the hash of their
//! key. Two keys of one hash, which does not happen to fewer than billions of keys, are handed out
//! as one, by time.
//!
//! It reads and writes its files where it is called: batch jobs have nobody who waits for the next
//! record.

mod order;
mod run;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::PathBuf;

use tailwater_core::{Record, Result, Stamped, Timestamp};

use self::order::Sorting;
use self::run::{Run, RunWriter};

/// The most runs that are merged at once: each has a buffer of [`run::BUFFER_BYTES`].
const RUNS_MAX: usize = 64;
/// Every so many records of a type with parts elsewhere in memory, one is measured.
const MEASURED_EVERY: usize = 64;

/// What sorting may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortOptions {
    /// Bytes of memory of each sorted input on each core; what is more goes to files.
    pub memory: u64,
    /// Where those are made; `None` for the machine's temporary directory. They have no names, and
    /// are gone with the process whatever becomes of it.
    pub directory: Option<PathBuf>,
}

impl Default for SortOptions {
    fn default() -> Self {
        // Some five million records of 32 bytes before the first run.
        Self { memory: 256 << 20, directory: None }
    }
}

impl SortOptions {
    fn directory(&self) -> PathBuf {
        self.directory.clone().unwrap_or_else(std::env::temp_dir)
    }
}

/// How many of the best bits of a hash say which part a record is in: the ends of so many parts
/// stay in the caches while they are written.
const PART_BITS: u32 = 10;

/// A record that waits; its value is there until it is handed out.
#[derive(Debug)]
struct Row<T> {
    hash: u64,
    at: Timestamp,
    value: Option<T>,
}

/// Takes records in, in any order.
#[derive(Debug)]
pub struct Sorter<T> {
    options: SortOptions,
    parts: Vec<Vec<Row<T>>>,
    len: usize,
    sorting: Sorting,
    /// Bytes that the values have elsewhere in memory, as far as was measured.
    elsewhere: u64,
    runs: Vec<Run<T>>,
}

impl<T: Record> Sorter<T> {
    /// An empty one.
    pub fn new(options: SortOptions) -> Self {
        let parts = (0..1 << PART_BITS).map(|_| Vec::new()).collect();
        Self { options, parts, len: 0, sorting: Sorting::default(), elsewhere: 0, runs: Vec::new() }
    }

    /// Takes in a record of the key with this hash.
    ///
    /// # Errors
    /// When memory is full and a file cannot be written.
    #[inline]
    pub fn push(&mut self, hash: u64, at: Timestamp, value: T) -> Result<()> {
        if const { std::mem::needs_drop::<T>() } && self.len.is_multiple_of(MEASURED_EVERY) {
            let bytes = tailwater_core::record::to_archive(&value)?.len();
            self.elsewhere += (bytes * MEASURED_EVERY) as u64;
        }
        let part = &mut self.parts[(hash >> (u64::BITS - PART_BITS)) as usize];
        part.push(Row { hash, at, value: Some(value) });
        self.len += 1;
        // Vectors that grow are half as long again as what they hold, on average.
        let bytes = (self.len * size_of::<Row<T>>() * 3 / 2) as u64 + self.elsewhere;
        if bytes >= self.options.memory || self.len == u32::MAX as usize {
            self.spill()?;
        }
        Ok(())
    }

    /// Writes what is in memory into a run.
    #[cold]
    fn spill(&mut self) -> Result<()> {
        let mut writer = RunWriter::create(&self.options.directory())?;
        for part in &mut self.parts {
            self.sorting.sort(part);
            for &row in self.sorting.order() {
                let Row { hash, at, value } = &part[row as usize];
                writer.write(*hash, *at, value.as_ref().expect("nothing was handed out yet"))?;
            }
            part.clear();
        }
        (self.len, self.elsewhere) = (0, 0);
        self.runs.push(writer.finish()?);
        if self.runs.len() == RUNS_MAX {
            let mut merge = Merge::new(std::mem::take(&mut self.runs))?;
            let mut writer = RunWriter::create(&self.options.directory())?;
            while let Some((hash, Stamped { at, value })) = merge.next()? {
                writer.write(hash, at, &value)?;
            }
            self.runs.push(writer.finish()?);
        }
        Ok(())
    }

    /// How many files were written that are still there.
    pub fn runs(&self) -> usize {
        self.runs.len()
    }

    /// No more records come.
    ///
    /// # Errors
    /// When a file cannot be written or read.
    pub fn finish(mut self) -> Result<Sorted<T>> {
        let from = if self.runs.is_empty() {
            From::Memory(Parts {
                left: self.parts.into_iter(),
                part: Vec::new(),
                sorting: self.sorting,
                next: 0,
            })
        } else {
            if self.len > 0 {
                self.spill()?;
            }
            self.parts = Vec::new();
            let mut merge = Merge::new(self.runs)?;
            let next = merge.next()?;
            From::Runs { merge, next }
        };
        Ok(Sorted { from, key: None })
    }
}

/// Hands records out by key, then by time.
#[derive(Debug)]
pub struct Sorted<T> {
    from: From<T>,
    /// The hash of the key whose records are being handed out.
    key: Option<u64>,
}

#[derive(Debug)]
enum From<T> {
    Memory(Parts<T>),
    Runs { merge: Merge<T>, next: Option<(u64, Stamped<T>)> },
}

/// All parts, of which one is sorted and being handed out.
#[derive(Debug)]
struct Parts<T> {
    left: std::vec::IntoIter<Vec<Row<T>>>,
    part: Vec<Row<T>>,
    sorting: Sorting,
    /// The next of `sorting`'s order.
    next: usize,
}

impl<T> Parts<T> {
    /// Appends up to `limit` records of the key `key`, or of the first where there is none.
    fn take(&mut self, key: &mut Option<u64>, limit: usize, batch: &mut Vec<Stamped<T>>) {
        while self.next == self.part.len() {
            let Some(part) = self.left.next() else { return };
            self.sorting.sort(&part);
            (self.part, self.next) = (part, 0);
        }
        let Self { part, sorting, next, .. } = self;
        let ahead = &sorting.order()[*next..];
        let key = *key.get_or_insert(part[ahead[0] as usize].hash);
        let of_key = ahead.iter().take(limit).take_while(|row| part[**row as usize].hash == key);
        let count = of_key.count();
        batch.extend(ahead[..count].iter().map(|row| {
            let Row { at, value, .. } = &mut part[*row as usize];
            Stamped { at: *at, value: value.take().expect("each row is handed out once") }
        }));
        *next += count;
    }
}

/// What was handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Records of one key.
    Records,
    /// None: the key that was being handed out has no more.
    KeyEnd,
    /// None: there are no more.
    End,
}

impl<T: Record> Sorted<T> {
    /// Appends up to `limit` records of one key.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn take(&mut self, limit: usize, batch: &mut Vec<Stamped<T>>) -> Result<Taken> {
        let before = batch.len();
        let end = before + limit;
        let key = self.key;
        match &mut self.from {
            From::Memory(parts) => parts.take(&mut self.key, limit, batch),
            From::Runs { merge, next } => {
                while let Some((hash, record)) = next.take() {
                    if batch.len() == end || *self.key.get_or_insert(hash) != hash {
                        *next = Some((hash, record));
                        break;
                    }
                    batch.push(record);
                    *next = merge.next()?;
                }
            }
        }
        if batch.len() > before {
            return Ok(Taken::Records);
        }
        self.key = None;
        Ok(if key.is_some() { Taken::KeyEnd } else { Taken::End })
    }
}

/// Merges runs; of equal rows the earlier run's goes first.
#[derive(Debug)]
struct Merge<T> {
    runs: Vec<Run<T>>,
    heads: BinaryHeap<Reverse<(u64, Timestamp, usize)>>,
}

impl<T: Record> Merge<T> {
    fn new(mut runs: Vec<Run<T>>) -> Result<Self> {
        let mut heads = BinaryHeap::with_capacity(runs.len());
        for (index, run) in runs.iter_mut().enumerate() {
            heads.extend(run.advance()?.map(|(hash, at)| Reverse((hash, at, index))));
        }
        Ok(Self { runs, heads })
    }

    fn next(&mut self) -> Result<Option<(u64, Stamped<T>)>> {
        let Some(mut head) = self.heads.peek_mut() else { return Ok(None) };
        let Reverse((hash, at, index)) = *head;
        let run = &mut self.runs[index];
        let value = run.value()?;
        match run.advance()? {
            Some((hash, at)) => *head = Reverse((hash, at, index)),
            None => {
                std::collections::binary_heap::PeekMut::pop(head);
            }
        }
        Ok(Some((hash, Stamped { at, value })))
    }
}
