//! Asking the processor for a cache line before it is needed.
#![allow(unsafe_code)] // An instruction that has no safe form.

/// Asks for the line at `address`, mapped or not; never waits. It comes into the second cache, not
/// the first: a batch asks for all its lines before it uses one, which the first has neither room
/// nor enough buffers for.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn prefetch_line(address: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
    // SAFETY: a prefetch is a hint: it reads nothing and faults on no address, mapped or not.
    unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) }
}

/// Asks for the line at `address`: not on this machine.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(crate) fn prefetch_line(_: *const u8) {}

/// Asks for the line at `address` to be written: alone, and into the first cache.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn prefetch_to_write(address: *const u8) {
    use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
    // SAFETY: as above.
    unsafe { _mm_prefetch::<_MM_HINT_ET0>(address.cast()) }
}

/// Asks for the line at `address`: not on this machine.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(crate) fn prefetch_to_write(_: *const u8) {}
