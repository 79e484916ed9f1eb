//! How a core that has nothing to do sleeps without missing a record.
//!
//! The sleeper announces itself, looks once more, and only then sleeps; a writer publishes, then
//! looks for an announcement. Each side has a sequentially consistent fence between its store and
//! its load, so at least one of them sees the other (Dekker's argument): no wake-up is lost.

use std::time::Duration;

use crate::sync::{AtomicBool, Ordering, Thread, current_thread, fence, park_timeout};

/// The sleep of one core; shared with everybody who writes to the core's rings.
#[derive(Debug)]
pub struct Parker {
    asleep: AtomicBool,
    thread: Thread,
}

impl Parker {
    /// For the calling thread, which alone may [`sleep`](Parker::sleep).
    pub fn for_this_thread() -> Self {
        Self { asleep: AtomicBool::new(false), thread: current_thread() }
    }

    /// Sleeps until woken, but at most `longest`, unless `has_work` finds something after the
    /// announcement. May return early for no reason.
    pub fn sleep(&self, longest: Duration, has_work: impl FnOnce() -> bool) {
        self.asleep.store(true, Ordering::Relaxed);
        // Pairs with the fence in `wake`: either we see what the writer published before its fence,
        // or the writer sees `asleep`.
        fence(Ordering::SeqCst);
        if !has_work() {
            park_timeout(longest);
        }
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// Wakes the core if it sleeps. To be called after something was published for it.
    #[inline]
    pub fn wake(&self) {
        // Pairs with the fence in `sleep`.
        fence(Ordering::SeqCst);
        // A swap only where the sleeper was seen: one of several writers pays for the wake-up.
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed) {
            self.thread.unpark();
        }
    }
}
