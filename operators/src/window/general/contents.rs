//! What a window keeps of its records, an accumulator or the list of them all, and what it makes of
//! it when it fires.

use std::marker::PhantomData;

use tailwater_core::{Key, Record, Stamped, Timestamp};
use tailwater_state::keyed::{KeyedState, NoState};

use super::evictor::{Evictor, NoEvictor};
use super::function::{WindowContext, WindowProcess};
use crate::Aggregator;
use crate::window::{Window, WindowResult};

/// What a window keeps of its records.
///
/// What is kept is an `Option`: absent before the first record, after a purge and when all has been
/// evicted. A window without contents does not fire.
pub trait Keep<T, E>: Clone + Send + 'static {
    /// What is kept for a key and window.
    type Kept: Record;
    /// What of it a window function sees.
    type Shown: ?Sized;

    /// Takes one record in.
    fn add(&mut self, kept: &mut Option<Self::Kept>, at: Timestamp, record: &T);

    /// Takes in what a window kept that grows together with this one.
    fn merge(&mut self, kept: &mut Option<Self::Kept>, other: Option<Self::Kept>);

    /// Shows what is kept, evictors applied.
    fn show(
        &mut self,
        kept: &mut Option<Self::Kept>,
        window: Window,
        evictor: &mut E,
        see: impl FnOnce(&Self::Shown),
    );

    /// A short name for `explain`.
    fn name(&self) -> String;
}

/// What a firing is about.
pub struct Firing<'a, K, W, S> {
    /// The key.
    pub key: &'a K,
    /// The window.
    pub window: Window,
    /// The watermark.
    pub watermark: Timestamp,
    /// The wall clock.
    pub clock: Timestamp,
    /// What the window function knows of the window.
    pub window_state: &'a mut W,
    /// What it knows of the key.
    pub key_state: &'a mut S,
}

/// What a window keeps of its records, and what it emits when it fires.
pub trait Contents<K: Key, T, E>: Clone + Send + 'static {
    /// What is kept for a key and window.
    type Kept: Record;
    /// What is known of a window until it is cleaned up; purges leave it.
    type WindowState: Record + Default;
    /// What is known of a key.
    type KeyState: KeyedState<Key = K>;
    /// What a firing emits.
    type Output: Send + 'static;

    /// Takes one record in.
    fn add(&mut self, kept: &mut Option<Self::Kept>, at: Timestamp, record: &T);

    /// Takes in what a window kept that grows together with this one.
    fn merge(&mut self, kept: &mut Option<Self::Kept>, other: Option<Self::Kept>);

    /// Appends the results for what is kept; called with `Some` only.
    fn fire(
        &mut self,
        kept: &mut Option<Self::Kept>,
        firing: Firing<'_, K, Self::WindowState, Self::KeyState>,
        evictor: &mut E,
        into: &mut Vec<Self::Output>,
    );

    /// The window is cleaned up.
    fn clear(
        &mut self,
        window: Window,
        window_state: Self::WindowState,
        key_state: &mut Self::KeyState,
    ) {
        let _ = (window, window_state, key_state);
    }

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

impl<T, G: Aggregator<T>> Keep<T, NoEvictor> for Incremental<G> {
    type Kept = G::Accumulator;
    type Shown = G::Output;

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

    fn show(
        &mut self,
        kept: &mut Option<G::Accumulator>,
        _: Window,
        _: &mut NoEvictor,
        see: impl FnOnce(&G::Output),
    ) {
        if let Some(accumulator) = kept {
            see(&self.aggregator.finish(accumulator));
        }
    }

    fn name(&self) -> String {
        self.aggregator.name()
    }
}

impl<K: Key, T, G: Aggregator<T>> Contents<K, T, NoEvictor> for Incremental<G> {
    type Kept = G::Accumulator;
    type WindowState = ();
    type KeyState = NoState<K>;
    type Output = WindowResult<K, G::Output>;

    #[inline]
    fn add(&mut self, kept: &mut Option<G::Accumulator>, at: Timestamp, record: &T) {
        Keep::add(self, kept, at, record);
    }

    fn merge(&mut self, kept: &mut Option<G::Accumulator>, other: Option<G::Accumulator>) {
        Keep::<T, NoEvictor>::merge(self, kept, other);
    }

