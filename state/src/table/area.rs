//! The memory of a table: slots, and beside them a bit a group of slots for where some are taken or
//! changed.
//!
//! ```text
//! slot    | tag u32 | key | value |           where it fits two cache lines, or the value is small
//!         | tag u32 | handle u32 | key |      else: the value lies in the slab
//! tag     0: empty; else bits of the hash, and in place of four of them
//!         TAKEN  the slot is not empty         EVEN, ODD  changed in an epoch of this parity
//!         FRESH  made in the epoch that the mark says
//! region  slots | occupied | changed in even epochs | changed in odd epochs
//! ```
//!
//! A tag is right; a group's bit is set at least while one of its slots is taken or has the mark.
//! So the maps of a table of ten million keys stay in the second cache, where those with a bit a
//! slot would cost every new key and every first change of one in an epoch another miss or two.
#![allow(unsafe_code)] // Keys and values are initialised exactly where a tag says so.

use std::marker::PhantomData;
use std::mem::{MaybeUninit, offset_of};
use std::ptr::NonNull;

use crate::arena::{ALIGN_MAX, LINE, Region};
use crate::slab::Slab;

pub(super) const TAKEN: u32 = 1 << 7;
pub(super) const EVEN: u32 = 1 << 6;
pub(super) const ODD: u32 = 1 << 5;
pub(super) const FRESH: u32 = 1 << 4;
/// What a tag says beside the hash and that the slot is taken.
pub(super) const MARKS: u32 = EVEN | ODD | FRESH;
/// The most slots of a table: the bits of the hash in a tag lead to no more.
pub(super) const SLOTS_MAX: usize = 1 << 28;

/// Slots up to so many bytes hold their value. Two cache lines, asked for at once, cost less than a
/// handle and the line that it leads to: accumulators of windows are often of this size.
const SMALL_SLOT: usize = 2 * LINE;
/// Values up to so many bytes lie in the slot, however large the key is.
const SMALL_VALUE: usize = 16;

/// Slots that share a bit in a map: half a kilobyte of them at most, which the processor reads on
/// its own as one run.
pub(super) const GROUP: usize = 8;
/// Slots of a word of a map.
pub(super) const WORD: usize = 64 * GROUP;

struct Inline<K, V> {
    tag: u32,
    key: MaybeUninit<K>,
    value: MaybeUninit<V>,
}

struct Outline<K> {
    tag: u32,
    handle: u32,
    key: MaybeUninit<K>,
}

/// The hash's part of a tag.
#[inline(always)]
pub(super) fn tag_of(hash: u64) -> u32 {
    ((hash >> 32) as u32 & !MARKS) | TAKEN
}

/// Which map of bits belongs to a mark.
#[inline(always)]
pub(super) fn map_of(mark: u32) -> Map {
    if mark == EVEN { Map::Even } else { Map::Odd }
}

/// A map of bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Map {
    Occupied = 0,
    Even = 1,
    Odd = 2,
}

/// Slots and their bits. Every index that a function takes must be below `count`, and every slot
/// whose key or value is asked for must be taken.
pub(super) struct Area<K, V> {
    start: NonNull<u8>,
    maps: NonNull<u64>,
    mask: usize,
    /// The first slot that the drain under way did not visit; `usize::MAX` when it need not.
    pub(super) walked: usize,
    region: Region,
    entries: PhantomData<(K, V)>,
}

// SAFETY: keys and values are owned, as in a `Vec`.
unsafe impl<K: Send, V: Send> Send for Area<K, V> {}
// SAFETY: a shared area hands out shared references only.
unsafe impl<K: Sync, V: Sync> Sync for Area<K, V> {}

