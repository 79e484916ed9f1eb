//! Which left records of an as-of join wait for a right one that is still to come, and which right
//! ones they may be matched with: what `forward` and `nearest` need.
//!
//! All of it is derived from the records that are held, and made again when these are restored.

use std::collections::{BTreeSet, VecDeque};

use tailwater_core::{Either, Key, Record, Span, Stamped, Timestamp, stable_hash};
use tailwater_state::{Entries, StateContext, StateTable};

use super::held::{Held, Side};
use super::rule::apart;
use super::{AsOf, Direction, Matched, Ties};

/// The records of each key by time, and the left ones by when they are due.
pub(super) struct LookAhead<K> {
    pub(super) sides: StateTable<K, Sides>,
    /// The left records: when they are due, their time and arrival, and where they are held. Two of
    /// one arrival are no rarity: each core counts its own, and a restore brings those of several
    /// together.
    waiting: BTreeSet<(Timestamp, Timestamp, u64, u32)>,
    /// Times of the left records, and where they are held.
    times: BTreeSet<(Timestamp, u32)>,
    /// Where looking for keys with nothing of use goes on.
    cursor: usize,
}

/// What is there of a key, both sides in order of time and then of arrival.
#[derive(Default)]
pub(super) struct Sides {
    lefts: Vec<Waiting>,
    pub(super) rights: VecDeque<Right>,
}

/// A left record.
struct Waiting {
    at: Timestamp,
    arrival: u64,
    /// The watermark at which its match is certain.
    due: Timestamp,
    number: u32,
}

/// A right record.
#[derive(Clone, Copy)]
pub(super) struct Right {
    at: Timestamp,
    number: u32,
}

impl Sides {
    /// The match for a left record at `at`.
    fn find(&self, at: Timestamp, rule: AsOf) -> Option<Right> {
        let before = || {
            let last = self.rights.partition_point(|right| right.at <= at).checked_sub(1)?;
            Some(match rule.ties {
                Ties::Last => self.rights[last],
                Ties::First => self.rights[self.first_of(self.rights[last].at)],
            })
        };
        let after = || {
            let first = self.first_of(at);
            let right = *self.rights.get(first)?;
            Some(match rule.ties {
                Ties::First => right,
                Ties::Last => {
                    self.rights[self.rights.partition_point(|other| other.at <= right.at) - 1]
                }
            })
        };
        let found = match rule.direction {
            Direction::Nearest => match (before(), after()) {
                (Some(before), Some(after)) => {
                    let is_before = apart(before.at, at) <= apart(after.at, at);
                    Some(if is_before { before } else { after })
                }
                (before, after) => before.or(after),
            },
            Direction::Forward => after(),
            Direction::Backward | Direction::Arrived => before(),
        };
        found.filter(|right| rule.tolerates(apart(right.at, at)))
    }

    fn first_of(&self, at: Timestamp) -> usize {
        self.rights.partition_point(|right| right.at < at)
    }

    fn is_empty(&self) -> bool {
        self.lefts.is_empty() && self.rights.is_empty()
    }

    /// How many right records, from the first on, neither a left one after `watermark` nor one that
    /// waits can be matched with.
    fn useless(&self, watermark: Timestamp, rule: AsOf) -> usize {
        let earliest = self.lefts.first().map_or(Timestamp::MAX, |left| left.at);
        let horizon = earliest.min(watermark + Span(1));
        let keep = self.first_of(horizon);
        if rule.direction != Direction::Forward
            && let Some(before) = keep.checked_sub(1).map(|last| self.rights[last].at)
            && rule.tolerates(horizon - before)
        {
            // The one in force at the horizon, and those of its time.
            return self.first_of(before);
        }
        keep
    }

    /// Drops what is useless; all that is done with a key's records begins or ends with it, so that
    /// it does not matter when else it is done.
    fn forget<K: Key, L: Record, R: Record>(
        &mut self,
        held: &mut Entries<Held<K, L, R>>,
        watermark: Timestamp,
        rule: AsOf,
    ) {
        for right in self.rights.drain(..self.useless(watermark, rule)) {
            held.remove(right.number);
        }
    }
}

impl<K> Default for LookAhead<K> {
    fn default() -> Self {
        Self {
            sides: StateTable::detached(),
            waiting: BTreeSet::new(),
            times: BTreeSet::new(),
            cursor: 0,
        }
    }
}

impl<K: Key> LookAhead<K> {
    pub(super) fn new(context: &StateContext) -> Self {
        Self { sides: StateTable::new(context), ..Self::default() }
    }

    /// The match for a left record at `at`, if it is certain; a record that it is not certain for
    /// has to wait until the watermark that is given back.
    pub(super) fn find<L: Record, R: Record>(
        &mut self,
        held: &mut Entries<Held<K, L, R>>,
        (hash, key): (u64, &K),
        (at, watermark): (Timestamp, Timestamp),
        rule: AsOf,
    ) -> Result<Option<Stamped<R>>, Timestamp> {
        let found = self.sides.get_mut(hash, key).and_then(|sides| {
            sides.forget(held, watermark, rule);
            sides.find(at, rule)
        });
        let due = rule.due(at, found.map(|right| right.at));
        if due <= watermark { Ok(found.map(|right| right_of(held, right))) } else { Err(due) }
    }

