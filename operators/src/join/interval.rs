//! The interval join: every pair of records of a key whose times are no further apart than an
//! interval allows.
//!
//! ```text
//! left at t     is joined with     right in [t + lower, t + upper]       (SEMANTICS 67)
//! kept          left until the watermark reaches t + max(upper, 0),
//!               right until it reaches t - min(lower, 0)                 (SEMANTICS 69)
//! late          t < watermark: one at the watermark is still taken in    (SEMANTICS 68)
//! ```
//!
//! A pair is emitted as soon as its second record has come, at the later of the two times. Unlike
//! in an as-of join nothing waits for the watermark.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use rkyv::{Archive, Deserialize, Serialize};
use tailwater_core::{
    Counter, Describe, Either, Error, Key, Record, Result, Span, Stamped, Timestamp, stable_hash,
};
use tailwater_state::{Drain, SnapshotReader, SnapshotWriter, StateTable, TrackedState};

use crate::blame::blame;
use crate::window::LateRecords;
use crate::{Collect, Description, Operator, OperatorContext};

/// Records whose slots are asked for before the first of them is worked on.
const GROUP: usize = 32;
/// Keys that are looked through for what is no longer needed between two looks of the task at what
/// else there is to do.
const KEYS_MAX: usize = 256;

/// How far after a left record a right one may be, both ends included unless told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// From here on, counted from the left record's time; before it where negative.
    pub lower: Span,
    /// Up to here, counted from the left record's time.
    pub upper: Span,
}

impl Interval {
    /// From `lower` to `upper` after the left record, both included.
    pub fn between(lower: Span, upper: Span) -> Self {
        Self { lower, upper }
    }

    /// Without its lower end: it begins a nanosecond later.
    #[must_use]
    pub fn lower_exclusive(self) -> Self {
        Self { lower: Span(self.lower.0.saturating_add(1)), ..self }
    }

    /// Without its upper end: it ends a nanosecond sooner.
    #[must_use]
    pub fn upper_exclusive(self) -> Self {
        Self { upper: Span(self.upper.0.saturating_sub(1)), ..self }
    }

    /// Refuses an interval that no two records can be in.
    ///
    /// # Errors
    /// When it ends before it begins.
    pub fn check(self) -> Result<()> {
        if self.lower <= self.upper {
            return Ok(());
        }
        Err(Error::configuration(format!(
            "an interval join from {} to {} joins nothing: let it end after it begins",
            self.lower, self.upper
        )))
    }

    /// The watermark at which no right record that is still to come can be joined with a left one
    /// at `at`.
    fn left_ends(self, at: Timestamp) -> Timestamp {
        Timestamp(at.0.saturating_add(self.upper.0.max(0)))
    }

    /// The same for a right one.
    fn right_ends(self, at: Timestamp) -> Timestamp {
        Timestamp(at.0.saturating_sub(self.lower.0.min(0)))
    }
}

/// Two records that belong together.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize, Describe)]
pub struct Joined<L, R> {
    /// The left one.
    pub left: L,
    /// The right one.
    pub right: R,
}

/// What an interval join emits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IntervalJoined<L, R> {
    /// A pair.
    Pair(Joined<L, R>),
    /// A left record that came too late, where the job asked for them.
    LateLeft(L),
    /// A right record that came too late, where the job asked for them.
    LateRight(R),
}

/// What is kept for a key, each in order of time and then of arrival.
#[derive(Clone, Debug, Archive, Serialize, Deserialize, Describe)]
struct Sides<L, R> {
    lefts: Vec<Stamped<L>>,
    rights: Vec<Stamped<R>>,
}

impl<L, R> Default for Sides<L, R> {
    fn default() -> Self {
        Self { lefts: Vec::new(), rights: Vec::new() }
    }
}

/// The records of `side` between two times, both included.
fn between<T>(side: &[Stamped<T>], first: i64, last: i64) -> &[Stamped<T>] {
    let start = side.partition_point(|record| record.at.0 < first);
    let end = side.partition_point(|record| record.at.0 <= last);
    side.get(start..end).unwrap_or_default()
}

fn keep<T>(side: &mut Vec<Stamped<T>>, at: Timestamp, value: T) {
    if side.last().is_none_or(|last| last.at <= at) {
        return side.push(Stamped { at, value });
    }
    let place = side.partition_point(|record| record.at <= at);
    side.insert(place, Stamped { at, value });
}

/// Drops the first `ended` records where they are at least half of all, so that each of the others
/// is moved once at the most on average; how many of them are left.
fn drop_ended<T>(side: &mut Vec<Stamped<T>>, ended: usize) -> usize {
    if ended * 2 < side.len() {
        return ended;
    }
    side.drain(..ended);
    0
}

impl<L, R> Sides<L, R> {
    /// How many records of each side the watermark has ended.
    fn ended(&self, interval: Interval, watermark: Timestamp) -> (usize, usize) {
        let lefts = self.lefts.partition_point(|left| interval.left_ends(left.at) <= watermark);
        let rights =
            self.rights.partition_point(|right| interval.right_ends(right.at) <= watermark);
        (lefts, rights)
    }

