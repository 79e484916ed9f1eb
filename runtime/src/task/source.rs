//! The input end that reads a source: splits in turn, event time and watermarks per split, pace,
//! markers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tailwater_core::{Barrier, Control, Error, Marker, Record, Result, Span, Stamped, Timestamp};
use tailwater_operators::blame::blame;
use tailwater_operators::{
    Polled, Source, SourceContext, SplitPosition, SplitReader, WatermarkGenerator,
};
use tailwater_state::SnapshotWriter;
use tailwater_state::snapshot::Spread;

use super::inbox::queue;
use super::split_state::{SPLITS, SplitState};
use super::watermark_merge::WatermarkMerge;
use super::{Event, Input, InputPlan, Step, TaskContext, Undertaking};
use crate::config::Pace;
use crate::control::Mode;
use crate::metrics::SourceGauges;

/// The most markers that are sent for times that passed while the source could not run. Those
/// beyond it would only repeat the same delay.
const MARKERS_BEHIND_MAX: u64 = 8;

/// Batches of records from before the restored position that are read in one step.
const SKIPPED_BATCHES_A_STEP: usize = 16;

/// One open split.
struct Split<T, G> {
    name: String,
    reader: Box<dyn SplitReader<T>>,
    /// There, but while a batch is stamped.
    generator: Option<G>,
    /// Records read ahead of their time, where the pace follows event time.
    ahead: VecDeque<T>,
    /// Where the reader stood when nothing was read ahead.
    before_ahead: SplitPosition,
    /// Records that are to be read again and dropped: those between the place where the split was
    /// opened and the barrier that it goes on from.
    skip: u64,
    /// Records emitted, from the start of the split.
    emitted: u64,
    /// Of these, the ones before this attempt.
    emitted_before: u64,
    /// For how long the split has been silent while it was asked.
    silent_ns: u64,
    asked_ns: u64,
    idle: bool,
    ended: bool,
    finished: bool,
}

impl<T, G> Split<T, G> {
    /// Polls the reader, and names source and split where it fails.
    #[inline]
    fn poll(&mut self, source: &str, limit: usize, values: &mut Vec<T>) -> Result<Polled> {
        if self.skip > 0 {
            return self.poll_behind(source, limit, values);
        }
        let polled = blame(source, Timestamp::NONE, || self.reader.poll(limit, values));
        polled.map_err(|error| {
            error.context(format!("cannot read `{}` of source `{source}`", self.name))
        })
    }

    /// Reads records that were emitted before, and drops them: some batches of them in one step.
    #[cold]
    fn poll_behind(&mut self, source: &str, limit: usize, values: &mut Vec<T>) -> Result<Polled> {
        for _ in 0..SKIPPED_BATCHES_A_STEP {
            let behind = std::mem::take(&mut self.skip);
            let polled = self.poll(source, limit, values);
            let dropped = behind.min(values.len() as u64);
            values.drain(..dropped as usize);
            self.skip = behind - dropped;
            if self.skip == 0 || !matches!(polled, Ok(Polled::Ready)) {
                return polled;
            }
        }
        Ok(Polled::Ready)
    }

    /// Where the split can be opened again, at or before the last record that was emitted.
    fn position(&self) -> SplitPosition {
        if self.ahead.is_empty() { self.reader.position() } else { self.before_ahead }
    }
}

impl<T, G: WatermarkGenerator<T>> Split<T, G> {
    /// What is remembered of it at a barrier.
    fn state(&self, is_drained: bool) -> SplitState {
        let start = self.position();
        SplitState {
            name: self.name.clone(),
            emitted: self.emitted,
            start_records: start.records,
            start_offset: start.offset,
            watermark: self.generator.as_ref().map_or(Timestamp::MIN, G::watermark),
            is_idle: self.idle,
            is_finished: self.finished,
            is_drained,
        }
    }
}

/// The moment at which a source's pace began: shared by all its splits on all cores.
#[derive(Debug, Default)]
struct Origin {
    started_ns: OnceLock<u64>,
    /// The event time that belongs to it, where the pace follows event time.
    event_time: OnceLock<Timestamp>,
}

