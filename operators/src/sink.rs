//! Where results go: a sink opens a writer on each core that writes.

use std::sync::Arc;

use tailwater_core::{Clock, Counters, Result, Stamped, Timestamp};

use crate::Waker;

/// An output of a job.
pub trait Sink<T>: Send + Sync + 'static {
    /// A name for `explain` and reports: `jsonl out/bars.jsonl`.
    fn name(&self) -> String;

    /// Whether the whole job has one writer (one file) rather than one a core. The results of all
    /// cores are then gathered on the first.
    fn single_writer(&self) -> bool {
        false
    }

    /// Opens a writer on a core.
    ///
    /// # Errors
    /// When the output cannot be opened.
    fn open(&self, context: &SinkContext) -> Result<Box<dyn SinkWriter<T>>>;
}

/// One open writer. Nothing here blocks: slow writing happens on a thread of the connector's.
///
/// A writer whose output must be exactly once will also be asked to prepare and to commit a
/// transaction at a checkpoint; these calls join this trait with durable checkpoints.
pub trait SinkWriter<T>: Send {
    /// Takes records from the front of `batch`, as many as there is room for; the rest stays in it
    /// and is offered again.
    ///
    /// # Errors
    /// When the output cannot be written; the job fails with it.
    fn write(&mut self, batch: &mut Vec<Stamped<T>>) -> Result<()>;

    /// All results up to `watermark` have been written.
    ///
    /// # Errors
    /// As [`write`](SinkWriter::write).
    fn watermark(&mut self, watermark: Timestamp) -> Result<()> {
        let _ = watermark;
        Ok(())
    }

    /// Finishes the output; called again until it returns `true`, after which everything is where
    /// it belongs.
    ///
    /// # Errors
    /// As [`write`](SinkWriter::write).
    fn close(&mut self) -> Result<bool>;
}

/// What a writer is told when it is opened.
#[derive(Clone)]
pub struct SinkContext {
    /// Which core writes.
    pub core: u32,
    /// How many cores run the job.
    pub cores: u32,
    /// Where named counts are registered.
    pub counters: Counters,
    /// The job's clock.
    pub clock: Arc<dyn Clock>,
    /// Wakes the core when there is room again.
    pub waker: Waker,
    /// Whether writing must happen inside the calls, with no thread: the seeded driver, for
    /// determinism.
    pub inline: bool,
}
