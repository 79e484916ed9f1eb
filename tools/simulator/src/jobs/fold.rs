//! Rolling folds by key: small values that never change their size, and names with lists.

use std::collections::HashMap;
use std::sync::Arc;

use tailwater::prelude::*;
use tailwater_core::Random;

use super::expected::Lines;
use super::{Scenario, ticks};
use crate::disk::SimDisk;
use crate::input::{Input, Keys, Tick};
use crate::ledger::LedgerSink;
use crate::probe::Probe;
use crate::world::World;

/// A running count and sum for each key.
pub struct Fold {
    input: Arc<Input>,
    due: Lines,
    /// Whether the newest checkpoint may rot: the one before it is taken then, and what was
    /// committed since is put out once more.
    may_repeat: bool,
}

#[record]
#[derive(Copy, Default)]
struct Running {
    key: u32,
    count: u32,
    amount: i64,
}

impl Running {
    fn add(&mut self, tick: &Tick) {
        self.key = tick.key;
        self.count += 1;
        self.amount += tick.amount;
    }

    fn line(self) -> String {
        format!("{} {} {}", self.key, self.count, self.amount)
    }
}

impl Fold {
    /// Draws an input.
    pub fn draw(random: &mut Random) -> Self {
        let input = Input::draw(random, Keys::OfOneSplit);
        let mut running: HashMap<u32, Running> = HashMap::new();
        let due = input.ticks().map(|tick| {
            let running = running.entry(tick.key).or_default();
            running.add(tick);
            running.line()
        });
        let (due, may_repeat) = (due.collect(), random.chance(1, 2));
        Self { due, input: Arc::new(input), may_repeat }
    }
}

impl Scenario for Fold {
    fn build(&self, job: &Job, world: &Arc<World>, _: &SimDisk) {
        let watermarks = Watermarks::bounded(self.input.disorder);
        ticks(job, "ticks", &self.input, world, watermarks)
            .key_by(|tick| tick.key)
            .fold(Running::default(), Running::add)
            .then(Probe::new("folded", world))
            .map(Running::line)
            .sink(LedgerSink::new("out", world));
    }

    fn check(&self, world: &World, _: &SimDisk, ended: bool) -> Result<(), String> {
        let output = world.ledger.committed("out");
        match self.may_repeat {
            true => self.due.check_at_least(&output, ended),
            false => self.due.check(&output, ended),
        }
    }

    fn records(&self) -> usize {
        self.input.count()
    }

    fn may_repeat(&self) -> bool {
        self.may_repeat
    }
}

/// For each name its last amounts, as text and as a list.
pub struct Names {
    input: Arc<Input>,
    due: Lines,
}

#[record]
#[derive(Default)]
struct Recent {
    name: String,
    count: u64,
    amounts: Vec<i64>,
}

/// Lists grow up to this, then they begin again.
const RECENT_MAX: usize = 12;

impl Recent {
    fn add(&mut self, tick: &Tick) {
        self.name = name(tick.key);
        self.count += 1;
        if self.amounts.len() == RECENT_MAX {
            self.amounts.clear();
        }
        self.amounts.push(tick.amount);
    }

    fn line(self) -> String {
        format!("{} {} {:?}", self.name, self.count, self.amounts)
    }
}

/// Names of all lengths.
fn name(key: u32) -> String {
    format!("{key}{}", "+".repeat(key as usize % 40))
}

impl Names {
    /// Draws an input.
    pub fn draw(random: &mut Random) -> Self {
        let input = Input::draw(random, Keys::OfOneSplit);
        let mut recent: HashMap<u32, Recent> = HashMap::new();
        let due = input.ticks().map(|tick| {
            let recent = recent.entry(tick.key).or_default();
            recent.add(tick);
            recent.clone().line()
        });
        Self { due: due.collect(), input: Arc::new(input) }
    }
}

impl Scenario for Names {
    fn build(&self, job: &Job, world: &Arc<World>, _: &SimDisk) {
        let watermarks = Watermarks::bounded(self.input.disorder);
        ticks(job, "ticks", &self.input, world, watermarks)
            .key_by(|tick| name(tick.key))
            .fold(Recent::default(), Recent::add)
            .map(Recent::line)
            .sink(LedgerSink::new("out", world));
    }

    fn check(&self, world: &World, _: &SimDisk, ended: bool) -> Result<(), String> {
        self.due.check(&world.ledger.committed("out"), ended)
    }

    fn records(&self) -> usize {
        self.input.count()
    }
}
