//! A linear-probing table of counts in huge pages that prefetches ahead of its updates.
//!
//! ```text
//! map  | .... | slot 0 | slot 1 | ...                    | slot 2^n - 1 | .... |
//!             ^ first 2 MiB boundary        slot = key 8, count 8, sum 8, unused 8 bytes
//! ```
//!
//! A slot whose count is 0 is free: fresh anonymous memory is an empty table.

use crate::counts::Counts;
use crate::workloads::{Amount, Count, table_hash};
use memmap2::{Advice, MmapMut, MmapOptions};

const HUGE_PAGE_LEN: usize = 2 << 20;
/// Records between a prefetch and its update: about as many as a core keeps misses in flight.
const PREFETCH_DISTANCE: usize = 16;

/// Half a cache line, so that no slot straddles two.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
struct Slot {
    key: u64,
    count: u64,
    sum: u64,
}

/// Counts and sums in one flat table of fixed size.
pub struct FlatCounts {
    map: MmapMut,
    /// Bytes before the first huge page.
    offset: usize,
    /// `log2` of the number of slots.
    slots_log2: u32,
}

impl FlatCounts {
    fn slots(&mut self) -> &mut [Slot] {
        let len = 1 << self.slots_log2;
        let first = self.map[self.offset..].as_mut_ptr().cast::<Slot>();
        // SAFETY: `with_capacity` made the map long enough for `len` slots after `offset`, and
        // aligned `offset` to 2 MiB; a slot is three integers, for which any bytes are valid, and
        // the map is initialized memory that is borrowed for as long as the slice lives.
        unsafe { std::slice::from_raw_parts_mut(first, len) }
    }
}

#[inline(always)]
fn home(key: u64, slots_log2: u32) -> usize {
    (table_hash(key) >> (64 - slots_log2)) as usize
}

#[inline(always)]
fn prefetch(slot: &Slot) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch has no effect on memory, and the address is that of a reference.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(slot).cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = slot;
}

#[inline(always)]
fn add(slots: &mut [Slot], slots_log2: u32, record: &Amount) -> Count {
    let mask = slots.len() - 1;
    let mut index = home(record.key, slots_log2);
    loop {
        let slot = &mut slots[index & mask];
        if slot.count == 0 {
            slot.key = record.key;
        }
        if slot.key == record.key {
            slot.count += 1;
            slot.sum += record.amount;
            return Count { key: slot.key, count: slot.count, sum: slot.sum };
        }
        index += 1;
    }
}

impl Counts for FlatCounts {
    fn with_capacity(keys: u64) -> Self {
        // At most 10 of 16 slots are taken, where a probe is still 1.2 to 1.5 slots long.
        let slots = (keys * 8).div_ceil(5).next_power_of_two().max(2);
        let len = slots as usize * size_of::<Slot>();
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
        Self { map, offset, slots_log2: slots.trailing_zeros() }
    }

    #[inline]
    fn add_all(&mut self, records: &[Amount], mut emit: impl FnMut(Count)) {
        let slots_log2 = self.slots_log2;
        let slots = self.slots();
        let mask = slots.len() - 1;
        for record in records.iter().take(PREFETCH_DISTANCE) {
            prefetch(&slots[home(record.key, slots_log2) & mask]);
        }
        let (head, tail) = records.split_at(records.len().saturating_sub(PREFETCH_DISTANCE));
        for (record, ahead) in head.iter().zip(records.iter().skip(PREFETCH_DISTANCE)) {
            prefetch(&slots[home(ahead.key, slots_log2) & mask]);
            emit(add(slots, slots_log2, record));
        }
        for record in tail {
            emit(add(slots, slots_log2, record));
        }
    }

    fn sum(&mut self) -> u64 {
        self.slots().iter().map(|slot| slot.sum).sum()
    }
}
