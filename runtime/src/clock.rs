//! The machine's clock: the one place where a job's time comes from outside.
#![allow(clippy::disallowed_methods)] // This is the file that the ban points to.

use std::sync::{Once, OnceLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tailwater_core::{Clock, Timestamp};

/// The machine's clock; a reading of the monotonic side costs about 10 ns.
///
/// The cycle counter is what is read, once it is known how fast it runs: to learn that takes a
/// millisecond, and up to 200 where the thread is disturbed. No start waits for it: a thread of its
/// own does it, and until then the operating system is asked, which costs about 30 ns.
#[derive(Clone, Debug)]
pub struct SystemClock {
    /// Since the process's first clock.
    start_ns: u64,
}

/// The cycle counter, and a moment by which its readings are set.
struct Cycles {
    clock: quanta::Clock,
    raw: u64,
    /// Since the process's first clock.
    at_ns: u64,
}

static FIRST: OnceLock<Instant> = OnceLock::new();
static CYCLES: OnceLock<Cycles> = OnceLock::new();

impl SystemClock {
    /// A clock that asks the operating system until somebody lets it [warm up](Self::warm_up): a
    /// start has better use for its cores.
    pub(crate) fn cold() -> Self {
        Self { start_ns: now_ns() }
    }

    /// Lets a thread learn how fast the cycle counter runs, if none has yet.
    pub(crate) fn warm_up() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let thread = std::thread::Builder::new().name("tailwater-clock".to_owned());
            // Without the thread all readings come from the operating system.
            let _ = thread.spawn(|| {
                let clock = quanta::Clock::new();
                // In this order the counter is never behind what was read before.
                let raw = clock.raw();
                let at_ns = since_first();
                CYCLES.get_or_init(|| Cycles { clock, raw, at_ns })
            });
        });
    }
}

impl Default for SystemClock {
    /// A clock that warms up.
    fn default() -> Self {
        Self::warm_up();
        Self::cold()
    }
}

impl Clock for SystemClock {
    #[inline]
    fn monotonic_ns(&self) -> u64 {
        now_ns().saturating_sub(self.start_ns)
    }

    fn wall(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Timestamp(since.map_or(0, |since| since.as_nanos().min(i64::MAX as u128) as i64))
    }
}

/// Since the process's first clock.
#[inline]
fn now_ns() -> u64 {
    match CYCLES.get() {
        Some(Cycles { clock, raw, at_ns }) => at_ns + clock.delta_as_nanos(*raw, clock.raw()),
        None => since_first(),
    }
}

/// The same, from the operating system.
#[cold]
fn since_first() -> u64 {
    FIRST.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How far the two may be apart after a second or less.
    const SLACK_NS: u64 = 1_000_000;

    #[test]
    fn time_never_goes_back_while_the_source_of_readings_changes() {
        let clock = SystemClock::default();
        let mut last = clock.monotonic_ns();
        let mut after = 0;
        while after < 1_000_000 {
            let now = clock.monotonic_ns();
            assert!(now >= last, "{now} after {last}");
            last = now;
            after += u32::from(CYCLES.get().is_some());
        }
        let before = since_first();
        let cycles = now_ns();
        let after = since_first();
        let within = (before - SLACK_NS)..=(after + SLACK_NS);
        assert!(within.contains(&cycles), "{cycles} is not within {within:?}");
    }
}
