//! The input end that reads rings: drains them fairly, merges watermarks and aligns barriers.

use std::collections::VecDeque;

use tailwater_core::{Barrier, Control, Result, Stamped, Timestamp};
use tailwater_network::{Polled, Receiver};

use super::channels::Channels;
use super::watermark_merge::{Merged, WatermarkMerge};
use super::{Event, Input, Step};
use crate::checkpoint::config::Guarantee;

/// The rings that a task reads on one core.
pub struct Inbox<T> {
    channels: Channels<T>,
    merge: WatermarkMerge,
    /// Merged control elements that wait for their turn.
    ready: VecDeque<Control>,
    ended: bool,
}

impl<T> Inbox<T> {
    /// Reads these rings.
    pub fn new(receivers: Vec<Receiver<T>>, guarantee: Guarantee) -> Self {
        Self {
            merge: WatermarkMerge::new(receivers.len()),
            channels: Channels::new(receivers, guarantee),
            ready: VecDeque::new(),
            ended: false,
        }
    }

    fn on_control(&mut self, channel: usize, control: Control, now_ns: u64) {
        match control {
            Control::Watermark(watermark) => {
                let merged = self.merge.on_watermark(channel, watermark);
                queue(&mut self.ready, merged);
            }
            Control::Idle => queue(&mut self.ready, self.merge.on_idle(channel)),
            Control::Active => queue(&mut self.ready, self.merge.on_active(channel)),
            Control::Barrier(barrier) => {
                let aligned = self.channels.on_barrier(channel, barrier, now_ns);
                self.ready.extend(aligned.map(Control::Barrier));
            }
            Control::Marker(_) => self.ready.push_back(control),
            Control::End => {
                let merged = self.merge.on_watermark(channel, Timestamp::MAX);
                queue(&mut self.ready, merged);
                let aligned = self.channels.on_end(channel, now_ns);
                self.ready.extend(aligned.map(Control::Barrier));
            }
        }
    }

    /// Takes control elements before which no record stands, until there is one to hand on.
    fn take_controls(&mut self, step: &Step) {
        while self.ready.is_empty()
            && let Some((channel, control)) = self.channels.poll_control()
        {
            self.on_control(channel, control, step.now_ns);
        }
    }
}

/// Queues what a merge lets through, in order.
pub(super) fn queue(ready: &mut VecDeque<Control>, merged: Merged) {
    if merged.active {
        ready.push_back(Control::Active);
    }
    ready.extend(merged.watermark.map(Control::Watermark));
    if merged.idle {
        ready.push_back(Control::Idle);
    }
}

impl<T> Input<T> for Inbox<T> {
    #[inline]
    fn poll(&mut self, step: &Step, limit: usize, batch: &mut Vec<Stamped<T>>) -> Result<Event> {
        loop {
            if let Some(control) = self.ready.pop_front() {
                return Ok(Event::Control(control));
            }
            if self.channels.have_ended() && !self.ended {
                self.ended = true;
                return Ok(Event::Control(Control::End));
            }
            match self.channels.poll(limit, batch) {
                Some((channel, Polled::Control(control))) => {
                    self.on_control(channel, control, step.now_ns);
                }
                Some(_) => return Ok(Event::Records),
                None => return Ok(Event::Empty),
            }
        }
    }

    fn poll_barrier(&mut self, step: &Step) -> Result<Option<Barrier>> {
        self.take_controls(step);
        let Some(Control::Barrier(barrier)) = self.ready.front().copied() else { return Ok(None) };
        self.ready.pop_front();
        Ok(Some(barrier))
    }

    fn poll_control(&mut self, step: &Step) -> Result<Option<Control>> {
        self.take_controls(step);
        if self.ready.is_empty() && self.channels.have_ended() && !self.ended {
            self.ended = true;
            return Ok(Some(Control::End));
        }
        Ok(self.ready.pop_front())
    }

    fn on_blocked(&mut self, _: &Step) {}

    fn alignment_ns(&self) -> u64 {
        self.channels.alignment_ns()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tailwater_network::{Sender, channel};

    const STEP: Step = Step::FIRST;

    fn two() -> (Sender<u32>, Sender<u32>, Inbox<u32>) {
        let (first, first_out) = channel(16);
        let (second, second_out) = channel(16);
        (first, second, Inbox::new(vec![first_out, second_out], Guarantee::ExactlyOnce))
    }

    fn drain(inbox: &mut Inbox<u32>) -> Vec<Result<u32, Control>> {
        let mut all = Vec::new();
        let mut batch = Vec::new();
        loop {
            match inbox.poll(&STEP, 8, &mut batch).unwrap() {
                Event::Empty => return all,
                Event::Records => all.extend(batch.drain(..).map(|record| Ok(record.value))),
                Event::Control(control) => all.push(Err(control)),
                Event::Unsorted | Event::Sorted | Event::LastOfKey => {
                    unreachable!("an inbox knows no keys")
                }
            }
        }
    }

    #[test]
    fn a_channel_behind_its_barrier_waits_for_the_others() {
        let (mut first, mut second, mut inbox) = two();
        let barrier = Control::Barrier(Barrier { checkpoint: 1 });
        first.send(Timestamp(1), 1);
        first.control(barrier);
        first.send(Timestamp(2), 2);
        first.flush();
        second.send(Timestamp(1), 10);
        second.flush();
        assert_eq!(drain(&mut inbox), [Ok(1), Ok(10)]);
        second.control(barrier);
        second.flush();
        assert_eq!(drain(&mut inbox), [Err(barrier), Ok(2)]);
    }

    /// While timers fire: what is next is the barrier, or it stays where it is.
    #[test]
    fn a_barrier_is_taken_alone_where_nothing_stands_before_it() {
        let (mut first, mut second, mut inbox) = two();
        let barrier = Control::Barrier(Barrier { checkpoint: 1 });
        first.control(barrier);
        first.send(Timestamp(2), 2);
        second.send(Timestamp(1), 10);
        second.control(barrier);
        first.flush();
        second.flush();
        assert_eq!(inbox.poll_barrier(&STEP).unwrap(), None);
        let mut batch = Vec::new();
        assert_eq!(inbox.poll(&STEP, 8, &mut batch).unwrap(), Event::Records);
        assert_eq!(inbox.poll_barrier(&STEP).unwrap(), Some(Barrier { checkpoint: 1 }));
        assert_eq!(inbox.poll_barrier(&STEP).unwrap(), None);
        assert_eq!(drain(&mut inbox), [Ok(2)]);
        // A watermark keeps its turn, and what is behind it too.
        for channel in [&mut first, &mut second] {
            channel.control(Control::Watermark(Timestamp(9)));
            channel.control(barrier);
            channel.flush();
        }
        assert_eq!(inbox.poll_barrier(&STEP).unwrap(), None);
        assert_eq!(drain(&mut inbox), [Err(Control::Watermark(Timestamp(9))), Err(barrier)]);
    }

    #[test]
    fn the_end_comes_once_with_the_last_watermark() {
        let (mut first, mut second, mut inbox) = two();
        first.control(Control::Watermark(Timestamp(5)));
        second.control(Control::End);
        second.flush();
        first.flush();
        assert_eq!(drain(&mut inbox), [Err(Control::Watermark(Timestamp(5)))]);
        first.control(Control::End);
        first.flush();
        assert_eq!(drain(&mut inbox), [Err(Control::Watermark(Timestamp::MAX)), Err(Control::End)]);
        assert_eq!(drain(&mut inbox), []);
    }
}
