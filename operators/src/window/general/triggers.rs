//! The triggers of event time and of records: at the end, by count, at intervals, by difference.

use tailwater_core::{Error, Record, Result, Span, Timestamp};

use super::trigger::{Trigger, TriggerContext, Verdict};
use crate::window::Window;

/// Fires when the watermark passes the end of the window, and at once for each record that is late
/// but allowed (SEMANTICS 25, 29). The default of all windows but global ones.
#[derive(Clone, Copy, Debug, Default)]
pub struct EventTime;

impl<T> Trigger<T> for EventTime {
    type State = ();
    const FIRES_AT_END_ALONE: bool = true;

    #[inline]
    fn on_record(
        &mut self,
        _: Timestamp,
        _: &T,
        (): &mut (),
        context: &mut TriggerContext<'_>,
    ) -> Verdict {
        let last = context.window.last();
        if last <= context.watermark {
            return Verdict::Fire;
        }
        context.register_timer(last);
        Verdict::Continue
    }

    #[inline]
    fn on_event_time(
        &mut self,
        time: Timestamp,
        (): &mut (),
        context: &mut TriggerContext<'_>,
    ) -> Verdict {
        if time == context.window.last() { Verdict::Fire } else { Verdict::Continue }
    }

    fn merge(&mut self, (): &mut (), (): ()) {}

    #[inline]
    fn on_merged(&mut self, (): &mut (), context: &mut TriggerContext<'_>) {
        let last = context.window.last();
        if last > context.watermark {
            context.register_timer(last);
        }
    }

    fn name(&self) -> String {
        "event time".to_owned()
    }
}

/// Fires when so many records have come, and counts from zero again (SEMANTICS 32). Merging windows
/// add their counts (SEMANTICS 40).
#[derive(Clone, Copy, Debug)]
pub struct Count(pub u64);

impl<T> Trigger<T> for Count {
    type State = u64;

    #[inline]
    fn on_record(
        &mut self,
        _: Timestamp,
        _: &T,
        count: &mut u64,
        _: &mut TriggerContext<'_>,
    ) -> Verdict {
        *count += 1;
        if *count < self.0 {
            return Verdict::Continue;
        }
        *count = 0;
        Verdict::Fire
    }

    fn merge(&mut self, count: &mut u64, other: u64) {
        *count += other;
    }

    fn check(&self) -> Result<()> {
        if self.0 > 0 {
            return Ok(());
        }
        Err(Error::configuration("a count trigger needs a count of at least one"))
    }

    fn name(&self) -> String {
        format!("count {}", self.0)
    }
}

/// Fires at multiples of an interval of event time, and at the end of the window. A watermark that
/// passes several of them fires once for each (SEMANTICS 34).
///
/// The first firing follows from the first record: one interval after its time, rounded *towards
/// zero* to a multiple of the interval, as Flink does. Before the epoch the marks are the same, but
/// the first one may be left out.
#[derive(Clone, Copy, Debug)]
pub struct Continuous(pub Span);

impl Continuous {
    /// The next firing after `mark`; never after the end of the window.
    fn schedule(
        &self,
        mark: Timestamp,
        next: &mut Option<Timestamp>,
        context: &mut TriggerContext<'_>,
    ) {
        let time = (mark + self.0).min(context.window.last());
        // Where one is known already (another callback set it), the earlier one counts.
        *next = Some(next.map_or(time, |known| known.min(time)));
        context.register_timer(time);
    }
}

impl<T> Trigger<T> for Continuous {
    type State = Option<Timestamp>;

    fn on_record(
        &mut self,
        at: Timestamp,
        _: &T,
        next: &mut Option<Timestamp>,
        context: &mut TriggerContext<'_>,
    ) -> Verdict {
        let last = context.window.last();
        if last <= context.watermark {
            return Verdict::Fire;
        }
        context.register_timer(last);
        if next.is_none() {
            self.schedule(Timestamp(at.0 - at.0 % self.0.0), next, context);
        }
        Verdict::Continue
    }

    fn on_event_time(
        &mut self,
        time: Timestamp,
        next: &mut Option<Timestamp>,
        context: &mut TriggerContext<'_>,
    ) -> Verdict {
        if time == context.window.last() {
            return Verdict::Fire;
        }
        if *next != Some(time) {
            return Verdict::Continue;
        }
        *next = None;
        self.schedule(time, next, context);
        Verdict::Fire
    }

    fn merge(&mut self, next: &mut Option<Timestamp>, other: Option<Timestamp>) {
        *next = earlier(*next, other);
    }

    fn on_merged(&mut self, next: &mut Option<Timestamp>, context: &mut TriggerContext<'_>) {
        if let Some(time) = *next {
            context.register_timer(time);
        }
    }

    fn check(&self) -> Result<()> {
        if self.0.0 > 0 {
            return Ok(());
        }
        Err(Error::configuration(format!("firings need a positive interval, not {}", self.0)))
    }

