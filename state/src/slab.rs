//! Values that are too large for the slots of a table: each has a handle and never moves.
//!
//! ```text
//! segment 0   32 places | segment 1   64 places | segment 2   128 places | ..
//! handle h    the place of number h + 32: found without a search, never copied
//! ```
//!
//! A free place holds the handle of the next free one.
#![allow(unsafe_code)] // Places hold a value exactly while their handle is given out.

use std::marker::PhantomData;
use std::mem::ManuallyDrop;

use crate::arena::{Arena, Arrival, Pending, Region};

/// Places of the first segment, as a power of two.
const FIRST: u32 = 5;
/// No place.
const NONE: u32 = u32::MAX;

/// Values by handle. What it holds is dropped by whoever knows the handles.
pub(crate) struct Slab<V> {
    segments: Vec<Region>,
    pending: Option<Pending>,
    free: u32,
    /// Places that were given out at least once.
    used: u32,
    values: PhantomData<V>,
}

/// Room for a value, or the next free place.
union Place<V> {
    next: u32,
    _value: ManuallyDrop<V>,
}

impl<V> Default for Slab<V> {
    fn default() -> Self {
        Self { segments: Vec::new(), pending: None, free: NONE, used: 0, values: PhantomData }
    }
}

/// The segment of a handle, and the place in it.
#[inline(always)]
fn locate(handle: u32) -> (usize, usize) {
    let number = u64::from(handle) + (1 << FIRST);
    let segment = number.ilog2() - FIRST;
    (segment as usize, (number - (1 << (segment + FIRST))) as usize)
}

fn places(segment: usize) -> usize {
    1 << (segment as u32 + FIRST)
}

impl<V> Slab<V> {
    /// The place of `handle`, which was given out.
    #[inline(always)]
    fn place(&self, handle: u32) -> *mut Place<V> {
        let (segment, index) = locate(handle);
        debug_assert!(handle < self.used);
        // The region of a segment has so many places, and `index` is below their number.
        self.segments[segment].start().as_ptr().cast::<Place<V>>().wrapping_add(index)
    }

    /// Where the value of `handle` lies, for as long as the handle is given out.
    #[inline(always)]
    pub(crate) fn value(&self, handle: u32) -> *mut V {
        self.place(handle).cast()
    }

    /// Whether a value can be put without more memory; otherwise gets some. `false` where that is
    /// refused.
    pub(crate) fn make_room(&mut self, arena: &Arena) -> bool {
        if self.free != NONE {
            return true;
        }
        let (segment, index) = locate(self.used);
        if segment < self.segments.len() {
            // The next segment is made ready while this one fills up.
            if self.pending.is_none()
                && segment + 1 == self.segments.len()
                && index > places(segment) / 2
            {
                self.pending = Some(self.request(segment + 1, arena));
            }
            return true;
        }
        let pending = self.pending.take();
        let pending = pending.unwrap_or_else(|| self.request(segment, arena));
        let bytes = places(segment) * size_of::<Place<V>>();
        let region = match pending.look() {
            Arrival::Here(region) => Some(region),
            Arrival::NotYet => pending.wait(),
            Arrival::Refused => None,
        };
        let region = region.or_else(|| arena.region_overdrawn(bytes, align_of::<Place<V>>()));
        self.segments.extend(region);
        segment < self.segments.len()
    }

    fn request(&self, segment: usize, arena: &Arena) -> Pending {
        arena.request(places(segment) * size_of::<Place<V>>(), align_of::<Place<V>>())
    }

    /// Puts a value, after [`make_room`](Slab::make_room) found room for it.
    #[inline]
    pub(crate) fn put(&mut self, value: V) -> u32 {
        let handle = if self.free == NONE {
            let handle = self.used;
            self.used += 1;
            handle
        } else {
            let handle = self.free;
            // SAFETY: the place is free, so `next` is what was written last.
            self.free = unsafe { (*self.place(handle)).next };
            handle
        };
        // SAFETY: the place exists and holds no value.
        unsafe { self.value(handle).write(value) };
        handle
    }

    /// Takes the value of `handle`, which is free from now on.
    #[inline]
    pub(crate) fn take(&mut self, handle: u32) -> V {
        let place = self.place(handle);
        // SAFETY: the handle was given out, so the place holds a value; it is read once, because
        // the place is free afterwards.
        let value = unsafe { place.cast::<V>().read() };
        // SAFETY: the place is in memory that is ours.
        unsafe { (&raw mut (*place).next).write(self.free) };
        self.free = handle;
        value
    }

    /// Forgets all handles without dropping their values, and keeps the memory.
    pub(crate) fn reset(&mut self) {
        (self.free, self.used) = (NONE, 0);
    }

    /// The bytes that the segments take.
    pub(crate) fn bytes(&self) -> usize {
        self.segments.iter().map(Region::bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Budget, Prefault, Warnings};

    #[test]
    fn handles_are_used_again_and_values_stay_where_they_are() {
        let (budget, prefault) = (Budget::unlimited(), Prefault::inline());
        let arena = Arena { budget, prefault, warnings: Warnings::default() };
        let mut slab = Slab::<[u64; 9]>::default();
        let put = |slab: &mut Slab<_>, value: u64| {
            assert!(slab.make_room(&arena));
            slab.put([value; 9])
        };
        let handles: Vec<u32> = (0..1_000).map(|value| put(&mut slab, value)).collect();
        let addresses: Vec<_> = handles.iter().map(|handle| slab.value(*handle)).collect();
        assert_eq!(handles, (0..1_000).collect::<Vec<u32>>());
        for handle in [3, 999, 31, 32] {
            assert_eq!(slab.take(handle), [u64::from(handle); 9]);
        }
        let again: Vec<u32> = (0..5).map(|value| put(&mut slab, 5_000 + value)).collect();
        assert_eq!(again, [32, 31, 999, 3, 1_000]);
        assert_eq!(addresses[7], slab.value(7));
        assert_eq!(slab.take(999), [5_002; 9]);
        assert!(slab.bytes() >= 1_001 * 72);
    }
}
