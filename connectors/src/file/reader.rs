//! One open file: decoded on a thread of its own, or inside `poll` where no threads are wanted.

use std::collections::VecDeque;

use rtrb::{Consumer, Producer, PushError, RingBuffer};
use tailwater_core::{Error, ErrorKind, Result};
use tailwater_operators::{Polled, SplitPosition, SplitReader, Waker};

use super::decoder::Decoder;
use super::pump::{Filled, Pump};
use crate::doorbell::{Sleeper, Worker};

/// Records to a batch: enough that a hand-over costs nothing a record, few enough to stay in the
/// cache.
const BATCH_LEN: usize = 512;

/// Batches under way. Eight let the thread run ahead over a busy moment of the core.
const BATCHES_MAX: usize = 8;

/// Opens the file and makes its pump; on the thread that will decode.
pub(crate) type Open<D> = Box<dyn FnOnce() -> Result<Opened<D>> + Send>;

/// A file that is ready to be read.
pub(crate) struct Opened<D> {
    pub(crate) pump: Pump<D>,
    /// Whether it can be opened again at an offset.
    pub(crate) by_offset: bool,
}

/// Which records of a file are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    /// Behind those that an earlier run has read.
    pub(crate) start: SplitPosition,
    /// Up to so many from the start of the file.
    pub(crate) limit: u64,
}

impl Extent {
    fn left(&self) -> u64 {
        self.limit.saturating_sub(self.start.records)
    }
}

/// Decodes inside `poll`.
pub(crate) struct Inline<D: Decoder> {
    opened: Opened<D>,
    left: u64,
    position: SplitPosition,
}

impl<D: Decoder> Inline<D> {
    pub(crate) fn open(open: Open<D>, extent: Extent) -> Result<Self> {
        Ok(Self { opened: open()?, left: extent.left(), position: extent.start })
    }
}

impl<D: Decoder> SplitReader<D::Out> for Inline<D> {
    fn poll(&mut self, limit: usize, out: &mut Vec<D::Out>) -> Result<Polled> {
        let limit = at_most(limit, self.left);
        let before = out.len();
        let by_offset = self.opened.by_offset;
        let filled = self.opened.pump.fill(limit, |record, _| out.push(record))?;
        let read = (out.len() - before) as u64;
        self.position.records += read;
        self.left -= read;
        let ended = filled == Filled::End || self.left == 0;
        // What is behind the last record was told with it: at the next start it is not read again.
        if by_offset && self.position.records > 0 {
            self.position.offset = self.opened.pump.offset();
        }
        Ok(if ended { Polled::Finished } else { Polled::Ready })
    }

    fn position(&self) -> SplitPosition {
        self.position
    }
}

fn at_most(limit: usize, left: u64) -> usize {
    usize::try_from(left).map_or(limit, |left| limit.min(left))
}

/// What the thread hands over.
enum Delivery<T> {
    Batch(Batch<T>),
    Failed(Error),
    /// With the offset behind the last record and what followed it.
    Finished(u64),
}

/// Records and, where the file can be opened at an offset, the offset behind each.
struct Batch<T> {
    records: VecDeque<T>,
    ends: VecDeque<u64>,
}

impl<T> Batch<T> {
    fn with_capacity(records: usize) -> Self {
        let (records, ends) = (VecDeque::with_capacity(records), VecDeque::with_capacity(records));
        Self { records, ends }
    }
}

/// Takes batches from the thread that decodes, and gives the emptied ones back to it.
pub(crate) struct Threaded<T> {
    full: Consumer<Delivery<T>>,
    empty: Producer<Batch<T>>,
    current: Batch<T>,
    worker: Worker,
    position: SplitPosition,
    failed: Option<Error>,
    finished: bool,
}

impl<T: Send + 'static> Threaded<T> {
    pub(crate) fn open<D>(open: Open<D>, extent: Extent, name: &str, waker: Waker) -> Result<Self>
    where
        D: Decoder<Out = T>,
    {
        let (full_in, full) = RingBuffer::new(BATCHES_MAX);
        // Room for every batch there is: those in the ring, one at each end.
        let (empty, empty_out) = RingBuffer::new(BATCHES_MAX + 2);
        let worker = Worker::start(name, move |sleeper| {
            let mut feeder = Feeder { full: full_in, empty: empty_out, sleeper, waker };
            let last = match feeder.run(open, extent.left()) {
                Ok(offset) => Delivery::Finished(offset),
                Err(error) => Delivery::Failed(error),
            };
            feeder.deliver(last);
        })?;
        let (current, position) = (Batch::with_capacity(0), extent.start);
        Ok(Self { full, empty, current, worker, position, failed: None, finished: false })
    }

    /// The next delivery; `None` while there is none.
    fn next(&mut self) -> Option<Delivery<T>> {
        let delivery = self.full.pop().ok()?;
        self.worker.ring();
        Some(delivery)
    }
}

