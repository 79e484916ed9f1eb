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
//! one at once, and a right one serves the left records that wait. None is dropped. Kept is what a
//! left record after the watermark, or one that waits, can need.
//!
//! ```text
//! backward   a record after the watermark is fresh. When the watermark passes some, these are
//!            worked off in order of time: a right one comes into force for its key, a left one is
//!            matched with what is in force. One right record a key is all there is of the past.
//!            At a barrier, and where there are too many, the fresh ones are held
//! arrived    the same at once, in the order of arrival
//! forward,   records are held as long as they are of use, with an index by key and time beside
//! nearest    them
//! held       (key, arrival) -> record      in_force   key -> right record       (states)
//! ```

mod fresh;
mod held;
mod in_force;
mod look_ahead;
mod rule;

#[cfg(test)]
mod late_tests;
#[cfg(test)]
mod many_tests;
#[cfg(test)]
mod tests;

use std::marker::PhantomData;

use rkyv::{Archive, Deserialize, Serialize};
use tailwater_core::{
    Describe, Either, Error, Key, Record, Result, Span, Stamped, Timestamp, stable_hash,
};
use tailwater_state::{Drain, Entries, SnapshotReader, SnapshotWriter, TrackedState};

use crate::blame::blame;
use crate::{Collect, Description, Operator, OperatorContext};

use fresh::Fresh;
use held::{Held, Place, Queue, Side};
use in_force::InForce;
use look_ahead::LookAhead;
pub use rule::{AsOf, Direction, Ties};

/// How many records before its turn the slot of a record's key is asked for.
const AHEAD: usize = 16;
/// Records that are worked off between two looks at the room in the output.
const GROUP: usize = 256;
/// A table of so many bytes stays in the second cache of itself: asking for its slots ahead of time
/// costs more than waiting for them.
const CACHED_BYTES: usize = 256 << 10;
/// The most records that are fresh: what a barrier, which has to hold them, may have to wait for.
const FRESH_MAX: usize = 1024;
/// Records that were held and are worked off before the task looks at what else there is to do.
const RECORDS_MAX: usize = 4096;
/// Keys that are looked at for what is of no use any more: at each right record, so that there are
/// never more than twice as many as are of use, and at each watermark.
const SWEPT_KEYS: (usize, usize) = (2, 64);

/// A left record with its match.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize, Describe)]
pub struct Matched<L, R> {
    /// The left record.
    pub left: L,
    /// The right one that was in force, with its time, if there was one.
    pub right: Option<Stamped<R>>,
}

/// The as-of join of records `L` and `R` by key.
pub struct AsOfJoin<K, L, R, FL, FR> {
    name: String,
    key_of_left: FL,
    key_of_right: FR,
    rule: AsOf,
    /// Looking back, the last ones that the watermark has not passed.
    fresh: Fresh<L, R>,
    /// The others that it has not passed; all of them are of earlier arrival. Looking ahead, all
    /// that are of use.
    held: Entries<Held<K, L, R>>,
    /// Looking back, those that are held in the order in which they are worked off.
    queue: Queue,
    /// Looking back, what is in force.
    in_force: InForce<K, R>,
    /// Looking ahead, what waits for what.
    look_ahead: LookAhead<K>,
    next_arrival: u64,
    watermark: Timestamp,
    pending: Option<Timestamp>,
    /// The watermark that was handed on last.
    told: Timestamp,
    /// What is pending is all that a key has, in batch mode: no watermark goes with it.
    key_ends: bool,
    /// Keys of the records in hand with their hashes; empty between calls.
    keys: Vec<(u64, K)>,
    types: PhantomData<fn(L, R)>,
}

