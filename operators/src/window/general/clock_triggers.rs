//! The triggers of the wall clock: at the end of the window, at intervals, after a silence.

use tailwater_core::{Error, Result, Span, Timestamp};
use tailwater_state::keyed::Domain;

use super::trigger::{Trigger, TriggerContext, Verdict};
use super::triggers::earlier;
use crate::window::Window;

/// Fires when the wall clock passes the end of the window. The default of windows that go by it.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessingTime;

impl<T> Trigger<T> for ProcessingTime {
    type State = ();
    const WANTS_CLOCK: bool = true;

    #[inline]
    fn on_record(
        &mut self,
        _: Timestamp,
        _: &T,
        (): &mut (),
        context: &mut TriggerContext<'_>,
    ) -> Verdict {
        context.register_processing_timer(context.window().last());
        Verdict::Continue
    }

    #[inline]
    fn on_processing_time(
        &mut self,
        time: Timestamp,
        (): &mut (),
        context: &mut TriggerContext<'_>,
    ) -> Verdict {
        if time == context.window().last() { Verdict::Fire } else { Verdict::Continue }
    }

    fn merge(&mut self, (): &mut (), (): ()) {}

    fn on_merged(&mut self, (): &mut (), context: &mut TriggerContext<'_>) {
        context.register_processing_timer(context.window().last());
    }

    fn name(&self) -> String {
        "processing time".to_owned()
    }
}

/// Fires at multiples of an interval of the wall clock from the first record on; windows that go by
/// the wall clock fire at their end, too.
#[derive(Clone, Copy, Debug)]
pub struct ContinuousProcessing(pub Span);

impl ContinuousProcessing {
    fn schedule(
        &self,
        mark: Timestamp,
        next: &mut Option<Timestamp>,
        context: &mut TriggerContext<'_>,
    ) {
        let mut time = mark + self.0;
        if context.domain() == Domain::Processing {
            let last = context.window().last();
            if mark >= last {
                return;
            }
            time = time.min(last);
        }
        *next = Some(time);
        context.register_processing_timer(time);
    }
}

impl<T> Trigger<T> for ContinuousProcessing {
    type State = Option<Timestamp>;
    const WANTS_CLOCK: bool = true;

    fn on_record(
        &mut self,
        _: Timestamp,
        _: &T,
        next: &mut Option<Timestamp>,
        context: &mut TriggerContext<'_>,
    ) -> Verdict {
        if next.is_none() {
            let now = context.processing_time();
            self.schedule(Timestamp(now.0 - now.0.rem_euclid(self.0.0)), next, context);
        }
        Verdict::Continue
    }

    fn on_processing_time(
        &mut self,
        time: Timestamp,
        next: &mut Option<Timestamp>,
        context: &mut TriggerContext<'_>,
    ) -> Verdict {
        if *next != Some(time) {
            return Verdict::Continue;
        }
        *next = None;
        // A clock that jumped fires once for all the marks behind it.
        let now = context.processing_time().max(time);
        let mark = Timestamp(now.0 - (now.0 - time.0) % self.0.0);
        self.schedule(mark, next, context);
        Verdict::Fire
    }

    fn merge(&mut self, next: &mut Option<Timestamp>, other: Option<Timestamp>) {
        *next = earlier(*next, other);
    }

    fn on_merged(&mut self, next: &mut Option<Timestamp>, context: &mut TriggerContext<'_>) {
        if let Some(time) = *next {
            context.register_processing_timer(time);
        }
    }

    fn check(&self) -> Result<()> {
        positive(self.0, "firings")
    }

    fn name(&self) -> String {
        format!("every {} by the wall clock", self.0)
    }
}

/// Fires as another trigger does, and when its window has waited for so long by the wall clock.
/// What the inner trigger counted starts anew after each firing.
#[derive(Clone, Copy, Debug)]
pub struct Timeout<I> {
    inner: I,
    after: Span,
    restarts: bool,
    keeps_state: bool,
}

impl<I> Timeout<I> {
    /// Fires as `inner` does, and `after` the first record that it did not fire for.
    pub const fn of(inner: I, after: Span) -> Self {
        Self { inner, after, restarts: false, keeps_state: false }
    }

    /// Waits anew with each record: fires when none has come for so long.
    #[must_use]
    pub const fn restarting(mut self) -> Self {
        self.restarts = true;
        self
    }

    /// Lets the inner trigger count on after a timeout.
    #[must_use]
    pub const fn keeping_state(mut self) -> Self {
        self.keeps_state = true;
        self
    }

    /// After a firing, nothing is waited for.
    fn settle<S: Default>(
        &self,
        verdict: Verdict,
        (due, state): &mut (Option<Timestamp>, S),
        context: &mut TriggerContext<'_>,
    ) {
        if verdict.fires() {
            if let Some(due) = due.take() {
                context.delete_processing_timer(due);
            }
            *state = S::default();
        }
    }
}

impl<T, I: Trigger<T>> Trigger<T> for Timeout<I> {
    type State = (Option<Timestamp>, I::State);
    const CAN_MERGE: bool = I::CAN_MERGE;
    const WANTS_CLOCK: bool = true;

    fn on_record(
        &mut self,
        at: Timestamp,
        record: &T,
        state: &mut Self::State,
        context: &mut TriggerContext<'_>,
    ) -> Verdict {
        let verdict = self.inner.on_record(at, record, &mut state.1, context);
        if verdict.fires() {
            self.settle(verdict, state, context);
            return verdict;
        }
        if self.restarts
            && let Some(due) = state.0.take()
        {
            context.delete_processing_timer(due);
        }
        if state.0.is_none() {
            let due = context.processing_time() + self.after;
            state.0 = Some(due);
            context.register_processing_timer(due);
        }
        verdict
    }

    fn on_event_time(
        &mut self,
        time: Timestamp,
        state: &mut Self::State,
        context: &mut TriggerContext<'_>,
    ) -> Verdict {
        let verdict = self.inner.on_event_time(time, &mut state.1, context);
        self.settle(verdict, state, context);
        verdict
    }

    fn on_processing_time(
        &mut self,
        time: Timestamp,
        state: &mut Self::State,
        context: &mut TriggerContext<'_>,
    ) -> Verdict {
        let verdict = self.inner.on_processing_time(time, &mut state.1, context);
        self.settle(verdict, state, context);
        if state.0 != Some(time) {
            return verdict;
        }
        state.0 = None;
        if !self.keeps_state {
            state.1 = I::State::default();
        }
        if verdict.purges() { Verdict::FireAndPurge } else { Verdict::Fire }
    }

    fn merge(&mut self, state: &mut Self::State, other: Self::State) {
        state.0 = earlier(state.0, other.0);
        self.inner.merge(&mut state.1, other.1);
    }

    fn on_merged(&mut self, state: &mut Self::State, context: &mut TriggerContext<'_>) {
        if let Some(due) = state.0 {
            context.register_processing_timer(due);
        }
        self.inner.on_merged(&mut state.1, context);
    }

    fn clear(&mut self, state: Self::State, window: Window) {
        self.inner.clear(state.1, window);
    }

    fn check(&self) -> Result<()> {
        positive(self.after, "a timeout")?;
        self.inner.check()
    }

    fn name(&self) -> String {
        format!("{} or after {}", self.inner.name(), self.after)
    }
}

fn positive(span: Span, whose: &str) -> Result<()> {
    if span.0 > 0 {
        return Ok(());
    }
    Err(Error::configuration(format!("{whose} by the wall clock need a positive span, not {span}")))
}
