//! Sliding and tumbling windows of event time, kept as panes: the fast path for incremental
//! aggregates.
//!
//! Each slice of time has a small table of its own, and a record touches one slot of one of them. A
//! window is a run of panes: one for tumbling windows; otherwise a running total that takes in the
//! panes that enter and takes out those that leave, where the aggregate can subtract, and else two
//! sums of several panes that are kept. Neither costs more for longer windows. The trigger is the
//! default one of event time; sessions and other triggers are another operator's.

mod blocks;
mod fire;
pub(super) mod grid;
pub(super) mod late;
mod snapshot;
#[cfg(test)]
mod tests;
mod total;
mod unsorted;

use std::marker::PhantomData;

use tailwater_core::{Counter, Key, Record, Result, Span, Stamped, Timestamp, stable_hash};
use tailwater_state::{Drain, Panes, SnapshotReader, SnapshotWriter, TrackedState};

use self::fire::Firing;
use self::grid::Grid;
use self::total::Total;
use self::unsorted::Unsorted;
use crate::blame::blame;
use crate::{
    Aggregator, Collect, Description, Fired, LateRecords, Operator, OperatorContext, RuntimeMode,
    Sliding, WindowResult,
};

/// Records whose slots are asked for at once: enough to hide a miss of the last cache behind the
/// others, few enough that the first has not been pushed out again.
pub(crate) const GROUP_LEN: usize = 64;

/// Keyed tumbling or sliding windows of event time with an incremental aggregate, fired by the
/// watermark.
///
/// Results are stamped with the last instant of their window. A late record within the allowed
/// lateness fires each of its windows that have fired before, at once and with everything in it
/// (SEMANTICS 25, 27).
pub struct PaneWindows<K, T, F, G: Aggregator<T>> {
    name: String,
    key: F,
    aggregator: G,
    windows: Sliding,
    grid: Grid,
    lateness: Span,
    late_records: LateRecords,
    late_dropped: Counter,

    watermark: Timestamp,
    /// The watermark is a snapshot's: whoever comes behind has not heard of it yet.
    is_restored: bool,
    /// This window and all before it have fired, or are about to while `firing` is there.
    fired: i64,
    /// This window and all before it are forgotten: records for them are late.
    cleaned: i64,
    panes: Panes<K, G::Accumulator>,
    total: Total<K, G::Accumulator>,
    firing: Option<Firing>,
    /// What is firing is all that a key has, in batch mode: no watermark goes with it.
    key_ends: bool,
    unsorted: Unsorted<K, T, G::Accumulator>,
    hot: HotPane,
    /// Hashes and keys of the group in hand; empty between calls.
    staged: Vec<(u64, K)>,
    types: PhantomData<fn(T)>,
}

/// The pane that the last record fell into, if none of its windows has fired: most records need no
/// division and no search to find theirs.
pub(super) struct HotPane {
    pub(super) first: i64,
    /// How many instants long; zero when there is no hot pane.
    pub(super) len: u64,
    pub(super) index: usize,
}

impl HotPane {
    pub(super) const NONE: Self = Self { first: 0, len: 0, index: 0 };

    #[inline(always)]
    pub(super) fn holds(&self, at: Timestamp) -> bool {
        (at.0.wrapping_sub(self.first) as u64) < self.len
    }
}

