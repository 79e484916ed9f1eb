//! The least and the greatest.

use std::cmp::Ordering;
use std::marker::PhantomData;

use tailwater_core::Record;

use crate::Aggregator;

by_closure! {
    /// See [`min`] and [`max`].
    Extreme { wanted: Ordering }
}

/// The least of what `of` gives; `None` of no records.
pub fn min<T, V: Ord + Record, F>(of: F) -> Extreme<T, V, F>
where
    F: Fn(&T) -> V + Clone + Send + 'static,
{
    Extreme { wanted: Ordering::Less, of, types: PhantomData }
}

/// The greatest of what `of` gives; `None` of no records.
pub fn max<T, V: Ord + Record, F>(of: F) -> Extreme<T, V, F>
where
    F: Fn(&T) -> V + Clone + Send + 'static,
{
    Extreme { wanted: Ordering::Greater, of, types: PhantomData }
}

impl<T: 'static, V: Ord + Record, F> Aggregator<T> for Extreme<T, V, F>
where
    F: Fn(&T) -> V + Clone + Send + 'static,
{
    type Accumulator = Option<V>;
    type Output = Option<V>;

    fn create(&self) -> Option<V> {
        None
    }

    #[inline]
    fn add(&self, extreme: &mut Option<V>, record: &T) {
        let value = (self.of)(record);
        if extreme.as_ref().is_none_or(|held| value.cmp(held) == self.wanted) {
            *extreme = Some(value);
        }
    }

    #[inline]
    fn merge(&self, extreme: &mut Option<V>, other: &Option<V>) {
        let Some(value) = other else { return };
        if extreme.as_ref().is_none_or(|held| value.cmp(held) == self.wanted) {
            *extreme = Some(value.clone());
        }
    }

    fn finish(&self, extreme: &Option<V>) -> Option<V> {
        extreme.clone()
    }

    fn name(&self) -> String {
        if self.wanted == Ordering::Less { "min" } else { "max" }.to_owned()
    }
}
