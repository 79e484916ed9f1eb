//! A linear-probing table of counts in huge pages that prefetches ahead of its updates.
//!
//! ```text
//! slot  | key 8 | count 8 | sum 8 | unused 8 |
//! ```
//!
//! A slot whose count is 0 is free: fresh anonymous memory is an empty table.

use std::marker::PhantomData;

use crate::counts::Counts;
use crate::huge_slots::{HugeSlots, PREFETCH_DISTANCE, Slot, prefetch};
use crate::workloads::{Amount, Count, mix, table_hash};

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

/// What is known of the keys before the first one comes.
pub trait Keys {
    /// Leads a key to its slot, by its upper bits.
    fn hash(key: u64) -> u64;

    /// Which of two cores owns a key, by the lowest bit.
    fn half(key: u64) -> u64;
}

/// They are numbers without gaps: one multiplication lays them out so evenly that hardly two of
/// them meet, on each core too.
pub struct Dense;

impl Keys for Dense {
    #[inline(always)]
    fn hash(key: u64) -> u64 {
        table_hash(key)
    }

    #[inline(always)]
    fn half(key: u64) -> u64 {
        key
    }
}

/// They may be any numbers, as an engine must expect: they are mixed, and meet as often as chance
/// will have it.
pub struct Any;

impl Keys for Any {
    #[inline(always)]
    fn hash(key: u64) -> u64 {
        mix(key)
    }

    #[inline(always)]
    fn half(key: u64) -> u64 {
        mix(key)
    }
}

/// Counts and sums in one flat table of fixed size.
pub struct FlatCounts<K> {
    memory: HugeSlots<CountSlot>,
    keys: PhantomData<fn(K)>,
}

/// The slot where the search for a key begins.
#[inline(always)]
fn home<K: Keys>(key: u64, slots_log2: u32) -> usize {
    (K::hash(key) >> (64 - slots_log2)) as usize
}

#[inline(always)]
fn add<K: Keys>(slots: &mut [CountSlot], slots_log2: u32, record: &Amount) -> Count {
    let mask = slots.len() - 1;
    let mut index = home::<K>(record.key, slots_log2);
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

impl<K: Keys> Counts for FlatCounts<K> {
    fn with_capacity(keys: u64) -> Self {
        Self { memory: HugeSlots::for_keys(keys), keys: PhantomData }
    }

    #[inline(always)]
    fn half(key: u64) -> u64 {
        K::half(key)
    }

    #[inline]
    fn add_all(&mut self, records: &[Amount], mut emit: impl FnMut(Count)) {
        let slots_log2 = self.memory.slots_log2();
        let slots = self.memory.slots();
        let mask = slots.len() - 1;
        for record in records.iter().take(PREFETCH_DISTANCE) {
            prefetch(&slots[home::<K>(record.key, slots_log2) & mask]);
        }
        let (head, tail) = records.split_at(records.len().saturating_sub(PREFETCH_DISTANCE));
        for (record, ahead) in head.iter().zip(records.iter().skip(PREFETCH_DISTANCE)) {
            prefetch(&slots[home::<K>(ahead.key, slots_log2) & mask]);
            emit(add::<K>(slots, slots_log2, record));
        }
        for record in tail {
            emit(add::<K>(slots, slots_log2, record));
        }
    }

    fn sum(&mut self) -> u64 {
        self.memory.slots().iter().map(|slot| slot.sum).sum()
    }
}
