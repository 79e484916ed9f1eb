//! What a run came to: records, latencies, the machine's floor, and how the cores spent their time.

use hdrhistogram::Histogram;
use serde::Serialize;
use tailwater_operators::RuntimeMode;

use crate::checkpoint::CheckpointReport;
use crate::latency::{LatencySummary, Percentiles, Verdict};
use crate::splits::EventTime;

/// What one core did.
#[derive(Clone, Debug, Serialize)]
pub struct CoreReport {
    /// The core's index in the job, from zero.
    pub core: u32,
    /// The machine's core that it was pinned to, if it was.
    pub cpu: Option<usize>,
    /// Share of the time in which something was done, from 0 to 1.
    pub busy: f64,
    /// Share of the time in which there was nothing to do.
    pub idle: f64,
    /// Share of the time in which the way down was full.
    pub back_pressured: f64,
    /// The longest round of the duty cycle, in nanoseconds.
    pub longest_round_ns: u64,
}

/// What one source read.
#[derive(Clone, Debug, Serialize)]
pub struct SourceReport {
    /// The source's name.
    pub name: String,
    /// Records read, on all cores.
    pub records: u64,
}

/// What a run came to.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The job's name.
    pub job: String,
    /// What drove it: `glommio`, `threads` or `seeded`.
    pub driver: String,
    /// Whether it ran as a stream or as a batch.
    pub mode: RuntimeMode,
    /// From the start of the first core to the end of the last, in seconds.
    pub secs: f64,
    /// Each source.
    pub sources: Vec<SourceReport>,
    /// Each split, as it was at the end.
    pub event_time: EventTime,
    /// Records that all sources read.
    pub records: u64,
    /// Records that all sinks took.
    pub outputs: u64,
    /// Each core.
    pub cores: Vec<CoreReport>,
    /// Each source to each sink.
    pub latency: Vec<LatencySummary>,
    /// The delays that the machine alone caused in this run.
    pub floor: Percentiles,
    /// Each objective of the job.
    pub objectives: Vec<Verdict>,
    /// What checkpoints, restores and restarts came to.
    pub checkpoints: CheckpointReport,
    /// All named counts. Records that were read again after a restart count again.
    pub counters: Vec<(String, u64)>,
    /// What went otherwise than asked: cores shared, a driver replaced.
    pub warnings: Vec<String>,
    /// All latencies together, in nanoseconds.
    #[serde(skip)]
    pub latency_histogram: Histogram<u64>,
    /// The machine's delays, in nanoseconds.
    #[serde(skip)]
    pub floor_histogram: Histogram<u64>,
}

impl Report {
    /// A named count, summed over the cores; zero where nobody counted.
    pub fn counter(&self, name: &str) -> u64 {
        let found = self.counters.iter().find(|(counter, _)| counter == name);
        found.map_or(0, |(_, count)| *count)
    }

    /// Records that were dropped because they came too late.
    pub fn late(&self) -> u64 {
        self.counter("late_records_dropped")
    }

    /// Records a second that the sources read.
    pub fn records_per_s(&self) -> f64 {
        if self.secs > 0.0 { self.records as f64 / self.secs } else { 0.0 }
    }
}
