//! The records that came last to an as-of join which looks back. Most are passed by the watermark
//! soon, and then were never worth more than a place in a row.

use tailwater_core::{Either, Stamped, Timestamp};

use super::held::Side;

/// Records after the watermark, in order of arrival until they are sorted. They are few, and no
/// checkpoint knows them: at a barrier they are held.
pub(super) struct Fresh<L, R> {
    records: Vec<Stamped<Either<L, R>>>,
    is_sorted: bool,
}

impl<L, R> Default for Fresh<L, R> {
    fn default() -> Self {
        Self { records: Vec::new(), is_sorted: true }
    }
}

#[inline(always)]
fn order<L, R>(record: &Stamped<Either<L, R>>) -> (Timestamp, Side) {
    (record.at, Side::of(&record.value))
}

impl<L, R> Fresh<L, R> {
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    #[inline]
    pub(super) fn push(&mut self, record: Stamped<Either<L, R>>) {
        self.is_sorted &= self.records.last().is_none_or(|last| order(last) <= order(&record));
        self.records.push(record);
    }

    /// Appends a batch that lies after the watermark as a whole, and empties it. Otherwise nothing
    /// happens, and the answer is no.
    #[inline]
    pub(super) fn append(
        &mut self,
        batch: &mut Vec<Stamped<Either<L, R>>>,
        watermark: Timestamp,
    ) -> bool {
        let Some(first) = batch.first() else { return true };
        let meets = self.records.last().is_none_or(|last| order(last) <= order(first));
        // The usual batch is in order, so that this look at all of them is the only one.
        let is_sorted = batch.is_sorted_by_key(order);
        let is_after = |record: &Stamped<Either<L, R>>| record.at > watermark;
        if !is_after(first) || !(is_sorted || batch.iter().all(is_after)) {
            return false;
        }
        self.is_sorted &= meets && is_sorted;
        self.records.append(batch);
        true
    }

    /// Puts them in order of time, side and arrival.
    #[inline]
    pub(super) fn sort(&mut self) {
        if !self.is_sorted {
            // Stable, so that those of one time and side stay in order of arrival.
            self.records.sort_by_key(order);
            self.is_sorted = true;
        }
    }

    /// How many the watermark has passed, once they are sorted.
    #[inline]
    pub(super) fn passed(&self, watermark: Timestamp) -> usize {
        self.records.partition_point(|record| record.at <= watermark)
    }

    /// The first ones.
    #[inline]
    pub(super) fn first(&self, count: usize) -> &[Stamped<Either<L, R>>] {
        &self.records[..count]
    }

    /// Takes the first ones out.
    #[inline]
    pub(super) fn take(
        &mut self,
        count: usize,
    ) -> impl Iterator<Item = Stamped<Either<L, R>>> + '_ {
        self.records.drain(..count)
    }
}
