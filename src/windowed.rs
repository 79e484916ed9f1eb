//! A keyed stream cut into windows: say what becomes of the records of each.

use tailwater_core::{Key, Record, Result, Span};
use tailwater_operators::aggregate::{Aggregator, IntoAggregator};
use tailwater_operators::stateless::FlatMap;
use tailwater_operators::window::general::{EventTime, GeneralWindows, Incremental, NoEvictor};
use tailwater_operators::window::{PaneWindows, reduce};
use tailwater_operators::{
    Fired, Identity, LateRecords, Operator, Session, Sliding, Then, Tumbling, WindowResult,
};

use crate::stream::Fresh;
use crate::{Keyed, Stream};

/// Windows of one kind, and the operator that keeps them.
pub trait WindowKind: Copy {
    /// The operator for an aggregate.
    type Operator<K: Key, T: Record, F, G>: Operator<In = T, Out = Fired<WindowResult<K, G::Output>, T>>
        + Clone
    where
        F: FnMut(&T) -> K + Clone + Send + 'static,
        G: Aggregator<T>;

    /// Refuses spans that make no windows.
    ///
    /// # Errors
    /// When the spans make no windows.
    fn check(&self) -> Result<()>;

    /// Windows of this kind that are surely well formed: they stand in for refused ones in a job that is
    /// never run.
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

/// A keyed stream cut into windows.
#[must_use = "a window needs to be told what becomes of its records: `aggregate` or `reduce`"]
pub struct Windowed<K, T: 'static, F, W> {
    keyed: Keyed<K, T, F>,
    windows: W,
    lateness: Span,
}

/// Takes the results out of what a window operator fires.
type ResultOf<R, T> = FlatMap<Fired<R, T>, Option<R>, fn(Fired<R, T>) -> Option<R>>;

/// The results of windows of kind `W`, for each key.
pub type Results<K, T, F, W, G> = Stream<
    WindowResult<K, <G as Aggregator<T>>::Output>,
    Then<
        Then<Identity<T>, <W as WindowKind>::Operator<K, T, F, G>>,
        ResultOf<WindowResult<K, <G as Aggregator<T>>::Output>, T>,
    >,
>;

impl<K, T, F, W> Windowed<K, T, F, W>
where
    K: Key,
    T: Record,
    F: FnMut(&T) -> K + Clone + Send + 'static,
    W: WindowKind,
{
    pub(crate) fn new(keyed: Keyed<K, T, F>, windows: W) -> Self {
        Self { keyed, windows, lateness: Span::ZERO }
    }

    /// Records that come up to `span` after the watermark has closed their window still count: the window
    /// is emitted again with them (SEMANTICS 23, 25). Later ones are dropped and counted.
    pub fn allowed_lateness(mut self, span: Span) -> Self {
        self.lateness = span;
        self
    }

    /// Each window's records made into one value, for each key: an accumulator of the user's
    /// ([`Aggregate`](crate::prelude::Aggregate)) or a function of the library, such as `vwap`.
    pub fn aggregate<A, M>(self, aggregate: A) -> Results<K, T, F, W, A::Aggregator>
    where
        A: IntoAggregator<T, M>,
    {
        let result: fn(Fired<_, T>) -> Option<_> = |fired| match fired {
            Fired::Result(result) => Some(result),
            Fired::Late(_) => None,
        };
        self.fired(aggregate, LateRecords::Drop).then(FlatMap::new(result).hidden())
    }

    /// As [`aggregate`](Windowed::aggregate), with a second stream of the records that came too late for
    /// all their windows; they are then not counted as dropped (SEMANTICS 28).
    pub fn aggregate_with_late<A, M>(
        self,
        aggregate: A,
    ) -> (Fresh<WindowResult<K, <A::Aggregator as Aggregator<T>>::Output>>, Fresh<T>)
    where
        A: IntoAggregator<T, M>,
    {
        self.fired(aggregate, LateRecords::Emit).fork()
    }

    /// Each window's records combined two by two into one, for each key.
    pub fn reduce<R>(self, combine: R) -> Results<K, T, F, W, reduce::Reduce<T, R>>
    where
        R: Fn(&T, &T) -> T + Clone + Send + 'static,
    {
        self.aggregate(reduce::Reduce::new(combine))
    }

    #[allow(clippy::type_complexity)] // Named once, here.
    fn fired<A, M>(
        self,
        aggregate: A,
        late_records: LateRecords,
    ) -> Stream<
        Fired<WindowResult<K, <A::Aggregator as Aggregator<T>>::Output>, T>,
        Then<Identity<T>, W::Operator<K, T, F, A::Aggregator>>,
    >
    where
        A: IntoAggregator<T, M>,
    {
        let Self { keyed: Keyed { stream, key, .. }, windows, lateness } = self;
        let checked = windows.check().map(|()| windows);
        let windows = checked.unwrap_or_else(|defect| {
            stream.plan.borrow_mut().defect.get_or_insert(defect);
            W::well_formed()
        });
        let operator = windows
            .operator(key, aggregate.into_aggregator(), lateness, late_records)
            .unwrap_or_else(|error| panic!("windows that were checked were refused: {error}"));
        stream.then(operator)
    }
}
