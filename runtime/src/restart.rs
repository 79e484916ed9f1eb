//! Whether a job that failed is started again, and when: a pure state machine, time passed in.

use std::collections::VecDeque;
use std::str::FromStr;

use tailwater_core::{Error, ErrorKind, Random, Result, Span};

/// What happens after a failure of the job. A restart begins with the latest completed checkpoint.
///
/// Errors of configuration are never tried again: they would come again.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum Restart {
    /// [`Exponential`](Restart::Exponential) with its defaults where checkpoints are taken, else
    /// none: as Flink does.
    #[default]
    Automatic,
    /// The job ends with its first failure.
    None,
    /// So many restarts in all, each after the same delay.
    Fixed {
        /// How many.
        restarts: u32,
        /// From the failure to the restart.
        delay: Span,
    },
    /// Ends the job when it failed more than so many times within a span.
    Rate {
        /// How many failures are borne.
        failures: u32,
        /// Within which time.
        within: Span,
        /// From the failure to the restart.
        delay: Span,
    },
    /// For ever, each time after a longer delay, which starts from the beginning after the job has
    /// run for a while.
    Exponential(Backoff),
}

/// How delays grow; by default as Flink's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// The first delay: 1 s.
    pub initial: Span,
    /// The longest one: 1 min.
    pub longest: Span,
    /// What each is multiplied by: 1.5.
    pub factor: f64,
    /// The share of a delay by which it is at random longer or shorter: 0.1.
    pub jitter: f64,
    /// After running for so long without a failure the first delay is taken again: 1 h.
    pub reset_after: Span,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            initial: Span(1_000_000_000),
            longest: Span(60_000_000_000),
            factor: 1.5,
            jitter: 0.1,
            reset_after: Span(3_600_000_000_000),
        }
    }
}

impl Restart {
    /// What `Automatic` stands for.
    #[must_use]
    pub fn settled(self, checkpointing: bool) -> Self {
        match self {
            Self::Automatic if checkpointing => Self::Exponential(Backoff::default()),
            Self::Automatic => Self::None,
            other => other,
        }
    }
}

/// Decides after each failure of one job.
#[derive(Debug)]
pub struct Restarts {
    strategy: Restart,
    random: Random,
    taken: u32,
    failures_ns: VecDeque<u64>,
    next_delay: Span,
}

impl Restarts {
    /// By this strategy; `random` spreads the delays.
    pub fn new(strategy: Restart, random: Random) -> Self {
        let next_delay = match strategy {
            Restart::Exponential(backoff) => backoff.initial,
            _ => Span::ZERO,
        };
        Self { strategy, random, taken: 0, failures_ns: VecDeque::new(), next_delay }
    }

    /// The job failed at `now_ns`, after it had run since `started_ns`: the delay before it is
    /// started again, or `None` where it is not.
    pub fn after(&mut self, error: &Error, started_ns: u64, now_ns: u64) -> Option<Span> {
        if matches!(error.kind(), ErrorKind::Configuration | ErrorKind::Cancelled) {
            return None;
        }
        match self.strategy {
            Restart::Automatic | Restart::None => None,
            Restart::Fixed { restarts, delay } => {
                self.taken += 1;
                (self.taken <= restarts).then_some(delay)
            }
            Restart::Rate { failures, within, delay } => {
                let within_ns = within.0.max(0) as u64;
                self.failures_ns.push_back(now_ns);
                while self.failures_ns.front().is_some_and(|at| now_ns - at >= within_ns) {
                    self.failures_ns.pop_front();
                }
                (self.failures_ns.len() <= failures as usize).then_some(delay)
            }
            Restart::Exponential(backoff) => {
                if now_ns.saturating_sub(started_ns) >= backoff.reset_after.0.max(0) as u64 {
                    self.next_delay = backoff.initial;
                }
                let delay = self.next_delay.0.max(0) as f64;
                let longer = delay * backoff.factor;
                self.next_delay = Span(longer.min(backoff.longest.0 as f64) as i64);
                // From 0 to 2, in steps that no one will tell apart.
                let spread = self.random.below(2001) as f64 / 1000.0;
                Some(Span((delay * (1.0 + backoff.jitter * (spread - 1.0))) as i64))
            }
        }
    }
}

