//! Where processing time comes from: a value that the driver passes in, so that a test can set it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use crate::Timestamp;

/// A source of processing time. The machine's own clock is `tailwater_runtime::SystemClock`.
pub trait Clock: Send + Sync + 'static {
    /// Nanoseconds since an arbitrary start; never goes back. For latencies and pacing.
    fn monotonic_ns(&self) -> u64;

    /// Wall-clock time, nanoseconds since 1970-01-01 UTC; may be set back. For processing-time
    /// windows.
    fn wall(&self) -> Timestamp;
}

/// A clock that stands still until it is moved; clones share the same hands.
#[derive(Clone, Debug, Default)]
pub struct ManualClock(Arc<Hands>);

#[derive(Debug, Default)]
struct Hands {
    monotonic_ns: AtomicU64,
    wall_back_ns: AtomicI64,
}

impl ManualClock {
    /// A clock that shows `ns` nanoseconds after 1970-01-01 UTC.
    pub fn at(ns: u64) -> Self {
        Self(Arc::new(Hands { monotonic_ns: AtomicU64::new(ns), wall_back_ns: AtomicI64::new(0) }))
    }

    /// Moves the hands on by `ns`.
    pub fn advance_ns(&self, ns: u64) {
        self.0.monotonic_ns.fetch_add(ns, Relaxed);
    }

    /// Sets the wall clock back by `ns` against the hands; zero sets it right.
    pub fn set_wall_back_ns(&self, ns: i64) {
        self.0.wall_back_ns.store(ns, Relaxed);
    }
}

impl Clock for ManualClock {
    fn monotonic_ns(&self) -> u64 {
        self.0.monotonic_ns.load(Relaxed)
    }

    fn wall(&self) -> Timestamp {
        let shown = self.monotonic_ns().min(i64::MAX as u64) as i64;
        Timestamp(shown.saturating_sub(self.0.wall_back_ns.load(Relaxed)))
    }
}
