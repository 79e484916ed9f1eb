//! Deliberate bugs, so that the simulator can prove that it would find them: compiled in only with
//! the feature `faults`, and off until switched on.

/// A bug that can be switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Fault {
    /// One entry that waits for the drain is taken as drained.
    LoseDirtySlot,
    /// An entry that waits for the drain is changed without saving what the barrier saw.
    SkipCopyOnFirstTouch,
    /// A removed key leaves no tombstone.
    ForgetTombstone,
    /// An entry that waits for the drain is moved to another slot and waits no more.
    LoseMovedEntry,
    /// A file of a checkpoint counts as durable without a sync.
    SkipFileSync,
    /// A name in a checkpoint directory counts as durable without a sync.
    SkipDirectorySync,
    /// A manifest is written before its segment is durable.
    ManifestBeforeSegment,
    /// A segment that a retained checkpoint refers to is deleted.
    DeleteReferencedFile,
    /// A merge applies tombstones after the upserts of their checkpoint.
    TombstonesAfterUpserts,
    /// What is read of a checkpoint is not compared with its checksums.
    SkipChecksum,
    /// A source goes on one record behind the place that the checkpoint holds.
    RestoreSplitOneLate,
    /// A sink commits a transaction as soon as it is prepared.
    CommitBeforeTold,
    /// What a sink wrote after the checkpoint is not discarded when the job is restored.
    SkipTruncation,
    /// The transactions of a restored checkpoint are not committed again.
    ForgetCommitOnRestore,
    /// One timer is not in the queue after a restore.
    ForgetTimer,
    /// A task acknowledges a checkpoint before all of its entries are drained.
    AcknowledgeBeforeDrained,
    /// Sinks are told to commit a checkpoint before its manifest is written.
    CommitBeforeManifest,
    /// The first channel of a task goes on when it has delivered its barrier.
    AlignAllButOne,
    /// A task takes its snapshot while results that belong before the barrier are still pending.
    ForgetPendingAtBarrier,
}

impl Fault {
    /// All of them, to be tried one by one.
    pub const ALL: &[Self] = &[
        Self::LoseDirtySlot,
        Self::SkipCopyOnFirstTouch,
        Self::ForgetTombstone,
        Self::LoseMovedEntry,
        Self::SkipFileSync,
        Self::SkipDirectorySync,
        Self::ManifestBeforeSegment,
        Self::DeleteReferencedFile,
        Self::TombstonesAfterUpserts,
        Self::SkipChecksum,
        Self::RestoreSplitOneLate,
        Self::CommitBeforeTold,
        Self::SkipTruncation,
        Self::ForgetCommitOnRestore,
        Self::ForgetTimer,
        Self::AcknowledgeBeforeDrained,
        Self::CommitBeforeManifest,
        Self::AlignAllButOne,
        Self::ForgetPendingAtBarrier,
    ];
}

#[cfg(feature = "faults")]
mod switch {
    use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

    use super::Fault;

    const NONE: u8 = u8::MAX;

    /// The fault that is on. No other memory hangs on it.
    static ON: AtomicU8 = AtomicU8::new(NONE);

    /// Whether this fault is on.
    pub fn fault(which: Fault) -> bool {
        ON.load(Relaxed) == which as u8
    }

    /// Switches one fault on, or all off.
    pub fn switch_fault(which: Option<Fault>) {
        ON.store(which.map_or(NONE, |which| which as u8), Relaxed);
    }
}

#[cfg(feature = "faults")]
pub use switch::{fault, switch_fault};

/// Whether this fault is on; never without the feature `faults`.
#[cfg(not(feature = "faults"))]
#[inline(always)]
pub fn fault(_which: Fault) -> bool {
    false
}
