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

    /// Whether results may come out again after a restore, as what was written cannot be taken
    /// back. A job with checkpoints says so at its start. A sink whose writers are
    /// [transactional](SinkWriter::is_transactional) says no, and so does one to which it makes no
    /// difference.
    fn may_repeat(&self) -> bool {
        true
    }

    /// Opens a writer on a core.
    ///
    /// # Errors
    /// When the output cannot be opened.
    fn open(&self, context: &SinkContext) -> Result<Box<dyn SinkWriter<T>>>;
}

/// One open writer. Nothing here blocks: slow writing happens on a thread of the connector's.
///
/// A transactional writer is also asked to prepare and to commit at checkpoints. Of each checkpoint
/// it hears, in this order: `write`.., `prepare` until it returns `true`, `prepared` until there is
/// an answer, and, when the checkpoint is durable, `commit` until it returns `true`. Between these
/// calls it goes on being written to. A checkpoint that fails is followed by no `commit` of its
/// own: that of a later one covers it.
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

    /// Whether results become visible only with the checkpoint that covers them. Asked once, after
    /// the writer was opened.
    fn is_transactional(&self) -> bool {
        false
    }

    /// Everything written since the last `prepare` is the transaction of `checkpoint`; what is
    /// written from now on belongs to the next. `false` when there is no room for the order: it is
    /// given again.
    ///
    /// # Errors
    /// As [`write`](SinkWriter::write).
    fn prepare(&mut self, checkpoint: u64) -> Result<bool> {
        let _ = checkpoint;
        Ok(true)
    }

    /// The outcome of the last `prepare`, once; `None` while it is under way.
    ///
    /// # Errors
    /// As [`write`](SinkWriter::write).
    fn prepared(&mut self) -> Result<Option<Prepared>> {
        Ok(None)
    }

    /// Makes all prepared transactions up to that of `checkpoint` visible. Called again until it
    /// returns `true`; doing it twice does no harm.
    ///
    /// # Errors
    /// As [`write`](SinkWriter::write).
    fn commit(&mut self, checkpoint: u64) -> Result<bool> {
        let _ = checkpoint;
        Ok(true)
    }

    /// Finishes the output; called again until it returns `true`, after which everything is where
    /// it belongs. A transactional writer was told to commit its last transaction before.
    ///
    /// # Errors
    /// As [`write`](SinkWriter::write).
    fn close(&mut self) -> Result<bool>;
}

/// A transaction that is safe: it can be committed whatever happens to the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prepared {
    /// The checkpoint that it belongs to.
    pub checkpoint: u64,
    /// What the sink needs to commit it, after a crash as well; empty when there is nothing to
    /// commit.
    pub transaction: Vec<u8>,
}

/// What a writer of a run that goes on from a checkpoint is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// The checkpoint.
    pub checkpoint: u64,
    /// Its transactions that are this writer's to commit (again); each is as it was prepared.
    /// Whatever else was not committed is discarded.
    pub transactions: Vec<Vec<u8>>,
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
    /// Whether the job makes checkpoints: a sink that can is then transactional.
    pub checkpointing: bool,
    /// The checkpoint that the job goes on from, if it does.
    pub restored: Option<Restored>,
}
