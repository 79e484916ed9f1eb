//! The rings that an input reads: polled in turn, those behind a barrier not until it is aligned.

use tailwater_core::{Barrier, Control, Stamped};
use tailwater_network::{Polled, Receiver};

use super::alignment::Alignment;
use crate::checkpoint::config::Guarantee;

/// The rings of a task on one core, and the barriers in them.
pub(super) struct Channels<T> {
    receivers: Vec<Receiver<T>>,
    alignment: Alignment,
    /// The channel that is polled next.
    next: usize,
    open: usize,
}

impl<T> Channels<T> {
    pub(super) fn new(receivers: Vec<Receiver<T>>, guarantee: Guarantee) -> Self {
        let channels = receivers.len();
        let alignment = Alignment::new(channels, guarantee);
        Self { receivers, alignment, next: 0, open: channels }
    }

    /// What the next channel holds that holds something, and its number; records are appended to
    /// `batch`, at most `limit`.
    #[inline]
    pub(super) fn poll(
        &mut self,
        limit: usize,
        batch: &mut Vec<Stamped<T>>,
    ) -> Option<(usize, Polled)> {
        for _ in 0..self.receivers.len() {
            let channel = self.next;
            self.next = if channel + 1 == self.receivers.len() { 0 } else { channel + 1 };
            if self.alignment.is_blocked(channel) {
                continue;
            }
            match self.receivers[channel].poll(limit, batch) {
                Polled::Empty => {}
                polled => return Some((channel, polled)),
            }
        }
        None
    }

    /// A control element before which no record stands in its channel, and the channel's number.
    pub(super) fn poll_control(&mut self) -> Option<(usize, Control)> {
        let mut none = Vec::new();
        for channel in 0..self.receivers.len() {
            // A limit of no records: only control elements whose turn it is.
            if !self.alignment.is_blocked(channel)
                && let Polled::Control(control) = self.receivers[channel].poll(0, &mut none)
            {
                return Some((channel, control));
            }
        }
        None
    }

    /// A barrier from a channel; the barrier when all have delivered it.
    pub(super) fn on_barrier(
        &mut self,
        channel: usize,
        barrier: Barrier,
        now_ns: u64,
    ) -> Option<Barrier> {
        self.alignment.on_barrier(channel, barrier, now_ns)
    }

    /// A channel has ended; the barrier that it was the last one missing for.
    pub(super) fn on_end(&mut self, channel: usize, now_ns: u64) -> Option<Barrier> {
        self.open -= 1;
        self.alignment.on_end(channel, now_ns)
    }

    /// Whether all have ended.
    #[inline]
    pub(super) fn have_ended(&self) -> bool {
        self.open == 0
    }

    /// From the first channel's barrier to the last one's, for the barrier that came last.
    pub(super) fn alignment_ns(&self) -> u64 {
        self.alignment.took_ns
    }
}
