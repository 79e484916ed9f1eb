//! Processes with state that comes and goes: visits that end and begin again, and timers that clear
//! what they tell.

use std::collections::BTreeMap;
use std::sync::Arc;

use tailwater::prelude::*;
use tailwater_core::Random;

use super::expected::Lines;
use super::reference;
use super::{Scenario, ticks};
use crate::disk::SimDisk;
use crate::input::{Input, Keys, STEP, Tick};
use crate::ledger::LedgerSink;
use crate::probe::Probe;
use crate::world::World;

/// What a visit remembers at most.
const LAST_MAX: usize = 5;
/// Entries of its map are told apart by so much of an amount.
const KINDS: i64 = 7;
/// One amount in so many ends a visit: often enough for a key to leave and come again between two
/// checkpoints.
const LEAVES: i64 = 4;

/// A visit is what a key does until it leaves; then it may come again.
pub struct Visits {
    input: Arc<Input>,
    due: Lines,
    /// Whether the newest checkpoint may rot: the one before it is taken then, and what was
    /// committed since is put out once more.
    may_repeat: bool,
}

#[keyed_state(key = u32)]
struct Visit {
    count: Value<u32>,
    last: List<i64>,
    by_kind: Map<i64, i64>,
}

/// The same without an engine.
#[derive(Default)]
struct PlainVisit {
    count: u32,
    last: Vec<i64>,
    by_kind: BTreeMap<i64, i64>,
}

#[derive(Clone)]
struct Reception;

fn leaves(tick: &Tick) -> bool {
    tick.amount.rem_euclid(LEAVES) == 0
}

fn visit_line(key: u32, count: u32, last: &[i64], by_kind: &[(i64, i64)]) -> String {
    format!("{key} {count} {last:?} {by_kind:?}")
}

impl Process for Reception {
    type In = Tick;
    type State = Visit;
    type Out = String;

    fn on_record(&mut self, tick: Tick, visit: &mut Visit, context: &mut Context<String>) {
        if leaves(&tick) {
            let count = visit.count.take().unwrap_or(0);
            let last: Vec<i64> = visit.last.iter().copied().collect();
            let by_kind: Vec<_> = visit.by_kind.iter().map(|(kind, sum)| (*kind, *sum)).collect();
            visit.last.clear();
            visit.by_kind.clear();
            context.emit(visit_line(tick.key, count, &last, &by_kind));
            return;
        }
        *visit.count.or_default() += 1;
        visit.last.push(tick.amount);
        visit.last.keep_last(LAST_MAX);
        let kind = tick.amount.rem_euclid(KINDS);
        let sum = visit.by_kind.or_insert_with(kind, || 0);
        *sum += tick.amount;
        if *sum < 0 {
            visit.by_kind.remove(&kind);
        }
    }
}

impl PlainVisit {
    fn add(&mut self, tick: &Tick) -> Option<String> {
        if leaves(tick) {
            let Self { count, last, by_kind } = std::mem::take(self);
            let by_kind: Vec<_> = by_kind.into_iter().collect();
            return Some(visit_line(tick.key, count, &last, &by_kind));
        }
        self.count += 1;
        self.last.push(tick.amount);
        if self.last.len() > LAST_MAX {
            self.last.remove(0);
        }
        let kind = tick.amount.rem_euclid(KINDS);
        let sum = self.by_kind.entry(kind).or_default();
        *sum += tick.amount;
        if *sum < 0 {
            self.by_kind.remove(&kind);
        }
        None
    }
}

impl Visits {
    /// Visits that are told once.
    pub fn once(random: &mut Random) -> Self {
        Self::draw(random, false)
    }

    /// Visits that may be told again.
    pub fn at_least_once(random: &mut Random) -> Self {
        Self::draw(random, true)
    }

    fn draw(random: &mut Random, may_repeat: bool) -> Self {
        let input = Input::draw(random, Keys::FewOfOneSplit);
        let mut visits: BTreeMap<u32, PlainVisit> = BTreeMap::new();
        let due = input.ticks().filter_map(|tick| visits.entry(tick.key).or_default().add(tick));
        Self { due: due.collect(), input: Arc::new(input), may_repeat }
    }
}

impl Scenario for Visits {
    fn build(&self, job: &Job, world: &Arc<World>, _: &SimDisk) {
        ticks(job, "ticks", &self.input, world, Watermarks::bounded(self.input.disorder))
            .key_by(|tick| tick.key)
            .process(Reception)
            .then(Probe::new("visits", world))
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

/// Sums of spans of event time that a timer at their end tells and clears.
pub struct Timed {
    input: Arc<Input>,
    size: i64,
    due: Lines,
}

#[keyed_state(key = (u32, i64))]
struct SpanSum {
    count: Value<u64>,
    amount: Value<i64>,
}

/// A timer for the end of the span, and one before it that each further record takes back and sets
/// again.
#[derive(Clone)]
struct Clerk {
    size: i64,
}

impl Clerk {
    fn end(&self, start: i64) -> Timestamp {
        Timestamp(start + self.size - 1)
    }
}

impl Process for Clerk {
    type In = Tick;
    type State = SpanSum;
    type Out = String;

    fn on_record(&mut self, tick: Tick, sum: &mut SpanSum, context: &mut Context<String>) {
        let start = sum.key().1;
        *sum.count.or_default() += 1;
        *sum.amount.or_default() += tick.amount;
        if tick.amount % 2 == 0 {
            context.event_timer(self.end(start));
            // Another timer of the same key, which goes with what it is for.
            context.event_timer(self.end(start) + Span(1));
        } else {
            context.delete_event_timer(self.end(start) + Span(1));
            context.event_timer(self.end(start));
        }
    }

    fn on_timer(&mut self, at: Timestamp, sum: &mut SpanSum, context: &mut Context<String>) {
        let (key, start) = *sum.key();
        if at != self.end(start) {
            return;
        }
        context.delete_event_timer(at + Span(1));
        let (count, amount) = (sum.count.take(), sum.amount.take());
        let (count, amount) = (count.unwrap_or(0), amount.unwrap_or(0));
        context.emit(format!("{key} {start} {count} {amount}"));
    }
}

impl Timed {
    /// Draws an input and how long a span is.
    pub fn draw(random: &mut Random) -> Self {
        let input = Input::draw(random, Keys::Shared);
        let size = STEP * (1 + random.below(40) as i64);
        let sums = reference::sliding(&input, size, size);
        let line = |(&(_, key, start), sum): (&reference::Cell, &reference::Sum)| {
            format!("{key} {start} {} {}", sum.count, sum.amount)
        };
        Self { due: sums.iter().map(line).collect(), input: Arc::new(input), size }
    }
}

impl Scenario for Timed {
    fn build(&self, job: &Job, world: &Arc<World>, _: &SimDisk) {
        let size = self.size;
        ticks(job, "ticks", &self.input, world, Watermarks::bounded(self.input.disorder))
            .key_by(move |tick| (tick.key, tick.at.0.div_euclid(size) * size))
            .process(Clerk { size })
            .then(Probe::new("timed", world))
            .sink(LedgerSink::new("out", world));
    }

    fn check(&self, world: &World, _: &SimDisk, ended: bool) -> Result<(), String> {
        self.due.check(&world.ledger.committed("out"), ended)
    }

    fn records(&self) -> usize {
        self.input.count()
    }
}
