//! Timers of both clocks: the sets that each window keeps, and the queues that wake windows.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use tailwater_core::Timestamp;
use tailwater_state::keyed::Domain;

/// A thing for the watermark and the same for the wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Each<T> {
    event: T,
    processing: T,
}

impl<T> Each<T> {
    pub const fn new(event: T, processing: T) -> Self {
        Self { event, processing }
    }
}

impl<T> std::ops::Index<Domain> for Each<T> {
    type Output = T;

    #[inline]
    fn index(&self, domain: Domain) -> &T {
        match domain {
            Domain::Event => &self.event,
            Domain::Processing => &self.processing,
        }
    }
}

impl<T> std::ops::IndexMut<Domain> for Each<T> {
    #[inline]
    fn index_mut(&mut self, domain: Domain) -> &mut T {
        match domain {
            Domain::Event => &mut self.event,
            Domain::Processing => &mut self.processing,
        }
    }
}

/// The timers of one window by one clock: a set, in order. One timer, the usual number, takes no
/// allocation.
#[derive(Clone, Debug, Default)]
pub(crate) struct TimerSet {
    first: Option<Timestamp>,
    /// Those after the first, in order.
    rest: Vec<Timestamp>,
}

impl TimerSet {
    /// Adds a timer; no more than once (SEMANTICS 45).
    #[inline]
    pub fn insert(&mut self, time: Timestamp) {
        match self.first {
            None => self.first = Some(time),
            Some(first) if first == time => {}
            Some(first) => {
                let later = if time < first {
                    self.first = Some(time);
                    first
                } else {
                    time
                };
                if let Err(place) = self.rest.binary_search(&later) {
                    self.rest.insert(place, later);
                }
            }
        }
    }

    /// Takes a timer out; that there is none is no error.
    pub fn remove(&mut self, time: Timestamp) {
        if self.first == Some(time) {
            self.first = if self.rest.is_empty() { None } else { Some(self.rest.remove(0)) };
        } else if let Ok(place) = self.rest.binary_search(&time) {
            self.rest.remove(place);
        }
    }

    #[inline]
    pub fn first(&self) -> Option<Timestamp> {
        self.first
    }

    #[inline]
    pub fn clear(&mut self) {
        self.first = None;
        self.rest.clear();
    }

    /// All of them, in order.
    pub fn to_vec(&self) -> Vec<Timestamp> {
        self.first.iter().chain(&self.rest).copied().collect()
    }
}

impl FromIterator<Timestamp> for TimerSet {
    fn from_iter<I: IntoIterator<Item = Timestamp>>(times: I) -> Self {
        let mut set = Self::default();
        times.into_iter().for_each(|time| set.insert(time));
        set
    }
}

/// When to look at a window again. `number` is unlike that of any other window, so that a wake-up
/// is known to be stale when its slot holds another one by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WakeUp {
    pub time: Timestamp,
    pub number: u64,
    pub slot: u32,
}

/// Windows by the time at which their first timer may be due.
///
/// A wake-up may be early: a session that grows moves its timers to later, and leaves its wake-up
/// where it is. Whoever is woken looks at its timers and goes back to sleep; so growing costs
/// nothing here.
#[derive(Clone, Debug, Default)]
pub(crate) struct WakeUps(BinaryHeap<Reverse<WakeUp>>);

impl WakeUps {
    #[inline]
    pub fn push(&mut self, wake_up: WakeUp) {
        self.0.push(Reverse(wake_up));
    }

    /// The first wake-up that is due at `watermark`; stays in the queue.
    #[inline]
    pub fn due(&self, watermark: Timestamp) -> Option<WakeUp> {
        self.0.peek().map(|wake_up| wake_up.0).filter(|wake_up| wake_up.time <= watermark)
    }

    /// Drops the first wake-up, or moves it to a later time in one step.
    #[inline]
    pub fn replace_first(&mut self, time: Option<Timestamp>) {
        let Some(mut first) = self.0.peek_mut() else { return };
        match time {
            Some(time) => first.0.time = time,
            None => {
                std::collections::binary_heap::PeekMut::pop(first);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        // SEMANTICS 45
        #[test]
        fn a_timer_set_is_an_ordered_set(steps: Vec<(bool, i8)>) {
            let (mut set, mut model) = (TimerSet::default(), BTreeSet::new());
            for (insert, time) in steps {
                let time = Timestamp(time.into());
                if insert {
                    set.insert(time);
                    model.insert(time);
                } else {
                    set.remove(time);
                    model.remove(&time);
                }
                prop_assert_eq!(set.first(), model.first().copied());
                prop_assert_eq!(set.to_vec(), model.iter().copied().collect::<Vec<_>>());
            }
        }
    }
}
