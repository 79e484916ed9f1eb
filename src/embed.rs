//! Embedding: rings into a job from one thread of the host program, and out of it to another.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rtrb::{Consumer, Producer, PushError, RingBuffer};
use tailwater_core::{Error, ErrorKind, Record, Result, Stamped};
use tailwater_operators::{
    Polled, Sink, SinkContext, SinkWriter, Source, SourceContext, SplitPosition, SplitReader, Waker,
};

/// A ring into a job whose place of records is `capacity`: the end that the host program pushes
/// into, and the source for [`Job::source`](crate::Job::source). The source ends when the first end
/// is dropped.
pub fn ingress<T: Record>(capacity: usize) -> (Ingress<T>, IngressSource<T>) {
    let (producer, consumer) = RingBuffer::new(capacity.max(1));
    let job = Arc::new(JobSide::default());
    let consumer = Mutex::new(Some(consumer));
    let source = IngressSource { consumer, job: job.clone(), host_replays: false };
    (Ingress { producer, job }, source)
}

/// The host program's end of a ring into a job: one thread pushes.
#[derive(Debug)]
pub struct Ingress<T> {
    producer: Producer<T>,
    job: Arc<JobSide>,
}

/// What the job's end tells the host program's once it is open.
#[derive(Debug, Default)]
struct JobSide {
    waker: OnceLock<Waker>,
    records_before: OnceLock<u64>,
}

/// What became of a record that was not taken.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused<T> {
    /// The ring is full: the job is back-pressured. The record comes back.
    Full(T),
    /// The job has ended. The record comes back.
    Ended(T),
}

impl<T> Ingress<T> {
    /// Pushes a record if there is room. Never blocks.
    ///
    /// # Errors
    /// Gives the record back when the ring is full or the job has ended.
    #[inline]
    pub fn try_push(&mut self, record: T) -> Result<(), Refused<T>> {
        if self.producer.is_abandoned() {
            return Err(Refused::Ended(record));
        }
        match self.producer.push(record) {
            Ok(()) => {
                self.wake();
                Ok(())
            }
            Err(PushError::Full(record)) => Err(Refused::Full(record)),
        }
    }

    /// Pushes a record, waiting for room: spins, then yields, then sleeps 50 us at a time.
    ///
    /// # Errors
    /// When the job has ended.
    pub fn push(&mut self, record: T) -> Result<()> {
        let mut refused = record;
        let mut wait = Wait::default();
        loop {
            match self.try_push(refused) {
                Ok(()) => return Ok(()),
                Err(Refused::Ended(_)) => {
                    return Err(Error::new(ErrorKind::Cancelled, "the job has ended"));
                }
                Err(Refused::Full(record)) => refused = record,
            }
            wait.pause();
        }
    }

    /// Pushes as many records from the front of `batch` as there is room for, with one publication;
    /// returns how many. Never blocks.
    pub fn push_batch(&mut self, batch: &mut Vec<T>) -> usize {
        let count = self.producer.slots().min(batch.len());
        match self.producer.write_chunk_uninit(count) {
            Ok(chunk) if count > 0 => {
                let pushed = chunk.fill_from_iter(batch.drain(..count));
                self.wake();
                pushed
            }
            _ => 0,
        }
    }

    /// How many records the checkpoint covers from which the job goes on: zero if from none, and
    /// `None` until the job has opened its end. What came behind them is to be pushed again; see
    /// [`IngressSource::host_replays`].
    pub fn records_before(&self) -> Option<u64> {
        self.job.records_before.get().copied()
    }

    /// How many more records fit now: zero means that the job is back-pressured.
    pub fn room(&self) -> usize {
        self.producer.slots()
    }

    /// Whether the job has ended.
    pub fn is_ended(&self) -> bool {
        self.producer.is_abandoned()
    }

    #[inline]
    fn wake(&self) {
        if let Some(waker) = self.job.waker.get() {
            waker.wake();
        }
    }
}

