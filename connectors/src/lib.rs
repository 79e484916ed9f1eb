//! The outside world: sources and sinks.
#![forbid(unsafe_code)]

pub mod memory;

pub use memory::{Collected, Counting, collect, counting, from_splits, from_vec};
