//! Checkpoints: when they are taken, how tasks hand over what they remember, and what a job starts
//! from.
//!
//! ```text
//! Coordinator (pure) <- Service -> Checkpoints (files of a store)
//!                        |   ^
//!         Control: barrier,  messages: cut, chunks, acknowledged, ended
//!         completed      v   |
//!                      tasks (task/handover.rs)
//! ```

pub mod config;
pub mod coordinator;
pub(crate) mod port;
pub(crate) mod recovery;
pub(crate) mod service;
mod summary;

pub use config::{Checkpoints, Guarantee, OpenStore, Restore};
pub use recovery::Restoring;
pub use summary::CheckpointReport;
pub(crate) use summary::Summary;
