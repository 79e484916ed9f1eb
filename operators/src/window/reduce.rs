//! A window's records combined two by two, as an aggregate.

use std::marker::PhantomData;

use tailwater_core::Record;

use crate::aggregate::Aggregator;

/// Combines the records of a window with the user's function, which must be associative.
pub struct Reduce<T, R> {
    combine: R,
    types: PhantomData<fn(T)>,
}

impl<T, R> Reduce<T, R> {
    /// Combines with `combine(so_far, next)`.
    pub fn new(combine: R) -> Self {
        Self { combine, types: PhantomData }
    }
}

impl<T, R: Clone> Clone for Reduce<T, R> {
    fn clone(&self) -> Self {
        Self::new(self.combine.clone())
    }
}

impl<T, R> Aggregator<T> for Reduce<T, R>
where
    T: Record,
    Option<T>: Record,
    R: Fn(&T, &T) -> T + Clone + Send + 'static,
{
    type Accumulator = Option<T>;
    type Output = T;

    fn create(&self) -> Option<T> {
        None
    }

    #[inline]
    fn add(&self, accumulator: &mut Option<T>, record: &T) {
        *accumulator = Some(match accumulator.take() {
            None => record.clone(),
            Some(so_far) => (self.combine)(&so_far, record),
        });
    }

    fn merge(&self, accumulator: &mut Option<T>, other: &Option<T>) {
        if let Some(other) = other {
            self.add(accumulator, other);
        }
    }

    fn finish(&self, accumulator: &Option<T>) -> T {
        let result = accumulator.as_ref();
        result.expect("a window fires only when it has a record").clone()
    }

    fn name(&self) -> String {
        "reduce".to_owned()
    }
}