impl FromStr for Restart {
    type Err = Error;

    /// `none`, `fixed:3:1s` (restarts, delay), `rate:3:1min:1s` (failures, within, delay),
    /// `exponential` or `exponential:1s:1min` (first and longest delay).
    fn from_str(text: &str) -> Result<Self> {
        let refuse = || {
            Error::configuration(format!(
                "`{text}` is no restart strategy: write none, fixed:3:1s (restarts, delay), \
                 rate:3:1min:1s (failures, within, delay), exponential or exponential:1s:1min \
                 (first and longest delay)"
            ))
        };
        let span = |text: &str| text.parse::<Span>().ok().filter(|span| span.0 >= 0);
        let parts: Vec<&str> = text.split(':').collect();
        match parts[..] {
            ["none"] => Some(Self::None),
            ["fixed", restarts, delay] => restarts
                .parse()
                .ok()
                .zip(span(delay))
                .map(|(restarts, delay)| Self::Fixed { restarts, delay }),
            ["rate", failures, within, delay] => failures
                .parse()
                .ok()
                .zip(span(within))
                .zip(span(delay))
                .map(|((failures, within), delay)| Self::Rate { failures, within, delay }),
            ["exponential"] => Some(Self::Exponential(Backoff::default())),
            ["exponential", initial, longest] => {
                span(initial).zip(span(longest)).map(|(initial, longest)| {
                    Self::Exponential(Backoff { initial, longest, ..Backoff::default() })
                })
            }
            _ => None,
        }
        .ok_or_else(refuse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn restarts(text: &str) -> Restarts {
        Restarts::new(text.parse().unwrap(), Random::from_seed(1))
    }

    fn failed() -> Error {
        Error::internal("failed")
    }

    #[test]
    fn a_fixed_number() {
        let mut restarts = restarts("fixed:2:3s");
        assert_eq!(restarts.after(&failed(), 0, 1), Some(Span(3_000_000_000)));
        assert_eq!(restarts.after(&failed(), 0, 2), Some(Span(3_000_000_000)));
        assert_eq!(restarts.after(&failed(), 0, 3), None);
    }

    #[test]
    fn a_rate_forgets_what_is_long_past() {
        let mut restarts = restarts("rate:2:10s:1s");
        assert!(restarts.after(&failed(), 0, 0).is_some());
        assert!(restarts.after(&failed(), 0, 5 * SECOND).is_some());
        assert!(restarts.after(&failed(), 0, 10 * SECOND).is_some(), "the first is 10 s old");
        assert!(restarts.after(&failed(), 0, 11 * SECOND).is_none());
    }

    #[test]
    fn delays_grow_to_the_longest_and_start_again_after_a_quiet_hour() {
        let mut restarts = restarts("exponential");
        let mut delays = Vec::new();
        for _ in 0..15 {
            delays.push(restarts.after(&failed(), 0, SECOND).unwrap().0);
        }
        let near = |delay: i64, seconds: f64| {
            assert!((delay as f64 / 1e9 / seconds - 1.0).abs() <= 0.1001, "{delay} {seconds}");
        };
        near(delays[0], 1.0);
        near(delays[1], 1.5);
        near(delays[2], 2.25);
        near(delays[14], 60.0);
        assert!(delays.iter().any(|delay| delay % 1_000_000_000 != 0), "spread at random");
        near(restarts.after(&failed(), 0, 3600 * SECOND).unwrap().0, 1.0);
    }

    #[test]
    fn what_would_come_again_is_not_tried_again() {
        let mut restarts = restarts("exponential");
        assert_eq!(restarts.after(&Error::configuration("no such file"), 0, 1), None);
        assert_eq!(Restart::Automatic.settled(false), Restart::None);
        assert!(matches!(Restart::Automatic.settled(true), Restart::Exponential(_)));
    }

    #[test]
    fn texts_are_read_or_refused() {
        assert_eq!("none".parse::<Restart>().unwrap(), Restart::None);
        for bad in ["", "fixed", "fixed:x:1s", "fixed:1", "rate:1:1s", "fixed:1:-1s", "often"] {
            assert!(bad.parse::<Restart>().is_err(), "{bad}");
        }
    }
}
