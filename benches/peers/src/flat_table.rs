//! A linear-probing table of counts in huge pages that prefetches ahead of its updates.
//!
//! ```text
//! slot  | key 8 | count 8 | sum 8 | unused 8 |
//! ```
//!
//! A slot whose count is 0 is free: fresh anonymous memory is an empty table.

use crate::counts::Counts;
use crate::huge_slots::{HugeSlots, PREFETCH_DISTANCE, Slot, home, prefetch};
use crate::workloads::{Amount, Count};

/// Half a cache line, so that no slot straddles two.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
struct CountSlot {
    key: u64,
    count: u64,
    sum: u64,
}

// SAFETY: three integers, for which any bytes are valid, aligned to 32.
unsafe impl Slot for CountSlot {}

/// Counts and sums in one flat table of fixed size.
pub struct FlatCounts {
    memory: HugeSlots<CountSlot>,
}

#[inline(always)]
fn add(slots: &mut [CountSlot], slots_log2: u32, record: &Amount) -> Count {
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
        Self { memory: HugeSlots::for_keys(keys) }
    }

    #[inline]
    fn add_all(&mut self, records: &[Amount], mut emit: impl FnMut(Count)) {
        let slots_log2 = self.memory.slots_log2();
        let slots = self.memory.slots();
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
        self.memory.slots().iter().map(|slot| slot.sum).sum()
    }
}
