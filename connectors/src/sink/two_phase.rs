//! Sinks that commit in two phases: what a user writes, and what makes a sink of it.
//!
//! ```text
//!  begin -> write.. -> flush -> pre_commit --(checkpoint is durable)--> commit     one epoch
//!  restart:  commit (again) what the checkpoint holds -> abort the rest -> begin ..
//! ```

use std::fmt;
use std::sync::Arc;

use tailwater_core::{Result, Stamped};
use tailwater_operators::{Sink, SinkContext, SinkWriter};

use super::cycle::Cycle;
use super::writer;

/// An output that can prepare what it was given and commit it later, also from another process.
///
/// All calls come from one thread, which may be blocked: it is the connector's own. A job without
/// checkpoints flushes, prepares and commits once, at its end.
pub trait TwoPhase<T>: Send + 'static {
    /// A transaction begins; called before the first record of each epoch that has any.
    ///
    /// # Errors
    /// When the output refuses; the job fails with it, as with those of the other calls.
    fn begin(&mut self) -> Result<()>;

    /// Takes all records of a batch into the open transaction.
    ///
    /// # Errors
    /// See [`begin`](Self::begin).
    fn write(&mut self, batch: &mut Vec<Stamped<T>>) -> Result<()>;

    /// Hands on what is still kept back of the open transaction.
    ///
    /// # Errors
    /// See [`begin`](Self::begin).
    fn flush(&mut self) -> Result<()>;

    /// Closes the open transaction, so that it can be committed whatever happens, and returns what
    /// names it. Not called for an epoch without records.
    ///
    /// # Errors
    /// See [`begin`](Self::begin).
    fn pre_commit(&mut self, checkpoint: u64) -> Result<Vec<u8>>;

    /// Makes a transaction visible. May have been done before, by this process or by one that
    /// crashed: then it does nothing. `attempt` counts from zero.
    ///
    /// # Errors
    /// When it cannot be committed: the job fails, and commits it again when it is restored.
    fn commit(&mut self, checkpoint: u64, transaction: &[u8], attempt: u32) -> Result<Commit>;

    /// Discards all of this sink that was not committed: called once, before the first record.
    /// `restored` is the checkpoint that the job goes on from, whose transactions have been
    /// committed again by then.
    ///
    /// # Errors
    /// See [`begin`](Self::begin).
    fn abort(&mut self, restored: Option<&RestoredState>) -> Result<()>;

    /// What [`abort`](Self::abort) needs to know when the job goes on from a checkpoint that is
    /// taken now. Called at each checkpoint, after `pre_commit`.
    fn state(&self) -> Vec<u8> {
        Vec::new()
    }

    /// There is nothing to write just now.
    ///
    /// # Errors
    /// See [`begin`](Self::begin).
    fn idle(&mut self) -> Result<()> {
        Ok(())
    }

    /// The end of a job: all that will be committed is.
    ///
    /// # Errors
    /// See [`begin`](Self::begin).
    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

/// What became of an attempt to commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// It is visible.
    Done,
    /// Not now: it is tried again in a moment.
    RetryLater,
}

/// The checkpoint that a job goes on from, as a sink sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoredState {
    /// The checkpoint.
    pub checkpoint: u64,
    /// What [`TwoPhase::state`] said then: one for each writer of that run whose successor this one
    /// is.
    pub states: Vec<Vec<u8>>,
}

/// A sink whose writers are made by `open`, one on each core.
pub fn two_phase<P, O>(name: impl Into<String>, open: O) -> TwoPhaseSink<O>
where
    O: Fn(&SinkContext) -> Result<P> + Send + Sync + 'static,
{
    TwoPhaseSink { name: name.into(), open: Arc::new(open), single_writer: false }
}

/// A sink that commits in two phases; see [`two_phase`].
pub struct TwoPhaseSink<O> {
    name: String,
    open: Arc<O>,
    single_writer: bool,
}

impl<O> TwoPhaseSink<O> {
    /// The whole job has one writer: the results of all cores are gathered for it.
    #[must_use]
    pub fn single_writer(mut self) -> Self {
        self.single_writer = true;
        self
    }
}

impl<O> fmt::Debug for TwoPhaseSink<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TwoPhaseSink").field(&self.name).finish()
    }
}

impl<T, P, O> Sink<T> for TwoPhaseSink<O>
where
    T: Send + 'static,
    P: TwoPhase<T>,
    O: Fn(&SinkContext) -> Result<P> + Send + Sync + 'static,
{
    fn name(&self) -> String {
        self.name.clone()
    }

    fn single_writer(&self) -> bool {
        self.single_writer
    }

    fn may_repeat(&self) -> bool {
        false
    }

    fn open(&self, context: &SinkContext) -> Result<Box<dyn SinkWriter<T>>> {
        let phases = (self.open)(context)?;
        writer::open(Cycle::new(phases, context)?, context)
    }
}
