//! A keyed stream cut into windows: say what becomes of the records of each.

mod general;
mod kind;
mod late;

use tailwater_core::{Key, Record, Result, Span, Stamped};
use tailwater_operators::aggregate::{Aggregator, IntoAggregator};
use tailwater_operators::window::general::{Evictor, Trigger, WindowProcess};
use tailwater_operators::window::{PaneWindows, reduce};
use tailwater_operators::{LateRecords, Operator, Sliding, Window, WindowResult};
use tailwater_state::keyed::KeyedState;

pub use general::GeneralWindowed;
pub use kind::{Aligned, Counted, CountedOrAfter, CountedSliding, Evicting, Eviction, WindowKind};
pub use late::{Beside, Dropped, LateOutput};

use crate::job::SharedPlan;
use crate::stream::Fresh;
use crate::{Keyed, Stream};
use late::{FiredStream, late_stream};

/// Windows of kind `W` whose records all cross over to the owner of their key: see
/// [`Windowed::without_local_aggregation`].
#[derive(Clone, Copy, Debug)]
pub struct Direct<W>(W);

/// A keyed stream cut into windows.
#[must_use = "a window needs to be told what becomes of its records: `aggregate`, for instance"]
pub struct Windowed<K, T: 'static, F, C: Operator<Out = T>, W, L = Dropped> {
    keyed: Keyed<K, T, F, C>,
    windows: W,
    lateness: Span,
    late: L,
}

/// The windows of `W` in the general operator.
type General<K, T, F, C, W, L> = GeneralWindowed<
    K,
    T,
    F,
    C,
    <W as WindowKind<T>>::Assigner,
    <W as WindowKind<T>>::Trigger,
    <W as WindowKind<T>>::Eviction,
    L,
>;

impl<K, T, F, C, W> Windowed<K, T, F, C, W>
where
    K: Key,
    T: Record,
    F: FnMut(&T) -> K + Clone + Send + 'static,
    C: Operator<Out = T> + Clone,
    W: WindowKind<T>,
{
    pub(crate) fn new(keyed: Keyed<K, T, F, C>, windows: W) -> Self {
        Self { keyed, windows, lateness: Span::ZERO, late: Dropped }
    }

    /// What becomes of the windows, as `finish` says, and a second stream of the records that came
    /// too late for all of theirs; they are then not counted as dropped (SEMANTICS 28).
    ///
    /// ```
    /// use tailwater::prelude::*;
    ///
    /// # fn main() -> Result<()> {
    /// let job = Job::new("sums");
    /// let (sums, late) = job
    ///     .source(from_vec(vec![(1_u32, 5_i64), (1, 70), (1, 6)]))
    ///     .event_time(|record: &(u32, i64)| Timestamp(record.1), Watermarks::monotonous())
    ///     .key_by(|record| record.0)
    ///     .window(Tumbling::of(10.nanos()))
    ///     .with_late(|windows| windows.aggregate(count()));
    /// # let _ = Local::cores(1);
    /// sums.sink(collect());
    /// late.sink(collect());
    /// job.run(Local::cores(1))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_late<X, D>(
        self,
        finish: impl FnOnce(Windowed<K, T, F, C, W, Beside<T>>) -> Stream<X, D>,
    ) -> (Stream<X, D>, Fresh<T>)
    where
        D: Operator<Out = X>,
    {
        let (late, edge) = Beside::of(&self.keyed);
        let Self { keyed, windows, lateness, .. } = self;
        let plan = keyed.stream.plan.clone();
        (finish(Windowed { keyed, windows, lateness, late }), late_stream(plan, edge))
    }

    /// [`aggregate`](Windowed::aggregate) [`with_late`](Windowed::with_late).
    #[allow(clippy::type_complexity)] // A name would hide what comes out.
    pub fn aggregate_with_late<A, M>(
        self,
        aggregate: A,
    ) -> (
        Stream<
            WindowResult<K, <A::Aggregator as Aggregator<T>>::Output>,
            impl Operator<Out = WindowResult<K, <A::Aggregator as Aggregator<T>>::Output>>
            + Clone
            + use<K, T, F, C, W, A, M>,
        >,
        Fresh<T>,
    )
    where
        A: IntoAggregator<T, M>,
    {
        self.with_late(|windows| windows.aggregate(aggregate))
    }
}