impl<K: Key, L, R, FL, FR> AsOfJoin<K, L, R, FL, FR> {
    /// Joins left and right records of equal keys by `rule`.
    pub fn new(key_of_left: FL, key_of_right: FR, rule: AsOf) -> Self {
        Self {
            name: "as_of".to_owned(),
            key_of_left,
            key_of_right,
            rule,
            fresh: Fresh::default(),
            held: Entries::default(),
            queue: Queue::default(),
            in_force: InForce::default(),
            look_ahead: LookAhead::default(),
            next_arrival: 0,
            watermark: Timestamp::MIN,
            pending: None,
            told: Timestamp::MIN,
            key_ends: false,
            keys: Vec::new(),
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

impl<K: Key, L, R, FL: Clone, FR: Clone> Clone for AsOfJoin<K, L, R, FL, FR> {
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
    /// The key of a record and its hash.
    #[inline(always)]
    fn key_of(
        name: &str,
        (key_of_left, key_of_right): &mut (&mut FL, &mut FR),
        Stamped { at, value }: &Stamped<Either<L, R>>,
    ) -> (u64, K) {
        let key = blame(name, *at, || match value {
            Either::First(left) => key_of_left(left),
            Either::Second(right) => key_of_right(right),
        });
        (stable_hash(&key), key)
    }

    fn keyed(&mut self, record: &Stamped<Either<L, R>>) -> (u64, K) {
        let Self { name, key_of_left, key_of_right, .. } = self;
        Self::key_of(name, &mut (key_of_left, key_of_right), record)
    }

    /// Asks for keys and hashes of records that are worked on next.
    #[inline(always)]
    fn stage(
        name: &str,
        key_of: &mut (&mut FL, &mut FR),
        keys: &mut Vec<(u64, K)>,
        records: &[Stamped<Either<L, R>>],
    ) {
        keys.extend(records.iter().map(|record| Self::key_of(name, key_of, record)));
    }

    fn hold(&mut self, key: K, record: Stamped<Either<L, R>>) -> (u32, u64) {
        let arrival = self.next_arrival;
        self.next_arrival += 1;
        (self.held.insert(Held { key, arrival, record }), arrival)
    }

    /// Holds the first of the fresh records.
    fn hold_fresh(&mut self, count: usize) {
        let mut fresh = std::mem::take(&mut self.fresh);
        fresh.sort();
        for record in fresh.take(count) {
            let (at, side) = (record.at, Side::of(&record.value));
            let (hash, key) = self.keyed(&record);
            let (number, _) = self.hold(key, record);
            self.queue.push(Place { at, side, number, hash });
        }
        self.fresh = fresh;
    }

    fn limit_fresh(&mut self) {
        if self.fresh.len() > FRESH_MAX {
            self.hold_fresh(self.fresh.len());
        }
    }

    /// Takes in a record that is not a fresh one.
    fn take_in(
        &mut self,
        key: (u64, K),
        at: Timestamp,
        value: Either<L, R>,
        out: &mut impl Collect<Matched<L, R>>,
    ) {
        if self.rule.looks_back() {
            self.at_once(key, at, value, out);
        } else {
            self.ahead(key, at, value, out);
        }
    }

    /// A record that waits for nothing: by arrival, or late.
    fn at_once(
        &mut self,
        (hash, key): (u64, K),
        at: Timestamp,
        value: Either<L, R>,
        out: &mut impl Collect<Matched<L, R>>,
    ) {
        let Self { in_force, rule, watermark, .. } = self;
        match value {
            Either::First(left) => {
                // What has ended is of no use, whether it was dropped already or not.
                let right = in_force.find((hash, &key), at, *rule);
                let right = right.filter(|right| !rule.has_ended(right.at, *watermark)).cloned();
                out.record(at, Matched { left, right });
            }
            Either::Second(right) => in_force.put((hash, key), at, right, *rule),
        }
    }

    /// A record of a join that looks ahead.
    fn ahead(
        &mut self,
        (hash, key): (u64, K),
        at: Timestamp,
        value: Either<L, R>,
        out: &mut impl Collect<Matched<L, R>>,
    ) {
        let (rule, watermark) = (self.rule, self.watermark);
        match value {
            Either::First(left) => {
                let Self { look_ahead, held, .. } = self;
                match look_ahead.find(held, (hash, &key), (at, watermark), rule) {
                    Ok(right) => out.record(at, Matched { left, right }),
                    Err(due) => {
                        let left = Stamped::new(at, Either::First(left));
                        let (number, arrival) = self.hold(key.clone(), left);
                        self.look_ahead.wait((hash, key), (at, arrival), due, number);
                    }
                }
            }
            right @ Either::Second(_) => {
                let (number, _) = self.hold(key.clone(), Stamped::new(at, right));
                let Self { look_ahead, held, .. } = self;
                look_ahead.put(held, (hash, key), (at, number), watermark, rule);
                look_ahead.sweep(held, SWEPT_KEYS.0, watermark, rule);
            }
        }
    }

    /// Works off what `watermark` has passed in order of time; whether nothing is left.
    fn replay(&mut self, watermark: Timestamp, out: &mut impl Collect<Matched<L, R>>) -> bool {
        self.fresh.sort();
        self.queue.sort();
        if self.queue.first(watermark).is_some() {
            // The two are merged in the queue.
            self.hold_fresh(self.fresh.passed(watermark));
            self.queue.sort();
            if !self.replay_held(watermark, out) {
                return false;
            }
        }
        let mut passed = self.fresh.passed(watermark);
        while passed > 0 {
            if !out.has_room() {
                return false;
            }
            let count = passed.min(GROUP);
            self.replay_fresh(count, out);
            passed -= count;
        }
        if self.rule.tolerance.is_some() {
            let Self { in_force, rule, .. } = self;
            in_force.sweep(SWEPT_KEYS.1, |right| rule.has_ended(right, watermark));
        }
        true
    }

    /// Works off the first of the fresh records.
    fn replay_fresh(&mut self, count: usize, out: &mut impl Collect<Matched<L, R>>) {
        let Self { name, key_of_left, key_of_right, keys, fresh, in_force, rule, .. } = self;
        let (mut key_of, rule) = ((key_of_left, key_of_right), *rule);
        if in_force.table.slot_bytes() <= CACHED_BYTES {
            for record in fresh.take(count) {
                let key = Self::key_of(name, &mut key_of, &record);
                replay(key, record, in_force, rule, out);
            }
            return;
        }
        Self::stage(name, &mut key_of, keys, fresh.first(count));
        keys.iter().for_each(|(hash, _)| in_force.table.prefetch(*hash));
        for (record, key) in fresh.take(count).zip(keys.drain(..)) {
            replay(key, record, in_force, rule, out);
        }
    }

    /// Works off what was held; whether nothing is left of it.
    fn replay_held(&mut self, watermark: Timestamp, out: &mut impl Collect<Matched<L, R>>) -> bool {
        let Self { held, queue, in_force, rule, .. } = self;
        for _ in 0..RECORDS_MAX {
            let Some(place) = queue.first(watermark) else {
                queue.compact();
                return true;
            };
            if place.side == Side::Left && !out.has_room() {
                return false;
            }
            if let Some(ahead) = queue.ahead(AHEAD) {
                in_force.table.prefetch(ahead.hash);
            }
            queue.pop();
            let Held { key, record, .. } = held.remove(place.number);
            replay((place.hash, key), record, in_force, *rule, out);
        }
        false
    }

    /// Emits what is due at `watermark`; whether nothing is left.
    fn emit_due(&mut self, watermark: Timestamp, out: &mut impl Collect<Matched<L, R>>) -> bool {
        let Self { name, key_of_left, held, look_ahead, rule, .. } = self;
        while look_ahead.is_due(watermark) {
            if !out.has_room() {
                return false;
            }
            if let Some(Stamped { at, value }) = look_ahead.take_first(held, watermark, *rule) {
                let key = blame(name, at, || key_of_left(&value.left));
                out.fires(at, &key);
                out.record(at, value);
            }
        }
        look_ahead.sweep(held, SWEPT_KEYS.1, watermark, *rule);
        true
    }

    /// Forgets a key that has no more records, in batch mode: it is the only one that there is.
    fn end_key(&mut self) {
        self.in_force.table.clear();
        self.look_ahead.sides.clear();
        let left: Vec<u32> = self.held.iter().map(|(number, _)| number).collect();
        left.into_iter().for_each(|number| drop(self.held.remove(number)));
    }

    fn refuse_timeless(&self, at: Timestamp) -> Result<()> {
        if at.is_some() || self.rule.direction == Direction::Arrived {
            return Ok(());
        }
        Err(super::without_time(&self.name))
    }
}

/// Works off a record that the watermark has passed, and no earlier one is left.
#[inline(always)]
fn replay<K: Key, L: Record, R: Record>(
    (hash, key): (u64, K),
    Stamped { at, value }: Stamped<Either<L, R>>,
    in_force: &mut InForce<K, R>,
    rule: AsOf,
    out: &mut impl Collect<Matched<L, R>>,
) {
    match value {
        Either::First(left) => {
            let right = in_force.find((hash, &key), at, rule).cloned();
            // At its own time, which the watermark behind the join waits for.
            out.fires(at, &key);
            out.record(at, Matched { left, right });
        }
        Either::Second(right) => {
            in_force.put((hash, key), at, right, rule);
            if rule.tolerance.is_some() {
                // Left records at `at` and after it are still to come.
                let passed = at - Span(1);
                in_force.sweep(SWEPT_KEYS.0, |right| rule.has_ended(right, passed));
            }
        }
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
        self.held = Entries::new(&context.state);
        self.in_force = InForce::new(&context.state);
        self.look_ahead = LookAhead::new(&context.state);
        Ok(())
    }

    #[inline]
    fn on_record(
        &mut self,
        at: Timestamp,
        value: Either<L, R>,
        out: &mut impl Collect<Matched<L, R>>,
    ) {
        if let Err(error) = self.refuse_timeless(at) {
            return out.fail(error);
        }
        if self.rule.direction == Direction::Backward && at > self.watermark {
            self.fresh.push(Stamped { at, value });
            return self.limit_fresh();
        }
        let record = Stamped { at, value };
        let key = self.keyed(&record);
        self.take_in(key, at, record.value, out);
    }

    fn on_batch(
        &mut self,
        batch: &mut Vec<Stamped<Either<L, R>>>,
        out: &mut impl Collect<Matched<L, R>>,
    ) {
        if self.rule.direction == Direction::Backward {
            if self.fresh.append(batch, self.watermark) {
                return self.limit_fresh();
            }
            let records = batch.drain(..);
            return records.for_each(|Stamped { at, value }| self.on_record(at, value, out));
        }
        let Self { name, key_of_left, key_of_right, keys, in_force, look_ahead, .. } = self;
        Self::stage(name, &mut (key_of_left, key_of_right), keys, batch);
        for (hash, _) in keys.iter() {
            in_force.table.prefetch(*hash);
            look_ahead.sides.prefetch(*hash);
        }
        let mut keys = std::mem::take(keys);
        for (Stamped { at, value }, key) in batch.drain(..).zip(keys.drain(..)) {
            if let Err(error) = self.refuse_timeless(at) {
                out.fail(error);
                break;
            }
            self.take_in(key, at, value, out);
        }
        self.keys = keys;
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
        let is_done = match self.rule.direction {
            Direction::Backward => self.replay(watermark, out),
            Direction::Arrived => true,
            Direction::Forward | Direction::Nearest => self.emit_due(watermark, out),
        };
        if !is_done {
            return;
        }
        self.pending = None;
        if std::mem::take(&mut self.key_ends) {
            self.watermark = Timestamp::MIN;
            return self.end_key();
        }
        // A match has the time of its left record, which may lie before the watermark that proves
        // it: the stream behind the join is then told no more than what those that wait allow.
        let told = watermark.min(self.look_ahead.watermark_max());
        if told > self.told {
            self.told = told;
            out.watermark(told);
        }
    }

    fn snapshot(&mut self, into: &mut SnapshotWriter) -> Result<()> {
        self.hold_fresh(self.fresh.len());
        into.operator(&self.name, |into| {
            into.value("watermark", &self.watermark)?;
            into.value("told", &self.told)?;
            into.value("next_arrival", &self.next_arrival)?;
            into.tracked("held", &mut self.held)?;
            if self.rule.looks_back() {
                into.tracked("in_force", &mut self.in_force.table)?;
            }
            Ok(())
        })
    }

    fn drain(&mut self, into: &mut Drain) -> Result<bool> {
        Ok(self.held.drain(into)? && self.in_force.table.drain(into)?)
    }

    /// On another number of cores the watermark is the least of all, and arrivals go on after the
    /// greatest.
    fn restore(&mut self, from: &mut SnapshotReader) -> Result<()> {
        from.operator(&self.name, |from| {
            let watermarks: Vec<Timestamp> = from.values("watermark")?;
            self.watermark = watermarks.into_iter().min().unwrap_or(Timestamp::MIN);
            let told: Vec<Timestamp> = from.values("told")?;
            self.told = told.into_iter().min().unwrap_or(Timestamp::MIN);
            let arrivals: Vec<u64> = from.values("next_arrival")?;
            self.next_arrival = arrivals.into_iter().max().unwrap_or(0);
            from.tracked("held", &mut self.held)?;
            if self.rule.looks_back() {
                from.tracked("in_force", &mut self.in_force.table)?;
            }
            Ok(())
        })?;
        if !self.rule.looks_back() {
            self.look_ahead.rebuild(&self.held, self.rule);
            return Ok(());
        }
        let mut order: Vec<_> = self.held.iter().collect();
        order.sort_by_key(|(_, held)| held.arrival);
        for (number, held) in order {
            let (at, hash) = (held.record.at, stable_hash(&held.key));
            self.queue.push(Place { at, side: held.side(), number, hash });
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
        into.push(Description::stateful(&self.name, format!("{direction}{within}")));
    }
}
