//! What the checkpoints of a run came to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hdrhistogram::Histogram;
use serde::Serialize;
use tailwater_state::checkpoint::Completed;

use super::port::TaskStats;
use crate::latency::histogram;

/// What the checkpoints of a run came to, over all its attempts.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CheckpointReport {
    /// How many were completed.
    pub completed: u64,
    /// How many were given up.
    pub failed: u64,
    /// Why the last one was given up.
    pub last_failure: Option<String>,
    /// The number of the newest that is complete; zero for none.
    pub newest: u64,
    /// Bytes written, all together.
    pub bytes: u64,
    /// Bytes of the newest that is complete.
    pub newest_bytes: u64,
    /// Bytes that a restore of it would read.
    pub restore_bytes: u64,
    /// What went wrong with the newest without doing harm: files that could not be deleted.
    pub last_warning: Option<String>,
    /// From a checkpoint's beginning until it was durable: the median.
    pub duration_p50_ns: u64,
    /// The longest.
    pub duration_max_ns: u64,
    /// From the first barrier to the last at the inputs of one task: the longest.
    pub alignment_max_ns: u64,
    /// For how long a task did nothing else at a barrier: the median.
    pub pause_p50_ns: u64,
    /// The longest.
    pub pause_max_ns: u64,
    /// From the barrier until a task had handed over what changed: the longest.
    pub drain_max_ns: u64,
    /// How often a barrier had to wait because the task still handed over for the one before.
    pub forced_drains: u64,
    /// How often the job was started again after a failure.
    pub restarts: u64,
    /// Why it was, the last time.
    pub last_restart: Option<String>,
    /// The checkpoint that the last attempt began with; zero for none.
    pub restored_from: u64,
    /// From opening that checkpoint until all tasks had their state.
    pub restore_ns: u64,
    /// The memory that state takes at the end, in bytes.
    pub state_bytes: u64,
}

#[derive(Debug)]
struct Counts {
    report: CheckpointReport,
    durations: Histogram<u64>,
    pauses: Histogram<u64>,
}

/// Where service and supervisor note what happens; read by the job's handle.
#[derive(Clone, Debug)]
pub(crate) struct Summary(Arc<Mutex<Counts>>);

impl Default for Summary {
    fn default() -> Self {
        let report = CheckpointReport::default();
        Self(Arc::new(Mutex::new(Counts { report, durations: histogram(), pauses: histogram() })))
    }
}

impl Summary {
    /// A task has done its part.
    pub fn on_task(&self, stats: TaskStats) {
        let counts = &mut *self.lock();
        counts.pauses.saturating_record(stats.pause_ns.max(1));
        let report = &mut counts.report;
        report.alignment_max_ns = report.alignment_max_ns.max(stats.alignment_ns);
        report.drain_max_ns = report.drain_max_ns.max(stats.drain_ns);
        report.forced_drains += u64::from(stats.forced);
    }

    /// The files of a checkpoint are durable.
    pub fn on_stored(&self, completed: &Completed) {
        let report = &mut self.lock().report;
        report.newest_bytes = completed.bytes;
        report.bytes += completed.bytes;
        report.restore_bytes = completed.restore_bytes;
        report.last_warning = completed.warnings.last().map(ToString::to_string);
    }

    /// A checkpoint is complete.
    pub fn on_completed(&self, checkpoint: u64, duration_ns: u64) {
        let counts = &mut *self.lock();
        counts.durations.saturating_record(duration_ns.max(1));
        counts.report.completed += 1;
        counts.report.newest = checkpoint;
    }

    /// A checkpoint was given up.
    pub fn on_failed(&self, why: String) {
        let report = &mut self.lock().report;
        report.failed += 1;
        report.last_failure = Some(why);
    }

    /// Changes what the supervisor knows.
    pub fn note(&self, change: impl FnOnce(&mut CheckpointReport)) {
        change(&mut self.lock().report);
    }

    /// All of it.
    pub fn report(&self) -> CheckpointReport {
        let counts = &*self.lock();
        let mut report = counts.report.clone();
        report.duration_p50_ns = counts.durations.value_at_quantile(0.5);
        report.duration_max_ns = counts.durations.max();
        report.pause_p50_ns = counts.pauses.value_at_quantile(0.5);
        report.pause_max_ns = counts.pauses.max();
        report
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
