//! One accumulator for each key.

use std::marker::PhantomData;

use tailwater_core::{Aggregate, Key, Result};

use super::{Lasting, Now, Stamp, StatePart, Ttl, Value};
use crate::{Changes, Declaration, Drain, Frame, SnapshotKind, StateContext, TrackedState};

/// One accumulator `A` for each key, which records `T` are added to; it starts as its type's
/// default.
///
/// An expired accumulator is replaced, or added to where the TTL still shows it (SEMANTICS 55).
pub struct Aggregating<K, T, A, S = Lasting> {
    value: Value<K, A, S>,
    records: PhantomData<fn(T)>,
}

impl<K: Key, T: 'static, A: Aggregate<T> + Default, S: Stamp> Aggregating<K, T, A, S> {
    /// Takes a record in.
    #[inline]
    pub fn add(&mut self, record: &T) {
        self.value.or_default().add(record);
    }

    /// The result so far, `None` of no records.
    #[inline]
    pub fn get(&mut self) -> Option<A::Output> {
        self.value.get().map(A::finish)
    }

    /// The accumulator itself.
    #[inline]
    pub fn accumulator(&mut self) -> Option<&A> {
        self.value.get()
    }

    /// Forgets the accumulator.
    pub fn clear(&mut self) {
        self.value.clear();
    }

    /// Another TTL than the declared one, from here on.
    pub fn set_ttl(&mut self, ttl: Ttl) {
        self.value.set_ttl(ttl);
    }
}

impl<K: Key, T: 'static, A: Aggregate<T> + Default, S: Stamp> StatePart<K>
    for Aggregating<K, T, A, S>
{
    fn new(context: &StateContext, ttl: Ttl) -> Self {
        Self { value: Value::new(context, ttl), records: PhantomData }
    }

    #[inline]
    fn enter(&mut self, hash: u64, key: &K, now: Now) {
        self.value.enter(hash, key, now);
    }

    #[inline]
    fn prefetch(&self, hash: u64) {
        self.value.prefetch(hash);
    }

    fn each_key(&self, visit: &mut dyn FnMut(&K)) {
        self.value.each_key(visit);
    }

    fn tracked(&mut self) -> &mut dyn TrackedState {
        self.value.tracked()
    }

    fn sweep(&mut self, now: Now, entries: usize) -> usize {
        self.value.sweep(now, entries)
    }
}

impl<K: Key, T: 'static, A: Aggregate<T> + Default, S: Stamp> TrackedState
    for Aggregating<K, T, A, S>
{
    fn declaration(&self) -> Declaration {
        self.value.declaration()
    }

    fn changes(&self) -> Changes {
        self.value.changes()
    }

    fn begin(&mut self, state: u16, kind: SnapshotKind) {
        self.value.begin(state, kind);
    }

    fn drain(&mut self, into: &mut Drain) -> Result<bool> {
        self.value.drain(into)
    }

    fn load(&mut self, frames: &[Frame<'_>]) -> Result<()> {
        self.value.load(frames)
    }

    fn loaded(&mut self) -> Result<()> {
        self.value.loaded()
    }
}
