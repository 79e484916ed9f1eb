//! Where records go that came too late for all their windows: nowhere, or into a stream of their
//! own.

use std::sync::Arc;

use tailwater_core::{Key, Record, Span};
use tailwater_operators::stateless::FlatMap;
use tailwater_operators::window::{LocalPanes, Merging, PaneWindows, Partial};
use tailwater_operators::{
    Aggregator, Fired, Identity, LateRecords, Operator, Sliding, Then, WindowResult,
};
use tailwater_runtime::Partition;
use tailwater_runtime::graph::{Edge, OutboxPlan};
use tailwater_runtime::task::fork::ForkPlan;

use super::{direct, surely};
use crate::stream::{Fresh, fresh};
use crate::{Keyed, Stream};

/// What becomes of late records, and how the results leave beside them.
pub trait LateOutput<T: 'static>: Sized {
    /// Whether windows emit them.
    const RECORDS: LateRecords;

    /// The results that a window operator at the end of a stream fires, without the late records.
    fn results<R, C>(
        self,
        fired: Stream<Fired<R, T>, C>,
    ) -> Stream<R, impl Operator<Out = R> + Clone + use<Self, T, R, C>>
    where
        T: Record,
        R: Record,
        C: Operator<Out = Fired<R, T>> + Clone;

    /// The results of panes, summed up on each core before the exchange where late records need not
    /// be told apart.
    fn panes<K, F, C, G>(
        self,
        keyed: Keyed<K, T, F, C>,
        windows: Sliding,
        aggregator: G,
        lateness: Span,
    ) -> Stream<
        WindowResult<K, G::Output>,
        impl Operator<Out = WindowResult<K, G::Output>> + Clone + use<Self, K, T, F, C, G>,
    >
    where
        K: Key,
        T: Record,
        F: FnMut(&T) -> K + Clone + Send + 'static,
        C: Operator<Out = T> + Clone,
        G: Aggregator<T>;
}

/// Late records are dropped, and counted as `late_records_dropped`.
#[derive(Clone, Copy, Debug)]
pub struct Dropped;

/// Takes the results out of what a window operator fires.
type ResultsAlone<R, T> = FlatMap<Fired<R, T>, Option<R>, fn(Fired<R, T>) -> Option<R>>;

fn results_alone<R: 'static, T: 'static>() -> ResultsAlone<R, T> {
    let result: fn(Fired<R, T>) -> Option<R> = |fired| match fired {
        Fired::Result(result) => Some(result),
        Fired::Late(_) => None,
    };
    FlatMap::new(result).hidden()
}

impl<T: 'static> LateOutput<T> for Dropped {
    const RECORDS: LateRecords = LateRecords::Drop;

    fn results<R, C>(
        self,
        fired: Stream<Fired<R, T>, C>,
    ) -> Stream<R, impl Operator<Out = R> + Clone + use<T, R, C>>
    where
        T: Record,
        R: Record,
        C: Operator<Out = Fired<R, T>> + Clone,
    {
        fired.then(results_alone())
    }

    fn panes<K, F, C, G>(
        self,
        keyed: Keyed<K, T, F, C>,
        windows: Sliding,
        aggregator: G,
        lateness: Span,
    ) -> Stream<
        WindowResult<K, G::Output>,
        impl Operator<Out = WindowResult<K, G::Output>> + Clone + use<K, T, F, C, G>,
    >
    where
        K: Key,
        T: Record,
        F: FnMut(&T) -> K + Clone + Send + 'static,
        C: Operator<Out = T> + Clone,
        G: Aggregator<T>,
    {
        let Keyed { stream, key, .. } = keyed;
        let local = surely(LocalPanes::new(key, windows, aggregator.clone()));
        let key = |partial: &Partial<K, G::Accumulator>| partial.key.clone();
        let owner = surely(PaneWindows::new(key, windows, Merging::new(aggregator)));
        stream
            .then(local)
            .exchange(key)
            .then(owner.of_partials().allowed_lateness(lateness))
            .then(results_alone())
    }
}

/// Late records go into a stream of their own, and are not counted (SEMANTICS 28).
pub struct Beside<T>(Arc<Edge<T>>);

impl<T: Record + 'static> Beside<T> {
    /// An edge for the late records of a window; what reads it is to be made after the window.
    pub(super) fn of<K, F, C: Operator<Out = T>>(
        keyed: &Keyed<K, T, F, C>,
    ) -> (Self, Arc<Edge<T>>) {
        let edge = keyed.stream.plan.borrow_mut().graph.edge(Partition::Forward);
        (Self(edge.clone()), edge)
    }
}

impl<T: 'static> LateOutput<T> for Beside<T> {
    const RECORDS: LateRecords = LateRecords::Emit;

    fn results<R, C>(
        self,
        fired: Stream<Fired<R, T>, C>,
    ) -> Stream<R, impl Operator<Out = R> + Clone + use<T, R, C>>
    where
        T: Record,
        R: Record,
        C: Operator<Out = Fired<R, T>> + Clone,
    {
        self.fork(fired)
    }

    fn panes<K, F, C, G>(
        self,
        keyed: Keyed<K, T, F, C>,
        windows: Sliding,
        aggregator: G,
        lateness: Span,
    ) -> Stream<
        WindowResult<K, G::Output>,
        impl Operator<Out = WindowResult<K, G::Output>> + Clone + use<K, T, F, C, G>,
    >
    where
        K: Key,
        T: Record,
        F: FnMut(&T) -> K + Clone + Send + 'static,
        C: Operator<Out = T> + Clone,
        G: Aggregator<T>,
    {
        self.fork(direct(keyed, windows, aggregator, lateness, LateRecords::Emit))
    }
}

impl<T: 'static> Beside<T> {
    fn fork<R, C>(self, fired: Stream<Fired<R, T>, C>) -> Stream<R, Identity<R>>
    where
        T: Record,
        R: Record,
        C: Operator<Out = Fired<R, T>> + Clone,
    {
        let results = fired.plan.borrow_mut().graph.edge(Partition::Forward);
        let plan = fired.end(ForkPlan {
            first: OutboxPlan::to_one(results.clone()),
            second: OutboxPlan::to_one(self.0),
        });
        fresh(plan, vec![results])
    }
}

/// A stream of what a window operator fires, after the exchange.
pub(super) type FiredStream<R, T, O> = Stream<Fired<R, T>, Then<Identity<T>, O>>;

/// The late records that an edge carries.
pub(super) fn late_stream<T: Record>(plan: crate::job::SharedPlan, edge: Arc<Edge<T>>) -> Fresh<T> {
    fresh(plan, vec![edge])
}
