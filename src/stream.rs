//! A stream: a chain of operators that grows like an iterator, until it is spread over the cores or
//! ends.

use std::sync::Arc;

use tailwater_core::{Either, Error, Key, Record, Timestamp, stable_hash};
use tailwater_operators::in_order::InOrder;
use tailwater_operators::stateless::{Filter, FlatMap, Inspect, Map, TryMap};
use tailwater_operators::watermarks::AssignTime;
use tailwater_operators::{
    Identity, Operator, Process, ProcessEach, ProcessOperator, Sink, Then, UnkeyedContext,
    UnkeyedProcess, UnkeyedProcessOperator, WatermarkGenerator, Watermarks,
};
use tailwater_runtime::graph::{Edge, InboxPlan, KeyedInboxPlan, OutboxPlan};
use tailwater_runtime::task::fork::{BothPlan, ForkPlan};
use tailwater_runtime::task::sink::SinkPlan;
use tailwater_runtime::task::{InputPlan, OutputPlan};
use tailwater_runtime::{Objective, Partition};
use tailwater_state::keyed::KeyedState;

use crate::job::{Plan, SharedPlan};
use crate::outputs::{Outputs, Ways};
use crate::{Keyed, WindowKind, Windowed};

/// A stream of records of type `T`, computed by the chain `C`.
///
/// Operators are fused: a record goes through the whole chain in one call, until the stream is
/// spread over the cores ([`key_by`](Stream::key_by)), joined with another, or ends in a sink.
#[must_use = "a stream that leads to no sink computes nothing"]
pub struct Stream<T, C: Operator<Out = T>> {
    pub(crate) plan: SharedPlan,
    pub(crate) input: Arc<dyn InputPlan<C::In>>,
    pub(crate) chain: C,
    name: Option<Arc<str>>,
    parallelism: Option<u32>,
}

/// A whole stream cut into windows: one key, `()`.
pub type WindowedAll<T, C, W> = Windowed<(), T, fn(&T), C, W>;

/// A stream that starts at a ring.
pub type Fresh<T> = Stream<T, Identity<T>>;

impl<T: 'static> Stream<T, Identity<T>> {
    pub(crate) fn new(
        plan: SharedPlan,
        input: Arc<dyn InputPlan<T>>,
        name: Option<Arc<str>>,
    ) -> Self {
        Self { plan, input, chain: Identity::default(), name, parallelism: None }
    }
}

