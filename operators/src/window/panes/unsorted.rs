//! Windows of partials in batch mode: what the cores have summed up by key and pane is merged as it
//! comes, as in streaming. Sorted it would lie in the same order: all partials of a pane have one
//! time.
//!
//! All panes of all keys are there until the end. Where memory is not enough for that, what they
//! hold is put into partials again, and sorted with all that comes later.

use std::mem::needs_drop;

use tailwater_core::{Key, Record, Stamped};
use tailwater_state::Panes;

use super::{HotPane, PaneWindows};
use crate::Aggregator;
use crate::window::{Merging, Partial};

/// Records between two looks at the memory that panes take.
const LOOK_EVERY: usize = 4096;

/// How records are taken that are not sorted.
pub(super) struct Unsorted<K, T, A> {
    /// Makes a record of what a key has in a pane; `None` where that is impossible, and all records
    /// are sorted.
    pack: Option<fn(&K, &A) -> T>,
    /// The bytes that the panes may take; none are left where all is sorted.
    memory: u64,
    /// Records since the last look.
    taken: usize,
}

impl<K, T, A> Default for Unsorted<K, T, A> {
    fn default() -> Self {
        Self { pack: None, memory: 0, taken: 0 }
    }
}

impl<K, T, A> Unsorted<K, T, A> {
    /// The same, of which nothing has been taken.
    pub(super) fn prototype(&self) -> Self {
        Self { pack: self.pack, ..Self::default() }
    }

    pub(super) fn takes(&self) -> bool {
        self.memory > 0
    }
}

impl<K, T, F, G> PaneWindows<K, Partial<K, G::Accumulator>, F, Merging<T, G>>
where
    K: Key,
    T: 'static,
    G: Aggregator<T>,
    Partial<K, G::Accumulator>: Record,
{
    /// The windows of what [`LocalPanes`](crate::window::LocalPanes) have summed up: in batch mode
    /// it is merged as it comes, where memory is enough.
    #[must_use]
    pub fn of_partials(mut self) -> Self {
        // What lies elsewhere in memory is not measured.
        if const { !needs_drop::<K>() && !needs_drop::<G::Accumulator>() } {
            self.unsorted.pack = Some(|key, accumulator| Partial {
                key: key.clone(),
                accumulator: accumulator.clone(),
            });
        }
        self
    }
}

impl<K, T, F, G> PaneWindows<K, T, F, G>
where
    K: Key,
    T: Record,
    F: FnMut(&T) -> K + Clone + Send + 'static,
    G: Aggregator<T>,
{
    /// In batch mode: records may be taken unsorted as long as they fit into `memory` bytes.
    pub(super) fn open_unsorted(&mut self, memory: u64) {
        if self.unsorted.pack.is_some() {
            self.unsorted.memory = memory;
            // They are a part of the memory for sorting, not of that for state.
            self.panes = Panes::default();
        }
    }

    /// Puts everything into records, to be sorted, when it takes too much memory.
    pub(super) fn look_at_memory(&mut self, batch: &mut Vec<Stamped<T>>) {
        let Some(pack) = self.unsorted.pack else { return };
        let panes = self.panes.all();
        self.unsorted.taken += 1;
        if self.unsorted.taken < LOOK_EVERY.min(1 + panes.len() / 16) {
            return;
        }
        self.unsorted.taken = 0;
        let bytes: usize = panes.iter().map(|pane| pane.table.slot_bytes()).sum();
        if bytes as u64 <= self.unsorted.memory {
            return;
        }
        for pane in panes {
            let (_, at) = self.grid.bounds(pane.ordinal);
            let entries = pane.table.iter();
            batch.extend(
                entries.map(|(_, key, accumulator)| Stamped { at, value: pack(key, accumulator) }),
            );
        }
        self.unsorted.memory = 0;
        self.hot = HotPane::NONE;
        self.panes.drop_oldest(panes.len());
    }
}
