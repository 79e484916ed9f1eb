//! A stream partitioned by a key: windows and rolling aggregates of each key.

use tailwater_core::{Key, Record};
use tailwater_operators::rolling::{
    self, FieldExtreme, FieldSum, Fold, RecordExtreme, Reduce, Rolling, RollingStep,
};
use tailwater_operators::{Identity, Operator, Process, ProcessOperator, Then};
use tailwater_state::keyed::KeyedState;

use crate::{Stream, WindowKind, Windowed};

/// A stream computed by the chain `C`, whose records go to the core that owns their key. Where they
/// cross over is the affair of what is done with them: windows may sum them up before.
#[must_use = "a stream that leads to no sink computes nothing"]
pub struct Keyed<K, T: 'static, F, C: Operator<Out = T>> {
    pub(crate) stream: Stream<T, C>,
    pub(crate) key: F,
    expected_keys: u64,
    types: std::marker::PhantomData<fn(&T) -> K>,
}

/// A stream of what one keyed operator emits.
pub type AfterKey<T, O> = Stream<<O as Operator>::Out, Then<Identity<T>, O>>;

impl<K, T, F, C> Keyed<K, T, F, C>
where
    K: Key,
    T: Record,
    F: FnMut(&T) -> K + Clone + Send + 'static,
    C: Operator<Out = T> + Clone,
{
    pub(crate) fn new(stream: Stream<T, C>, key: F) -> Self {
        Self { stream, key, expected_keys: 0, types: std::marker::PhantomData }
    }

    /// Makes room for so many keys, on all cores together, before the first record: rolling
    /// aggregates then need not look for memory while records flow.
    pub fn expect_keys(mut self, keys: u64) -> Self {
        self.expected_keys = keys;
        self
    }

    /// Any keyed operator; it is given the function that takes a record's key.
    pub fn then<O: Operator<In = T>>(self, operator: impl FnOnce(F) -> O) -> AfterKey<T, O> {
        let operator = operator(self.key.clone());
        self.records().then(operator)
    }

    /// The records as they are, each on the core that owns its key.
    pub fn records(self) -> Stream<T, Identity<T>> {
        self.stream.exchange(self.key)
    }

    /// Windows for each key: [`Tumbling`](crate::prelude::Tumbling),
    /// [`Sliding`](crate::prelude::Sliding), [`Cumulative`](crate::prelude::Cumulative),
    /// [`Session`](crate::prelude::Session), [`DynamicSession`](crate::prelude::DynamicSession),
    /// [`Counted`](crate::prelude::Counted), [`Global`](crate::prelude::Global). Those of time may
    /// go by the wall clock: `Tumbling::of(1.secs()).processing_time()`.
    pub fn window<W: WindowKind<T>>(self, windows: W) -> Windowed<K, T, F, C, W> {
        Windowed::new(self, windows)
    }

    /// A function of the user's over the records of each key, with state and timers: a
    /// [`Process`](crate::prelude::Process). Its state is keyed by what the stream is keyed by.
    pub fn process<P>(self, process: P) -> AfterKey<T, ProcessOperator<P, F>>
    where
        P: Process<In = T, State: KeyedState<Key = K>, Out: Send + 'static>,
        ProcessOperator<P, F>: Operator<In = T>,
    {
        self.then(|key| ProcessOperator::new(key, process))
    }

    /// For each record, all records of its key so far combined into one. The first is emitted as it
    /// is.
    pub fn reduce<R>(self, combine: R) -> AfterKey<T, Rolling<K, T, F, Reduce<R>>>
    where
        R: FnMut(&T, T) -> T + Clone + Send + 'static,
        Reduce<R>: RollingStep<T>,
    {
        let keys = self.expected_keys;
        self.then(|key| rolling::reduce(key, combine).expecting_keys(keys))
    }

    /// For each record, a value that all records of its key so far were added to.
    pub fn fold<A, R>(self, initial: A, add: R) -> AfterKey<T, Rolling<K, T, F, Fold<A, R>>>
    where
        A: Record,
        R: FnMut(&mut A, &T) + Clone + Send + 'static,
        Fold<A, R>: RollingStep<T>,
    {
        let keys = self.expected_keys;
        self.then(|key| rolling::fold(key, initial, add).expecting_keys(keys))
    }

    /// For each record, the first of its key with one field replaced by the sum so far
    /// (SEMANTICS 85).
    pub fn sum<V, G, P>(self, get: G, set: P) -> AfterKey<T, Rolling<K, T, F, FieldSum<G, P>>>
    where
        V: rolling::CheckedSum + 'static,
        G: FnMut(&T) -> V + Clone + Send + 'static,
        P: FnMut(&mut T, V) + Clone + Send + 'static,
        FieldSum<G, P>: RollingStep<T>,
    {
        let keys = self.expected_keys;
        self.then(|key| rolling::sum(key, get, set).expecting_keys(keys))
    }

    /// For each record, the first of its key with one field replaced by the least so far
    /// (SEMANTICS 85).
    pub fn min<V, G, P>(self, get: G, set: P) -> AfterKey<T, Rolling<K, T, F, FieldExtreme<G, P>>>
    where
        V: Ord + 'static,
        G: FnMut(&T) -> V + Clone + Send + 'static,
        P: FnMut(&mut T, V) + Clone + Send + 'static,
        FieldExtreme<G, P>: RollingStep<T>,
    {
        let keys = self.expected_keys;
        self.then(|key| rolling::min(key, get, set).expecting_keys(keys))
    }

    /// For each record, the first of its key with one field replaced by the greatest so far.
    pub fn max<V, G, P>(self, get: G, set: P) -> AfterKey<T, Rolling<K, T, F, FieldExtreme<G, P>>>
    where
        V: Ord + 'static,
        G: FnMut(&T) -> V + Clone + Send + 'static,
        P: FnMut(&mut T, V) + Clone + Send + 'static,
        FieldExtreme<G, P>: RollingStep<T>,
    {
        let keys = self.expected_keys;
        self.then(|key| rolling::max(key, get, set).expecting_keys(keys))
    }

    /// For each record, the one of its key with the least value so far; the first of equals.
    pub fn min_by<V, G>(self, get: G) -> AfterKey<T, Rolling<K, T, F, RecordExtreme<G>>>
    where
        V: Ord + 'static,
        G: FnMut(&T) -> V + Clone + Send + 'static,
        RecordExtreme<G>: RollingStep<T>,
    {
        let keys = self.expected_keys;
        self.then(|key| rolling::min_by(key, get).expecting_keys(keys))
    }

    /// For each record, the one of its key with the greatest value so far; the first of equals.
    pub fn max_by<V, G>(self, get: G) -> AfterKey<T, Rolling<K, T, F, RecordExtreme<G>>>
    where
        V: Ord + 'static,
        G: FnMut(&T) -> V + Clone + Send + 'static,
        RecordExtreme<G>: RollingStep<T>,
    {
        let keys = self.expected_keys;
        self.then(|key| rolling::max_by(key, get).expecting_keys(keys))
    }
}
