//! The open writers of text: formatting and writing on a thread, or inside the calls.

use rtrb::{Consumer, Producer, RingBuffer};
use tailwater_core::{Error, ErrorKind, Result, Stamped};
use tailwater_operators::{SinkContext, SinkWriter, Waker};

use super::encode::Encoder;
use super::output::{Output, Target};
use crate::doorbell::{Sleeper, Worker};

/// Text is written in pieces of about this size.
const BUFFER_BYTES: usize = 128 << 10;

/// Batches under way to the thread. What does not fit stays with the core, which is back-pressure.
const BATCHES_MAX: usize = 8;

/// Opens a writer to a target.
pub(super) fn open<T, E>(
    target: Target,
    encoder: E,
    context: &SinkContext,
) -> Result<Box<dyn SinkWriter<T>>>
where
    T: Send + 'static,
    E: Encoder<T>,
{
    let output = Output::open(target, context.clock.clone())?;
    let scribe = Scribe { encoder, output, buffer: Vec::with_capacity(2 * BUFFER_BYTES) };
    Ok(if context.inline {
        Box::new(Inline(scribe))
    } else {
        Box::new(Threaded::start(scribe, context.waker.clone())?)
    })
}

/// Formats and writes.
struct Scribe<E> {
    encoder: E,
    output: Output,
    buffer: Vec<u8>,
}

impl<E> Scribe<E> {
    fn write<T>(&mut self, batch: &mut Vec<Stamped<T>>) -> Result<()>
    where
        E: Encoder<T>,
    {
        for record in batch.drain(..) {
            self.encoder.encode(&record.value, &mut self.buffer)?;
            if self.output.is_due(self.buffer.len()) {
                self.finish_part()?;
            } else if self.buffer.len() >= BUFFER_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.output.write(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    fn finish_part<T>(&mut self) -> Result<()>
    where
        E: Encoder<T>,
    {
        self.flush()?;
        self.encoder.begin();
        self.output.finish_part()
    }

    /// Called when there is nothing to do: what was formatted becomes visible, a part in its time
    /// whole.
    fn rest<T>(&mut self) -> Result<()>
    where
        E: Encoder<T>,
    {
        if self.output.is_due_by_time() { self.finish_part() } else { self.flush() }
    }
}

/// Writes inside the calls.
struct Inline<E>(Scribe<E>);

impl<T, E: Encoder<T>> SinkWriter<T> for Inline<E> {
    fn write(&mut self, batch: &mut Vec<Stamped<T>>) -> Result<()> {
        self.0.write(batch)?;
        if self.0.output.is_due_by_time() { self.0.finish_part() } else { Ok(()) }
    }

    fn close(&mut self) -> Result<bool> {
        self.0.finish_part()?;
        Ok(true)
    }
}

enum Order<T> {
    Write(Vec<Stamped<T>>),
    Close,
}

enum Reply<T> {
    Emptied(Vec<Stamped<T>>),
    Closed,
    Failed(Error),
}

/// Hands batches to the thread that writes.
struct Threaded<T> {
    orders: Producer<Order<T>>,
    replies: Consumer<Reply<T>>,
    emptied: Vec<Vec<Stamped<T>>>,
    worker: Worker,
    phase: Phase,
}

#[derive(PartialEq, Eq)]
enum Phase {
    Writing,
    Closing,
    Closed,
}

impl<T: Send + 'static> Threaded<T> {
    fn start<E: Encoder<T>>(scribe: Scribe<E>, waker: Waker) -> Result<Self> {
        let (orders, orders_out) = RingBuffer::new(BATCHES_MAX);
        // Room for all batches under way and the last reply.
        let (replies_in, replies) = RingBuffer::new(BATCHES_MAX + 2);
        let worker = Worker::start("write", move |sleeper| {
            let mut clerk = Clerk { orders: orders_out, replies: replies_in, sleeper, waker };
            match clerk.run(scribe) {
                Ok(true) => clerk.end(Reply::Closed),
                Ok(false) => {}
                Err(error) => clerk.end(Reply::Failed(error)),
            }
        })?;
        let emptied = Vec::with_capacity(BATCHES_MAX + 2);
        Ok(Self { orders, replies, emptied, worker, phase: Phase::Writing })
    }

    fn take_replies(&mut self) -> Result<()> {
        while let Ok(reply) = self.replies.pop() {
            match reply {
                Reply::Emptied(batch) if self.emptied.len() < self.emptied.capacity() => {
                    self.emptied.push(batch);
                }
                Reply::Emptied(_) => {}
                Reply::Closed => self.phase = Phase::Closed,
                Reply::Failed(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl<T: Send + 'static> SinkWriter<T> for Threaded<T> {
    fn write(&mut self, batch: &mut Vec<Stamped<T>>) -> Result<()> {
        self.take_replies()?;
        if batch.is_empty() || self.orders.is_full() {
            return Ok(());
        }
        let emptied = self.emptied.pop().unwrap_or_else(|| Vec::with_capacity(batch.capacity()));
        let full = std::mem::replace(batch, emptied);
        // Only this side pushes, and there was room above.
        if self.orders.push(Order::Write(full)).is_err() {
            return Err(Error::internal("a ring with room refused a batch"));
        }
        self.worker.ring();
        Ok(())
    }

    fn close(&mut self) -> Result<bool> {
        self.take_replies()?;
        if self.phase == Phase::Writing && self.orders.push(Order::Close).is_ok() {
            self.phase = Phase::Closing;
            self.worker.ring();
        }
        Ok(self.phase == Phase::Closed)
    }
}

/// The thread's side.
struct Clerk<T> {
    orders: Consumer<Order<T>>,
    replies: Producer<Reply<T>>,
    sleeper: Sleeper,
    waker: Waker,
}

impl<T> Clerk<T> {
    /// Writes until it is told to close (`true`) or the core has gone (`false`).
    fn run<E: Encoder<T>>(&mut self, mut scribe: Scribe<E>) -> Result<bool> {
        loop {
            match self.orders.pop() {
                Ok(Order::Write(mut batch)) => {
                    scribe.write(&mut batch)?;
                    self.give_back(batch);
                    self.waker.wake();
                }
                Ok(Order::Close) => {
                    scribe.finish_part()?;
                    return Ok(true);
                }
                Err(_) if self.sleeper.stopped() => return Ok(false),
                Err(_) => {
                    scribe.rest()?;
                    let orders = &self.orders;
                    self.sleeper.sleep_unless(|| !orders.is_empty());
                }
            }
        }
    }

    /// The last slot is for the last reply.
    fn give_back(&mut self, batch: Vec<Stamped<T>>) {
        if self.replies.slots() > 1 {
            let _ = self.replies.push(Reply::Emptied(batch));
        }
    }

    fn end(&mut self, last: Reply<T>) {
        // `give_back` leaves this slot free.
        let _ = self.replies.push(last);
        self.waker.wake();
    }
}

impl<T> Drop for Clerk<T> {
    /// A core that waits for the thread must hear that it has gone.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.end(Reply::Failed(Error::new(
                ErrorKind::User,
                "the thread that writes the output panicked: see its message above, and the \
                 `Serialize` of the record type",
            )));
        }
    }
}
