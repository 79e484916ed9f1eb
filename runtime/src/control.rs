//! What all cores of a running job share: whether to go on, the checkpoint that is wanted, the one
//! that is complete, and the first failure.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tailwater_core::{Error, ErrorKind};
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

/// What was decided about the job, over all its attempts.
#[derive(Debug, Default)]
struct Decided {
    drain: bool,
    cancelled: bool,
    failure: Option<Error>,
}

/// The switches of a running job. They outlive the attempts of a job that is restarted.
#[derive(Debug)]
pub struct Control {
    mode: AtomicU8,
    barrier: AtomicU64,
    full_from: AtomicU64,
    completed: AtomicU64,
    over: AtomicBool,
    wanted: AtomicU64,
    decided: Mutex<Decided>,
    /// Wakes who waits for the delay before a restart.
    changed: Condvar,
    parkers: Box<[Mutex<Option<Arc<Parker>>>]>,
}

impl Control {
    /// The switches for so many cores.
    pub fn new(cores: u32) -> Self {
        Self {
            mode: AtomicU8::new(Mode::Running as u8),
            barrier: AtomicU64::new(0),
            full_from: AtomicU64::new(0),
            completed: AtomicU64::new(0),
            over: AtomicBool::new(false),
            wanted: AtomicU64::new(0),
            decided: Mutex::default(),
            changed: Condvar::new(),
            parkers: (0..cores).map(|_| Mutex::default()).collect(),
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
        let mut decided = self.decided();
        decided.drain = true;
        if self.mode() == Mode::Running {
            self.mode.store(Mode::Draining as u8, Ordering::Relaxed);
        }
        drop(decided);
        self.wake_all();
    }

    /// Stops every core at its next round, for good.
    pub fn abort(&self) {
        let mut decided = self.decided();
        decided.cancelled = true;
        self.mode.store(Mode::Aborted as u8, Ordering::Relaxed);
        drop(decided);
        self.changed.notify_all();
        self.wake_all();
    }

    /// As [`abort`](Control::abort), and the job ends with an error that says so.
    pub fn cancel(&self) {
        let error = Error::new(ErrorKind::Cancelled, "the job was aborted");
        self.decided().failure.get_or_insert(error);
        self.abort();
    }

    /// Stops the attempt with an error; the first one is kept.
    pub fn fail(&self, error: Error) {
        let mut decided = self.decided();
        decided.failure.get_or_insert(error);
        self.mode.store(Mode::Aborted as u8, Ordering::Relaxed);
        drop(decided);
        self.wake_all();
    }

    /// The error that stopped the job, if one did.
    pub fn take_failure(&self) -> Option<Error> {
        self.decided().failure.take()
    }

    /// Sets the switches for the next attempt, whose checkpoints are numbered after `barrier`, and
    /// which goes on from `restored` (zero for none). `false` where the job was aborted meanwhile.
    pub fn begin_attempt(&self, barrier: u64, restored: u64) -> bool {
        let decided = self.decided();
        if decided.cancelled {
            return false;
        }
        let mode = if decided.drain { Mode::Draining } else { Mode::Running };
        self.mode.store(mode as u8, Ordering::Relaxed);
        self.barrier.store(barrier, Ordering::Relaxed);
        self.full_from.store(0, Ordering::Relaxed);
        self.completed.store(restored, Ordering::Relaxed);
        self.over.store(false, Ordering::Relaxed);
        for parker in &self.parkers {
            *parker.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        true
    }

    /// Waits for so long, or until the job is aborted.
    pub fn wait(&self, span: Duration) {
        let decided = self.decided();
        let _unused = self
            .changed
            .wait_timeout_while(decided, span, |decided| !decided.cancelled)
            .unwrap_or_else(PoisonError::into_inner);
    }

    /// The number of the last barrier asked for; zero before the first. Acquire: meets the release
    /// in [`begin_checkpoint`](Control::begin_checkpoint), so that whoever sees the barrier, here
    /// or through a ring, sees how much the checkpoint is to hold.
    #[inline]
    pub fn barrier(&self) -> u64 {
        self.barrier.load(Ordering::Acquire)
    }

    /// The newest checkpoint that holds every entry, and on which the later ones build. Relaxed:
    /// see [`barrier`](Control::barrier).
    pub fn full_from(&self) -> u64 {
        self.full_from.load(Ordering::Relaxed)
    }

    /// Asks every source for the barrier of a checkpoint.
    pub fn begin_checkpoint(&self, checkpoint: u64, is_full: bool) {
        if is_full {
            self.full_from.store(checkpoint, Ordering::Relaxed);
        }
        self.barrier.store(checkpoint, Ordering::Release);
        self.wake_all();
    }

    /// The newest checkpoint that is complete, and with it all before; zero for none.
    #[inline]
    pub fn completed(&self) -> u64 {
        self.completed.load(Ordering::Acquire)
    }

    /// Whether the last checkpoint of the job is complete. Meets the release in
    /// [`complete`](Control::complete), as [`completed`](Control::completed) does.
    #[inline]
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// A checkpoint is durable; the `last` one ends the job.
    pub fn complete(&self, checkpoint: u64, last: bool) {
        self.completed.store(checkpoint, Ordering::Release);
        self.over.store(last, Ordering::Release);
        self.wake_all();
    }

    /// Wants a checkpoint as soon as none is in flight.
    pub fn want_checkpoint(&self) {
        self.wanted.fetch_add(1, Ordering::Relaxed);
    }

    /// How often a checkpoint was wanted so far.
    pub fn wanted(&self) -> u64 {
        self.wanted.load(Ordering::Relaxed)
    }

    /// Makes known how a core is woken. Once a core and attempt, by its own thread.
    pub fn register_parker(&self, core: u32, parker: Arc<Parker>) {
        let place = &mut *self.place(core);
        assert!(place.is_none(), "core {core} registered twice");
        *place = Some(parker);
    }

    /// How a core is woken, once it runs.
    pub fn parker(&self, core: u32) -> Option<Arc<Parker>> {
        self.place(core).clone()
    }

    fn place(&self, core: u32) -> MutexGuard<'_, Option<Arc<Parker>>> {
        self.parkers[core as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn decided(&self) -> MutexGuard<'_, Decided> {
        self.decided.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_all(&self) {
        for core in 0..self.parkers.len() {
            if let Some(parker) = &*self.place(core as u32) {
                parker.wake();
            }
        }
    }
}
