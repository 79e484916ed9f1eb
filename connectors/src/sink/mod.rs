//! Where results go: files, standard output, a vector for tests, a count for benchmarks.

mod collect;
mod counting;
mod encode;
mod files;
mod output;
mod writer;

pub use collect::{Collected, collect};
pub use counting::{Counting, counting};
pub use files::{Stdout, stdout};