/// Reads the splits of a source that belong to one core.
struct SourceInput<T, F, G> {
    name: Arc<str>,
    splits: Vec<Split<T, G>>,
    time: F,
    idle_after_ns: Option<u64>,
    merge: WatermarkMerge,
    ready: VecDeque<Control>,
    values: Vec<T>,
    /// Stamped records of a split that was idle, which wait until its change of status has gone.
    held: Vec<Stamped<T>>,
    held_index: usize,
    next: usize,
    pace: Pace,
    splits_total: u64,
    origin: Arc<Origin>,
    marker: Marker,
    marker_interval_ns: u64,
    barrier: u64,
    /// All splits ended, or were told to, also in the run that this one goes on from.
    is_drained: bool,
    /// Barriers that are asked for without a pause must not keep the splits from being read.
    read_since_barrier: bool,
    ended: bool,
    gauges: SourceGauges,
}

impl<T, F, G> SourceInput<T, F, G>
where
    F: FnMut(&T) -> Timestamp,
    G: WatermarkGenerator<T>,
{
    /// Reads up to `limit` records of one split into `self.values`.
    fn read(&mut self, index: usize, step: &Step, limit: usize) -> Result<()> {
        let split = &mut self.splits[index];
        let limit = match self.pace {
            Pace::PerSecond(rate) => {
                let started = *self.origin.started_ns.get_or_init(|| step.now_ns);
                let elapsed = step.now_ns.saturating_sub(started) as f64 / 1e9;
                let due = (elapsed * rate / self.splits_total as f64) as u64 + 1;
                limit.min(due.saturating_sub(split.emitted - split.emitted_before) as usize)
            }
            Pace::Max | Pace::EventTime(_) => limit,
        };
        if let Pace::EventTime(speed) = self.pace {
            return self.read_by_event_time(index, step, limit, speed);
        }
        if limit > 0 && !split.ended {
            split.ended = split.poll(&self.name, limit, &mut self.values)? == Polled::Finished;
        }
        split.finished = split.ended;
        Ok(())
    }

    /// Releases the records whose event time has come, by the pace's clock.
    fn read_by_event_time(
        &mut self,
        index: usize,
        step: &Step,
        limit: usize,
        speed: f64,
    ) -> Result<()> {
        let split = &mut self.splits[index];
        if split.ahead.is_empty() && !split.ended {
            split.before_ahead = split.reader.position();
            split.ended = split.poll(&self.name, limit, &mut self.values)? == Polled::Finished;
            split.ahead.extend(self.values.drain(..));
        }
        let started = *self.origin.started_ns.get_or_init(|| step.now_ns);
        let elapsed = step.now_ns.saturating_sub(started) as f64 * speed;
        while let Some(value) = split.ahead.front()
            && self.values.len() < limit
        {
            let at = blame(&self.name, Timestamp::NONE, || (self.time)(value));
            let origin = *self.origin.event_time.get_or_init(|| at);
            if (at - origin).0 as f64 > elapsed {
                break;
            }
            self.values.extend(split.ahead.pop_front());
        }
        split.finished = split.ended && split.ahead.is_empty();
        Ok(())
    }

    /// Stamps what was read, and queues what the split's watermark and idleness let through.
    fn stamp(&mut self, index: usize, step: &Step, batch: &mut Vec<Stamped<T>>) {
        let split = &mut self.splits[index];
        let silence = step.now_ns.saturating_sub(split.asked_ns);
        split.asked_ns = step.now_ns;
        if self.values.is_empty() {
            split.silent_ns += silence;
            let silent_too_long = self.idle_after_ns.is_some_and(|after| split.silent_ns >= after);
            if silent_too_long && !split.idle && !split.finished {
                split.idle = true;
                queue(&mut self.ready, self.merge.on_idle(index));
            }
        } else {
            split.silent_ns = 0;
            if std::mem::take(&mut split.idle) {
                queue(&mut self.ready, self.merge.on_active(index));
            }
        }
        split.emitted += self.values.len() as u64;
        self.gauges.records.add(self.values.len() as u64);
        let (name, time) = (&self.name, &mut self.time);
        // In a local for the length of the batch, so that its state stays in registers.
        let Some(mut generator) = split.generator.take() else { return };
        batch.extend(self.values.drain(..).map(|value| {
            let at = blame(name, Timestamp::NONE, || time(&value));
            blame(name, at, || generator.on_record(&value, at));
            Stamped { at, value }
        }));
        split.generator = Some(generator);
        // The gauge is for people: the last record of a batch stands for all of it.
        let newest = batch.last().map_or(Timestamp::MIN, |record| record.at);
        if newest.0 > self.gauges.newest.get() {
            self.gauges.newest.set(newest.0);
        }
    }

    fn advance_watermark(&mut self, index: usize) {
        let split = &self.splits[index];
        let of_records = split.generator.as_ref().map_or(Timestamp::MIN, G::watermark);
        let watermark = if split.finished { Timestamp::MAX } else { of_records };
        let merged = self.merge.on_watermark(index, watermark);
        // The end of all splits is told apart from the watermark before it by `end`.
        if merged.watermark != Some(Timestamp::MAX) {
            queue(&mut self.ready, merged);
        }
        self.gauges.watermark.set(self.merge.watermark().0);
    }

    fn end(&mut self) -> Control {
        self.ended = true;
        self.ready.push_back(Control::End);
        self.gauges.watermark.set(Timestamp::MAX.0);
        Control::Watermark(Timestamp::MAX)
    }

    /// The marker that is due: stamped with the moment at which it should have left.
    fn due_marker(&mut self, step: &Step) -> Option<Marker> {
        if self.marker_interval_ns == 0 || step.now_ns < self.marker.sent_ns {
            return None;
        }
        if self.marker.sent_ns == 0 {
            self.marker.sent_ns = step.now_ns;
        }
        let behind_max = MARKERS_BEHIND_MAX * self.marker_interval_ns;
        let due = self.marker.sent_ns.max(step.now_ns.saturating_sub(behind_max));
        self.marker.sent_ns = due + self.marker_interval_ns;
        Some(Marker { sent_ns: due, ..self.marker })
    }
}