    /// The watermark that ends the last record of a side.
    fn side_ends(&self, interval: Interval) -> Option<Timestamp> {
        let left = self.lefts.last().map(|left| interval.left_ends(left.at));
        let right = self.rights.last().map(|right| interval.right_ends(right.at));
        left.into_iter().chain(right).min()
    }
}

/// The interval join of records `L` and `R` by key.
pub struct IntervalJoin<K, L, R, FL, FR> {
    name: String,
    key_of_left: FL,
    key_of_right: FR,
    interval: Interval,
    late_records: LateRecords,
    late_dropped: Counter,
    /// A key's records are archived together when one of them changes.
    sides: StateTable<K, Sides<L, R>>,
    /// When to look after a key: once for each that has records, when those that a side had at the
    /// last look have ended. Each record of a key looks after those before it, so that only of a
    /// key that falls silent some that have ended stay until then. Derived from `sides`.
    looks: BinaryHeap<Look<K>>,
    watermark: Timestamp,
    pending: Option<Timestamp>,
    /// Empty between calls.
    group: Vec<Keyed<K, L, R>>,
}

/// When to look after a key. The greatest is the first.
struct Look<K> {
    at: Timestamp,
    key: K,
}

impl<K> Ord for Look<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.at.cmp(&self.at)
    }
}

impl<K> PartialOrd for Look<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> PartialEq for Look<K> {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl<K> Eq for Look<K> {}

/// A record, its key and the key's hash.
type Keyed<K, L, R> = (u64, K, Stamped<Either<L, R>>);

impl<K, L, R, FL, FR> IntervalJoin<K, L, R, FL, FR> {
    /// Joins left and right records of equal keys by `interval`.
    pub fn new(key_of_left: FL, key_of_right: FR, interval: Interval) -> Self {
        Self {
            name: "interval_join".to_owned(),
            key_of_left,
            key_of_right,
            interval,
            late_records: LateRecords::Drop,
            late_dropped: Counter::default(),
            sides: StateTable::detached(),
            looks: BinaryHeap::new(),
            watermark: Timestamp::MIN,
            pending: None,
            group: Vec::new(),
        }
    }

    /// The same under a name of the user's.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// What happens to records that come after the watermark.
    #[must_use]
    pub fn late_records(mut self, late_records: LateRecords) -> Self {
        self.late_records = late_records;
        self
    }
}

impl<K, L, R, FL: Clone, FR: Clone> Clone for IntervalJoin<K, L, R, FL, FR> {
    /// The same join with nothing in it.
    fn clone(&self) -> Self {
        let (left, right) = (self.key_of_left.clone(), self.key_of_right.clone());
        Self::new(left, right, self.interval).named(&self.name).late_records(self.late_records)
    }
}

impl<K, L, R, FL, FR> IntervalJoin<K, L, R, FL, FR>
where
    K: Key,
    L: Record,
    R: Record,
    FL: FnMut(&L) -> K + Send + 'static,
    FR: FnMut(&R) -> K + Send + 'static,
{
    fn key_of(&mut self, at: Timestamp, record: &Either<L, R>) -> K {
        blame(&self.name, at, || match record {
            Either::First(left) => (self.key_of_left)(left),
            Either::Second(right) => (self.key_of_right)(right),
        })
    }

    /// One record whose key is known.
    fn join(
        &mut self,
        (hash, key): (u64, K),
        Stamped { at, value }: Stamped<Either<L, R>>,
        out: &mut impl Collect<IntervalJoined<L, R>>,
    ) {
        if !at.is_some() {
            return out.fail(super::without_time(&self.name));
        }
        if at < self.watermark {
            return self.late(at, value, out);
        }
        let Self { interval, sides, looks, watermark, .. } = self;
        let sides = sides.get_or_insert_with(hash, key.clone(), Sides::default);
        let was_empty = sides.lefts.is_empty() && sides.rights.is_empty();
        // What has ended is not joined any more, whether it was dropped already or not.
        let (ended_lefts, ended_rights) = sides.ended(*interval, *watermark);
        let ended_lefts = drop_ended(&mut sides.lefts, ended_lefts);
        let ended_rights = drop_ended(&mut sides.rights, ended_rights);
        match value {
            Either::First(left) => {
                let (first, last) =
                    (at.0.saturating_add(interval.lower.0), at.0.saturating_add(interval.upper.0));
                for right in between(&sides.rights[ended_rights..], first, last) {
                    let pair = Joined { left: left.clone(), right: right.value.clone() };
                    out.record(at.max(right.at), IntervalJoined::Pair(pair));
                }
                keep(&mut sides.lefts, at, left);
            }
            Either::Second(right) => {
                let (first, last) =
                    (at.0.saturating_sub(interval.upper.0), at.0.saturating_sub(interval.lower.0));
                for left in between(&sides.lefts[ended_lefts..], first, last) {
                    let pair = Joined { left: left.value.clone(), right: right.clone() };
                    out.record(at.max(left.at), IntervalJoined::Pair(pair));
                }
                keep(&mut sides.rights, at, right);
            }
        }
        if was_empty && let Some(at) = sides.side_ends(*interval) {
            looks.push(Look { at, key });
        }
    }

    #[cold]
    fn late(
        &mut self,
        at: Timestamp,
        value: Either<L, R>,
        out: &mut impl Collect<IntervalJoined<L, R>>,
    ) {
        match (self.late_records, value) {
            (LateRecords::Drop, _) => self.late_dropped.add(1),
            (LateRecords::Emit, Either::First(left)) => {
                out.record(at, IntervalJoined::LateLeft(left));
            }
            (LateRecords::Emit, Either::Second(right)) => {
                out.record(at, IntervalJoined::LateRight(right));
            }
        }
    }

    /// Forgets what has ended of a key; when to look after it again, if something is left.
    fn look_after(&mut self, key: &K, watermark: Timestamp) -> Option<Timestamp> {
        let hash = stable_hash(key);
        let sides = self.sides.get_mut(hash, key)?;
        let (lefts, rights) = sides.ended(self.interval, watermark);
        sides.lefts.drain(..lefts);
        sides.rights.drain(..rights);
        let next = sides.side_ends(self.interval);
        if next.is_none() {
            self.sides.remove(hash, key);
        }
        next
    }
}

impl<K, L, R, FL, FR> Operator for IntervalJoin<K, L, R, FL, FR>
where
    K: Key,
    L: Record,
    R: Record,
    FL: FnMut(&L) -> K + Send + 'static,
    FR: FnMut(&R) -> K + Send + 'static,
{
    type In = Either<L, R>;
    type Out = IntervalJoined<L, R>;

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.interval.check()?;
        self.late_dropped =
            context.counters.register(&format!("{}.late_records_dropped", self.name));
        self.sides = StateTable::new(&context.state);
        Ok(())
    }