    fn name(&self) -> String {
        format!("every {}", self.0)
    }
}

/// Fires when a record differs by more than a threshold from the last one that fired; the first
/// record only sets the reference (SEMANTICS 35). Not for windows that merge.
#[derive(Clone, Copy, Debug)]
pub struct Delta<D, F> {
    threshold: D,
    difference: F,
}

impl<D, F> Delta<D, F> {
    /// Fires when `difference(reference, record)` is greater than `threshold`.
    pub const fn new(threshold: D, difference: F) -> Self {
        Self { threshold, difference }
    }
}

impl<T, D, F> Trigger<T> for Delta<D, F>
where
    T: Record,
    D: PartialOrd + Clone + Send + 'static,
    F: FnMut(&T, &T) -> D + Clone + Send + 'static,
{
    type State = Option<T>;
    const CAN_MERGE: bool = false;

    fn on_record(
        &mut self,
        _: Timestamp,
        record: &T,
        reference: &mut Option<T>,
        _: &mut TriggerContext<'_>,
    ) -> Verdict {
        let fires = match reference {
            None => false,
            Some(reference) if (self.difference)(reference, record) > self.threshold => true,
            Some(_) => return Verdict::Continue,
        };
        *reference = Some(record.clone());
        if fires { Verdict::Fire } else { Verdict::Continue }
    }

    fn merge(&mut self, _: &mut Option<T>, _: Option<T>) {}

    fn name(&self) -> String {
        "delta".to_owned()
    }
}

/// Fires as another trigger does, and forgets what has been emitted (SEMANTICS 26).
#[derive(Clone, Copy, Debug)]
pub struct Purging<I>(pub I);

/// A firing that also purges.
#[inline]
fn purging(verdict: Verdict) -> Verdict {
    if verdict.fires() { Verdict::FireAndPurge } else { verdict }
}

impl<T, I: Trigger<T>> Trigger<T> for Purging<I> {
    type State = I::State;
    const CAN_MERGE: bool = I::CAN_MERGE;
    const WANTS_CLOCK: bool = I::WANTS_CLOCK;
    const FIRES_AT_END_ALONE: bool = I::FIRES_AT_END_ALONE;

    #[inline]
    fn on_record(
        &mut self,
        at: Timestamp,
        record: &T,
        state: &mut I::State,
        context: &mut TriggerContext<'_>,
    ) -> Verdict {
        purging(self.0.on_record(at, record, state, context))
    }

    #[inline]
    fn on_event_time(
        &mut self,
        time: Timestamp,
        state: &mut I::State,
        context: &mut TriggerContext<'_>,
    ) -> Verdict {
        purging(self.0.on_event_time(time, state, context))
    }

    #[inline]
    fn on_processing_time(
        &mut self,
        time: Timestamp,
        state: &mut I::State,
        context: &mut TriggerContext<'_>,
    ) -> Verdict {
        purging(self.0.on_processing_time(time, state, context))
    }

    fn merge(&mut self, state: &mut I::State, other: I::State) {
        self.0.merge(state, other);
    }

    fn on_merged(&mut self, state: &mut I::State, context: &mut TriggerContext<'_>) {
        self.0.on_merged(state, context);
    }

    fn clear(&mut self, state: I::State, window: Window) {
        self.0.clear(state, window);
    }

    fn check(&self) -> Result<()> {
        self.0.check()
    }

    fn name(&self) -> String {
        format!("purging {}", self.0.name())
    }
}

/// The earlier of two times that may be set.
pub(super) fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}

/// Never fires: the default of global windows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Never;

impl<T> Trigger<T> for Never {
    type State = ();

    fn on_record(
        &mut self,
        _: Timestamp,
        _: &T,
        (): &mut (),
        _: &mut TriggerContext<'_>,
    ) -> Verdict {
        Verdict::Continue
    }

    fn merge(&mut self, (): &mut (), (): ()) {}

    fn name(&self) -> String {
        "never".to_owned()
    }
}

/// Fires once, when the input has ended (SEMANTICS 43).
#[derive(Clone, Copy, Debug, Default)]
pub struct EndOfStream;

impl<T> Trigger<T> for EndOfStream {
    type State = ();

    fn on_record(
        &mut self,
        _: Timestamp,
        _: &T,
        (): &mut (),
        context: &mut TriggerContext<'_>,
    ) -> Verdict {
        context.register_timer(Timestamp::MAX);
        Verdict::Continue
    }

    fn on_event_time(
        &mut self,
        time: Timestamp,
        (): &mut (),
        _: &mut TriggerContext<'_>,
    ) -> Verdict {
        if time == Timestamp::MAX { Verdict::Fire } else { Verdict::Continue }
    }

    fn merge(&mut self, (): &mut (), (): ()) {}

    fn on_merged(&mut self, (): &mut (), context: &mut TriggerContext<'_>) {
        context.register_timer(Timestamp::MAX);
    }

    fn name(&self) -> String {
        "end of stream".to_owned()
    }
}
