//! The first half of windows on two sides of an exchange: each core sums up its own records by key
//! and pane.
//!
//! ```text
//! core 0  records ─► LocalPanes ─┐ a partial for each key and pane     ┌─► PaneWindows of partials
//! core 1  records ─► LocalPanes ─┴──────── exchange by key ────────────┴─► PaneWindows of partials
//! ```
//!
//! So a key costs the exchange and its owner the same whether it has one record in a pane or a
//! million.
//!
//! Nothing becomes late by it. The watermark `w` flushes the panes whose last instant is not after
//! `w`, and is handed on behind them: what this core has told its owners so far lies before the
//! last instants of those panes, or they would have been flushed then. The owner's watermark is the
//! least of its channels', so for it, too, no window with one of those panes has fired. A record
//! behind the local watermark goes on at once, as a partial of its own under its own time, and the
//! owner judges it as it would the record. Records in gaps between windows do the same, as they are
//! late by their own time and not by a pane's.
//!
//! At a barrier all panes are flushed, whatever the watermark is: so nothing is stored but the
//! watermark, and a job goes on with any number of cores. The owner sees more partials of a key and
//! pane, earlier, and merges them to the same; a partial is still not late, as the local watermark
//! has not passed its pane.
//!
//! Where keys hardly repeat within a pane, summing up costs more than it saves. After at least
//! [`JUDGED_RECORDS_MIN`] records with fewer than [`RECORDS_OF_A_PARTIAL_MIN`] in a partial, the
//! next [`PASSED_PANES`] panes beyond all that are held pass record by record; then it is tried
//! again. A pane is either held or passed, never both, so that a core's records of a pane keep
//! their order.

use std::marker::PhantomData;

use rkyv::{Archive, Deserialize, Serialize};
use tailwater_core::{Describe, Key, Record, Result, Stamped, Timestamp, stable_hash};
use tailwater_state::{Panes, SnapshotReader, SnapshotWriter};

use super::panes::grid::Grid;
use super::panes::late::without_event_time;
use super::panes::{GROUP_LEN, HotPane};
use crate::blame::blame;
use crate::{Aggregator, Collect, Description, Operator, OperatorContext, Sliding};

/// How many records must have been summed up before their reduction is judged.
pub const JUDGED_RECORDS_MIN: u64 = 1024;
/// With fewer records in a partial on average, panes pass for a while.
pub const RECORDS_OF_A_PARTIAL_MIN: u64 = 2;
/// How many panes pass before summing up is tried again.
pub const PASSED_PANES: i64 = 16;

/// What one core has seen of a key in a pane.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    Archive,
    Serialize,
    Deserialize,
    Describe,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Partial<K, A> {
    /// The key.
    pub key: K,
    /// What they add up to.
    pub accumulator: A,
}

/// Panes that are being emitted.
#[derive(Clone, Copy)]
struct Flush {
    cause: Cause,
    /// The pane in hand, and where the walk over its keys stands.
    pane: usize,
    cursor: usize,
}

/// Why panes are emitted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// The watermark has passed them; it is handed on behind them.
    Watermark,
    /// A barrier has come: all of them go.
    Barrier,
}

/// Sums up records by key and pane on the core that they lie on, and emits a [`Partial`] for each
/// when the watermark has passed the pane.
pub struct LocalPanes<K, T, F, G: Aggregator<T>> {
    name: String,
    key: F,
    aggregator: G,
    windows: Sliding,
    grid: Grid,
    judged_records_min: u64,

    /// All records pass: what a core sums up depends on which records it has.
    passes: bool,
    watermark: Timestamp,
    /// The watermark is a snapshot's: whoever comes behind has not heard of it yet.
    is_restored: bool,
    panes: Panes<K, G::Accumulator>,
    hot: HotPane,
    /// The span of time whose records pass.
    passed: HotPane,
    flushing: Option<Flush>,
    /// Records summed up and partials emitted since the last judgement.
    judged: (u64, u64),
    /// Hashes and keys of the group in hand; empty between calls.
    staged: Vec<(u64, K)>,
    /// Records of the group in hand that pass; empty between calls.
    passing: Vec<Stamped<Partial<K, G::Accumulator>>>,
    types: PhantomData<fn(T)>,
}

