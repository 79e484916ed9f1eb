//! The general window operator: any assigner, trigger, evictor and contents, as Flink's.
//!
//! Aligned windows with the default trigger have a faster operator of their own; this one is for
//! the rest: sessions, global windows, triggers, evictors, and window functions that see all
//! records. The four parts are type parameters, so that nothing is `dyn` on a record's way:
//!
//! ```text
//! record -> Assigner -> windows -> Contents (accumulator or list) -> Trigger -> Evictor -> results
//! ```
//!
//! The rules are SEMANTICS 1-7, 9, 20-44 and, for the timers inside, 45-47. The conformance scripts
//! in `tests/conformance` agree with Flink's output without exception. Where neither says anything:
//!
//! * Merging is always the union of windows that overlap or touch, also for an assigner of the
//!   user's. A merged window can then not be over already, which Flink has to check for
//!   (SEMANTICS 42).
//! * A record whose session equals one that has grown to the same bounds joins it. (Flink's set of
//!   merging windows forgets there where it keeps the session's state.)
//! * Timers that a trigger leaves behind are dropped with their window.
//! * Windows with timers at the same time fire in the order in which they came to be; after a
//!   restore on another number of cores, in that order for each of the old cores' windows.

mod assigner;
mod contents;
mod evictor;
mod slots;
mod snapshot;
mod timers;
mod trigger;

#[cfg(test)]
mod tests;

use std::marker::PhantomData;

use tailwater_core::{Counter, Error, Key, Record, Result, Span, Timestamp, stable_hash};
use tailwater_state::{Drain, SnapshotReader, SnapshotWriter, TrackedState};

pub use assigner::{Assigner, DynamicSession, Global};
pub use contents::{Contents, Incremental, Listed};
pub use evictor::{CountEvictor, DeltaEvictor, Evict, Evictor, NoEvictor, TimeEvictor};
pub use trigger::{
    Continuous, Count, Delta, EndOfStream, EventTime, Never, Purging, Trigger, TriggerContext,
    Verdict,
};

use crate::blame::blame;
use crate::window::{Fired, LateRecords, Session, Window};
use crate::{Aggregator, Collect, Description, Operator, OperatorContext};
use slots::Slots;
use timers::{WakeUp, WakeUps};

/// The windows of a key, for any assigner `A`, trigger `R`, evictor `E` and contents `C`; `F` reads
/// the key.
///
/// ```
/// use tailwater_core::Timestamp;
/// use tailwater_operators::Fired;
/// use tailwater_operators::testing::Harness;
/// use tailwater_operators::window::general::{
///     Count, GeneralWindows, Global, Listed, NoEvictor, Purging,
/// };
///
/// let pairs = GeneralWindows::new(
///     |number: &u64| number % 2,
///     Global,
///     Purging(Count(2)),
///     NoEvictor,
///     Listed::new(|_: &u64, _, numbers| [numbers[0].value + numbers[1].value]),
/// );
/// let mut harness = Harness::new(pairs)?;
/// for number in 1..=4 {
///     harness.record(Timestamp::NONE, number);
/// }
/// assert_eq!(harness.take_results(), [4, 6].map(Fired::Result));
/// # Ok::<(), tailwater_core::Error>(())
/// ```
pub struct GeneralWindows<K, T, F, A, R: Trigger<T>, E, C: Contents<K, T, E>> {
    name: String,
    key_of: F,
    assigner: A,
    trigger: R,
    evictor: E,
    contents: C,
    allowed_lateness: Span,
    late_records: LateRecords,
    late_dropped: Counter,
    watermark: Timestamp,
    /// A watermark whose firings are not all out.
    pending: Option<Timestamp>,
    slots: Slots<K, C::Kept, R::State>,
    wake_ups: WakeUps,
    /// The windows of the record at hand; empty between records, kept for its allocation.
    assigned: Vec<Window>,
    /// The windows that the record at hand merges; as above.
    merging: Vec<u32>,
    records: PhantomData<fn(T)>,
}

impl<K, T, F, G> GeneralWindows<K, T, F, Session, EventTime, NoEvictor, Incremental<G>>
where
    K: Key,
    T: Record,
    F: FnMut(&T) -> K + Clone + Send + 'static,
    G: Aggregator<T>,
{
    /// Sessions of each key, aggregated.
    pub fn sessions(key_of: F, session: Session, aggregator: G) -> Self {
        Self::new(key_of, session, EventTime, NoEvictor, Incremental::new(aggregator))
    }
}

