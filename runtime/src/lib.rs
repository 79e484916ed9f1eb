//! Jobs onto cores: the graph, the tasks, the duty cycle, latency and what a run reports.
//!
//! A task is `fn step(&mut self) -> Progress`: bounded work that never blocks, reads no clock and
//! does no I/O. Three drivers run the same tasks: glommio executors, plain threads, and one seeded
//! thread.
#![forbid(unsafe_code)]

pub mod checkpoint;
pub mod clock;
pub mod config;
pub mod control;
pub mod executor;
pub mod graph;
pub mod latency;
pub mod metrics;
pub mod prefault;
pub mod report;
pub mod restart;
pub mod splits;
pub mod task;

pub use checkpoint::{CheckpointReport, Checkpoints, Guarantee, OpenStore, Restore};
pub use clock::SystemClock;
pub use config::{Cores, Driver, Idle, Local, Objective, Pace};
pub use executor::{JobHandle, start};
pub use graph::{Graph, Partition};
pub use latency::{LatencySummary, Percentiles};
pub use metrics::LiveMetrics;
pub use prefault::PrefaultThread;
pub use report::Report;
pub use restart::{Backoff, Restart};
pub use splits::{Activity, EventTime, EventTimeWatch, SplitProgress};
