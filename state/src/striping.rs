//! How key groups fall into stripes: neighbours that share blocks of a segment.
//!
//! Blocks with few key groups are what lets a merge work on one slice of the groups at a time, and
//! a restore on another number of cores read only what it needs.

use crate::changes::GroupRange;

/// Key groups are sorted into so many stripes: a slice of a merge is at least one of them.
pub(crate) const STRIPES: usize = 64;
/// A stripe is written as a block when it has so many bytes: the header is then a thousandth, and
/// what waits of all stripes of a core fits its second cache.
pub(crate) const STRIPE_BYTES: usize = if cfg!(test) { 1 << 10 } else { 16 << 10 };

/// Bits behind the point of [`Striping::factor`].
const POINT: u32 = 32;

/// The stripes of so many key groups.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Striping {
    pub(crate) key_groups: u32,
    count: usize,
    /// Stripes by key group, rounded up.
    factor: u64,
}

impl Striping {
    /// That of a job with so many key groups, at least one and at most 2^16.
    pub(crate) fn of(key_groups: u32) -> Self {
        let count = STRIPES.min(key_groups as usize);
        let factor = ((count as u64) << POINT).div_ceil(u64::from(key_groups));
        Self { key_groups, count, factor }
    }

    /// How many stripes there are.
    pub(crate) fn count(self) -> usize {
        self.count
    }

    /// The stripe of a key group: `group * count / key_groups`, without the division. What was
    /// rounded adds less than 2^-16, and the quotient is at least that much below the next number.
    #[inline(always)]
    pub(crate) fn stripe(self, group: u16) -> usize {
        ((u64::from(group) * self.factor) >> POINT) as usize
    }

    /// The key groups of a stripe.
    pub(crate) fn groups(self, stripe: usize) -> GroupRange {
        let first_of = |stripe: usize| (stripe * self.key_groups as usize).div_ceil(self.count);
        GroupRange { first: first_of(stripe) as u16, last: (first_of(stripe + 1) - 1) as u16 }
    }

    /// The stripe that all these key groups fall into, if they do and the job has them.
    pub(crate) fn stripe_of_all(self, groups: GroupRange) -> Option<usize> {
        let stripe = self.stripe(groups.first);
        let is_one = groups.first <= groups.last
            && u32::from(groups.last) < self.key_groups
            && self.stripe(groups.last) == stripe;
        is_one.then_some(stripe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_group_has_the_stripe_that_division_gives() {
        for key_groups in (1..300).chain([1_000, 1 << 14, 32_767, 1 << 15]) {
            let striping = Striping::of(key_groups);
            let mut next = 0;
            for stripe in 0..striping.count() {
                let GroupRange { first, last } = striping.groups(stripe);
                assert_eq!(u32::from(first), next);
                for group in first..=last {
                    let quotient = u32::from(group) * striping.count() as u32 / key_groups;
                    assert_eq!(striping.stripe(group), stripe, "{group} of {key_groups}");
                    assert_eq!(quotient as usize, stripe);
                }
                assert_eq!(striping.stripe_of_all(GroupRange { first, last }), Some(stripe));
                next = u32::from(last) + 1;
                let more = GroupRange { first, last: last + 1 };
                assert_eq!(striping.stripe_of_all(more), None);
            }
            assert_eq!(next, key_groups);
        }
    }
}