impl<K, T, F, H, G> GeneralWindows<K, T, F, DynamicSession<H>, EventTime, NoEvictor, Incremental<G>>
where
    K: Key,
    T: Record,
    F: FnMut(&T) -> K + Clone + Send + 'static,
    H: FnMut(&T) -> Span + Clone + Send + 'static,
    G: Aggregator<T>,
{
    /// Sessions of each key whose gap `gap_of` reads from each record, aggregated.
    pub fn dynamic_sessions(key_of: F, gap_of: H, aggregator: G) -> Self {
        let sessions = DynamicSession::new(gap_of);
        Self::new(key_of, sessions, EventTime, NoEvictor, Incremental::new(aggregator))
    }
}

impl<K, T, F, A, R, E, C> GeneralWindows<K, T, F, A, R, E, C>
where
    R: Trigger<T>,
    C: Contents<K, T, E>,
{
    /// Windows of each key, from their parts; without allowed lateness, and dropping late records,
    /// until told otherwise.
    pub fn new(key_of: F, assigner: A, trigger: R, evictor: E, contents: C) -> Self {
        Self {
            name: "window".to_owned(),
            key_of,
            assigner,
            trigger,
            evictor,
            contents,
            allowed_lateness: Span::ZERO,
            late_records: LateRecords::Drop,
            late_dropped: Counter::default(),
            watermark: Timestamp::MIN,
            pending: None,
            slots: Slots::default(),
            wake_ups: WakeUps::default(),
            assigned: Vec::new(),
            merging: Vec::new(),
            records: PhantomData,
        }
    }

    /// The same windows under a name of the user's.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Keeps windows for so long after their end; records that come by then make them fire again.
    #[must_use]
    pub fn allowed_lateness(mut self, span: Span) -> Self {
        self.allowed_lateness = span;
        self
    }

    /// What happens to records that come too late even so.
    #[must_use]
    pub fn late_records(mut self, late_records: LateRecords) -> Self {
        self.late_records = late_records;
        self
    }
}

/// A prototype is cloned to each core: its parts, not what it has seen.
impl<K, T, F, A, R, E, C> Clone for GeneralWindows<K, T, F, A, R, E, C>
where
    F: Clone,
    A: Clone,
    R: Trigger<T>,
    E: Clone,
    C: Contents<K, T, E>,
{
    fn clone(&self) -> Self {
        Self::new(
            self.key_of.clone(),
            self.assigner.clone(),
            self.trigger.clone(),
            self.evictor.clone(),
            self.contents.clone(),
        )
        .named(&self.name)
        .allowed_lateness(self.allowed_lateness)
        .late_records(self.late_records)
    }
}

