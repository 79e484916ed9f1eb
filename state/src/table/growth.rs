//! Growing without a pause: a second area, and every operation moves a few slots over.
//!
//! ```text
//! old area  |  moved, empty  |e|  still to be moved          |    e: an empty slot, so that no run
//!           start            ^                               start   of slots lies across
//! a key lies in the old area exactly if its home there is still to be moved
//! ```
//!
//! The memory for the new area is asked for early, so that it can be made ready elsewhere; until it
//! is there, the old one fills up a little more.

use crate::arena::{Arrival, Pending};

use super::area::{Area, SLOTS_MAX};
use super::{StateTable, set_bits};

/// Slots of the first area.
const SLOTS_MIN: usize = 16;
/// With more keys than three fifths of its slots a table asks for a larger area, and moves as soon
/// as that is there. A probe past the home slot is a mispredicted branch, but twice the memory
/// costs more: look-ups then miss what the caches and the page walks remember.
const GROW_FROM: (usize, usize) = (3, 5);
/// With this share, in sixteenths, it waits for the memory, or does without the budget's leave
/// where that was refused and the job is about to fail.
const GROW_AT_ONCE: usize = 12;
/// A table that was refused memory takes in so many keys until it does without leave.
const REFUSED_UNTIL: usize = 15;
/// Slots of the old area that an operation moves, and on to the end of the run. With 2 the old area
/// would be empty before the new one grows again; with more it keeps its share of keys meanwhile.
const MOVED_AT_ONCE: usize = 8;

/// An area that is being left.
pub(super) struct Old<K, V> {
    pub(super) area: Area<K, V>,
    /// An empty slot when moving began.
    start: usize,
    /// How many slots from `start` on were moved.
    moved: usize,
}

impl<K, V> Old<K, V> {
    /// Whether a key with this tag lies here, if anywhere.
    #[inline(always)]
    pub(super) fn holds(&self, tag: u32) -> bool {
        self.area.home(tag).wrapping_sub(self.start) & self.area.mask() >= self.moved
    }
}

/// How many keys an area of `count` slots takes before a table looks for a larger one.
pub(super) fn len_before_growth(count: usize) -> usize {
    count * GROW_FROM.0 / GROW_FROM.1
}

impl<K, V> StateTable<K, V> {
    /// Makes sure that there are slots for `keys` more, at once where the table is empty.
    pub fn reserve(&mut self, keys: usize) {
        let keys = self.len.saturating_add(keys);
        let slots = keys.saturating_mul(GROW_FROM.1).div_ceil(GROW_FROM.0).max(SLOTS_MIN);
        let count = slots.checked_next_power_of_two().unwrap_or(SLOTS_MAX).min(SLOTS_MAX);
        if self.len > 0 || self.old.is_some() || count <= self.area.count() {
            return;
        }
        let (bytes, align) = Area::<K, V>::layout(count);
        if let Some(region) = self.arena.region(bytes, align) {
            let empty = std::mem::replace(&mut self.area, Area::new(region, count));
            self.arena.retire(empty.into_region());
            self.pending = None;
            self.len_max = len_before_growth(count);
        }
    }

    /// Whether not even one more key fits.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        // One slot must stay empty, or a probe would not end.
        self.old.is_none() && self.len + 1 >= self.area.count()
    }

    /// Called by an insert that finds the limit reached: moves on with growing, or begins it.
    #[cold]
    #[inline(never)]
    pub(super) fn make_room(&mut self) {
        if self.old.is_some() {
            return self.move_some();
        }
        let count = self.area.count();
        let pending = self.pending.take().unwrap_or_else(|| self.request());
        let region = match pending.look() {
            Arrival::Here(region) => Some(region),
            Arrival::NotYet if self.len < count * GROW_AT_ONCE / 16 => {
                self.pending = Some(pending);
                // Looking is cheap, but not for every key.
                self.len_max = self.len + count / 1024 + 1;
                return;
            }
            Arrival::NotYet => pending.wait(),
            Arrival::Refused => None,
        };
        let refused_until = count * REFUSED_UNTIL / 16;
        let region = match region {
            None if self.len < refused_until => {
                self.len_max = refused_until;
                return;
            }
            None if count < SLOTS_MAX => {
                let (bytes, align) = Area::<K, V>::layout(larger(count));
                self.arena.region_overdrawn(bytes, align)
            }
            region => region,
        };
        if let Some(region) = region {
            self.begin_moving(Area::new(region, larger(count)));
        }
    }

    fn request(&self) -> Pending {
        let count = self.area.count();
        if count == SLOTS_MAX {
            self.arena.budget.fail(format!(
                "a table of state holds {} keys, about as many as fit: use more cores",
                self.len
            ));
            return Pending::refused();
        }
        let (bytes, align) = Area::<K, V>::layout(larger(count));
        self.arena.request(bytes, align)
    }

    fn begin_moving(&mut self, area: Area<K, V>) {
        let left = std::mem::replace(&mut self.area, area);
        if left.count() == 0 {
            self.len_max = len_before_growth(self.area.count());
            return;
        }
        let start = (0..left.count()).find(|index| left.tag(*index) == 0);
        let start = start.expect("a table always has an empty slot");
        self.old = Some(Box::new(Old { area: left, start, moved: 0 }));
        // Every insert looks after growth until all is moved.
        self.len_max = 0;
        self.move_some();
    }

    /// Moves a few slots over.
    #[inline(never)]
    pub(super) fn move_some(&mut self) {
        let Some(old) = &mut self.old else { return };
        let Self { area, slab, tracking, mark, .. } = self;
        let (count, mask) = (old.area.count(), old.area.mask());
        let until = (old.moved + MOVED_AT_ONCE).min(count);
        loop {
            let from = old.start.wrapping_add(old.moved) & mask;
            let tag = old.area.tag(from);
            if tag == 0 {
                // Beyond the last slot lie those of a run that wrapped around.
                if old.moved >= until {
                    break;
                }
            } else {
                let to = area.vacancy(tag);
                let tag = tracking.settle(&old.area, slab, *mark, from, to >= area.walked);
                old.area.move_out(from, area, to, tag);
                set_bits(area, to, tag);
            }
            old.moved += 1;
        }
        if old.moved >= count
            && let Some(old) = self.old.take()
        {
            self.arena.retire(old.area.into_region());
            self.len_max = len_before_growth(self.area.count());
        }
    }
}

fn larger(count: usize) -> usize {
    (count * 2).max(SLOTS_MIN)
}
