//! How a job is run in this process: cores, driver, idle policy, sizes.

use std::str::FromStr;

use tailwater_core::{Error, Result, Span};
use tailwater_operators::RuntimeMode;
use tailwater_state::SortOptions;

use crate::checkpoint::{Checkpoints, Restore};
use crate::restart::Restart;

/// Which cores run the job.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Cores {
    /// Every core that this process may use.
    #[default]
    All,
    /// So many executors, on the first cores that this process may use. More executors than cores
    /// are allowed (tests), share the cores and yield to each other.
    Count(u32),
    /// These cores by number.
    List(Vec<usize>),
}

/// What drives the tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Driver {
    /// A glommio executor a core; plain threads where io_uring is not allowed.
    #[default]
    Glommio,
    /// A plain thread a core.
    Threads,
    /// One thread that steps all cores' tasks in an order drawn from a seed: repeatable.
    Seeded(u64),
}

/// What a core does when it has nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Idle {
    /// Polls on: lowest latency, for isolated cores.
    Spin,
    /// Lets other threads of the machine run, then polls on.
    #[default]
    Yield,
    /// Sleeps until somebody writes to one of its rings; a wake-up costs some 20-40 us.
    Park,
}

/// How fast a source emits.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum Pace {
    /// As fast as it is taken.
    #[default]
    Max,
    /// So many records a second over all splits, each at its intended moment whatever happened
    /// before.
    PerSecond(f64),
    /// As the records' event times say: 1.0 in real time, 10.0 ten times as fast.
    EventTime(f64),
}

/// A latency that the job promises.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective {
    /// Between 0 and 100: 99.0 for p99.
    pub percentile: f64,
    /// The most that this percentile may be.
    pub limit: Span,
}

/// How to run a job in this process.
#[derive(Clone, Debug)]
pub struct Local {
    /// Which cores.
    pub cores: Cores,
    /// What drives the tasks.
    pub driver: Driver,
    /// What an idle core does.
    pub idle: Idle,
    /// The number of key groups; by default what Flink would derive from the number of cores.
    pub max_parallelism: Option<u32>,
    /// Records that a ring between two cores holds.
    pub ring_capacity: usize,
    /// The most records that a task takes at once.
    pub batch_max: usize,
    /// How often each source sends a latency marker; `None` sends none.
    pub marker_interval: Option<Span>,
    /// For how long each core measures the machine's own pauses before the job starts.
    pub floor_measurement: Span,
    /// How checkpoints are taken; `None` takes none.
    pub checkpoints: Option<Checkpoints>,
    /// What the job starts from.
    pub restore: Restore,
    /// Restores a job that has states which the checkpoint does not have; they begin empty.
    pub allow_missing_state: bool,
    /// Restores a job that does not have states which the checkpoint has; they are dropped.
    pub allow_dropped_state: bool,
    /// What happens after a failure.
    pub restart: Restart,
    /// The most bytes of memory that state may take; `None` for as much as there is.
    pub state_memory: Option<u64>,
    /// Whether the job runs as a stream, or as work on input that ends.
    pub mode: RuntimeMode,
    /// What sorting may take, in batch mode.
    pub sort: SortOptions,
    /// Whether the inputs of each operator are merged by event time, source and sequence, so that
    /// results do not depend on the number of cores or on scheduling.
    pub deterministic: bool,
}

impl Default for Local {
    fn default() -> Self {
        Self {
            cores: Cores::All,
            driver: Driver::default(),
            idle: Idle::default(),
            max_parallelism: None,
            // Some 100 KiB of 32-byte records: deep enough to hide a pause of 50 us, small enough
            // for L2.
            ring_capacity: 4096,
            // Larger batches gain nothing (MEASURED: 1024 is not better than 64) and cost latency.
            batch_max: 256,
            marker_interval: Some(Span(1_000_000)),
            floor_measurement: Span::ZERO,
            checkpoints: None,
            restore: Restore::None,
            allow_missing_state: false,
            allow_dropped_state: false,
            restart: Restart::Automatic,
            state_memory: None,
            mode: RuntimeMode::Streaming,
            sort: SortOptions::default(),
            deterministic: false,
        }
    }
}

