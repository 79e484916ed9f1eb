//! Where records come from: the order in which a deterministic merge releases them.
//!
//! ```text
//! of a source   (place, source, split, sequence)      path: ""
//! of a record   the same                              path: that of the record, then 0, 1, 2 ..
//! of a firing   (place, stage, hash of key, sequence) path: ""
//! ```
//!
//! The *place* is the event time of a record, or where that is late the next instant after the
//! watermark behind which it came. The *path* says which of all records that come from one it is:
//! the numbers under which it and those before it left their stages, as one string of bits. Each
//! number is written so that none begins another and that a smaller one sorts before a greater
//! (`0`, `100`, `101`, `11000`, ..), so of two different records that come over one edge neither
//! path begins the other, and paths compare as the numbers in them do.

use std::cell::Cell;
use std::rc::Rc;

use rkyv::{Archive, Deserialize, Serialize};
use tailwater_core::{Describe, Error, Result, Timestamp};

/// Set in the source of an origin that is a firing: at one place those come behind the records.
const FIRING: u32 = 1 << 31;

/// By this the inputs of an operator are merged: the fields in their order.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Archive, Serialize, Deserialize, Describe,
)]
pub struct Origin {
    /// Where in event time it stands.
    pub place: Timestamp,
    /// The source, or behind all of those the stage that fired.
    pub source: u32,
    /// The split by the order of names, or the hash of the key that fired.
    pub split: u64,
    /// Its number in the split; of a firing, one that is greater than all before it on its core,
    /// which is all that counts, as one key fires on one core.
    pub sequence: u64,
    /// Which of those it is that come from this one.
    pub path: u64,
}

/// The path of what comes from nothing else: no bits. The last bit that is set ends a path.
pub const ROOT: u64 = 1 << 63;

/// The bits of a number, and how many: one fewer ones than it has bits when one is added, a zero,
/// and its bits but for the first.
fn code(number: u64) -> Option<(u64, u32)> {
    let number = number.checked_add(1)?;
    let bits = u64::BITS - number.leading_zeros();
    let length = 2 * bits - 1;
    let tail = (1 << (bits - 1)) - 1;
    (length < u64::BITS).then(|| ((tail << bits) | (number & tail), length))
}

/// The path of the record that left as number `number` on behalf of the one with `path`; `None`
/// where that has too many bits.
pub fn extended(path: u64, number: u64) -> Option<u64> {
    let (bits, length) = code(number)?;
    let free = path.trailing_zeros();
    let left = free.checked_sub(length)?;
    Some((path & (path - 1)) | (bits << (left + 1)) | (1 << left))
}

/// The path of what came over edge number `edge` of several; `None` where that has too many bits.
pub fn over_edge(edge: u64, path: u64) -> Option<u64> {
    let (bits, length) = code(edge)?;
    (path.trailing_zeros() >= length).then(|| (path >> length) | (bits << (u64::BITS - length)))
}

/// What makes a task emit what it emits now: told by its input, read by its outputs. Clones are
/// one.
#[derive(Clone, Debug)]
pub struct Lineage(Rc<Cell<Cause>>);

#[derive(Clone, Copy, Debug)]
struct Cause {
    origin: Origin,
    /// Records that it has caused so far.
    emitted: u64,
    is_firing: bool,
    stage: u32,
    /// Firings' records so far.
    fired: u64,
}

impl Lineage {
    /// Of the stage with this number.
    pub fn new(stage: u32) -> Self {
        let origin = Origin { place: Timestamp::MIN, source: 0, split: 0, sequence: 0, path: ROOT };
        let cause = Cause { origin, emitted: 0, is_firing: true, stage, fired: 0 };
        let lineage = Self(Rc::new(Cell::new(cause)));
        lineage.on_time();
        lineage
    }

    fn change(&self, change: impl FnOnce(&mut Cause)) {
        let mut cause = self.0.get();
        change(&mut cause);
        self.0.set(cause);
    }

    /// What follows comes from the record with this origin.
    pub fn on_record(&self, origin: Origin) {
        self.change(|cause| {
            (cause.origin, cause.emitted, cause.is_firing) = (origin, 0, false);
        });
    }

    /// What follows comes from event time, of a key that is not known yet.
    pub fn on_time(&self) {
        self.on_firing(Timestamp::MIN, 0);
    }

    /// What follows comes from event time having reached `at`, for the key with this hash.
    pub fn on_firing(&self, at: Timestamp, hash: u64) {
        self.change(|cause| {
            let source = FIRING | cause.stage;
            cause.origin = Origin { place: at, source, split: hash, sequence: 0, path: ROOT };
            cause.is_firing = true;
        });
    }

    /// What follows has times of another scale, of which all up to `passed` have passed.
    pub fn on_other_times(&self, passed: Timestamp) {
        self.change(|cause| cause.origin.place = next(passed));
    }

