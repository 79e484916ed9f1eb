//! Where records come from: a source is a list of splits, each read in order by one core.

use std::fmt;
use std::sync::Arc;

use tailwater_core::{Clock, Counters, Record, Result};

/// An input of a job. Its splits are spread over the cores; a split has its own watermark.
pub trait Source: Send + Sync + 'static {
    /// What it reads.
    type Out: Record;

    /// A name for `explain` and reports: `files`, `ingress`.
    fn name(&self) -> String;

    /// The names of the splits, in an order that does not change between runs. Called once, before
    /// any record flows; `cores` says how many readers there can be, for sources that can be cut at
    /// will.
    ///
    /// # Errors
    /// When the input does not exist or cannot be listed.
    fn splits(&self, cores: u32) -> Result<Vec<String>>;

    /// Opens one split, on the core that will read it.
    ///
    /// # Errors
    /// When the split cannot be opened.
    fn open(
        &self,
        split: usize,
        context: &SourceContext,
    ) -> Result<Box<dyn SplitReader<Self::Out>>>;
}

/// One open split.
pub trait SplitReader<T>: Send {
    /// Appends up to `limit` records to `out`, in order. Never blocks: slow reading happens on a
    /// thread of the connector's, which wakes the core through [`SourceContext::waker`].
    ///
    /// # Errors
    /// When the split cannot be read on; the job fails with it.
    fn poll(&mut self, limit: usize, out: &mut Vec<T>) -> Result<Polled>;

    /// How many records were read, from the start of the split: enough to read on from here.
    fn position(&self) -> u64;
}

/// What a poll of a split found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    /// Records, or none just now but more at once: poll again.
    Ready,
    /// Nothing for the moment.
    Pending,
    /// The split has ended; what was appended by this call is the last of it.
    Finished,
}

/// What a reader is told when it is opened.
#[derive(Clone)]
pub struct SourceContext {
    /// Which core reads the split.
    pub core: u32,
    /// How many cores run the job.
    pub cores: u32,
    /// Where named counts are registered.
    pub counters: Counters,
    /// The job's clock.
    pub clock: Arc<dyn Clock>,
    /// Wakes the core when there is something to poll.
    pub waker: Waker,
    /// Whether reading must happen inside `poll`, with no thread: the seeded driver, for
    /// determinism.
    pub inline: bool,
}

/// Wakes a core that sleeps because it had nothing to do; cheap when it is awake.
#[derive(Clone)]
pub struct Waker(Arc<dyn Fn() + Send + Sync>);

impl Waker {
    /// A waker that calls `wake`.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(wake))
    }

    /// A waker of nobody, for drivers that never sleep.
    pub fn none() -> Self {
        Self::new(|| {})
    }

    /// Wakes the core.
    pub fn wake(&self) {
        (self.0)();
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waker")
    }
}
