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
mod clock_triggers;
mod contents;
mod evictor;
mod firing;
mod function;
mod operator;
mod records;
mod sessions;
mod slots;
mod snapshot;
mod sorted;
mod timers;
mod trigger;
mod triggers;

#[cfg(test)]
mod tests;

use std::marker::PhantomData;

use tailwater_core::{Counter, Key, Record, Span, Timestamp};

pub use assigner::{Assigner, ByClock, Cumulative, DynamicSession, Global};
pub use clock_triggers::{ContinuousProcessing, ProcessingTime, Timeout};
pub use contents::{Contents, Firing, Folded, Incremental, Keep, List, Listed, Processed};
pub use evictor::{CountEvictor, DeltaEvictor, Evict, Evictor, NoEvictor, TimeEvictor};
pub use function::{WindowContext, WindowProcess};
pub use sessions::{Bars, SessionBars, Sessions, TradingSessions};
pub use trigger::{Trigger, TriggerContext, Verdict};
pub use triggers::{Continuous, Count, Delta, EndOfStream, EventTime, Never, Purging};

use crate::Aggregator;
use crate::window::{LateRecords, Session, Window};
use records::Group;
use slots::Slots;
use sorted::Growing;
use timers::{Each, WakeUps};

/// What the wall clock shows before it was told.
const EPOCH: Timestamp = Timestamp(0);

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
pub struct GeneralWindows<K: Key, T, F, A, R: Trigger<T>, E, C: Contents<K, T, E>> {
    name: String,
    key_of: F,
    assigner: A,
    trigger: R,
    evictor: E,
    contents: C,
    allowed_lateness: Span,
    late_records: LateRecords,
    late_dropped: Counter,
    outside: Counter,
    watermark: Timestamp,
    /// The wall clock, as of this round.
    clock: Timestamp,
    /// A watermark whose firings are not all out.
    pending: Option<Timestamp>,
    /// What comes does not depend on the number of cores, and a watermark's step does.
    deterministic: bool,
    slots: Slots<K, C::Kept, (R::State, C::WindowState)>,
    /// In batch mode, the open session of the key that is being worked off.
    growing: Vec<Growing<K, C::Kept>>,
    /// In batch mode: what fires is all that a key has, and no watermark goes with it.
    key_ends: bool,
    /// What is known of keys; there once the operator is open.
    key_state: Option<C::KeyState>,
    wake_ups: Each<WakeUps>,
    /// The results of the firing at hand; empty between firings, kept for its allocation.
    results: Vec<C::Output>,
    /// The records at hand.
    group: Group<K>,
    /// Where time alone tells the window, that of the record before.
    last_window: Window,
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
    K: Key,
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
            outside: Counter::default(),
            watermark: Timestamp::MIN,
            clock: EPOCH,
            pending: None,
            deterministic: false,
            slots: Slots::default(),
            growing: Vec::new(),
            key_ends: false,
            key_state: None,
            wake_ups: Each::default(),
            results: Vec::new(),
            group: Group::default(),
            last_window: records::EMPTY,
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
    K: Key,
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
