//! The baseline: a flat table written by hand for one type of entry, of a fixed size, on huge
//! pages, that knows nothing of growth, removal, checkpoints or budgets.

use memmap2::{Advice, MmapMut};

/// Key, count and sum of an entry; a key of zero is an empty slot.
const WORDS: usize = 4;

pub struct Flat {
    memory: MmapMut,
    mask: usize,
}

impl Flat {
    /// Slots for `keys` keys at the load that `StateTable` has with so many.
    pub fn for_keys(keys: usize) -> Self {
        let slots = (keys * 16).div_ceil(9).next_power_of_two();
        let mut memory = MmapMut::map_anon(slots * WORDS * 8).unwrap();
        let _ = memory.advise(Advice::HugePage);
        memory.fill(0);
        Self { memory, mask: slots - 1 }
    }

    #[inline(always)]
    fn word(&mut self, index: usize) -> &mut u64 {
        let bytes = &mut self.memory[index * 8..index * 8 + 8];
        // A mapping is aligned to a page.
        as_word(bytes)
    }

    #[inline(always)]
    pub fn prefetch(&self, hash: u64) {
        let slot = (hash >> 32) as usize & self.mask;
        prefetch(self.memory.as_ptr().wrapping_add(slot * WORDS * 8));
    }

    /// Counts one and adds an amount.
    #[inline(always)]
    pub fn add(&mut self, hash: u64, key: u64, amount: u64) -> u64 {
        let mut slot = (hash >> 32) as usize & self.mask;
        loop {
            let found = *self.word(slot * WORDS);
            if found == key + 1 {
                break;
            }
            if found == 0 {
                *self.word(slot * WORDS) = key + 1;
                break;
            }
            slot = (slot + 1) & self.mask;
        }
        *self.word(slot * WORDS + 1) += 1;
        let sum = self.word(slot * WORDS + 2);
        *sum += amount;
        *sum
    }

    /// Whether the key is there.
    #[inline(always)]
    pub fn has(&mut self, hash: u64, key: u64) -> bool {
        let mut slot = (hash >> 32) as usize & self.mask;
        loop {
            match *self.word(slot * WORDS) {
                0 => return false,
                found if found == key + 1 => return true,
                _ => slot = (slot + 1) & self.mask,
            }
        }
    }
}

#[allow(unsafe_code)]
#[inline(always)]
fn as_word(bytes: &mut [u8]) -> &mut u64 {
    // SAFETY: eight bytes at a multiple of eight from a page, borrowed alone.
    unsafe { &mut *bytes.as_mut_ptr().cast() }
}

#[allow(unsafe_code)]
#[inline(always)]
fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint that faults on no address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
