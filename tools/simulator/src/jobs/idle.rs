//! Splits that fall silent and are left behind: each record is in one firing of its window, or it
//! is late.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use tailwater::prelude::*;
use tailwater_core::Random;

use super::reference::{self, Cell, Sum};
use super::windows::fired_line;
use super::{Scenario, ticks};
use crate::disk::SimDisk;
use crate::input::{Input, Keys, STEP, Tick};
use crate::ledger::LedgerSink;
use crate::probe::Probe;
use crate::world::World;

/// Tumbling windows with a second output of late records.
pub struct IdleSplits {
    input: Arc<Input>,
    size: i64,
    idle_after: Span,
    due: BTreeMap<Cell, Sum>,
}

impl IdleSplits {
    /// Draws windows and how soon a split is idle.
    pub fn draw(random: &mut Random) -> Self {
        let input = Input::draw(random, Keys::Shared);
        let size = STEP * (1 + random.below(40) as i64);
        Self {
            due: reference::sliding(&input, size, size),
            input: Arc::new(input),
            size,
            idle_after: Span(5_000 << random.below(6)),
        }
    }

    fn late_line(tick: Tick) -> String {
        format!("{} {}", tick.split, tick.index)
    }

    /// The windows and the late records together make the whole.
    fn sums(&self, world: &World) -> Result<BTreeMap<Cell, Sum>, String> {
        let mut sums: BTreeMap<Cell, Sum> = BTreeMap::new();
        for text in world.ledger.committed("windows") {
            let numbers: Vec<i64> = text.split(' ').filter_map(|part| part.parse().ok()).collect();
            let [end, key, start, count, amount] = numbers[..] else {
                return Err(format!("`{text}` is no window"));
            };
            // A window may fire again: what came too late on one core is in time after a restart,
            // where the watermark is that of the core that was furthest behind.
            let sum = sums.entry((end, key as u32, start)).or_default();
            sum.count += count as u64;
            sum.amount += i128::from(amount);
        }
        let mut seen = HashSet::new();
        for text in world.ledger.committed("late") {
            if !seen.insert(text.clone()) {
                return Err(format!("the late record `{text}` is in the output twice"));
            }
            let place = text.split_once(' ');
            let place = place.and_then(|(split, index)| {
                Some((split.parse::<usize>().ok()?, index.parse::<usize>().ok()?))
            });
            let tick = place
                .and_then(|(split, index)| self.input.splits.get(split)?.get(index))
                .ok_or_else(|| format!("`{text}` is no record"))?;
            let start = tick.at.0.div_euclid(self.size) * self.size;
            let sum = sums.entry((start + self.size, tick.key, start)).or_default();
            sum.count += 1;
            sum.amount += i128::from(tick.amount);
        }
        Ok(sums)
    }
}

impl Scenario for IdleSplits {
    fn build(&self, job: &Job, world: &Arc<World>, _: &SimDisk) {
        let watermarks = Watermarks::bounded(self.input.disorder).idle_after(self.idle_after);
        let (windows, late) = ticks(job, "ticks", &self.input, world, watermarks)
            .key_by(|tick| tick.key)
            .window(Tumbling::of(Span(self.size)))
            .aggregate_with_late((count(), sum(|tick: &Tick| tick.amount)));
        windows
            .then(Probe::new("windows", world))
            .map(fired_line)
            .sink(LedgerSink::new("windows", world));
        late.map(Self::late_line).sink(LedgerSink::new("late", world));
    }

    fn check(&self, world: &World, _: &SimDisk, ended: bool) -> Result<(), String> {
        let sums = self.sums(world)?;
        for (cell, sum) in &sums {
            match self.due.get(cell) {
                Some(due) if sum.count < due.count && !ended => {}
                Some(due) if sum == due => {}
                due => return Err(format!("the window {cell:?} has {sum:?} in all, not {due:?}")),
            }
        }
        match self.due.keys().find(|cell| ended && !sums.contains_key(*cell)) {
            Some(missing) => Err(format!("the window {missing:?} is missing")),
            None => Ok(()),
        }
    }

    fn records(&self) -> usize {
        self.input.count()
    }
}