    fn on_record(
        &mut self,
        at: Timestamp,
        value: Either<L, R>,
        out: &mut impl Collect<IntervalJoined<L, R>>,
    ) {
        let key = self.key_of(at, &value);
        self.join((stable_hash(&key), key), Stamped { at, value }, out);
    }

    fn on_batch(
        &mut self,
        batch: &mut Vec<Stamped<Either<L, R>>>,
        out: &mut impl Collect<IntervalJoined<L, R>>,
    ) {
        let mut group = std::mem::take(&mut self.group);
        let mut records = batch.drain(..);
        loop {
            for record in records.by_ref().take(GROUP) {
                let key = self.key_of(record.at, &record.value);
                let hash = stable_hash(&key);
                self.sides.prefetch(hash);
                group.push((hash, key, record));
            }
            if group.is_empty() {
                break;
            }
            for (hash, key, record) in group.drain(..) {
                self.join((hash, key), record, out);
            }
        }
        drop(records);
        self.group = group;
    }

    fn on_watermark(&mut self, watermark: Timestamp, out: &mut impl Collect<IntervalJoined<L, R>>) {
        self.watermark = self.watermark.max(watermark);
        self.pending = Some(watermark);
        self.resume(out);
    }

    /// What a key has is joined with nothing any more.
    // SEMANTICS 88
    fn on_key_end(&mut self, _: &mut impl Collect<IntervalJoined<L, R>>) {
        self.sides.clear();
        self.looks.clear();
    }

    fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    fn resume(&mut self, out: &mut impl Collect<IntervalJoined<L, R>>) {
        let Some(watermark) = self.pending else { return };
        let mut looks = std::mem::take(&mut self.looks);
        for _ in 0..KEYS_MAX {
            let Some(mut look) = looks.peek_mut().filter(|look| look.at <= watermark) else {
                self.pending = None;
                break;
            };
            match self.look_after(&look.key, watermark) {
                Some(at) => look.at = at,
                None => drop(PeekMut::pop(look)),
            }
        }
        self.looks = looks;
        if self.pending.is_none() {
            out.watermark(watermark);
        }
    }

    fn snapshot(&mut self, into: &mut SnapshotWriter) -> Result<()> {
        into.operator(&self.name, |into| {
            into.value("watermark", &self.watermark)?;
            into.tracked("sides", &mut self.sides)
        })
    }

    fn drain(&mut self, into: &mut Drain) -> Result<bool> {
        self.sides.drain(into)
    }

    /// On another number of cores the watermark is the least of all.
    fn restore(&mut self, from: &mut SnapshotReader) -> Result<()> {
        from.operator(&self.name, |from| {
            let watermarks: Vec<Timestamp> = from.values("watermark")?;
            self.watermark = watermarks.into_iter().min().unwrap_or(Timestamp::MIN);
            from.tracked("sides", &mut self.sides)
        })?;
        let Self { sides, looks, interval, .. } = self;
        for (_, key, sides) in sides.iter() {
            if let Some(at) = sides.side_ends(*interval) {
                looks.push(Look { at, key: key.clone() });
            }
        }
        Ok(())
    }

    fn describe(&self, into: &mut Vec<Description>) {
        let Interval { lower, upper } = self.interval;
        into.push(Description::stateful(&self.name, format!("from {lower} to {upper}")));
    }
}

#[cfg(test)]
mod tests;