    #[inline]
    fn fire(
        &mut self,
        kept: &mut Option<G::Accumulator>,
        firing: Firing<'_, K, (), NoState<K>>,
        _: &mut NoEvictor,
        into: &mut Vec<Self::Output>,
    ) {
        if let Some(accumulator) = kept {
            let value = self.aggregator.finish(accumulator);
            into.push(WindowResult { key: firing.key.clone(), window: firing.window, value });
        }
    }

    fn name(&self) -> String {
        self.aggregator.name()
    }
}

fn append<R>(kept: &mut Option<Vec<R>>, other: Option<Vec<R>>) {
    match (kept, other) {
        (Some(kept), Some(other)) => kept.extend(other),
        (kept @ None, other) => *kept = other,
        (Some(_), None) => {}
    }
}

/// Shows a list to `see` between the two calls of the evictor.
fn evicting<T, E: Evictor<T>>(
    kept: &mut Option<Vec<Stamped<T>>>,
    window: Window,
    evictor: &mut E,
    see: impl FnOnce(&[Stamped<T>]),
) {
    let records = kept.get_or_insert_default();
    evictor.before(records, window);
    see(records);
    evictor.after(records, window);
    if records.is_empty() {
        *kept = None;
    }
}

/// Keeps all records, so that evictors can take some out; what is left is added up at each firing.
#[derive(Clone, Debug)]
pub struct Folded<G> {
    aggregator: G,
}

impl<G> Folded<G> {
    /// Contents that `aggregator` adds up when they fire.
    pub const fn new(aggregator: G) -> Self {
        Self { aggregator }
    }

    /// The aggregate of these records; `None` where all have been evicted.
    fn sum_up<T>(&self, records: &[Stamped<T>]) -> Option<G::Output>
    where
        G: Aggregator<T>,
    {
        let mut accumulator = self.aggregator.create();
        records.iter().for_each(|record| self.aggregator.add(&mut accumulator, &record.value));
        (!records.is_empty()).then(|| self.aggregator.finish(&accumulator))
    }
}

impl<T: Record, E: Evictor<T>, G: Aggregator<T>> Keep<T, E> for Folded<G> {
    type Kept = Vec<Stamped<T>>;
    type Shown = G::Output;

    fn add(&mut self, kept: &mut Option<Self::Kept>, at: Timestamp, record: &T) {
        kept.get_or_insert_default().push(Stamped::new(at, record.clone()));
    }

    fn merge(&mut self, kept: &mut Option<Self::Kept>, other: Option<Self::Kept>) {
        append(kept, other);
    }

    fn show(
        &mut self,
        kept: &mut Option<Self::Kept>,
        window: Window,
        evictor: &mut E,
        see: impl FnOnce(&G::Output),
    ) {
        evicting(kept, window, evictor, |records| {
            if let Some(value) = self.sum_up(records) {
                see(&value);
            }
        });
    }

    fn name(&self) -> String {
        format!("{} of a list", self.aggregator.name())
    }
}

impl<K: Key, T: Record, E: Evictor<T>, G: Aggregator<T>> Contents<K, T, E> for Folded<G> {
    type Kept = Vec<Stamped<T>>;
    type WindowState = ();
    type KeyState = NoState<K>;
    type Output = WindowResult<K, G::Output>;

    fn add(&mut self, kept: &mut Option<Self::Kept>, at: Timestamp, record: &T) {
        Keep::<T, E>::add(self, kept, at, record);
    }

    fn merge(&mut self, kept: &mut Option<Self::Kept>, other: Option<Self::Kept>) {
        append(kept, other);
    }

    fn fire(
        &mut self,
        kept: &mut Option<Self::Kept>,
        firing: Firing<'_, K, (), NoState<K>>,
        evictor: &mut E,
        into: &mut Vec<Self::Output>,
    ) {
        let Firing { key, window, .. } = firing;
        evicting(kept, window, evictor, |records| {
            let value = self.sum_up(records);
            into.extend(value.map(|value| WindowResult { key: key.clone(), window, value }));
        });
    }

    fn name(&self) -> String {
        Keep::<T, E>::name(self)
    }
}

/// Keeps all records with their times in order of arrival.
#[derive(Clone, Copy, Debug, Default)]
pub struct List;

