//! The key that callbacks are about, and how values are kept.

use rkyv::{Archive, Deserialize, Serialize};
use tailwater_core::schema::Describer;
use tailwater_core::{Describe, Key, Result, Schema};

use super::{KeyedState, Lasting, Now, Stamp, Visit};
use crate::StateContext;

/// The key that the engine has entered.
#[derive(Clone, Debug)]
pub struct CurrentKey<K> {
    hash: u64,
    key: Option<K>,
}

impl<K> Default for CurrentKey<K> {
    fn default() -> Self {
        Self { hash: 0, key: None }
    }
}

const OUTSIDE: &str = "keyed state is used inside the callbacks of its operator only";

impl<K: Clone> CurrentKey<K> {
    /// Makes `key` the current one; its memory is used again.
    #[inline]
    pub fn enter(&mut self, hash: u64, key: &K) {
        self.hash = hash;
        match &mut self.key {
            Some(current) => current.clone_from(key),
            None => self.key = Some(key.clone()),
        }
    }

    /// The current key.
    ///
    /// # Panics
    /// Outside callbacks (SEMANTICS 98).
    #[inline]
    pub fn key(&self) -> &K {
        self.key.as_ref().expect(OUTSIDE)
    }

    /// Its stable hash.
    #[inline]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Takes the key out to be part of a longer one; [`give_back`](CurrentKey::give_back) must
    /// follow.
    #[inline]
    pub(super) fn lend(&mut self) -> K {
        self.key.take().expect(OUTSIDE)
    }

    #[inline]
    pub(super) fn give_back(&mut self, key: K) {
        self.key = Some(key);
    }
}

/// A value as a state keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Kept<V, S> {
    /// The value.
    pub value: V,
    /// When it was touched, where that matters.
    pub stamp: S,
}

/// Where nothing expires, a value is kept as it is.
impl<V: Describe, S: Stamp> Describe for Kept<V, S> {
    fn describe(describer: &mut Describer) -> Schema {
        use tailwater_core::schema::{Body, Fields};
        if S::IS_LASTING {
            return V::describe(describer);
        }
        describer.named::<Self>("Kept", 0, |describer| {
            let fields = vec![describer.field::<V>("value"), describer.field::<S>("touched")];
            Body::Struct(Fields::Named(fields))
        })
    }
}

const _: () = assert!(size_of::<Kept<u64, Lasting>>() == 8, "what lasts costs nothing");

/// The state of a process that remembers nothing but its timers.
#[derive(Debug)]
pub struct NoState<K>(CurrentKey<K>);

impl<K: Clone> NoState<K> {
    /// The key that the callback is about.
    pub fn key(&self) -> &K {
        self.0.key()
    }
}

impl<K: Key> KeyedState for NoState<K> {
    type Key = K;

    fn new(_: &StateContext) -> Self {
        Self(CurrentKey::default())
    }

    fn enter(&mut self, hash: u64, key: &K, _: Now) {
        self.0.enter(hash, key);
    }

    fn prefetch(&self, _: u64) {}

    fn visit(&mut self, _: &mut Visit<'_, K>) -> Result<()> {
        Ok(())
    }
}
