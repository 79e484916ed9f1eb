//! The machine's clock: the one place where a job's time comes from outside.

use tailwater_core::{Clock, Timestamp};

/// The machine's clock; a reading of the monotonic side costs about 10 ns.
#[derive(Clone, Debug)]
pub struct SystemClock {
    clock: quanta::Clock,
    start: u64,
}

impl Default for SystemClock {
    fn default() -> Self {
        let clock = quanta::Clock::new();
        let start = clock.raw();
        Self { clock, start }
    }
}

impl Clock for SystemClock {
    #[inline]
    fn monotonic_ns(&self) -> u64 {
        self.clock.delta_as_nanos(self.start, self.clock.raw())
    }

    #[allow(clippy::disallowed_methods)] // This is the file that the ban points to.
    fn wall(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Timestamp(since.map_or(0, |since| since.as_nanos().min(i64::MAX as u128) as i64))
    }
}
