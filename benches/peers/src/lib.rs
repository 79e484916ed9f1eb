//! What the ceilings and the timely programs share: workloads, tables, threads, output.

pub mod arguments;
pub mod bars;
pub mod counts;
pub mod flat_table;
pub mod report;
pub mod threads;
pub mod workloads;