impl<T, F, G> Input<T> for SourceInput<T, F, G>
where
    F: FnMut(&T) -> Timestamp,
    G: WatermarkGenerator<T>,
{
    fn poll(&mut self, step: &Step, limit: usize, batch: &mut Vec<Stamped<T>>) -> Result<Event> {
        if let Some(control) = self.ready.pop_front() {
            return Ok(Event::Control(control));
        }
        if !self.held.is_empty() {
            batch.append(&mut self.held);
            self.advance_watermark(self.held_index);
            return Ok(Event::Records);
        }
        if self.ended {
            return Ok(Event::Empty);
        }
        if step.barrier > self.barrier && self.read_since_barrier {
            // Every source sends every barrier: where one skipped what another sent, tasks that
            // align channels of both would wait for each other.
            self.barrier += 1;
            self.read_since_barrier = false;
            let barrier = Barrier { checkpoint: self.barrier };
            return Ok(Event::Control(Control::Barrier(barrier)));
        }
        if step.mode == Mode::Draining || self.is_drained {
            self.is_drained = true;
            return Ok(Event::Control(self.end()));
        }
        if self.splits.iter().all(|split| split.finished) {
            return Ok(Event::Control(self.end()));
        }
        if let Some(marker) = self.due_marker(step) {
            return Ok(Event::Control(Control::Marker(marker)));
        }
        self.read_since_barrier = true;
        for _ in 0..self.splits.len() {
            let index = self.next;
            self.next = if index + 1 == self.splits.len() { 0 } else { index + 1 };
            if self.splits[index].finished {
                continue;
            }
            self.read(index, step, limit)?;
            self.stamp(index, step, batch);
            if !self.ready.is_empty() && !batch.is_empty() {
                // The split was idle: its change of status goes before its records (SEMANTICS 15).
                std::mem::swap(&mut self.held, batch);
                self.held_index = index;
                break;
            }
            self.advance_watermark(index);
            if !batch.is_empty() {
                return Ok(Event::Records);
            }
            if !self.ready.is_empty() {
                break;
            }
        }
        Ok(self.ready.pop_front().map_or(Event::Empty, Event::Control))
    }

    fn on_blocked(&mut self, step: &Step) {
        for split in &mut self.splits {
            split.asked_ns = step.now_ns;
        }
    }

    fn snapshot(&mut self, into: &mut SnapshotWriter) -> Result<()> {
        let states = self.splits.iter().map(|split| split.state(self.is_drained));
        let states: Vec<_> = states.collect();
        into.operator(&self.name, |into| into.list(SPLITS, Spread::Union, &states))
    }
}

