//! What a source remembers of a split at a barrier.

use rkyv::{Archive, Deserialize, Serialize};
use tailwater_core::{Describe, Timestamp};
use tailwater_operators::SplitPosition;

/// The name of the state of a source that holds them, in a union list: each core that restores sees
/// all splits and picks its own.
pub(super) const SPLITS: &str = "splits";

/// One split, cut at a barrier.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize, Describe)]
pub(super) struct SplitState {
    /// The split's name: by this it is found again.
    pub name: String,
    /// Records emitted before the barrier, from the start of the split.
    pub emitted: u64,
    /// Records before the place at which the split can be opened again: at most `emitted`. Those
    /// between are dropped.
    pub start_records: u64,
    /// That place in the reader's own measure.
    pub start_offset: u64,
    /// What the split's generator said.
    pub watermark: Timestamp,
    /// Whether it had been silent for too long.
    pub is_idle: bool,
    /// Whether its last record had been emitted.
    pub is_finished: bool,
    /// Whether the source had ended, of itself or because the job was told to drain. What waited
    /// for later records has been worked off, so there is no going on.
    pub is_drained: bool,
}

impl SplitState {
    /// Where the split can be opened again.
    pub fn start(&self) -> SplitPosition {
        SplitPosition { records: self.start_records, offset: self.start_offset }
    }
}