impl<K, T, F, G> PaneWindows<K, T, F, G>
where
    K: Key,
    T: Record,
    F: FnMut(&T) -> K + Clone + Send + 'static,
    G: Aggregator<T>,
{
    /// The windows of each key that `key` gives, no record of which may be late.
    ///
    /// # Errors
    /// When the spans make no windows ([`Sliding::check`]), or put a record into more than a
    /// million.
    pub fn new(key: F, windows: Sliding, aggregator: G) -> Result<Self> {
        let grid = Grid::new(windows)?;
        let total = Total::for_windows(&grid, &aggregator);
        let mut fresh = Self {
            name: "window".to_owned(),
            key,
            aggregator,
            windows,
            grid,
            lateness: Span::ZERO,
            late_records: LateRecords::default(),
            late_dropped: Counter::default(),
            watermark: Timestamp::MIN,
            is_restored: false,
            fired: 0,
            cleaned: 0,
            panes: Panes::default(),
            total,
            firing: None,
            key_ends: false,
            unsorted: Unsorted::default(),
            hot: HotPane::NONE,
            staged: Vec::new(),
            types: PhantomData,
        };
        fresh.set_watermark(Timestamp::MIN);
        Ok(fresh)
    }

    /// Keeps windows for `lateness` after they have fired. A negative lateness is none.
    #[must_use]
    pub fn allowed_lateness(mut self, lateness: Span) -> Self {
        self.lateness = lateness.max(Span::ZERO);
        self.set_watermark(self.watermark);
        self
    }

    /// What happens to records that come too late for all their windows.
    #[must_use]
    pub fn late_records(mut self, late_records: LateRecords) -> Self {
        self.late_records = late_records;
        self
    }

    /// The same operator under a name of the user's.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    fn set_watermark(&mut self, watermark: Timestamp) {
        self.watermark = watermark;
        self.fired = self.grid.last_due(watermark, 0);
        self.cleaned = self.grid.last_due(watermark, self.lateness.0);
    }

    /// Makes the pane that holds `at` the hot one, unless a window that it is part of has fired.
    #[inline(never)]
    fn heat(&mut self, at: Timestamp) -> bool {
        let pane = self.grid.pane(at);
        let first_window = self.grid.first_window(pane);
        if !at.is_some() || first_window <= self.fired || first_window > self.grid.last_window(pane)
        {
            return false;
        }
        let index = self.panes.get_or_create(pane);
        self.hot = HotPane { index, ..self.grid.span(pane, pane) };
        true
    }

    #[inline(always)]
    fn apply(
        &mut self,
        at: Timestamp,
        (hash, key): (u64, K),
        value: &T,
        out: &mut impl Collect<Output<K, T, G>>,
    ) {
        if !self.hot.holds(at) && !self.heat(at) {
            return self.apply_behind(at, (hash, key), value, out);
        }
        let table = self.panes.table_mut(self.hot.index);
        let aggregator = &self.aggregator;
        blame(&self.name, at, || {
            let accumulator = table.get_or_insert_with(hash, key, || aggregator.create());
            aggregator.add(accumulator, value);
        });
    }

    /// Hashes the keys of a group and asks for their slots, then applies the records in order.
    #[inline]
    fn apply_group(&mut self, group: &[Stamped<T>], out: &mut impl Collect<Output<K, T, G>>) {
        let Some(first) = group.first() else { return };
        let mut staged = std::mem::take(&mut self.staged);
        if self.hot.holds(first.at) || self.heat(first.at) {
            let table = &self.panes.all()[self.hot.index].table;
            let key = &mut self.key;
            staged.extend(group.iter().map(|record| {
                let key = blame(&self.name, record.at, || key(&record.value));
                let hash = stable_hash(&key);
                table.prefetch(hash);
                (hash, key)
            }));
        } else {
            staged.extend(group.iter().map(|record| {
                let key = blame(&self.name, record.at, || (self.key)(&record.value));
                (stable_hash(&key), key)
            }));
        }
        let mut records = group.iter().zip(staged.drain(..));
        loop {
            // Runs of one pane first, the pane looked up once; `hot` holds nothing where there is
            // none.
            let mut other = None;
            if let Some(pane) = self.panes.table_at_mut(self.hot.index) {
                for (record, (hash, key)) in records.by_ref() {
                    if !self.hot.holds(record.at) {
                        other = Some((record, (hash, key)));
                        break;
                    }
                    blame(&self.name, record.at, || {
                        let aggregator = &self.aggregator;
                        let accumulator =
                            pane.get_or_insert_with(hash, key, || aggregator.create());
                        aggregator.add(accumulator, &record.value);
                    });
                }
            } else {
                other = records.next();
            }
            let Some((record, hashed)) = other else { break };
            self.apply_other(record.at, hashed, &record.value, out);
        }
        drop(records);
        self.staged = staged;
    }

    #[inline(never)]
    fn apply_other(
        &mut self,
        at: Timestamp,
        hashed: (u64, K),
        value: &T,
        out: &mut impl Collect<Output<K, T, G>>,
    ) {
        self.apply(at, hashed, value, out);
    }
}