impl<K, T, F, A, R, E, C> GeneralWindows<K, T, F, A, R, E, C>
where
    K: Key,
    T: Record,
    A: Assigner<T>,
    R: Trigger<T>,
    E: Evictor<T>,
    C: Contents<K, T, E>,
{
    /// What a window is found by: sessions change their bounds, so they are found by the key alone.
    fn hash(key: &K, window: Window) -> u64 {
        if A::MERGES { stable_hash(key) } else { stable_hash(&(key, window)) }
    }

    /// The slot that a record in `window` goes to, found, made or merged; `None` where it is too
    /// late.
    #[inline]
    fn slot_for(&mut self, key: &K, window: Window, at: Timestamp) -> Option<u32> {
        let hash = Self::hash(key, window);
        let found = if A::MERGES {
            self.find_merging(hash, key, window, at)
        } else {
            let mut of_key = self.slots.chain(hash).filter(|(_, slot)| slot.key == *key);
            of_key.find(|(_, slot)| slot.window == window).map(|(slot, _)| slot)
        };
        if found.is_some() {
            return found;
        }
        // Only a new window can be late: those that are over have been cleaned up.
        let late = window.cleanup(self.allowed_lateness) <= self.watermark;
        (!late).then(|| self.slots.insert(hash, key.clone(), window))
    }

    /// The window of the key that `window`, of a record at `at`, is part of after merging; `None`
    /// where there is nothing to merge with.
    #[inline]
    fn find_merging(&mut self, hash: u64, key: &K, window: Window, at: Timestamp) -> Option<u32> {
        let mut of_key = self.slots.chain(hash).filter(|(_, slot)| slot.key == *key);
        let (mut first, found) = of_key.find(|(_, slot)| touch(slot.window, window))?;
        let mut union = cover(found.window, window);
        if union == found.window {
            return Some(first);
        }
        for (slot, other) in of_key.filter(|(_, slot)| touch(slot.window, window)) {
            union = cover(union, other.window);
            self.merging.push(slot);
        }
        if !self.merging.is_empty() {
            first = self.merge_into_earliest(first, at);
        }
        let slot = self.slots.touch(first);
        slot.window = union;
        slot.timers.clear();
        let mut context =
            TriggerContext { window: union, watermark: self.watermark, timers: &mut slot.timers };
        blame(&self.name, at, || self.trigger.on_merged(&mut slot.state, &mut context));
        Some(first)
    }

    /// Merges `slot` and those in `merging`, on behalf of a record at `at`, into the earliest of
    /// them: so what comes out does not depend on where windows lie.
    #[cold]
    fn merge_into_earliest(&mut self, slot: u32, at: Timestamp) -> u32 {
        self.merging.push(slot);
        self.merging.sort_unstable_by_key(|&slot| self.slots[slot].window.start);
        let earliest = self.merging[0];
        for other in self.merging.drain(..).skip(1) {
            let other = self.slots.remove(other);
            let slot = self.slots.touch(earliest);
            blame(&self.name, at, || {
                self.contents.merge(&mut slot.kept, other.kept);
                self.trigger.merge(&mut slot.state, other.state);
            });
        }
        earliest
    }

    /// Puts a record into a window and does what the trigger says.
    #[inline]
    fn add(
        &mut self,
        slot: u32,
        at: Timestamp,
        record: &T,
        out: &mut impl Collect<Fired<C::Output, T>>,
    ) {
        let entry = self.slots.touch(slot);
        let mut context = TriggerContext {
            window: entry.window,
            watermark: self.watermark,
            timers: &mut entry.timers,
        };
        let verdict = blame(&self.name, at, || {
            self.contents.add(&mut entry.kept, at, record);
            self.trigger.on_record(at, record, &mut entry.state, &mut context)
        });
        self.obey(verdict, slot, at, out);
        self.set_alarm(slot);
    }

    /// Emits and purges as the trigger says, on behalf of a record or timer at `at`.
    #[inline]
    fn obey(
        &mut self,
        verdict: Verdict,
        slot: u32,
        at: Timestamp,
        out: &mut impl Collect<Fired<C::Output, T>>,
    ) {
        let entry = self.slots.touch(slot);
        if verdict.fires() && entry.kept.is_some() {
            let Self { contents, evictor, .. } = self;
            let mut results = blame(&self.name, at, || {
                contents.fire(&entry.key, entry.window, &mut entry.kept, evictor).into_iter()
            });
            let last = entry.window.last();
            while let Some(result) = blame(&self.name, at, || results.next()) {
                out.record(last, Fired::Result(result));
            }
        }
        if verdict.purges() {
            entry.kept = None;
        }
    }

    /// Sees to it that the window is woken when its first timer is due.
    #[inline]
    fn set_alarm(&mut self, slot: u32) {
        let entry = self.slots.untracked(slot);
        let Some(time) = entry.earliest(self.allowed_lateness) else { return };
        if entry.wake_up.is_none_or(|known| time < known) {
            entry.wake_up = Some(time);
            self.wake_ups.push(WakeUp { time, number: entry.number, slot });
        }
    }

    /// Fires the timer of the first wake-up, which is due, and cleans the window up where it is
    /// time.
    fn wake(&mut self, wake_up: WakeUp, out: &mut impl Collect<Fired<C::Output, T>>) {
        let WakeUp { time, number, slot } = wake_up;
        let entry = self.slots.touch(slot);
        debug_assert_eq!(entry.number, number);
        entry.timers.remove(time);
        let mut context = TriggerContext {
            window: entry.window,
            watermark: self.watermark,
            timers: &mut entry.timers,
        };
        let verdict = blame(&self.name, time, || {
            self.trigger.on_event_time(time, &mut entry.state, &mut context)
        });
        self.obey(verdict, slot, time, out);
        let entry = self.slots.untracked(slot);
        if entry.cleanup(self.allowed_lateness) == Some(time) {
            self.wake_ups.replace_first(None);
            let removed = self.slots.remove(slot);
            blame(&self.name, time, || self.trigger.clear(removed.state, removed.window));
        } else {
            entry.wake_up = entry.earliest(self.allowed_lateness);
            self.wake_ups.replace_first(entry.wake_up);
        }
    }

    /// The first wake-up that is due and whose window has something to do at just that time. Stale
    /// ones are dropped on the way, early ones are put off.
    fn next_due(&mut self, watermark: Timestamp) -> Option<WakeUp> {
        while let Some(wake_up) = self.wake_ups.due(watermark) {
            let current = self
                .slots
                .get(wake_up.slot)
                .filter(|slot| slot.number == wake_up.number && slot.wake_up == Some(wake_up.time));
            let earliest = match current {
                None => None,
                Some(slot) => {
                    let earliest = slot.earliest(self.allowed_lateness);
                    self.slots.untracked(wake_up.slot).wake_up = earliest;
                    earliest
                }
            };
            if earliest == Some(wake_up.time) {
                return Some(wake_up);
            }
            self.wake_ups.replace_first(earliest);
        }
        None
    }
}

