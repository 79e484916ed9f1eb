//! A keyed stream cut into windows: say what becomes of the records of each.

use tailwater_core::{Key, Record, Result, Span};
use tailwater_operators::aggregate::{Aggregator, IntoAggregator};
use tailwater_operators::stateless::FlatMap;
use tailwater_operators::window::general::{EventTime, GeneralWindows, Incremental, NoEvictor};
use tailwater_operators::window::{LocalPanes, Merging, PaneWindows, Partial, reduce};
use tailwater_operators::{
    Fired, Identity, LateRecords, Operator, Session, Sliding, Then, Tumbling, WindowResult,
};

use crate::job::SharedPlan;
use crate::stream::Fresh;
use crate::{Keyed, Stream};

/// What the windows of a key emit with an aggregate.
pub type FiredBy<K, T, G> = Fired<WindowResult<K, <G as Aggregator<T>>::Output>, T>;

/// Windows of one kind, and the operator that keeps them.
pub trait WindowKind: Copy {
    /// The operator for an aggregate.
    type Operator<K: Key, T: Record, F, G>: Operator<In = T, Out = FiredBy<K, T, G>> + Clone
    where
        F: FnMut(&T) -> K + Clone + Send + 'static,
        G: Aggregator<T>;

    /// Refuses spans that make no windows.
    ///
    /// # Errors
    /// When the spans make no windows.
    fn check(&self) -> Result<()>;

    /// Windows of this kind that are surely well formed: they stand in for refused ones in a job
    /// that is never run.
    fn well_formed() -> Self;

    /// The operator.
    ///
    /// # Errors
    /// When the spans make no windows.
    fn operator<K: Key, T: Record, F, G>(
        self,
        key: F,
        aggregator: G,
        lateness: Span,
        late_records: LateRecords,
    ) -> Result<Self::Operator<K, T, F, G>>
    where
        F: FnMut(&T) -> K + Clone + Send + 'static,
        G: Aggregator<T>;

    /// The results of these windows, records that are too late dropped. Kinds that are kept as
    /// panes sum them up on each core before the exchange.
    fn results<K, T, F, C, G>(
        self,
        keyed: Keyed<K, T, F, C>,
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
        G: Aggregator<T>,
    {
        fired(self, keyed, aggregator, lateness, LateRecords::Drop).then(results_alone())
    }
}

impl WindowKind for Sliding {
    type Operator<K: Key, T: Record, F, G>
        = PaneWindows<K, T, F, G>
    where
        F: FnMut(&T) -> K + Clone + Send + 'static,
        G: Aggregator<T>;

    fn check(&self) -> Result<()> {
        Sliding::check(self)
    }

    fn well_formed() -> Self {
        Sliding::of(Span(1))
    }

    fn operator<K: Key, T: Record, F, G>(
        self,
        key: F,
        aggregator: G,
        lateness: Span,
        late_records: LateRecords,
    ) -> Result<PaneWindows<K, T, F, G>>
    where
        F: FnMut(&T) -> K + Clone + Send + 'static,
        G: Aggregator<T>,
    {
        let windows = PaneWindows::new(key, self, aggregator)?;
        Ok(windows.allowed_lateness(lateness).late_records(late_records))
    }

    fn results<K, T, F, C, G>(
        self,
        keyed: Keyed<K, T, F, C>,
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
        let windows = checked(self, &stream.plan);
        let local = surely(LocalPanes::new(key, windows, aggregator.clone()));
        let key = |partial: &Partial<K, G::Accumulator>| partial.key.clone();
        let owner = surely(PaneWindows::new(key, windows, Merging::new(aggregator)));
        stream
            .then(local)
            .exchange(key)
            .then(owner.allowed_lateness(lateness))
            .then(results_alone())
    }
}

impl WindowKind for Tumbling {
    type Operator<K: Key, T: Record, F, G>
        = PaneWindows<K, T, F, G>
    where
        F: FnMut(&T) -> K + Clone + Send + 'static,
        G: Aggregator<T>;

    fn check(&self) -> Result<()> {
        self.as_sliding().check()
    }

