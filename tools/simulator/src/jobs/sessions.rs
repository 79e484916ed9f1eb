//! Sessions with lateness: a window fires again with each late record, and what it fires last is
//! right.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use tailwater::prelude::*;
use tailwater_core::Random;

use super::reference::{self, Cell, Sum};
use super::windows::{fired_line, line};
use super::{Scenario, ticks};
use crate::disk::SimDisk;
use crate::input::{Input, Keys, STEP, Tick};
use crate::ledger::LedgerSink;
use crate::world::World;

/// Sessions of all keys.
pub struct Sessions {
    input: Arc<Input>,
    gap: i64,
    /// Less than the records are out of order: some come late, but none too late.
    delay: Span,
    due: BTreeMap<Cell, Sum>,
}

impl Sessions {
    /// Draws sessions.
    pub fn draw(random: &mut Random) -> Self {
        let input = Input::draw(random, Keys::Shared);
        let gap = STEP * (1 + random.below(20) as i64);
        let delay = Span(random.below(input.disorder.0 as u64 + 1) as i64);
        Self { due: reference::sessions(&input, gap), input: Arc::new(input), gap, delay }
    }

    /// A window that fired must be part of a session, and the whole of it if it has all records.
    fn check_line(&self, text: &str) -> Result<(), String> {
        let numbers: Vec<i64> = text.split(' ').filter_map(|part| part.parse().ok()).collect();
        let [end, key, start, count, amount] = numbers[..] else {
            return Err(format!("`{text}` is no session"));
        };
        let sum = Sum { count: count as u64, amount: amount.into() };
        let whole = self.due.iter().find(|((last, of, first), _)| {
            i64::from(*of) == key && *first <= start && end <= *last
        });
        match whole {
            None => Err(format!("`{text}` is part of no session")),
            Some((_, all)) if sum.count > all.count => {
                Err(format!("`{text}` has more than the {} records of its session", all.count))
            }
            Some((cell, all)) if sum.count == all.count && text != line(*cell, *all) => {
                Err(format!("`{text}` is not `{}`", line(*cell, *all)))
            }
            Some(_) => Ok(()),
        }
    }
}

impl Scenario for Sessions {
    fn build(&self, job: &Job, world: &Arc<World>, _: &SimDisk) {
        ticks(job, "ticks", &self.input, world, Watermarks::bounded(self.delay))
            .key_by(|tick| tick.key)
            .window(Session::with_gap(Span(self.gap)))
            .allowed_lateness(self.input.disorder)
            .aggregate((count(), sum(|tick: &Tick| tick.amount)))
            .map(fired_line)
            .sink(LedgerSink::new("out", world));
    }

    fn check(&self, world: &World, _: &SimDisk, ended: bool) -> Result<(), String> {
        let output = world.ledger.committed("out");
        let mut seen = HashSet::new();
        for text in &output {
            // Each firing has one more record than the one before it, or another span.
            if !seen.insert(text.as_str()) {
                return Err(format!("`{text}` is in the output twice"));
            }
            self.check_line(text)?;
        }
        if ended {
            let lines = self.due.iter().map(|(cell, sum)| line(*cell, *sum));
            if let Some(missing) = lines.into_iter().find(|line| !seen.contains(line.as_str())) {
                return Err(format!("`{missing}` is missing in the output"));
            }
        }
        Ok(())
    }

    fn records(&self) -> usize {
        self.input.count()
    }
}
