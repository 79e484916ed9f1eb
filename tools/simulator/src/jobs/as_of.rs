//! As-of joins: each record with the last one of another source that was there at its time.

use std::collections::BTreeSet;
use std::sync::Arc;

use tailwater::prelude::*;
use tailwater_core::Random;

use super::expected::Lines;
use super::{Scenario, ticks};
use crate::disk::SimDisk;
use crate::input::{Input, Keys, STEP, Tick};
use crate::ledger::LedgerSink;
use crate::world::World;

/// Two inputs and what their join must put out.
pub struct Joined {
    left: Arc<Input>,
    right: Arc<Input>,
    tolerance: Span,
    due: Lines,
}

fn line(left: &Tick, right: Option<(i64, i64)>) -> String {
    format!("{} {} {}: {right:?}", left.split, left.index, left.key)
}

/// What a record of the right is worth: the same for all of a key and time, whose order is
/// anybody's guess.
fn worth(key: u32, at: i64) -> i64 {
    at * 31 + i64::from(key)
}

impl Joined {
    /// Draws both inputs, and how old a match may be.
    pub fn draw(random: &mut Random) -> Self {
        let left = Input::draw(random, Keys::Shared);
        let mut right = Input::draw(random, Keys::Shared);
        for tick in right.splits.iter_mut().flatten() {
            tick.amount = worth(tick.key, tick.at.0);
        }
        let tolerance = Span(STEP * (1 + random.below(60) as i64));
        let rights: BTreeSet<_> = right.ticks().map(|tick| (tick.key, tick.at.0)).collect();
        let due = left.ticks().map(|tick| {
            let earliest = tick.at.0 - tolerance.0;
            let last = rights.range((tick.key, earliest)..=(tick.key, tick.at.0)).next_back();
            line(tick, last.map(|(key, at)| (*at, worth(*key, *at))))
        });
        Self { due: due.collect(), left: Arc::new(left), right: Arc::new(right), tolerance }
    }
}

impl Scenario for Joined {
    fn build(&self, job: &Job, world: &Arc<World>, _: &SimDisk) {
        let watermarks = |input: &Input| Watermarks::bounded(input.disorder);
        let right = ticks(job, "right", &self.right, world, watermarks(&self.right));
        ticks(job, "left", &self.left, world, watermarks(&self.left))
            .key_by(|tick| tick.key)
            .as_of(right.key_by(|tick| tick.key), AsOf::backward().within(self.tolerance))
            .map(|matched: Matched<Tick, Tick>| {
                let right = matched.right.map(|right| (right.value.at.0, right.value.amount));
                line(&matched.left, right)
            })
            .sink(LedgerSink::new("out", world));
    }

    fn check(&self, world: &World, _: &SimDisk, ended: bool) -> Result<(), String> {
        self.due.check(&world.ledger.committed("out"), ended)
    }

    fn records(&self) -> usize {
        self.left.count() + self.right.count()
    }
}