    /// How many records have been emitted by firings.
    pub fn fired(&self) -> u64 {
        self.0.get().fired
    }

    /// Goes on counting after so many.
    pub fn fired_before(&self, fired: u64) {
        self.change(|cause| cause.fired = fired);
    }

    /// The origin of the record that leaves next, with event time `at`, behind the watermark
    /// `told`.
    ///
    /// # Errors
    /// When too many stages have made too many records of one.
    pub fn next(&self, at: Timestamp, told: Timestamp) -> Result<Origin> {
        let mut cause = self.0.get();
        let mut origin = cause.origin;
        origin.place = at.max(origin.place).max(next(told));
        if cause.is_firing {
            origin.sequence = cause.fired;
            cause.fired += 1;
        } else {
            origin.path = extended(origin.path, cause.emitted).ok_or_else(too_deep)?;
            cause.emitted += 1;
        }
        self.0.set(cause);
        Ok(origin)
    }
}

/// The instant after a watermark: the first that a record may still have.
pub fn next(watermark: Timestamp) -> Timestamp {
    Timestamp(watermark.0.saturating_add(1))
}

/// What to say where a path has no room.
#[cold]
pub fn too_deep() -> Error {
    Error::configuration(
        "a record comes from one that too many stages have made too many of for a deterministic \
         merge, which keeps 63 bits of its descent: make fewer records of one between two windows \
         or timers, or run without it",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// All paths of records that are made three times of up to `wide`.
    fn paths(wide: u64) -> Vec<Vec<u64>> {
        let numbers = || 0..wide;
        numbers()
            .flat_map(|a| numbers().flat_map(move |b| numbers().map(move |c| vec![a, b, c])))
            .collect()
    }

    fn path(numbers: &[u64]) -> u64 {
        numbers.iter().fold(ROOT, |path, number| extended(path, *number).unwrap())
    }

    #[test]
    fn paths_sort_as_the_numbers_in_them() {
        let all = paths(9);
        let sorted: BTreeSet<_> = all.iter().map(|numbers| (path(numbers), numbers)).collect();
        assert_eq!(sorted.len(), all.len());
        assert!(sorted.into_iter().map(|(_, numbers)| numbers).eq(&all));
        for pair in [0, 1, 2, 5, 6, 1000, 1001, u64::from(u32::MAX) / 2].windows(2) {
            assert!(path(&pair[..1]) < path(&pair[1..]), "{pair:?}");
        }
    }

    /// Records of one origin that came over edges with different numbers of stages behind them.
    #[test]
    fn edges_keep_paths_of_different_lengths_apart() {
        let of_edges = [path(&[0]), path(&[0, 0]), path(&[0, 0, 0]), path(&[1, 0]), path(&[1])];
        let mut seen = BTreeSet::new();
        for (edge, path) in of_edges.into_iter().enumerate() {
            let over = over_edge(edge as u64, path).unwrap();
            for number in 0..5 {
                assert!(seen.insert(extended(over, number).unwrap()));
            }
        }
        // In the order of the edges.
        let mut edges: Vec<_> = (0..5).map(|edge| over_edge(edge, ROOT).unwrap()).collect();
        assert!(edges.is_sorted());
        edges.dedup();
        assert_eq!(edges.len(), 5);
    }

    #[test]
    fn a_path_without_room_is_refused() {
        let deep = (0..63).fold(ROOT, |path, _| extended(path, 0).unwrap());
        assert_eq!((extended(deep, 0), over_edge(0, deep)), (None, None));
        assert_eq!(extended(ROOT, u64::MAX), None);
        let lineage = Lineage::new(0);
        let origin = Origin { place: Timestamp(1), source: 0, split: 0, sequence: 0, path: deep };
        lineage.on_record(origin);
        let error = lineage.next(Timestamp(1), Timestamp::MIN).unwrap_err();
        assert_eq!(error.kind(), tailwater_core::ErrorKind::Configuration);
    }

    #[test]
    fn a_place_is_never_behind_the_watermark_nor_before_its_cause() {
        let lineage = Lineage::new(3);
        lineage.on_record(Origin {
            place: Timestamp(10),
            source: 1,
            split: 2,
            sequence: 7,
            path: ROOT,
        });
        let places = |at, told| lineage.next(Timestamp(at), Timestamp(told)).unwrap().place.0;
        assert_eq!([places(5, 9), places(20, 9), places(5, 14)], [10, 20, 15]);
        lineage.on_firing(Timestamp(30), 99);
        let fired = [(30, 9), (5, 9)]
            .map(|(at, told)| lineage.next(Timestamp(at), Timestamp(told)).unwrap());
        assert!(fired[0].source > 1 && fired[0] < fired[1]);
        assert_eq!(fired.map(|origin| origin.place.0), [30, 30]);
    }
}
