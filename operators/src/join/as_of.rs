//! The as-of join: for each record of the left stream the record of the right one that was in force
//! at its time. For each trade the latest quote at or before it, for instance.
//!
//! ```text
//! right (quotes)   q1      q2          q3           backward: the latest at or before the trade
//! left  (trades)        t1        t2                t1 -> q1 or q2 by its time, t2 -> q2
//! time             ------------------------->       forward: the earliest at or after
//! ```
//!
//! A left record is matched when the watermark proves that no better match can come; so results do
//! not depend on how the two streams interleave, but for the order among right records of one time,
//! which is that of arrival. Each result has the left record's time. Backward, they leave in the
//! order of these times and of arrival; in the other directions in the order in which they are
//! proven, and the watermark behind the join stays before those that wait.
//!
//! Late records, which come at or behind the watermark, are matched with what is still kept: a left
//! one at once, and a right one serves the left records that wait. Nothing is dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;

use rkyv::{Archive, Deserialize, Serialize};
use tailwater_core::{
    Describe, Either, Error, Key, Record, Result, Span, Stamped, Timestamp, stable_hash,
};
use tailwater_state::{Drain, SnapshotReader, SnapshotWriter, StateTable, TrackedState};

use crate::blame::blame;
use crate::{Collect, Description, Operator, OperatorContext};

/// Which way a match is looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// The latest at or before the left record's time.
    #[default]
    Backward,
    /// The earliest at or after it.
    Forward,
    /// The nearer of the two; the earlier one where both are as near.
    Nearest,
    /// The one that came last, whatever its time: a match by processing time, which waits for
    /// nothing, and depends on how the two streams interleave.
    Arrived,
}

/// Which of several right records of one time is in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ties {
    /// The one that came last: it replaced the others.
    #[default]
    Last,
    /// The one that came first.
    First,
}

/// What is matched with what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AsOf {
    /// Which way.
    pub direction: Direction,
    /// The furthest that a match may be away in time; `None` for any distance.
    pub tolerance: Option<Span>,
    /// Which of several of one time.
    pub ties: Ties,
}

impl AsOf {
    /// The latest at or before.
    pub fn backward() -> Self {
        Self::default()
    }

    /// The earliest at or after.
    pub fn forward() -> Self {
        Self { direction: Direction::Forward, ..Self::default() }
    }

    /// The nearer of the two.
    pub fn nearest() -> Self {
        Self { direction: Direction::Nearest, ..Self::default() }
    }

    /// The one that has come last when the left record comes, at once. Neither side needs event
    /// time.
    pub fn arrived() -> Self {
        Self { direction: Direction::Arrived, ..Self::default() }
    }

    /// Matches no further away than this.
    #[must_use]
    pub fn within(self, tolerance: Span) -> Self {
        Self { tolerance: Some(tolerance), ..self }
    }

    /// Takes the first of several right records of one time.
    #[must_use]
    pub fn first_of_ties(self) -> Self {
        Self { ties: Ties::First, ..self }
    }

    fn tolerates(self, distance: Span) -> bool {
        self.tolerance.is_none_or(|tolerance| distance <= tolerance)
    }

    /// The watermark at which no right record that is still to come could be a better match for a
    /// left one at `at`, when the best so far is at `found`.
    fn due(self, at: Timestamp, found: Option<Timestamp>) -> Timestamp {
        let furthest = self.tolerance.map_or(Timestamp::MAX, |tolerance| at + tolerance);
        match (self.direction, found) {
            (Direction::Backward | Direction::Arrived, _) => at,
            (Direction::Forward, Some(found)) => found,
            (Direction::Nearest, Some(found)) if found >= at => found,
            // As far behind as the one found is before; of two as near, the earlier is taken.
            (Direction::Nearest, Some(found)) => (at + (at - found)).min(furthest),
            (Direction::Forward | Direction::Nearest, None) => furthest,
        }
    }
}

/// A left record with its match.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize, Describe)]
pub struct Matched<L, R> {
    /// The left record.
    pub left: L,
    /// The right one that was in force, with its time, if there was one.
    pub right: Option<Stamped<R>>,
}