/// Windows that share an instant, or where one begins when the other ends (SEMANTICS 6).
#[inline]
fn touch(a: Window, b: Window) -> bool {
    a.start <= b.end && a.end >= b.start
}

/// The window from the start of the earlier to the end of the later.
#[inline]
fn cover(a: Window, b: Window) -> Window {
    Window { start: a.start.min(b.start), end: a.end.max(b.end) }
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
    C::Output: 'static,
{
    type In = T;
    type Out = Fired<C::Output, T>;

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
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
        self.late_dropped = context.counters.register("late_records_dropped");
        self.slots = Slots::new(&context.state);
        Ok(())
    }

    #[inline]
    fn on_record(&mut self, at: Timestamp, value: T, out: &mut impl Collect<Self::Out>) {
        if A::NEEDS_TIME && !at.is_some() {
            return out.fail(Error::configuration(format!(
                "operator `{}` got a record without a timestamp: give the source an \
                 `.event_time(..)`, or use windows that need no time",
                self.name
            )));
        }
        let mut assigned = std::mem::take(&mut self.assigned);
        let (key, outcome) = blame(&self.name, at, || {
            ((self.key_of)(&value), self.assigner.assign(at, &value, &mut assigned))
        });
        if let Err(error) = outcome {
            return out.fail(Error::user(&self.name, at, error));
        }
        let mut taken = false;
        for &window in &assigned {
            if let Some(slot) = self.slot_for(&key, window, at) {
                taken = true;
                self.add(slot, at, &value, out);
            }
        }
        assigned.clear();
        self.assigned = assigned;
        // A record that falls between windows is not late for that alone (SEMANTICS 28).
        if !taken && at + self.allowed_lateness <= self.watermark {
            match self.late_records {
                LateRecords::Drop => self.late_dropped.add(1),
                LateRecords::Emit => out.record(at, Fired::Late(value)),
            }
        }
    }

    fn on_watermark(&mut self, watermark: Timestamp, out: &mut impl Collect<Self::Out>) {
        self.watermark = self.watermark.max(watermark);
        self.pending = Some(watermark);
        self.resume(out);
    }

    #[inline]
    fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    fn resume(&mut self, out: &mut impl Collect<Self::Out>) {
        let Some(watermark) = self.pending else { return };
        while let Some(wake_up) = self.next_due(watermark) {
            if !out.has_room() {
                return;
            }
            self.wake(wake_up, out);
        }
        self.pending = None;
        out.watermark(watermark);
    }

    fn snapshot(&mut self, into: &mut SnapshotWriter) -> Result<()> {
        self.write(into)
    }

    fn drain(&mut self, into: &mut Drain) -> Result<bool> {
        self.slots.entries.drain(into)
    }

    fn restore(&mut self, from: &mut SnapshotReader) -> Result<()> {
        self.read(from)
    }

    fn describe(&self, into: &mut Vec<Description>) {
        let mut detail = self.assigner.name();
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
