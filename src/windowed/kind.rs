//! The kinds of windows: what each assigns, when it fires by default, and which operator keeps it.

use tailwater_core::{Error, Key, Record, Result, Span};
use tailwater_operators::window::general::{
    Assigner, ByClock, Contents, Count, CountEvictor, Cumulative, DynamicSession, EventTime, Evict,
    Evictor, Folded, Global, Incremental, Keep, Never, NoEvictor, ProcessingTime, Purging,
    SessionBars, Timeout, TradingSessions, Trigger,
};
use tailwater_operators::{Aggregator, Operator, Session, Sliding, Tumbling, WindowResult};

use super::{Direct, GeneralWindowed, LateOutput, direct, report};
use crate::{Keyed, Stream};

/// Windows of one kind. The job keeps those that are aligned as panes, where it can, and all others
/// in the general operator; `explain` says which.
pub trait WindowKind<T: Record>: Clone {
    /// Puts records into windows.
    type Assigner: Assigner<T>;
    /// When they fire, unless told otherwise.
    type Trigger: Trigger<T>;
    /// What is taken out of them, unless told otherwise.
    type Eviction: Eviction<T>;

    /// The parts for the general operator.
    fn parts(self) -> (Self::Assigner, Self::Trigger, Self::Eviction);

    /// The results of an aggregate with the default trigger.
    fn aggregated<K, F, C, G, L>(
        self,
        keyed: Keyed<K, T, F, C>,
        aggregator: G,
        lateness: Span,
        late: L,
    ) -> Stream<
        WindowResult<K, G::Output>,
        impl Operator<Out = WindowResult<K, G::Output>> + Clone + use<Self, K, T, F, C, G, L>,
    >
    where
        K: Key,
        F: FnMut(&T) -> K + Clone + Send + 'static,
        C: Operator<Out = T> + Clone,
        G: Aggregator<T>,
        L: LateOutput<T>,
    {
        let windows = GeneralWindowed::new(keyed, self.parts(), lateness, late);
        windows.with_contents(<Self::Eviction as Eviction<T>>::contents::<K, G>(aggregator))
    }
}

/// Windows that lie on a grid of event time, which are kept as panes.
pub trait Aligned: Copy {
    /// The same windows as sliding ones.
    fn as_sliding(&self) -> Sliding;
}

impl Aligned for Sliding {
    fn as_sliding(&self) -> Sliding {
        *self
    }
}

impl Aligned for Tumbling {
    fn as_sliding(&self) -> Sliding {
        Tumbling::as_sliding(*self)
    }
}

/// Refuses windows and lateness where a job is built; others stand in for them in a job that is
/// never run.
fn checked<K, T, F, C>(windows: Sliding, keyed: &Keyed<K, T, F, C>, lateness: Span) -> Sliding
where
    T: 'static,
    C: Operator<Out = T>,
{
    let outcome = windows.check().and_then(|()| check_lateness(lateness));
    if report(&keyed.stream.plan, outcome) { windows } else { Sliding::of(Span(1)) }
}

fn check_lateness(lateness: Span) -> Result<()> {
    if lateness >= Span::ZERO {
        return Ok(());
    }
    Err(Error::configuration(format!("the allowed lateness must not be negative: {lateness}")))
}

impl<T: Record + 'static> WindowKind<T> for Sliding {
    type Assigner = Sliding;
    type Trigger = EventTime;
    type Eviction = NoEvictor;

    fn parts(self) -> (Sliding, EventTime, NoEvictor) {
        (self, EventTime, NoEvictor)
    }

    fn aggregated<K, F, C, G, L>(
        self,
        keyed: Keyed<K, T, F, C>,
        aggregator: G,
        lateness: Span,
        late: L,
    ) -> Stream<
        WindowResult<K, G::Output>,
        impl Operator<Out = WindowResult<K, G::Output>> + Clone + use<K, T, F, C, G, L>,
    >
    where
        K: Key,
        F: FnMut(&T) -> K + Clone + Send + 'static,
        C: Operator<Out = T> + Clone,
        G: Aggregator<T>,
        L: LateOutput<T>,
    {
        let windows = checked(self, &keyed, lateness);
        late.panes(keyed, windows, aggregator, lateness)
    }
}

