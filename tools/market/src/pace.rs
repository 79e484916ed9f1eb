//! The gaps between events: nearly exponential, shorter in bursts, with the mean asked for.

use tailwater_core::{Random, Span};

use crate::options::Options;

/// Mean number of events in a burst.
const BURST_LEN: u64 = 512;
/// Mean number of events between bursts: a quarter of all events is in bursts.
const CALM_LEN: u64 = 3 * BURST_LEN;

/// Decides how much event time passes from one event to the next.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Mean gaps in 2^-16 ns: calm, in a burst.
    gaps: [u64; 2],
    bursting: bool,
    /// Events left until the burst or calm ends.
    left: u64,
}

impl Pace {
    /// The pace of one of `parts` parts, which share the rate in equal shares.
    pub(crate) fn new(options: &Options, parts: u32) -> Self {
        let mean = ((1_000_000_000 * u64::from(parts)) << 16) / options.rate;
        let times = u64::from(options.burstiness);
        // From mean = 3/4 calm + 1/4 burst and calm = times * burst.
        let burst = 4 * mean / (3 * times + 1);
        Self { gaps: [burst * times, burst], bursting: false, left: CALM_LEN }
    }

    /// The time until the next turn when this one had so many events, and whether a burst began.
    #[inline]
    pub(crate) fn gap(&mut self, events: u64, random: &mut Random) -> (Span, bool) {
        let mut began = false;
        if self.left < events {
            self.bursting = !self.bursting;
            began = self.bursting;
            let mean = if self.bursting { BURST_LEN } else { CALM_LEN };
            self.left = mean / 2 + random.below(mean);
        } else {
            self.left -= events;
        }
        let mean = self.gaps[usize::from(self.bursting)] * events;
        let gap = (u128::from(mean) * u128::from(exponential(random.next_u64()))) >> 32;
        (Span(gap as i64), began)
    }

    /// Whether events come fast just now.
    #[inline]
    pub(crate) fn is_bursting(&self) -> bool {
        self.bursting
    }
}

/// From 64 random bits a number of mean 1 in 2^-16, distributed nearly exponentially: the logarithm
/// is straight between powers of two, which lifts its mean from 1 / ln 2 to 3 / 2.
#[inline]
fn exponential(random: u64) -> u64 {
    let zeros = u64::from((random | 1).leading_zeros());
    let fraction = (random << zeros << 1) >> 48;
    (((zeros + 1) << 16) - fraction) * 2 / 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_rate_is_kept_with_and_without_bursts() {
        for burstiness in [1, 10, 1_000] {
            let options = Options { burstiness, rate: 1_000_000, ..Options::default() };
            let (mut pace, mut random) = (Pace::new(&options, 8), Random::from_seed(3));
            let nanos: i64 = (0..2_000_000).map(|_| pace.gap(1, &mut random).0.nanos()).sum();
            let expected = 2_000_000 * 8_000;
            assert!((nanos - expected).abs() < expected / 20, "{burstiness}: {nanos} ns");
        }
    }

    #[test]
    fn extremes_of_chance_are_finite() {
        assert_eq!(exponential(u64::MAX), 0);
        assert_eq!(exponential(0), (64 << 16) * 2 / 3);
    }
}
