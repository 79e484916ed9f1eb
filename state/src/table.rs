//! A table of keys in memory: open addressing with linear probing, key and value in one slot.
//!
//! ```text
//! slot     | tag u32 | key | value |  tag = 0: empty; else the hash's upper 32 bits, bit 7 set
//! home     (tag rotated) & (slots-1)  a key lies there or in the unbroken run of slots after it
//! occupied one bit a slot             walking and clearing cost what is there, not what could be
//! ```
//!
//! A probe touches one cache line where key and value fit into it. At most half of the slots
//! are taken, so that a run is short; a removed key is closed over by shifting back, so that runs
//! never rot.
#![allow(unsafe_code)] // Keys and values are initialised exactly where a tag says so.

use std::mem::MaybeUninit;

use crate::slots::{Slots, Zeroed};

/// Marks a slot as taken, so that a hash of zero is not an empty slot.
const TAKEN: u32 = 1 << 7;
/// Slots of the first allocation.
const SLOTS_MIN: usize = 16;
/// At most so many slots in eight are taken. Half: a probe past the home slot is a mispredicted
/// branch, and those cost more than the memory does.
const TAKEN_IN_EIGHT_MAX: usize = 4;
const CACHE_LINE: usize = 64;

/// Keys with their values. Every call takes the key's 64-bit hash, which must be well spread and
/// the same for equal keys: `tailwater_core::stable_hash`, computed once by the caller.
///
/// Slots double when half of them are taken, in one go: a pause that grows with the table. Tables
/// that are cleared and filled again keep their slots and do not pause.
pub struct Table<K, V> {
    slots: Slots<Slot<K, V>>,
    occupied: Box<[u64]>,
    len: usize,
    len_max: usize,
}

/// `key` and `value` are initialised exactly while `tag` is not zero.
struct Slot<K, V> {
    tag: u32,
    key: MaybeUninit<K>,
    value: MaybeUninit<V>,
}

// SAFETY: a tag of zero says that key and value hold nothing, and the type has no drop of its own.
unsafe impl<K, V> Zeroed for Slot<K, V> {}

impl<K, V> Slot<K, V> {
    #[inline(always)]
    fn key(&self) -> &K {
        debug_assert!(self.tag != 0);
        // SAFETY: private to this file and only called on a slot whose tag was seen not to be zero.
        unsafe { self.key.assume_init_ref() }
    }

    #[inline(always)]
    fn value(&self) -> &V {
        debug_assert!(self.tag != 0);
        // SAFETY: as for `key`.
        unsafe { self.value.assume_init_ref() }
    }

    #[inline(always)]
    fn value_mut(&mut self) -> &mut V {
        debug_assert!(self.tag != 0);
        // SAFETY: as for `key`.
        unsafe { self.value.assume_init_mut() }
    }

    /// Empties a taken slot.
    #[inline]
    fn take(&mut self) -> (K, V) {
        debug_assert!(self.tag != 0);
        self.tag = 0;
        // SAFETY: both were initialised, and with the tag at zero nobody reads them again.
        unsafe { (self.key.assume_init_read(), self.value.assume_init_read()) }
    }
}

#[inline(always)]
fn tag_of(hash: u64) -> u32 {
    (hash >> 32) as u32 | TAKEN
}

/// Where a key with this tag would best lie: the hash's upper bits, which are spread best, lead;
/// the bit that says "taken" comes to the top, where only a table of 2^31 slots would miss it.
#[inline(always)]
fn home(tag: u32, mask: usize) -> usize {
    tag.rotate_right(8) as usize & mask
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { slots: Slots::zeroed(0), occupied: Box::new([]), len: 0, len_max: 0 }
    }
}

impl<K, V> Table<K, V> {
    /// How many keys there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no key.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes that the slots take.
    pub fn slot_bytes(&self) -> usize {
        std::mem::size_of_val(&*self.slots)
    }

    /// Asks the processor to bring in the home slot of `hash`; never waits.
    #[inline(always)]
    pub fn prefetch(&self, hash: u64) {
        let slot = self.slots.as_ptr().wrapping_add(self.home(tag_of(hash)));
        prefetch_line(slot.cast());
        // Slots start at a cache line, so one whose size divides it lies in one.
        if !CACHE_LINE.is_multiple_of(size_of::<Slot<K, V>>()) {
            prefetch_line(slot.cast::<u8>().wrapping_add(size_of::<Slot<K, V>>() - 1));
        }
    }

    /// Forgets all keys and keeps the slots.
    pub fn clear(&mut self) {
        for (word, bits) in self.occupied.iter_mut().enumerate() {
            let mut left = std::mem::take(bits);
            while left != 0 {
                let slot = &mut self.slots[word * 64 + left.trailing_zeros() as usize];
                if std::mem::needs_drop::<(K, V)>() {
                    drop(slot.take());
                } else {
                    slot.tag = 0;
                }
                left &= left - 1;
            }
        }
        self.len = 0;
    }

    /// The next key at or after `cursor`, and the cursor to go on from. Starting with zero and
    /// until `None` it visits each key once, in an order of no meaning, if the table does not
    /// change meanwhile.
    #[inline]
    pub fn next_from(&self, cursor: usize) -> Option<(usize, &K, &V)> {
        let index = self.next_taken(cursor)?;
        let slot = &self.slots[index];
        Some((index + 1, slot.key(), slot.value()))
    }

