//! What a window of several panes adds up to, kept from one window to the next where that is
//! possible.

use tailwater_core::{Key, Record};
use tailwater_state::{Pane, Panes, StateContext, StateTable};

use super::blocks::Blocks;
use super::grid::Grid;
use crate::Aggregator;

/// How many keys ahead of the one in hand the slots are asked for.
const AHEAD: usize = 16;

/// How the panes of a window become its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Summing {
    /// A window is one pane: there is nothing to sum.
    Single,
    /// The sum is kept; panes enter it and leave it.
    Running,
    /// The aggregate cannot subtract: sums of several panes are kept, of which two make a window.
    Blocks,
}

/// The sum of the panes from `first` to `last`; of none when `last` is below `first`.
pub(super) struct Total<K, A> {
    pub(super) summing: Summing,
    pub(super) table: StateTable<K, Share<A>>,
    pub(super) first: i64,
    pub(super) last: i64,
    blocks: Blocks<K, A>,
}

/// A key's part of the total.
pub(super) struct Share<A> {
    pub(super) accumulator: A,
    /// How many panes it comes from; a key in none leaves the total.
    panes: u32,
}

impl<A> Share<A> {
    /// That of no panes.
    pub(super) fn of<T, G: Aggregator<T, Accumulator = A>>(aggregator: &G) -> Self {
        Self { accumulator: aggregator.create(), panes: 0 }
    }
}

/// Calls `each` with `into` for each key of `from` that has its slot in `into` asked for in time;
/// until it says `false`.
pub(super) fn for_each_key<K: Key, V, W>(
    from: &StateTable<K, V>,
    into: &mut StateTable<K, W>,
    mut each: impl FnMut(&mut StateTable<K, W>, u64, &K, &V) -> bool,
) -> bool {
    // Keys come in the order of their hashes: a small table would be filled from one end.
    into.reserve(from.len());
    let mut ahead = from.iter();
    ahead.by_ref().take(AHEAD).for_each(|(hash, ..)| into.prefetch(hash));
    from.iter().all(|(hash, key, value)| {
        if let Some((hash, ..)) = ahead.next() {
            into.prefetch(hash);
        }
        each(into, hash, key, value)
    })
}

impl<K: Key, A: Record> Total<K, A> {
    pub(super) fn for_windows<T, G>(grid: &Grid, aggregator: &G) -> Self
    where
        G: Aggregator<T, Accumulator = A>,
    {
        let summing = if grid.is_single() {
            Summing::Single
        } else if aggregator.subtract(&mut aggregator.create(), &aggregator.create()) {
            Summing::Running
        } else {
            Summing::Blocks
        };
        let blocks = Blocks::new(grid.panes_of_a_window());
        Self { summing, table: StateTable::default(), first: 0, last: -1, blocks }
    }

    /// Takes memory from the budget of a core from now on. What a total holds is in no snapshot: it
    /// follows from the panes.
    pub(super) fn open(&mut self, context: &StateContext) {
        self.table = StateTable::new(context);
        self.blocks.open(context);
    }

    #[inline]
    pub(super) fn holds(&self, pane: i64) -> bool {
        self.first <= pane && pane <= self.last
    }

    pub(super) fn clear(&mut self) {
        self.table.clear();
        (self.first, self.last) = (0, -1);
    }

    /// Makes this the sum of the panes from `first` to `last`, neither of which may lie before
    /// those of the sum so far.
    pub(super) fn move_to<T, G>(
        &mut self,
        (first, last): (i64, i64),
        panes: &Panes<K, A>,
        aggregator: &G,
    ) where
        G: Aggregator<T, Accumulator = A>,
    {
        if self.summing == Summing::Blocks {
            self.blocks.sum((first, last), panes, aggregator, &mut self.table);
            return;
        }
        if !self.holds(first) || !self.take_out_before(first, panes, aggregator) {
            self.clear();
            self.take_in(panes.range(first, last), aggregator);
        } else if self.last < last {
            self.take_in(panes.range(self.last + 1, last), aggregator);
        }
        (self.first, self.last) = (first, last);
    }

    /// Takes the panes before `first` out of a running total. `false`, and a total of no meaning,
    /// when the aggregate refused.
    fn take_out_before<T, G>(&mut self, first: i64, panes: &Panes<K, A>, aggregator: &G) -> bool
    where
        G: Aggregator<T, Accumulator = A>,
    {
        let leaving = panes.range(self.first, self.last.min(first.saturating_sub(1)));
        self.first = first;
        leaving.iter().all(|pane| self.take_out(pane, aggregator))
    }

    /// Follows the dropping of all panes up to `pane`, which are still there.
    pub(super) fn drop_until<T, G>(&mut self, pane: i64, panes: &Panes<K, A>, aggregator: &G)
    where
        G: Aggregator<T, Accumulator = A>,
    {
        if panes.all().last().is_none_or(|newest| newest.ordinal <= pane) {
            self.blocks.reset();
        }
        if self.last < self.first || pane < self.first {
            return;
        }
        let intact =
            pane < self.last && self.take_out_before(pane.saturating_add(1), panes, aggregator);
        if !intact {
            // Either nothing is left, or the next window sums what is left anew.
            self.clear();
        }
    }

    pub(super) fn take_in<T, G>(&mut self, entering: &[Pane<K, A>], aggregator: &G)
    where
        G: Aggregator<T, Accumulator = A>,
    {
        for pane in entering {
            for_each_key(&pane.table, &mut self.table, |total, hash, key, accumulator| {
                let share = total.get_or_insert_with(hash, key.clone(), || Share::of(aggregator));
                aggregator.merge(&mut share.accumulator, accumulator);
                share.panes += 1;
                true
            });
        }
    }

    fn take_out<T, G>(&mut self, leaving: &Pane<K, A>, aggregator: &G) -> bool
    where
        G: Aggregator<T, Accumulator = A>,
    {
        for_each_key(&leaving.table, &mut self.table, |total, hash, key, accumulator| {
            let Some(share) = total.get_mut(hash, key) else { return false };
            share.panes -= 1;
            if share.panes == 0 {
                total.remove(hash, key);
                return true;
            }
            aggregator.subtract(&mut share.accumulator, accumulator)
        })
    }

    /// Follows a late record of a key, after it came into `pane`, where sums of several panes are
    /// kept.
    pub(super) fn refresh<T, G>(
        &mut self,
        pane: i64,
        hashed: (u64, &K),
        panes: &Panes<K, A>,
        aggregator: &G,
    ) where
        G: Aggregator<T, Accumulator = A>,
    {
        if self.summing == Summing::Blocks {
            self.blocks.refresh(pane, hashed, panes, aggregator);
        }
    }

    /// Follows a record that came into a pane of this total.
    pub(super) fn add<T, G>(
        &mut self,
        (hash, key): (u64, K),
        record: &T,
        new_in_pane: NewInPane,
        aggregator: &G,
    ) where
        G: Aggregator<T, Accumulator = A>,
    {
        let share = self.table.get_or_insert_with(hash, key, || Share::of(aggregator));
        share.panes += u32::from(new_in_pane == NewInPane::Yes);
        aggregator.add(&mut share.accumulator, record);
    }
}

/// Whether a record was the first of its key in its pane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NewInPane {
    Yes,
    No,
}
