//! The harness for a whole job: runs it in the test's thread, in virtual time.

use std::fmt;
use std::sync::Arc;

use tailwater_core::{Clock, Error, ManualClock, Result, Span, Timestamp};
use tailwater_runtime::executor::SteppedJob;
use tailwater_runtime::task::Progress;
use tailwater_runtime::{Checkpoints, Cores, Graph, Local, OpenStore, Restore};
use tailwater_state::store::{CheckpointStore, DirectoryStore, SimDisk};

use crate::Job;

/// A job with nothing to do has said so this often before it is believed: a round in which 256
/// timers of processing time fire without emitting anything looks like one that did nothing.
const QUIET_ROUNDS: u32 = 64;
/// Checkpoints that can be gone back to.
const RETAINED: u32 = 64;

/// Drives a whole job by hand: nothing runs, and no time passes, but in the calls of the test.
///
/// It runs on the seeded driver, so the same calls with the same seed come to the same, in the same
/// order; another seed steps the tasks of all cores in another order. Checkpoints go into memory,
/// and are taken when the test wants them.
///
/// ```
/// use tailwater::prelude::*;
/// use tailwater::testing::{JobHarness, TestSink, TestSource};
///
/// # fn main() -> Result<()> {
/// let (words, counts) = (TestSource::new(), TestSink::new());
/// let job = Job::new("counts");
/// job.source(words.clone())
///     .unstamped()
///     .key_by(|word: &String| word.clone())
///     .fold(0_u64, |count, _| *count += 1)
///     .sink(counts.clone());
///
/// let mut harness = JobHarness::new(job, Local::seeded(2, 7))?;
/// words.push("tail".to_owned());
/// harness.run_until_idle()?;
/// assert_eq!(counts.take(), [1]);
/// harness.checkpoint()?;
///
/// // The process dies, and goes on from the checkpoint with another number of cores.
/// harness.restart(3)?;
/// words.push("tail".to_owned());
/// harness.run_until_idle()?;
/// assert_eq!(counts.take(), [2]);
/// # Ok(())
/// # }
/// ```
pub struct JobHarness {
    graph: Arc<Graph>,
    local: Local,
    clock: ManualClock,
    /// There while a process of the job lives.
    running: Option<SteppedJob>,
}

impl fmt::Debug for JobHarness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clock = self.processing_time();
        f.debug_struct("JobHarness").field("processing_time", &clock).finish_non_exhaustive()
    }
}

impl JobHarness {
    /// Starts a job with so many cores and this seed: `Local::seeded(2, 7)`. Of the rest, the sizes
    /// count, and where checkpoints go, if it says so; latency is not measured, and a failure ends
    /// the run. The wall clock stands at zero.
    ///
    /// # Errors
    /// When the job cannot run as asked.
    pub fn new(job: Job, local: Local) -> Result<Self> {
        let local = Local {
            marker_interval: None,
            checkpoints: Some(local.checkpoints.clone().unwrap_or_else(in_memory)),
            ..local
        };
        let graph = Arc::new(job.into_graph()?);
        let mut harness = Self { graph, local, clock: ManualClock::at(0), running: None };
        harness.start()?;
        Ok(harness)
    }

    fn start(&mut self) -> Result<()> {
        let (graph, local) = (self.graph.clone(), self.local.clone());
        self.running = Some(SteppedJob::start(graph, local, self.clock.clone())?);
        Ok(())
    }

    fn running(&mut self) -> Result<&mut SteppedJob> {
        self.running.as_mut().ok_or_else(|| {
            Error::configuration("the job does not run: it has failed; `restart` it to go on")
        })
    }

    /// One round: each task once, in an order drawn from the seed. `false` when none of them had
    /// anything to do.
    ///
    /// # Errors
    /// When the job fails. It can be started again with [`restart`](JobHarness::restart).
    pub fn round(&mut self) -> Result<bool> {
        let stepped = self.running()?.round();
        if stepped.is_err() {
            self.running = None;
        }
        stepped.map(|progress| progress == Progress::Worked)
    }

    /// Runs until nothing is left to do before more is pushed or time moves on.
    ///
    /// # Errors
    /// When the job fails.
    pub fn run_until_idle(&mut self) -> Result<()> {
        self.run_until(|_| false).map(drop)
    }

