//! A source that is fed by a test, split by split.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tailwater_core::{Error, Record, Result, Timestamp};
use tailwater_operators::{Polled, Source, SourceContext, SplitPosition, SplitReader};

/// What was put into a split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry<T> {
    Record(T),
    Watermark(Timestamp),
    Idle,
    End,
}

/// A source whose records a test pushes; a clone of it stays with the test.
///
/// The job takes event times and watermarks from the records as it does from any source. A test
/// that wants to say itself how far time has come gives the job
/// [`Watermarks::by_source`](crate::prelude::Watermarks::by_source) and calls
/// [`watermark`](TestSource::watermark).
///
/// All that was pushed is kept, so that a job that is restored reads again what its checkpoint has
/// not seen.
pub struct TestSource<T> {
    splits: Arc<[Mutex<Vec<Entry<T>>>]>,
}

impl<T> Clone for TestSource<T> {
    fn clone(&self) -> Self {
        Self { splits: self.splits.clone() }
    }
}

impl<T> fmt::Debug for TestSource<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestSource").field("splits", &self.splits.len()).finish()
    }
}

impl<T> Default for TestSource<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> TestSource<T> {
    /// A source of one split.
    pub fn new() -> Self {
        Self::with_splits(1)
    }

    /// A source of so many splits, each with a watermark of its own.
    pub fn with_splits(splits: usize) -> Self {
        Self { splits: (0..splits).map(|_| Mutex::default()).collect() }
    }

    /// One of its splits.
    ///
    /// # Panics
    /// When there is no such split.
    pub fn split(&self, split: usize) -> TestSplit<'_, T> {
        let count = self.splits.len();
        assert!(split < count, "there is no split {split} in a source of {count}");
        TestSplit { entries: &self.splits[split] }
    }

    /// Pushes a record into the first split.
    pub fn push(&self, record: T) {
        self.split(0).push(record);
    }

    /// Pushes records into the first split.
    pub fn extend(&self, records: impl IntoIterator<Item = T>) {
        self.split(0).extend(records);
    }

    /// Says in all splits that no record at or before `at` follows.
    pub fn watermark(&self, at: Timestamp) {
        self.all().for_each(|split| split.watermark(at));
    }

    /// All splits will be silent for a while.
    pub fn idle(&self) {
        self.all().for_each(|split| split.idle());
    }

    /// Ends all splits.
    pub fn end(&self) {
        self.all().for_each(|split| split.end());
    }

    fn all(&self) -> impl Iterator<Item = TestSplit<'_, T>> {
        self.splits.iter().map(|entries| TestSplit { entries })
    }
}

/// One split of a [`TestSource`]. What is pushed is read in the rounds that follow, in this order.
pub struct TestSplit<'a, T> {
    entries: &'a Mutex<Vec<Entry<T>>>,
}

impl<T> fmt::Debug for TestSplit<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestSplit").field("entries", &lock(self.entries).len()).finish()
    }
}

impl<T> TestSplit<'_, T> {
    /// Pushes a record. A split that was idle is active again.
    pub fn push(&self, record: T) {
        lock(self.entries).push(Entry::Record(record));
    }

    /// Pushes records.
    pub fn extend(&self, records: impl IntoIterator<Item = T>) {
        lock(self.entries).extend(records.into_iter().map(Entry::Record));
    }

    /// Says that no record at or before `at` follows. A split that was idle is active again.
    pub fn watermark(&self, at: Timestamp) {
        lock(self.entries).push(Entry::Watermark(at));
    }

    /// The split will be silent for a while, and does not hold back the others.
    pub fn idle(&self) {
        lock(self.entries).push(Entry::Idle);
    }

    /// Ends the split; what is pushed later is not read.
    pub fn end(&self) {
        lock(self.entries).push(Entry::End);
    }
}

/// Pushing leaves the vector whole, whoever panicked.
fn lock<T>(entries: &Mutex<Vec<Entry<T>>>) -> MutexGuard<'_, Vec<Entry<T>>> {
    entries.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Record + Clone> Source for TestSource<T> {
    type Out = T;

    fn name(&self) -> String {
        "test".to_owned()
    }

    fn splits(&self, _cores: u32) -> Result<Vec<String>> {
        Ok((0..self.splits.len()).map(|split| format!("test-{split}")).collect())
    }

    fn open(&self, split: usize, context: &SourceContext) -> Result<Box<dyn SplitReader<T>>> {
        if split >= self.splits.len() {
            return Err(Error::internal(format!("there is no split {split} in a test's source")));
        }
        let mut reader = Reader {
            splits: self.splits.clone(),
            split,
            position: context.start.unwrap_or_default(),
            watermark: Timestamp::MIN,
            is_idle: false,
        };
        for entry in lock(&self.splits[split]).iter().take(reader.position.offset as usize) {
            reader.pass(entry);
        }
        Ok(Box::new(reader))
    }
}

/// Reads a split; the offset of its position counts entries.
struct Reader<T> {
    splits: Arc<[Mutex<Vec<Entry<T>>>]>,
    split: usize,
    position: SplitPosition,
    watermark: Timestamp,
    is_idle: bool,
}

impl<T> Reader<T> {
    /// What an entry says of time.
    fn pass(&mut self, entry: &Entry<T>) {
        match entry {
            Entry::Record(_) => self.is_idle = false,
            Entry::Watermark(at) => {
                (self.is_idle, self.watermark) = (false, self.watermark.max(*at));
            }
            Entry::Idle => self.is_idle = true,
            Entry::End => {}
        }
    }
}

impl<T: Record + Clone> SplitReader<T> for Reader<T> {
    /// Stops behind a watermark, and before whatever else is told apart from records.
    fn poll(&mut self, limit: usize, out: &mut Vec<T>) -> Result<Polled> {
        let splits = self.splits.clone();
        let entries = lock(&splits[self.split]);
        let mut taken = 0;
        while let Some(entry) = entries.get(self.position.offset as usize) {
            match entry {
                Entry::Record(_) if taken == limit => return Ok(Polled::Ready),
                Entry::Idle if taken > 0 => return Ok(Polled::Ready),
                Entry::End => return Ok(Polled::Finished),
                Entry::Record(record) => {
                    out.push(record.clone());
                    taken += 1;
                    self.position.records += 1;
                }
                Entry::Watermark(_) | Entry::Idle => {}
            }
            self.pass(entry);
            self.position.offset += 1;
            if !matches!(entry, Entry::Record(_)) {
                return Ok(Polled::Ready);
            }
        }
        Ok(if taken > 0 { Polled::Ready } else { Polled::Pending })
    }

    fn position(&self) -> SplitPosition {
        self.position
    }

    fn watermark(&self) -> Timestamp {
        self.watermark
    }

    fn is_idle(&self) -> bool {
        self.is_idle
    }
}