impl<T: Record, E: Evictor<T>> Keep<T, E> for List {
    type Kept = Vec<Stamped<T>>;
    type Shown = [Stamped<T>];

    fn add(&mut self, kept: &mut Option<Self::Kept>, at: Timestamp, record: &T) {
        kept.get_or_insert_default().push(Stamped::new(at, record.clone()));
    }

    fn merge(&mut self, kept: &mut Option<Self::Kept>, other: Option<Self::Kept>) {
        append(kept, other);
    }

    fn show(
        &mut self,
        kept: &mut Option<Self::Kept>,
        window: Window,
        evictor: &mut E,
        see: impl FnOnce(&[Stamped<T>]),
    ) {
        evicting(kept, window, evictor, see);
    }

    fn name(&self) -> String {
        "list".to_owned()
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
    K: Key,
    T: Record,
    E: Evictor<T>,
    W: FnMut(&K, Window, &[Stamped<T>]) -> I + Clone + Send + 'static,
    I: IntoIterator<Item: Send + 'static> + 'static,
{
    type Kept = Vec<Stamped<T>>;
    type WindowState = ();
    type KeyState = NoState<K>;
    type Output = I::Item;

    #[inline]
    fn add(&mut self, kept: &mut Option<Vec<Stamped<T>>>, at: Timestamp, record: &T) {
        Keep::<T, E>::add(&mut List, kept, at, record);
    }

    fn merge(&mut self, kept: &mut Option<Vec<Stamped<T>>>, other: Option<Vec<Stamped<T>>>) {
        append(kept, other);
    }

    fn fire(
        &mut self,
        kept: &mut Option<Self::Kept>,
        firing: Firing<'_, K, (), NoState<K>>,
        evictor: &mut E,
        into: &mut Vec<I::Item>,
    ) {
        let Firing { key, window, .. } = firing;
        evicting(kept, window, evictor, |records| {
            into.extend((self.function)(key, window, records));
        });
    }

    fn name(&self) -> String {
        "list".to_owned()
    }
}

/// Keeps as `M` says and shows it to a [`WindowProcess`], which has states of the window and of the
/// key.
pub struct Processed<M, P: WindowProcess> {
    keep: M,
    process: P,
    context: WindowContext<P::Out>,
}

impl<M, P: WindowProcess> Processed<M, P> {
    /// What `keep` keeps, shown to `process`.
    pub fn new(keep: M, process: P) -> Self {
        Self { keep, process, context: WindowContext::default() }
    }
}

impl<M: Clone, P: WindowProcess> Clone for Processed<M, P> {
    fn clone(&self) -> Self {
        Self::new(self.keep.clone(), self.process.clone())
    }
}

impl<K, T, E, M, P> Contents<K, T, E> for Processed<M, P>
where
    K: Key,
    M: Keep<T, E>,
    P: WindowProcess<In = M::Shown, State: KeyedState<Key = K>, Out: Send + 'static>,
{
    type Kept = M::Kept;
    type WindowState = P::WindowState;
    type KeyState = P::State;
    type Output = P::Out;

    #[inline]
    fn add(&mut self, kept: &mut Option<M::Kept>, at: Timestamp, record: &T) {
        self.keep.add(kept, at, record);
    }

    fn merge(&mut self, kept: &mut Option<M::Kept>, other: Option<M::Kept>) {
        self.keep.merge(kept, other);
    }

    fn fire(
        &mut self,
        kept: &mut Option<M::Kept>,
        firing: Firing<'_, K, P::WindowState, P::State>,
        evictor: &mut E,
        into: &mut Vec<P::Out>,
    ) {
        let Firing { window, watermark, clock, window_state, key_state, .. } = firing;
        let Self { keep, process, context } = self;
        (context.window, context.watermark, context.clock) = (window, watermark, clock);
        keep.show(kept, window, evictor, |shown| {
            process.on_fire(shown, window_state, key_state, context);
        });
        into.append(&mut context.output);
    }

    fn clear(&mut self, window: Window, window_state: P::WindowState, key_state: &mut P::State) {
        self.process.on_clear(window, window_state, key_state);
    }

    fn name(&self) -> String {
        format!("{}, {}", self.keep.name(), crate::aggregate::short_type_name::<P>())
    }
}