impl Local {
    /// As this, for a job whose sources all end or do not: says whether it runs as a stream or as a
    /// batch, and takes the checkpoints away from a batch, which takes none (SEMANTICS 90).
    pub(crate) fn settled(
        mut self,
        unbounded: Option<&str>,
        warnings: &mut Vec<String>,
    ) -> Result<Self> {
        if self.deterministic {
            if self.mode == RuntimeMode::Batch {
                return Err(Error::configuration(
                    "batch mode sorts by key and time, a deterministic merge by time and source: \
                     choose one of them",
                ));
            }
            self.mode = RuntimeMode::Streaming;
        }
        self.mode = match (self.mode, unbounded) {
            (RuntimeMode::Streaming, _) | (RuntimeMode::Automatic, Some(_)) => {
                RuntimeMode::Streaming
            }
            (RuntimeMode::Batch, Some(source)) => {
                return Err(Error::configuration(format!(
                    "source `{source}` does not say that it ends, and batch mode sorts all of it: \
                     bound it, or run in streaming mode"
                )));
            }
            (RuntimeMode::Batch, None) if self.checkpoints.is_some() => {
                return Err(Error::configuration(
                    "batch mode takes no checkpoints, it starts again from the beginning: leave \
                     them out, or run in streaming mode",
                ));
            }
            (RuntimeMode::Batch | RuntimeMode::Automatic, None) => RuntimeMode::Batch,
        };
        if self.mode == RuntimeMode::Streaming {
            return Ok(self);
        }
        if !matches!(self.restore, Restore::None) {
            return Err(Error::configuration(
                "batch mode cannot go on from a checkpoint: run in streaming mode",
            ));
        }
        if self.checkpoints.take().is_some() {
            warnings.push(
                "all sources end, so the job runs as a batch: it takes no checkpoints, \
                           and starts again from the beginning after a failure"
                    .to_owned(),
            );
        }
        Ok(self)
    }

    /// As this, with the inputs of each operator merged in one order: see
    /// [`deterministic`](Local::deterministic).
    #[must_use]
    pub fn deterministically(self) -> Self {
        Self { deterministic: true, ..self }
    }

    /// So many cores, everything else by default.
    pub fn cores(count: u32) -> Self {
        Self { cores: Cores::Count(count), ..Self::default() }
    }

    /// The seeded driver with so many simulated cores.
    pub fn seeded(cores: u32, seed: u64) -> Self {
        Self { driver: Driver::Seeded(seed), ..Self::cores(cores) }
    }

    /// Refuses sizes that cannot work.
    ///
    /// # Errors
    /// When a ring or a batch would hold nothing.
    pub fn check(&self) -> Result<()> {
        if self.ring_capacity == 0 || self.batch_max == 0 {
            return Err(Error::configuration("ring_capacity and batch_max must be at least 1"));
        }
        if matches!(self.marker_interval, Some(Span(..=0))) {
            return Err(Error::configuration("an interval must be longer than nothing"));
        }
        if self.checkpoints.is_none() && matches!(self.restore, Restore::Latest | Restore::Id(_)) {
            return Err(Error::configuration(
                "say where the checkpoints are to restore the latest, or one by its number",
            ));
        }
        self.checkpoints.as_ref().map_or(Ok(()), Checkpoints::check)
    }
}

impl FromStr for Cores {
    type Err = Error;

