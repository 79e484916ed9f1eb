//! Named counts that operators and connectors keep, and that reports and dashboards read.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// A count with one writer and any number of readers. An update is a plain load and store.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds `n`. Only one thread may write a counter; its clones are for reading.
    #[inline]
    pub fn add(&self, n: u64) {
        // A load and a store, not a read-modify-write: there is one writer, and no other data hangs
        // on it.
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// The count so far.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that goes up and down, with one writer and any number of readers.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    /// A gauge that shows `value`.
    pub fn new(value: i64) -> Self {
        Self(Arc::new(AtomicI64::new(value)))
    }

    /// Shows `value` from now on.
    #[inline]
    pub fn set(&self, value: i64) {
        self.0.store(value, Relaxed);
    }

    /// What was shown last.
    #[inline]
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// All the counts of a job, by name; a name may have one counter a core, and reads as their sum.
#[derive(Clone, Debug, Default)]
pub struct Counters(Arc<Mutex<BTreeMap<String, Vec<Counter>>>>);

impl Counters {
    /// A new counter under `name`, beside those that others hold under the same name.
    pub fn register(&self, name: &str) -> Counter {
        let counter = Counter::default();
        self.lock().entry(name.to_owned()).or_default().push(counter.clone());
        counter
    }

    /// The sum under `name`; zero where nobody counts.
    pub fn get(&self, name: &str) -> u64 {
        self.lock().get(name).map_or(0, |all| all.iter().map(Counter::get).sum())
    }

    /// All names with their sums, in order of the names.
    pub fn all(&self) -> Vec<(String, u64)> {
        self.lock()
            .iter()
            .map(|(name, all)| (name.clone(), all.iter().map(Counter::get).sum()))
            .collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Vec<Counter>>> {
        // A panic while the map is held leaves it whole: every change is a single insertion.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
