//! Slots in populated huge pages: the memory of the flat tables.
//!
//! ```text
//! map  | .... | slot 0 | slot 1 | ...                    | slot 2^n - 1 | .... |
//!             ^ first 2 MiB boundary
//! ```

use crate::workloads::table_hash;
use memmap2::{Advice, MmapMut, MmapOptions};
use std::marker::PhantomData;

const HUGE_PAGE_LEN: usize = 2 << 20;
/// Records between a prefetch and its update: about as many as a core keeps misses in flight.
pub const PREFETCH_DISTANCE: usize = 16;

/// What a table may keep in memory that was never written.
///
/// # Safety
/// Any bytes are a valid value, and its alignment is at most that of a huge page.
pub unsafe trait Slot: Copy {}

/// `2^n` slots, all zeros at first.
pub struct HugeSlots<S> {
    map: MmapMut,
    /// Bytes before the first huge page.
    offset: usize,
    /// `log2` of the number of slots.
    slots_log2: u32,
    slots: PhantomData<S>,
}

impl<S: Slot> HugeSlots<S> {
    /// Slots for so many keys: at most 10 of 16 are taken, where a probe is still 1.2 to 1.5 slots
    /// long.
    pub fn for_keys(keys: u64) -> Self {
        let slots = (keys * 8).div_ceil(5).next_power_of_two().max(2);
        let len = slots as usize * size_of::<S>();
        let mut map = MmapOptions::new()
            .len(len + HUGE_PAGE_LEN)
            .map_anon()
            .expect("anonymous memory for the flat table");
        let offset = map.as_mut_ptr().align_offset(HUGE_PAGE_LEN);
        #[cfg(target_os = "linux")]
        {
            // Both are hints: without them the table is the same, only slower.
            let _ = map.advise(Advice::HugePage);
            let _ = map.advise_range(Advice::PopulateWrite, offset, len);
        }
        Self { map, offset, slots_log2: slots.trailing_zeros(), slots: PhantomData }
    }

    /// `log2` of the number of slots, as [`home`] wants it.
    pub fn slots_log2(&self) -> u32 {
        self.slots_log2
    }

    /// All slots.
    pub fn slots(&mut self) -> &mut [S] {
        let len = 1 << self.slots_log2;
        let first = self.map[self.offset..].as_mut_ptr().cast::<S>();
        // SAFETY: `for_keys` made the map long enough for `len` slots after `offset`, and aligned
        // `offset` to 2 MiB, which is enough for a `Slot`; any bytes are a valid one, and the map
        // is initialized memory that is borrowed for as long as the slice lives.
        unsafe { std::slice::from_raw_parts_mut(first, len) }
    }
}

/// The slot where the search for a key begins.
#[inline(always)]
pub fn home(key: u64, slots_log2: u32) -> usize {
    (table_hash(key) >> (64 - slots_log2)) as usize
}

/// Asks for the cache line of a slot.
#[inline(always)]
pub fn prefetch<S>(slot: &S) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch has no effect on memory, and the address is that of a reference.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(slot).cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = slot;
}
