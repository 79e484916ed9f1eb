//! Windows with a trigger or an evictor of their own, or whose function sees more than an
//! aggregate: all kept by the general operator.

use tailwater_core::{Key, Record, Span, Stamped};
use tailwater_operators::aggregate::{Aggregator, IntoAggregator};
use tailwater_operators::window::general::{
    Assigner, Contents, Evictor, GeneralWindows, List, Listed, Processed, Trigger, WindowProcess,
};
use tailwater_operators::window::reduce;
use tailwater_operators::{Operator, Window, WindowResult};
use tailwater_state::keyed::KeyedState;

use super::kind::{Evicting, Eviction};
use super::late::{Beside, Dropped, FiredStream, LateOutput, late_stream};
use super::report;
use crate::stream::Fresh;
use crate::{Keyed, Stream};

/// A keyed stream cut into windows of an assigner `A` that fire as `R` says, out of which `V` takes
/// records.
#[must_use = "a window needs to be told what becomes of its records"]
pub struct GeneralWindowed<K, T: 'static, F, C: Operator<Out = T>, A, R, V, L = Dropped> {
    keyed: Keyed<K, T, F, C>,
    parts: (A, R, V),
    lateness: Span,
    late: L,
}

impl<K, T, F, C, A, R, V, L> GeneralWindowed<K, T, F, C, A, R, V, L>
where
    K: Key,
    T: Record,
    F: FnMut(&T) -> K + Clone + Send + 'static,
    C: Operator<Out = T> + Clone,
    A: Assigner<T>,
    R: Trigger<T>,
    V: Eviction<T>,
    L: LateOutput<T>,
{
    pub(super) fn new(keyed: Keyed<K, T, F, C>, parts: (A, R, V), lateness: Span, late: L) -> Self {
        Self { keyed, parts, lateness, late }
    }

    /// Fires when `trigger` says so, and not by default any more (SEMANTICS 31).
    pub fn trigger<S: Trigger<T>>(self, trigger: S) -> GeneralWindowed<K, T, F, C, A, S, V, L> {
        let (assigner, _, eviction) = self.parts;
        GeneralWindowed::new(self.keyed, (assigner, trigger, eviction), self.lateness, self.late)
    }

    /// Takes records out before or after a firing. All records of a window are then kept, also
    /// where they are only aggregated (SEMANTICS 36-38).
    pub fn evict<E: Evictor<T>>(
        self,
        evictor: E,
    ) -> GeneralWindowed<K, T, F, C, A, R, Evicting<E>, L> {
        let (assigner, trigger, _) = self.parts;
        let parts = (assigner, trigger, Evicting(evictor));
        GeneralWindowed::new(self.keyed, parts, self.lateness, self.late)
    }

    /// As [`Windowed::allowed_lateness`](crate::Windowed::allowed_lateness).
    pub fn allowed_lateness(mut self, span: Span) -> Self {
        self.lateness = span;
        self
    }

    /// What the windows emit with these contents.
    pub(super) fn with_contents<X>(
        self,
        contents: X,
    ) -> Stream<X::Output, impl Operator<Out = X::Output> + Clone + use<K, T, F, C, A, R, V, L, X>>
    where
        X: Contents<K, T, V::Evictor, Output: Record>,
    {
        let Self { keyed, parts: (assigner, trigger, eviction), lateness, late } = self;
        let windows =
            GeneralWindows::new(keyed.key.clone(), assigner, trigger, eviction.evictor(), contents);
        let windows = windows.allowed_lateness(lateness).late_records(L::RECORDS);
        report(&keyed.stream.plan, windows.check());
        let fired: FiredStream<_, _, _> = keyed.then(|_| windows);
        late.results(fired)
    }

    /// As [`Windowed::aggregate`](crate::Windowed::aggregate).
    #[allow(clippy::type_complexity)] // A name would hide what comes out.
    pub fn aggregate<G, M>(
        self,
        aggregate: G,
    ) -> Stream<
        WindowResult<K, <G::Aggregator as Aggregator<T>>::Output>,
        impl Operator<Out = WindowResult<K, <G::Aggregator as Aggregator<T>>::Output>>
        + Clone
        + use<K, T, F, C, A, R, V, L, G, M>,
    >
    where
        G: IntoAggregator<T, M>,
    {
        self.with_contents(V::contents::<K, _>(aggregate.into_aggregator()))
    }

    /// As [`Windowed::reduce`](crate::Windowed::reduce).
    pub fn reduce<X>(
        self,
        combine: X,
    ) -> Stream<
        WindowResult<K, T>,
        impl Operator<Out = WindowResult<K, T>> + Clone + use<K, T, F, C, A, R, V, L, X>,
    >
    where
        X: Fn(&T, &T) -> T + Clone + Send + 'static,
        reduce::Reduce<T, X>: Aggregator<T, Output = T>,
    {
        self.with_contents(V::contents::<K, _>(reduce::Reduce::new(combine)))
    }

    /// As [`Windowed::aggregate_with`](crate::Windowed::aggregate_with).
    pub fn aggregate_with<G, M, P>(
        self,
        aggregate: G,
        process: P,
    ) -> Stream<P::Out, impl Operator<Out = P::Out> + Clone + use<K, T, F, C, A, R, V, L, G, M, P>>
    where
        G: IntoAggregator<T, M>,
        P: WindowProcess<
                In = <G::Aggregator as Aggregator<T>>::Output,
                State: KeyedState<Key = K>,
                Out: Record,
            >,
    {
        let keep = V::keep(aggregate.into_aggregator());
        self.with_contents(Processed::new(keep, process))
    }

    /// As [`Windowed::apply`](crate::Windowed::apply).
    pub fn apply<X, I>(
        self,
        function: X,
    ) -> Stream<I::Item, impl Operator<Out = I::Item> + Clone + use<K, T, F, C, A, R, V, L, X, I>>
    where
        X: FnMut(&K, Window, &[Stamped<T>]) -> I + Clone + Send + 'static,
        I: IntoIterator<Item: Record> + 'static,
    {
        self.with_contents(Listed::new(function))
    }

    /// As [`Windowed::process`](crate::Windowed::process).
    pub fn process<P>(
        self,
        process: P,
    ) -> Stream<P::Out, impl Operator<Out = P::Out> + Clone + use<K, T, F, C, A, R, V, L, P>>
    where
        P: WindowProcess<In = [Stamped<T>], State: KeyedState<Key = K>, Out: Record>,
    {
        self.with_contents(Processed::new(List, process))
    }
}

impl<K, T, F, C, A, R, V> GeneralWindowed<K, T, F, C, A, R, V>
where
    K: Key,
    T: Record,
    F: FnMut(&T) -> K + Clone + Send + 'static,
    C: Operator<Out = T> + Clone,
    A: Assigner<T>,
    R: Trigger<T>,
    V: Eviction<T>,
{
    /// As [`Windowed::with_late`](crate::Windowed::with_late).
    pub fn with_late<X, D>(
        self,
        finish: impl FnOnce(GeneralWindowed<K, T, F, C, A, R, V, Beside<T>>) -> Stream<X, D>,
    ) -> (Stream<X, D>, Fresh<T>)
    where
        D: Operator<Out = X>,
    {
        let (late, edge) = Beside::of(&self.keyed);
        let plan = self.keyed.stream.plan.clone();
        let windows = GeneralWindowed::new(self.keyed, self.parts, self.lateness, late);
        (finish(windows), late_stream(plan, edge))
    }
}