/// How the splits of a source are read: the source, its event time, its pace.
pub struct SourcePlan<S: Source, F, G> {
    name: Arc<str>,
    /// The number of this source among those of the job, for its markers.
    number: u16,
    source: S,
    /// Behind a mutex because closures are `Send` and are cloned from several threads.
    time: Mutex<(F, G)>,
    idle_after: Option<Span>,
    pace: Pace,
    attempt: Mutex<Attempt>,
}

/// What an attempt of the job reads.
#[derive(Clone, Default)]
struct Attempt {
    splits: Vec<String>,
    /// Of the splits that were read before, how far.
    stored: Arc<BTreeMap<String, SplitState>>,
    origin: Arc<Origin>,
}

impl<S: Source, F, G> SourcePlan<S, F, G> {
    /// Reads `source`, stamping each record with `time`.
    pub fn new(name: Arc<str>, number: u16, source: S, time: F, generator: G) -> Self {
        Self {
            name,
            number,
            source,
            time: Mutex::new((time, generator)),
            idle_after: None,
            pace: Pace::Max,
            attempt: Mutex::default(),
        }
    }

    /// A split without records for so long is idle.
    #[must_use]
    pub fn idle_after(mut self, span: Option<Span>) -> Self {
        self.idle_after = span;
        self
    }

    /// How fast the source emits.
    #[must_use]
    pub fn pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }
}

impl<S, T, F, G> InputPlan<T> for SourcePlan<S, F, G>
where
    S: Source<Out = T>,
    T: Record,
    F: FnMut(&T) -> Timestamp + Clone + Send + 'static,
    G: WatermarkGenerator<T>,
{
    fn edges(&self) -> Vec<usize> {
        Vec::new()
    }

    fn prepare(&self, task: &str, undertaking: &Undertaking) -> Result<()> {
        let Undertaking { cores, key_groups, restoring, .. } = undertaking;
        let stored = match restoring {
            Some(restoring) => restoring.read(task, (0, *cores), *key_groups, |reader| {
                reader.operator(&self.name, |reader| reader.list(SPLITS))
            })?,
            None => Vec::new(),
        };
        let names: Vec<_> = stored.iter().map(|split: &SplitState| split.name.clone()).collect();
        let list = || match names.is_empty() {
            true => self.source.splits(*cores),
            false => self.source.resume(&names, *cores),
        };
        let splits = blame(&self.name, Timestamp::NONE, list)?;
        if splits.is_empty() {
            return Err(Error::configuration(format!(
                "source `{}` has nothing to read",
                self.name
            )));
        }
        let stored = stored.into_iter().map(|split| (split.name.clone(), split)).collect();
        let attempt = Attempt { splits, stored: Arc::new(stored), origin: Arc::default() };
        *self.attempt.lock().unwrap_or_else(PoisonError::into_inner) = attempt;
        Ok(())
    }

    fn open(&self, context: &TaskContext) -> Result<Option<Box<dyn Input<T>>>> {
        let Attempt { splits: names, stored, origin } =
            self.attempt.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (time, generator) = self.time.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let own = (0..names.len()).filter(|split| *split as u32 % context.cores == context.core);
        let splits = own
            .map(|split| {
                let stored = stored.get(&names[split]);
                self.open_split(split, &names[split], stored, generator.clone(), context)
            })
            .collect::<Result<Vec<_>>>()?;
        let mut merge = WatermarkMerge::new(splits.len());
        let ready = resume_merge(&mut merge, &splits);
        let gauges = context.sources.register(&self.name);
        gauges.watermark.set(merge.watermark().0);
        Ok(Some(Box::new(SourceInput {
            name: self.name.clone(),
            merge,
            splits,
            time,
            idle_after_ns: self.idle_after.map(|span| span.0.max(0) as u64),
            ready,
            values: Vec::with_capacity(context.batch_max),
            held: Vec::with_capacity(context.batch_max),
            held_index: 0,
            next: 0,
            pace: self.pace,
            splits_total: names.len() as u64,
            origin,
            marker: Marker { source: self.number, core: context.core as u16, sent_ns: 0 },
            marker_interval_ns: context.marker_interval_ns,
            barrier: context.control.barrier(),
            is_drained: stored.values().any(|split| split.is_drained),
            read_since_barrier: true,
            ended: false,
            gauges,
        })))
    }
}

