//! Sums of the panes of a window for aggregates that cannot subtract, kept so that a firing merges
//! a handful of sums for each key, however many panes a window has.
//!
//! Panes are taken in blocks as long as a window, so that a window is the end of one block and the
//! beginning of the next:
//!
//! ```text
//! blocks of 4 panes     | 0  1  2  3 | 4  5  6  7 |
//! the window 2..=5            [2  3    4  5]              end 2..=3, then beginning 4..=5
//! ```
//!
//! A beginning takes in one pane after the other. Ends are made from the last pane of the block
//! backwards; where a block has many panes, every so many-th end is kept on the way (about the
//! square root of their number), and those in between are made from the next one when it is their
//! turn. Where blocks lie hangs on the length of windows alone, so what is merged with what is the
//! same in every run, restored or not.

use tailwater_core::{Key, Record};
use tailwater_state::{Pane, Panes, StateContext, StateTable};

use super::total::{Share, for_each_key};
use crate::Aggregator;

/// Up to so many panes, the end from each of them is kept.
const ALL_KEPT_MAX: usize = 32;

/// The sums of the block that the last window began in, and of the one that it ended in.
pub(super) struct Blocks<K, A> {
    /// How many panes a window has.
    len: i64,
    /// The first pane of the block that has a beginning.
    boundary: i64,
    /// Sums from a pane to the end of the block before `boundary`, that of the earliest last.
    ends: Vec<(i64, StateTable<K, A>)>,
    /// The sum of the panes from `boundary` to `last`.
    beginning: StateTable<K, A>,
    last: i64,
    spare: Vec<StateTable<K, A>>,
    context: Option<StateContext>,
}

impl<K: Key, A: Record> Blocks<K, A> {
    /// For windows of `len` panes.
    pub(super) fn new(len: i64) -> Self {
        Self {
            len,
            boundary: 0,
            ends: Vec::new(),
            beginning: StateTable::default(),
            last: -1,
            spare: Vec::new(),
            context: None,
        }
    }

    /// Takes memory from the budget of a core from now on.
    pub(super) fn open(&mut self, context: &StateContext) {
        self.beginning = StateTable::new(context);
        self.context = Some(context.clone());
    }

    /// Forgets all sums.
    pub(super) fn reset(&mut self) {
        self.begin_at(0);
    }

    fn begin_at(&mut self, boundary: i64) {
        self.beginning.clear();
        while let Some((_, table)) = self.ends.pop() {
            self.keep(table);
        }
        (self.boundary, self.last) = (boundary, boundary.saturating_sub(1));
    }

    /// Puts the sum of the panes from `first` to `last` into `total`, which is empty.
    pub(super) fn sum<T, G>(
        &mut self,
        (first, last): (i64, i64),
        panes: &Panes<K, A>,
        aggregator: &G,
        total: &mut StateTable<K, Share<A>>,
    ) where
        G: Aggregator<T, Accumulator = A>,
    {
        let into_block = first.rem_euclid(self.len);
        let boundary =
            if into_block == 0 { first } else { first.saturating_add(self.len - into_block) };
        if boundary != self.boundary || last < self.last {
            self.begin_at(boundary);
        }
        if self.last < last {
            let beginning = &mut self.beginning;
            for pane in panes.range(self.last.saturating_add(1), last) {
                for_each_key(&pane.table, beginning, |beginning, hash, key, accumulator| {
                    match beginning.get_mut(hash, key) {
                        Some(sum) => aggregator.merge(sum, accumulator),
                        None => set(beginning, (hash, key), Some(accumulator.clone())),
                    }
                    true
                });
            }
            self.last = last;
        }
        self.reach_back(first, panes, aggregator);
        let end = self.ends.last().map(|(_, end)| end);
        for part in end.into_iter().chain([&self.beginning]) {
            for_each_key(part, total, |total, hash, key, accumulator| {
                let share = total.get_or_insert_with(hash, key.clone(), || Share::of(aggregator));
                aggregator.merge(&mut share.accumulator, accumulator);
                true
            });
        }
    }

