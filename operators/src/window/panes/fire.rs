//! Firing: window by window in order of their ends, stopping wherever the output has no more room.

use tailwater_core::{Key, Record, Timestamp};
use tailwater_state::StateTable;

use super::total::Summing;
use super::{Output, PaneWindows};
use crate::blame::blame;
use crate::{Aggregator, Collect, Fired, Window, WindowResult};

/// Work for the last watermark that is not done yet.
pub(super) struct Firing {
    /// The next window to fire, or the one that is being emitted.
    window: i64,
    /// Where the walk over the keys of `window` stands; `None` before its start.
    cursor: Option<usize>,
}

impl Firing {
    /// Fires the windows after `fired`.
    pub(super) fn after(fired: i64) -> Self {
        Self { window: fired.saturating_add(1), cursor: None }
    }
}

impl<K, T, F, G> PaneWindows<K, T, F, G>
where
    K: Key,
    T: Record,
    F: FnMut(&T) -> K + Clone + Send + 'static,
    G: Aggregator<T>,
{
    /// Goes on firing for as long as `out` has room, then hands the watermark on.
    pub(super) fn fire(&mut self, out: &mut impl Collect<Output<K, T, G>>) {
        while let Some(Firing { window, cursor }) = self.firing {
            if let Some(cursor) = cursor {
                if let Some(cursor) = self.emit_from(cursor, window, out) {
                    self.firing = Some(Firing { window, cursor: Some(cursor) });
                    return;
                }
                if self.total.summing == Summing::Blocks {
                    self.total.clear();
                }
                // The last window of all has no successor; the watermark cannot rise past it
                // either.
                let next = window.checked_add(1);
                self.firing = next.map(|window| Firing { window, cursor: None });
                if next.is_some() {
                    continue;
                }
            } else if let Some(window) = self.next_with_panes(window) {
                self.sum(window);
                self.firing = Some(Firing { window, cursor: Some(0) });
                continue;
            }
            self.firing = None;
            self.drop_cleaned();
            if std::mem::take(&mut self.key_ends) {
                self.set_watermark(Timestamp::MIN);
            } else {
                out.watermark(self.watermark);
            }
        }
    }

    /// The first window that is due, not before `window`, and not empty: a watermark that jumps
    /// over a year does not visit the windows in between.
    fn next_with_panes(&self, window: i64) -> Option<i64> {
        let index = self.panes.index_of(self.grid.panes(window).0);
        let pane = self.panes.all().get(index)?;
        let window = window.max(self.grid.first_window(pane.ordinal));
        (window <= self.fired).then_some(window)
    }

    fn sum(&mut self, window: i64) {
        if self.total.summing == Summing::Single {
            return;
        }
        let Self { total, panes, aggregator, .. } = self;
        let at = self.grid.window(window).last();
        blame(&self.name, at, || {
            total.move_to(self.grid.panes(window), panes, aggregator);
        });
    }

    /// Emits the keys of `window` from `cursor` on; where to go on, or `None` when all are out.
    fn emit_from(
        &self,
        cursor: usize,
        window: i64,
        out: &mut impl Collect<Output<K, T, G>>,
    ) -> Option<usize> {
        let bounds = self.grid.window(window);
        if self.total.summing == Summing::Single {
            let pane = self.panes.get(self.grid.panes(window).0)?;
            self.emit_table(cursor, &pane.table, |accumulator| accumulator, bounds, out)
        } else {
            let table = &self.total.table;
            self.emit_table(cursor, table, |share| &share.accumulator, bounds, out)
        }
    }

    #[inline]
    fn emit_table<V>(
        &self,
        mut cursor: usize,
        table: &StateTable<K, V>,
        accumulator: impl Fn(&V) -> &G::Accumulator,
        bounds: Window,
        out: &mut impl Collect<Output<K, T, G>>,
    ) -> Option<usize> {
        while let Some((next, key, value)) = table.next_from(cursor) {
            if !out.has_room() {
                return Some(cursor);
            }
            out.fires(bounds.last(), key);
            self.emit(key, accumulator(value), bounds, out);
            cursor = next;
        }
        None
    }

    #[inline]
    pub(super) fn emit(
        &self,
        key: &K,
        accumulator: &G::Accumulator,
        window: Window,
        out: &mut impl Collect<Output<K, T, G>>,
    ) {
        let at: Timestamp = window.last();
        let value = blame(&self.name, at, || self.aggregator.finish(accumulator));
        out.record(at, Fired::Result(WindowResult { key: key.clone(), window, value }));
    }

    /// Drops the panes whose windows are all cleaned, and what the total has of them.
    fn drop_cleaned(&mut self) {
        let Self { panes, total, grid, cleaned, aggregator, .. } = self;
        let count = panes.all().partition_point(|pane| grid.last_window(pane.ordinal) <= *cleaned);
        let Some(newest) = count.checked_sub(1).map(|index| panes.all()[index].ordinal) else {
            return;
        };
        blame(&self.name, self.watermark, || total.drop_until(newest, panes, aggregator));
        panes.drop_oldest(count);
    }
}
