//! The greatest few.

use std::marker::PhantomData;

use tailwater_core::Record;

use crate::Aggregator;

by_closure! {
    /// See [`top_n`].
    TopN { n: usize }
}

/// The `n` greatest of what `of` gives, greatest first, equal ones as often as they come. For the
/// record with the greatest value give a pair: `(value, id)`.
pub fn top_n<T, V: Ord + Record, F>(n: usize, of: F) -> TopN<T, V, F>
where
    F: Fn(&T) -> V + Clone + Send + 'static,
{
    TopN { n, of, types: PhantomData }
}

impl<T, V: Ord, F> TopN<T, V, F> {
    #[inline]
    fn insert(&self, top: &mut Vec<V>, value: V) {
        if top.len() == self.n && top.last().is_none_or(|least| *least >= value) {
            return;
        }
        let place = top.partition_point(|held| *held >= value);
        top.truncate(self.n - 1);
        top.insert(place, value);
    }
}

impl<T: 'static, V: Ord + Record, F> Aggregator<T> for TopN<T, V, F>
where
    F: Fn(&T) -> V + Clone + Send + 'static,
{
    type Accumulator = Vec<V>;
    type Output = Vec<V>;

    fn create(&self) -> Vec<V> {
        Vec::new()
    }

    #[inline]
    fn add(&self, top: &mut Vec<V>, record: &T) {
        self.insert(top, (self.of)(record));
    }

    fn merge(&self, top: &mut Vec<V>, other: &Vec<V>) {
        for value in other {
            self.insert(top, value.clone());
        }
    }

    fn finish(&self, top: &Vec<V>) -> Vec<V> {
        top.clone()
    }

    fn name(&self) -> String {
        format!("top {}", self.n)
    }
}
