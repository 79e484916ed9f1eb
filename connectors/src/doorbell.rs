//! How a connector's thread sleeps while its ring has nothing for it, and how it is woken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use tailwater_core::{Error, Result};

/// The longest sleep. A ring at the right moment ends it earlier; the bound only limits how late a
/// thread can see what nobody rings for: a part of a file that is due to be closed.
const SLEEP_MAX: Duration = Duration::from_millis(20);

#[derive(Default)]
struct Shared {
    asleep: AtomicBool,
    stop: AtomicBool,
}

/// The sleeping side, held by the connector's thread.
pub(crate) struct Sleeper(Arc<Shared>);

impl Sleeper {
    /// Sleeps, unless `ready` says that there is work after all; returns at the latest after
    /// [`SLEEP_MAX`].
    pub(crate) fn sleep_unless(&self, ready: impl FnOnce() -> bool) {
        self.0.asleep.store(true, Ordering::Relaxed);
        // Pairs with the fence in `Worker::ring`: either we see what was put into the ring before
        // it, or the other side sees that we sleep.
        fence(Ordering::SeqCst);
        if !ready() && !self.stopped() {
            std::thread::park_timeout(SLEEP_MAX);
        }
        self.0.asleep.store(false, Ordering::Relaxed);
    }

    /// Whether the core has gone and the thread should end.
    pub(crate) fn stopped(&self) -> bool {
        self.0.stop.load(Ordering::Relaxed)
    }
}

/// A connector's thread as its core sees it; stopped and joined when dropped.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    thread: Thread,
    handle: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts a named thread.
    pub(crate) fn start(name: &str, body: impl FnOnce(Sleeper) + Send + 'static) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let sleeper = Sleeper(Arc::clone(&shared));
        let handle = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || body(sleeper))
            .map_err(|cause| Error::io(format!("cannot start the thread `{name}`"), cause))?;
        Ok(Self { shared, thread: handle.thread().clone(), handle: Some(handle) })
    }

    /// Wakes the thread if it sleeps; a fence and a load if it does not.
    pub(crate) fn ring(&self) {
        // Pairs with the fence in `Sleeper::sleep_unless`.
        fence(Ordering::SeqCst);
        if self.shared.asleep.load(Ordering::Relaxed) {
            self.thread.unpark();
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.unpark();
        if let Some(handle) = self.handle.take() {
            // A panic of the thread was reported through its ring.
            let _ = handle.join();
        }
    }
}