impl<T: Record + 'static> WindowKind<T> for Tumbling {
    type Assigner = Tumbling;
    type Trigger = EventTime;
    type Eviction = NoEvictor;

    fn parts(self) -> (Tumbling, EventTime, NoEvictor) {
        (self, EventTime, NoEvictor)
    }

    fn aggregated<K, F, C, G, L>(
        self,
        keyed: Keyed<K, T, F, C>,
        aggregator: G,
        lateness: Span,
        late: L,
    ) -> Stream<
        WindowResult<K, G::Output>,
        impl Operator<Out = WindowResult<K, G::Output>> + Clone + use<K, T, F, C, G, L>,
    >
    where
        K: Key,
        F: FnMut(&T) -> K + Clone + Send + 'static,
        C: Operator<Out = T> + Clone,
        G: Aggregator<T>,
        L: LateOutput<T>,
    {
        Tumbling::as_sliding(self).aggregated(keyed, aggregator, lateness, late)
    }
}

impl<T: Record + 'static, W: Aligned + WindowKind<T>> WindowKind<T> for Direct<W> {
    type Assigner = W::Assigner;
    type Trigger = W::Trigger;
    type Eviction = W::Eviction;

    fn parts(self) -> (W::Assigner, W::Trigger, W::Eviction) {
        self.0.parts()
    }

    fn aggregated<K, F, C, G, L>(
        self,
        keyed: Keyed<K, T, F, C>,
        aggregator: G,
        lateness: Span,
        late: L,
    ) -> Stream<
        WindowResult<K, G::Output>,
        impl Operator<Out = WindowResult<K, G::Output>> + Clone + use<W, K, T, F, C, G, L>,
    >
    where
        K: Key,
        F: FnMut(&T) -> K + Clone + Send + 'static,
        C: Operator<Out = T> + Clone,
        G: Aggregator<T>,
        L: LateOutput<T>,
    {
        let windows = checked(self.0.as_sliding(), &keyed, lateness);
        late.results(direct(keyed, windows, aggregator, lateness, L::RECORDS))
    }
}

/// Kinds that are the general operator's, with their default triggers and evictors.
macro_rules! general_kind {
    (
        $kind:ty, $assigner:ty, $trigger:ty, $eviction:ty,
        $self:ident => $parts:expr $(; $($bounds:tt)*)?
    ) => {
        impl<T: Record + 'static $(, $($bounds)*)?> WindowKind<T> for $kind {
            type Assigner = $assigner;
            type Trigger = $trigger;
            type Eviction = $eviction;

            fn parts($self) -> ($assigner, $trigger, $eviction) {
                $parts
            }
        }
    };
}

general_kind!(Session, Session, EventTime, NoEvictor, self => (self, EventTime, NoEvictor));
general_kind!(Cumulative, Cumulative, EventTime, NoEvictor, self => (self, EventTime, NoEvictor));
general_kind!(Global, Global, Never, NoEvictor, self => (self, Never, NoEvictor));
general_kind!(
    TradingSessions, TradingSessions, EventTime, NoEvictor, self => (self, EventTime, NoEvictor)
);
general_kind!(SessionBars, SessionBars, EventTime, NoEvictor, self => (self, EventTime, NoEvictor));
general_kind!(
    DynamicSession<G>, DynamicSession<G>, EventTime, NoEvictor,
    self => (self, EventTime, NoEvictor);
    G: FnMut(&T) -> Span + Clone + Send + 'static
);
general_kind!(
    ByClock<A>, ByClock<A>, ProcessingTime, NoEvictor,
    self => (self, ProcessingTime, NoEvictor);
    A: Assigner<T>
);

/// Windows of so many records of a key, whenever they come: Flink's `countWindow` (SEMANTICS 32,
/// 33).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted(u64);