/// What is kept for a key, both in order of time and then of arrival.
#[derive(Clone, Debug, Archive, Serialize, Deserialize, Describe)]
struct Sides<L, R> {
    lefts: Vec<Waiting<L>>,
    rights: Vec<Stamped<R>>,
}

/// A left record that waits.
#[derive(Clone, Debug, Archive, Serialize, Deserialize, Describe)]
struct Waiting<L> {
    at: Timestamp,
    /// Its number of arrival.
    number: u64,
    /// The watermark at which its match is certain.
    due: Timestamp,
    left: L,
}

impl<L, R> Default for Sides<L, R> {
    fn default() -> Self {
        Self { lefts: Vec::new(), rights: Vec::new() }
    }
}

impl<L, R> Sides<L, R> {
    /// The index of the match for a left record at `at`.
    fn find(&self, at: Timestamp, rule: AsOf) -> Option<usize> {
        if rule.direction == Direction::Arrived {
            let last = self.rights.len().checked_sub(1)?;
            let other = self.rights[last].at;
            let apart = if other <= at { at - other } else { other - at };
            return rule.tolerates(apart).then_some(last);
        }
        let (before, after) = (self.before(at, rule), self.after(at, rule));
        let distance = |index: usize| {
            let other = self.rights[index].at;
            if other <= at { at - other } else { other - at }
        };
        let found = match (rule.direction, before, after) {
            (Direction::Backward, before, _) => before,
            (Direction::Forward, _, after) => after,
            (Direction::Nearest, Some(before), Some(after)) => {
                Some(if distance(before) <= distance(after) { before } else { after })
            }
            (Direction::Nearest, before, after) => before.or(after),
            (Direction::Arrived, ..) => None,
        };
        found.filter(|index| rule.tolerates(distance(*index)))
    }

    fn before(&self, at: Timestamp, rule: AsOf) -> Option<usize> {
        let last = self.rights.partition_point(|right| right.at <= at).checked_sub(1)?;
        Some(match rule.ties {
            Ties::Last => last,
            Ties::First => self.first_of(self.rights[last].at),
        })
    }

    fn after(&self, at: Timestamp, rule: AsOf) -> Option<usize> {
        let first = self.first_of(at);
        let time = self.rights.get(first)?.at;
        Some(match rule.ties {
            Ties::First => first,
            Ties::Last => self.rights.partition_point(|right| right.at <= time) - 1,
        })
    }

    fn first_of(&self, at: Timestamp) -> usize {
        self.rights.partition_point(|right| right.at < at)
    }

    /// Drops the right records that no left one after `watermark` can be matched with; those that
    /// wait still need theirs.
    fn forget(&mut self, watermark: Timestamp, rule: AsOf) {
        let earliest = self.lefts.first().map_or(Timestamp::MAX, |left| left.at);
        let horizon = earliest.min(watermark + Span(1));
        let mut keep = self.first_of(horizon);
        if rule.direction != Direction::Forward {
            // The one in force at the horizon, and those of its time.
            if let Some(before) = self.rights[..keep].last().map(|right| right.at)
                && rule.tolerates(horizon - before)
            {
                keep = self.first_of(before);
            }
        }
        self.rights.drain(..keep);
    }
}

/// The as-of join of records `L` and `R` by key.
pub struct AsOfJoin<K, L, R, FL, FR> {
    name: String,
    key_of_left: FL,
    key_of_right: FR,
    rule: AsOf,
    /// A key's records are archived together when one of them changes; they are those that came
    /// within the watermark's delay, and what is in force.
    sides: StateTable<K, Sides<L, R>>,
    /// The left records that wait: when they are due, their time, their number. Derived from
    /// `sides`.
    waiting: BTreeMap<(Timestamp, Timestamp, u64), K>,
    next_number: u64,
    watermark: Timestamp,
    pending: Option<Timestamp>,
    /// Times and numbers of those that may wait for a later watermark than their own time.
    times: BTreeSet<(Timestamp, u64)>,
    /// The watermark that was handed on last.
    told: Timestamp,
    /// What is pending is all that a key has, in batch mode: no watermark goes with it.
    key_ends: bool,
    types: PhantomData<fn(L, R)>,
}

