//! A channel from one core to another: a ring of records, and beside it a ring of control elements, each
//! with the number of records that precede it.
//!
//! ```text
//! records   r0 r1 r2 r3 r4 r5 ..          drained in batches, without a look at what an element is
//! controls  (3, watermark 70) (5, barrier 2) ..    taken when exactly 3 (5) records have been received
//! ```
//!
//! A control element is published before any record that follows it. A receiver that sees such a record
//! has therefore synchronised with the control element too (the rings publish with release and read with
//! acquire), provided that it looks at the records first and at the controls second; [`Receiver::poll`] does.

use std::collections::VecDeque;
use std::sync::Arc;

use rtrb::{Consumer, Producer, RingBuffer};
use tailwater_core::{Control, Stamped, Timestamp};

use crate::Parker;

/// Control elements in flight on a channel. They are rare next to records; what does not fit waits.
const CONTROLS_MAX: usize = 64;

/// A control element and the number of records before it.
type Placed = (u64, Control);

/// The writing end: stages records, and publishes them in batches.
#[derive(Debug)]
pub struct Sender<T> {
    records: Producer<Stamped<T>>,
    controls: Producer<Placed>,
    /// Records that are not published yet, because the batch is not full or the ring is.
    staged: Vec<Stamped<T>>,
    /// Control elements that found their ring full.
    waiting: VecDeque<Placed>,
    /// Records published so far.
    sent: u64,
    /// Wakes the receiving core, where it may sleep.
    receiver: Option<Arc<Parker>>,
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

/// A channel whose ring holds `capacity` records.
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let (records_in, records_out) = RingBuffer::new(capacity);
    let (controls_in, controls_out) = RingBuffer::new(CONTROLS_MAX);
    let sender = Sender {
        records: records_in,
        controls: controls_in,
        staged: Vec::with_capacity(capacity),
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
    pub fn wake_with(&mut self, receiver: Arc<Parker>) {
        self.receiver = Some(receiver);
    }

    /// Takes a record to be published with its batch; returns how many are staged now.
    #[inline]
    pub fn stage(&mut self, at: Timestamp, value: T) -> usize {
        self.staged.push(Stamped { at, value });
        self.staged.len()
    }

    /// Whether fewer than `staged_max` records wait to be published, and few control elements.
    #[inline]
    pub fn has_room(&self, staged_max: usize) -> bool {
        self.staged.len() < staged_max && self.waiting.len() < CONTROLS_MAX
    }

    /// Publishes what fits of the staged records; `true` when none is left.
    #[inline]
    pub fn publish(&mut self) -> bool {
        if self.staged.is_empty() {
            return true;
        }
        let mut room = self.records.slots().min(self.staged.len());
        if !self.waiting.is_empty() && !self.flush_controls() {
            // A record must not be published before a control element that precedes it.
            let before = self.waiting.front().map_or(0, |(place, _)| place - self.sent);
            room = room.min(before as usize);
        }
        if room > 0
            && let Ok(chunk) = self.records.write_chunk_uninit(room)
        {
            let written = chunk.fill_from_iter(self.staged.drain(..room));
            debug_assert_eq!(written, room);
            self.sent += room as u64;
            self.wake();
        }
        self.staged.is_empty()
    }

    /// Sends a control element behind all records staged so far. It never overtakes them, even where they
    /// still wait for room.
    pub fn control(&mut self, control: Control) {
        let place = self.sent + self.staged.len() as u64;
        self.waiting.push_back((place, control));
        self.flush_controls();
    }

    /// Publishes everything that fits, control elements too; `true` when nothing is left.
    #[inline]
    pub fn flush(&mut self) -> bool {
        let records_gone = self.publish();
        records_gone && (self.waiting.is_empty() || self.flush_controls())
    }

    fn flush_controls(&mut self) -> bool {
        let mut moved = false;
        while let Some(&placed) = self.waiting.front()
            && self.controls.push(placed).is_ok()
        {
            self.waiting.pop_front();
            moved = true;
        }
        if moved {
            self.wake();
        }
        self.waiting.is_empty()
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
        let mut ready = self.records.slots().min(limit);
        if self.next_control.is_none() {
            self.next_control = self.controls.pop().ok();
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
        let Ok(chunk) = self.records.read_chunk(ready) else { return Polled::Empty };
        into.extend(chunk);
        self.received += ready as u64;
        Polled::Records(ready)
    }

    /// Whether [`poll`](Receiver::poll) would find something.
    pub fn is_ready(&self) -> bool {
        !self.records.is_empty() || self.next_control.is_some() || !self.controls.is_empty()
    }

    /// Records that have been published and not been received.
    pub fn backlog(&self) -> usize {
        self.records.slots()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
