//! A count and a checksum of what this process computed, whatever was computed before a restore:
//! results are not part of checkpoints.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tailwater::operators::{Sink, SinkContext, SinkWriter};
use tailwater::{Result, Stamped};

/// A sink that adds up the hashes of results.
#[derive(Clone)]
pub struct Checksum<F> {
    hash: F,
    totals: Arc<Totals>,
}

#[derive(Default)]
struct Totals {
    count: AtomicU64,
    sum: AtomicU64,
}

impl<F> Checksum<F> {
    pub fn of(hash: F) -> Self {
        Self { hash, totals: Arc::default() }
    }

    /// How many results there were; complete when the job has ended.
    pub fn count(&self) -> u64 {
        self.totals.count.load(Relaxed)
    }

    /// The sum of their hashes; complete when the job has ended.
    pub fn sum(&self) -> u64 {
        self.totals.sum.load(Relaxed)
    }
}

struct Writer<F> {
    hash: F,
    count: u64,
    sum: u64,
    totals: Arc<Totals>,
}

impl<T, F> Sink<T> for Checksum<F>
where
    F: Fn(&T) -> u64 + Clone + Send + Sync + 'static,
{
    fn name(&self) -> String {
        "checksum".to_owned()
    }

    fn may_repeat(&self) -> bool {
        false
    }

    fn open(&self, _: &SinkContext) -> Result<Box<dyn SinkWriter<T>>> {
        let (hash, totals) = (self.hash.clone(), self.totals.clone());
        Ok(Box::new(Writer { hash, count: 0, sum: 0, totals }))
    }
}

impl<T, F: Fn(&T) -> u64 + Send> SinkWriter<T> for Writer<F> {
    fn write(&mut self, batch: &mut Vec<Stamped<T>>) -> Result<()> {
        self.count += batch.len() as u64;
        for Stamped { value, .. } in batch.drain(..) {
            self.sum = self.sum.wrapping_add((self.hash)(&value));
        }
        Ok(())
    }

    fn close(&mut self) -> Result<bool> {
        self.totals.count.fetch_add(std::mem::take(&mut self.count), Relaxed);
        self.totals.sum.fetch_add(std::mem::take(&mut self.sum), Relaxed);
        Ok(true)
    }
}
