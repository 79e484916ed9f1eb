//! The watermark of many channels: the minimum over those that take part (SEMANTICS 11-16).
//!
//! ```text
//! channel:  aligned --idle--> idle --active--> unaligned --caught up--> aligned
//! ```
//!
//! Only aligned channels hold the watermark back. An idle channel does not; one that is active
//! again but lies behind what was already sent must first catch up. A channel at [`Timestamp::MAX`]
//! has ended.
//!
//! Departure from Flink: a channel that has ended is left out of the minimum instead of standing at
//! MAX, so an ended channel beside an idle one does not close all windows before the idle one has
//! spoken again.

use tailwater_core::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Aligned,
    Unaligned,
    Idle,
    Ended,
}

#[derive(Clone, Copy, Debug)]
struct Channel {
    watermark: Timestamp,
    status: Status,
}

/// What the merge lets through, in the order to send it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// The inputs together are active again.
    pub active: bool,
    /// The watermark has risen.
    pub watermark: Option<Timestamp>,
    /// The inputs together are idle.
    pub idle: bool,
}

/// Merges the watermarks and the idleness of channels.
#[derive(Clone, Debug)]
pub struct WatermarkMerge {
    channels: Vec<Channel>,
    sent: Timestamp,
    idle: bool,
}

impl WatermarkMerge {
    /// So many channels, all active, none heard of.
    pub fn new(channels: usize) -> Self {
        let channel = Channel { watermark: Timestamp::MIN, status: Status::Aligned };
        Self { channels: vec![channel; channels], sent: Timestamp::MIN, idle: false }
    }

    /// The watermark that was last let through.
    pub fn watermark(&self) -> Timestamp {
        self.sent
    }

    /// A watermark from a channel. Ignored where it is not above the channel's last, and while the
    /// channel is idle (SEMANTICS 11, 14).
    pub fn on_watermark(&mut self, index: usize, watermark: Timestamp) -> Merged {
        let sent = self.sent;
        let channel = &mut self.channels[index];
        if watermark == Timestamp::MAX {
            channel.status = Status::Ended;
            return self.after_leaving();
        }
        let ignored = matches!(channel.status, Status::Idle | Status::Ended);
        if ignored || watermark <= channel.watermark {
            return Merged::default();
        }
        channel.watermark = watermark;
        if channel.status == Status::Unaligned && watermark >= sent {
            channel.status = Status::Aligned;
        }
        Merged { watermark: self.rise_to_minimum(), ..Merged::default() }
    }

    /// A channel will be silent for a while.
    pub fn on_idle(&mut self, index: usize) -> Merged {
        let channel = &mut self.channels[index];
        if matches!(channel.status, Status::Idle | Status::Ended) {
            return Merged::default();
        }
        channel.status = Status::Idle;
        self.after_leaving()
    }

    /// A channel takes part again.
    pub fn on_active(&mut self, index: usize) -> Merged {
        let sent = self.sent;
        let channel = &mut self.channels[index];
        if channel.status != Status::Idle {
            return Merged::default();
        }
        channel.status =
            if channel.watermark >= sent { Status::Aligned } else { Status::Unaligned };
        let active = std::mem::replace(&mut self.idle, false);
        Merged { active, ..Merged::default() }
    }

    /// A channel went idle or ended: the others may let the watermark rise, or nobody is left.
    fn after_leaving(&mut self) -> Merged {
        if self.channels.iter().all(|channel| channel.status == Status::Ended) {
            return Merged { watermark: self.rise_to(Timestamp::MAX), ..Merged::default() };
        }
        let anybody =
            |channel: &Channel| matches!(channel.status, Status::Aligned | Status::Unaligned);
        if self.channels.iter().any(anybody) {
            return Merged { watermark: self.rise_to_minimum(), ..Merged::default() };
        }
        // SEMANTICS 15: all are idle, so the highest watermark seen is let through, whatever the
        // order in which they fell silent.
        let idle_ones = self.channels.iter().filter(|channel| channel.status == Status::Idle);
        let highest = idle_ones.map(|channel| channel.watermark).max();
        let watermark = highest.and_then(|highest| self.rise_to(highest));
        let idle = !std::mem::replace(&mut self.idle, true);
        Merged { watermark, idle, active: false }
    }

    fn rise_to_minimum(&mut self) -> Option<Timestamp> {
        let aligned = self.channels.iter().filter(|channel| channel.status == Status::Aligned);
        let minimum = aligned.map(|channel| channel.watermark).min()?;
        self.rise_to(minimum)
    }

    fn rise_to(&mut self, watermark: Timestamp) -> Option<Timestamp> {
        (watermark > self.sent).then(|| {
            self.sent = watermark;
            watermark
        })
    }
}

#[cfg(test)]
#[path = "watermark_merge_tests.rs"]
mod tests;
