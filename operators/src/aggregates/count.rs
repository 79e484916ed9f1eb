//! How many records there were.

use crate::Aggregator;

/// See [`count`].
#[derive(Clone, Copy, Debug)]
pub struct Count;

/// How many records there were.
pub fn count() -> Count {
    Count
}

impl<T> Aggregator<T> for Count {
    type Accumulator = u64;
    type Output = u64;

    fn create(&self) -> u64 {
        0
    }

    #[inline]
    fn add(&self, count: &mut u64, _: &T) {
        *count += 1;
    }

    #[inline]
    fn merge(&self, count: &mut u64, other: &u64) {
        *count += other;
    }

    #[inline]
    fn finish(&self, count: &u64) -> u64 {
        *count
    }

    #[inline]
    fn subtract(&self, count: &mut u64, other: &u64) -> bool {
        *count -= other;
        true
    }

    fn name(&self) -> String {
        "count".to_owned()
    }
}
