//! How much memory state may take, shared by all cores of a job.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use tailwater_core::{Error, ErrorKind};

/// The bytes that all tables together may take (`--state-memory`).
///
/// A refusal never aborts: the table that asked goes on within what it has, the budget remembers,
/// and the task fails the job with [`failure`](Budget::failure) in its next step.
#[derive(Clone)]
pub struct Budget(Arc<Inner>);

struct Inner {
    limit: u64,
    /// All orders are relaxed: the numbers guard no other memory.
    used: AtomicU64,
    has_failed: AtomicBool,
    failure: Mutex<Option<String>>,
}

impl Budget {
    /// So many bytes and no more.
    pub fn limited(bytes: u64) -> Self {
        Self(Arc::new(Inner {
            limit: bytes,
            used: AtomicU64::new(0),
            has_failed: AtomicBool::new(false),
            failure: Mutex::new(None),
        }))
    }

    /// As much as the machine has.
    pub fn unlimited() -> Self {
        Self::limited(u64::MAX)
    }

    /// Takes `bytes`; `false`, and remembered, where that would be more than is allowed.
    pub fn reserve(&self, bytes: usize) -> bool {
        let bytes = bytes as u64;
        let add = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.0.limit);
        let outcome = self.0.used.fetch_update(Relaxed, Relaxed, add);
        if let Err(used) = outcome {
            self.fail(format!(
                "state needs {} more, but {} of the {} that it may take are in use: \
                 raise --state-memory, or keep less state",
                Bytes(bytes),
                Bytes(used),
                Bytes(self.0.limit)
            ));
        }
        outcome.is_ok()
    }

    /// Takes `bytes` whether that is allowed or not: for the little that keeps a table working
    /// until the job has failed.
    pub fn overdraw(&self, bytes: usize) {
        self.0.used.fetch_add(bytes as u64, Relaxed);
    }

    /// Gives back `bytes` that were taken.
    pub fn release(&self, bytes: usize) {
        let before = self.0.used.fetch_sub(bytes as u64, Relaxed);
        debug_assert!(before >= bytes as u64, "more was released than reserved");
    }

    /// The bytes in use.
    pub fn used(&self) -> u64 {
        self.0.used.load(Relaxed)
    }

    /// What the first refusal was about. Cheap while there was none.
    pub fn failure(&self) -> Option<Error> {
        if !self.0.has_failed.load(Relaxed) {
            return None;
        }
        let failure = self.0.failure.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        failure.as_ref().map(|message| Error::new(ErrorKind::Configuration, message.clone()))
    }

    /// Remembers why a table could not get memory; the first reason counts.
    pub fn fail(&self, message: String) {
        let mut failure = self.0.failure.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        failure.get_or_insert(message);
        self.0.has_failed.store(true, Relaxed);
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::unlimited()
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Budget({} of {})", Bytes(self.used()), Bytes(self.0.limit))
    }
}

/// The memory of a structure beside the tables, as part of a budget. It is counted when it has been
/// taken: where that is too much, the budget remembers and the job fails.
#[derive(Debug, Default)]
pub struct Held {
    budget: Budget,
    bytes: usize,
}

impl Held {
    /// Nothing yet, of this budget.
    pub fn of(budget: &Budget) -> Self {
        Self { budget: budget.clone(), bytes: 0 }
    }

    /// The structure takes so many bytes now.
    #[inline]
    pub fn set(&mut self, bytes: usize) {
        if bytes != self.bytes {
            self.change(bytes);
        }
    }

    #[cold]
    fn change(&mut self, bytes: usize) {
        match bytes.checked_sub(self.bytes) {
            Some(more) => {
                if !self.budget.reserve(more) {
                    self.budget.overdraw(more);
                }
            }
            None => self.budget.release(self.bytes - bytes),
        }
        self.bytes = bytes;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.release(self.bytes);
    }
}

/// A number of bytes for people.
pub(crate) struct Bytes(pub(crate) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        match units.into_iter().find(|(size, _)| self.0 >= *size) {
            Some((size, unit)) if self.0.is_multiple_of(size) => {
                write!(f, "{} {unit}", self.0 / size)
            }
            Some((size, unit)) => write!(f, "{:.1} {unit}", self.0 as f64 / size as f64),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_counts_until_it_is_dropped() {
        let budget = Budget::limited(100);
        let mut held = Held::of(&budget);
        held.set(60);
        held.set(40);
        assert_eq!((budget.used(), budget.failure().is_none()), (40, true));
        held.set(120);
        assert_eq!((budget.used(), budget.failure().is_some()), (120, true));
        drop(held);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_refusal_is_remembered_and_says_what_to_do() {
        let budget = Budget::limited(4 << 20);
        assert!(budget.reserve(3 << 20) && budget.failure().is_none());
        assert!(!budget.clone().reserve(2 << 20));
        let failure = budget.failure().unwrap();
        assert_eq!(failure.kind(), ErrorKind::Configuration);
        assert_eq!(
            failure.to_string(),
            "state needs 2 MiB more, but 3 MiB of the 4 MiB that it may take are in use: \
             raise --state-memory, or keep less state"
        );
        budget.release(3 << 20);
        assert_eq!(budget.used(), 0);
        assert!(budget.reserve(4 << 20) && budget.failure().is_some());
    }
}
