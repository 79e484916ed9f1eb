//! The places where the simulator may make a deliberate bug in the store.

/// A bug that can be switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A file counts as durable without a sync.
    SkipFileSync,
    /// A name counts as durable without a sync of its directory.
    SkipDirectorySync,
    /// A segment that a retained checkpoint refers to is deleted.
    DeleteReferencedFile,
    /// A merge applies tombstones after the upserts of their checkpoint.
    TombstonesAfterUpserts,
    /// The manifest is written before the segment is finished.
    ManifestBeforeSegment,
    /// Nothing that is read is compared with its checksum.
    SkipChecksum,
}

/// Whether this bug is on.
#[inline(always)]
pub(crate) fn fault(_which: Fault) -> bool {
    false
}
