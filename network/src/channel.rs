//! A channel from one core to another: a ring of records, and beside it a ring of control elements,
//! each with the number of records that precede it.
//!
//! ```text
//! records   r0 r1 r2 r3 r4 r5 ..            drained in batches, without a look at what each is
//! controls  (3, watermark 70) (5, barrier 2)  taken when exactly 3 (5) records were received
//! ```
//!
//! A control element is published before any record that follows it. A receiver that sees such a
//! record has therefore synchronised with the control element too (the rings publish with release
//! and read with acquire), provided that it looks at the records first and at the controls second;
//! [`Receiver::poll`] does.

use std::collections::VecDeque;

use tailwater_core::{Control, Stamped, Timestamp};

use crate::Parker;
use crate::ring::{Consumer, Producer, ring};

/// Control elements in flight on a channel. They are rare next to records; what does not fit waits.
const CONTROLS_MAX: usize = 64;
/// Records that are written before they are published together: larger batches gain nothing.
const PUBLISH_AT: usize = 64;

/// A control element and the number of records before it.
type Placed = (u64, Control);

/// The writing end: writes records into the ring, and publishes them in batches.
#[derive(Debug)]
pub struct Sender<T> {
    records: Producer<Stamped<T>>,
    controls: Producer<Placed>,
    /// Records that found the ring full, and all that came after them.
    overflow: VecDeque<Stamped<T>>,
    /// Control elements that found their ring full.
    waiting: VecDeque<Placed>,
    /// Records written into the ring so far.
    sent: u64,
    /// Wakes the receiving core, where it may sleep.
    receiver: Option<std::sync::Arc<Parker>>,
}

/// The reading end.
#[derive(Debug)]
pub struct Receiver<T> {
    records: Consumer<Stamped<T>>,
    controls: Consumer<Placed>,
    /// The next control element, taken off its ring before its turn.
    next_control: Option<Placed>,
    /// Records received so far.
    received: u64,
}

/// What a receiver found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    /// Nothing now.
    Empty,
    /// So many records were appended.
    Records(usize),
    /// A control element, in its place among the records.
    Control(Control),
}

/// A channel whose ring holds at least `capacity` records.
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let (records_in, records_out) = ring(capacity);
    let (controls_in, controls_out) = ring(CONTROLS_MAX);
    let sender = Sender {
        records: records_in,
        controls: controls_in,
        overflow: VecDeque::new(),
        waiting: VecDeque::new(),
        sent: 0,
        receiver: None,
    };
    let receiver =
        Receiver { records: records_out, controls: controls_out, next_control: None, received: 0 };
    (sender, receiver)
}

impl<T> Sender<T> {
    /// Wakes the receiving core after each publication.
    pub fn wake_with(&mut self, receiver: std::sync::Arc<Parker>) {
        self.receiver = Some(receiver);
    }

    /// Takes a record; it is published with its batch, or by [`flush`](Sender::flush). Never
    /// refuses: what finds the ring full waits in order, and [`has_room`](Sender::has_room) says
    /// so.
    #[inline]
    pub fn send(&mut self, at: Timestamp, value: T) {
        let record = Stamped { at, value };
        // A record must not be written behind a control element that is still waiting.
        if self.overflow.is_empty() && self.waiting.is_empty() {
            match self.records.write(record) {
                Ok(()) => {
                    self.sent += 1;
                    if self.records.unpublished() >= PUBLISH_AT {
                        self.publish();
                    }
                }
                Err(record) => self.overflow.push_back(record),
            }
        } else {
            self.overflow.push_back(record);
        }
    }

    /// Takes a batch of records; empties it. As [`send`](Sender::send) for each.
    #[inline]
    pub fn send_all(&mut self, batch: &mut Vec<Stamped<T>>) {
        if self.overflow.is_empty() && self.waiting.is_empty() {
            self.sent += self.records.write_all(batch) as u64;
            self.publish();
        }
        self.overflow.extend(batch.drain(..));
    }

    /// Whether fewer than `overflow_max` records wait for the ring, and few control elements.
    #[inline]
    pub fn has_room(&self, overflow_max: usize) -> bool {
        self.overflow.len() < overflow_max && self.waiting.len() < CONTROLS_MAX
    }

    /// Sends a control element behind all records taken so far. It never overtakes them, even where
    /// they still wait for room.
    pub fn control(&mut self, control: Control) {
        let place = self.sent + self.overflow.len() as u64;
        self.waiting.push_back((place, control));
        self.flush_controls();
    }

    /// Publishes everything that fits; `true` when nothing is left.
    #[inline]
    pub fn flush(&mut self) -> bool {
        if !self.waiting.is_empty() || !self.overflow.is_empty() {
            self.refill();
        }
        self.publish();
        self.overflow.is_empty() && self.waiting.is_empty()
    }

    /// Writes what waited, as far as there is room now.
    #[cold]
    fn refill(&mut self) {
        self.flush_controls();
        // Records behind a waiting control element must not be seen before it is.
        let mut may_go = match self.waiting.front() {
            Some((place, _)) => (place - self.sent) as usize,
            None => usize::MAX,
        };
        while may_go > 0
            && self.records.room() > 0
            && let Some(record) = self.overflow.pop_front()
        {
            if self.records.write(record).is_ok() {
                self.sent += 1;
                may_go -= 1;
            }
        }
    }

    fn flush_controls(&mut self) {
        while let Some(&placed) = self.waiting.front()
            && self.controls.write(placed).is_ok()
        {
            self.waiting.pop_front();
        }
        // The records before a control element are published with it or earlier, so that its turn
        // comes.
        let moved = self.controls.publish();
        if moved | self.records.publish() {
            self.wake();
        }
    }

    #[inline]
    fn publish(&mut self) {
        if self.records.publish() {
            self.wake();
        }
    }

    #[inline]
    fn wake(&self) {
        if let Some(receiver) = &self.receiver {
            receiver.wake();
        }
    }
}

impl<T> Receiver<T> {
    /// Appends up to `limit` records to `into`, or takes the control element whose turn it is.
    #[inline]
    pub fn poll(&mut self, limit: usize, into: &mut Vec<Stamped<T>>) -> Polled {
        // The records first: see the argument at the head of this file.
        let mut ready = self.records.ready().min(limit);
        if self.next_control.is_none() {
            self.next_control = self.controls.pop();
        }
        if let Some((place, control)) = self.next_control {
            let before = place - self.received;
            if before == 0 {
                self.next_control = None;
                return Polled::Control(control);
            }
            ready = ready.min(before as usize);
        }
        if ready == 0 {
            return Polled::Empty;
        }
        self.records.take(ready, into);
        self.received += ready as u64;
        Polled::Records(ready)
    }

    /// Records that have been published and not been received.
    pub fn backlog(&self) -> usize {
        self.records.backlog()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
