//! A job that runs in its caller's thread, a round at a time: for tests that drive it by hand.

use std::sync::Arc;

use tailwater_core::{Counters, Error, ManualClock, Random, Result};
use tailwater_state::store::Lock;

use super::driver_seeded::Actors;
use super::supervisor::Attempt;
use super::{Shared, supervise};
use crate::checkpoint::CheckpointReport;
use crate::config::{Driver, Local};
use crate::control::Mode;
use crate::graph::Graph;
use crate::task::Progress;

/// One attempt of a job on the seeded driver. Nothing of it runs but in [`round`](Self::round), and
/// time stands still but for the clock that it was given. A failure ends it, whatever the restart
/// strategy; dropping it is a crash of the process.
pub struct SteppedJob {
    shared: Shared,
    actors: Actors,
    random: Random,
    clock: ManualClock,
    warnings: Vec<String>,
    /// Keeps other jobs off the store.
    _lock: Option<Lock>,
}

impl SteppedJob {
    /// Opens the tasks of all cores. The graph can be started again when this attempt is gone.
    ///
    /// # Errors
    /// When the job cannot run as asked, or with another driver than the seeded one.
    pub fn start(graph: Arc<Graph>, local: Local, clock: ManualClock) -> Result<Self> {
        let Driver::Seeded(seed) = local.driver else {
            return Err(Error::configuration(
                "a job is driven by hand with the seeded driver only: ask for it with a seed",
            ));
        };
        let between_steps = Box::new(|_: &ManualClock| Ok(()));
        let (mut supervisor, warnings) =
            supervise(graph.clone(), local, clock.clone(), between_steps)?;
        let Some(Attempt { shared, service, .. }) = supervisor.set_out()? else {
            return Err(Error::internal("a job that nobody else knows was aborted"));
        };
        let actors = Actors::open(&shared, &graph, service)?;
        match shared.control.take_failure() {
            Some(error) => Err(error),
            None => Ok(Self {
                shared,
                actors,
                random: Random::from_seed(seed),
                clock,
                warnings,
                _lock: supervisor._lock,
            }),
        }
    }

    /// Steps each task once, and the checkpoint service, in an order drawn from the seed; what the
    /// busiest of them came to. [`Progress::Done`] when the job has ended.
    ///
    /// # Errors
    /// When the job fails. It has ended then.
    pub fn round(&mut self) -> Result<Progress> {
        if self.is_finished() {
            return Ok(Progress::Done);
        }
        let stepped = self.actors.round(&self.shared, &mut self.random, &self.clock);
        let progress = stepped.unwrap_or_else(|error| {
            self.shared.control.fail(error);
            Progress::Done
        });
        match self.shared.control.take_failure() {
            Some(error) => Err(error.context(format!("job `{}` failed", self.shared.outline.name))),
            None => Ok(progress),
        }
    }

    /// Whether the job has ended, well or not.
    pub fn is_finished(&self) -> bool {
        self.actors.have_ended() || self.shared.control.mode() == Mode::Aborted
    }

    /// Tells the sources to end; the rounds that follow work off what is in flight.
    pub fn stop(&self) {
        self.shared.control.drain();
    }

    /// Takes a checkpoint in the rounds that follow.
    pub fn trigger_checkpoint(&self) {
        self.shared.control.want_checkpoint();
    }

    /// The newest checkpoint that is complete; zero for none. What the job was restored from
    /// counts.
    pub fn completed_checkpoint(&self) -> u64 {
        self.shared.control.completed()
    }

    /// What checkpoints have come to so far.
    pub fn checkpoints(&self) -> CheckpointReport {
        self.shared.summary.report()
    }

    /// The named counts of the job.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// What went otherwise than asked.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}