impl<T: Send + 'static> SplitReader<T> for Threaded<T> {
    fn poll(&mut self, limit: usize, out: &mut Vec<T>) -> Result<Polled> {
        if self.finished {
            return Ok(Polled::Finished);
        }
        if let Some(error) = self.failed.take() {
            self.finished = true;
            return Err(error);
        }
        let mut room = limit;
        while room > 0 {
            if self.current.records.is_empty() {
                match self.next() {
                    Some(Delivery::Batch(batch)) => {
                        let emptied = std::mem::replace(&mut self.current, batch);
                        // The first one was never a batch; a full ring means that there are enough.
                        if emptied.records.capacity() > 0 {
                            let _ = self.empty.push(emptied);
                        }
                    }
                    // The records before it are handed over first.
                    Some(Delivery::Failed(error)) if room < limit => {
                        self.failed = Some(error);
                        return Ok(Polled::Ready);
                    }
                    Some(Delivery::Failed(error)) => {
                        self.finished = true;
                        return Err(error);
                    }
                    Some(Delivery::Finished(offset)) => {
                        self.finished = true;
                        if self.position.records > 0 {
                            self.position.offset = offset;
                        }
                        return Ok(Polled::Finished);
                    }
                    None if room < limit => return Ok(Polled::Ready),
                    None => return Ok(Polled::Pending),
                }
            }
            let take = room.min(self.current.records.len());
            out.extend(self.current.records.drain(..take));
            self.position.records += take as u64;
            // All records of a batch have an offset, or none has.
            if let Some(&end) = self.current.ends.get(take - 1) {
                self.position.offset = end;
                self.current.ends.drain(..take);
            }
            room -= take;
        }
        Ok(Polled::Ready)
    }

    fn position(&self) -> SplitPosition {
        self.position
    }
}

/// The thread's side.
struct Feeder<T: Send + 'static> {
    full: Producer<Delivery<T>>,
    empty: Consumer<Batch<T>>,
    sleeper: Sleeper,
    waker: Waker,
}

impl<T: Send + 'static> Feeder<T> {
    /// Reads all there is; returns the offset behind it, or zero where offsets are of no use.
    fn run<D: Decoder<Out = T>>(&mut self, open: Open<D>, limit: u64) -> Result<u64> {
        let Opened { mut pump, by_offset } = open()?;
        let mut left = limit;
        let mut batch = self.empty_batch();
        loop {
            let before = batch.records.len();
            let room = at_most(BATCH_LEN - before, left);
            let Batch { records, ends } = &mut batch;
            let filled = if by_offset {
                pump.fill(room, |record, end| {
                    records.push_back(record);
                    ends.push_back(end);
                })
            } else {
                pump.fill(room, |record, _| records.push_back(record))
            };
            let len = records.len();
            left -= (len - before) as u64;
            let ended = left == 0 || !matches!(filled, Ok(Filled::Full | Filled::Block));
            // Reading on may block: a core that has nothing gets what there is.
            let starved = matches!(filled, Ok(Filled::Block)) && self.full.slots() == BATCHES_MAX;
            if (ended || starved || len == BATCH_LEN) && len > 0 {
                let next = self.empty_batch();
                if !self.deliver(Delivery::Batch(std::mem::replace(&mut batch, next))) {
                    return Ok(0);
                }
            }
            if ended {
                return filled.map(|_| if by_offset { pump.offset() } else { 0 });
            }
            if self.sleeper.stopped() {
                return Ok(0);
            }
        }
    }

    fn empty_batch(&mut self) -> Batch<T> {
        self.empty.pop().unwrap_or_else(|_| Batch::with_capacity(BATCH_LEN))
    }

    /// Waits for room; `false` when the core has gone.
    fn deliver(&mut self, mut delivery: Delivery<T>) -> bool {
        loop {
            match self.full.push(delivery) {
                Ok(()) => {
                    self.waker.wake();
                    return true;
                }
                Err(PushError::Full(refused)) => delivery = refused,
            }
            if self.sleeper.stopped() {
                return false;
            }
            let full = &self.full;
            self.sleeper.sleep_unless(|| !full.is_full());
        }
    }
}

impl<T: Send + 'static> Drop for Feeder<T> {
    /// A core that sleeps until the thread has something must hear that it never will.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.deliver(Delivery::Failed(Error::new(
                ErrorKind::User,
                "the thread that decodes a file panicked: see its message above, and the \
                 `Deserialize` of the record type",
            )));
        }
    }
}