/// The job's end of a ring from the host program: a source with one split.
pub struct IngressSource<T> {
    consumer: Mutex<Option<Consumer<T>>>,
    job: Arc<JobSide>,
    host_replays: bool,
}

impl<T> IngressSource<T> {
    /// Allows the job to go on from a checkpoint. The host program then keeps the promise that a
    /// ring cannot: it pushes again, from record [`Ingress::records_before`] on, all that it pushed
    /// before. Without this, such a job is refused, because records would be lost silently.
    #[must_use]
    pub fn host_replays(mut self) -> Self {
        self.host_replays = true;
        self
    }
}

struct IngressReader<T> {
    consumer: Consumer<T>,
    position: u64,
}

impl<T: Record> Source for IngressSource<T> {
    type Out = T;

    fn name(&self) -> String {
        "ingress".to_owned()
    }

    fn splits(&self, _: u32) -> Result<Vec<String>> {
        Ok(vec!["ingress".to_owned()])
    }

    fn resume(&self, _: &[String], cores: u32) -> Result<Vec<String>> {
        if self.host_replays {
            return self.splits(cores);
        }
        Err(Error::configuration(
            "an ingress cannot be read again, so a job with one cannot go on from a checkpoint: \
             let the host program push again and say so with `host_replays`, or start afresh",
        ))
    }

    fn open(&self, _: usize, context: &SourceContext) -> Result<Box<dyn SplitReader<T>>> {
        let consumer = self.consumer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let consumer = consumer.ok_or_else(|| {
            Error::configuration("an ingress can be read by one job only: make another")
        })?;
        let _ = self.job.waker.set(context.waker.clone());
        let position = context.records_before();
        let _ = self.job.records_before.set(position);
        Ok(Box::new(IngressReader { consumer, position }))
    }
}

impl<T: Record> SplitReader<T> for IngressReader<T> {
    #[inline]
    fn poll(&mut self, limit: usize, out: &mut Vec<T>) -> Result<Polled> {
        // Asked before the ring is looked at: what was pushed before the end is then surely seen.
        let abandoned = self.consumer.is_abandoned();
        let count = self.consumer.slots().min(limit);
        if count == 0 {
            return Ok(if abandoned { Polled::Finished } else { Polled::Pending });
        }
        if let Ok(chunk) = self.consumer.read_chunk(count) {
            out.extend(chunk);
            self.position += count as u64;
        }
        Ok(Polled::Ready)
    }

    fn position(&self) -> SplitPosition {
        SplitPosition::after(self.position)
    }
}

/// Rings out of a job, one a core of `capacity` records each: the end that the host program polls,
/// and the sink for [`Stream::sink`](crate::Stream::sink). A full ring back-pressures the job.
pub fn egress<T: Record>(capacity: usize) -> (Egress<T>, EgressSink<T>) {
    let shared = Arc::new(Rings {
        fresh: Mutex::new(Vec::new()),
        opened: AtomicUsize::new(0),
        job_gone: OnceLock::new(),
    });
    let sink = EgressSink { shared: shared.clone(), capacity: capacity.max(1) };
    (Egress { shared, rings: Vec::new(), next: 0 }, sink)
}

struct Rings<T> {
    /// Rings that cores have opened and the host program has not taken yet.
    fresh: Mutex<Vec<Consumer<Stamped<T>>>>,
    opened: AtomicUsize,
    job_gone: OnceLock<()>,
}

/// The host program's end of the rings out of a job: one thread polls.
pub struct Egress<T> {
    shared: Arc<Rings<T>>,
    rings: Vec<Consumer<Stamped<T>>>,
    next: usize,
}

impl<T> Egress<T> {
    /// The next result with its event time, if there is one. Never blocks.
    #[inline]
    pub fn try_recv(&mut self) -> Option<Stamped<T>> {
        // Acquire: pairs with the release in `open`; the ring itself is behind a mutex.
        if self.rings.len() < self.shared.opened.load(Ordering::Acquire) {
            self.take_fresh();
        }
        for _ in 0..self.rings.len() {
            let ring = self.next;
            self.next = if ring + 1 == self.rings.len() { 0 } else { ring + 1 };
            if let Ok(result) = self.rings[ring].pop() {
                return Some(result);
            }
        }
        None
    }