impl Counted {
    /// Windows of `records` records, end to end; the odd last ones are never emitted (SEMANTICS
    /// 31).
    pub const fn of(records: u64) -> Self {
        Self(records)
    }

    /// Windows of the last so many records, one every `slide` records.
    pub const fn every(self, slide: u64) -> CountedSliding {
        CountedSliding { size: self.0, slide }
    }

    /// Windows that are emitted, whatever is in them, when their first record has waited for
    /// `span` by the wall clock.
    pub const fn or_after(self, span: Span) -> CountedOrAfter {
        CountedOrAfter { size: self.0, span }
    }
}

/// Windows of the last so many records, every so many: [`Counted::every`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountedSliding {
    size: u64,
    slide: u64,
}

/// Windows of so many records, or fewer after a time: [`Counted::or_after`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountedOrAfter {
    size: u64,
    span: Span,
}

general_kind!(
    Counted, Global, Purging<Count>, NoEvictor,
    self => (Global, Purging(Count(self.0)), NoEvictor)
);
general_kind!(
    CountedOrAfter, Global, Purging<Timeout<Count>>, NoEvictor,
    self => (Global, Purging(Timeout::of(Count(self.size), self.span)), NoEvictor)
);
general_kind!(
    CountedSliding, Global, Count, Evicting<CountEvictor>,
    self => {
        let size = usize::try_from(self.size).unwrap_or(usize::MAX);
        (Global, Count(self.slide), Evicting(CountEvictor::new(size, Evict::Before)))
    }
);

/// Contents that emit a [`WindowResult`] of `O`.
pub trait Results<K: Key, T, E, O>: Contents<K, T, E, Output = WindowResult<K, O>> {}

impl<K: Key, T, E, O, C> Results<K, T, E, O> for C where
    C: Contents<K, T, E, Output = WindowResult<K, O>>
{
}

/// Whether windows evict, which decides whether they keep an accumulator or a list.
pub trait Eviction<T: Record>: Clone + Send + 'static {
    /// The evictor.
    type Evictor: Evictor<T>;
    /// What is kept for an aggregate.
    type Kept<G: Aggregator<T>>: Keep<T, Self::Evictor, Shown = G::Output>;
    /// What is kept for an aggregate whose results are emitted as they are.
    type Contents<K: Key, G: Aggregator<T>>: Results<K, T, Self::Evictor, G::Output>;

    /// The evictor.
    fn evictor(self) -> Self::Evictor;
    /// What is kept for `aggregator`.
    fn keep<G: Aggregator<T>>(aggregator: G) -> Self::Kept<G>;
    /// The same with its results.
    fn contents<K: Key, G: Aggregator<T>>(aggregator: G) -> Self::Contents<K, G>;
}

impl<T: Record> Eviction<T> for NoEvictor {
    type Evictor = NoEvictor;
    type Kept<G: Aggregator<T>> = Incremental<G>;
    type Contents<K: Key, G: Aggregator<T>> = Incremental<G>;

    fn evictor(self) -> NoEvictor {
        self
    }

    fn keep<G: Aggregator<T>>(aggregator: G) -> Incremental<G> {
        Incremental::new(aggregator)
    }

    fn contents<K: Key, G: Aggregator<T>>(aggregator: G) -> Incremental<G> {
        Incremental::new(aggregator)
    }
}

/// Windows from which `E` takes records out.
#[derive(Clone, Copy, Debug)]
pub struct Evicting<E>(pub(super) E);

impl<T: Record, E: Evictor<T>> Eviction<T> for Evicting<E> {
    type Evictor = E;
    type Kept<G: Aggregator<T>> = Folded<G>;
    type Contents<K: Key, G: Aggregator<T>> = Folded<G>;

    fn evictor(self) -> E {
        self.0
    }

    fn keep<G: Aggregator<T>>(aggregator: G) -> Folded<G> {
        Folded::new(aggregator)
    }

    fn contents<K: Key, G: Aggregator<T>>(aggregator: G) -> Folded<G> {
        Folded::new(aggregator)
    }
}
