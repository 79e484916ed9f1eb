//! What operators remember: tables of keys, and the snapshots that a barrier takes of them.
#![deny(unsafe_code)]

pub mod pane;
mod slots;
pub mod snapshot;
pub mod table;

pub use pane::{Pane, Panes};
pub use snapshot::{SnapshotReader, SnapshotWriter};
pub use table::Table;
