//! Prints arrive later than they happened, some later than others: a bounded reorder buffer.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use tailwater_core::{Random, Span, Timestamp};

use crate::event::Print;

/// One print in so many is delayed.
const DELAYED_ONE_IN: u64 = 4;
/// The most prints under way; the earliest arrives early to make room. That makes nothing late:
/// what is still under way arrives no earlier than it, and so happened at most the longest delay
/// before it.
const UNDER_WAY_MAX: usize = 1 << 14;

/// Delays prints by up to a longest delay and hands them on in the order of their arrival.
#[derive(Debug)]
pub(crate) struct Arrivals {
    random: Random,
    /// In nanoseconds; zero for none at all.
    delay_max: u64,
    under_way: BinaryHeap<Reverse<Delayed>>,
}

#[derive(Debug, PartialEq, Eq)]
struct Delayed {
    arrives: Timestamp,
    print: Print,
}

impl Ord for Delayed {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.arrives, self.print.id).cmp(&(other.arrives, other.print.id))
    }
}

impl PartialOrd for Delayed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Arrivals {
    pub(crate) fn new(seed: u64, delay_max: Span) -> Self {
        Self {
            random: Random::from_seed(seed),
            delay_max: delay_max.nanos().max(0) as u64,
            under_way: BinaryHeap::new(),
        }
    }

    /// A print happened, after those before; `out` takes what has arrived by then.
    #[inline]
    pub(crate) fn happened(&mut self, print: Print, out: &mut Vec<Print>) {
        if self.delay_max == 0 {
            out.push(print);
            return;
        }
        while self.under_way.peek().is_some_and(|Reverse(first)| first.arrives <= print.at) {
            self.land(out);
        }
        if !self.random.chance(1, DELAYED_ONE_IN) {
            out.push(print);
            return;
        }
        if self.under_way.len() == UNDER_WAY_MAX {
            self.land(out);
        }
        let delay = self.random.below(self.delay_max) + 1;
        self.under_way.push(Reverse(Delayed { arrives: print.at + Span(delay as i64), print }));
    }

    /// No more will happen: `out` takes all that is under way.
    pub(crate) fn finish(&mut self, out: &mut Vec<Print>) {
        while !self.under_way.is_empty() {
            self.land(out);
        }
    }

    fn land(&mut self, out: &mut Vec<Print>) {
        out.extend(self.under_way.pop().map(|Reverse(first)| first.print));
    }
}