/// What these windows emit.
type Output<K, T, G> = Fired<WindowResult<K, <G as Aggregator<T>>::Output>, T>;

impl<K, T, F, G> Operator for PaneWindows<K, T, F, G>
where
    K: Key,
    T: Record,
    F: FnMut(&T) -> K + Clone + Send + 'static,
    G: Aggregator<T>,
{
    type In = T;
    type Out = Output<K, T, G>;

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.late_dropped = context.counters.register("late_records_dropped");
        self.panes = Panes::new(&context.state);
        self.total.open(&context.state);
        if context.mode == RuntimeMode::Batch {
            self.open_unsorted(context.unsorted_memory);
        }
        Ok(())
    }

    #[inline]
    fn on_record(&mut self, at: Timestamp, value: T, out: &mut impl Collect<Self::Out>) {
        let key = blame(&self.name, at, || (self.key)(&value));
        self.apply(at, (stable_hash(&key), key), &value, out);
    }

    fn on_batch(&mut self, batch: &mut Vec<Stamped<T>>, out: &mut impl Collect<Self::Out>) {
        for group in batch.chunks(GROUP_LEN) {
            self.apply_group(group, out);
        }
        batch.clear();
    }

    fn on_unsorted(&mut self, batch: &mut Vec<Stamped<T>>, out: &mut impl Collect<Self::Out>) {
        if self.unsorted.takes() {
            self.on_batch(batch, out);
            self.look_at_memory(batch);
        }
    }

    fn on_watermark(&mut self, watermark: Timestamp, out: &mut impl Collect<Self::Out>) {
        if watermark < self.watermark || (watermark == self.watermark && !self.is_restored) {
            return;
        }
        self.is_restored = false;
        self.firing = Some(Firing::after(self.fired));
        self.set_watermark(watermark);
        self.hot = HotPane::NONE;
        self.fire(out);
    }

    // SEMANTICS 88, 89
    fn on_key_end(&mut self, out: &mut impl Collect<Self::Out>) {
        self.key_ends = true;
        self.firing = Some(Firing::after(self.fired));
        self.set_watermark(Timestamp::MAX);
        self.hot = HotPane::NONE;
        self.fire(out);
    }

    #[inline]
    fn is_pending(&self) -> bool {
        self.firing.is_some()
    }

    fn resume(&mut self, out: &mut impl Collect<Self::Out>) {
        self.fire(out);
    }

    fn snapshot(&mut self, into: &mut SnapshotWriter) -> Result<()> {
        self.write(into)
    }

    fn drain(&mut self, into: &mut Drain) -> Result<bool> {
        self.panes.drain(into)
    }

    fn restore(&mut self, from: &mut SnapshotReader) -> Result<()> {
        self.read(from)
    }

    fn describe(&self, into: &mut Vec<Description>) {
        let windows = self.windows.describe();
        let detail = format!("{windows}, {}, lateness {}", self.aggregator.name(), self.lateness);
        into.push(Description::stateful(&self.name, detail));
    }
}

impl<K, T, F, G> Clone for PaneWindows<K, T, F, G>
where
    K: Key,
    T: Record,
    F: FnMut(&T) -> K + Clone + Send + 'static,
    G: Aggregator<T>,
{
    /// The same windows with nothing in them: a job's plan is cloned to each core before any
    /// record.
    fn clone(&self) -> Self {
        let mut fresh = Self {
            name: self.name.clone(),
            key: self.key.clone(),
            aggregator: self.aggregator.clone(),
            windows: self.windows,
            grid: self.grid,
            lateness: self.lateness,
            late_records: self.late_records,
            late_dropped: Counter::default(),
            watermark: Timestamp::MIN,
            is_restored: false,
            fired: 0,
            cleaned: 0,
            panes: Panes::default(),
            total: Total::for_windows(&self.grid, &self.aggregator),
            firing: None,
            key_ends: false,
            unsorted: self.unsorted.prototype(),
            hot: HotPane::NONE,
            staged: Vec::new(),
            types: PhantomData,
        };
        fresh.set_watermark(Timestamp::MIN);
        fresh
    }
}
