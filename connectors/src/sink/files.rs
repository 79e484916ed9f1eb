//! Files and standard output as sinks of whatever serde can write.

use serde::Serialize;
use tailwater_core::Result;
use tailwater_operators::{Sink, SinkContext, SinkWriter};

use super::encode::{CsvEncoder, JsonlEncoder};
use super::output::Target;
use super::writer;
use crate::file::{Csv, FileSet, Jsonl};

impl<T: Serialize + Send + 'static> Sink<T> for FileSet<Jsonl<T>> {
    fn name(&self) -> String {
        format!("jsonl {}", self.output_shown())
    }

    /// A file has one end, and the parts of a directory sort in one order.
    fn single_writer(&self) -> bool {
        true
    }

    fn open(&self, context: &SinkContext) -> Result<Box<dyn SinkWriter<T>>> {
        let target = Target::of(self.output()?, "jsonl", self.roll_of())?;
        writer::open(target, JsonlEncoder, context)
    }
}

impl<T: Serialize + Send + 'static> Sink<T> for FileSet<Csv<T>> {
    fn name(&self) -> String {
        format!("csv {}", self.output_shown())
    }

    /// A file has one end, and the parts of a directory sort in one order.
    fn single_writer(&self) -> bool {
        true
    }

    fn open(&self, context: &SinkContext) -> Result<Box<dyn SinkWriter<T>>> {
        let target = Target::of(self.output()?, "csv", self.roll_of())?;
        writer::open(target, CsvEncoder::new(self.format().dialect.clone()), context)
    }
}

/// A sink that prints records as JSON lines.
pub fn stdout() -> Stdout {
    Stdout
}

/// Standard output; see [`stdout`].
#[derive(Clone, Copy, Debug)]
pub struct Stdout;

impl<T: Serialize + Send + 'static> Sink<T> for Stdout {
    fn name(&self) -> String {
        "stdout".to_owned()
    }

    fn single_writer(&self) -> bool {
        true
    }

    fn open(&self, context: &SinkContext) -> Result<Box<dyn SinkWriter<T>>> {
        writer::open(Target::Stdout, JsonlEncoder, context)
    }
}

#[cfg(test)]
mod tests;
