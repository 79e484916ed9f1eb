//! What operators remember: tables of keys, and the snapshots that a barrier takes of them.
#![deny(unsafe_code)]

pub mod snapshot;

pub use snapshot::{SnapshotReader, SnapshotWriter};