    fn well_formed() -> Self {
        Tumbling::of(Span(1))
    }

    fn operator<K: Key, T: Record, F, G>(
        self,
        key: F,
        aggregator: G,
        lateness: Span,
        late_records: LateRecords,
    ) -> Result<PaneWindows<K, T, F, G>>
    where
        F: FnMut(&T) -> K + Clone + Send + 'static,
        G: Aggregator<T>,
    {
        self.as_sliding().operator(key, aggregator, lateness, late_records)
    }

    fn results<K, T, F, C, G>(
        self,
        keyed: Keyed<K, T, F, C>,
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
        self.as_sliding().results(keyed, aggregator, lateness)
    }
}

impl WindowKind for Session {
    type Operator<K: Key, T: Record, F, G>
        = GeneralWindows<K, T, F, Session, EventTime, NoEvictor, Incremental<G>>
    where
        F: FnMut(&T) -> K + Clone + Send + 'static,
        G: Aggregator<T>;

    fn check(&self) -> Result<()> {
        if self.gap.0 > 0 {
            return Ok(());
        }
        Err(tailwater_core::Error::configuration(format!(
            "a session needs a positive gap, not {}",
            self.gap
        )))
    }

    fn well_formed() -> Self {
        Session::with_gap(Span(1))
    }

    fn operator<K: Key, T: Record, F, G>(
        self,
        key: F,
        aggregator: G,
        lateness: Span,
        late_records: LateRecords,
    ) -> Result<Self::Operator<K, T, F, G>>
    where
        F: FnMut(&T) -> K + Clone + Send + 'static,
        G: Aggregator<T>,
    {
        let windows = GeneralWindows::sessions(key, self, aggregator);
        Ok(windows.allowed_lateness(lateness).late_records(late_records))
    }
}

/// Windows of kind `W` whose records all cross over to the owner of their key: see
/// [`Windowed::without_local_aggregation`].
#[derive(Clone, Copy, Debug)]
pub struct Direct<W>(W);

impl<W: WindowKind> WindowKind for Direct<W> {
    type Operator<K: Key, T: Record, F, G>
        = W::Operator<K, T, F, G>
    where
        F: FnMut(&T) -> K + Clone + Send + 'static,
        G: Aggregator<T>;

    fn check(&self) -> Result<()> {
        self.0.check()
    }

    fn well_formed() -> Self {
        Self(W::well_formed())
    }

    fn operator<K: Key, T: Record, F, G>(
        self,
        key: F,
        aggregator: G,
        lateness: Span,
        late_records: LateRecords,
    ) -> Result<Self::Operator<K, T, F, G>>
    where
        F: FnMut(&T) -> K + Clone + Send + 'static,
        G: Aggregator<T>,
    {
        self.0.operator(key, aggregator, lateness, late_records)
    }
}

/// A keyed stream cut into windows.
#[must_use = "a window needs to be told what becomes of its records: `aggregate` or `reduce`"]
pub struct Windowed<K, T: 'static, F, C: Operator<Out = T>, W> {
    keyed: Keyed<K, T, F, C>,
    windows: W,
    lateness: Span,
}

