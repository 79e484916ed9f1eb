//! Memory for the slots of a table: zeroed, aligned to cache lines, on huge pages where it is
//! large.

#![allow(unsafe_code)] // Hands out raw zeroed memory as slots.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use memmap2::{Advice, MmapMut};

/// A cache line. A slot of this size or a divisor of it then never lies across two.
const LINE: usize = 64;
/// Slots that take at least so many bytes get a mapping of their own, on huge pages where the
/// system grants them: the processor finds 10 M keys without a walk through page tables for each.
const MAPPED_FROM: usize = 1 << 20;

/// A type for which all bytes zero is a valid value.
///
/// # Safety
/// Zeroed memory must be a valid value of the type, and nothing must need to be dropped in it.
pub(crate) unsafe trait Zeroed {}

enum Memory {
    /// From the allocator; not mapped because it is small.
    Heap(Layout),
    /// Unmapped when dropped.
    Mapped { _memory: MmapMut },
}

/// So many slots, all zero when made.
pub(crate) struct Slots<S> {
    start: NonNull<S>,
    count: usize,
    memory: Memory,
    slots: PhantomData<S>,
}

// SAFETY: the memory is owned like that of a boxed slice.
unsafe impl<S: Send> Send for Slots<S> {}
// SAFETY: as above.
unsafe impl<S: Sync> Sync for Slots<S> {}

impl<S: Zeroed> Slots<S> {
    /// `count` zeroed slots.
    ///
    /// # Panics
    /// When the size overflows; aborts when there is no memory, as a `Vec` does.
    pub(crate) fn zeroed(count: usize) -> Self {
        let layout = Layout::array::<S>(count).and_then(|layout| layout.align_to(LINE));
        let layout = layout.expect("a table's size fits the address space");
        if layout.size() == 0 {
            let (start, memory) = (NonNull::dangling(), Memory::Heap(layout));
            return Self { start, count, memory, slots: PhantomData };
        }
        if layout.size() >= MAPPED_FROM
            && layout.align() <= LINE
            && let Ok(mut mapping) = MmapMut::map_anon(layout.size())
            && let Some(start) = NonNull::new(mapping.as_mut_ptr().cast::<S>())
        {
            // Both are wishes: without huge pages, and with pages that come at the first touch, the
            // table works as well, only slower.
            let _ = mapping.advise(Advice::HugePage);
            let _ = mapping.advise(Advice::PopulateWrite);
            let memory = Memory::Mapped { _memory: mapping };
            return Self { start, count, memory, slots: PhantomData };
        }
        // SAFETY: the layout's size is not zero.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start.cast::<S>()) else { handle_alloc_error(layout) };
        Self { start, count, memory: Memory::Heap(layout), slots: PhantomData }
    }
}

impl<S> Deref for Slots<S> {
    type Target = [S];

    #[inline(always)]
    fn deref(&self) -> &[S] {
        // SAFETY: `start` leads to `count` slots of memory that this value owns, aligned for `S`
        // (to a cache line or a page) and valid: zeroed when made, which `Zeroed` allows, and
        // written only as slots.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.count) }
    }
}

impl<S> DerefMut for Slots<S> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [S] {
        // SAFETY: as in `deref`, and `self` is borrowed for as long as the slots are.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.count) }
    }
}

impl<S> Drop for Slots<S> {
    fn drop(&mut self) {
        if let Memory::Heap(layout) = self.memory
            && layout.size() > 0
        {
            // SAFETY: allocated with this layout in `zeroed`, and freed once.
            unsafe { dealloc(self.start.as_ptr().cast(), layout) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // SAFETY: zero is a number.
    unsafe impl Zeroed for u64 {}

    #[test]
    fn small_and_large_memory_is_zeroed_aligned_and_writable() {
        for count in [0, 1, 100, MAPPED_FROM / 8, MAPPED_FROM] {
            let mut slots = Slots::<u64>::zeroed(count);
            assert_eq!((slots.len(), slots.as_ptr() as usize % 8), (count, 0));
            assert!(count == 0 || (slots.as_ptr() as usize).is_multiple_of(LINE));
            assert!(slots.iter().all(|slot| *slot == 0));
            slots.iter_mut().zip(0..).for_each(|(slot, index)| *slot = index);
            assert!(slots.iter().zip(0..).all(|(slot, index)| *slot == index));
        }
    }
}