impl<K, T, F, C, W, L> Windowed<K, T, F, C, W, L>
where
    K: Key,
    T: Record,
    F: FnMut(&T) -> K + Clone + Send + 'static,
    C: Operator<Out = T> + Clone,
    W: WindowKind<T>,
    L: LateOutput<T>,
{
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
    pub fn without_local_aggregation(self) -> Windowed<K, T, F, C, Direct<W>, L>
    where
        W: Aligned,
    {
        let Self { keyed, windows, lateness, late } = self;
        Windowed { keyed, windows: Direct(windows), lateness, late }
    }

    fn general(self) -> General<K, T, F, C, W, L> {
        GeneralWindowed::new(self.keyed, self.windows.parts(), self.lateness, self.late)
    }

    /// Fires when `trigger` says so, and not by default any more (SEMANTICS 31).
    #[allow(clippy::type_complexity)] // The parts, each by its name.
    pub fn trigger<R: Trigger<T>>(
        self,
        trigger: R,
    ) -> GeneralWindowed<K, T, F, C, W::Assigner, R, W::Eviction, L> {
        self.general().trigger(trigger)
    }

    /// Takes records out before or after a firing. All records of a window are then kept, also
    /// where they are only aggregated (SEMANTICS 36-38).
    #[allow(clippy::type_complexity)] // The parts, each by its name.
    pub fn evict<E: Evictor<T>>(
        self,
        evictor: E,
    ) -> GeneralWindowed<K, T, F, C, W::Assigner, W::Trigger, Evicting<E>, L> {
        self.general().evict(evictor)
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
        + use<K, T, F, C, W, L, A, M>,
    >
    where
        A: IntoAggregator<T, M>,
    {
        let Self { keyed, windows, lateness, late } = self;
        windows.aggregated(keyed, aggregate.into_aggregator(), lateness, late)
    }

    /// Each window's records combined two by two into one, for each key.
    pub fn reduce<R>(
        self,
        combine: R,
    ) -> Stream<
        WindowResult<K, T>,
        impl Operator<Out = WindowResult<K, T>> + Clone + use<K, T, F, C, W, L, R>,
    >
    where
        R: Fn(&T, &T) -> T + Clone + Send + 'static,
        reduce::Reduce<T, R>: Aggregator<T, Output = T>,
    {
        let Self { keyed, windows, lateness, late } = self;
        windows.aggregated(keyed, reduce::Reduce::new(combine), lateness, late)
    }

    /// An aggregate, whose result at each firing is shown to a function with states of the window
    /// and of its key: a [`WindowProcess`]. A window still keeps an accumulator only.
    pub fn aggregate_with<A, M, P>(
        self,
        aggregate: A,
        process: P,
    ) -> Stream<P::Out, impl Operator<Out = P::Out> + Clone + use<K, T, F, C, W, L, A, M, P>>
    where
        A: IntoAggregator<T, M>,
        P: WindowProcess<
                In = <A::Aggregator as Aggregator<T>>::Output,
                State: KeyedState<Key = K>,
                Out: Record,
            >,
    {
        self.general().aggregate_with(aggregate, process)
    }

    /// A function over all records of a window, with their times, in order of arrival. The window
    /// keeps them all: prefer an aggregate.
    pub fn apply<X, I>(
        self,
        function: X,
    ) -> Stream<I::Item, impl Operator<Out = I::Item> + Clone + use<K, T, F, C, W, L, X, I>>
    where
        X: FnMut(&K, Window, &[Stamped<T>]) -> I + Clone + Send + 'static,
        I: IntoIterator<Item: Record> + 'static,
    {
        self.general().apply(function)
    }

    /// A function over all records of a window with states of the window and of its key: a
    /// [`WindowProcess`]. The window keeps all records: prefer
    /// [`aggregate_with`](Windowed::aggregate_with).
    pub fn process<P>(
        self,
        process: P,
    ) -> Stream<P::Out, impl Operator<Out = P::Out> + Clone + use<K, T, F, C, W, L, P>>
    where
        P: WindowProcess<In = [Stamped<T>], State: KeyedState<Key = K>, Out: Record>,
    {
        self.general().process(process)
    }
}

/// What panes fire when every record crosses over to the owner of its key.
#[allow(clippy::type_complexity)] // Named once, here.
fn direct<K, T, F, C, G>(
    keyed: Keyed<K, T, F, C>,
    windows: Sliding,
    aggregator: G,
    lateness: Span,
    late_records: LateRecords,
) -> FiredStream<WindowResult<K, G::Output>, T, PaneWindows<K, T, F, G>>
where
    K: Key,
    T: Record,
    F: FnMut(&T) -> K + Clone + Send + 'static,
    C: Operator<Out = T> + Clone,
    G: Aggregator<T>,
{
    keyed.then(|key| {
        let windows = surely(PaneWindows::new(key, windows, aggregator));
        windows.allowed_lateness(lateness).late_records(late_records)
    })
}

/// Remembers what makes the job impossible; `true` where nothing does.
fn report(plan: &SharedPlan, outcome: Result<()>) -> bool {
    let Err(defect) = outcome else { return true };
    plan.borrow_mut().defect.get_or_insert(defect);
    false
}

fn surely<O>(operator: Result<O>) -> O {
    operator.unwrap_or_else(|error| panic!("windows that were checked were refused: {error}"))
}
