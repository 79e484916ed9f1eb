//! A look-up for each record by its key, with a cache in front of it and one call for all that want
//! the same key.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;

use rkyv::{Archive, Deserialize, Serialize};
use tailwater_core::{Counter, Describe, Key, Span, Timestamp, stable_hash};

use super::cache::Cache;
use super::{Answered, Ask, Asked, Async, ResultOrder};
use crate::OperatorContext;

/// How records are enriched by look-ups: which answers are remembered for how long, and how calls
/// are made.
///
/// What is remembered lies on the core that owns the key. It is no state: a checkpoint does not
/// hold it, and it is lost in a restart.
///
/// ```
/// use tailwater_core::TimeUnits;
/// use tailwater_operators::async_io::{Async, LookUp};
///
/// let accounts: LookUp<u64, String, std::io::Error> = LookUp::cached(10_000, 60.secs())
///     .remember_absent(5.secs())
///     .calls(Async::unordered().timeout(2.secs()));
/// # let _ = accounts;
/// ```
pub struct LookUp<K, V, E> {
    entries_max: usize,
    present: Span,
    absent: Span,
    calls: Async<K, Option<V>, E>,
}

impl<K, V, E> LookUp<K, V, E> {
    /// Remembers up to so many answers on each core, each for `ttl` by the wall clock.
    pub fn cached(entries_max: usize, ttl: Span) -> Self {
        let calls = Async::in_order(ResultOrder::Ordered);
        Self { entries_max, present: ttl, absent: Span::ZERO, calls }
    }

    /// Remembers nothing. Records that want a key for which a call is under way still share it.
    pub fn uncached() -> Self {
        Self::cached(0, Span::ZERO)
    }

    /// Remembers for so long, too, that there is nothing under a key. Unless told so, it is looked
    /// up each time.
    #[must_use]
    pub fn remember_absent(mut self, ttl: Span) -> Self {
        self.absent = ttl;
        self
    }

    /// How calls are made: in order, up to 100 at a time, for a minute, unless told otherwise.
    #[must_use]
    pub fn calls(mut self, calls: Async<K, Option<V>, E>) -> Self {
        self.calls = calls;
        self
    }
}

impl<K, V, E> Clone for LookUp<K, V, E> {
    fn clone(&self) -> Self {
        Self { calls: self.calls.clone(), ..*self }
    }
}

impl<K, V, E> fmt::Debug for LookUp<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LookUp")
            .field("entries_max", &self.entries_max)
            .field("present", &self.present)
            .field("absent", &self.absent)
            .field("calls", &self.calls)
            .finish()
    }
}

/// A record with what was found under its key.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize, Describe)]
pub struct Enriched<T, V> {
    /// The record.
    pub record: T,
    /// What was found, if there was something.
    pub found: Option<V>,
}

/// Looks up what is under the key of each record.
///
/// Counts `NAME.hits` (answered from memory), `NAME.misses` (a call was made) and `NAME.shared` (a
/// call that was under way answered).
pub struct ByKey<T, K, V, E, G, F> {
    options: LookUp<K, V, E>,
    key: G,
    function: F,
    cache: Cache<K, Option<V>>,
    /// The inputs that wait for the call for a key; the first one made it.
    waiting: HashMap<K, Vec<u64>>,
    hits: Counter,
    misses: Counter,
    shared: Counter,
    types: PhantomData<fn(T)>,
}

impl<T, K, V, E, G, F> ByKey<T, K, V, E, G, F> {
    /// Calls `function` for the keys that `key` takes from records.
    pub fn new(options: LookUp<K, V, E>, key: G, function: F) -> Self {
        Self {
            cache: Cache::new(options.entries_max),
            options,
            key,
            function,
            waiting: HashMap::new(),
            hits: Counter::default(),
            misses: Counter::default(),
            shared: Counter::default(),
            types: PhantomData,
        }
    }
}

impl<T, K, V, E, G: Clone, F: Clone> Clone for ByKey<T, K, V, E, G, F> {
    fn clone(&self) -> Self {
        Self::new(self.options.clone(), self.key.clone(), self.function.clone())
    }
}

impl<T, K, V, E, G, F, C> Ask<T> for ByKey<T, K, V, E, G, F>
where
    T: 'static,
    K: Key + 'static,
    V: Clone + Send + 'static,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
    G: FnMut(&T) -> K + Clone + Send + 'static,
    F: FnMut(&K) -> C + Clone + Send + 'static,
    C: Future<Output = Result<Option<V>, E>> + Send + 'static,
{
    const KEYED: bool = true;

    type Question = K;
    type Answer = Option<V>;
    type Error = E;
    type Call = C;
    type Out = Enriched<T, V>;

    fn options(&mut self) -> &mut Async<K, Option<V>, E> {
        &mut self.options.calls
    }

    fn open(&mut self, name: &str, context: &OperatorContext) {
        let counter = |what: &str| context.counters.register(&format!("{name}.{what}"));
        (self.hits, self.misses) = (counter("hits"), counter("misses"));
        self.shared = counter("shared");
    }

    fn ask(&mut self, number: u64, input: &T, now: Timestamp) -> Asked<Option<V>> {
        let key = (self.key)(input);
        if let Some(found) = self.cache.get(&key, now) {
            self.hits.add(1);
            return Asked::Known(found.clone());
        }
        if let Some(waiting) = self.waiting.get_mut(&key) {
            self.shared.add(1);
            waiting.push(number);
            return Asked::Shared;
        }
        self.misses.add(1);
        self.waiting.insert(key, vec![number]);
        Asked::Call
    }

    fn call(&mut self, input: &T) -> C {
        (self.function)(&(self.key)(input))
    }

    fn fallback(&mut self, input: &T) -> Option<Option<V>> {
        self.options.calls.fallback(&(self.key)(input))
    }

    fn answered(
        &mut self,
        _: u64,
        input: &T,
        answer: Answered<Option<V>>,
        now: Timestamp,
        mut each: impl FnMut(u64, Option<V>),
    ) {
        let key = (self.key)(input);
        let waiting = self.waiting.remove(&key).unwrap_or_default();
        let found = match answer {
            Answered::Call(found) => {
                let ttl = if found.is_some() { self.options.present } else { self.options.absent };
                if ttl > Span::ZERO {
                    self.cache.insert(key, found.clone(), now, now + ttl);
                }
                found
            }
            Answered::Fallback(found) => found,
        };
        waiting.into_iter().for_each(|number| each(number, found.clone()));
    }

    fn result(&mut self, record: T, found: Option<V>) -> Enriched<T, V> {
        Enriched { record, found }
    }

    fn hash(&mut self, input: &T) -> u64 {
        stable_hash(&(self.key)(input))
    }

    fn describe(&self) -> String {
        let LookUp { entries_max, present, calls, .. } = &self.options;
        format!("by key, {}, remembers {entries_max} for {present}", calls.describe())
    }
}
