//! Checkpoints as files: segments of entries, and a manifest that makes them a checkpoint.
//!
//! ```text
//! cores -> SnapshotParts, Chunks -> CheckpointWriter -> segment -> manifest -> Completed
//!                                        ^ Checkpoints::begin          ^ Checkpoints::complete
//! OpenedCheckpoint::open -> RestoreSource -> operators
//! ```
//!
//! A checkpoint is a chain of segments: one with all entries, then those with what changed since.
//! `docs/checkpoint-format.md` draws the bytes.

mod chain;
mod checkpoints;
mod cursor;
mod inspect;
mod layout;
mod manifest;
mod merge;
pub(crate) mod names;
mod opened;
mod retention;
mod schemas;
mod seen;
mod segment_reader;
mod segment_writer;
mod stripes;
mod tasks;
mod walk;
mod writer;

#[cfg(test)]
mod damage;
#[cfg(test)]
mod histories;
#[cfg(test)]
mod tests;

pub use chain::CHAIN_MAX;
pub use checkpoints::{CheckpointSettings, Checkpoints, Completed};
pub use inspect::{Entry, GroupReport, Report, SegmentReport, StateReport, inspect};
pub use layout::{BlockKind, FORMAT_VERSION};
pub use manifest::{Manifest, StateEntry, StateSort, StoredSchema, Transaction};
pub use opened::{OpenedCheckpoint, Skipped, Which, checkpoints_in};
pub use segment_writer::SegmentRef;
pub use tasks::TaskNumbers;
pub use writer::{CheckpointWriter, TrackedNumber};