impl<K, L, R, FL, FR> AsOfJoin<K, L, R, FL, FR> {
    /// Joins left and right records of equal keys by `rule`.
    pub fn new(key_of_left: FL, key_of_right: FR, rule: AsOf) -> Self {
        Self {
            name: "as_of".to_owned(),
            key_of_left,
            key_of_right,
            rule,
            sides: StateTable::detached(),
            waiting: BTreeMap::new(),
            next_number: 0,
            watermark: Timestamp::MIN,
            pending: None,
            times: BTreeSet::new(),
            told: Timestamp::MIN,
            key_ends: false,
            types: PhantomData,
        }
    }

    /// The same under a name of the user's.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }
}

impl<K, L, R, FL: Clone, FR: Clone> Clone for AsOfJoin<K, L, R, FL, FR> {
    /// The same join with nothing in it.
    fn clone(&self) -> Self {
        let (left, right) = (self.key_of_left.clone(), self.key_of_right.clone());
        Self::new(left, right, self.rule).named(&self.name)
    }
}

impl<K, L, R, FL, FR> AsOfJoin<K, L, R, FL, FR>
where
    K: Key,
    L: Record,
    R: Record,
    FL: FnMut(&L) -> K + Send + 'static,
    FR: FnMut(&R) -> K + Send + 'static,
{
    fn on_left(&mut self, at: Timestamp, left: L, out: &mut impl Collect<Matched<L, R>>) {
        let key = blame(&self.name, at, || (self.key_of_left)(&left));
        let hash = stable_hash(&key);
        let found = self.sides.get(hash, &key).and_then(|sides| {
            let index = sides.find(at, self.rule)?;
            Some(&sides.rights[index])
        });
        let due = self.rule.due(at, found.map(|right| right.at));
        if due <= self.watermark || self.rule.direction == Direction::Arrived {
            let right = found.cloned();
            return out.record(at, Matched { left, right });
        }
        let number = self.next_number;
        self.next_number += 1;
        self.waiting.insert((due, at, number), key.clone());
        if self.rule.direction != Direction::Backward {
            self.times.insert((at, number));
        }
        let sides = self.sides.get_or_insert_with(hash, key, Sides::default);
        let place = sides.lefts.partition_point(|waiting| waiting.at <= at);
        sides.lefts.insert(place, Waiting { at, number, due, left });
    }

    fn on_right(&mut self, at: Timestamp, right: R) {
        let Self { name, key_of_right, rule, sides, waiting, watermark, .. } = self;
        let key = blame(name, at, || key_of_right(&right));
        let sides = sides.get_or_insert_with(stable_hash(&key), key.clone(), Sides::default);
        if rule.direction == Direction::Arrived {
            sides.rights.clear();
            return sides.rights.push(Stamped::new(at, right));
        }
        let place = sides.rights.partition_point(|other| other.at <= at);
        sides.rights.insert(place, Stamped::new(at, right));
        // A left record that waits may have a nearer match now, and be due earlier.
        if rule.direction != Direction::Backward {
            for index in 0..sides.lefts.len() {
                let Waiting { at, number, due, .. } = sides.lefts[index];
                let found = sides.find(at, *rule).map(|index| sides.rights[index].at);
                let sooner = rule.due(at, found);
                if sooner != due {
                    waiting.remove(&(due, at, number));
                    waiting.insert((sooner, at, number), key.clone());
                    sides.lefts[index].due = sooner;
                }
            }
        }
        sides.forget(*watermark, *rule);
    }

    /// Emits the left record that is due first.
    fn emit_first(&mut self, out: &mut impl Collect<Matched<L, R>>) {
        let Some(((_, at, number), key)) = self.waiting.pop_first() else { return };
        self.times.remove(&(at, number));
        let hash = stable_hash(&key);
        let Some(sides) = self.sides.get_mut(hash, &key) else { return };
        let Some(place) = sides.lefts.iter().position(|waiting| waiting.number == number) else {
            return;
        };
        let Waiting { left, .. } = sides.lefts.remove(place);
        let right = sides.find(at, self.rule).map(|index| sides.rights[index].clone());
        sides.forget(self.watermark, self.rule);
        if sides.lefts.is_empty() && sides.rights.is_empty() {
            self.sides.remove(hash, &key);
        }
        out.record(at, Matched { left, right });
    }
}

