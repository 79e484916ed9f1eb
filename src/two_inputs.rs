//! Two streams in one operator: by key, side by side, or one of them brought to every core.

use std::marker::PhantomData;
use std::sync::Arc;

use tailwater_core::{Either, Key, Record};
use tailwater_operators::stateless::{FlatMap, Map};
use tailwater_operators::{
    BroadcastOperator, BroadcastProcess, CoProcess, Operator, ProcessOperator,
    UnkeyedBroadcastOperator, UnkeyedBroadcastProcess,
};
use tailwater_runtime::Partition;
use tailwater_runtime::graph::{Edge, OutboxPlan};
use tailwater_state::keyed::KeyedState;

use crate::connected::connect;
use crate::stream::{Fresh, fresh, fresh_by_key};
use crate::{Keyed, Stream};

impl<K, T, F, C> Keyed<K, T, F, C>
where
    K: Key,
    T: Record,
    F: FnMut(&T) -> K + Clone + Send + 'static,
    C: Operator<Out = T> + Clone,
{
    /// This stream and `other`, by the same key: the records of a key meet on the core that owns
    /// it, and share its state (SEMANTICS 98).
    ///
    /// ```
    /// use tailwater::prelude::*;
    ///
    /// #[keyed_state(key = u32)]
    /// struct Open { ordered: Value<i64> }
    ///
    /// /// What is left of the orders of an account when all is told.
    /// #[derive(Clone)]
    /// struct Left;
    ///
    /// impl CoProcess for Left {
    ///     type Left = (u32, i64);
    ///     type Right = (u32, i64);
    ///     type State = Open;
    ///     type Out = (u32, i64);
    ///
    ///     fn on_left(&mut self, sold: Self::Left, open: &mut Open, ctx: &mut Context<Self::Out>) {
    ///         *open.ordered.or_default() += sold.1;
    ///         ctx.event_timer(Timestamp(0));
    ///     }
    ///
    ///     fn on_right(&mut self, fill: Self::Right, open: &mut Open, _: &mut Context<Self::Out>) {
    ///         *open.ordered.or_default() -= fill.1;
    ///     }
    ///
    ///     fn on_timer(&mut self, _: Timestamp, open: &mut Open, ctx: &mut Context<Self::Out>) {
    ///         ctx.emit((*open.key(), *open.ordered.or_default()));
    ///     }
    /// }
    ///
    /// # fn main() -> Result<()> {
    /// let job = Job::new("open-orders");
    /// let orders = job.source(from_vec(vec![(1, 100), (2, 50)])).named("orders").unstamped();
    /// let fills = job.source(from_vec(vec![(1, 30)])).named("fills").unstamped();
    /// let results = collect();
    /// orders
    ///     .key_by(|order: &(u32, i64)| order.0)
    ///     .connect(fills.key_by(|fill: &(u32, i64)| fill.0))
    ///     .process(Left)
    ///     .sink(results.clone());
    /// job.run(Local::cores(2))?;
    /// let mut left = results.take();
    /// left.sort();
    /// assert_eq!(left, [(1, 70), (2, 50)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect<R, G, D>(self, other: Keyed<K, R, G, D>) -> ConnectedKeyed<K, T, R, F, G>
    where
        R: Record,
        G: FnMut(&R) -> K + Clone + Send + 'static,
        D: Operator<Out = R> + Clone,
    {
        let (left, right) = (self.key.clone(), other.key.clone());
        ConnectedKeyed { stream: connect(self, other), left, right, key: PhantomData }
    }

    /// This stream by key, and beside it `control`, each record of which goes to every core: rules,
    /// limits, reference data that the records of all keys are looked at with (SEMANTICS 64).
    ///
    /// ```
    /// use tailwater::prelude::*;
    ///
    /// /// Orders that are above the limit of their symbol when all is told.
    /// #[derive(Clone)]
    /// struct Limits;
    ///
    /// #[keyed_state(key = u32)]
    /// struct Orders { all: List<i64> }
    ///
    /// impl BroadcastProcess for Limits {
    ///     type In = (u32, i64);
    ///     type Broadcast = (u32, i64);
    ///     type Shared = BroadcastState<u32, i64>;
    ///     type State = Orders;
    ///     type Out = (u32, i64);
    ///
    ///     fn on_record(
    ///         &mut self,
    ///         (_, size): (u32, i64),
    ///         _: &BroadcastState<u32, i64>,
    ///         orders: &mut Orders,
    ///         context: &mut Context<(u32, i64)>,
    ///     ) {
    ///         orders.all.push(size);
    ///         context.event_timer(Timestamp(0));
    ///     }
    ///
    ///     fn on_broadcast(
    ///         &mut self,
    ///         (symbol, limit): (u32, i64),
    ///         limits: &mut BroadcastState<u32, i64>,
    ///         _: &mut BroadcastContext<'_, Orders, (u32, i64)>,
    ///     ) {
    ///         limits.insert(symbol, limit);
    ///     }
    ///
    ///     fn on_timer(
    ///         &mut self,
    ///         _: Timestamp,
    ///         limits: &BroadcastState<u32, i64>,
    ///         orders: &mut Orders,
    ///         context: &mut Context<(u32, i64)>,
    ///     ) {
    ///         let symbol = *orders.key();
    ///         let limit = limits.get(&symbol).copied().unwrap_or(i64::MAX);
    ///         for size in orders.all.iter().filter(|size| **size > limit) {
    ///             context.emit((symbol, *size));
    ///         }
    ///     }
    /// }
    ///
    /// # fn main() -> Result<()> {
    /// let job = Job::new("limits");
    /// let limits = job.source(from_vec(vec![(1, 100)])).named("limits").unstamped();
    /// let results = collect();
    /// job.source(from_vec(vec![(1, 50), (1, 150), (2, 500)]))
    ///     .named("orders")
    ///     .unstamped()
    ///     .key_by(|order: &(u32, i64)| order.0)
    ///     .connect_broadcast(limits)
    ///     .process(Limits)
    ///     .sink(results.clone());
    /// job.run(Local::cores(2))?;
    /// assert_eq!(results.take(), [(1, 150)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect_broadcast<B, D>(self, control: Stream<B, D>) -> ConnectedBroadcast<K, T, B, F>
    where
        B: Record,
        D: Operator<Out = B> + Clone,
    {
        let edges = vec![self.stream.edge(Partition::ByKey), to_all(control)];
        let Keyed { stream, key, .. } = self;
        let mut key_of = key.clone();
        let route = move |record: &Either<T, B>| match record {
            Either::First(record) => key_of(record),
            Either::Second(_) => unreachable!("a control record has an edge of its own"),
        };
        let records = stream.then(Map::new(Either::<T, B>::First).hidden());
        let plan = records.end(OutboxPlan::by_key(edges[0].clone(), route));
        let mut key_of = key.clone();
        let key_of = move |record: &Either<T, B>| match record {
            Either::First(record) => Some(key_of(record)),
            Either::Second(_) => None,
        };
        let stream = fresh_by_key(plan, edges, key_of);
        ConnectedBroadcast { stream, key, of: PhantomData }
    }
}