impl<T, C> Stream<T, C>
where
    T: 'static,
    C: Operator<Out = T> + Clone,
{
    /// Any operator at the end of the chain.
    pub fn then<O: Operator<In = T>>(self, operator: O) -> Stream<O::Out, Then<C, O>> {
        Stream {
            plan: self.plan,
            input: self.input,
            chain: Then::new(self.chain, operator),
            name: self.name,
            parallelism: self.parallelism,
        }
    }

    /// One record in, one out.
    pub fn map<U, F>(self, function: F) -> Stream<U, Then<C, Map<T, U, F>>>
    where
        U: 'static,
        F: FnMut(T) -> U + Clone + Send + 'static,
    {
        self.then(Map::new(function))
    }

    /// Keeps the records that `predicate` says `true` to.
    pub fn filter<F>(self, predicate: F) -> Stream<T, Then<C, Filter<T, F>>>
    where
        F: FnMut(&T) -> bool + Clone + Send + 'static,
    {
        self.then(Filter::new(predicate))
    }

    /// One record in, any number out.
    pub fn flat_map<I, F>(self, function: F) -> Stream<I::Item, Then<C, FlatMap<T, I, F>>>
    where
        I: IntoIterator + 'static,
        F: FnMut(T) -> I + Clone + Send + 'static,
    {
        self.then(FlatMap::new(function))
    }

    /// One record in, one out; an error ends the job and is told with the record's event time.
    pub fn try_map<U, E, F>(self, function: F) -> Stream<U, Then<C, TryMap<T, U, E, F>>>
    where
        U: 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
        F: FnMut(T) -> Result<U, E> + Clone + Send + 'static,
    {
        self.then(TryMap::new(function))
    }

    /// Shows each record with its event time to `function`.
    pub fn inspect<F>(self, function: F) -> Stream<T, Then<C, Inspect<T, F>>>
    where
        F: FnMut(Timestamp, &T) + Clone + Send + 'static,
    {
        self.then(Inspect::new(function))
    }

    /// Calls `function` with each record, and with a context that emits any number of records, at
    /// the record's time or another, and knows the watermark and the clock. For state of a key and
    /// timers see [`Keyed::process`](crate::Keyed::process), for state of a core
    /// [`process_unkeyed`](Stream::process_unkeyed).
    pub fn process<U, F>(self, function: F) -> Stream<U, Then<C, ProcessEach<T, U, F>>>
    where
        U: Send + 'static,
        F: FnMut(T, &mut UnkeyedContext<U>) + Clone + Send + 'static,
    {
        self.then(ProcessEach::new(function))
    }

    /// Calls `process` with each record on the core where it is, with what it remembers on that
    /// core: lists that are dealt out or copied when the number of cores changes
    /// (SEMANTICS 62, 63).
    ///
    /// Which records come to a core hangs on the number of cores, so a deterministic merge takes it
    /// behind [`gather`](Stream::gather) only.
    ///
    /// ```
    /// use tailwater::prelude::*;
    ///
    /// /// Hands records on by threes.
    /// #[derive(Clone)]
    /// struct Threes;
    ///
    /// #[operator_state]
    /// struct Batch { numbers: ListState<u64> }
    ///
    /// impl UnkeyedProcess for Threes {
    ///     type In = u64;
    ///     type State = Batch;
    ///     type Out = Vec<u64>;
    ///
    ///     fn on_record(&mut self, n: u64, batch: &mut Batch, out: &mut UnkeyedContext<Vec<u64>>) {
    ///         batch.numbers.push(n);
    ///         if batch.numbers.len() == 3 {
    ///             out.emit(batch.numbers.drain(..).collect());
    ///         }
    ///     }
    ///
    ///     fn on_end(&mut self, batch: &mut Batch, out: &mut UnkeyedContext<Vec<u64>>) {
    ///         out.emit(batch.numbers.drain(..).collect());
    ///     }
    /// }
    ///
    /// # fn main() -> Result<()> {
    /// let (job, batches) = (Job::new("threes"), collect());
    /// let numbers = job.source(from_vec(vec![1, 2, 3, 4])).unstamped();
    /// numbers.process_unkeyed(Threes).sink(batches.clone());
    /// job.run(Local::cores(1))?;
    /// assert_eq!(batches.take(), [vec![1, 2, 3], vec![4]]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn process_unkeyed<P>(
        self,
        process: P,
    ) -> Stream<P::Out, Then<C, UnkeyedProcessOperator<P>>>
    where
        P: UnkeyedProcess<In = T, Out: Send + 'static>,
    {
        self.then(UnkeyedProcessOperator::new(process))
    }

    /// Gives records event times and watermarks here, in the middle of a stream, in place of those
    /// that they had. Prefer the event time of the source, which knows its splits: here there is no
    /// idleness and no alignment.
    pub fn event_time<F, G>(
        self,
        time: F,
        watermarks: Watermarks<G>,
    ) -> Stream<T, Then<C, AssignTime<T, F, G>>>
    where
        F: FnMut(&T) -> Timestamp + Clone + Send + 'static,
        G: WatermarkGenerator<T>,
    {
        if watermarks.aligned.is_some() || watermarks.idle_after.is_some() {
            let defect = "only the splits of a source can be idle or wait for each other: leave out \
                          `idle_after` and `aligned`, or give the source its event time";
            self.plan.borrow_mut().defect.get_or_insert(Error::configuration(defect));
        }
        self.then(AssignTime::new(time, watermarks.generator))
    }

    /// A name for `explain`, reports and counters, for the task that this stream is part of.
    pub fn named(mut self, name: impl AsRef<str>) -> Self {
        let name = self.plan.borrow_mut().graph.unique_name(name.as_ref());
        self.name = Some(name);
        self
    }

    /// The task that this stream is part of runs on the first `cores` cores at most; its keys and
    /// its state are dealt to them. It begins where the stream was last spread over the cores:
    /// `.rebalance().parallelism(2)`, or `.key_by(..).process(..).parallelism(2)`.
    ///
    /// A source, and a task that takes its records where they are, cannot be told so: the job is
    /// then refused.
    pub fn parallelism(mut self, cores: u32) -> Self {
        self.parallelism = Some(cores);
        self
    }

    /// A latency that the job promises; see [`Job::objective`](crate::Job::objective).
    pub fn objective(self, percentile: f64, limit: tailwater_core::Span) -> Self {
        let objective = Objective { percentile, limit };
        self.plan.borrow_mut().graph.objectives.push(objective);
        self
    }

    /// An edge for what this stream will be.
    pub(crate) fn edge<E>(&self, partition: Partition) -> Arc<Edge<E>> {
        self.plan.borrow_mut().graph.edge(partition)
    }

    /// Ends the chain with `output` and adds it to the graph.
    pub(crate) fn end<P: OutputPlan<T>>(self, output: P) -> SharedPlan {
        {
            let Plan { graph, defect } = &mut *self.plan.borrow_mut();
            let name = self.name.unwrap_or_else(|| {
                let mut operators = Vec::new();
                self.chain.describe(&mut operators);
                let first = operators.first().map(|operator| operator.name.clone());
                graph.unique_name(first.as_deref().unwrap_or("forward"))
            });
            if let Err(error) = graph.add(name, self.input, self.chain, output, self.parallelism) {
                defect.get_or_insert(error);
            }
        }
        self.plan
    }

    /// Leads the stream out of the job.
    pub fn sink<S: Sink<T>>(self, sink: S)
    where
        T: Record,
    {
        if sink.single_writer() {
            self.gather().end_in(sink);
        } else {
            self.end_in(sink);
        }
    }

    fn end_in<S: Sink<T>>(mut self, sink: S)
    where
        T: Record,
    {
        let name = self.plan.borrow_mut().graph.unique_name(&sink.name());
        let mut operators = Vec::new();
        self.chain.describe(&mut operators);
        if operators.is_empty() && self.name.is_none() {
            // A task that does nothing but write is called after what it writes to.
            self.name = Some(name.clone());
        }
        self.end(SinkPlan::new(name, sink));
    }
}

