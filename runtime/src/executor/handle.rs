//! The handle of a running job: look at it, stop it, wait for its report.

use std::sync::Arc;
use std::thread::JoinHandle;

use tailwater_core::{Counters, Error, Result};

use super::{CoreOutcome, Shared};
use crate::checkpoint::CheckpointReport;
use crate::config::Driver;
use crate::control::Control;
use crate::latency::{LatencySummary, Percentiles, histogram, judge};
use crate::metrics::LiveMetrics;
use crate::report::{CoreReport, Report, SourceReport};
use crate::splits::{EventTime, EventTimeWatch};

/// A running job. Dropping the handle aborts the job and waits for its threads;
/// [`join`](JobHandle::join) lets it finish.
#[must_use = "dropping the handle aborts the job: call `join`"]
pub struct JobHandle {
    shared: Shared,
    driver: Driver,
    /// There until it was waited for.
    thread: Option<JoinHandle<Vec<CoreOutcome>>>,
    warnings: Vec<String>,
    started_ns: u64,
}

/// Stops a job from another thread or a signal handler's.
#[derive(Clone, Debug)]
pub struct Stopper(Arc<Control>);

impl Stopper {
    /// Sources end, what is in flight is worked off, windows close, sinks are flushed.
    pub fn drain(&self) {
        self.0.drain();
    }

    /// Every core stops at its next round; the job ends with an error.
    pub fn abort(&self) {
        self.0.cancel();
    }
}

impl JobHandle {
    pub(super) fn new(
        shared: Shared,
        driver: Driver,
        thread: JoinHandle<Vec<CoreOutcome>>,
        warnings: Vec<String>,
    ) -> Self {
        let thread = Some(thread);
        let started_ns = shared.clock.monotonic_ns();
        Self { shared, driver, thread, warnings, started_ns }
    }

    /// How far the job is.
    pub fn metrics(&self) -> LiveMetrics {
        LiveMetrics::of(&self.shared.sources)
    }

    /// How far event time is in each split, and which of them holds the watermark.
    pub fn event_time(&self) -> EventTime {
        self.event_time_watch().look()
    }

    /// As [`event_time`](JobHandle::event_time), from other threads.
    pub fn event_time_watch(&self) -> EventTimeWatch {
        let (board, clock) = (self.shared.sources.clone(), self.shared.clock.clone());
        EventTimeWatch { board, clock }
    }

    /// The named counts of the job.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// What went otherwise than asked.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether the job has ended, and is not started again.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Stops the job from elsewhere.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.shared.control.clone())
    }

    /// Sources end, what is in flight is worked off; wait for it with [`join`](JobHandle::join).
    pub fn stop(&self) {
        self.shared.control.drain();
    }

    /// Takes a checkpoint as soon as none is in flight, whatever the interval.
    ///
    /// # Errors
    /// When the job takes no checkpoints.
    pub fn trigger_checkpoint(&self) -> Result<()> {
        if self.shared.local.checkpoints.is_none() {
            return Err(Error::configuration(
                "the job takes no checkpoints: say where they are to go",
            ));
        }
        self.shared.control.want_checkpoint();
        Ok(())
    }

    /// The newest checkpoint that is complete, and with it all before; zero for none. What the job
    /// was restored from counts.
    pub fn completed_checkpoint(&self) -> u64 {
        self.shared.control.completed()
    }

    /// What checkpoints, restores and restarts have come to so far.
    pub fn checkpoints(&self) -> CheckpointReport {
        self.shared.summary.report()
    }

    /// Waits for the job to end.
    ///
    /// # Errors
    /// The first error that a core met.
    pub fn join(mut self) -> Result<Report> {
        let outcomes = self.wait();
        match self.shared.control.take_failure() {
            Some(error) => Err(error.context(format!("job `{}` failed", self.shared.outline.name))),
            None => Ok(self.report(outcomes)),
        }
    }

    fn wait(&mut self) -> Vec<CoreOutcome> {
        let Some(thread) = self.thread.take() else { return Vec::new() };
        thread.join().unwrap_or_else(|payload| {
            self.shared.control.fail(super::panic_error("job", &*payload));
            Vec::new()
        })
    }

    fn report(&self, outcomes: Vec<CoreOutcome>) -> Report {
        let shared = &self.shared;
        let ended_ns = shared.clock.monotonic_ns();
        let started_ns = shared.ready_ns.get().copied().unwrap_or(self.started_ns);
        let mut floor_histogram = histogram();
        for outcome in &outcomes {
            // Both have the bounds of `histogram()`, so one can be added to the other.
            let _ = floor_histogram.add(outcome.floor.histogram());
        }
        let mut latency_histogram = histogram();
        let mut by_pair = std::collections::BTreeMap::new();
        for entry in shared.latency.entries() {
            let _ = latency_histogram.add(&entry.histogram);
            let pair = by_pair.entry((entry.source, entry.sink.clone())).or_insert_with(histogram);
            let _ = pair.add(&entry.histogram);
        }
        let source_names = &shared.outline.sources;
        let latency = by_pair.into_iter().map(|((source, sink), histogram)| LatencySummary {
            source: source_names
                .get(source as usize)
                .map_or_else(String::new, |name| name.to_string()),
            sink: sink.to_string(),
            percentiles: Percentiles::from(&histogram),
        });
        let mut sources: Vec<SourceReport> = Vec::new();
        for gauges in shared.sources.all() {
            let records = gauges.records.get();
            match sources.iter_mut().find(|source| source.name == *gauges.name) {
                Some(source) => source.records += records,
                None => sources.push(SourceReport { name: gauges.name.to_string(), records }),
            }
        }
        let counters = shared.counters.all();
        let outputs = counters
            .iter()
            .filter(|(name, _)| name.ends_with(".records_out"))
            .map(|(_, n)| n)
            .sum();
        let objectives = &shared.outline.objectives;
        Report {
            job: shared.outline.name.clone(),
            driver: match self.driver {
                Driver::Glommio => "glommio".to_owned(),
                Driver::Threads => "threads".to_owned(),
                Driver::Seeded(seed) => format!("seeded {seed}"),
            },
            mode: shared.local.mode,
            secs: ended_ns.saturating_sub(started_ns) as f64 / 1e9,
            records: sources.iter().map(|source| source.records).sum(),
            sources,
            event_time: self.event_time(),
            outputs,
            cores: (0..shared.placement.cores).map(|core| self.core_report(core)).collect(),
            latency: latency.collect(),
            floor: Percentiles::from(&floor_histogram),
            objectives: objectives
                .iter()
                .map(|objective| judge(*objective, &latency_histogram, &floor_histogram))
                .collect(),
            counters,
            checkpoints: shared.summary.report(),
            warnings: [self.warnings.clone(), shared.state.warnings.lines()].concat(),
            latency_histogram,
            floor_histogram,
        }
    }

    fn core_report(&self, core: u32) -> CoreReport {
        let gauges = &self.shared.cores[core as usize];
        let (busy, idle, blocked) =
            (gauges.busy_ns.get(), gauges.idle_ns.get(), gauges.blocked_ns.get());
        let share = |ns: u64| ns as f64 / (busy + idle + blocked).max(1) as f64;
        CoreReport {
            core,
            cpu: self.shared.placement.cpu(core),
            busy: share(busy),
            idle: share(idle),
            back_pressured: share(blocked),
            longest_round_ns: gauges.longest_round_ns.get().max(0) as u64,
        }
    }
}

impl Drop for JobHandle {
    fn drop(&mut self) {
        if self.thread.is_none() {
            return;
        }
        self.shared.control.abort();
        self.wait();
    }
}