/// An edge that brings each record of `control` to every core, as the second of two streams.
fn to_all<T, B, D>(control: Stream<B, D>) -> Arc<Edge<Either<T, B>>>
where
    T: Record,
    B: Record,
    D: Operator<Out = B> + Clone,
{
    let edge = control.edge(Partition::Broadcast);
    let control = control.then(Map::new(Either::<T, B>::Second).hidden());
    control.end(OutboxPlan::to_all(edge.clone()));
    edge
}

/// Two streams with the same key.
#[must_use = "say what becomes of the records: `process`"]
pub struct ConnectedKeyed<K, L: Record, R: Record, F, G> {
    stream: Fresh<Either<L, R>>,
    left: F,
    right: G,
    key: PhantomData<fn() -> K>,
}

impl<K, L, R, F, G> ConnectedKeyed<K, L, R, F, G>
where
    K: Key,
    L: Record,
    R: Record,
    F: FnMut(&L) -> K + Clone + Send + 'static,
    G: FnMut(&R) -> K + Clone + Send + 'static,
{
    /// A function of the user's over the records of each key, from both streams, with state and
    /// timers: a [`CoProcess`].
    pub fn process<P>(
        self,
        process: P,
    ) -> Stream<P::Out, impl Operator<Out = P::Out> + Clone + use<K, L, R, F, G, P>>
    where
        P: CoProcess<Left = L, Right = R, State: KeyedState<Key = K>, Out: Send + 'static>,
    {
        let Self { stream, mut left, mut right, .. } = self;
        let key = move |record: &Either<L, R>| match record {
            Either::First(record) => left(record),
            Either::Second(record) => right(record),
        };
        stream.then(ProcessOperator::of_two(key, process))
    }
}