impl<T, C> Stream<T, C>
where
    T: Record,
    C: Operator<Out = T> + Clone,
{
    /// Partitions the stream by a key: each core gets the records of the keys that it owns.
    pub fn key_by<K, F>(self, key: F) -> Keyed<K, T, F, C>
    where
        K: Key,
        F: FnMut(&T) -> K + Clone + Send + 'static,
    {
        Keyed::new(self, key)
    }

    /// Windows over the whole stream, kept on one core. Tumbling and sliding windows of an
    /// aggregate are summed up on each core before, so that only partial sums come together there.
    pub fn window_all<W: WindowKind<T>>(self, windows: W) -> WindowedAll<T, C, W> {
        let whole: fn(&T) = |_| ();
        self.key_by(whole).window(windows)
    }

    /// Ends the chain and brings each record to the core that owns its key.
    pub(crate) fn exchange<K, F>(self, mut key: F) -> Fresh<T>
    where
        K: Key,
        F: FnMut(&T) -> K + Clone + Send + 'static,
    {
        let edge = self.plan.borrow_mut().graph.edge(Partition::ByKey);
        let plan = self.end(OutboxPlan::by_key(edge.clone(), key.clone()));
        fresh_by_key(plan, vec![edge], move |record: &T| Some(key(record)))
    }

    /// A function of the user's over all records, on the first core, with state and timers: a
    /// [`Process`] whose key is `()`.
    pub fn process_all<P>(
        self,
        process: P,
    ) -> Stream<P::Out, Then<Identity<T>, ProcessOperator<P, fn(&T)>>>
    where
        P: Process<In = T, State: KeyedState<Key = ()>, Out: Send + 'static>,
    {
        let key: fn(&T) = |_| ();
        self.gather().then(ProcessOperator::new(key, process))
    }

    /// Brings all records to the first core and emits them in the order of event time, and by `key`
    /// where times are equal, as soon as the watermark proves that none is missing. The order does
    /// not depend on the number of cores.
    pub fn in_order<K, F>(self, key: F) -> Stream<T, Then<Identity<T>, InOrder<T, K, F>>>
    where
        K: Ord + 'static,
        F: FnMut(&T) -> K + Clone + Send + 'static,
    {
        self.gather().then(InOrder::new(key))
    }

    /// The records of both streams, in no particular order.
    pub fn union<D>(self, other: Stream<T, D>) -> Fresh<T>
    where
        D: Operator<Out = T> + Clone,
    {
        let edges = {
            let graph = &mut self.plan.borrow_mut().graph;
            vec![graph.edge(Partition::Forward), graph.edge(Partition::Forward)]
        };
        other.end(OutboxPlan::to_one(edges[1].clone()));
        let plan = self.end(OutboxPlan::to_one(edges[0].clone()));
        fresh(plan, edges)
    }

    /// Two streams: of the records that `predicate` says `true` to, and of the others.
    pub fn split<F>(self, mut predicate: F) -> (Fresh<T>, Fresh<T>)
    where
        F: FnMut(&T) -> bool + Clone + Send + 'static,
    {
        self.map(
            move |record| {
                if predicate(&record) { Either::First(record) } else { Either::Second(record) }
            },
        )
        .fork()
    }

    /// The same stream twice.
    pub fn tee(self) -> (Fresh<T>, Fresh<T>) {
        let (first, second) = {
            let graph = &mut self.plan.borrow_mut().graph;
            (graph.edge(Partition::Forward), graph.edge(Partition::Forward))
        };
        let plan = self.end(BothPlan {
            first: OutboxPlan::to_one(first.clone()),
            second: OutboxPlan::to_one(second.clone()),
        });
        (fresh(plan.clone(), vec![first]), fresh(plan, vec![second]))
    }
}

