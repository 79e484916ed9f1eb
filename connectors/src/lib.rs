//! The outside world: files and market-data captures as sources, files and collections as sinks.
//!
//! Whatever may block (reading, decompressing, formatting, writing) happens on a thread of the
//! connector's own, which hands batches to the core through a ring. A driver that must be
//! deterministic asks for the same work inside the calls instead.
#![forbid(unsafe_code)]

pub mod calendar;
pub mod checkpoints;
mod doorbell;
pub mod file;
pub mod market;
pub mod memory;
mod pool;
pub mod sink;
#[cfg(test)]
mod testing;

pub use calendar::Calendar;
pub use file::{Files, OnError, Paths, Roll};
pub use market::Trade;
pub use memory::{from_splits, from_vec};
pub use pool::{Pool, PoolCall};
pub use sink::{
    Collected, CommittedLength, Counting, KeyedRows, KeyedTable, Stdout, TwoPhase, collect,
    counting, keyed_table, stdout, two_phase,
};
