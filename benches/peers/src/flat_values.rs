//! The flat table for the workloads on state: 8-byte keys, 32-byte values, a cache line a slot.
//!
//! ```text
//! slot  | key 8 | taken 8 | value 32 | unused 16 |
//! ```

use crate::huge_slots::{HugeSlots, PREFETCH_DISTANCE, Slot, home, prefetch};
use crate::state_update::{Update, Value};

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct ValueSlot {
    key: u64,
    /// 0: free, as in fresh memory.
    taken: u64,
    value: Value,
}

// SAFETY: six integers, for which any bytes are valid, aligned to 64.
unsafe impl Slot for ValueSlot {}

/// Values by key in one flat table of fixed size.
pub struct FlatValues {
    memory: HugeSlots<ValueSlot>,
}

#[inline(always)]
fn find(slots: &mut [ValueSlot], slots_log2: u32, key: u64) -> &mut Value {
    let mask = slots.len() - 1;
    let mut index = home(key, slots_log2) & mask;
    while slots[index].taken != 0 && slots[index].key != key {
        index = (index + 1) & mask;
    }
    let slot = &mut slots[index];
    (slot.key, slot.taken) = (key, 1);
    &mut slot.value
}

impl FlatValues {
    /// A table that holds `keys` keys without growing.
    pub fn with_capacity(keys: u64) -> Self {
        Self { memory: HugeSlots::for_keys(keys) }
    }

    /// The value of a key, which is zero where it is new.
    #[inline]
    pub fn value(&mut self, key: u64) -> &mut Value {
        let slots_log2 = self.memory.slots_log2();
        find(self.memory.slots(), slots_log2, key)
    }

    /// Visits the value of each item's key in order, with the slots of the next ones under way.
    #[inline]
    pub fn visit_all<T>(
        &mut self,
        items: &[T],
        key: impl Fn(&T) -> u64,
        mut visit: impl FnMut(&T, &mut Value),
    ) {
        let slots_log2 = self.memory.slots_log2();
        let slots = self.memory.slots();
        let mask = slots.len() - 1;
        for item in items.iter().take(PREFETCH_DISTANCE) {
            prefetch(&slots[home(key(item), slots_log2) & mask]);
        }
        for (i, item) in items.iter().enumerate() {
            if let Some(ahead) = items.get(i + PREFETCH_DISTANCE) {
                prefetch(&slots[home(key(ahead), slots_log2) & mask]);
            }
            visit(item, find(slots, slots_log2, key(item)));
        }
    }

    /// Updates each value in order and emits it.
    #[inline]
    pub fn update_all(&mut self, updates: &[Update], mut emit: impl FnMut(&Value)) {
        self.visit_all(
            updates,
            |update| update.key,
            |update, value| {
                value.update(update.amount);
                emit(value);
            },
        );
    }

    /// How many keys there are, and the sum of the hashes of their entries.
    pub fn entries(&mut self) -> (u64, u64) {
        self.memory
            .slots()
            .iter()
            .filter(|slot| slot.taken != 0)
            .fold((0, 0), |(count, sum), slot| {
                (count + 1, slot.value.entry_hash(slot.key).wrapping_add(sum))
            })
    }
}
