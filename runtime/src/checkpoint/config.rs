//! How a job takes checkpoints and what it starts from.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use tailwater_core::{Error, Result, Span};
use tailwater_state::store::{CheckpointStore, DirectoryStore, RealDisk};

use super::coordinator::Timing;

/// From a checkpoint that failed to the next, at least: a tenth of a second.
const RETRY_PAUSE_NS: u64 = 100_000_000;

/// What a checkpoint guarantees for records that are under way while it is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Guarantee {
    /// Each record counts once: a task takes nothing from an input whose barrier has come before
    /// that of the others (SEMANTICS 73).
    #[default]
    ExactlyOnce,
    /// Inputs never wait for each other; records may count twice after a restart.
    AtLeastOnce,
}

/// Opens the store of a job's checkpoints; called again for each attempt of the job.
#[derive(Clone)]
pub struct OpenStore {
    name: String,
    open: Arc<dyn Fn() -> Result<Arc<dyn CheckpointStore>> + Send + Sync>,
}

impl OpenStore {
    /// A store for people called `name`, opened by `open`.
    pub fn new(
        name: impl Into<String>,
        open: impl Fn() -> Result<Arc<dyn CheckpointStore>> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), open: Arc::new(open) }
    }

    /// Opens it.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn open(&self) -> Result<Arc<dyn CheckpointStore>> {
        (self.open)()
            .map_err(|error| error.context(format!("cannot open the checkpoints in `{self}`")))
    }
}

impl FromStr for OpenStore {
    type Err = Error;

    /// A directory, which is made where it is not there.
    fn from_str(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::configuration("write the directory that checkpoints go to"));
        }
        let path = PathBuf::from(text);
        let open = move || -> Result<Arc<dyn CheckpointStore>> {
            Ok(Arc::new(DirectoryStore::create(RealDisk::default(), path.clone())?))
        };
        Ok(Self::new(text, open))
    }
}

impl fmt::Display for OpenStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Stores are the same where people call them the same.
impl PartialEq for OpenStore {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for OpenStore {}

impl fmt::Debug for OpenStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenStore({})", self.name)
    }
}

/// How a job takes checkpoints. Defaults as Flink's.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    /// Where they go.
    pub store: OpenStore,
    /// From the beginning of one to the beginning of the next; `None` takes them when asked only,
    /// and one at the end.
    pub interval: Option<Span>,
    /// What they guarantee: exactly once.
    pub guarantee: Guarantee,
    /// How long one may take before it is given up: 10 minutes.
    pub timeout: Span,
    /// From the end of one to the beginning of the next, at least: nothing.
    pub min_pause: Span,
    /// How many may fail in a row before the job fails: none. The job is then started again as
    /// [`Restart`](crate::Restart) says.
    pub tolerable_failures: u32,
    /// How many completed ones are kept: 1.
    pub retain: u32,
}

impl Checkpoints {
    /// Into this store at this interval, everything else by default.
    pub fn new(store: OpenStore, interval: Option<Span>) -> Self {
        Self {
            store,
            interval,
            guarantee: Guarantee::ExactlyOnce,
            timeout: Span(600_000_000_000),
            min_pause: Span::ZERO,
            tolerable_failures: 0,
            retain: 1,
        }
    }

    /// The coordinator's part.
    pub(crate) fn timing(&self) -> Timing {
        let ns = |span: Span| span.0.max(0) as u64;
        Timing {
            interval_ns: self.interval.map(ns),
            timeout_ns: ns(self.timeout),
            min_pause_ns: ns(self.min_pause),
            tolerable_failures: self.tolerable_failures,
            retry_pause_ns: RETRY_PAUSE_NS,
        }
    }

    /// Refuses what cannot work.
    pub(crate) fn check(&self) -> Result<()> {
        if self.interval.is_some_and(|span| span.0 <= 0) || self.timeout.0 <= 0 {
            return Err(Error::configuration(
                "interval and timeout of checkpoints must be longer than nothing",
            ));
        }
        if self.min_pause.0 < 0 {
            return Err(Error::configuration("the pause between checkpoints cannot be negative"));
        }
        if self.retain == 0 {
            return Err(Error::configuration("at least one checkpoint must be retained"));
        }
        Ok(())
    }
}

/// What a job starts from.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Restore {
    /// From nothing.
    #[default]
    None,
    /// The newest complete checkpoint of the store; from nothing where there is none. One that is
    /// damaged is passed over, and said so.
    Latest,
    /// The checkpoint of this number.
    Id(u64),
    /// The checkpoint in this file, or the latest in this directory.
    Path(PathBuf),
    /// The checkpoint of this number in another store, or its latest.
    Store {
        /// Where it is; opened for reading.
        store: OpenStore,
        /// Its number.
        checkpoint: Option<u64>,
    },
}

impl FromStr for Guarantee {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "exactly-once" => Ok(Self::ExactlyOnce),
            "at-least-once" => Ok(Self::AtLeastOnce),
            _ => Err(Error::configuration(format!(
                "`{text}` is no guarantee: write exactly-once or at-least-once"
            ))),
        }
    }
}

impl FromStr for Restore {
    type Err = Error;

    /// `none`, `latest`, the number of a checkpoint, or a path.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "" => Err(Error::configuration("write latest, a checkpoint's number or its path")),
            "none" => Ok(Self::None),
            "latest" => Ok(Self::Latest),
            _ => Ok(text.parse().map_or_else(|_| Self::Path(PathBuf::from(text)), Self::Id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_or_refused() {
        assert_eq!("latest".parse::<Restore>().unwrap(), Restore::Latest);
        assert_eq!("17".parse::<Restore>().unwrap(), Restore::Id(17));
        assert_eq!("a/b".parse::<Restore>().unwrap(), Restore::Path("a/b".into()));
        assert!("".parse::<Restore>().is_err());
        assert_eq!("at-least-once".parse::<Guarantee>().unwrap(), Guarantee::AtLeastOnce);
        assert!("twice".parse::<Guarantee>().is_err());
    }
}
