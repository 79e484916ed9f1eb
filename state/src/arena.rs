//! Memory of tables and of what is sorted: zeroed, aligned to cache lines, charged to the budget;
//! on huge pages, and touched before it is used, where it is large.
//!
//! ```text
//! below 1 MiB   from the allocator
//! else          | .. | region, 2 MiB-aligned, MADV_HUGEPAGE, MADV_POPULATE_WRITE | .. |
//!               an anonymous mapping that is larger by 2 MiB, of which the ends are never touched
//! ```
//!
//! What is smaller and comes in great number lies in blocks, which share regions.
//!
//! A first touch of a huge page takes up to 8 ms; populating answers with an error where a touch
//! would be a signal.
#![allow(unsafe_code)] // Hands out raw zeroed memory.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::fmt;
use std::ptr::NonNull;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::sync::{Arc, OnceLock};

use memmap2::{Advice, MmapMut};

use crate::budget::Bytes;
use crate::prefetch::prefetch_line;
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

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Region of {} bytes", self.bytes)
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

/// Bytes of the first region that blocks share; each is twice as large as the one before, up to
/// [`BLOCKS_REGION_MAX`].
const BLOCKS_REGION_FIRST: usize = 64 << 10;
/// A huge page: more at once would only be touched too early.
const BLOCKS_REGION_MAX: usize = HUGE_PAGE;

/// Hands out blocks, one behind the other in regions that they share.
#[derive(Debug)]
pub(crate) struct Blocks {
    arena: Arena,
    regions: Vec<Arc<Region>>,
    /// The region whose end is free, and how many of its bytes are not.
    open: usize,
    used: usize,
}

impl Blocks {
    /// None yet.
    pub(crate) fn new(arena: Arena) -> Self {
        Self { arena, regions: Vec::new(), open: 0, used: 0 }
    }

    /// A block for up to `len_max` values; `None`, and the budget remembers why, where memory is
    /// refused.
    pub(crate) fn block<T>(&mut self, len_max: u32) -> Option<Block<T>> {
        const { assert!(align_of::<T>() <= LINE, "values in blocks are aligned to a cache line") };
        let bytes = (len_max as usize).checked_mul(size_of::<T>())?.next_multiple_of(LINE);
        while let Some(region) = self.regions.get(self.open)
            && region.bytes - self.used < bytes
        {
            (self.open, self.used) = (self.open + 1, 0);
        }
        if self.open == self.regions.len() {
            let doubled = BLOCKS_REGION_FIRST.checked_shl(self.open as u32).unwrap_or(usize::MAX);
            let region = self.arena.region(doubled.min(BLOCKS_REGION_MAX).max(bytes), LINE)?;
            self.regions.push(Arc::new(region));
        }
        let region = self.regions[self.open].clone();
        // SAFETY: the region has `bytes` more behind those that are used.
        let start = unsafe { region.start.add(self.used) }.cast();
        self.used += bytes;
        Some(Block { start, len: 0, len_max, _region: Some(region) })
    }

    /// Hands the same memory out again: all blocks must have been dropped.
    pub(crate) fn reuse(&mut self) {
        let is_free = |region: &mut Arc<Region>| Arc::get_mut(region).is_some();
        assert!(self.regions.iter_mut().all(is_free), "a block is in use");
        (self.open, self.used) = (0, 0);
    }
}

/// Values one behind the other, which do not move: a vector of fixed capacity, in a part of a
/// region that is its own.
#[derive(Debug)]
pub(crate) struct Block<T> {
    start: NonNull<T>,
    len: u32,
    len_max: u32,
    _region: Option<Arc<Region>>,
}

impl<T> Default for Block<T> {
    /// One without room.
    fn default() -> Self {
        Self { start: NonNull::dangling(), len: 0, len_max: 0, _region: None }
    }
}

impl<T> Block<T> {
    /// How many values there are.
    #[inline(always)]
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// For how many there is room.
    #[inline(always)]
    pub(crate) fn len_max(&self) -> u32 {
        self.len_max
    }

    /// Where the next value will lie, or would.
    #[inline(always)]
    pub(crate) fn end(&self) -> *const T {
        self.start.as_ptr().wrapping_add(self.len as usize)
    }

    /// Asks the processor to bring in what is there.
    #[inline]
    pub(crate) fn prefetch(&self) {
        let start = self.start.as_ptr().cast::<u8>();
        let bytes = self.len as usize * size_of::<T>();
        (0..bytes).step_by(LINE).for_each(|at| prefetch_line(start.wrapping_add(at)));
    }

    /// Appends a value, for which there must be room.
    #[inline(always)]
    pub(crate) fn push(&mut self, value: T) {
        assert!(self.len < self.len_max, "a block is full");
        // SAFETY: the region has room for `len_max` values from `start` on, all this block's own.
        unsafe { self.start.add(self.len as usize).write(value) };
        self.len += 1;
    }

    /// Hands out all values, in order.
    pub(crate) fn drain(&mut self, mut each: impl FnMut(T)) {
        // From here on they are not the block's: a panic of `each` leaks them.
        let len = std::mem::take(&mut self.len);
        for index in 0..len as usize {
            // SAFETY: the first `len` values are initialised, and each is read once.
            each(unsafe { self.start.add(index).read() });
        }
    }
}

impl<T> Drop for Block<T> {
    fn drop(&mut self) {
        if std::mem::needs_drop::<T>() {
            self.drain(drop);
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

    #[test]
    fn blocks_share_regions_and_drop_what_they_hold() {
        let mut blocks = Blocks::new(arena(Budget::unlimited()));
        let held = Arc::new(());
        for round in 0..2 {
            let mut filled = Vec::new();
            for n in 0..100 {
                let mut block = blocks.block::<(u64, Arc<()>)>(7 + n % 600).unwrap();
                (0..block.len_max()).for_each(|index| {
                    block.push((u64::from(n * 1_000 + index), held.clone()));
                });
                filled.push(block);
            }
            let mut values = Vec::new();
            filled[99].drain(|(value, _)| values.push(value));
            assert_eq!(values, (99_000..99_106).collect::<Vec<u64>>(), "round {round}");
            assert_eq!((filled[99].len(), filled[98].len()), (0, 105));
            assert_eq!(Arc::strong_count(&held), 1 + (7..106).sum::<usize>());
            drop(filled);
            assert_eq!(Arc::strong_count(&held), 1);
            assert_eq!(blocks.regions.len(), 2, "64 KiB, and twice as much");
            blocks.reuse();
        }
        let large = blocks.block::<[u8; 4096]>(1_000).unwrap();
        assert_eq!((large.len_max(), blocks.regions.len()), (1_000, 3));
        drop(blocks);
        assert_eq!(large.end().cast(), large.start.as_ptr().cast::<u8>().cast_const());
    }
}
