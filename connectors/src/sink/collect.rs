//! A vector as a sink: for tests.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tailwater_core::{Result, Stamped};
use tailwater_operators::{Sink, SinkContext, SinkWriter};

use super::cycle::Cycle;
use super::ledger::Ledger;
use super::two_phase::{Commit, RestoredState, TwoPhase};
use super::writer::Inline;

/// A sink that keeps everything; a clone of it stays with the test. In a job that makes checkpoints
/// a result is there once a checkpoint has committed it; a restart within the process discards what
/// was not.
///
/// ```
/// let results = tailwater_connectors::collect::<u32>();
/// // stream.sink(results.clone()); job.run(..)?;
/// assert!(results.take().is_empty());
/// ```
pub fn collect<T>() -> Collected<T> {
    Collected { written: Arc::new(Mutex::new(Vec::new())), ledger: Ledger::default() }
}

/// What a job has put out, in the order of arrival; see [`collect`].
pub struct Collected<T> {
    /// Without checkpoints.
    written: Arc<Mutex<Vec<Stamped<T>>>>,
    /// With them.
    ledger: Ledger<Vec<Stamped<T>>>,
}

impl<T> fmt::Debug for Collected<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collected").field("count", &self.count()).finish()
    }
}

impl<T> Clone for Collected<T> {
    fn clone(&self) -> Self {
        Self { written: Arc::clone(&self.written), ledger: self.ledger.clone() }
    }
}

impl<T> Collected<T> {
    /// Takes the records out.
    pub fn take(&self) -> Vec<T> {
        self.take_stamped().into_iter().map(|record| record.value).collect()
    }

    /// Takes the records out, with their timestamps.
    pub fn take_stamped(&self) -> Vec<Stamped<T>> {
        let mut records = std::mem::take(&mut *self.lock());
        records.extend(self.ledger.take().into_iter().flatten());
        records
    }

    /// How many records there are.
    pub fn count(&self) -> usize {
        self.ledger.fold(self.lock().len(), |count, epoch| count + epoch.len())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Stamped<T>>> {
        // Appending leaves the vector whole, whoever panicked.
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Send + 'static> Sink<T> for Collected<T> {
    fn name(&self) -> String {
        "collect".to_owned()
    }

    fn may_repeat(&self) -> bool {
        false
    }

    fn open(&self, context: &SinkContext) -> Result<Box<dyn SinkWriter<T>>> {
        if !context.checkpointing {
            return Ok(Box::new(self.clone()));
        }
        let epoch = CollectedEpoch { records: Vec::new(), ledger: self.ledger.clone() };
        Ok(Box::new(Inline::new(Cycle::new(epoch, context)?)))
    }
}

/// The results of a writer since the last checkpoint.
struct CollectedEpoch<T> {
    records: Vec<Stamped<T>>,
    ledger: Ledger<Vec<Stamped<T>>>,
}

impl<T: Send + 'static> TwoPhase<T> for CollectedEpoch<T> {
    fn begin(&mut self) -> Result<()> {
        Ok(())
    }

    fn write(&mut self, batch: &mut Vec<Stamped<T>>) -> Result<()> {
        self.records.append(batch);
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    fn pre_commit(&mut self, checkpoint: u64) -> Result<Vec<u8>> {
        Ok(self.ledger.prepare(checkpoint, std::mem::take(&mut self.records)))
    }

    fn commit(&mut self, _: u64, transaction: &[u8], _: u32) -> Result<Commit> {
        self.ledger.commit(transaction)
    }

    fn abort(&mut self, restored: Option<&RestoredState>) -> Result<()> {
        self.ledger.abort(restored);
        Ok(())
    }
}

impl<T: Send> SinkWriter<T> for Collected<T> {
    fn write(&mut self, batch: &mut Vec<Stamped<T>>) -> Result<()> {
        self.lock().append(batch);
        Ok(())
    }

    fn close(&mut self) -> Result<bool> {
        Ok(true)
    }
}
