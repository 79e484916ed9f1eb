//! What the ceilings and the timely programs share: workloads, tables, threads, output.

pub mod arguments;
pub mod bars;
pub mod counts;
pub mod flat_table;
pub mod flat_values;
pub mod huge_slots;
pub mod report;
pub mod segments;
pub mod state_update;
pub mod threads;
pub mod workloads;
