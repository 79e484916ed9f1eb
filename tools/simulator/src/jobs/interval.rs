//! Interval joins: each pair of records of two sources that are close enough in time, once.

use std::sync::Arc;

use tailwater::prelude::*;
use tailwater_core::Random;

use super::expected::Lines;
use super::{Scenario, ticks};
use crate::disk::SimDisk;
use crate::input::{Input, Keys, STEP, Tick};
use crate::ledger::LedgerSink;
use crate::world::World;

/// Two inputs and the pairs that they make.
pub struct Close {
    left: Arc<Input>,
    right: Arc<Input>,
    lower: Span,
    upper: Span,
    due: Lines,
}

fn line(left: &Tick, right: &Tick) -> String {
    format!("{} {} {}: {} {}", left.split, left.index, left.key, right.split, right.index)
}

impl Close {
    /// Draws both inputs, and what is close.
    pub fn draw(random: &mut Random) -> Self {
        let left = Input::draw(random, Keys::Shared);
        let right = Input::draw(random, Keys::Shared);
        let lower = Span(-STEP * random.below(4) as i64);
        let upper = Span(STEP * random.below(4) as i64);
        let mut due = Vec::new();
        for one in left.ticks() {
            let close = right.ticks().filter(|other| {
                let apart = other.at - one.at;
                one.key == other.key && lower <= apart && apart <= upper
            });
            due.extend(close.map(|other| line(one, other)));
        }
        let (left, right) = (Arc::new(left), Arc::new(right));
        Self { due: due.into_iter().collect(), left, right, lower, upper }
    }
}

impl Scenario for Close {
    fn build(&self, job: &Job, world: &Arc<World>, _: &SimDisk) {
        let watermarks = |input: &Input| Watermarks::bounded(input.disorder);
        let right = ticks(job, "right", &self.right, world, watermarks(&self.right));
        ticks(job, "left", &self.left, world, watermarks(&self.left))
            .key_by(|tick| tick.key)
            .interval_join(right.key_by(|tick| tick.key), Interval::between(self.lower, self.upper))
            .map(|pair: Joined<Tick, Tick>| line(&pair.left, &pair.right))
            .sink(LedgerSink::new("out", world));
    }

    fn check(&self, world: &World, _: &SimDisk, ended: bool) -> Result<(), String> {
        self.due.check(&world.ledger.committed("out"), ended)
    }

    fn records(&self) -> usize {
        self.left.count() + self.right.count()
    }
}