impl<K, L, R, FL, FR> Operator for AsOfJoin<K, L, R, FL, FR>
where
    K: Key,
    L: Record,
    R: Record,
    FL: FnMut(&L) -> K + Send + 'static,
    FR: FnMut(&R) -> K + Send + 'static,
{
    type In = Either<L, R>;
    type Out = Matched<L, R>;

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        if self.rule.tolerance.is_some_and(|tolerance| tolerance < Span::ZERO) {
            return Err(Error::configuration(format!(
                "the tolerance of `{}` must not be negative",
                self.name
            )));
        }
        self.sides = StateTable::new(&context.state);
        Ok(())
    }

    fn on_record(
        &mut self,
        at: Timestamp,
        value: Either<L, R>,
        out: &mut impl Collect<Matched<L, R>>,
    ) {
        if !at.is_some() && self.rule.direction != Direction::Arrived {
            return out.fail(super::without_time(&self.name));
        }
        match value {
            Either::First(left) => self.on_left(at, left, out),
            Either::Second(right) => self.on_right(at, right),
        }
    }

    fn on_watermark(&mut self, watermark: Timestamp, out: &mut impl Collect<Matched<L, R>>) {
        self.watermark = self.watermark.max(watermark);
        self.pending = Some(watermark);
        self.resume(out);
    }

    // SEMANTICS 88
    fn on_key_end(&mut self, out: &mut impl Collect<Matched<L, R>>) {
        self.key_ends = true;
        self.on_watermark(Timestamp::MAX, out);
    }

    fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    fn resume(&mut self, out: &mut impl Collect<Matched<L, R>>) {
        let Some(watermark) = self.pending else { return };
        while self.waiting.first_key_value().is_some_and(|((due, ..), _)| *due <= watermark) {
            if !out.has_room() {
                return;
            }
            self.emit_first(out);
        }
        self.pending = None;
        if std::mem::take(&mut self.key_ends) {
            self.watermark = Timestamp::MIN;
            return;
        }
        // A match has the time of its left record, which may lie before the watermark that proves
        // it: the stream behind the join is then told no more than what those that wait allow.
        let waits = self.times.first().map_or(Timestamp::MAX, |(at, _)| *at - Span(1));
        let told = watermark.min(waits);
        if told > self.told {
            self.told = told;
            out.watermark(told);
        }
    }

    fn snapshot(&mut self, into: &mut SnapshotWriter) -> Result<()> {
        into.operator(&self.name, |into| {
            into.value("watermark", &self.watermark)?;
            into.value("told", &self.told)?;
            into.value("next_number", &self.next_number)?;
            into.tracked("sides", &mut self.sides)
        })
    }

    fn drain(&mut self, into: &mut Drain) -> Result<bool> {
        self.sides.drain(into)
    }

    /// On another number of cores the watermark is the least of all, and numbers go on after the
    /// greatest.
    fn restore(&mut self, from: &mut SnapshotReader) -> Result<()> {
        from.operator(&self.name, |from| {
            let watermarks: Vec<Timestamp> = from.values("watermark")?;
            self.watermark = watermarks.into_iter().min().unwrap_or(Timestamp::MIN);
            let told: Vec<Timestamp> = from.values("told")?;
            self.told = told.into_iter().min().unwrap_or(Timestamp::MIN);
            let numbers: Vec<u64> = from.values("next_number")?;
            self.next_number = numbers.into_iter().max().unwrap_or(0);
            from.tracked("sides", &mut self.sides)
        })?;
        for (_, key, sides) in self.sides.iter() {
            for Waiting { due, at, number, .. } in &sides.lefts {
                self.waiting.insert((*due, *at, *number), key.clone());
                if self.rule.direction != Direction::Backward {
                    self.times.insert((*at, *number));
                }
            }
        }
        Ok(())
    }

    fn describe(&self, into: &mut Vec<Description>) {
        let AsOf { direction, tolerance, .. } = self.rule;
        let direction = match direction {
            Direction::Backward => "backward",
            Direction::Forward => "forward",
            Direction::Nearest => "nearest",
            Direction::Arrived => "arrived",
        };
        let within = tolerance.map(|span| format!(" within {span}")).unwrap_or_default();
        into.push(Description::new(&self.name, format!("{direction}{within}")));
    }
}

#[cfg(test)]
mod tests;