impl<K, V> Area<K, V> {
    /// Whether values lie in the slots.
    pub(super) const INLINE: bool =
        size_of::<Inline<K, V>>() <= SMALL_SLOT || size_of::<V>() <= SMALL_VALUE;
    /// The bytes from one slot to the next.
    pub(super) const STRIDE: usize =
        if Self::INLINE { size_of::<Inline<K, V>>() } else { size_of::<Outline<K>>() };
    const ALIGN: usize =
        if Self::INLINE { align_of::<Inline<K, V>>() } else { align_of::<Outline<K>>() };
    const TAG: usize = const {
        assert!(Self::ALIGN <= ALIGN_MAX, "a key or a value is aligned to more than a page");
        if Self::INLINE { offset_of!(Inline<K, V>, tag) } else { offset_of!(Outline<K>, tag) }
    };
    const KEY: usize =
        if Self::INLINE { offset_of!(Inline<K, V>, key) } else { offset_of!(Outline<K>, key) };
    const VALUE: usize = offset_of!(Inline<K, V>, value);
    const HANDLE: usize = offset_of!(Outline<K>, handle);

    /// Bytes and alignment of the region for `count` slots, a power of two of at least 16.
    pub(super) fn layout(count: usize) -> (usize, usize) {
        let maps = 3 * count.div_ceil(WORD) * size_of::<u64>();
        let slots = count.checked_mul(Self::STRIDE).expect("a table fits the address space");
        (slots.next_multiple_of(8) + maps, Self::ALIGN.max(8))
    }

    /// No slots.
    pub(super) fn empty() -> Self {
        Self::in_region(Region::empty(Self::ALIGN), 0)
    }

    /// `count` empty slots in a zeroed region of their [`layout`](Area::layout).
    pub(super) fn new(region: Region, count: usize) -> Self {
        assert!(count.is_power_of_two() && region.bytes() >= Self::layout(count).0);
        Self::in_region(region, count)
    }

    fn in_region(region: Region, count: usize) -> Self {
        let (start, mask) = (region.start(), count.wrapping_sub(1));
        // SAFETY: by `layout` the slots end within the region, or at its end where there are none.
        let maps = unsafe { start.add((count * Self::STRIDE).next_multiple_of(8)) }.cast();
        Self { start, maps, mask, walked: usize::MAX, region, entries: PhantomData }
    }

    /// The region, of which the slots must be empty.
    pub(super) fn into_region(self) -> Region {
        self.region
    }

    #[inline(always)]
    pub(super) fn count(&self) -> usize {
        self.mask.wrapping_add(1)
    }

    /// The number of slots less one: for an index that wraps around.
    #[inline(always)]
    pub(super) fn mask(&self) -> usize {
        self.mask
    }

    /// The bytes of the slots.
    pub(super) fn slot_bytes(&self) -> usize {
        self.count() * Self::STRIDE
    }

    /// Where a key with this tag would best lie: the hash's upper bits, which are spread best,
    /// lead; what is no hash comes to the top, where no table is large enough to see it.
    #[inline(always)]
    pub(super) fn home(&self, tag: u32) -> usize {
        const { assert!(TAKEN | MARKS == 0xF0 && SLOTS_MAX == 1 << 28) };
        tag.rotate_right(8) as usize & self.mask
    }

    #[inline(always)]
    fn slot(&self, index: usize) -> *mut u8 {
        debug_assert!(index < self.count());
        // SAFETY: the index is below the number of slots that the region holds.
        unsafe { self.start.as_ptr().add(index * Self::STRIDE) }
    }

    /// The address of a slot, for a prefetch: any index will do.
    #[inline(always)]
    pub(super) fn address(&self, index: usize) -> *const u8 {
        self.start.as_ptr().wrapping_add(index.wrapping_mul(Self::STRIDE))
    }

    #[inline(always)]
    pub(super) fn tag(&self, index: usize) -> u32 {
        // SAFETY: the slot is in the region and the tag always initialised: zeroed, then written.
        unsafe { self.slot(index).add(Self::TAG).cast::<u32>().read() }
    }

    #[inline(always)]
    pub(super) fn set_tag(&mut self, index: usize, tag: u32) {
        // SAFETY: as for `tag`, and `self` is borrowed alone.
        unsafe { self.slot(index).add(Self::TAG).cast::<u32>().write(tag) }
    }

