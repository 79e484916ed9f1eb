//! What is taken out of a window's list before or after it is shown: evictors.

use tailwater_core::{Span, Stamped, Timestamp};

use crate::window::Window;

/// Takes records out of a window that fires. What is taken out is gone for later firings too
/// (SEMANTICS 37).
pub trait Evictor<T>: Clone + Send + 'static {
    /// Before the window function sees the records.
    fn before(&mut self, records: &mut Vec<Stamped<T>>, window: Window) {
        let _ = (records, window);
    }

    /// After it has seen them.
    fn after(&mut self, records: &mut Vec<Stamped<T>>, window: Window) {
        let _ = (records, window);
    }

    /// A short name for `explain`; empty where nothing is evicted.
    fn name(&self) -> String;
}

/// Takes nothing out.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoEvictor;

impl<T> Evictor<T> for NoEvictor {
    fn name(&self) -> String {
        String::new()
    }
}

/// On which side of the window function records are taken out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Evict {
    /// The window function does not see them.
    #[default]
    Before,
    /// The window function sees them once.
    After,
}

/// Writes `before` and `after` of an evictor that does the same on the side that it was given.
macro_rules! on_one_side {
    () => {
        fn before(&mut self, records: &mut Vec<Stamped<T>>, _: Window) {
            if self.side == Evict::Before {
                self.evict(records);
            }
        }

        fn after(&mut self, records: &mut Vec<Stamped<T>>, _: Window) {
            if self.side == Evict::After {
                self.evict(records);
            }
        }
    };
}

/// Keeps the last so many records.
#[derive(Clone, Copy, Debug)]
pub struct CountEvictor {
    keep: usize,
    side: Evict,
}

impl CountEvictor {
    /// Keeps the last `keep` records.
    pub const fn new(keep: usize, side: Evict) -> Self {
        Self { keep, side }
    }

    fn evict<T>(&self, records: &mut Vec<Stamped<T>>) {
        records.drain(..records.len().saturating_sub(self.keep));
    }
}

impl<T: 'static> Evictor<T> for CountEvictor {
    on_one_side!();

    fn name(&self) -> String {
        format!("last {}", self.keep)
    }
}

/// Keeps the records of the last span of event time: those later than the newest minus the span
/// (SEMANTICS 36). Takes nothing out where records have no event time.
#[derive(Clone, Copy, Debug)]
pub struct TimeEvictor {
    span: Span,
    side: Evict,
}

impl TimeEvictor {
    /// Keeps the records that are less than `span` older than the newest.
    pub const fn new(span: Span, side: Evict) -> Self {
        Self { span, side }
    }

    fn evict<T>(&self, records: &mut Vec<Stamped<T>>) {
        let newest = records.iter().map(|record| record.at).max().unwrap_or(Timestamp::NONE);
        if newest.is_some() {
            let cutoff = newest - self.span;
            records.retain(|record| record.at > cutoff);
        }
    }
}

impl<T: 'static> Evictor<T> for TimeEvictor {
    on_one_side!();

    fn name(&self) -> String {
        format!("last {}", self.span)
    }
}

/// Takes out the records that differ from the last one by a threshold or more (SEMANTICS 36).
#[derive(Clone, Copy, Debug)]
pub struct DeltaEvictor<D, F> {
    threshold: D,
    difference: F,
    side: Evict,
}

impl<D, F> DeltaEvictor<D, F> {
    /// Keeps the records whose `difference(record, last)` is less than `threshold`.
    pub const fn new(threshold: D, difference: F, side: Evict) -> Self {
        Self { threshold, difference, side }
    }

    fn evict<T>(&mut self, records: &mut Vec<Stamped<T>>)
    where
        F: FnMut(&T, &T) -> D,
        D: PartialOrd,
    {
        let Some(last) = records.pop() else { return };
        let Self { threshold, difference, .. } = self;
        records.retain(|record| {
            let difference = difference(&record.value, &last.value);
            difference.partial_cmp(threshold).is_none_or(std::cmp::Ordering::is_lt)
        });
        // The last one is as far from itself as the user's function says.
        let own = difference(&last.value, &last.value);
        if own.partial_cmp(threshold).is_none_or(std::cmp::Ordering::is_lt) {
            records.push(last);
        }
    }
}

impl<T, D, F> Evictor<T> for DeltaEvictor<D, F>
where
    T: 'static,
    D: PartialOrd + Clone + Send + 'static,
    F: FnMut(&T, &T) -> D + Clone + Send + 'static,
{
    on_one_side!();

    fn name(&self) -> String {
        "delta".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept<E: Evictor<i64>>(mut evictor: E, times: &[i64]) -> Vec<i64> {
        let mut records: Vec<_> = times.iter().map(|&at| Stamped::new(Timestamp(at), at)).collect();
        evictor.before(&mut records, Window::GLOBAL);
        records.into_iter().map(|record| record.value).collect()
    }

    // SEMANTICS 36
    #[test]
    fn evictors_and_their_bounds() {
        assert_eq!(kept(TimeEvictor::new(Span(10), Evict::Before), &[5, 10, 11, 20]), [11, 20]);
        assert_eq!(kept(TimeEvictor::new(Span(10), Evict::After), &[5, 10, 11, 20]).len(), 4);
        assert_eq!(kept(CountEvictor::new(2, Evict::Before), &[5, 10, 11, 20]), [11, 20]);
        let delta =
            |threshold| DeltaEvictor::new(threshold, |a: &i64, b: &i64| b - a, Evict::Before);
        assert_eq!(kept(delta(10), &[5, 10, 11, 20]), [11, 20]);
        assert_eq!(kept(delta(0), &[5, 20]), [0; 0]);
    }

    #[test]
    fn records_without_time_are_not_evicted_by_time() {
        assert_eq!(kept(TimeEvictor::new(Span(1), Evict::Before), &[i64::MIN]).len(), 1);
    }
}
