//! A vector as a sink: for tests.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tailwater_core::{Result, Stamped};
use tailwater_operators::{Sink, SinkContext, SinkWriter};

/// A sink that keeps everything; a clone of it stays with the test.
///
/// ```
/// let results = tailwater_connectors::collect::<u32>();
/// // stream.sink(results.clone()); job.run(..)?;
/// assert!(results.take().is_empty());
/// ```
pub fn collect<T>() -> Collected<T> {
    Collected(Arc::new(Mutex::new(Vec::new())))
}

/// What a job has put out, in the order of arrival; see [`collect`].
#[derive(Debug)]
pub struct Collected<T>(Arc<Mutex<Vec<Stamped<T>>>>);

impl<T> Clone for Collected<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Collected<T> {
    /// Takes the records out.
    pub fn take(&self) -> Vec<T> {
        self.take_stamped().into_iter().map(|record| record.value).collect()
    }

    /// Takes the records out, with their timestamps.
    pub fn take_stamped(&self) -> Vec<Stamped<T>> {
        std::mem::take(&mut *self.lock())
    }

    /// How many records there are.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Stamped<T>>> {
        // Appending leaves the vector whole, whoever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Send + 'static> Sink<T> for Collected<T> {
    fn name(&self) -> String {
        "collect".to_owned()
    }

    fn open(&self, _: &SinkContext) -> Result<Box<dyn SinkWriter<T>>> {
        Ok(Box::new(self.clone()))
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
