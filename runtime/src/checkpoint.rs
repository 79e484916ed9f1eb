//! The place of checkpoints: barriers flow and operators are asked for snapshots; who takes them is
//! told here.
//!
//! Durable stores, the coordinator and recovery join this module; nothing is stored yet.

use tailwater_state::SnapshotParts;

/// Receives what the tasks of a job remember at a barrier.
pub trait SnapshotTaker: Send + Sync + 'static {
    /// The snapshot of the task of `node` on `core` for a checkpoint. Called on the core's thread
    /// when the barrier has passed all its inputs; must not block.
    fn take(&self, checkpoint: u64, node: u32, core: u32, snapshot: SnapshotParts);
}

/// Takes nothing: barriers flow and are aligned, the snapshots are dropped.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSnapshots;

impl SnapshotTaker for NoSnapshots {
    fn take(&self, _: u64, _: u32, _: u32, _: SnapshotParts) {}
}
