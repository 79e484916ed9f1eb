//! Barrier alignment: a channel that delivered its barrier waits until all have (SEMANTICS 73, 74).

use tailwater_core::{Barrier, Fault, fault};

use crate::checkpoint::config::Guarantee;

/// Which channels have delivered the barrier that is being aligned.
#[derive(Clone, Debug)]
pub struct Alignment {
    current: Option<Barrier>,
    delivered: Vec<bool>,
    ended: Vec<bool>,
    /// Whether channels wait for each other.
    is_blocking: bool,
    /// When the first channel delivered the barrier that is being aligned.
    began_ns: u64,
    /// How long the last one took.
    pub took_ns: u64,
}

impl Alignment {
    /// So many channels, none waiting.
    pub fn new(channels: usize, guarantee: Guarantee) -> Self {
        Self {
            current: None,
            delivered: vec![false; channels],
            ended: vec![false; channels],
            is_blocking: guarantee == Guarantee::ExactlyOnce,
            began_ns: 0,
            took_ns: 0,
        }
    }

    /// Whether a channel must not be drained now.
    #[inline]
    pub fn is_blocked(&self, channel: usize) -> bool {
        let slips_through = channel == 0 && fault(Fault::AlignAllButOne);
        self.is_blocking && self.delivered[channel] && !slips_through
    }

    /// A barrier from a channel; the barrier when this was the last one missing.
    ///
    /// One with a higher number than the one being aligned replaces it, and releases the channels
    /// that wait; one with a lower number comes from a checkpoint that was given up, and is
    /// ignored.
    pub fn on_barrier(&mut self, channel: usize, barrier: Barrier, now_ns: u64) -> Option<Barrier> {
        match self.current {
            Some(current) if barrier < current => return None,
            Some(current) if barrier == current => {}
            _ => {
                self.delivered.fill(false);
                self.current = Some(barrier);
                self.began_ns = now_ns;
            }
        }
        self.delivered[channel] = true;
        self.complete(now_ns)
    }

    /// A channel has ended, which counts as having delivered every later barrier.
    pub fn on_end(&mut self, channel: usize, now_ns: u64) -> Option<Barrier> {
        self.ended[channel] = true;
        self.delivered[channel] = false;
        self.complete(now_ns)
    }

    fn complete(&mut self, now_ns: u64) -> Option<Barrier> {
        let barrier = self.current?;
        let all =
            self.delivered.iter().zip(&self.ended).all(|(delivered, ended)| *delivered || *ended);
        all.then(|| {
            self.delivered.fill(false);
            self.current = None;
            self.took_ns = now_ns.saturating_sub(self.began_ns);
            barrier
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn barrier(checkpoint: u64) -> Barrier {
        Barrier { checkpoint }
    }

    // SEMANTICS 73
    #[test]
    fn all_channels_must_deliver() {
        let mut alignment = Alignment::new(3, Guarantee::ExactlyOnce);
        assert_eq!(alignment.on_barrier(1, barrier(1), 0), None);
        assert!(alignment.is_blocked(1) && !alignment.is_blocked(0));
        assert_eq!(alignment.on_barrier(0, barrier(1), 0), None);
        assert_eq!(alignment.on_barrier(2, barrier(1), 0), Some(barrier(1)));
        assert!((0..3).all(|channel| !alignment.is_blocked(channel)));
    }

    // SEMANTICS 74
    #[test]
    fn a_later_barrier_replaces_and_an_ended_channel_counts() {
        let mut alignment = Alignment::new(2, Guarantee::ExactlyOnce);
        assert_eq!(alignment.on_barrier(0, barrier(1), 0), None);
        assert_eq!(alignment.on_barrier(1, barrier(2), 0), None);
        assert!(!alignment.is_blocked(0) && alignment.is_blocked(1));
        assert_eq!(alignment.on_barrier(0, barrier(1), 0), None, "given up");
        assert!(!alignment.is_blocked(0));
        assert_eq!(alignment.on_end(0, 0), Some(barrier(2)));
        assert_eq!(alignment.on_barrier(1, barrier(3), 0), Some(barrier(3)));
    }

    #[test]
    fn at_least_once_nobody_waits() {
        let mut alignment = Alignment::new(2, Guarantee::AtLeastOnce);
        assert_eq!(alignment.on_barrier(0, barrier(1), 5), None);
        assert!(!alignment.is_blocked(0));
        assert_eq!(alignment.on_barrier(1, barrier(1), 12), Some(barrier(1)));
        assert_eq!(alignment.took_ns, 7);
    }
}
