//! The order of the rows of a part: a counting pass over its hashes, then by comparison what that
//! left undone.
//!
//! ```text
//! hashes   a pass over the bits behind those that all rows of a part share
//! settle   by comparison: rows that share a bucket, which are few, or come nearly by time
//! times    where they are many and do not: digits of as many bits as they need, then both again
//! ```
//!
//! Each step keeps the order of equals, so the result is by hash, time and arrival.

use super::{Head, PART_BITS};

/// The most bits of a digit: its counters stay in the first cache.
const DIGIT_BITS_MAX: u32 = 12;
/// Places that a row may be moved by comparison, on average; beyond it another sort is the faster.
const MOVES_MAX: usize = 16;

/// Finds the order of parts, one after the other; keeps its memory.
#[derive(Debug, Default)]
pub(super) struct Sorting {
    order: Vec<u32>,
    other: Vec<u32>,
    counts: Vec<u32>,
}

impl Sorting {
    /// The indices of the rows that were sorted last, by hash, time and arrival.
    pub(super) fn order(&self) -> &[u32] {
        &self.order
    }

    /// Finds the order of the rows with these heads.
    pub(super) fn sort(&mut self, heads: &[Head]) {
        let bits = bits_of(heads.len() as u64).clamp(1, DIGIT_BITS_MAX);
        let by_hash =
            |row: u32| ((heads[row as usize].hash << PART_BITS) >> (u64::BITS - bits)) as usize;
        self.order.clear();
        self.order.extend(0..heads.len() as u32);
        self.pass(bits, by_hash);
        if self.settle(heads) {
            return;
        }
        self.order.clear();
        self.order.extend(0..heads.len() as u32);
        self.by_time(heads);
        self.pass(bits, by_hash);
        if !self.settle(heads) {
            self.order.sort_by_key(|row| heads[*row as usize]);
        }
    }

    /// Orders by as many of the uppermost bits in which times differ as tell the rows apart.
    fn by_time(&mut self, heads: &[Head]) {
        let times = || heads.iter().map(|head| head.at.0);
        let (Some(least), Some(greatest)) = (times().min(), times().max()) else { return };
        let since = |at: i64| at.wrapping_sub(least) as u64;
        let span_bits = bits_of(since(greatest));
        let bits = bits_of(heads.len() as u64).min(span_bits);
        let digits = bits.div_ceil(DIGIT_BITS_MAX).max(1);
        let digit_bits = bits.div_ceil(digits);
        // The lowest digit first; the uppermost may reach beyond the span.
        for digit in (1..=digits).rev() {
            let shift = span_bits.saturating_sub(digit * digit_bits);
            let mask = (1usize << digit_bits) - 1;
            self.pass(digit_bits, |row| (since(heads[row as usize].at.0) >> shift) as usize & mask);
        }
    }

    /// Orders by a digit of so many bits.
    fn pass(&mut self, bits: u32, digit: impl Fn(u32) -> usize) {
        let Self { order, other, counts } = self;
        counts.clear();
        counts.resize(1 << bits, 0);
        order.iter().for_each(|row| counts[digit(*row)] += 1);
        let Some(first) = order.first() else { return };
        if counts[digit(*first)] as usize == order.len() {
            return;
        }
        let mut before = 0;
        for count in counts.iter_mut() {
            before += std::mem::replace(count, before);
        }
        other.resize(order.len(), 0);
        for row in order.iter() {
            let place = &mut counts[digit(*row)];
            other[*place as usize] = *row;
            *place += 1;
        }
        std::mem::swap(order, other);
    }

    /// Orders what is nearly in order; `false` where it is not.
    fn settle(&mut self, heads: &[Head]) -> bool {
        let order = &mut self.order[..];
        let mut moves = MOVES_MAX * order.len();
        let Some(mut last) = order.first().map(|row| heads[*row as usize]) else { return true };
        for next in 1..order.len() {
            let row = order[next];
            let this = heads[row as usize];
            if last <= this {
                last = this;
                continue;
            }
            let mut place = next;
            while place > 0 && heads[order[place - 1] as usize] > this {
                order[place] = order[place - 1];
                place -= 1;
            }
            order[place] = row;
            match moves.checked_sub(next - place) {
                Some(left) => moves = left,
                None => return false,
            }
        }
        true
    }
}

/// How many bits a number has.
fn bits_of(number: u64) -> u32 {
    u64::BITS - number.leading_zeros()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tailwater_core::Timestamp;

    use super::*;

    fn times() -> impl Strategy<Value = Vec<i64>> {
        let spread = prop_oneof![Just(3i64), Just(1_000), Just(i64::MAX)];
        spread.prop_flat_map(|spread| {
            let at = prop_oneof![6 => -spread..spread, 1 => Just(i64::MIN), 1 => Just(i64::MAX)];
            prop::collection::vec(at, 0..600)
        })
    }

    proptest! {
        // SEMANTICS 88
        #[test]
        fn rows_are_ordered_by_hash_time_and_arrival(
            times in times(), keys in 1u64..500, in_order: bool, shared in 0u32..64,
        ) {
            let mut times = times;
            if in_order {
                times.sort_unstable();
            }
            let hash = |index: usize| {
                tailwater_core::random::nth(7, index as u64 % keys) >> PART_BITS >> (shared % 54)
            };
            let times = times.into_iter().enumerate();
            let heads: Vec<Head> = times
                .map(|(index, at)| Head { hash: hash(index), at: Timestamp(at) })
                .collect();
            let mut expected: Vec<u32> = (0..heads.len() as u32).collect();
            expected.sort_by_key(|row| (heads[*row as usize].hash, heads[*row as usize].at));
            let mut sorting = Sorting::default();
            sorting.sort(&heads);
            prop_assert_eq!(sorting.order(), expected);
        }
    }

    /// All in one bucket of hashes, in reverse: comparison alone would take for ever.
    #[test]
    fn many_rows_that_no_digit_tells_apart_are_sorted_too() {
        let far = Head { hash: 1, at: Timestamp(i64::MIN) };
        let near = (0..20_000).map(|at| Head { hash: 0, at: Timestamp(-at) });
        let heads: Vec<Head> = std::iter::once(far).chain(near).collect();
        let expected: Vec<u32> = (1..=20_000).rev().chain([0]).collect();
        let mut sorting = Sorting::default();
        sorting.sort(&heads);
        assert_eq!(sorting.order(), expected);
    }
}
