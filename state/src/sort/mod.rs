//! Sorts more records than memory holds: by key, then by time, then by arrival.
//!
//! ```text
//! push --> parts by the best bits of the hash --full--> each sorted --> run (a nameless file)
//!                                             '--finish, no run yet--> take sorts part after part
//!                                                      finish --> merge of the runs --> take
//! ```
//!
//! A part lies in blocks, so that no record moves while more come (`part.rs`), and is small enough
//! for the caches where it is sorted. Records are known by the hash of their key. Two keys of one
//! hash, which does not happen to fewer than billions of keys, are handed out as one, by time.
//!
//! It reads and writes its files where it is called: batch jobs have nobody who waits for the next
//! record.

mod order;
mod part;
mod run;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::PathBuf;

use tailwater_core::{Record, Result, Stamped, Timestamp};

use crate::arena::{Arena, Blocks};
use crate::{Budget, Prefault, Warnings};

use self::part::{Part, SortedPart};
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
/// The most records in memory: a part tells its rows apart by 32 bits.
const ROWS_MAX: usize = 1 << 31;

/// What records are sorted by, before their arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    hash: u64,
    at: Timestamp,
}

/// A record that waits.
#[derive(Debug)]
struct Row<T> {
    head: Head,
    value: T,
}

/// Takes records in, in any order.
#[derive(Debug)]
pub struct Sorter<T> {
    options: SortOptions,
    parts: Vec<Part<T>>,
    blocks: Blocks,
    len: usize,
    /// Bytes that the parts take, and their values elsewhere in memory, as far as was measured.
    bytes: u64,
    /// Empty between calls.
    sorted: SortedPart<T>,
    runs: Vec<Run<T>>,
}

impl<T: Record> Sorter<T> {
    /// An empty one.
    pub fn new(options: SortOptions) -> Self {
        let parts = (0..1 << PART_BITS).map(|_| Part::default()).collect();
        let (budget, prefault) = (Budget::unlimited(), Prefault::inline());
        let blocks = Blocks::new(Arena { budget, prefault, warnings: Warnings::default() });
        let sorted = SortedPart::default();
        Self { options, parts, blocks, len: 0, bytes: 0, sorted, runs: Vec::new() }
    }

    /// Takes in a record of the key with this hash.
    ///
    /// # Errors
    /// When memory is full and a file cannot be written.
    #[inline]
    pub fn push(&mut self, hash: u64, at: Timestamp, value: T) -> Result<()> {
        let mut more_bytes = 0;
        if const { std::mem::needs_drop::<T>() } && self.len.is_multiple_of(MEASURED_EVERY) {
            let bytes = tailwater_core::record::to_archive(&value)?.len();
            more_bytes = (bytes * MEASURED_EVERY) as u64;
        }
        let part = &mut self.parts[(hash >> (u64::BITS - PART_BITS)) as usize];
        more_bytes += part.push(Row { head: Head { hash, at }, value }, &mut self.blocks)?;
        self.len += 1;
        if more_bytes == 0 {
            return Ok(());
        }
        self.bytes += more_bytes;
        match self.bytes >= self.options.memory || self.len >= ROWS_MAX {
            true => self.spill(),
            false => Ok(()),
        }
    }

    /// Writes what is in memory into a run.
    #[cold]
    fn spill(&mut self) -> Result<()> {
        let mut writer = RunWriter::create(&self.options.directory())?;
        for part in &mut self.parts {
            self.sorted.load(std::mem::take(part));
            while let Some((Head { hash, at }, value)) = self.sorted.next() {
                writer.write(hash, at, &value)?;
            }
        }
        self.blocks.reuse();
        (self.len, self.bytes) = (0, 0);
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
            From::Memory { left: self.parts.into_iter(), part: self.sorted }
        } else {
            if self.len > 0 {
                self.spill()?;
            }
            self.parts = Vec::new();
            let mut merge = Merge::new(self.runs)?;
            let next = merge.next()?;
            From::Runs { merge, next }
        };
        Ok(Sorted { from })
    }
}

/// Hands records out by key, then by time.
#[derive(Debug)]
pub struct Sorted<T> {
    from: From<T>,
}

#[derive(Debug)]
enum From<T> {
    /// All parts, of which one is sorted and being handed out.
    Memory {
        left: std::vec::IntoIter<Part<T>>,
        part: SortedPart<T>,
    },
    Runs {
        merge: Merge<T>,
        next: Option<(u64, Stamped<T>)>,
    },
}

/// What was handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Records of one key, which has more.
    Records,
    /// The last records of a key.
    LastOfKey,
    /// None: there are no more.
    End,
}

impl<T: Record> Sorted<T> {
    /// Appends up to `limit` records of one key, and at least one if there are any.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn take(&mut self, limit: usize, batch: &mut Vec<Stamped<T>>) -> Result<Taken> {
        let limit = limit.max(1);
        let key_goes_on = match &mut self.from {
            From::Memory { left, part } => {
                while part.is_empty() {
                    let Some(next) = left.next() else { return Ok(Taken::End) };
                    part.load(next);
                }
                part.take(limit, batch)
            }
            From::Runs { merge, next } => {
                let Some((key, record)) = next.take() else { return Ok(Taken::End) };
                let end = batch.len() + limit;
                batch.push(record);
                loop {
                    *next = merge.next()?;
                    match next.take_if(|(hash, _)| *hash == key && batch.len() < end) {
                        Some((_, record)) => batch.push(record),
                        None => break next.as_ref().is_some_and(|(hash, _)| *hash == key),
                    }
                }
            }
        };
        Ok(if key_goes_on { Taken::Records } else { Taken::LastOfKey })
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
