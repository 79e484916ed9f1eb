//! Memory of tables: zeroed, aligned to cache lines, charged to the budget; on huge pages, and
//! touched before it is used, where it is large.
//!
//! ```text
//! below 1 MiB   from the allocator
//! else          | .. | region, 2 MiB-aligned, MADV_HUGEPAGE, MADV_POPULATE_WRITE | .. |
//!               an anonymous mapping that is larger by 2 MiB, of which the ends are never touched
//! ```
//!
//! A first touch of a huge page takes up to 8 ms; populating answers with an error where a touch
//! would be a signal.
#![allow(unsafe_code)] // Hands out raw zeroed memory.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};

use memmap2::{Advice, MmapMut};

use crate::budget::Bytes;
use crate::{Budget, Prefault, Warnings};

/// A cache line. A slot of this size or a divisor of it then never lies across two.
pub(crate) const LINE: usize = 64;
/// The greatest alignment that a region has for sure.
pub(crate) const ALIGN_MAX: usize = 4096;
/// Regions of at least so many bytes are mapped.
pub(crate) const MAPPED_FROM: usize = 1 << 20;
const HUGE_PAGE: usize = 2 << 20;
/// While memory is populated the process can map none: other cores would wait for all of a region.
const POPULATED_AT_ONCE: usize = 2 * HUGE_PAGE;
const PAGE: usize = 4096;

/// Who grants memory.
#[derive(Clone, Debug)]
pub(crate) struct Arena {
    pub(crate) budget: Budget,
    pub(crate) prefault: Prefault,
    pub(crate) warnings: Warnings,
}

enum Memory {
    Heap(Layout),
    Mapped { _mapping: MmapMut },
}

/// So many zeroed bytes.
pub(crate) struct Region {
    start: NonNull<u8>,
    bytes: usize,
    memory: Memory,
    budget: Budget,
}

// SAFETY: the memory is owned, like that of a boxed slice of bytes.
unsafe impl Send for Region {}
// SAFETY: as above; it is only reached through raw pointers whose users answer for it.
unsafe impl Sync for Region {}

/// A region that is being prepared, maybe by another thread.
pub(crate) struct Pending(Receiver<Option<Region>>);

/// What became of a pending region.
pub(crate) enum Arrival {
    NotYet,
    Refused,
    Here(Region),
}

impl Arena {
    /// A region within the budget; `None`, and the budget remembers why, where that is refused.
    pub(crate) fn region(&self, bytes: usize, align: usize) -> Option<Region> {
        if !self.budget.reserve(bytes) {
            return None;
        }
        self.charged(bytes, align)
    }

    /// A region whether the budget allows it or not; `None` where the machine has no memory.
    pub(crate) fn region_overdrawn(&self, bytes: usize, align: usize) -> Option<Region> {
        self.budget.overdraw(bytes);
        self.charged(bytes, align)
    }

    /// Asks for a region that will be there later, or now where memory is prepared in line.
    pub(crate) fn request(&self, bytes: usize, align: usize) -> Pending {
        let (sender, receiver) = sync_channel(1);
        if bytes < MAPPED_FROM {
            let _ = sender.send(self.region(bytes, align));
            return Pending(receiver);
        }
        let arena = self.clone();
        // Nobody waits any more where the table is gone: the region goes with the message.
        self.prefault.perform(Box::new(move || drop(sender.send(arena.region(bytes, align)))));
        Pending(receiver)
    }

    /// Drops a region where that may take its time.
    pub(crate) fn retire(&self, region: Region) {
        if region.bytes >= MAPPED_FROM {
            self.prefault.perform(Box::new(move || drop(region)));
        }
    }

    fn charged(&self, bytes: usize, align: usize) -> Option<Region> {
        let budget = self.budget.clone();
        let memory = if bytes >= MAPPED_FROM { self.map(bytes) } else { allocate(bytes, align) };
        match memory {
            Ok((start, memory)) => Some(Region { start, bytes, memory, budget }),
            Err(cause) => {
                budget.release(bytes);
                budget.fail(format!(
                    "the machine has no {} for state: {cause}; lower --state-memory or add memory",
                    Bytes(bytes as u64)
                ));
                None
            }
        }
    }

