//! What a running job shows: how far its sources are, and what its cores spend their time on.

use tailwater_core::{Counter, Gauge, Timestamp};

use crate::splits::SourceBoard;

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