impl<T, C> Stream<T, C>
where
    T: Outputs,
    C: Operator<Out = T> + Clone,
{
    /// A stream for each variant of what an operator emits, in their order: its main output and its
    /// side outputs, each of a type of its own. All of them get the watermarks and barriers.
    ///
    /// ```
    /// use tailwater::prelude::*;
    ///
    /// /// What a check emits: readings, and beside them two sorts of complaints.
    /// #[derive(Outputs)]
    /// enum Checked { Reading(i64), Negative(u64), Garbled(String) }
    ///
    /// # fn main() -> Result<()> {
    /// let job = Job::new("check");
    /// let (readings, negative, garbled) = job
    ///     .source(from_vec(vec!["7".to_owned(), "-3".to_owned(), "x".to_owned()]))
    ///     .unstamped()
    ///     .map(|text| match text.parse::<i64>() {
    ///         Ok(reading) if reading >= 0 => Checked::Reading(reading),
    ///         Ok(reading) => Checked::Negative(reading.unsigned_abs()),
    ///         Err(_) => Checked::Garbled(text),
    ///     })
    ///     .outputs();
    /// let (numbers, debts, words) = (collect(), collect(), collect());
    /// readings.sink(numbers.clone());
    /// negative.sink(debts.clone());
    /// garbled.sink(words.clone());
    /// job.run(Local::cores(1))?;
    /// assert_eq!(numbers.take(), [7]);
    /// assert_eq!(debts.take(), [3]);
    /// assert_eq!(words.take(), ["x"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn outputs(self) -> T::Streams {
        let (output, streams) = T::Ways::open(&self.plan);
        self.then(Map::new(T::way).hidden()).end(output);
        T::streams(streams)
    }
}

impl<X, C> Stream<X, C>
where
    X: tailwater_runtime::task::fork::TwoWays + 'static,
    X::First: Record,
    X::Second: Record,
    C: Operator<Out = X> + Clone,
{
    /// Ends the chain and tells its output apart into two streams.
    pub(crate) fn fork(self) -> (Fresh<X::First>, Fresh<X::Second>) {
        let (first, second) = {
            let graph = &mut self.plan.borrow_mut().graph;
            (graph.edge(Partition::Forward), graph.edge(Partition::Forward))
        };
        let plan = self.end(ForkPlan {
            first: OutboxPlan::to_one(first.clone()),
            second: OutboxPlan::to_one(second.clone()),
        });
        (fresh(plan.clone(), vec![first]), fresh(plan, vec![second]))
    }
}

/// A stream that starts at these edges.
pub(crate) fn fresh<T: Record>(plan: SharedPlan, edges: Vec<Arc<Edge<T>>>) -> Fresh<T> {
    Stream::new(plan, Arc::new(InboxPlan::new(edges)), None)
}

/// A stream that starts at these edges, each record on the core that owns its key; in batch mode
/// sorted by it. `key` is `None` for a record that is for all keys.
pub(crate) fn fresh_by_key<T, K, F>(
    plan: SharedPlan,
    edges: Vec<Arc<Edge<T>>>,
    mut key: F,
) -> Fresh<T>
where
    T: Record,
    K: Key,
    F: FnMut(&T) -> Option<K> + Clone + Send + 'static,
{
    let hash = move |record: &T| key(record).as_ref().map(stable_hash);
    Stream::new(plan, Arc::new(KeyedInboxPlan::new(edges, hash)), None)
}
