//! Streams that part and meet: two sources, a tee, a split, a union, four sinks.

use std::sync::Arc;

use tailwater::prelude::*;
use tailwater_core::Random;

use super::expected::Lines;
use super::reference;
use super::windows::{fired_line, line};
use super::{Scenario, ticks};
use crate::disk::SimDisk;
use crate::input::{Input, Keys, STEP, Tick};
use crate::ledger::LedgerSink;
use crate::probe::Probe;
use crate::world::World;

/// Two inputs, led through a graph.
pub struct Crossing {
    first: Arc<Input>,
    second: Arc<Input>,
    at_least_once: bool,
    size: i64,
    all: Lines,
    even: Lines,
    odd: Lines,
    windows: Lines,
}

/// A record as it is put out.
pub(super) fn tick_line(tick: Tick) -> String {
    format!("{} {} {} {}", tick.split, tick.index, tick.key, tick.amount)
}

impl Crossing {
    /// Draws two inputs.
    pub fn draw(random: &mut Random) -> Self {
        let first = Input::draw(random, Keys::Shared);
        let second = Input::draw(random, Keys::Shared);
        let size = STEP * (1 + random.below(40) as i64);
        let windows = reference::sliding(&second, size, size);
        let lines = |input: &Input, wanted: fn(&Tick) -> bool| -> Vec<String> {
            input.ticks().filter(|tick| wanted(tick)).map(|tick| tick_line(*tick)).collect()
        };
        let all = lines(&first, |_| true).into_iter().chain(lines(&second, |_| true));
        Self {
            all: all.collect(),
            even: lines(&first, |tick| tick.key % 2 == 0).into_iter().collect(),
            odd: lines(&first, |tick| tick.key % 2 == 1).into_iter().collect(),
            windows: windows.into_iter().map(|(cell, sum)| line(cell, sum)).collect(),
            first: Arc::new(first),
            second: Arc::new(second),
            at_least_once: random.chance(1, 3),
            size,
        }
    }
}

impl Scenario for Crossing {
    fn build(&self, job: &Job, world: &Arc<World>, _: &SimDisk) {
        let watermarks = |input: &Input| Watermarks::bounded(input.disorder);
        let first = ticks(job, "first", &self.first, world, watermarks(&self.first));
        let second = ticks(job, "second", &self.second, world, watermarks(&self.second));
        let (first, parted) = first.tee();
        let (second, summed) = second.rebalance().tee();
        first
            .union(second)
            .then(Probe::new("union", world))
            .map(tick_line)
            .sink(LedgerSink::new("all", world));
        let (even, odd) = parted.split(|tick| tick.key % 2 == 0);
        even.map(tick_line).sink(LedgerSink::new("even", world));
        odd.rebalance().map(tick_line).sink(LedgerSink::new("odd", world));
        summed
            .key_by(|tick| tick.key)
            .window(Tumbling::of(Span(self.size)))
            .aggregate((count(), sum(|tick: &Tick| tick.amount)))
            .map(fired_line)
            .sink(LedgerSink::new("windows", world));
    }

    fn check(&self, world: &World, _: &SimDisk, ended: bool) -> Result<(), String> {
        for (sink, due) in [("all", &self.all), ("even", &self.even), ("odd", &self.odd)] {
            let output = world.ledger.committed(sink);
            let checked = match self.at_least_once {
                true => due.check_at_least(&output, ended),
                false => due.check(&output, ended),
            };
            checked.map_err(|what| format!("sink {sink}: {what}"))?;
        }
        // Records that count twice change what a window holds.
        if self.at_least_once {
            return Ok(());
        }
        let checked = self.windows.check(&world.ledger.committed("windows"), ended);
        checked.map_err(|what| format!("sink windows: {what}"))
    }

    fn records(&self) -> usize {
        self.first.count() + self.second.count()
    }

    fn at_least_once(&self) -> bool {
        self.at_least_once
    }
}
