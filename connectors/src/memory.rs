//! Sources and sinks in memory: for tests, examples and benchmarks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tailwater_core::{Record, Result, Stamped};
use tailwater_operators::{
    Polled, Sink, SinkContext, SinkWriter, Source, SourceContext, SplitReader,
};

/// A source of these records, in this order.
pub fn from_vec<T: Record + Sync>(records: Vec<T>) -> FromMemory<T> {
    from_splits(vec![records])
}

/// A source with a split for each of these lists.
pub fn from_splits<T: Record + Sync>(splits: Vec<Vec<T>>) -> FromMemory<T> {
    FromMemory { splits: splits.into_iter().map(Arc::from).collect() }
}

/// A source of records in memory.
#[derive(Clone, Debug)]
pub struct FromMemory<T> {
    splits: Vec<Arc<[T]>>,
}

struct MemoryReader<T> {
    records: Arc<[T]>,
    position: usize,
}

impl<T: Record + Sync> Source for FromMemory<T> {
    type Out = T;

    fn name(&self) -> String {
        "memory".to_owned()
    }

    fn splits(&self, _: u32) -> Result<Vec<String>> {
        Ok((0..self.splits.len()).map(|split| format!("memory-{split}")).collect())
    }

    fn open(&self, split: usize, _: &SourceContext) -> Result<Box<dyn SplitReader<T>>> {
        Ok(Box::new(MemoryReader { records: self.splits[split].clone(), position: 0 }))
    }
}

impl<T: Record + Sync> SplitReader<T> for MemoryReader<T> {
    fn poll(&mut self, limit: usize, out: &mut Vec<T>) -> Result<Polled> {
        let rest = &self.records[self.position..];
        let taken = rest.len().min(limit);
        out.extend_from_slice(&rest[..taken]);
        self.position += taken;
        Ok(if taken == rest.len() { Polled::Finished } else { Polled::Ready })
    }

    fn position(&self) -> u64 {
        self.position as u64
    }
}

/// A place where a job's results are collected, for tests.
pub fn collect<T: Record>() -> Collected<T> {
    Collected(Arc::default())
}

/// The results that a job has collected so far; clones share them.
#[derive(Debug)]
pub struct Collected<T>(Arc<Mutex<Vec<Stamped<T>>>>);

impl<T> Clone for Collected<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Record> Collected<T> {
    /// The sink that collects here.
    pub fn sink(&self) -> CollectSink<T> {
        CollectSink(self.clone())
    }

    /// Takes all results out, in the order in which they arrived.
    pub fn take(&self) -> Vec<T> {
        self.take_stamped().into_iter().map(|stamped| stamped.value).collect()
    }

    /// Takes all results out, with their event times.
    pub fn take_stamped(&self) -> Vec<Stamped<T>> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The sink of a [`Collected`].
pub struct CollectSink<T>(Collected<T>);

impl<T: Record> Sink<T> for CollectSink<T> {
    fn name(&self) -> String {
        "collect".to_owned()
    }

    fn open(&self, _: &SinkContext) -> Result<Box<dyn SinkWriter<T>>> {
        Ok(Box::new(CollectSink(self.0.clone())))
    }
}

impl<T: Record> SinkWriter<T> for CollectSink<T> {
    fn write(&mut self, batch: &mut Vec<Stamped<T>>) -> Result<()> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).append(batch);
        Ok(())
    }

    fn close(&mut self) -> Result<bool> {
        Ok(true)
    }
}

/// A sink that counts results and adds up a checksum of each, whatever their order.
pub fn counting<T, F: Fn(&T) -> u64 + Clone + Send + Sync + 'static>(hash: F) -> Counting<F> {
    Counting { hash, totals: Arc::default() }
}

/// The count and checksum of a job's results; clones share them.
#[derive(Clone, Debug)]
pub struct Counting<F> {
    hash: F,
    totals: Arc<(AtomicU64, AtomicU64)>,
}

impl<F> Counting<F> {
    /// How many results there were. Complete when the job has ended.
    pub fn count(&self) -> u64 {
        self.totals.0.load(Ordering::Relaxed)
    }

    /// The sum of their hashes modulo 2^64. Complete when the job has ended.
    pub fn checksum(&self) -> u64 {
        self.totals.1.load(Ordering::Relaxed)
    }
}

struct CountingWriter<F> {
    sink: Counting<F>,
    count: u64,
    checksum: u64,
}

impl<T: 'static, F: Fn(&T) -> u64 + Clone + Send + Sync + 'static> Sink<T> for Counting<F> {
    fn name(&self) -> String {
        "counting".to_owned()
    }

    fn open(&self, _: &SinkContext) -> Result<Box<dyn SinkWriter<T>>> {
        Ok(Box::new(CountingWriter { sink: self.clone(), count: 0, checksum: 0 }))
    }
}

impl<T, F: Fn(&T) -> u64 + Clone + Send + Sync + 'static> SinkWriter<T> for CountingWriter<F> {
    fn write(&mut self, batch: &mut Vec<Stamped<T>>) -> Result<()> {
        self.count += batch.len() as u64;
        for Stamped { value, .. } in batch.drain(..) {
            self.checksum = self.checksum.wrapping_add((self.sink.hash)(&value));
        }
        Ok(())
    }

    fn close(&mut self) -> Result<bool> {
        let (count, checksum) = &*self.sink.totals;
        count.fetch_add(std::mem::take(&mut self.count), Ordering::Relaxed);
        checksum.fetch_add(std::mem::take(&mut self.checksum), Ordering::Relaxed);
        Ok(true)
    }
}