    /// The next result, waiting for it; `None` when the job has ended and all were received.
    pub fn recv(&mut self) -> Option<Stamped<T>> {
        let mut wait = Wait::default();
        loop {
            let ended = self.is_ended();
            match self.try_recv() {
                Some(result) => return Some(result),
                None if ended => return None,
                None => wait.pause(),
            }
        }
    }

    /// Appends up to `limit` results; returns how many. Never blocks.
    pub fn recv_batch(&mut self, limit: usize, into: &mut Vec<Stamped<T>>) -> usize {
        let before = into.len();
        into.extend(std::iter::from_fn(|| self.try_recv()).take(limit));
        into.len() - before
    }

    /// Whether the job has ended; results may still wait in the rings.
    pub fn is_ended(&mut self) -> bool {
        if self.shared.job_gone.get().is_some() {
            self.take_fresh();
            return self.rings.iter().all(Consumer::is_abandoned);
        }
        false
    }

    #[cold]
    fn take_fresh(&mut self) {
        let mut fresh = self.shared.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        self.rings.append(&mut fresh);
    }
}

/// The job's end of the rings to the host program.
pub struct EgressSink<T> {
    shared: Arc<Rings<T>>,
    capacity: usize,
}

impl<T> Drop for EgressSink<T> {
    fn drop(&mut self) {
        // The graph, and this sink in it, goes when the last core and the handle have gone or when
        // the last writer was closed; from then on no ring is added.
        let _ = self.shared.job_gone.set(());
    }
}

struct EgressWriter<T> {
    ring: Option<Producer<Stamped<T>>>,
    shared: Arc<Rings<T>>,
}

impl<T: Record> Sink<T> for EgressSink<T> {
    fn name(&self) -> String {
        "egress".to_owned()
    }

    fn open(&self, _: &SinkContext) -> Result<Box<dyn SinkWriter<T>>> {
        let (producer, consumer) = RingBuffer::new(self.capacity);
        self.shared.fresh.lock().unwrap_or_else(PoisonError::into_inner).push(consumer);
        self.shared.opened.fetch_add(1, Ordering::Release);
        Ok(Box::new(EgressWriter { ring: Some(producer), shared: self.shared.clone() }))
    }
}

impl<T: Record> SinkWriter<T> for EgressWriter<T> {
    #[inline]
    fn write(&mut self, batch: &mut Vec<Stamped<T>>) -> Result<()> {
        let Some(ring) = &mut self.ring else { return Ok(()) };
        if ring.is_abandoned() {
            return Err(Error::new(ErrorKind::Cancelled, "the egress was dropped by its reader"));
        }
        let count = ring.slots().min(batch.len());
        if let Ok(chunk) = ring.write_chunk_uninit(count) {
            chunk.fill_from_iter(batch.drain(..count));
        }
        Ok(())
    }

    fn close(&mut self) -> Result<bool> {
        self.ring = None;
        // All cores opened their tasks before the first record, so a writer that closes has seen
        // the last.
        let _ = self.shared.job_gone.set(());
        Ok(true)
    }
}

/// Waiting that starts cheap and quick and ends cheap and slow.
#[derive(Default)]
struct Wait {
    rounds: u32,
}

impl Wait {
    const SPINS: u32 = 256;
    const YIELDS: u32 = 1024;
    const SLEEP: Duration = Duration::from_micros(50);

    fn pause(&mut self) {
        self.rounds = self.rounds.saturating_add(1);
        if self.rounds < Self::SPINS {
            std::hint::spin_loop();
        } else if self.rounds < Self::YIELDS {
            std::thread::yield_now();
        } else {
            std::thread::park_timeout(Self::SLEEP);
        }
    }
}
