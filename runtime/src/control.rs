//! What all cores of a running job share: whether to go on, the next barrier, and the first
//! failure.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tailwater_core::Error;
use tailwater_network::Parker;

/// Whether a job goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// Records flow.
    Running = 0,
    /// Sources have been told to end; what is in flight is worked off.
    Draining = 1,
    /// Every core stops at its next round.
    Aborted = 2,
}

/// The switches of a running job.
#[derive(Debug)]
pub struct Control {
    mode: AtomicU8,
    barrier: AtomicU64,
    failure: Mutex<Option<Error>>,
    parkers: Box<[OnceLock<Arc<Parker>>]>,
}

impl Control {
    /// The switches for so many cores.
    pub fn new(cores: u32) -> Self {
        Self {
            mode: AtomicU8::new(Mode::Running as u8),
            barrier: AtomicU64::new(0),
            failure: Mutex::new(None),
            parkers: (0..cores).map(|_| OnceLock::new()).collect(),
        }
    }

    /// Whether the job goes on. Relaxed: the switch carries no data, a round's delay does no harm.
    #[inline]
    pub fn mode(&self) -> Mode {
        match self.mode.load(Ordering::Relaxed) {
            0 => Mode::Running,
            1 => Mode::Draining,
            _ => Mode::Aborted,
        }
    }

    /// Tells the sources to end; the job drains.
    pub fn drain(&self) {
        let (running, draining) = (Mode::Running as u8, Mode::Draining as u8);
        let order = Ordering::Relaxed;
        // Fails where the job drains or is aborted already, and that stands.
        let _ = self.mode.compare_exchange(running, draining, order, order);
        self.wake_all();
    }

    /// Stops every core at its next round.
    pub fn abort(&self) {
        self.mode.store(Mode::Aborted as u8, Ordering::Relaxed);
        self.wake_all();
    }

    /// Stops the job with an error; the first one is kept.
    pub fn fail(&self, error: Error) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.abort();
    }

    /// The error that stopped the job, if one did.
    pub fn take_failure(&self) -> Option<Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The number of the last barrier asked for; zero before the first.
    #[inline]
    pub fn barrier(&self) -> u64 {
        self.barrier.load(Ordering::Relaxed)
    }

    /// Asks every source for a barrier; returns the checkpoint's number.
    pub fn request_barrier(&self) -> u64 {
        let checkpoint = self.barrier.fetch_add(1, Ordering::Relaxed) + 1;
        self.wake_all();
        checkpoint
    }

    /// Makes known how a core is woken. Once a core, by its own thread.
    pub fn register_parker(&self, core: u32, parker: Arc<Parker>) {
        let fresh = self.parkers[core as usize].set(parker).is_ok();
        assert!(fresh, "core {core} registered twice");
    }

    /// How a core is woken, once it runs.
    pub fn parker(&self, core: u32) -> Option<&Arc<Parker>> {
        self.parkers[core as usize].get()
    }

    fn wake_all(&self) {
        for parker in self.parkers.iter().filter_map(OnceLock::get) {
            parker.wake();
        }
    }
}
