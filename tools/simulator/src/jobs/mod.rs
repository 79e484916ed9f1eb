//! The jobs that the simulator runs, each with what it must put out.

mod expected;
mod fold;
mod graph;
mod idle;
mod ordered;
mod reference;
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
}

/// Draws a job's input and what it must put out.
type Draw = fn(&mut Random) -> Box<dyn Scenario>;

/// The jobs by name.
pub const JOBS: &[(&str, Draw)] = &[
    ("fold", |random| Box::new(fold::Fold::draw(random))),
    ("names", |random| Box::new(fold::Names::draw(random))),
    ("tumbling", |random| Box::new(windows::Windows::tumbling(random))),
    ("sliding", |random| Box::new(windows::Windows::sliding(random))),
    ("sessions", |random| Box::new(sessions::Sessions::draw(random))),
    ("ordered", |random| Box::new(ordered::Ordered::into_ledger(random))),
    ("file", |random| Box::new(ordered::Ordered::into_file(random))),
    ("parts", |random| Box::new(ordered::Ordered::into_parts(random))),
    ("idle", |random| Box::new(idle::IdleSplits::draw(random))),
    ("graph", |random| Box::new(graph::Crossing::draw(random))),
];

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
