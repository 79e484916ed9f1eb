//! The records that an as-of join holds until the watermark has passed them, and their order.

use tailwater_core::{Either, Key, Record, Stamped, Timestamp, stable_hash};
use tailwater_state::Entry;

/// A record that is held.
pub(super) struct Held<K, L, R> {
    pub(super) key: K,
    /// Its number of arrival.
    pub(super) arrival: u64,
    pub(super) record: Stamped<Either<L, R>>,
}

/// A key's records are on one core, so that key and number of arrival are never used twice, however
/// often the number of cores changes.
impl<K: Key, L: Record, R: Record> Entry for Held<K, L, R> {
    type Key = (K, u64);
    type Value = Stamped<Either<L, R>>;

    fn hash(&self) -> u64 {
        stable_hash(&self.key)
    }

    fn key(&self) -> (K, u64) {
        (self.key.clone(), self.arrival)
    }

    fn with_value<T>(&mut self, use_it: impl FnOnce(&Self::Value) -> T) -> T {
        use_it(&self.record)
    }

    fn restored((key, arrival): (K, u64), record: Self::Value) -> Self {
        Self { key, arrival, record }
    }
}

impl<K, L, R> Held<K, L, R> {
    pub(super) fn side(&self) -> Side {
        Side::of(&self.record.value)
    }
}

/// Of records of one time right ones are taken first: they are at or before the left ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Right,
    Left,
}

impl Side {
    #[inline(always)]
    pub(super) fn of<L, R>(record: &Either<L, R>) -> Self {
        match record {
            Either::First(_) => Self::Left,
            Either::Second(_) => Self::Right,
        }
    }
}

/// Where a record is held.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) at: Timestamp,
    pub(super) side: Side,
    /// Its number among those that are held.
    pub(super) number: u32,
    /// The hash of its key.
    pub(super) hash: u64,
}

impl Place {
    #[inline(always)]
    fn order(&self) -> (Timestamp, Side) {
        (self.at, self.side)
    }
}

/// Places in order of time, side and arrival. One that comes in order costs what appending does;
/// the others are sorted in when the next watermark comes.
///
/// ```text
/// places   | have left | in order        | as they came |
///                      next              sorted         end
/// ```
#[derive(Default)]
pub(super) struct Queue {
    places: Vec<Place>,
    next: usize,
    sorted: usize,
}

impl Queue {
    #[inline]
    pub(super) fn push(&mut self, place: Place) {
        if self.sorted == self.places.len()
            && self.places.last().is_none_or(|last| last.order() <= place.order())
        {
            self.sorted += 1;
        }
        self.places.push(place);
    }

    /// Puts all in order. The places are to be pushed in order of arrival.
    pub(super) fn sort(&mut self) {
        let (before, after) = self.places.split_at(self.sorted);
        let Some(least) = after.iter().map(Place::order).min() else { return };
        let keep = before[self.next..].partition_point(|place| place.order() <= least);
        // Stable, so that those of one time and side stay in order of arrival.
        self.places[self.next + keep..].sort_by_key(Place::order);
        self.sorted = self.places.len();
    }

    /// The first in order, if the watermark has passed it.
    #[inline]
    pub(super) fn first(&self, watermark: Timestamp) -> Option<Place> {
        self.places.get(self.next).copied().filter(|place| place.at <= watermark)
    }

    /// The one that comes so many after the first.
    #[inline]
    pub(super) fn ahead(&self, count: usize) -> Option<Place> {
        self.places.get(self.next + count).copied()
    }

    /// Lets the first one leave.
    #[inline]
    pub(super) fn pop(&mut self) {
        self.next += 1;
    }

    /// Gives back the room of those that have left, once it is half of all, so that each place is
    /// moved once at the most on average.
    pub(super) fn compact(&mut self) {
        if self.next * 2 >= self.places.len() {
            self.places.drain(..self.next);
            self.sorted -= self.next;
            self.next = 0;
        }
    }
}