/// A stream by key, and one that every core gets.
#[must_use = "say what becomes of the records: `process`"]
pub struct ConnectedBroadcast<K, T: Record, B: Record, F> {
    stream: Fresh<Either<T, B>>,
    key: F,
    of: PhantomData<fn() -> K>,
}

impl<K, T, B, F> ConnectedBroadcast<K, T, B, F>
where
    K: Key,
    T: Record,
    B: Record,
    F: FnMut(&T) -> K + Clone + Send + 'static,
{
    /// A function of the user's over the records of each key, with state and timers, beside what
    /// the other stream says: a [`BroadcastProcess`].
    pub fn process<P>(
        self,
        process: P,
    ) -> Stream<P::Out, impl Operator<Out = P::Out> + Clone + use<K, T, B, F, P>>
    where
        P: BroadcastProcess<In = T, Broadcast = B, State: KeyedState<Key = K>, Out: Send + 'static>,
    {
        self.stream.then(BroadcastOperator::new(self.key, process))
    }
}

impl<T, C> Stream<T, C>
where
    T: Record,
    C: Operator<Out = T> + Clone,
{
    /// This stream and `other` side by side, without a key.
    ///
    /// ```
    /// use tailwater::prelude::*;
    ///
    /// # fn main() -> Result<()> {
    /// let job = Job::new("words");
    /// let numbers = job.source(from_vec(vec![7u64])).named("numbers").unstamped();
    /// let words = job.source(from_vec(vec!["seven".to_owned()])).named("words").unstamped();
    /// let results = collect();
    /// numbers.connect(words).map(|number| number.to_string(), |word| word).sink(results.clone());
    /// job.run(Local::cores(1))?;
    /// let mut texts = results.take();
    /// texts.sort();
    /// assert_eq!(texts, ["7", "seven"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect<R, D>(self, other: Stream<R, D>) -> Connected<T, R>
    where
        R: Record,
        D: Operator<Out = R> + Clone,
    {
        let edges = vec![self.edge(Partition::Forward), other.edge(Partition::Forward)];
        let other = other.then(Map::new(Either::<T, R>::Second).hidden());
        other.end(OutboxPlan::to_one(edges[1].clone()));
        let own = self.then(Map::new(Either::<T, R>::First).hidden());
        let plan = own.end(OutboxPlan::to_one(edges[0].clone()));
        Connected { stream: fresh(plan, edges) }
    }

    /// This stream where it is, and beside it `control`, each record of which goes to every core:
    /// rules or reference data that all records are looked at with (SEMANTICS 64). With a key there
    /// is state and there are timers as well: [`Keyed::connect_broadcast`].
    ///
    /// In batch mode `control` is read fully first (SEMANTICS 90); each core then takes its records
    /// in the order of time.
    ///
    /// ```
    /// use tailwater::prelude::*;
    ///
    /// /// Names for numbers.
    /// #[derive(Clone)]
    /// struct Names;
    ///
    /// impl UnkeyedBroadcastProcess for Names {
    ///     type In = u32;
    ///     type Broadcast = (u32, String);
    ///     type Shared = BroadcastState<u32, String>;
    ///     type Out = String;
    ///
    ///     fn on_record(
    ///         &mut self,
    ///         number: u32,
    ///         names: &Self::Shared,
    ///         context: &mut UnkeyedContext<String>,
    ///     ) {
    ///         context.emit(names.get(&number).cloned().unwrap_or_default());
    ///     }
    ///
    ///     fn on_broadcast(
    ///         &mut self,
    ///         (number, name): (u32, String),
    ///         names: &mut Self::Shared,
    ///         _: &mut UnkeyedContext<String>,
    ///     ) {
    ///         names.insert(number, name);
    ///     }
    /// }
    ///
    /// # fn main() -> Result<()> {
    /// let job = Job::new("names");
    /// let names = job.source(from_vec(vec![(1, "one".to_owned())])).named("names").unstamped();
    /// let results = collect();
    /// job.source(from_vec(vec![1, 2]))
    ///     .named("numbers")
    ///     .unstamped()
    ///     .connect_broadcast(names)
    ///     .process(Names)
    ///     .sink(results.clone());
    /// job.run(Local { mode: RuntimeMode::Batch, ..Local::cores(2) })?;
    /// let mut results = results.take();
    /// results.sort();
    /// assert_eq!(results, ["", "one"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect_broadcast<B, D>(self, control: Stream<B, D>) -> UnkeyedBroadcast<T, B>
    where
        B: Record,
        D: Operator<Out = B> + Clone,
    {
        let edges = vec![self.edge(Partition::Forward), to_all(control)];
        let records = self.then(Map::new(Either::<T, B>::First).hidden());
        let plan = records.end(OutboxPlan::to_one(edges[0].clone()));
        // One key for all records of a core: in batch mode they wait for the other side, and are
        // kept on the disk where memory does not do.
        let one_key = |record: &Either<T, B>| matches!(record, Either::First(_)).then_some(());
        UnkeyedBroadcast { stream: fresh_by_key(plan, edges, one_key) }
    }
}