    #[inline(always)]
    pub(super) fn key(&self, index: usize) -> &K {
        debug_assert!(self.tag(index) != 0);
        // SAFETY: the slot is taken, so its key is initialised; nobody changes it meanwhile.
        unsafe { &*self.slot(index).add(Self::KEY).cast::<K>() }
    }

    #[inline(always)]
    fn handle(&self, index: usize) -> u32 {
        // SAFETY: only called where values are in the slab, on a taken slot: `put` wrote it.
        unsafe { self.slot(index).add(Self::HANDLE).cast::<u32>().read() }
    }

    #[inline(always)]
    fn value_at(&self, index: usize, slab: &Slab<V>) -> *mut V {
        debug_assert!(self.tag(index) != 0);
        if Self::INLINE {
            // SAFETY: the slot is in the region.
            unsafe { self.slot(index).add(Self::VALUE).cast() }
        } else {
            slab.value(self.handle(index))
        }
    }

    #[inline(always)]
    pub(super) fn value<'a>(&'a self, index: usize, slab: &'a Slab<V>) -> &'a V {
        // SAFETY: the slot is taken, so its value is initialised; table and slab are borrowed.
        unsafe { &*self.value_at(index, slab) }
    }

    #[inline(always)]
    pub(super) fn value_mut<'a>(&'a mut self, index: usize, slab: &'a mut Slab<V>) -> &'a mut V {
        // SAFETY: as for `value`, and both are borrowed alone.
        unsafe { &mut *self.value_at(index, slab) }
    }

    /// Fills an empty slot; the slab must have room where values lie there. The bits are the
    /// caller's.
    #[inline(always)]
    pub(super) fn put(&mut self, index: usize, tag: u32, key: K, value: V, slab: &mut Slab<V>) {
        debug_assert!(tag != 0 && self.tag(index) == 0);
        let slot = self.slot(index);
        if Self::INLINE {
            // SAFETY: the slot is in the region and holds nothing that would need a drop.
            unsafe { slot.add(Self::VALUE).cast::<V>().write(value) };
        } else {
            // SAFETY: as above.
            unsafe { slot.add(Self::HANDLE).cast::<u32>().write(slab.put(value)) };
        }
        // SAFETY: as above.
        unsafe { slot.add(Self::KEY).cast::<K>().write(key) };
        self.set_tag(index, tag);
    }

    /// Empties a taken slot.
    #[inline]
    pub(super) fn take(&mut self, index: usize, slab: &mut Slab<V>) -> (K, V) {
        debug_assert!(self.tag(index) != 0);
        self.set_tag(index, 0);
        // SAFETY: the key was initialised, and with the tag at zero nobody reads it again.
        let key = unsafe { self.slot(index).add(Self::KEY).cast::<K>().read() };
        let value = if Self::INLINE {
            // SAFETY: as for the key.
            unsafe { self.slot(index).add(Self::VALUE).cast::<V>().read() }
        } else {
            slab.take(self.handle(index))
        };
        (key, value)
    }

    /// Moves what is in slot `from` to the empty slot `to` of `target`, with this tag.
    #[inline]
    pub(super) fn move_out(&mut self, from: usize, target: &mut Self, to: usize, tag: u32) {
        debug_assert!(target.tag(to) == 0 && self.tag(from) != 0);
        // SAFETY: both slots are in their regions, which are two; the bytes that are left behind
        // are never read, because the tag there becomes zero.
        unsafe { target.slot(to).copy_from_nonoverlapping(self.slot(from), Self::STRIDE) };
        target.set_tag(to, tag);
        self.set_tag(from, 0);
    }

    /// As [`move_out`](Area::move_out), within the area.
    #[inline]
    pub(super) fn move_within(&mut self, from: usize, to: usize, tag: u32) {
        debug_assert!(self.tag(to) == 0 && self.tag(from) != 0);
        // SAFETY: as for `move_out`; one slot is taken and one is not, so they are two.
        unsafe { self.slot(to).copy_from_nonoverlapping(self.slot(from), Self::STRIDE) };
        self.set_tag(to, tag);
        self.set_tag(from, 0);
    }

