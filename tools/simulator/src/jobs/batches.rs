//! Batches of a core: an operator that keeps records in a list until they are enough, whatever
//! their keys.

use std::collections::BTreeSet;
use std::sync::Arc;

use tailwater::prelude::*;
use tailwater_core::Random;

use super::expected::Lines;
use super::graph::tick_line;
use super::{Scenario, ticks};
use crate::disk::SimDisk;
use crate::input::{Input, Keys, Tick};
use crate::ledger::LedgerSink;
use crate::probe::Probe;
use crate::world::World;

/// What a core has not handed on yet, twice: the lists come to a core by ways of their own.
#[operator_state]
struct Waiting {
    ticks: ListState<Tick>,
    all: UnionState<Tick>,
}

/// Hands records on by so many, and by fewer at the end.
#[derive(Clone)]
struct Batches {
    of: usize,
    world: Arc<World>,
}

impl Batches {
    fn hand_on(waiting: &mut Waiting, context: &mut UnkeyedContext<Tick>) {
        waiting.all.clear();
        waiting.ticks.drain(..).for_each(|tick| context.emit_at(tick.at, tick));
    }
}

impl UnkeyedProcess for Batches {
    type In = Tick;
    type State = Waiting;
    type Out = Tick;

    fn on_restore(&mut self, waiting: &mut Waiting, core: u32, cores: u32) {
        let place = |tick: &Tick| (tick.split, tick.index);
        let own: BTreeSet<_> = waiting.ticks.iter().map(place).collect();
        waiting.all.retain(|tick| own.contains(&place(tick)));
        if waiting.all.len() != own.len() {
            let (own, found) = (own.len(), waiting.all.len());
            self.world.violate(format!(
                "core {core} of {cores} waits with {own} records; {found} are in the union of all"
            ));
        }
    }

    fn on_record(&mut self, tick: Tick, waiting: &mut Waiting, context: &mut UnkeyedContext<Tick>) {
        waiting.all.push(tick);
        waiting.ticks.push(tick);
        if waiting.ticks.len() >= self.of {
            Self::hand_on(waiting, context);
        }
    }

    fn on_end(&mut self, waiting: &mut Waiting, context: &mut UnkeyedContext<Tick>) {
        Self::hand_on(waiting, context);
    }
}

/// An input that goes by batches.
pub struct Batched {
    input: Arc<Input>,
    of: usize,
    /// Whether the records leave the cores that read them.
    spread: bool,
    due: Lines,
}

impl Batched {
    /// Draws an input and how many records make a batch.
    pub fn draw(random: &mut Random) -> Self {
        let input = Input::draw(random, Keys::Shared);
        let due = input.ticks().copied().map(tick_line).collect();
        let of = 1 + random.below(60) as usize;
        Self { input: Arc::new(input), of, spread: random.chance(1, 2), due }
    }
}

impl Scenario for Batched {
    fn build(&self, job: &Job, world: &Arc<World>, _: &SimDisk) {
        let ticks =
            ticks(job, "ticks", &self.input, world, Watermarks::bounded(self.input.disorder));
        let batches = Batches { of: self.of, world: world.clone() };
        let sink = LedgerSink::new("out", world);
        let probe = Probe::new("batches", world);
        if self.spread {
            ticks.rebalance().process_unkeyed(batches).then(probe).map(tick_line).sink(sink);
        } else {
            ticks.process_unkeyed(batches).then(probe).map(tick_line).sink(sink);
        }
    }

    fn check(&self, world: &World, _: &SimDisk, ended: bool) -> Result<(), String> {
        self.due.check(&world.ledger.committed("out"), ended)
    }

    fn records(&self) -> usize {
        self.input.count()
    }
}
