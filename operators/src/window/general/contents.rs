//! What a window keeps of its records: an accumulator, or the list of them all.

use std::marker::PhantomData;

use tailwater_core::{Key, Record, Stamped, Timestamp};

use super::evictor::{Evictor, NoEvictor};
use crate::Aggregator;
use crate::window::{Window, WindowResult};

/// What a window keeps of its records, and what it makes of it when it fires.
///
/// What is kept is an `Option`: absent before the first record, after a purge and when all has been
/// evicted. A window without contents does not fire.
pub trait Contents<K, T, E>: Clone + Send + 'static {
    /// What is kept for a key and window.
    type Kept: Record;
    /// What a firing emits.
    type Output;
    /// The results of one firing.
    type Results: IntoIterator<Item = Self::Output>;

    /// Takes one record in.
    fn add(&mut self, kept: &mut Option<Self::Kept>, at: Timestamp, record: &T);

    /// Takes in what a window kept that grows together with this one.
    fn merge(&mut self, kept: &mut Option<Self::Kept>, other: Option<Self::Kept>);

    /// The results for what is kept; called with `Some` only.
    fn fire(
        &mut self,
        key: &K,
        window: Window,
        kept: &mut Option<Self::Kept>,
        evictor: &mut E,
    ) -> Self::Results;

    /// A short name for `explain`.
    fn name(&self) -> String;
}

/// Keeps an accumulator; emits a [`WindowResult`] at each firing.
#[derive(Clone, Debug)]
pub struct Incremental<G> {
    aggregator: G,
}

impl<G> Incremental<G> {
    /// Contents that are the accumulator of `aggregator`.
    pub const fn new(aggregator: G) -> Self {
        Self { aggregator }
    }
}

impl<K: Key, T, G: Aggregator<T>> Contents<K, T, NoEvictor> for Incremental<G> {
    type Kept = G::Accumulator;
    type Output = WindowResult<K, G::Output>;
    type Results = Option<Self::Output>;

    #[inline]
    fn add(&mut self, kept: &mut Option<G::Accumulator>, _: Timestamp, record: &T) {
        let accumulator = kept.get_or_insert_with(|| self.aggregator.create());
        self.aggregator.add(accumulator, record);
    }

    fn merge(&mut self, kept: &mut Option<G::Accumulator>, other: Option<G::Accumulator>) {
        match (kept, other) {
            (Some(kept), Some(other)) => self.aggregator.merge(kept, &other),
            (kept @ None, other) => *kept = other,
            (Some(_), None) => {}
        }
    }

    #[inline]
    fn fire(
        &mut self,
        key: &K,
        window: Window,
        kept: &mut Option<G::Accumulator>,
        _: &mut NoEvictor,
    ) -> Self::Results {
        let value = self.aggregator.finish(kept.as_ref()?);
        Some(WindowResult { key: key.clone(), window, value })
    }

    fn name(&self) -> String {
        self.aggregator.name()
    }
}

/// Keeps all records with their times in order of arrival; a function of the user's sees them at
/// each firing.
///
/// The order of records in a merged session is that of the merged sessions, not of arrival
/// (SEMANTICS 39).
pub struct Listed<W, I> {
    function: W,
    results: PhantomData<fn() -> I>,
}

impl<W, I> Listed<W, I> {
    /// Contents that `function` sees at each firing: the key, the window and the records.
    pub const fn new<K, T>(function: W) -> Self
    where
        W: FnMut(&K, Window, &[Stamped<T>]) -> I,
    {
        Self { function, results: PhantomData }
    }
}

impl<W: Clone, I> Clone for Listed<W, I> {
    fn clone(&self) -> Self {
        Self { function: self.function.clone(), results: PhantomData }
    }
}

impl<K, T, E, W, I> Contents<K, T, E> for Listed<W, I>
where
    T: Record,
    E: Evictor<T>,
    W: FnMut(&K, Window, &[Stamped<T>]) -> I + Clone + Send + 'static,
    I: IntoIterator + 'static,
{
    type Kept = Vec<Stamped<T>>;
    type Output = I::Item;
    type Results = I;

    #[inline]
    fn add(&mut self, kept: &mut Option<Vec<Stamped<T>>>, at: Timestamp, record: &T) {
        kept.get_or_insert_default().push(Stamped::new(at, record.clone()));
    }

    fn merge(&mut self, kept: &mut Option<Vec<Stamped<T>>>, other: Option<Vec<Stamped<T>>>) {
        match (kept, other) {
            (Some(kept), Some(other)) => kept.extend(other),
            (kept @ None, other) => *kept = other,
            (Some(_), None) => {}
        }
    }

    fn fire(
        &mut self,
        key: &K,
        window: Window,
        kept: &mut Option<Vec<Stamped<T>>>,
        evictor: &mut E,
    ) -> I {
        let records = kept.get_or_insert_default();
        evictor.before(records, window);
        let results = (self.function)(key, window, records);
        evictor.after(records, window);
        if records.is_empty() {
            *kept = None;
        }
        results
    }

    fn name(&self) -> String {
        "list".to_owned()
    }
}