    /// Lets a left record wait that is held as `number`.
    pub(super) fn wait(
        &mut self,
        (hash, key): (u64, K),
        (at, arrival): (Timestamp, u64),
        due: Timestamp,
        number: u32,
    ) {
        self.waiting.insert((due, at, arrival, number));
        self.times.insert((at, number));
        let sides = self.sides.get_or_insert_with(hash, key, Sides::default);
        let place = sides.lefts.partition_point(|other| (other.at, other.arrival) < (at, arrival));
        sides.lefts.insert(place, Waiting { at, arrival, due, number });
    }

    /// Takes in a right record that is held as `number`.
    pub(super) fn put<L: Record, R: Record>(
        &mut self,
        held: &mut Entries<Held<K, L, R>>,
        (hash, key): (u64, K),
        right: (Timestamp, u32),
        watermark: Timestamp,
        rule: AsOf,
    ) {
        let (at, number) = right;
        let Self { sides, waiting, .. } = self;
        let sides = sides.get_or_insert_with(hash, key, Sides::default);
        let place = sides.rights.partition_point(|other| other.at <= at);
        let before = place.checked_sub(1).map_or(Timestamp::MIN, |before| sides.rights[before].at);
        let after = sides.rights.get(place).map_or(Timestamp::MAX, |after| after.at);
        sides.rights.insert(place, Right { at, number });
        // A left record may have a nearer match now, and be due earlier; not one that lies behind
        // the neighbours of the new record.
        let first = sides.lefts.partition_point(|left| left.at < before);
        let last = sides.lefts.partition_point(|left| left.at <= after);
        for index in first..last {
            let Waiting { at, arrival, due, number } = sides.lefts[index];
            let found = sides.find(at, rule).map(|right| right.at);
            let sooner = rule.due(at, found);
            if sooner != due {
                waiting.remove(&(due, at, arrival, number));
                waiting.insert((sooner, at, arrival, number));
                sides.lefts[index].due = sooner;
            }
        }
        sides.forget(held, watermark, rule);
    }

    /// Whether a left record is due at `watermark`.
    pub(super) fn is_due(&self, watermark: Timestamp) -> bool {
        self.waiting.first().is_some_and(|(due, ..)| *due <= watermark)
    }

    /// The left record that is due first, with its match.
    pub(super) fn take_first<L: Record, R: Record>(
        &mut self,
        held: &mut Entries<Held<K, L, R>>,
        watermark: Timestamp,
        rule: AsOf,
    ) -> Option<Stamped<Matched<L, R>>> {
        let (_, at, arrival, number) = self.waiting.pop_first()?;
        self.times.remove(&(at, number));
        let Held { key, record, .. } = held.remove(number);
        let Either::First(left) = record.value else { unreachable!("only left records wait") };
        let hash = stable_hash(&key);
        let sides = self.sides.get_mut(hash, &key).expect("a record that waits is in its sides");
        let place = sides.lefts.partition_point(|other| (other.at, other.arrival) < (at, arrival));
        sides.lefts.remove(place);
        let right = sides.find(at, rule).map(|right| right_of(held, right));
        sides.forget(held, watermark, rule);
        if sides.is_empty() {
            self.sides.remove(hash, &key);
        }
        Some(Stamped::new(at, Matched { left, right }))
    }

    /// The latest watermark that all left records which wait are after.
    pub(super) fn watermark_max(&self) -> Timestamp {
        self.times.first().map_or(Timestamp::MAX, |(at, _)| *at - Span(1))
    }

    /// Looks at some keys, in turn, and drops what is useless of them: they may have fallen silent.
    pub(super) fn sweep<L: Record, R: Record>(
        &mut self,
        held: &mut Entries<Held<K, L, R>>,
        keys: usize,
        watermark: Timestamp,
        rule: AsOf,
    ) {
        for _ in 0..keys {
            let Some((next, key, sides)) = self.sides.next_from(self.cursor) else {
                self.cursor = 0;
                return;
            };
            self.cursor = next;
            if sides.useless(watermark, rule) == 0 && !sides.is_empty() {
                continue;
            }
            let key = key.clone();
            let hash = stable_hash(&key);
            let Some(sides) = self.sides.get_mut(hash, &key) else { continue };
            sides.forget(held, watermark, rule);
            if sides.is_empty() {
                self.sides.remove(hash, &key);
                // What lay behind may have moved into the gap.
                self.cursor = next - 1;
            }
        }
    }

    /// Derives all from the records that are held.
    pub(super) fn rebuild<L: Record, R: Record>(
        &mut self,
        held: &Entries<Held<K, L, R>>,
        rule: AsOf,
    ) {
        let mut order: Vec<_> = held.iter().collect();
        // Right records first: when left ones are due follows from them.
        order.sort_by_key(|(_, held)| (held.side(), held.record.at, held.arrival));
        for (number, held) in order {
            let (at, hash) = (held.record.at, stable_hash(&held.key));
            match held.side() {
                Side::Right => {
                    let sides =
                        self.sides.get_or_insert_with(hash, held.key.clone(), Sides::default);
                    sides.rights.push_back(Right { at, number });
                }
                Side::Left => {
                    let sides = self.sides.get(hash, &held.key);
                    let found = sides.and_then(|sides| sides.find(at, rule));
                    let due = rule.due(at, found.map(|right| right.at));
                    self.wait((hash, held.key.clone()), (at, held.arrival), due, number);
                }
            }
        }
    }
}

/// The right record that is held there.
fn right_of<K, L, R: Clone>(held: &Entries<Held<K, L, R>>, right: Right) -> Stamped<R> {
    let held = held.get(right.number).map(|held| &held.record);
    let Some(Stamped { at, value: Either::Second(value) }) = held else {
        unreachable!("a right record is held as long as it is listed")
    };
    Stamped::new(*at, value.clone())
}