/// A stream without a key, and one that every core gets.
#[must_use = "say what becomes of the records: `process`"]
pub struct UnkeyedBroadcast<T: Record, B: Record> {
    stream: Fresh<Either<T, B>>,
}

impl<T: Record, B: Record> UnkeyedBroadcast<T, B> {
    /// A function of the user's over the records, beside what the other stream says: an
    /// [`UnkeyedBroadcastProcess`].
    pub fn process<P>(
        self,
        process: P,
    ) -> Stream<P::Out, impl Operator<Out = P::Out> + Clone + use<T, B, P>>
    where
        P: UnkeyedBroadcastProcess<In = T, Broadcast = B, Out: Send + 'static>,
    {
        self.stream.then(UnkeyedBroadcastOperator::new(process))
    }
}

/// Two streams side by side.
#[must_use = "say what becomes of the records: `map` or `flat_map`"]
pub struct Connected<L: Record, R: Record> {
    stream: Fresh<Either<L, R>>,
}

impl<L: Record, R: Record> Connected<L, R> {
    /// One record in, from either stream, one out.
    pub fn map<U, F, G>(
        self,
        mut left: F,
        mut right: G,
    ) -> Stream<U, impl Operator<Out = U> + Clone + use<L, R, U, F, G>>
    where
        U: 'static,
        F: FnMut(L) -> U + Clone + Send + 'static,
        G: FnMut(R) -> U + Clone + Send + 'static,
    {
        self.stream.then(Map::new(move |record| match record {
            Either::First(record) => left(record),
            Either::Second(record) => right(record),
        }))
    }

    /// One record in, from either stream, any number out.
    pub fn flat_map<I, F, G>(
        self,
        mut left: F,
        mut right: G,
    ) -> Stream<I::Item, impl Operator<Out = I::Item> + Clone + use<L, R, I, F, G>>
    where
        I: IntoIterator + 'static,
        F: FnMut(L) -> I + Clone + Send + 'static,
        G: FnMut(R) -> I + Clone + Send + 'static,
    {
        self.stream.then(FlatMap::new(move |record| match record {
            Either::First(record) => left(record),
            Either::Second(record) => right(record),
        }))
    }
}