    /// `all`, a number (`4`), or a list of cores (`2,3` or `2-5`; a single core `3` is written
    /// `3,`).
    fn from_str(text: &str) -> Result<Self> {
        let refuse = || {
            Error::configuration(format!(
                "`{text}` names no cores: write `all`, how many (`4`), or which ones (`2,3` or `2-5`)"
            ))
        };
        if text == "all" {
            return Ok(Self::All);
        }
        if let Ok(count) = text.parse() {
            return if count == 0 { Err(refuse()) } else { Ok(Self::Count(count)) };
        }
        let mut cores = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            match part.split_once('-') {
                Some((first, last)) => {
                    let first: usize = first.trim().parse().map_err(|_| refuse())?;
                    let last: usize = last.trim().parse().map_err(|_| refuse())?;
                    if last < first || last - first > 4096 {
                        return Err(refuse());
                    }
                    cores.extend(first..=last);
                }
                None => cores.push(part.trim().parse().map_err(|_| refuse())?),
            }
        }
        if cores.is_empty() { Err(refuse()) } else { Ok(Self::List(cores)) }
    }
}

impl FromStr for Idle {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "spin" => Ok(Self::Spin),
            "yield" => Ok(Self::Yield),
            "park" => Ok(Self::Park),
            _ => Err(Error::configuration(format!(
                "`{text}` is no idle policy: write spin, yield or park"
            ))),
        }
    }
}

impl FromStr for Pace {
    type Err = Error;

    /// `max`, `realtime`, `x10` (ten times real time) or `50000/s`.
    fn from_str(text: &str) -> Result<Self> {
        let positive =
            |number: &str| number.parse::<f64>().ok().filter(|n| *n > 0.0 && n.is_finite());
        let pace = match text {
            "max" => Some(Self::Max),
            "realtime" => Some(Self::EventTime(1.0)),
            _ => match (text.strip_prefix('x'), text.strip_suffix("/s")) {
                (Some(speed), _) => positive(speed).map(Self::EventTime),
                (_, Some(rate)) => positive(rate).map(Self::PerSecond),
                _ => None,
            },
        };
        pace.ok_or_else(|| {
            Error::configuration(format!(
                "`{text}` is no rate: write max, realtime, x10 (ten times real time) or 50000/s"
            ))
        })
    }
}

impl FromStr for Objective {
    type Err = Error;

    /// A percentile and a span: `p99=50us`, `p99.9=1ms`, `max=5ms`.
    fn from_str(text: &str) -> Result<Self> {
        let refuse = || {
            Error::configuration(format!(
                "`{text}` is no latency objective: write a percentile and a span, as in `p99=50us`"
            ))
        };
        let (percentile, limit) = text.split_once('=').ok_or_else(refuse)?;
        let percentile = match percentile {
            "max" => 100.0,
            _ => percentile
                .strip_prefix('p')
                .and_then(|number| number.parse::<f64>().ok())
                .filter(|number| (0.0..=100.0).contains(number))
                .ok_or_else(refuse)?,
        };
        Ok(Self { percentile, limit: limit.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_or_refused() {
        assert_eq!("all".parse::<Cores>().unwrap(), Cores::All);
        assert_eq!("4".parse::<Cores>().unwrap(), Cores::Count(4));
        assert_eq!("2,5-7".parse::<Cores>().unwrap(), Cores::List(vec![2, 5, 6, 7]));
        assert_eq!("3,".parse::<Cores>().unwrap(), Cores::List(vec![3]));
        assert_eq!("x2.5".parse::<Pace>().unwrap(), Pace::EventTime(2.5));
        assert_eq!("1e6/s".parse::<Pace>().unwrap(), Pace::PerSecond(1e6));
        assert_eq!(
            "p99.9=50us".parse::<Objective>().unwrap(),
            Objective { percentile: 99.9, limit: Span(50_000) }
        );
        for bad in ["", "0", "a", "5-2", ","] {
            assert!(bad.parse::<Cores>().is_err(), "{bad}");
        }
        for bad in ["", "x0", "-1/s", "x", "fast"] {
            assert!(bad.parse::<Pace>().is_err(), "{bad}");
        }
        for bad in ["p99", "p101=1ms", "99=1ms", "p99=1"] {
            assert!(bad.parse::<Objective>().is_err(), "{bad}");
        }
    }
}
