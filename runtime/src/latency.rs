//! Latency as the job saw it: markers from every source to every sink, and the machine's own
//! pauses.

use std::sync::{Arc, Mutex, PoisonError};

use hdrhistogram::Histogram;
use tailwater_core::{Clock, Marker, Span};

use crate::config::Objective;

/// The longest latency that is told apart, in nanoseconds; longer ones count as this one.
const LATENCY_NS_MAX: u64 = 600_000_000_000;

/// An empty histogram of nanoseconds with three significant digits.
pub fn histogram() -> Histogram<u64> {
    let histogram = Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3);
    histogram.expect("the bounds are constants that the library accepts")
}

/// The percentiles that reports show, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Percentiles {
    /// How many values.
    pub samples: u64,
    /// The median.
    pub p50_ns: u64,
    /// The 99th percentile.
    pub p99_ns: u64,
    /// The 99.9th percentile.
    pub p999_ns: u64,
    /// The 99.99th percentile.
    pub p9999_ns: u64,
    /// The greatest value.
    pub max_ns: u64,
}

impl From<&Histogram<u64>> for Percentiles {
    fn from(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        Self {
            samples: histogram.len(),
            p50_ns: at(0.5),
            p99_ns: at(0.99),
            p999_ns: at(0.999),
            p9999_ns: at(0.9999),
            max_ns: histogram.max(),
        }
    }
}

/// The latency from one source on one core to one sink.
#[derive(Clone, Debug)]
pub struct LatencyEntry {
    /// The number of the source in the job.
    pub source: u16,
    /// The core that the markers started on.
    pub from_core: u16,
    /// The sink's name.
    pub sink: Arc<str>,
    /// The core that the sink wrote on.
    pub to_core: u32,
    /// From the moment a marker was due to its arrival, in nanoseconds.
    pub histogram: Histogram<u64>,
}

/// Where sinks leave their histograms when they end.
#[derive(Clone, Debug, Default)]
pub struct LatencyLog(Arc<Mutex<Vec<LatencyEntry>>>);

impl LatencyLog {
    /// All that was left here.
    pub fn entries(&self) -> Vec<LatencyEntry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Reads the markers that reach one sink on one core; leaves its histograms in the log when it is
/// dropped.
#[derive(Debug)]
pub struct LatencyRecorder {
    sink: Arc<str>,
    core: u32,
    /// One a source and core seen so far: a handful, searched in order.
    entries: Vec<LatencyEntry>,
    log: LatencyLog,
}

impl LatencyRecorder {
    /// For one sink on one core.
    pub fn new(sink: Arc<str>, core: u32, log: LatencyLog) -> Self {
        Self { sink, core, entries: Vec::new(), log }
    }

    /// A marker arrived.
    pub fn record(&mut self, marker: Marker, now_ns: u64) {
        let known = self
            .entries
            .iter()
            .position(|entry| (entry.source, entry.from_core) == (marker.source, marker.core));
        let index = known.unwrap_or_else(|| {
            self.entries.push(LatencyEntry {
                source: marker.source,
                from_core: marker.core,
                sink: self.sink.clone(),
                to_core: self.core,
                histogram: histogram(),
            });
            self.entries.len() - 1
        });
        self.entries[index].histogram.saturating_record(now_ns.saturating_sub(marker.sent_ns));
    }
}

impl Drop for LatencyRecorder {
    fn drop(&mut self) {
        let mut log = self.log.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.append(&mut self.entries);
    }
}

/// A line of the latency report: one source to one sink, over all cores.
#[derive(Clone, Debug, serde::Serialize)]
pub struct LatencySummary {
    /// The source's name.
    pub source: String,
    /// The sink's name.
    pub sink: String,
    /// Its percentiles.
    #[serde(flatten)]
    pub percentiles: Percentiles,
}

/// Whether an objective was met.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Verdict {
    /// The percentile, between 0 and 100.
    pub percentile: f64,
    /// What was promised.
    pub limit_ns: u64,
    /// What was measured.
    pub measured_ns: u64,
    /// Whether the promise was kept. Without any measurement it was not.
    pub met: bool,
    /// The same percentile of the machine's own pauses, from the same run.
    pub floor_ns: u64,
    /// How much of what is over the limit the machine alone would have caused.
    pub machine_ns: u64,
}

