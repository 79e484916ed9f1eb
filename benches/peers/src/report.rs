//! One JSON line for each result.

use crate::workloads::Totals;
use std::fmt::{Display, Write};

/// A line that is written field by field.
pub struct Report {
    text: String,
}

impl Report {
    /// A line for one run of a workload by an engine.
    pub fn new(engine: &str, workload: &str, cores: usize) -> Self {
        let text = format!(r#"{{"engine":"{engine}","workload":"{workload}","cores":{cores}"#);
        Self { text }
    }

    /// Adds a number.
    pub fn number(mut self, name: &str, value: impl Display) -> Self {
        write!(self.text, r#","{name}":{value}"#).expect("a string takes all text");
        self
    }

    /// Adds a word, which needs no escapes.
    pub fn word(mut self, name: &str, value: &str) -> Self {
        write!(self.text, r#","{name}":"{value}""#).expect("a string takes all text");
        self
    }

    /// Adds how many records were processed in how many seconds.
    pub fn throughput(self, events: u64, secs: f64) -> Self {
        self.number("events", events)
            .number("secs", format_args!("{secs:.6}"))
            .number("events_per_s", format_args!("{:.0}", events as f64 / secs))
    }

    /// Adds what engines must agree on.
    pub fn totals(self, totals: Totals) -> Self {
        self.number("outputs", totals.outputs)
            .word("checksum", &format!("{:016x}", totals.checksum))
    }

    /// Prints the line.
    pub fn print(self) {
        println!("{}}}", self.text);
    }
}
