//! Records behind the watermark: late for all their windows, for some, or allowed and fired at
//! once.

use tailwater_core::{Error, Key, Record, Timestamp};

use super::total::NewInPane;
use super::{HotPane, Output, PaneWindows};
use crate::blame::blame;
use crate::{Aggregator, Collect, Fired, LateRecords};

impl<K, T, F, G> PaneWindows<K, T, F, G>
where
    K: Key,
    T: Record,
    F: FnMut(&T) -> K + Clone + Send + 'static,
    G: Aggregator<T>,
{
    /// A record that fell into no pane whose windows are all yet to fire.
    #[cold]
    #[inline(never)]
    pub(super) fn apply_behind(
        &mut self,
        at: Timestamp,
        (hash, key): (u64, K),
        value: &T,
        out: &mut impl Collect<Output<K, T, G>>,
    ) {
        if !at.is_some() {
            return out.fail(without_event_time(&self.name));
        }
        let pane = self.grid.pane(at);
        let (first, last) = (self.grid.first_window(pane), self.grid.last_window(pane));
        let in_a_gap = first > last;
        if in_a_gap || last <= self.cleaned {
            // In a gap it is nobody's record, and late only by its own time (SEMANTICS 5, 28).
            if !in_a_gap || at + self.lateness <= self.watermark {
                self.reject(at, value, out);
            }
            return;
        }
        self.add_behind(at, pane, (hash, key.clone()), value);
        for window in (first.max(self.cleaned.saturating_add(1))..=last.min(self.fired)).rev() {
            self.fire_key(window, (hash, &key), out);
        }
    }

    fn reject(&mut self, at: Timestamp, value: &T, out: &mut impl Collect<Output<K, T, G>>) {
        match self.late_records {
            LateRecords::Drop => self.late_dropped.add(1),
            LateRecords::Emit => out.record(at, Fired::Late(value.clone())),
        }
    }

    fn add_behind(&mut self, at: Timestamp, pane: i64, (hash, key): (u64, K), value: &T) {
        let Self { panes, total, aggregator, .. } = self;
        let index = panes.get_or_create(pane);
        // Panes may have moved up by one.
        self.hot = HotPane::NONE;
        let table = panes.table_mut(index);
        let keys_before = table.len();
        blame(&self.name, at, || {
            let accumulator = table.get_or_insert_with(hash, key.clone(), || aggregator.create());
            aggregator.add(accumulator, value);
            if total.holds(pane) {
                let new = if table.len() > keys_before { NewInPane::Yes } else { NewInPane::No };
                total.add((hash, key.clone()), value, new, aggregator);
            }
        });
        blame(&self.name, at, || total.refresh(pane, (hash, &key), panes, aggregator));
    }

    /// Fires one key of a window that has fired before, with everything in it (SEMANTICS 25).
    fn fire_key(
        &self,
        window: i64,
        (hash, key): (u64, &K),
        out: &mut impl Collect<Output<K, T, G>>,
    ) {
        let bounds = self.grid.window(window);
        let (first, last) = self.grid.panes(window);
        let mut sum = None;
        blame(&self.name, bounds.last(), || {
            for pane in self.panes.range(first, last) {
                if let Some(accumulator) = pane.table.get(hash, key) {
                    let sum = sum.get_or_insert_with(|| self.aggregator.create());
                    self.aggregator.merge(sum, accumulator);
                }
            }
        });
        if let Some(sum) = sum {
            self.emit(key, &sum, bounds, out);
        }
    }
}

/// The failure of a job whose records have no event time.
pub(in crate::window) fn without_event_time(name: &str) -> Error {
    Error::configuration(format!(
        "a record without an event time reached `{name}`, which keeps windows of event time: \
         call `.event_time(..)` on the stream before it"
    ))
}
