//! A sink that shows a test what comes out, and how far event time has come there.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tailwater_core::{Result, Stamped, Timestamp};
use tailwater_operators::{Sink, SinkContext, SinkWriter};

/// A sink that keeps what comes out; a clone of it stays with the test.
///
/// Results are there as soon as they are written, also those that no checkpoint covers: after a
/// restart they come again. Where only what was committed matters, use
/// [`collect`](crate::prelude::collect) instead.
pub struct TestSink<T>(Arc<Mutex<Written<T>>>);

struct Written<T> {
    records: Vec<Stamped<T>>,
    /// By core.
    watermarks: BTreeMap<u32, Timestamp>,
}

impl<T> Clone for TestSink<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> fmt::Debug for TestSink<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestSink").field("records", &self.lock().records.len()).finish()
    }
}

impl<T> Default for TestSink<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> TestSink<T> {
    /// An empty sink.
    pub fn new() -> Self {
        let written = Written { records: Vec::new(), watermarks: BTreeMap::new() };
        Self(Arc::new(Mutex::new(written)))
    }

    /// Takes the records that came since the last call, in the order of arrival.
    pub fn take(&self) -> Vec<T> {
        self.take_stamped().into_iter().map(|record| record.value).collect()
    }

    /// Takes the records with their event times.
    pub fn take_stamped(&self) -> Vec<Stamped<T>> {
        std::mem::take(&mut self.lock().records)
    }

    /// The watermark that has come here on all cores; [`Timestamp::MIN`] for none.
    pub fn watermark(&self) -> Timestamp {
        self.lock().watermarks.values().min().copied().unwrap_or(Timestamp::MIN)
    }

    fn lock(&self) -> MutexGuard<'_, Written<T>> {
        // Appending leaves the vector whole, whoever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Send + 'static> Sink<T> for TestSink<T> {
    fn name(&self) -> String {
        "test".to_owned()
    }

    fn open(&self, context: &SinkContext) -> Result<Box<dyn SinkWriter<T>>> {
        let mut written = self.lock();
        if context.core == 0 {
            // The cores of an earlier run; the first one is always there, and opened first.
            written.watermarks.clear();
        }
        written.watermarks.insert(context.core, Timestamp::MIN);
        Ok(Box::new(Writer { sink: self.clone(), core: context.core }))
    }
}

struct Writer<T> {
    sink: TestSink<T>,
    core: u32,
}

impl<T: Send> SinkWriter<T> for Writer<T> {
    fn write(&mut self, batch: &mut Vec<Stamped<T>>) -> Result<()> {
        self.sink.lock().records.append(batch);
        Ok(())
    }

    fn watermark(&mut self, watermark: Timestamp) -> Result<()> {
        self.sink.lock().watermarks.insert(self.core, watermark);
        Ok(())
    }

    fn close(&mut self) -> Result<bool> {
        Ok(true)
    }
}
