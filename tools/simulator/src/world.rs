//! All that outlives a process of a run: what was put out, what is on the disk, what went wrong.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use tailwater_core::Random;

use crate::ledger::Ledger;
use crate::trace::Trace;

/// The surroundings of the jobs of one run.
#[derive(Debug)]
pub struct World {
    /// What the sinks have put out.
    pub ledger: Ledger,
    /// What happened.
    pub trace: Trace,
    random: Mutex<Random>,
    /// The first promise that was broken.
    violation: Mutex<Option<String>>,
    is_violated: AtomicBool,
    /// Checkpoints that were damaged on purpose.
    rotten: Mutex<BTreeSet<u64>>,
    slow_sink: AtomicBool,
    slow_source: AtomicBool,
    /// Records until a user function panics; none does below zero.
    panic_in: AtomicI64,
    panicked: AtomicBool,
}

impl World {
    /// An empty world.
    pub fn new(random: Random, trace: Trace) -> Self {
        Self {
            ledger: Ledger::default(),
            trace,
            random: Mutex::new(random),
            violation: Mutex::default(),
            is_violated: AtomicBool::new(false),
            rotten: Mutex::default(),
            slow_sink: AtomicBool::new(false),
            slow_source: AtomicBool::new(false),
            panic_in: AtomicI64::new(-1),
            panicked: AtomicBool::new(false),
        }
    }

    /// Random numbers of their own for whoever asks; the order in which they ask is part of the
    /// run, and drawn from its seed as well.
    pub fn fork(&self) -> Random {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        Random::from_seed(random.next_u64())
    }

    /// A promise was broken; the first one is told.
    pub fn violate(&self, what: String) {
        self.violation.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(what);
        self.is_violated.store(true, Relaxed);
    }

    /// Whether a promise was broken.
    pub fn is_violated(&self) -> bool {
        self.is_violated.load(Relaxed)
    }

    /// The first promise that was broken.
    pub fn violation(&self) -> Option<String> {
        self.violation.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A checkpoint was damaged on purpose.
    pub fn rotten(&self, checkpoint: u64) {
        self.rotten.lock().unwrap_or_else(PoisonError::into_inner).insert(checkpoint);
    }

    /// Whether a checkpoint was damaged on purpose.
    pub fn is_rotten(&self, checkpoint: u64) -> bool {
        self.rotten.lock().unwrap_or_else(PoisonError::into_inner).contains(&checkpoint)
    }

    /// Sets how ready the ends of the job are.
    pub fn set_slow(&self, source: bool, sink: bool) {
        self.slow_source.store(source, Relaxed);
        self.slow_sink.store(sink, Relaxed);
    }

    /// Whether sinks have no room now and then.
    pub fn slow_sink(&self) -> bool {
        self.slow_sink.load(Relaxed)
    }

    /// Whether sources are silent now and then.
    pub fn slow_source(&self) -> bool {
        self.slow_source.load(Relaxed)
    }

    /// Lets a user function panic after so many records; `None` for never.
    pub fn set_panic(&self, after: Option<u64>) {
        self.panic_in.store(after.map_or(-1, |after| after as i64), Relaxed);
        self.panicked.store(false, Relaxed);
    }

    /// Whether the panic that was set has come.
    pub fn panicked(&self) -> bool {
        self.panicked.load(Relaxed)
    }

    /// What a user function does on each record: panics when it is due, once.
    pub fn maybe_panic(&self) {
        let left = self.panic_in.load(Relaxed);
        if left < 0 {
            return;
        }
        self.panic_in.store(left - 1, Relaxed);
        if left == 0 {
            self.panicked.store(true, Relaxed);
            self.trace.event("panic", &[]);
            panic!("a panic of the simulator's");
        }
    }
}