    /// All keys with a hash that finds them in any table: its upper half is the key's own.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &K, &V)> {
        let mut cursor = 0;
        std::iter::from_fn(move || {
            let index = self.next_taken(cursor)?;
            cursor = index + 1;
            let slot = &self.slots[index];
            Some((u64::from(slot.tag) << 32, slot.key(), slot.value()))
        })
    }

    #[inline]
    fn next_taken(&self, from: usize) -> Option<usize> {
        let mut word = from / 64;
        let mut bits = *self.occupied.get(word)? & (u64::MAX << (from % 64));
        while bits == 0 {
            word += 1;
            bits = *self.occupied.get(word)?;
        }
        Some(word * 64 + bits.trailing_zeros() as usize)
    }

    /// Wraps around to the greatest number when there are no slots; no slot has that index.
    #[inline(always)]
    fn mask(&self) -> usize {
        self.slots.len().wrapping_sub(1)
    }

    #[inline(always)]
    fn home(&self, tag: u32) -> usize {
        home(tag, self.mask())
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        let count = (self.slots.len() * 2).max(SLOTS_MIN);
        let slots = Slots::zeroed(count);
        let mut old = std::mem::replace(&mut self.slots, slots);
        self.occupied = vec![0; count.div_ceil(64)].into_boxed_slice();
        self.len_max = count * TAKEN_IN_EIGHT_MAX / 8;
        for slot in old.iter_mut() {
            let tag = slot.tag;
            if tag != 0 {
                let mut index = self.home(tag);
                while self.slots[index].tag != 0 {
                    index = (index + 1) & self.mask();
                }
                let (key, value) = slot.take();
                let slot = &mut self.slots[index];
                slot.key.write(key);
                slot.value.write(value);
                slot.tag = tag;
                self.occupied[index / 64] |= 1 << (index % 64);
            }
        }
    }
}

impl<K: Eq, V> Table<K, V> {
    #[inline(always)]
    fn find(&self, hash: u64, key: &K) -> Option<usize> {
        let tag = tag_of(hash);
        let mut index = self.home(tag);
        loop {
            let slot = self.slots.get(index)?;
            if slot.tag == tag && slot.key() == key {
                return Some(index);
            }
            if slot.tag == 0 {
                return None;
            }
            index = (index + 1) & self.mask();
        }
    }

    /// The value of `key`.
    #[inline]
    pub fn get(&self, hash: u64, key: &K) -> Option<&V> {
        self.find(hash, key).map(|index| self.slots[index].value())
    }

    /// The value of `key`, to change.
    #[inline]
    pub fn get_mut(&mut self, hash: u64, key: &K) -> Option<&mut V> {
        self.find(hash, key).map(|index| self.slots[index].value_mut())
    }

    /// The value of `key`, made by `make` where there is none.
    #[inline(always)]
    pub fn get_or_insert_with(&mut self, hash: u64, key: K, make: impl FnOnce() -> V) -> &mut V {
        if self.len == self.len_max {
            self.grow();
        }
        let tag = tag_of(hash);
        let mask = self.mask();
        let mut index = home(tag, mask);
        loop {
            // SAFETY: there are slots (`grow` made some where `len_max` was zero), their number is
            // a power of two, and `index` was masked to be below it.
            let slot = unsafe { self.slots.get_unchecked(index) };
            if slot.tag == tag && *slot.key() == key {
                break;
            }
            if slot.tag == 0 {
                self.fill(index, tag, key, make());
                break;
            }
            index = (index + 1) & mask;
        }
        // SAFETY: as above.
        unsafe { self.slots.get_unchecked_mut(index) }.value_mut()
    }

    fn fill(&mut self, index: usize, tag: u32, key: K, value: V) {
        let slot = &mut self.slots[index];
        slot.key.write(key);
        slot.value.write(value);
        slot.tag = tag;
        self.occupied[index / 64] |= 1 << (index % 64);
        self.len += 1;
    }

    /// Takes `key` out.
    pub fn remove(&mut self, hash: u64, key: &K) -> Option<V> {
        let mut hole = self.find(hash, key)?;
        let (_key, value) = self.slots[hole].take();
        self.len -= 1;
        let mask = self.mask();
        let mut index = (hole + 1) & mask;
        while self.slots[index].tag != 0 {
            // A key may move back to the hole unless its home lies between the hole and where it
            // is.
            let from_home = index.wrapping_sub(self.home(self.slots[index].tag)) & mask;
            if from_home >= index.wrapping_sub(hole) & mask {
                self.slots.swap(hole, index);
                hole = index;
            }
            index = (index + 1) & mask;
        }
        self.occupied[hole / 64] &= !(1 << (hole % 64));
        Some(value)
    }
}

impl<K, V> Drop for Table<K, V> {
    fn drop(&mut self) {
        if std::mem::needs_drop::<(K, V)>() {
            self.clear();
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn prefetch_line(address: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a prefetch is a hint: it reads nothing and faults on no address, mapped or not.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn prefetch_line(_: *const u8) {}

#[cfg(test)]
mod tests;
