//! What operators remember: tables of keys, and the snapshots that a barrier takes of them.
#![deny(unsafe_code)]

mod archive;
mod arena;
pub mod budget;
pub mod changes;
pub mod checkpoint;
pub mod context;
pub mod entries;
pub mod keyed;
pub mod operator_state;
pub mod pane;
mod prefetch;
mod slab;
pub mod snapshot;
pub mod sort;
pub mod store;
mod striping;
pub mod table;
#[cfg(test)]
mod testing;

pub use budget::Budget;
pub use changes::{
    CHUNK_BYTES, Changes, Chunk, Declaration, Drain, Frame, GroupRange, Payload, SnapshotKind,
    TrackedState,
};
pub use context::{Chore, Prefault, StateContext, Warnings};
pub use entries::{Entries, Entry};
pub use operator_state::{BroadcastState, ListState, OperatorState, UnionState};
pub use pane::{Pane, Panes};
pub use snapshot::{
    Findings, MemorySnapshot, RestoreSource, SnapshotParts, SnapshotReader, SnapshotWriter, Spread,
    StateValue, StoredValues, TrackedPart, UnionPart,
};
pub use sort::SortOptions;
pub use table::StateTable;
