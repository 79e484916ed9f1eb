//! The open writers of outputs: formatting and writing on a thread, or inside the calls.

use std::sync::Arc;

use rtrb::{Consumer, Producer, RingBuffer};
use tailwater_core::{Clock, Error, ErrorKind, Result, Stamped};
use tailwater_operators::{Prepared, SinkContext, SinkWriter, Waker};

use super::cycle::Cycle;
use super::two_phase::TwoPhase;
use crate::doorbell::{Sleeper, Worker};

/// Orders under way to the thread. What does not fit stays with the core, which is back-pressure.
const ORDERS_MAX: usize = 8;

/// Replies that must not be lost: one to each order under way or at work, and the last.
const ANSWERS_MAX: usize = ORDERS_MAX + 3;

/// Opens a writer.
pub(super) fn open<T, P>(
    cycle: Cycle<T, P>,
    context: &SinkContext,
) -> Result<Box<dyn SinkWriter<T>>>
where
    T: Send + 'static,
    P: TwoPhase<T>,
{
    Ok(if context.inline {
        Box::new(Inline::new(cycle))
    } else {
        Box::new(Threaded::start(cycle, context)?)
    })
}

/// Writes inside the calls.
pub(super) struct Inline<T, P> {
    pub(super) cycle: Cycle<T, P>,
    prepared: Option<Prepared>,
}

impl<T, P> Inline<T, P> {
    pub(super) fn new(cycle: Cycle<T, P>) -> Self {
        Self { cycle, prepared: None }
    }
}

impl<T, P: TwoPhase<T>> SinkWriter<T> for Inline<T, P> {
    fn write(&mut self, batch: &mut Vec<Stamped<T>>) -> Result<()> {
        if !self.cycle.is_ready() && !self.cycle.advance()? {
            return Ok(());
        }
        self.cycle.write(batch)
    }

    fn is_transactional(&self) -> bool {
        self.cycle.is_transactional()
    }

    fn prepare(&mut self, checkpoint: u64) -> Result<bool> {
        if !self.cycle.is_ready() && !self.cycle.advance()? {
            return Ok(false);
        }
        self.prepared = Some(self.cycle.prepare(checkpoint)?);
        Ok(true)
    }

    fn prepared(&mut self) -> Result<Option<Prepared>> {
        Ok(self.prepared.take())
    }

    fn commit(&mut self, checkpoint: u64) -> Result<bool> {
        self.cycle.commit(checkpoint)
    }

    fn close(&mut self) -> Result<bool> {
        self.cycle.close()
    }
}

enum Order<T> {
    Write(Vec<Stamped<T>>),
    Prepare(u64),
    Commit(u64),
    Close,
}

enum Reply<T> {
    Emptied(Vec<Stamped<T>>),
    Prepared(Prepared),
    Committed(u64),
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
    transactional: bool,
    prepared: Option<Prepared>,
    /// The last checkpoint whose commit was ordered, and the last that was answered.
    ordered: u64,
    committed: u64,
}

#[derive(PartialEq, Eq)]
enum Phase {
    Writing,
    Closing,
    Closed,
}

