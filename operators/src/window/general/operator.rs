//! The general window operator as a step of a chain.

use tailwater_core::{Error, Key, Record, Result, Span, Stamped, Timestamp};
use tailwater_state::keyed::{Domain, KeyedState};
use tailwater_state::{Drain, SnapshotReader, SnapshotWriter, TrackedState};

use super::slots::Slots;
use super::{Assigner, Contents, Evictor, GeneralWindows, Trigger};
use crate::window::Fired;
use crate::{Collect, Description, Operator, OperatorContext};

/// Timers of the wall clock that fire between two looks of the task at what else there is to do.
const TIMERS_MAX: usize = 256;

impl<K, T, F, A, R, E, C> GeneralWindows<K, T, F, A, R, E, C>
where
    K: Key,
    T: Record,
    A: Assigner<T>,
    R: Trigger<T>,
    E: Evictor<T>,
    C: Contents<K, T, E>,
{
    /// Refuses what makes no windows or cannot work together; opening them does so too.
    ///
    /// # Errors
    /// When the windows cannot be as configured.
    pub fn check(&self) -> Result<()> {
        self.assigner.check()?;
        self.trigger.check()?;
        if A::MERGES && !R::CAN_MERGE {
            return Err(Error::configuration(format!(
                "the trigger `{}` of `{}` does not work with windows that merge; use one that \
                 does, or windows of a fixed size",
                self.trigger.name(),
                self.name
            )));
        }
        if self.allowed_lateness < Span::ZERO {
            return Err(Error::configuration(format!(
                "the allowed lateness of `{}` must not be negative: {}",
                self.name, self.allowed_lateness
            )));
        }
        if A::TIME == Domain::Processing && self.allowed_lateness > Span::ZERO {
            return Err(Error::configuration(format!(
                "nothing is late for the windows of `{}`, which go by the wall clock: leave the \
                 allowed lateness out",
                self.name
            )));
        }
        if A::MERGES && size_of::<C::WindowState>() > 0 {
            return Err(Error::configuration(format!(
                "the windows of `{}` merge, and so can have no state of their own: keep it for \
                 the key",
                self.name
            )));
        }
        Ok(())
    }
}

impl<K, T, F, A, R, E, C> Operator for GeneralWindows<K, T, F, A, R, E, C>
where
    K: Key,
    T: Record,
    F: FnMut(&T) -> K + Send + 'static,
    A: Assigner<T>,
    R: Trigger<T>,
    E: Evictor<T>,
    C: Contents<K, T, E>,
{
    type In = T;
    type Out = Fired<C::Output, T>;

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.check()?;
        self.late_dropped = context.counters.register("late_records_dropped");
        if A::TELLS_GAPS {
            self.outside = context.counters.register("records_outside_windows");
        }
        self.slots = Slots::new(&context.state);
        self.deterministic = context.deterministic;
        self.key_state = Some(C::KeyState::new(&context.state));
        Ok(())
    }

    #[inline]
    fn on_record(&mut self, at: Timestamp, value: T, out: &mut impl Collect<Self::Out>) {
        self.take_in(&[Stamped { at, value }], out);
    }

    fn on_batch(&mut self, batch: &mut Vec<Stamped<T>>, out: &mut impl Collect<Self::Out>) {
        self.take_in(batch, out);
        batch.clear();
    }

    fn on_sorted(&mut self, batch: &mut Vec<Stamped<T>>, out: &mut impl Collect<Self::Out>) {
        if Self::FIRES_IN_ORDER {
            self.take_in_order(batch, out);
        } else {
            self.on_batch(batch, out);
        }
    }

    // SEMANTICS 89
    fn on_key_end(&mut self, out: &mut impl Collect<Self::Out>) {
        self.fire_all_grown(out);
        self.key_ends = true;
        self.on_watermark(Timestamp::MAX, out);
    }

    fn on_watermark(&mut self, watermark: Timestamp, out: &mut impl Collect<Self::Out>) {
        if self.pending.is_none() && watermark <= self.watermark {
            // Told again after a restore. It is no advance, so a timer that was set behind it goes
            // on waiting for the next one (SEMANTICS 47).
            return out.watermark(watermark);
        }
        if !self.deterministic {
            self.watermark = self.watermark.max(watermark);
        }
        self.pending = Some(watermark);
        self.resume(out);
    }

    #[inline]
    fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    fn resume(&mut self, out: &mut impl Collect<Self::Out>) {
        let Some(watermark) = self.pending else { return };
        while let Some(wake_up) = self.next_due(Domain::Event, watermark) {
            if !out.has_room() {
                return;
            }
            // Where a step of the watermark depends on the number of cores, none is seen.
            self.watermark = self.watermark.max(wake_up.time);
            self.wake(Domain::Event, wake_up, out);
        }
        self.watermark = self.watermark.max(watermark);
        self.pending = None;
        if std::mem::take(&mut self.key_ends) {
            self.watermark = Timestamp::MIN;
            return;
        }
        out.watermark(watermark);
    }

    fn wants_clock(&self) -> bool {
        Self::WANTS_CLOCK
    }

    fn on_clock(&mut self, now: Timestamp, out: &mut impl Collect<Self::Out>) {
        self.clock = self.clock.max(now);
        // A window ends when the clock has passed its last instant: records that come at that very
        // instant still belong to it.
        let passed = self.clock - Span(1);
        for _ in 0..TIMERS_MAX {
            if !out.has_room() {
                break;
            }
            let Some(wake_up) = self.next_due(Domain::Processing, passed) else { break };
            self.wake(Domain::Processing, wake_up, out);
        }
    }

    fn snapshot(&mut self, into: &mut SnapshotWriter) -> Result<()> {
        self.write(into)
    }

    fn drain(&mut self, into: &mut Drain) -> Result<bool> {
        let key_state = self.key_state.as_mut().expect("an operator is opened first");
        Ok(self.slots.entries.drain(into)? && key_state.drain(into)?)
    }

    fn restore(&mut self, from: &mut SnapshotReader) -> Result<()> {
        self.read(from)
    }

    fn describe(&self, into: &mut Vec<Description>) {
        let mut detail = self.assigner.name() + " in general";
        let lateness = (self.allowed_lateness > Span::ZERO)
            .then(|| format!("allowed lateness {}", self.allowed_lateness));
        let parts = [self.trigger.name(), self.evictor.name(), self.contents.name()];
        for part in parts.into_iter().chain(lateness).filter(|part| !part.is_empty()) {
            detail.push_str(", ");
            detail.push_str(&part);
        }
        into.push(Description::stateful(&self.name, detail));
    }
}
