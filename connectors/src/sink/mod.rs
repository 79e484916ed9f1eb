//! Where results go: files, standard output, a table by key, a vector for tests, a count for
//! benchmarks; and what makes a sink of anything that can commit in two phases.

mod collect;
mod counting;
mod cycle;
mod disk;
mod encode;
mod files;
mod keyed;
mod ledger;
mod memory_disk;
mod output;
mod text;
mod two_phase;
mod writer;

pub use collect::{Collected, collect};
pub use counting::{Counting, counting};
pub use disk::{Machine, OutputDisk, OutputFile};
pub use files::{Stdout, stdout};
pub use keyed::{KeyedRows, KeyedTable, keyed_table};
pub use memory_disk::{Crash, MemoryDisk};
pub use output::CommittedLength;
pub use two_phase::{Commit, RestoredState, TwoPhase, TwoPhaseSink, two_phase};