/// Judges an objective by a run's latencies and the machine's pauses during it.
pub fn judge(objective: Objective, latency: &Histogram<u64>, floor: &Histogram<u64>) -> Verdict {
    let measured_ns = latency.value_at_percentile(objective.percentile);
    let floor_ns = floor.value_at_percentile(objective.percentile);
    let limit_ns = objective.limit.0.max(0) as u64;
    let over = measured_ns.saturating_sub(limit_ns);
    Verdict {
        percentile: objective.percentile,
        limit_ns,
        measured_ns,
        met: !latency.is_empty() && over == 0,
        floor_ns,
        machine_ns: over.min(floor_ns),
    }
}

/// The machine's own pauses, seen by a thread that does nothing but read the clock.
///
/// A pause of length `g` delays whatever arrives during it by up to `g`: it is entered as the
/// delays of arrivals a microsecond apart (the correction for coordinated omission), so that the
/// percentiles are those of an event at a random moment.
#[derive(Clone, Debug)]
pub struct Floor {
    histogram: Histogram<u64>,
    last_ns: Option<u64>,
}

/// The spacing of the arrivals that a pause is entered as.
const ARRIVAL_NS: u64 = 1_000;

impl Default for Floor {
    fn default() -> Self {
        Self { histogram: histogram(), last_ns: None }
    }
}

impl Floor {
    /// Spins on the clock for `span`.
    pub fn measure(&mut self, clock: &dyn Clock, span: Span) {
        let end = clock.monotonic_ns() + span.0.max(0) as u64;
        self.last_ns = None;
        loop {
            let now = clock.monotonic_ns();
            self.tick(now);
            if now >= end {
                break;
            }
        }
        self.last_ns = None;
    }

    /// The thread saw the clock, having done nothing since the last tick.
    #[inline]
    pub fn tick(&mut self, now_ns: u64) {
        if let Some(last) = self.last_ns {
            let gap = now_ns.saturating_sub(last);
            // Gaps shorter than the spacing delay at most one arrival: a histogram entry for each
            // reading of the clock would itself be what is measured.
            if gap >= ARRIVAL_NS {
                let _ = self.histogram.record_correct(gap.min(LATENCY_NS_MAX), ARRIVAL_NS);
                self.last_ns = Some(now_ns);
            } else if now_ns / ARRIVAL_NS != last / ARRIVAL_NS {
                self.histogram.saturating_record(gap.max(1));
                self.last_ns = Some(now_ns);
            } else {
                self.last_ns = Some(now_ns);
            }
        } else {
            self.last_ns = Some(now_ns);
        }
    }

    /// The thread did something: the next tick starts anew.
    #[inline]
    pub fn interrupt(&mut self) {
        self.last_ns = None;
    }

    /// The delays that the machine alone would have caused, in nanoseconds.
    pub fn histogram(&self) -> &Histogram<u64> {
        &self.histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_delays_all_that_arrives_during_it() {
        let mut floor = Floor::default();
        for ns in (0..1_000_000).step_by(100) {
            floor.tick(ns);
        }
        // A pause of 1 ms among 1 ms of quiet: half of the arrivals were delayed, evenly from 0 to
        // 1 ms.
        floor.tick(2_000_000);
        let percentiles = Percentiles::from(floor.histogram());
        assert!((1_990..=2_010).contains(&percentiles.samples), "{percentiles:?}");
        let p75 = floor.histogram().value_at_quantile(0.75);
        assert!((450_000..550_000).contains(&p75), "{p75}");
        assert!(percentiles.p50_ns <= 2_000);
    }

    #[test]
    fn an_objective_is_judged_with_the_machines_share() {
        let (mut latency, mut floor) = (histogram(), histogram());
        for _ in 0..100 {
            latency.saturating_record(80_000);
            floor.saturating_record(20_000);
        }
        let objective = Objective { percentile: 99.0, limit: Span(50_000) };
        let verdict = judge(objective, &latency, &floor);
        assert!(!verdict.met && (20_000..20_100).contains(&verdict.machine_ns), "{verdict:?}");
        let easy = Objective { percentile: 50.0, limit: Span(90_000) };
        assert!(judge(easy, &latency, &floor).met);
        assert!(!judge(easy, &histogram(), &floor).met, "nothing measured is nothing promised");
    }
}
