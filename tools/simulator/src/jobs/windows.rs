//! Tumbling and sliding windows: panes in two halves, or with all records sent to their owner.

use std::sync::Arc;

use tailwater::operators::Operator;
use tailwater::prelude::*;
use tailwater_core::Random;

use super::expected::Lines;
use super::reference::{self, Cell, Sum};
use super::{Scenario, ticks};
use crate::disk::SimDisk;
use crate::input::{Input, Keys, STEP, Tick};
use crate::ledger::LedgerSink;
use crate::probe::Probe;
use crate::world::World;

/// Windows of all keys, counted and summed up.
pub struct Windows {
    input: Arc<Input>,
    size: i64,
    slide: i64,
    /// Records are summed up where they come in, before they are exchanged.
    in_halves: bool,
    /// The aggregate can take a pane out of a running total.
    subtracts: bool,
    due: Lines,
}

/// A window's line.
pub fn line((end, key, start): Cell, sum: Sum) -> String {
    format!("{end} {key} {start} {} {}", sum.count, sum.amount)
}

/// The line of a window that the engine has fired.
pub fn fired_line(fired: WindowResult<u32, (u64, i128)>) -> String {
    let (count, amount) = fired.value;
    line((fired.window.end.0, fired.key, fired.window.start.0), Sum { count, amount })
}

/// A count and a sum that cannot be taken back.
#[record]
#[derive(Default)]
pub struct Total {
    count: u64,
    amount: i128,
}

impl Aggregate<Tick> for Total {
    type Output = (u64, i128);

    fn add(&mut self, tick: &Tick) {
        self.count += 1;
        self.amount += i128::from(tick.amount);
    }

    fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.amount += other.amount;
    }

    fn finish(&self) -> (u64, i128) {
        (self.count, self.amount)
    }
}

impl Windows {
    /// Draws windows that do not overlap.
    pub fn tumbling(random: &mut Random) -> Self {
        let size = STEP * (1 + random.below(40) as i64);
        Self::of(random, size, size)
    }

    /// Draws windows that overlap.
    pub fn sliding(random: &mut Random) -> Self {
        let slide = STEP * (1 + random.below(20) as i64);
        let size = slide + random.below(4 * slide as u64) as i64;
        Self::of(random, size, slide)
    }

    fn of(random: &mut Random, size: i64, slide: i64) -> Self {
        let input = Input::draw(random, Keys::Shared);
        let windows = reference::sliding(&input, size, slide);
        Self {
            due: windows.into_iter().map(|(cell, sum)| line(cell, sum)).collect(),
            input: Arc::new(input),
            size,
            slide,
            in_halves: random.chance(2, 3),
            subtracts: random.chance(1, 2),
        }
    }

    /// The stream of fired windows' end.
    fn finish<C>(fired: Stream<WindowResult<u32, (u64, i128)>, C>, world: &Arc<World>)
    where
        C: Operator<Out = WindowResult<u32, (u64, i128)>> + Clone,
    {
        fired.then(Probe::new("fired", world)).map(fired_line).sink(LedgerSink::new("out", world));
    }
}

impl Scenario for Windows {
    fn build(&self, job: &Job, world: &Arc<World>, _: &SimDisk) {
        let watermarks = Watermarks::bounded(self.input.disorder);
        let keyed = ticks(job, "ticks", &self.input, world, watermarks).key_by(|tick| tick.key);
        let windows = Sliding::of(Span(self.size)).every(Span(self.slide));
        let count_and_sum = (count(), sum(|tick: &Tick| tick.amount));
        match (self.slide == self.size, self.in_halves, self.subtracts) {
            (true, true, _) => {
                let windows = Tumbling::of(Span(self.size));
                Self::finish(keyed.window(windows).aggregate(count_and_sum), world);
            }
            (true, false, _) => {
                let windows = keyed.window(Tumbling::of(Span(self.size)));
                let direct = windows.without_local_aggregation();
                Self::finish(direct.aggregate(Total::default()), world);
            }
            (false, true, true) => {
                Self::finish(keyed.window(windows).aggregate(count_and_sum), world);
            }
            (false, true, false) => {
                Self::finish(keyed.window(windows).aggregate(Total::default()), world);
            }
            (false, false, true) => {
                let direct = keyed.window(windows).without_local_aggregation();
                Self::finish(direct.aggregate(count_and_sum), world);
            }
            (false, false, false) => {
                let direct = keyed.window(windows).without_local_aggregation();
                Self::finish(direct.aggregate(Total::default()), world);
            }
        }
    }

    fn check(&self, world: &World, _: &SimDisk, ended: bool) -> Result<(), String> {
        self.due.check(&world.ledger.committed("out"), ended)
    }

    fn records(&self) -> usize {
        self.input.count()
    }
}
