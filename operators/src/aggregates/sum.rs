//! Sums and means of numbers.

use std::marker::PhantomData;

use super::number::{Number, Total};
use crate::Aggregator;

by_closure! {
    /// See [`sum`].
    Sum {}
}

by_closure! {
    /// See [`mean`].
    Mean {}
}

/// The sum of what `of` gives: exact for integers (in an `i128`) and money, rounded for `f64`.
pub fn sum<T, V: Number, F>(of: F) -> Sum<T, V, F>
where
    F: Fn(&T) -> V + Clone + Send + 'static,
{
    Sum { of, types: PhantomData }
}

/// The mean of what `of` gives, `None` of no records: an `f64` of numbers, money of money.
pub fn mean<T, V: Number, F>(of: F) -> Mean<T, V, F>
where
    F: Fn(&T) -> V + Clone + Send + 'static,
{
    Mean { of, types: PhantomData }
}

impl<T: 'static, V: Number + 'static, F> Aggregator<T> for Sum<T, V, F>
where
    F: Fn(&T) -> V + Clone + Send + 'static,
{
    type Accumulator = V::Total;
    type Output = V::Sum;

    fn create(&self) -> V::Total {
        V::Total::default()
    }

    #[inline]
    fn add(&self, total: &mut V::Total, record: &T) {
        *total = total.plus((self.of)(record).widen());
    }

    #[inline]
    fn merge(&self, total: &mut V::Total, other: &V::Total) {
        *total = total.plus(*other);
    }

    #[inline]
    fn finish(&self, total: &V::Total) -> V::Sum {
        V::sum(*total)
    }

    #[inline]
    fn subtract(&self, total: &mut V::Total, other: &V::Total) -> bool {
        total.minus(*other).map(|rest| *total = rest).is_some()
    }

    fn name(&self) -> String {
        "sum".to_owned()
    }
}

impl<T: 'static, V: Number + 'static, F> Aggregator<T> for Mean<T, V, F>
where
    F: Fn(&T) -> V + Clone + Send + 'static,
{
    type Accumulator = (V::Total, u64);
    type Output = Option<V::Mean>;

    fn create(&self) -> (V::Total, u64) {
        (V::Total::default(), 0)
    }

    #[inline]
    fn add(&self, (total, count): &mut (V::Total, u64), record: &T) {
        *total = total.plus((self.of)(record).widen());
        *count += 1;
    }

    #[inline]
    fn merge(&self, (total, count): &mut (V::Total, u64), other: &(V::Total, u64)) {
        *total = total.plus(other.0);
        *count += other.1;
    }

    #[inline]
    fn finish(&self, (total, count): &(V::Total, u64)) -> Option<V::Mean> {
        (*count > 0).then(|| V::mean(*total, *count))
    }

    #[inline]
    fn subtract(&self, (total, count): &mut (V::Total, u64), other: &(V::Total, u64)) -> bool {
        let Some(rest) = total.minus(other.0) else { return false };
        *total = rest;
        *count -= other.1;
        true
    }

    fn name(&self) -> String {
        "mean".to_owned()
    }
}
