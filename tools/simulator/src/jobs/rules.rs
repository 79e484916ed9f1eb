//! Rules that every core gets: each record is looked at with the rules that were in force when its
//! timer was due.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tailwater::prelude::*;
use tailwater_core::Random;

use super::expected::Lines;
use super::{Scenario, ticks};
use crate::disk::SimDisk;
use crate::input::{Input, Keys, STEP, Tick};
use crate::ledger::LedgerSink;
use crate::world::World;

/// From a record to the timer that looks at the rules.
const DELAY: i64 = 5 * STEP;

/// The records of a key that wait, by when they are looked at.
#[keyed_state(key = u32)]
pub struct Waiting {
    amounts: Map<i64, i64>,
}

/// Adds up what waits, and the rules up to then.
#[derive(Clone)]
struct Rules;

impl BroadcastProcess for Rules {
    type In = Tick;
    type Broadcast = Tick;
    type Shared = BroadcastState<i64, i64>;
    type State = Waiting;
    type Out = String;

    fn on_record(
        &mut self,
        tick: Tick,
        _: &Self::Shared,
        waiting: &mut Waiting,
        context: &mut Context<String>,
    ) {
        let due = tick.at.0 + DELAY;
        *waiting.amounts.or_insert_with(due, || 0) += tick.amount;
        context.event_timer(Timestamp(due));
    }

    fn on_broadcast(
        &mut self,
        rule: Tick,
        rules: &mut Self::Shared,
        _: &mut BroadcastContext<'_, Self::State, String>,
    ) {
        // Rules of several splits come in any order: only their sum is the same on each core.
        let so_far = rules.get(&rule.at.0).copied().unwrap_or(0);
        rules.insert(rule.at.0, so_far + rule.amount);
    }

    fn on_timer(
        &mut self,
        at: Timestamp,
        rules: &Self::Shared,
        waiting: &mut Waiting,
        context: &mut Context<String>,
    ) {
        // Later rules may be there already; earlier ones all are.
        let in_force = rules.iter().take_while(|(since, _)| **since <= at.0);
        let sum = in_force.map(|(_, amount)| amount).sum();
        let amount = waiting.amounts.remove(&at.0);
        context.emit(line(*waiting.key(), at.0, amount, sum));
    }
}

fn line(key: u32, at: i64, amount: Option<i64>, rules: i64) -> String {
    format!("{key} at {at}: {amount:?} {rules}")
}

/// Records and rules.
pub struct Ruled {
    ticks: Arc<Input>,
    rules: Arc<Input>,
    due: Lines,
}

impl Ruled {
    /// Draws both.
    pub fn draw(random: &mut Random) -> Self {
        let input = Input::draw(random, Keys::Shared);
        let rules = Input::draw(random, Keys::Shared);
        let mut waiting = BTreeMap::<_, i64>::new();
        for tick in input.ticks() {
            *waiting.entry((tick.key, tick.at.0 + DELAY)).or_default() += tick.amount;
        }
        // By time, and each for itself.
        let by_time: BTreeSet<_> =
            rules.ticks().map(|rule| (rule.at.0, rule.split, rule.index, rule.amount)).collect();
        let sum = |at| -> i64 {
            let in_force = by_time.iter().take_while(|(since, ..)| *since <= at);
            in_force.map(|(.., amount)| amount).sum()
        };
        let due =
            waiting.iter().map(|((key, at), amount)| line(*key, *at, Some(*amount), sum(*at)));
        Self { due: due.collect(), ticks: Arc::new(input), rules: Arc::new(rules) }
    }
}

impl Scenario for Ruled {
    fn build(&self, job: &Job, world: &Arc<World>, _: &SimDisk) {
        let watermarks = |input: &Input| Watermarks::bounded(input.disorder);
        let rules = ticks(job, "rules", &self.rules, world, watermarks(&self.rules));
        ticks(job, "ticks", &self.ticks, world, watermarks(&self.ticks))
            .key_by(|tick| tick.key)
            .connect_broadcast(rules)
            .process(Rules)
            .sink(LedgerSink::new("out", world));
    }

    fn check(&self, world: &World, _: &SimDisk, ended: bool) -> Result<(), String> {
        self.due.check(&world.ledger.committed("out"), ended)
    }

    fn records(&self) -> usize {
        self.ticks.count() + self.rules.count()
    }
}
