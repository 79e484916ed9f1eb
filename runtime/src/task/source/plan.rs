//! The plan of a source: its splits are listed, dealt to the cores, and opened where they stood.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tailwater_core::{Control, Error, Marker, Record, Result, Span, Timestamp};
use tailwater_operators::blame::blame;
use tailwater_operators::{Aligned, Source, SourceContext, WatermarkGenerator};

use super::marks::Marks;
use super::split::Split;
use super::split_state::{SPLITS, SplitState};
use super::{SourceInput, least_watermark};
use crate::config::Pace;
use crate::splits::SplitGauges;
use crate::task::inbox::queue;
use crate::task::watermark_merge::WatermarkMerge;
use crate::task::{Input, InputPlan, TaskContext, Undertaking};

/// The moment at which a source's pace began: shared by all its splits on all cores.
#[derive(Debug, Default)]
pub(super) struct Origin {
    pub(super) started_ns: OnceLock<u64>,
    /// The event time that belongs to it, where the pace follows event time.
    pub(super) event_time: OnceLock<Timestamp>,
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
    aligned: Option<Aligned>,
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
            aligned: None,
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

    /// The group that the splits must not leave too far behind.
    #[must_use]
    pub fn aligned(mut self, aligned: Option<Aligned>) -> Self {
        self.aligned = aligned;
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

    fn is_bounded(&self) -> bool {
        self.source.is_bounded()
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
        let now_ns = context.clock.monotonic_ns();
        let gauges: Vec<_> =
            own.clone().map(|split| SplitGauges::new(&names[split], now_ns)).collect();
        let splits = own
            .zip(&gauges)
            .map(|(split, gauges)| {
                let (name, generator) = (&names[split], generator.clone());
                let rank = names.iter().filter(|other| *other < name).count() as u64;
                let named = (&**name, rank, stored.get(name));
                self.open_split(split, named, generator, gauges, context)
            })
            .collect::<Result<Vec<_>>>()?;
        let mut merge = WatermarkMerge::new(splits.len());
        let ready = resume_merge(&mut merge, &splits);
        let gauges = context.sources.register(&self.name, context.core, gauges.into());
        gauges.watermark.set(merge.watermark().0);
        let mut drift = self.aligned.as_ref().map(|aligned| context.drift_groups.join(aligned));
        if let Some(drift) = &mut drift {
            drift.publish(least_watermark(&splits));
        }
        Ok(Some(Box::new(SourceInput {
            name: self.name.clone(),
            merge,
            splits,
            time,
            drift,
            is_blocked: false,
            idle_after_ns: self.idle_after.map(|span| span.0.max(0) as u64),
            ready,
            values: Vec::with_capacity(context.batch_max),
            held: Vec::with_capacity(context.batch_max),
            held_index: 0,
            marks: context.lineage.clone().map(|lineage| Marks::new(lineage, self.number)),
            read_behind: Timestamp::MIN,
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
        (name, rank, stored): (&str, u64, Option<&SplitState>),
        mut generator: G,
        gauges: &SplitGauges,
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
        let idle = context.lineage.is_none() && stored.is_some_and(|stored| stored.is_idle);
        let opened = Split {
            name: name.to_owned(),
            rank,
            said_idle: idle && reader.is_idle(),
            reader,
            generator: Some(generator),
            ahead: VecDeque::new(),
            before_ahead: position,
            skip,
            emitted,
            emitted_before: emitted,
            silent_ns: 0,
            asked_ns: context.clock.monotonic_ns(),
            idle,
            paused: false,
            ended: is_finished,
            finished: is_finished,
            gauges: gauges.clone(),
        };
        opened.show_activity(opened.asked_ns);
        opened.gauges.show_watermark(opened.watermark(), opened.asked_ns);
        Ok(opened)
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
        queue(&mut ready, merge.on_watermark(index, split.watermark()));
    }
    for (index, split) in splits.iter().enumerate() {
        if split.idle && !split.finished {
            queue(&mut ready, merge.on_idle(index));
        }
    }
    ready
}
