//! A count and a checksum as a sink: for benchmarks.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tailwater_core::{Result, Stamped};
use tailwater_operators::{Sink, SinkContext, SinkWriter};

use super::cycle::Cycle;
use super::ledger::Ledger;
use super::two_phase::{Commit, RestoredState, TwoPhase};
use super::writer::Inline;

/// A sink that counts records and adds up `digest` of each, wrapping: the sum is the same in
/// whatever order they come and on however many cores. A clone of it stays with the caller.
///
/// In a job that makes checkpoints a record counts once a checkpoint has committed it; a restart
/// within the process discards what was not.
pub fn counting<T, F>(digest: F) -> Counting<F>
where
    F: Fn(&Stamped<T>) -> u64,
{
    Counting { digest, totals: Arc::default(), ledger: Ledger::default() }
}

/// How many records a job has put out, and their checksum; see [`counting`].
#[derive(Clone)]
pub struct Counting<F> {
    digest: F,
    /// One a writer, each written by its core alone.
    totals: Arc<Mutex<Vec<Arc<Total>>>>,
    /// With checkpoints, what each has committed.
    ledger: Ledger<Sum>,
}

/// A count and a checksum.
#[derive(Clone, Copy, Default)]
struct Sum {
    count: u64,
    checksum: u64,
}

/// Padded, so that the cores do not write to the same cache line.
#[derive(Default)]
#[repr(align(128))]
struct Total {
    count: AtomicU64,
    checksum: AtomicU64,
}

impl<F> Counting<F> {
    /// How many records have come.
    pub fn count(&self) -> u64 {
        let written: u64 = self.lock().iter().map(|total| total.count.load(Relaxed)).sum();
        self.ledger.fold(written, |count, sum| count + sum.count)
    }

    /// The wrapping sum of their digests.
    pub fn checksum(&self) -> u64 {
        let written = self
            .lock()
            .iter()
            .fold(0_u64, |sum, total| sum.wrapping_add(total.checksum.load(Relaxed)));
        self.ledger.fold(written, |checksum, sum| checksum.wrapping_add(sum.checksum))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Total>>> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F> fmt::Debug for Counting<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counting")
            .field("count", &self.count())
            .field("checksum", &self.checksum())
            .finish()
    }
}

impl<T, F> Sink<T> for Counting<F>
where
    T: Send + 'static,
    F: Fn(&Stamped<T>) -> u64 + Clone + Send + Sync + 'static,
{
    fn name(&self) -> String {
        "counting".to_owned()
    }

    fn may_repeat(&self) -> bool {
        false
    }

    fn open(&self, context: &SinkContext) -> Result<Box<dyn SinkWriter<T>>> {
        if context.checkpointing {
            let (digest, ledger) = (self.digest.clone(), self.ledger.clone());
            let epoch = CountedEpoch { digest, sum: Sum::default(), ledger };
            return Ok(Box::new(Inline::new(Cycle::new(epoch, context)?)));
        }
        let total = Arc::new(Total::default());
        self.lock().push(Arc::clone(&total));
        Ok(Box::new(Writer { digest: self.digest.clone(), total, count: 0, checksum: 0 }))
    }
}

/// The count of a writer since the last checkpoint.
struct CountedEpoch<F> {
    digest: F,
    sum: Sum,
    ledger: Ledger<Sum>,
}

impl<T, F> TwoPhase<T> for CountedEpoch<F>
where
    F: Fn(&Stamped<T>) -> u64 + Send + 'static,
{
    fn begin(&mut self) -> Result<()> {
        Ok(())
    }

    fn write(&mut self, batch: &mut Vec<Stamped<T>>) -> Result<()> {
        self.sum.count += batch.len() as u64;
        for record in batch.drain(..) {
            self.sum.checksum = self.sum.checksum.wrapping_add((self.digest)(&record));
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    fn pre_commit(&mut self, checkpoint: u64) -> Result<Vec<u8>> {
        Ok(self.ledger.prepare(checkpoint, std::mem::take(&mut self.sum)))
    }

    fn commit(&mut self, _: u64, transaction: &[u8], _: u32) -> Result<Commit> {
        self.ledger.commit(transaction)
    }

    fn abort(&mut self, restored: Option<&RestoredState>) -> Result<()> {
        self.ledger.abort(restored);
        Ok(())
    }
}

struct Writer<F> {
    digest: F,
    total: Arc<Total>,
    count: u64,
    checksum: u64,
}

impl<T, F> SinkWriter<T> for Writer<F>
where
    F: Fn(&Stamped<T>) -> u64 + Send,
{
    fn write(&mut self, batch: &mut Vec<Stamped<T>>) -> Result<()> {
        for record in &*batch {
            self.checksum = self.checksum.wrapping_add((self.digest)(record));
        }
        self.count += batch.len() as u64;
        batch.clear();
        // One writer, and nothing else hangs on these: whoever wants exact totals asks after the
        // job.
        self.total.count.store(self.count, Relaxed);
        self.total.checksum.store(self.checksum, Relaxed);
        Ok(())
    }

    fn close(&mut self) -> Result<bool> {
        Ok(true)
    }
}
