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
pub(crate) type Open<D> = Box<dyn FnOnce() -> Result<Pump<D>> + Send>;

/// Decodes inside `poll`.
pub(crate) struct Inline<D: Decoder> {
    pump: Pump<D>,
    left: u64,
    position: u64,
}

impl<D: Decoder> Inline<D> {
    pub(crate) fn open(open: Open<D>, limit: u64) -> Result<Self> {
        Ok(Self { pump: open()?, left: limit, position: 0 })
    }
}

impl<D: Decoder> SplitReader<D::Out> for Inline<D> {
    fn poll(&mut self, limit: usize, out: &mut Vec<D::Out>) -> Result<Polled> {
        let limit = at_most(limit, self.left);
        let before = out.len();
        let filled = self.pump.fill(limit, |record| out.push(record))?;
        let read = (out.len() - before) as u64;
        self.position += read;
        self.left -= read;
        let ended = filled == Filled::End || self.left == 0;
        Ok(if ended { Polled::Finished } else { Polled::Ready })
    }

    fn position(&self) -> SplitPosition {
        SplitPosition::after(self.position)
    }
}

fn at_most(limit: usize, left: u64) -> usize {
    usize::try_from(left).map_or(limit, |left| limit.min(left))
}

/// What the thread hands over.
enum Delivery<T> {
    Batch(VecDeque<T>),
    Failed(Error),
    Finished,
}

/// Takes batches from the thread that decodes, and gives the emptied ones back to it.
pub(crate) struct Threaded<T> {
    full: Consumer<Delivery<T>>,
    empty: Producer<VecDeque<T>>,
    current: VecDeque<T>,
    worker: Worker,
    position: u64,
    failed: Option<Error>,
    finished: bool,
}

impl<T: Send + 'static> Threaded<T> {
    pub(crate) fn open<D>(open: Open<D>, limit: u64, name: &str, waker: Waker) -> Result<Self>
    where
        D: Decoder<Out = T>,
    {
        let (full_in, full) = RingBuffer::new(BATCHES_MAX);
        // Room for every batch there is: those in the ring, one at each end.
        let (empty, empty_out) = RingBuffer::new(BATCHES_MAX + 2);
        let worker = Worker::start(name, move |sleeper| {
            let mut feeder = Feeder { full: full_in, empty: empty_out, sleeper, waker };
            let last = match feeder.run(open, limit) {
                Ok(()) => Delivery::Finished,
                Err(error) => Delivery::Failed(error),
            };
            feeder.deliver(last);
        })?;
        let current = VecDeque::new();
        Ok(Self { full, empty, current, worker, position: 0, failed: None, finished: false })
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
            if self.current.is_empty() {
                match self.next() {
                    Some(Delivery::Batch(batch)) => {
                        let emptied = std::mem::replace(&mut self.current, batch);
                        // The first one was never a batch; a full ring means that there are enough.
                        if emptied.capacity() > 0 {
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
                    Some(Delivery::Finished) => {
                        self.finished = true;
                        return Ok(Polled::Finished);
                    }
                    None if room < limit => return Ok(Polled::Ready),
                    None => return Ok(Polled::Pending),
                }
            }
            let take = room.min(self.current.len());
            out.extend(self.current.drain(..take));
            self.position += take as u64;
            room -= take;
        }
        Ok(Polled::Ready)
    }

    fn position(&self) -> SplitPosition {
        SplitPosition::after(self.position)
    }
}

/// The thread's side.
struct Feeder<T: Send + 'static> {
    full: Producer<Delivery<T>>,
    empty: Consumer<VecDeque<T>>,
    sleeper: Sleeper,
    waker: Waker,
}

impl<T: Send + 'static> Feeder<T> {
    fn run<D: Decoder<Out = T>>(&mut self, open: Open<D>, limit: u64) -> Result<()> {
        let mut pump = open()?;
        let mut left = limit;
        let mut batch = self.empty_batch();
        loop {
            let room = at_most(BATCH_LEN - batch.len(), left);
            let before = batch.len();
            let filled = pump.fill(room, |record| batch.push_back(record));
            left -= (batch.len() - before) as u64;
            let ended = left == 0 || !matches!(filled, Ok(Filled::Full | Filled::Block));
            // Reading on may block: a core that has nothing gets what there is.
            let starved = matches!(filled, Ok(Filled::Block)) && self.full.slots() == BATCHES_MAX;
            if (ended || starved || batch.len() == BATCH_LEN) && !batch.is_empty() {
                let next = self.empty_batch();
                if !self.deliver(Delivery::Batch(std::mem::replace(&mut batch, next))) {
                    return Ok(());
                }
            }
            if ended {
                return filled.map(drop);
            }
            if self.sleeper.stopped() {
                return Ok(());
            }
        }
    }

    fn empty_batch(&mut self) -> VecDeque<T> {
        self.empty.pop().unwrap_or_else(|_| VecDeque::with_capacity(BATCH_LEN))
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