impl<K, T, F, C, W> Windowed<K, T, F, C, W>
where
    K: Key,
    T: Record,
    F: FnMut(&T) -> K + Clone + Send + 'static,
    C: Operator<Out = T> + Clone,
    W: WindowKind,
{
    pub(crate) fn new(keyed: Keyed<K, T, F, C>, windows: W) -> Self {
        Self { keyed, windows, lateness: Span::ZERO }
    }

    /// Records that come up to `span` after the watermark has closed their window still count: the
    /// window is emitted again with them (SEMANTICS 23, 25). Later ones are dropped and counted.
    pub fn allowed_lateness(mut self, span: Span) -> Self {
        self.lateness = span;
        self
    }

    /// Sends each record to the core that owns its key as it comes. Tumbling and sliding windows
    /// otherwise sum records up by key on the core that they come to, and send what they add up to
    /// when the watermark has passed; that is turned off here where the records of a key hardly
    /// ever share a window, or where their order within it matters to the aggregate.
    pub fn without_local_aggregation(self) -> Windowed<K, T, F, C, Direct<W>> {
        let Self { keyed, windows, lateness } = self;
        Windowed { keyed, windows: Direct(windows), lateness }
    }

    /// Each window's records made into one value, for each key: an accumulator of the user's
    /// ([`Aggregate`](crate::prelude::Aggregate)) or a function of the library, such as `vwap`.
    #[allow(clippy::type_complexity)] // A name would hide what comes out.
    pub fn aggregate<A, M>(
        self,
        aggregate: A,
    ) -> Stream<
        WindowResult<K, <A::Aggregator as Aggregator<T>>::Output>,
        impl Operator<Out = WindowResult<K, <A::Aggregator as Aggregator<T>>::Output>>
        + Clone
        + use<K, T, F, C, W, A, M>,
    >
    where
        A: IntoAggregator<T, M>,
    {
        let Self { keyed, windows, lateness } = self;
        windows.results(keyed, aggregate.into_aggregator(), lateness)
    }

    /// As [`aggregate`](Windowed::aggregate), with a second stream of the records that came too
    /// late for all their windows; they are then not counted as dropped (SEMANTICS 28).
    #[allow(clippy::type_complexity)] // A name would hide what comes out.
    pub fn aggregate_with_late<A, M>(
        self,
        aggregate: A,
    ) -> (Fresh<WindowResult<K, <A::Aggregator as Aggregator<T>>::Output>>, Fresh<T>)
    where
        A: IntoAggregator<T, M>,
    {
        let Self { keyed, windows, lateness } = self;
        fired(windows, keyed, aggregate.into_aggregator(), lateness, LateRecords::Emit).fork()
    }

    /// Each window's records combined two by two into one, for each key.
    pub fn reduce<R>(
        self,
        combine: R,
    ) -> Stream<
        WindowResult<K, T>,
        impl Operator<Out = WindowResult<K, T>> + Clone + use<K, T, F, C, W, R>,
    >
    where
        R: Fn(&T, &T) -> T + Clone + Send + 'static,
        reduce::Reduce<T, R>: Aggregator<T, Output = T>,
    {
        let Self { keyed, windows, lateness } = self;
        windows.results(keyed, reduce::Reduce::new(combine), lateness)
    }
}

/// What windows of kind `W` fire when every record crosses over to the owner of its key.
#[allow(clippy::type_complexity)] // Named once, here.
fn fired<K, T, F, C, W, G>(
    windows: W,
    keyed: Keyed<K, T, F, C>,
    aggregator: G,
    lateness: Span,
    late_records: LateRecords,
) -> Stream<Fired<WindowResult<K, G::Output>, T>, Then<Identity<T>, W::Operator<K, T, F, G>>>
where
    K: Key,
    T: Record,
    F: FnMut(&T) -> K + Clone + Send + 'static,
    C: Operator<Out = T> + Clone,
    W: WindowKind,
    G: Aggregator<T>,
{
    let windows = checked(windows, &keyed.stream.plan);
    keyed.then(|key| surely(windows.operator(key, aggregator, lateness, late_records)))
}

/// The windows, or where they are refused, others; the job is then never run.
fn checked<W: WindowKind>(windows: W, plan: &SharedPlan) -> W {
    match windows.check() {
        Ok(()) => windows,
        Err(defect) => {
            plan.borrow_mut().defect.get_or_insert(defect);
            W::well_formed()
        }
    }
}

fn surely<O>(operator: Result<O>) -> O {
    operator.unwrap_or_else(|error| panic!("windows that were checked were refused: {error}"))
}

/// Takes the results out of what a window operator fires.
type ResultsAlone<R, T> = FlatMap<Fired<R, T>, Option<R>, fn(Fired<R, T>) -> Option<R>>;

fn results_alone<R: 'static, T: 'static>() -> ResultsAlone<R, T> {
    let result: fn(Fired<R, T>) -> Option<R> = |fired| match fired {
        Fired::Result(result) => Some(result),
        Fired::Late(_) => None,
    };
    FlatMap::new(result).hidden()
}
