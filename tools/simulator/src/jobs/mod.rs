//! The jobs that the simulator runs, each with what it must put out.

mod accounts;
mod as_of;
mod async_io;
mod batches;
mod expected;
mod fold;
mod graph;
mod idle;
mod interval;
mod ordered;
mod process;
mod reference;
mod rules;
mod sessions;
mod windows;

use std::sync::Arc;

use tailwater::operators::Operator;
use tailwater::prelude::*;
use tailwater_core::Random;

use crate::disk::SimDisk;
use crate::input::{Input, Tick};
use crate::probe::Probe;
use crate::script::Script;
use crate::world::World;

/// A job with its input and its oracle.
pub trait Scenario: Send + Sync {
    /// Adds the job's streams. Called for each process that runs it, with its disk.
    fn build(&self, job: &Job, world: &Arc<World>, disk: &SimDisk);

    /// What is wrong with what was put out so far, or, when the job has `ended`, in all.
    ///
    /// # Errors
    /// The first thing that is wrong.
    fn check(&self, world: &World, disk: &SimDisk, ended: bool) -> Result<(), String>;

    /// Whether its output is on the disk, where nobody hears of a commit.
    fn is_on_disk(&self) -> bool {
        false
    }

    /// How many records it reads.
    fn records(&self) -> usize;

    /// Whether records may count twice after a restart.
    fn at_least_once(&self) -> bool {
        false
    }

    /// Whether results may be put out again, so that the newest checkpoint may rot.
    fn may_repeat(&self) -> bool {
        self.at_least_once()
    }
}

/// Draws a job's input and what it must put out.
pub type Draw = fn(&mut Random) -> Box<dyn Scenario>;

/// The jobs by name, each with how often it is drawn next to the others: more often where bugs hide
/// that few runs show.
pub const JOBS: &[(&str, u64, Draw)] = &[
    ("fold", 2, |random| Box::new(fold::Fold::draw(random))),
    ("names", 1, |random| Box::new(fold::Names::draw(random))),
    ("tumbling", 1, |random| Box::new(windows::Windows::tumbling(random))),
    ("sliding", 2, |random| Box::new(windows::Windows::sliding(random))),
    ("sessions", 1, |random| Box::new(sessions::Sessions::draw(random))),
    ("ordered", 2, |random| Box::new(ordered::Ordered::into_ledger(random))),
    ("file", 16, |random| Box::new(ordered::Ordered::into_file(random))),
    ("parts", 3, |random| Box::new(ordered::Ordered::into_parts(random))),
    ("idle", 1, |random| Box::new(idle::IdleSplits::draw(random))),
    ("visits", 3, |random| Box::new(process::Visits::once(random))),
    ("repeated visits", 5, |random| Box::new(process::Visits::at_least_once(random))),
    ("timers", 1, |random| Box::new(process::Timed::draw(random))),
    ("accounts", 2, |random| Box::new(accounts::Keyed::draw(random))),
    ("batches", 1, |random| Box::new(batches::Batched::draw(random))),
    ("rules", 1, |random| Box::new(rules::Ruled::draw(random))),
    ("as of", 1, |random| Box::new(as_of::Joined::draw(random))),
    ("interval", 1, |random| Box::new(interval::Close::draw(random))),
    ("async", 2, |random| Box::new(async_io::Asked::draw(random))),
    ("graph", 1, |random| Box::new(graph::Crossing::draw(random))),
];

/// A job, drawn by its weight, unless it is named.
pub fn draw_job(random: &mut Random, named: Option<&str>) -> (&'static str, Draw) {
    let mut left = random.below(JOBS.iter().map(|(_, weight, _)| weight).sum());
    let drawn = JOBS.iter().find(|(_, weight, _)| {
        let is_it = left < *weight;
        left = left.saturating_sub(*weight);
        is_it
    });
    let job = named.and_then(|named| JOBS.iter().find(|(name, ..)| *name == named)).or(drawn);
    job.map(|(name, _, draw)| (*name, *draw)).expect("a draw is below the sum of the weights")
}

/// The records of an input with their event times, behind a function that may panic.
fn ticks(
    job: &Job,
    source: &str,
    input: &Arc<Input>,
    world: &Arc<World>,
    watermarks: Watermarks<tailwater::operators::watermarks::Bounded>,
) -> Stream<Tick, impl Operator<Out = Tick> + Clone + use<>> {
    let user = world.clone();
    job.source(Script::new(input, world))
        .named(source)
        .event_time(|tick: &Tick| tick.at, watermarks)
        .then(Probe::new("source", world))
        .inspect(move |_, _| user.maybe_panic())
}
