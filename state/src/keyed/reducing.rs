//! One value for each key that others are reduced into.

use std::marker::PhantomData;
use std::ops::AddAssign;

use tailwater_core::{Key, Record, Result};

use super::{Lasting, Now, Stamp, StatePart, Ttl, Value};
use crate::{Changes, Declaration, Drain, Frame, SnapshotKind, StateContext, TrackedState};

/// How two values become one.
pub trait Reducer<V>: Send + 'static {
    /// Takes `value` into what there is so far.
    fn reduce(so_far: &mut V, value: V);
}

/// Adds values up.
#[derive(Clone, Copy, Debug)]
pub struct Sum;

/// Keeps the least value.
#[derive(Clone, Copy, Debug)]
pub struct Least;

/// Keeps the greatest value.
#[derive(Clone, Copy, Debug)]
pub struct Greatest;

impl<V: AddAssign> Reducer<V> for Sum {
    #[inline]
    fn reduce(so_far: &mut V, value: V) {
        *so_far += value;
    }
}

impl<V: Ord> Reducer<V> for Least {
    #[inline]
    fn reduce(so_far: &mut V, value: V) {
        if value < *so_far {
            *so_far = value;
        }
    }
}

impl<V: Ord> Reducer<V> for Greatest {
    #[inline]
    fn reduce(so_far: &mut V, value: V) {
        if value > *so_far {
            *so_far = value;
        }
    }
}

/// One value for each key that every value added is reduced into by `R`: [`Sum`], [`Least`],
/// [`Greatest`], or a [`Reducer`] of the user's.
///
/// An expired value is replaced, or reduced into where the TTL still shows it (SEMANTICS 55).
pub struct Reducing<K, V, R, S = Lasting> {
    value: Value<K, V, S>,
    reducer: PhantomData<fn(R)>,
}

impl<K: Key, V: Record, R: Reducer<V>, S: Stamp> Reducing<K, V, R, S> {
    /// Takes a value in.
    #[inline]
    pub fn add(&mut self, value: V) {
        match self.value.get_mut() {
            Some(so_far) => R::reduce(so_far, value),
            None => self.value.set(value),
        }
    }

    /// What all values came to.
    #[inline]
    pub fn get(&mut self) -> Option<&V> {
        self.value.get()
    }

    /// Forgets the value.
    pub fn clear(&mut self) {
        self.value.clear();
    }

    /// Another TTL than the declared one, from here on.
    pub fn set_ttl(&mut self, ttl: Ttl) {
        self.value.set_ttl(ttl);
    }
}

impl<K: Key, V: Record, R: Reducer<V>, S: Stamp> StatePart<K> for Reducing<K, V, R, S> {
    fn new(context: &StateContext, ttl: Ttl) -> Self {
        Self { value: Value::new(context, ttl), reducer: PhantomData }
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

impl<K: Key, V: Record, R: Reducer<V>, S: Stamp> TrackedState for Reducing<K, V, R, S> {
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
