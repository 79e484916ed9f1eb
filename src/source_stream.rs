//! A source that has no event time yet: say where it comes from, or that there is none.

use std::sync::Arc;

use tailwater_core::{Record, Timestamp};
use tailwater_operators::{Identity, Source, WatermarkGenerator, Watermarks};
use tailwater_runtime::Pace;
use tailwater_runtime::task::source::SourcePlan;

use crate::Stream;
use crate::job::SharedPlan;

/// A source on its way to become a stream.
#[must_use = "a source that leads to no sink reads nothing: call `event_time` or `unstamped`"]
pub struct SourceStream<S> {
    plan: SharedPlan,
    source: S,
    name: Option<String>,
    pace: Pace,
}

impl<S, T> SourceStream<S>
where
    S: Source<Out = T>,
    T: Record,
{
    pub(crate) fn new(plan: SharedPlan, source: S) -> Self {
        Self { plan, source, name: None, pace: Pace::Max }
    }

    /// A name for `explain` and reports.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// How fast the source emits.
    pub fn pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// Takes each record's event time with `time`, and judges with `watermarks`, split by split,
    /// how far event time has come.
    pub fn event_time<F, G>(self, time: F, watermarks: Watermarks<G>) -> Stream<T, Identity<T>>
    where
        F: FnMut(&T) -> Timestamp + Clone + Send + 'static,
        G: WatermarkGenerator<T>,
    {
        let (name, number) = {
            let graph = &mut self.plan.borrow_mut().graph;
            let wanted = self.name.unwrap_or_else(|| self.source.name());
            (graph.unique_name(&wanted), graph.next_source())
        };
        let input = SourcePlan::new(name.clone(), number, self.source, time, watermarks.generator)
            .idle_after(watermarks.idle_after)
            .aligned(watermarks.aligned)
            .pace(self.pace);
        Stream::new(self.plan, Arc::new(input), Some(name))
    }

    /// A stream without event time: its records have no timestamp, and event-time windows refuse
    /// them.
    pub fn unstamped(self) -> Stream<T, Identity<T>> {
        self.event_time(|_| Timestamp::NONE, Watermarks::by_source())
    }
}