impl<T: Send + 'static> Threaded<T> {
    fn start<P: TwoPhase<T>>(cycle: Cycle<T, P>, context: &SinkContext) -> Result<Self> {
        let (waker, clock) = (context.waker.clone(), context.clock.clone());
        let transactional = cycle.is_transactional();
        let (orders, orders_out) = RingBuffer::new(ORDERS_MAX);
        // Room for all batches under way as well.
        let (replies_in, replies) = RingBuffer::new(ORDERS_MAX + ANSWERS_MAX);
        let worker = Worker::start("write", move |sleeper| {
            let (orders, replies) = (orders_out, replies_in);
            let mut clerk = Clerk { orders, replies, sleeper, waker, clock };
            match clerk.run(cycle) {
                Ok(true) => clerk.answer(Reply::Closed),
                Ok(false) => {}
                Err(error) => clerk.answer(Reply::Failed(error)),
            }
        })?;
        Ok(Self {
            orders,
            replies,
            emptied: Vec::with_capacity(ORDERS_MAX + 2),
            worker,
            phase: Phase::Writing,
            transactional,
            prepared: None,
            ordered: 0,
            committed: 0,
        })
    }

    fn take_replies(&mut self) -> Result<()> {
        while let Ok(reply) = self.replies.pop() {
            match reply {
                Reply::Emptied(batch) if self.emptied.len() < self.emptied.capacity() => {
                    self.emptied.push(batch);
                }
                Reply::Emptied(_) => {}
                Reply::Prepared(prepared) => self.prepared = Some(prepared),
                Reply::Committed(checkpoint) => self.committed = checkpoint,
                Reply::Closed => self.phase = Phase::Closed,
                Reply::Failed(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Gives an order if there is room for it.
    fn order(&mut self, order: Order<T>) -> bool {
        let given = self.orders.push(order).is_ok();
        if given {
            self.worker.ring();
        }
        given
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
        if self.order(Order::Write(full)) {
            Ok(())
        } else {
            Err(Error::internal("a ring with room refused a batch"))
        }
    }

    fn is_transactional(&self) -> bool {
        self.transactional
    }

    fn prepare(&mut self, checkpoint: u64) -> Result<bool> {
        self.take_replies()?;
        Ok(self.order(Order::Prepare(checkpoint)))
    }

    fn prepared(&mut self) -> Result<Option<Prepared>> {
        self.take_replies()?;
        Ok(self.prepared.take())
    }

    fn commit(&mut self, checkpoint: u64) -> Result<bool> {
        self.take_replies()?;
        if self.ordered < checkpoint && self.order(Order::Commit(checkpoint)) {
            self.ordered = checkpoint;
        }
        Ok(self.committed >= checkpoint)
    }

    fn close(&mut self) -> Result<bool> {
        self.take_replies()?;
        if self.phase == Phase::Writing && self.order(Order::Close) {
            self.phase = Phase::Closing;
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
    clock: Arc<dyn Clock>,
}

/// The pause before a commit that was put off is tried again.
const RETRY_NS: u64 = 20_000_000;

/// A commit that was put off.
struct PutOff {
    /// The checkpoint, if the core waits for it.
    told: Option<u64>,
    tried_ns: u64,
}

impl<T> Clerk<T> {
    /// Writes until it is told to close (`true`) or the core has gone (`false`).
    fn run<P: TwoPhase<T>>(&mut self, mut cycle: Cycle<T, P>) -> Result<bool> {
        let now_ns = |clerk: &Self| clerk.clock.monotonic_ns();
        let mut put_off =
            (!cycle.is_ready()).then(|| PutOff { told: None, tried_ns: now_ns(self) });
        loop {
            if let Some(PutOff { told, tried_ns }) = &mut put_off
                && now_ns(self).saturating_sub(*tried_ns) >= RETRY_NS
            {
                *tried_ns = now_ns(self);
                if cycle.advance()? {
                    if let Some(checkpoint) = *told {
                        self.answer(Reply::Committed(checkpoint));
                    }
                    put_off = None;
                }
            }
            let order = if cycle.is_ready() { self.orders.pop().ok() } else { None };
            match order {
                Some(Order::Write(mut batch)) => {
                    cycle.write(&mut batch)?;
                    self.give_back(batch);
                    self.waker.wake();
                }
                Some(Order::Prepare(checkpoint)) => {
                    let prepared = cycle.prepare(checkpoint)?;
                    self.answer(Reply::Prepared(prepared));
                }
                Some(Order::Commit(checkpoint)) => {
                    if cycle.commit(checkpoint)? {
                        put_off = None;
                        self.answer(Reply::Committed(checkpoint));
                    } else {
                        put_off = Some(PutOff { told: Some(checkpoint), tried_ns: now_ns(self) });
                    }
                }
                Some(Order::Close) => {
                    while !cycle.close()? {
                        if self.sleeper.stopped() {
                            return Ok(false);
                        }
                        self.sleeper.sleep_unless(|| false);
                    }
                    return Ok(true);
                }
                None if self.sleeper.stopped() => return Ok(false),
                None => {
                    cycle.idle()?;
                    let (orders, ready) = (&self.orders, cycle.is_ready());
                    self.sleeper.sleep_unless(|| ready && !orders.is_empty());
                }
            }
        }
    }

    /// The slots of the answers stay free.
    fn give_back(&mut self, batch: Vec<Stamped<T>>) {
        if self.replies.slots() > ANSWERS_MAX {
            let _ = self.replies.push(Reply::Emptied(batch));
        }
    }

    fn answer(&mut self, reply: Reply<T>) {
        // `give_back` leaves these slots free, and the core takes all replies before each order.
        let _ = self.replies.push(reply);
        self.waker.wake();
    }
}

impl<T> Drop for Clerk<T> {
    /// A core that waits for the thread must hear that it has gone.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.answer(Reply::Failed(Error::new(
                ErrorKind::User,
                "the thread that writes the output panicked: see its message above, and the \
                 `Serialize` of the record type",
            )));
        }
    }
}