    /// Follows a late record of a key, which came into `pane`.
    pub(super) fn refresh<T, G>(
        &mut self,
        pane: i64,
        (hash, key): (u64, &K),
        panes: &Panes<K, A>,
        aggregator: &G,
    ) where
        G: Aggregator<T, Accumulator = A>,
    {
        let held = |pane: &'_ Pane<K, A>| pane.table.get(hash, key).cloned();
        if (self.boundary..=self.last).contains(&pane) {
            let mut sum = None;
            for other in panes.range(self.boundary, self.last).iter().filter_map(held) {
                match &mut sum {
                    None => sum = Some(other),
                    Some(sum) => aggregator.merge(sum, &other),
                }
            }
            set(&mut self.beginning, (hash, key), sum);
        }
        let Some(earliest) = self.ends.last().map(|(ordinal, _)| *ordinal) else { return };
        if pane < earliest || pane >= self.boundary {
            return;
        }
        let mut ends = self.ends.iter_mut().peekable();
        let mut sum: Option<A> = None;
        for other in panes.range(earliest, self.boundary.saturating_sub(1)).iter().rev() {
            if let Some(mut own) = held(other) {
                if let Some(later) = &sum {
                    aggregator.merge(&mut own, later);
                }
                sum = Some(own);
            }
            if let Some((_, end)) = ends.next_if(|(ordinal, _)| *ordinal == other.ordinal) {
                set(end, (hash, key), sum.clone());
            }
        }
    }

    /// Sees to it that the last of the ends is that from `first` on.
    fn reach_back<T, G>(&mut self, first: i64, panes: &Panes<K, A>, aggregator: &G)
    where
        G: Aggregator<T, Accumulator = A>,
    {
        while self.ends.last().is_some_and(|(ordinal, _)| *ordinal < first) {
            let (_, table) = self.ends.pop().expect("it was just there");
            self.keep(table);
        }
        let from = self.ends.last().map_or(self.boundary, |(ordinal, _)| *ordinal);
        let missing = panes.range(first, from.saturating_sub(1));
        let every = match missing.len() {
            0 => return,
            count if count <= ALL_KEPT_MAX => 1,
            count => count.isqrt() + 1,
        };
        let mut end = self.copy_of_last();
        for (index, pane) in missing.iter().enumerate().rev() {
            for_each_key(&pane.table, &mut end, |end, hash, key, accumulator| {
                let mut sum = accumulator.clone();
                match end.get_mut(hash, key) {
                    Some(later) => {
                        aggregator.merge(&mut sum, later);
                        *later = sum;
                    }
                    None => {
                        end.get_or_insert_with(hash, key.clone(), || sum);
                    }
                }
                true
            });
            if index > 0 && !(missing.len() - index).is_multiple_of(every) {
                continue;
            }
            self.ends.push((pane.ordinal, end));
            if index == 0 {
                return;
            }
            end = self.copy_of_last();
        }
    }

    /// A table with what the last of the ends holds.
    fn copy_of_last(&mut self) -> StateTable<K, A> {
        let fresh = || self.context.as_ref().map_or_else(StateTable::default, StateTable::new);
        let mut copy = self.spare.pop().unwrap_or_else(fresh);
        if let Some((_, end)) = self.ends.last() {
            for_each_key(end, &mut copy, |copy, hash, key, accumulator| {
                copy.get_or_insert_with(hash, key.clone(), || accumulator.clone());
                true
            });
        }
        copy
    }

    fn keep(&mut self, mut table: StateTable<K, A>) {
        table.clear();
        self.spare.push(table);
    }
}

/// Makes `sum` what a table holds of a key.
fn set<K: Key, A>(table: &mut StateTable<K, A>, (hash, key): (u64, &K), sum: Option<A>) {
    let Some(sum) = sum else { return };
    match table.get_mut(hash, key) {
        Some(held) => *held = sum,
        None => {
            table.get_or_insert_with(hash, key.clone(), || sum);
        }
    }
}
