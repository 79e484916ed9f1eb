//! What a running job shows: how far its sources are, and what its cores spend their time on.

use std::sync::{Arc, Mutex, PoisonError};

use tailwater_core::{Counter, Gauge, Timestamp};

/// How far one source is on one core.
#[derive(Clone, Debug)]
pub struct SourceGauges {
    /// The source's name.
    pub name: Arc<str>,
    /// Records read.
    pub records: Counter,
    /// The newest event time, in nanoseconds.
    pub newest: Gauge,
    /// The watermark, in nanoseconds.
    pub watermark: Gauge,
}

/// All sources on all cores.
#[derive(Clone, Debug, Default)]
pub struct SourceBoard(Arc<Mutex<Vec<SourceGauges>>>);

impl SourceBoard {
    /// A place on the board.
    pub fn register(&self, name: &Arc<str>) -> SourceGauges {
        let gauges = SourceGauges {
            name: name.clone(),
            records: Counter::default(),
            newest: Gauge::new(i64::MIN),
            watermark: Gauge::new(i64::MIN),
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(gauges.clone());
        gauges
    }

    /// The attempt of the job that filled the board is over: what it counted stays, but it holds no
    /// watermark back.
    pub fn retire(&self) {
        self.all().iter().for_each(|gauges| gauges.watermark.set(i64::MAX));
    }

    /// All places.
    pub fn all(&self) -> Vec<SourceGauges> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What one core spends its time on, in nanoseconds since it started.
#[derive(Clone, Debug, Default)]
pub struct CoreGauges {
    /// Rounds in which something was done.
    pub busy_ns: Counter,
    /// Rounds in which there was nothing to do.
    pub idle_ns: Counter,
    /// Rounds in which the way down was full.
    pub blocked_ns: Counter,
    /// The longest round.
    pub longest_round_ns: Gauge,
}

/// A look at a running job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveMetrics {
    /// Records that the sources have read.
    pub records: u64,
    /// The newest event time read.
    pub newest: Timestamp,
    /// The lowest watermark of a source that has not ended; MAX when all have.
    pub watermark: Timestamp,
}

impl LiveMetrics {
    /// What the board shows now.
    pub fn of(board: &SourceBoard) -> Self {
        let all = board.all();
        let newest = all.iter().map(|source| source.newest.get()).max();
        let watermark = all.iter().map(|source| source.watermark.get()).min();
        Self {
            records: all.iter().map(|source| source.records.get()).sum(),
            newest: newest.map_or(Timestamp::MIN, Timestamp),
            watermark: watermark.map_or(Timestamp::MIN, Timestamp),
        }
    }
}
