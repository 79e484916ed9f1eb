//! When a window emits: triggers, what they are told and what they answer.

use tailwater_core::{Record, Result, Timestamp};
use tailwater_state::keyed::Domain;

use super::timers::{Each, TimerSet};
use crate::window::Window;

/// What a trigger decides about its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing happens.
    Continue,
    /// The window emits and keeps its contents.
    Fire,
    /// The window forgets its contents without emitting; trigger state and timers stay
    /// (SEMANTICS 30).
    Purge,
    /// The window emits, then forgets its contents.
    FireAndPurge,
}

impl Verdict {
    /// Whether the window emits.
    #[inline]
    pub fn fires(self) -> bool {
        matches!(self, Self::Fire | Self::FireAndPurge)
    }

    /// Whether the window forgets its contents.
    #[inline]
    pub fn purges(self) -> bool {
        matches!(self, Self::Purge | Self::FireAndPurge)
    }
}

/// What a trigger sees of its window, and where it sets timers.
#[derive(Debug)]
pub struct TriggerContext<'a> {
    pub(crate) window: Window,
    pub(crate) watermark: Timestamp,
    pub(crate) clock: Timestamp,
    pub(crate) domain: Domain,
    pub(crate) timers: &'a mut Each<TimerSet>,
}

impl TriggerContext<'_> {
    /// The window.
    #[inline]
    pub fn window(&self) -> Window {
        self.window
    }

    /// The watermark; in a timer the new one, not the timer's time (SEMANTICS 22).
    #[inline]
    pub fn watermark(&self) -> Timestamp {
        self.watermark
    }

    /// The wall clock, as of this round of the core.
    #[inline]
    pub fn processing_time(&self) -> Timestamp {
        self.clock
    }

    /// The clock that the window goes by.
    #[inline]
    pub fn domain(&self) -> Domain {
        self.domain
    }

    /// Asks for [`Trigger::on_event_time`] when the watermark reaches `time`: once, however often
    /// it is asked for. A time that the watermark has passed is called at its next rise, or, when
    /// asked for in a timer, in the same pass (SEMANTICS 45-47).
    #[inline]
    pub fn register_timer(&mut self, time: Timestamp) {
        self.timers[Domain::Event].insert(time);
    }

    /// Takes a timer back; that there is none is no error.
    #[inline]
    pub fn delete_timer(&mut self, time: Timestamp) {
        self.timers[Domain::Event].remove(time);
    }

    /// Asks for [`Trigger::on_processing_time`] when the wall clock has passed `time`: once,
    /// however often it is asked for. What waits when the input ends is dropped (SEMANTICS 49).
    #[inline]
    pub fn register_processing_timer(&mut self, time: Timestamp) {
        self.timers[Domain::Processing].insert(time);
    }

    /// Takes a timer of the wall clock back; that there is none is no error.
    #[inline]
    pub fn delete_processing_timer(&mut self, time: Timestamp) {
        self.timers[Domain::Processing].remove(time);
    }
}

/// Decides when a window emits. It replaces the default trigger of its windows (SEMANTICS 31).
///
/// What a trigger knows about a window is its `State`: part of the snapshot, and, with the timers,
/// dropped when the window is cleaned up.
pub trait Trigger<T>: Clone + Send + 'static {
    /// What is kept for each key and window.
    type State: Record + Default;

    /// Whether the trigger works with windows that merge; others are refused when the job starts.
    const CAN_MERGE: bool = true;

    /// Whether the trigger sets timers of the wall clock, or reads it.
    const WANTS_CLOCK: bool = false;

    /// Whether all that the trigger does, where no record is late, is to fire once at the end of
    /// the window.
    const FIRES_AT_END_ALONE: bool = false;

    /// A record has been added to the window.
    fn on_record(
        &mut self,
        at: Timestamp,
        record: &T,
        state: &mut Self::State,
        context: &mut TriggerContext<'_>,
    ) -> Verdict;

    /// The watermark has reached a timer of the trigger's or the window's cleanup time.
    fn on_event_time(
        &mut self,
        time: Timestamp,
        state: &mut Self::State,
        context: &mut TriggerContext<'_>,
    ) -> Verdict {
        let _ = (time, state, context);
        Verdict::Continue
    }

    /// The wall clock has passed a timer of the trigger's or, where windows go by it, the window's
    /// cleanup time.
    fn on_processing_time(
        &mut self,
        time: Timestamp,
        state: &mut Self::State,
        context: &mut TriggerContext<'_>,
    ) -> Verdict {
        let _ = (time, state, context);
        Verdict::Continue
    }

    /// Takes in what was known about a window that grows together with this one.
    fn merge(&mut self, state: &mut Self::State, other: Self::State);

    /// The window has changed its bounds by merging. Timers are gone: the trigger sets those that
    /// the new window needs. The record that caused it follows in
    /// [`on_record`](Trigger::on_record).
    fn on_merged(&mut self, state: &mut Self::State, context: &mut TriggerContext<'_>) {
        let _ = (state, context);
    }

    /// The window is cleaned up, after its last firing.
    fn clear(&mut self, state: Self::State, window: Window) {
        let _ = (state, window);
    }

    /// Refuses what cannot work, before the job runs.
    ///
    /// # Errors
    /// When the trigger cannot run as configured.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// A short name for `explain`.
    fn name(&self) -> String;
}