impl<S, T, F, G> SourcePlan<S, F, G>
where
    S: Source<Out = T>,
    G: WatermarkGenerator<T>,
{
    /// Opens a split where the run that this one goes on from had come to, if it had read it.
    fn open_split(
        &self,
        split: usize,
        name: &str,
        stored: Option<&SplitState>,
        mut generator: G,
        context: &TaskContext,
    ) -> Result<Split<T, G>> {
        let start = stored.map(SplitState::start);
        let source_context = SourceContext {
            core: context.core,
            cores: context.cores,
            counters: context.counters.clone(),
            clock: context.clock.clone(),
            waker: context.waker.clone(),
            inline: context.inline,
            start,
        };
        let open = || self.source.open(split, &source_context);
        let reader = blame(&self.name, Timestamp::NONE, open).map_err(|error| {
            error.context(format!("cannot open `{name}` of source `{}`", self.name))
        })?;
        let emitted = stored.map_or(0, |stored| stored.emitted);
        let position = start.unwrap_or_default();
        let skip = emitted.checked_sub(position.records).ok_or_else(|| {
            Error::format(format!(
                "the checkpoint says that `{name}` stood behind record {}, and that {emitted} \
                 were emitted",
                position.records
            ))
        })?;
        if let Some(stored) = stored {
            generator.resume_from(stored.watermark);
        }
        let is_finished = stored.is_some_and(|stored| stored.is_finished);
        Ok(Split {
            name: name.to_owned(),
            reader,
            generator: Some(generator),
            ahead: VecDeque::new(),
            before_ahead: position,
            skip,
            emitted,
            emitted_before: emitted,
            silent_ns: 0,
            asked_ns: context.clock.monotonic_ns(),
            idle: stored.is_some_and(|stored| stored.is_idle),
            ended: is_finished,
            finished: is_finished,
        })
    }
}

/// Tells the merge what is known of splits that were read before; what is to be sent before the
/// first record.
fn resume_merge<T, G: WatermarkGenerator<T>>(
    merge: &mut WatermarkMerge,
    splits: &[Split<T, G>],
) -> VecDeque<Control> {
    let mut ready = VecDeque::new();
    if splits.iter().all(|split| split.finished) {
        // The end says it all.
        return ready;
    }
    for (index, split) in splits.iter().enumerate() {
        let of_records = split.generator.as_ref().map_or(Timestamp::MIN, G::watermark);
        let watermark = if split.finished { Timestamp::MAX } else { of_records };
        queue(&mut ready, merge.on_watermark(index, watermark));
    }
    for (index, split) in splits.iter().enumerate() {
        if split.idle && !split.finished {
            queue(&mut ready, merge.on_idle(index));
        }
    }
    ready
}