    /// Runs until `is_reached`, or until nothing is left to do; whether it was reached.
    fn run_until(&mut self, is_reached: impl Fn(&SteppedJob) -> bool) -> Result<bool> {
        let mut quiet = 0;
        while quiet < QUIET_ROUNDS {
            let running = self.running()?;
            if is_reached(running) {
                return Ok(true);
            }
            if running.is_finished() {
                return Ok(false);
            }
            quiet = if self.round()? { 0 } else { quiet + 1 };
        }
        Ok(false)
    }

    /// Moves processing time on, and runs until nothing is left to do: timers and windows of
    /// processing time that are due fire, and silent splits with
    /// [`idle_after`](crate::prelude::Watermarks::idle_after) fall idle.
    ///
    /// # Errors
    /// When the job fails.
    pub fn advance_processing_time(&mut self, by: Span) -> Result<()> {
        self.clock.advance_ns(by.0.max(0) as u64);
        self.run_until_idle()
    }

    /// What the wall clock of the job shows: nanoseconds since the harness was made.
    pub fn processing_time(&self) -> Timestamp {
        self.clock.wall()
    }

    /// Takes a checkpoint and runs until it is complete and nothing is left to do; its number. What
    /// was pushed just now may be before or behind it, as the seed will have it: run until idle
    /// first where that matters.
    ///
    /// # Errors
    /// When the job fails, has ended, or the checkpoint does.
    pub fn checkpoint(&mut self) -> Result<u64> {
        let running = self.running()?;
        let (before, failed) = (running.completed_checkpoint(), running.checkpoints().failed);
        if running.is_finished() {
            return Err(Error::configuration("the job has ended: it takes no checkpoint any more"));
        }
        running.trigger_checkpoint();
        let is_over = move |job: &SteppedJob| {
            job.completed_checkpoint() > before || job.checkpoints().failed > failed
        };
        self.run_until(is_over)?;
        let running = self.running()?;
        let completed = running.completed_checkpoint();
        if completed == before {
            let why = running.checkpoints().last_failure.unwrap_or_default();
            return Err(Error::internal(format!("the checkpoint did not complete: {why}")));
        }
        self.run_until_idle()?;
        Ok(completed)
    }

    /// Ends the job's process as a crash does, and starts another on so many cores from the newest
    /// checkpoint; from nothing where there is none.
    ///
    /// # Errors
    /// When the job cannot be restored.
    pub fn restart(&mut self, cores: u32) -> Result<()> {
        self.go_on(Restore::Latest, cores)
    }

    /// As [`restart`](JobHarness::restart) from a checkpoint that [`checkpoint`](Self::checkpoint)
    /// took before; those after it are forgotten.
    ///
    /// # Errors
    /// When the job cannot be restored.
    pub fn restore(&mut self, checkpoint: u64, cores: u32) -> Result<()> {
        self.go_on(Restore::Id(checkpoint), cores)
    }

    fn go_on(&mut self, restore: Restore, cores: u32) -> Result<()> {
        self.running = None;
        (self.local.restore, self.local.cores) = (restore, Cores::Count(cores));
        self.start()
    }

    /// Tells the sources to end, and runs until everything in flight is worked off: windows and
    /// timers of event time fire, sinks commit.
    ///
    /// # Errors
    /// When the job fails.
    pub fn stop(&mut self) -> Result<()> {
        self.running()?.stop();
        self.run_until_idle()
    }

    /// Whether the job has ended, because its sources have.
    pub fn is_finished(&self) -> bool {
        self.running.as_ref().is_some_and(SteppedJob::is_finished)
    }

    /// The sum of the counts under `name` since the last restart: `late_records_dropped`.
    pub fn count(&self, name: &str) -> u64 {
        self.running.as_ref().map_or(0, |running| running.counters().get(name))
    }
}

/// Checkpoints in memory that are taken when they are asked for.
fn in_memory() -> Checkpoints {
    let disk = SimDisk::new(0);
    let open = move || -> Result<Arc<dyn CheckpointStore>> {
        Ok(Arc::new(DirectoryStore::create(disk.clone(), "/checkpoints")?))
    };
    Checkpoints { retain: RETAINED, ..Checkpoints::new(OpenStore::new("memory", open), None) }
}