impl<K, T, F, G> LocalPanes<K, T, F, G>
where
    K: Key,
    T: Record,
    F: FnMut(&T) -> K + Clone + Send + 'static,
    G: Aggregator<T>,
{
    /// The panes of `windows` for each key that `key` gives.
    ///
    /// # Errors
    /// As [`PaneWindows::new`](super::PaneWindows::new).
    pub fn new(key: F, windows: Sliding, aggregator: G) -> Result<Self> {
        let grid = Grid::new(windows)?;
        Ok(Self::empty("local window".to_owned(), key, aggregator, windows, grid))
    }

    fn empty(name: String, key: F, aggregator: G, windows: Sliding, grid: Grid) -> Self {
        Self {
            name,
            key,
            aggregator,
            windows,
            grid,
            judged_records_min: JUDGED_RECORDS_MIN,
            passes: false,
            watermark: Timestamp::MIN,
            is_restored: false,
            panes: Panes::default(),
            hot: HotPane::NONE,
            passed: HotPane::NONE,
            flushing: None,
            judged: (0, 0),
            staged: Vec::new(),
            passing: Vec::new(),
            types: PhantomData,
        }
    }

    /// Makes the pane that holds `at` the hot one, unless its records go on at once.
    #[inline(never)]
    fn heat(&mut self, at: Timestamp) -> bool {
        if !at.is_some() || self.passes || self.passed.holds(at) {
            return false;
        }
        let pane = self.grid.pane(at);
        let (_, last) = self.grid.bounds(pane);
        let in_a_gap = self.grid.first_window(pane) > self.grid.last_window(pane);
        if in_a_gap || last <= self.watermark {
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
        out: &mut impl Collect<Partial<K, G::Accumulator>>,
    ) {
        if !self.hot.holds(at) && !self.heat(at) {
            return self.hand_on(at, key, value, out);
        }
        let aggregator = &self.aggregator;
        let table = self.panes.table_mut(self.hot.index);
        blame(&self.name, at, || {
            let accumulator = table.get_or_insert_with(hash, key, || aggregator.create());
            aggregator.add(accumulator, value);
        });
        self.judged.0 += 1;
    }

    /// A record that goes on at once: in a pane that passes, behind the watermark, or in a gap.
    #[inline(never)]
    fn hand_on(
        &self,
        at: Timestamp,
        key: K,
        value: &T,
        out: &mut impl Collect<Partial<K, G::Accumulator>>,
    ) {
        if at.is_some() {
            out.record(at, self.single(at, key, value));
        } else {
            out.fail(without_event_time(&self.name));
        }
    }

    #[inline(always)]
    fn single(&self, at: Timestamp, key: K, value: &T) -> Partial<K, G::Accumulator> {
        blame(&self.name, at, || {
            let mut accumulator = self.aggregator.create();
            self.aggregator.add(&mut accumulator, value);
            Partial { key, accumulator }
        })
    }

    /// Hashes the keys of a group and asks for their slots, then applies the records in order.
    #[inline]
    fn apply_group(
        &mut self,
        group: &[Stamped<T>],
        out: &mut impl Collect<Partial<K, G::Accumulator>>,
    ) {
        let Some(first) = group.first() else { return };
        if self.passed.holds(first.at) {
            return self.pass_group(group, out);
        }
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
                    self.judged.0 += 1;
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
        out: &mut impl Collect<Partial<K, G::Accumulator>>,
    ) {
        self.apply(at, hashed, value, out);
    }

    /// A group that starts in a pane that passes: whole batches go on, as they would without this
    /// operator.
    fn pass_group(
        &mut self,
        group: &[Stamped<T>],
        out: &mut impl Collect<Partial<K, G::Accumulator>>,
    ) {
        let mut passing = std::mem::take(&mut self.passing);
        for Stamped { at, value } in group {
            let at = *at;
            let key = blame(&self.name, at, || (self.key)(value));
            if self.passed.holds(at) {
                passing.push(Stamped::new(at, self.single(at, key, value)));
            } else {
                out.batch(&mut passing);
                self.apply_other(at, (stable_hash(&key), key), value, out);
            }
        }
        out.batch(&mut passing);
        self.passing = passing;
    }

    fn start_flush(&mut self, cause: Cause, out: &mut impl Collect<Partial<K, G::Accumulator>>) {
        self.flushing = Some(Flush { cause, pane: 0, cursor: 0 });
        self.hot = HotPane::NONE;
        self.flush(out);
    }

    /// Goes on emitting for as long as `out` has room, then hands the watermark on where it was the
    /// cause.
    fn flush(&mut self, out: &mut impl Collect<Partial<K, G::Accumulator>>) {
        let Some(Flush { cause, pane: mut index, mut cursor }) = self.flushing else { return };
        while let Some(pane) = self.panes.all().get(index) {
            let (_, last) = self.grid.bounds(pane.ordinal);
            if cause == Cause::Watermark && last > self.watermark {
                break;
            }
            while let Some((next, key, accumulator)) = pane.table.next_from(cursor) {
                if !out.has_room() {
                    self.flushing = Some(Flush { cause, pane: index, cursor });
                    return;
                }
                self.judged.1 += 1;
                let partial = Partial { key: key.clone(), accumulator: accumulator.clone() };
                out.record(last, partial);
                cursor = next;
            }
            (index, cursor) = (index + 1, 0);
        }
        if index > 0 {
            self.judge();
            self.panes.drop_oldest(index);
        }
        self.flushing = None;
        if cause == Cause::Watermark {
            out.watermark(self.watermark);
        }
    }

    /// Lets the next panes pass when those just flushed were not worth it.
    fn judge(&mut self) {
        let (records, partials) = self.judged;
        if records < self.judged_records_min {
            return;
        }
        self.judged = (0, 0);
        let Some(newest) = self.panes.all().last() else { return };
        if records < partials * RECORDS_OF_A_PARTIAL_MIN {
            let first = newest.ordinal.saturating_add(1);
            self.passed = self.grid.span(first, newest.ordinal.saturating_add(PASSED_PANES));
        }
    }
}

impl<K, T, F, G> Operator for LocalPanes<K, T, F, G>
where
    K: Key,
    T: Record,
    F: FnMut(&T) -> K + Clone + Send + 'static,
    G: Aggregator<T>,
{
    type In = T;
    type Out = Partial<K, G::Accumulator>;

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.panes = Panes::new(&context.state);
        self.passes = context.deterministic;
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

    fn on_watermark(&mut self, watermark: Timestamp, out: &mut impl Collect<Self::Out>) {
        if watermark < self.watermark || (watermark == self.watermark && !self.is_restored) {
            return;
        }
        self.is_restored = false;
        self.watermark = watermark;
        self.start_flush(Cause::Watermark, out);
    }

    #[inline]
    fn is_pending(&self) -> bool {
        self.flushing.is_some()
    }

    fn resume(&mut self, out: &mut impl Collect<Self::Out>) {
        self.flush(out);
    }

    /// What comes behind a key that has ended are other keys.
    fn on_key_end(&mut self, out: &mut impl Collect<Self::Out>) {
        self.before_barrier(out);
    }

    fn before_barrier(&mut self, out: &mut impl Collect<Self::Out>) {
        if !self.panes.all().is_empty() {
            self.start_flush(Cause::Barrier, out);
        }
    }

    fn snapshot(&mut self, into: &mut SnapshotWriter) -> Result<()> {
        assert!(self.panes.all().is_empty(), "the barrier comes behind what was held");
        into.operator(&self.name, |into| into.value("watermark", &self.watermark))
    }

    /// The least watermark of all cores: panes that it has not passed are held again, and those
    /// that another core's watermark had passed are late for no owner.
    fn restore(&mut self, from: &mut SnapshotReader) -> Result<()> {
        let watermarks: Vec<Timestamp> =
            from.operator(&self.name, |from| from.values("watermark"))?;
        self.watermark = watermarks.into_iter().min().unwrap_or(Timestamp::MIN);
        self.is_restored = true;
        Ok(())
    }

    fn describe(&self, into: &mut Vec<Description>) {
        let detail = format!("{}, {}", self.windows.describe(), self.aggregator.name());
        into.push(Description::stateful(&self.name, detail));
    }
}

impl<K, T, F, G> Clone for LocalPanes<K, T, F, G>
where
    K: Key,
    T: Record,
    F: FnMut(&T) -> K + Clone + Send + 'static,
    G: Aggregator<T>,
{
    /// The same panes with nothing in them: a job's plan is cloned to each core before any record.
    fn clone(&self) -> Self {
        let (key, aggregator) = (self.key.clone(), self.aggregator.clone());
        let fresh = Self::empty(self.name.clone(), key, aggregator, self.windows, self.grid);
        Self { judged_records_min: self.judged_records_min, ..fresh }
    }
}

/// An aggregate of records as the owner of a key runs it: over what the cores have summed up.
pub struct Merging<T, G> {
    aggregator: G,
    types: PhantomData<fn(T)>,
}

impl<T, G> Merging<T, G> {
    /// Merges what [`LocalPanes`] made with the same aggregate.
    pub fn new(aggregator: G) -> Self {
        Self { aggregator, types: PhantomData }
    }
}

impl<T, G: Clone> Clone for Merging<T, G> {
    fn clone(&self) -> Self {
        Self::new(self.aggregator.clone())
    }
}

impl<K, T: 'static, G: Aggregator<T>> Aggregator<Partial<K, G::Accumulator>> for Merging<T, G> {
    type Accumulator = G::Accumulator;
    type Output = G::Output;

    #[inline]
    fn create(&self) -> G::Accumulator {
        self.aggregator.create()
    }

    #[inline]
    fn add(&self, accumulator: &mut G::Accumulator, partial: &Partial<K, G::Accumulator>) {
        self.aggregator.merge(accumulator, &partial.accumulator);
    }

    #[inline]
    fn merge(&self, accumulator: &mut G::Accumulator, other: &G::Accumulator) {
        self.aggregator.merge(accumulator, other);
    }

    #[inline]
    fn finish(&self, accumulator: &G::Accumulator) -> G::Output {
        self.aggregator.finish(accumulator)
    }

    #[inline]
    fn subtract(&self, accumulator: &mut G::Accumulator, other: &G::Accumulator) -> bool {
        self.aggregator.subtract(accumulator, other)
    }

    fn name(&self) -> String {
        self.aggregator.name()
    }
}

#[cfg(test)]
mod tests;
