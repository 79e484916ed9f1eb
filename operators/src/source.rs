//! Where records come from: a source is a list of splits, each read in order by one core.

use std::fmt;
use std::sync::Arc;

use tailwater_core::{Clock, Counters, Error, Fault, Record, Result, Timestamp, fault};

/// An input of a job. Its splits are spread over the cores; a split has its own watermark.
pub trait Source: Send + Sync + 'static {
    /// What it reads.
    type Out: Record;

    /// A name for `explain` and reports: `files`, `ingress`.
    fn name(&self) -> String;

    /// Whether its records surely end: what batch mode needs, and what
    /// [`RuntimeMode::Automatic`](crate::RuntimeMode::Automatic) goes by.
    fn is_bounded(&self) -> bool {
        false
    }

    /// The names of the splits, in an order that does not change between runs. Called once, before
    /// any record flows; `cores` says how many readers there can be, for sources that can be cut at
    /// will.
    ///
    /// # Errors
    /// When the input does not exist or cannot be listed.
    fn splits(&self, cores: u32) -> Result<Vec<String>>;

    /// The names of the splits of a run that goes on from a checkpoint, which holds the positions
    /// of the splits `stored`. Called instead of [`splits`](Source::splits). A source that can be
    /// cut at will answers with the stored cut, whatever `cores` says.
    ///
    /// # Errors
    /// When a stored split is not there any more, or the source cannot be read again.
    fn resume(&self, stored: &[String], cores: u32) -> Result<Vec<String>> {
        let splits = self.splits(cores)?;
        match stored.iter().find(|split| !splits.contains(split)) {
            None => Ok(splits),
            Some(split) => Err(Error::configuration(format!(
                "the checkpoint has read from `{split}`, which source `{}` has no more: put it \
                 back, or start afresh",
                self.name()
            ))),
        }
    }

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

    /// Behind the last record that `poll` gave: where a run that goes on from a checkpoint opens
    /// the split.
    fn position(&self) -> SplitPosition;

    /// How far the input itself says that event time has come, behind the last record that `poll`
    /// gave. Counts where it is above what the split's records say (SEMANTICS 9).
    fn watermark(&self) -> Timestamp {
        Timestamp::MIN
    }

    /// Whether the input itself says that it will be silent for a while; asked when `poll` gave
    /// nothing. Records end it, or an answer of `false`.
    fn is_idle(&self) -> bool {
        false
    }
}

/// A place between two records of a split, at which it can be opened again.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    tailwater_core::Describe,
)]
pub struct SplitPosition {
    /// How many records lie before it, from the start of the split.
    pub records: u64,
    /// Where its reader can go on: its own measure, mostly bytes. Zero means that it reads again
    /// from the start and skips `records` records.
    pub offset: u64,
}

impl SplitPosition {
    /// Behind `records` records, found by reading again from the start.
    pub fn after(records: u64) -> Self {
        Self { records, offset: 0 }
    }
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
    /// Where to go on; the first record that `poll` gives is number `start.records`, from zero.
    /// `None` for the start of the split.
    pub start: Option<SplitPosition>,
}

impl SourceContext {
    /// How many records of the split were read before.
    pub fn records_before(&self) -> u64 {
        let late = u64::from(self.start.is_some() && fault(Fault::RestoreSplitOneLate));
        self.start.map_or(0, |start| start.records + late)
    }
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