    fn map(&self, bytes: usize) -> Result<(NonNull<u8>, Memory), String> {
        let spare = if bytes >= HUGE_PAGE { HUGE_PAGE } else { 0 };
        let len = bytes.checked_add(spare).ok_or("too many bytes")?;
        let mut mapping = MmapMut::map_anon(len).map_err(|error| error.to_string())?;
        let ahead = if spare > 0 { mapping.as_ptr().align_offset(HUGE_PAGE) } else { 0 };
        debug_assert!(ahead <= spare);
        if spare > 0 {
            match mapping.advise_range(Advice::HugePage, ahead, bytes) {
                Err(error) => self.warnings.add(format!(
                    "no huge pages for state ({error}): look-ups in large tables are slower"
                )),
                Ok(()) if huge_pages_are_off() => self.warnings.add(
                    "no huge pages for state (transparent_hugepage/enabled is `never`): look-ups \
                     in large tables are slower",
                ),
                Ok(()) => {}
            }
        }
        let populated = (0..bytes).step_by(POPULATED_AT_ONCE).try_for_each(|begin| {
            let len = POPULATED_AT_ONCE.min(bytes - begin);
            mapping.advise_range(Advice::PopulateWrite, ahead + begin, len)
        });
        if let Err(error) = populated {
            if error.kind() != std::io::ErrorKind::InvalidInput {
                return Err(error.to_string());
            }
            self.warnings.add("this kernel cannot populate memory: it is touched page by page");
            mapping[ahead..ahead + bytes].iter_mut().step_by(PAGE).for_each(|byte| *byte = 0);
        }
        // SAFETY: `ahead + bytes` is at most the length of the mapping.
        let start = unsafe { mapping.as_mut_ptr().add(ahead) };
        let start = NonNull::new(start).ok_or("a mapping at address zero")?;
        Ok((start, Memory::Mapped { _mapping: mapping }))
    }
}

fn allocate(bytes: usize, align: usize) -> Result<(NonNull<u8>, Memory), String> {
    let layout = Layout::from_size_align(bytes, align.max(LINE)).map_err(|e| e.to_string())?;
    if bytes == 0 {
        return Ok((dangling(layout), Memory::Heap(layout)));
    }
    // SAFETY: the layout's size is not zero.
    let start = unsafe { alloc_zeroed(layout) };
    let start = NonNull::new(start).ok_or("the allocator has none")?;
    Ok((start, Memory::Heap(layout)))
}

fn dangling(layout: Layout) -> NonNull<u8> {
    NonNull::without_provenance(layout.align().try_into().expect("no alignment is zero"))
}

/// Whether the system was told to give no huge pages, which `madvise` does not say.
fn huge_pages_are_off() -> bool {
    static OFF: OnceLock<bool> = OnceLock::new();
    *OFF.get_or_init(|| {
        std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled")
            .is_ok_and(|text| text.contains("[never]"))
    })
}

impl Pending {
    /// Nothing will come.
    pub(crate) fn refused() -> Self {
        Self(sync_channel(0).1)
    }

    /// Looks whether the region is there.
    pub(crate) fn look(&self) -> Arrival {
        match self.0.try_recv() {
            Ok(Some(region)) => Arrival::Here(region),
            Err(TryRecvError::Empty) => Arrival::NotYet,
            Ok(None) | Err(TryRecvError::Disconnected) => Arrival::Refused,
        }
    }

    /// Waits for it: only where there is no room for another key.
    pub(crate) fn wait(&self) -> Option<Region> {
        self.0.recv().ok().flatten()
    }
}

impl Region {
    /// No bytes.
    pub(crate) fn empty(align: usize) -> Self {
        let layout = Layout::from_size_align(0, align.max(LINE)).expect("an alignment of a type");
        let (start, memory) = (dangling(layout), Memory::Heap(layout));
        Self { start, bytes: 0, memory, budget: Budget::unlimited() }
    }

    /// The first byte; aligned as was asked for, to a cache line at least.
    #[inline(always)]
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// How many bytes there are.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        self.budget.release(self.bytes);
        if let Memory::Heap(layout) = self.memory
            && layout.size() > 0
        {
            // SAFETY: allocated with this layout in `allocate`, and freed once.
            unsafe { dealloc(self.start.as_ptr(), layout) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arena(budget: Budget) -> Arena {
        Arena { budget, prefault: Prefault::inline(), warnings: Warnings::default() }
    }

    #[test]
    fn regions_are_zeroed_aligned_writable_and_charged() {
        let arena = arena(Budget::unlimited());
        for bytes in [0, 1, 100, MAPPED_FROM - 1, MAPPED_FROM, 2 * HUGE_PAGE + 4096 + 24] {
            let region = arena.region(bytes, 8).unwrap();
            assert_eq!(arena.budget.used(), bytes as u64);
            let align = if bytes >= HUGE_PAGE { HUGE_PAGE } else { LINE };
            assert!((region.start().as_ptr() as usize).is_multiple_of(align));
            // SAFETY: so many bytes are the region's, and zeroed.
            let slice = unsafe { std::slice::from_raw_parts_mut(region.start().as_ptr(), bytes) };
            assert!(slice.iter().all(|byte| *byte == 0));
            slice.fill(0xA5);
        }
        assert_eq!(arena.budget.used(), 0);
    }

    #[test]
    fn what_the_budget_or_the_machine_refuses_is_no_region() {
        let small = arena(Budget::limited(1 << 10));
        assert!(small.region(2 << 10, 8).is_none() && small.budget.failure().is_some());
        assert!(matches!(small.request(2 << 10, 8).look(), Arrival::Refused));
        assert!(small.region_overdrawn(2 << 10, 8).is_some());
        let large = arena(Budget::unlimited());
        assert!(large.region(usize::MAX / 4, 8).is_none());
        let failure = large.budget.failure().unwrap().to_string();
        assert!(failure.contains("the machine has no"), "{failure}");
        assert_eq!(large.budget.used(), 0);
    }
}