    /// Words of a map.
    #[inline(always)]
    pub(super) fn words(&self) -> usize {
        self.count().div_ceil(WORD)
    }

    #[inline(always)]
    fn word_at(&self, map: Map, word: usize) -> *mut u64 {
        debug_assert!(word < self.words());
        // SAFETY: three maps of so many words follow the slots in the region.
        unsafe { self.maps.as_ptr().add(map as usize * self.words() + word) }
    }

    /// The address of a slot's bit, for a prefetch: any index will do.
    #[inline(always)]
    pub(super) fn bit_address(&self, map: Map, index: usize) -> *const u8 {
        let word = (map as usize).wrapping_mul(self.words()).wrapping_add(index / WORD);
        self.maps.as_ptr().wrapping_add(word).cast::<u8>()
    }

    #[inline(always)]
    pub(super) fn word(&self, map: Map, word: usize) -> u64 {
        // SAFETY: in the region and initialised: zeroed, then written.
        unsafe { self.word_at(map, word).read() }
    }

    #[inline(always)]
    pub(super) fn set_word(&mut self, map: Map, word: usize, bits: u64) {
        // SAFETY: as above, and `self` is borrowed alone.
        unsafe { self.word_at(map, word).write(bits) }
    }

    /// Sets the bit of the slot's group.
    #[inline(always)]
    pub(super) fn set_bit(&mut self, map: Map, index: usize) {
        let bits = self.word(map, index / WORD);
        self.set_word(map, index / WORD, bits | 1 << (index % WORD / GROUP));
    }

    /// Clears the bit of the slot's group.
    #[inline(always)]
    pub(super) fn clear_bit(&mut self, map: Map, index: usize) {
        let bits = self.word(map, index / WORD);
        self.set_word(map, index / WORD, bits & !(1 << (index % WORD / GROUP)));
    }

    /// The bits of the groups from that of slot `from` on, in the word where that is.
    #[inline(always)]
    pub(super) fn groups_from(&self, map: Map, from: usize) -> u64 {
        self.word(map, from / WORD) & (u64::MAX << (from % WORD / GROUP))
    }

    /// The first taken slot at or after `from`.
    #[inline]
    pub(super) fn next_taken(&self, from: usize) -> Option<usize> {
        let mut next = from;
        while next < self.count() {
            let bits = self.groups_from(Map::Occupied, next);
            if bits == 0 {
                next = (next / WORD + 1) * WORD;
                continue;
            }
            let group = next / WORD * WORD + bits.trailing_zeros() as usize * GROUP;
            for index in next.max(group)..group + GROUP {
                if self.tag(index) != 0 {
                    return Some(index);
                }
            }
            next = group + GROUP;
        }
        None
    }

    /// A slot was emptied for good: its group may have none left that is taken.
    #[inline]
    pub(super) fn vacated(&mut self, index: usize) {
        let group = index / GROUP * GROUP;
        if (group..group + GROUP).all(|index| self.tag(index) == 0) {
            self.clear_bit(Map::Occupied, index);
        }
    }

    /// The slot of `key`, if there is one: in the run that starts at the home of its tag.
    #[inline(always)]
    pub(super) fn find(&self, tag: u32, key: &K) -> Option<usize>
    where
        K: Eq,
    {
        debug_assert!(self.count() > 0);
        let mut index = self.home(tag);
        loop {
            let found = self.tag(index);
            if (found ^ tag) & !MARKS == 0 && self.key(index) == key {
                return Some(index);
            }
            if found == 0 {
                return None;
            }
            index = (index + 1) & self.mask;
        }
    }

    /// The empty slot that ends the run at the home of `tag`.
    #[inline]
    pub(super) fn vacancy(&self, tag: u32) -> usize {
        let mut index = self.home(tag);
        while self.tag(index) != 0 {
            index = (index + 1) & self.mask;
        }
        index
    }
}
