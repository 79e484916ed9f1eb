//! Files and standard output as sinks of whatever serde can write.

use std::sync::Arc;

use serde::Serialize;
use tailwater_core::Result;
use tailwater_operators::{Sink, SinkContext, SinkWriter};

use super::cycle::Cycle;
use super::disk::{Machine, OutputDisk};
use super::encode::{CsvEncoder, Encoder, JsonlEncoder};
use super::output::{Output, Target, Visible};
use super::text::Text;
use super::writer;
use crate::file::{Csv, FileSet, Jsonl};

/// Opens a writer of text; one that is transactional where the job makes checkpoints and the target
/// can be.
fn open<T: Send + 'static, E: Encoder<T>>(
    target: Target,
    encoder: E,
    disk: Arc<dyn OutputDisk>,
    context: &SinkContext,
) -> Result<Box<dyn SinkWriter<T>>> {
    let mut context = context.clone();
    if target.is_stdout() {
        (context.checkpointing, context.restored) = (false, None);
    }
    let visible = if context.checkpointing { Visible::WhenCommitted } else { Visible::WhenWritten };
    let output = Output::open(target, visible, disk, context.clock.clone())?;
    writer::open(Cycle::new(Text::new(encoder, output), &context)?, &context)
}

impl<T: Serialize + Send + 'static> Sink<T> for FileSet<Jsonl<T>> {
    fn name(&self) -> String {
        format!("jsonl {}", self.output_shown())
    }

    /// A file has one end, and the parts of a directory sort in one order.
    fn single_writer(&self) -> bool {
        true
    }

    fn may_repeat(&self) -> bool {
        false
    }

    fn open(&self, context: &SinkContext) -> Result<Box<dyn SinkWriter<T>>> {
        let target = Target::of(self.output()?, "jsonl", self.roll_of())?;
        open(target, JsonlEncoder, self.disk(), context)
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

    fn may_repeat(&self) -> bool {
        false
    }

    fn open(&self, context: &SinkContext) -> Result<Box<dyn SinkWriter<T>>> {
        let target = Target::of(self.output()?, "csv", self.roll_of())?;
        open(target, CsvEncoder::new(self.format().dialect.clone()), self.disk(), context)
    }
}

/// A sink that prints records as JSON lines. What was printed cannot be taken back: a job that goes
/// on from a checkpoint prints again what it printed after it.
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
        open(Target::Stdout, JsonlEncoder, Arc::new(Machine), context)
    }
}

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod tests;
