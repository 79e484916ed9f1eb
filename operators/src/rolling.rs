//! Rolling aggregates: for each record what its key has come to so far, at the record's time.
//!
//! One output for each input (SEMANTICS 85, 86). No windows and no watermarks are involved, and
//! nothing is late.
//!
//! ```
//! use tailwater_core::Timestamp;
//! use tailwater_operators::{rolling, testing::Harness};
//!
//! let sums = rolling::fold(|_: &u32| 0u8, 0u64, |sum, n| *sum += u64::from(*n));
//! let mut harness = Harness::new(sums)?;
//! for n in [1, 2, 3] {
//!     harness.record(Timestamp(5), n);
//! }
//! assert_eq!(harness.take_results(), [1, 3, 6]);
//! # Ok::<(), tailwater_core::Error>(())
//! ```

mod keyed;
mod steps;

#[cfg(test)]
mod tests;

use std::marker::PhantomData;

use tailwater_core::{Error, Key, Record, Result, Timestamp};
use tailwater_state::{SnapshotReader, SnapshotWriter};

pub use steps::{
    CheckedSum, Extreme, FieldExtreme, FieldSum, Fold, RecordExtreme, Reduce, RollingStep,
};

use crate::blame::blame;
use crate::{Collect, Description, Operator};
use keyed::Keyed;

/// A rolling aggregate for each key: `F` reads the key, `S` takes the records in.
pub struct Rolling<K, T, F, S: RollingStep<T>> {
    name: String,
    key_of: F,
    step: S,
    states: Keyed<K, S::State>,
    records: PhantomData<fn(T)>,
}

/// Combines the records of a key two by two: `combine(so far, record)`.
pub fn reduce<K, T, F, R>(key_of: F, combine: R) -> Rolling<K, T, F, Reduce<R>>
where
    T: Record,
    R: FnMut(&T, T) -> T + Clone + Send + 'static,
{
    Rolling::new("reduce", key_of, Reduce(combine))
}

/// Takes the records of a key into an accumulator that starts as a clone of `initial`.
pub fn fold<K, T, F, A, R>(key_of: F, initial: A, add: R) -> Rolling<K, T, F, Fold<A, R>>
where
    A: Record,
    R: FnMut(&mut A, &T) + Clone + Send + 'static,
{
    Rolling::new("fold", key_of, Fold { initial, add })
}

/// The first record of a key, with one field the sum over all. A sum that does not fit its type
/// fails the job.
pub fn sum<K, T, F, V, G, P>(key_of: F, get: G, set: P) -> Rolling<K, T, F, FieldSum<G, P>>
where
    T: Record,
    V: CheckedSum,
    G: FnMut(&T) -> V + Clone + Send + 'static,
    P: FnMut(&mut T, V) + Clone + Send + 'static,
{
    Rolling::new("sum", key_of, FieldSum { get, set })
}

/// The first record of a key, with one field the least of all.
pub fn min<K, T, F, V, G, P>(key_of: F, get: G, set: P) -> Rolling<K, T, F, FieldExtreme<G, P>>
where
    T: Record,
    V: PartialOrd,
    G: FnMut(&T) -> V + Clone + Send + 'static,
    P: FnMut(&mut T, V) + Clone + Send + 'static,
{
    Rolling::new("min", key_of, FieldExtreme { extreme: Extreme::Least, get, set })
}

/// The first record of a key, with one field the greatest of all.
pub fn max<K, T, F, V, G, P>(key_of: F, get: G, set: P) -> Rolling<K, T, F, FieldExtreme<G, P>>
where
    T: Record,
    V: PartialOrd,
    G: FnMut(&T) -> V + Clone + Send + 'static,
    P: FnMut(&mut T, V) + Clone + Send + 'static,
{
    Rolling::new("max", key_of, FieldExtreme { extreme: Extreme::Greatest, get, set })
}

/// The record of a key whose field is the least; the first of equals.
pub fn min_by<K, T, F, V, G>(key_of: F, get: G) -> Rolling<K, T, F, RecordExtreme<G>>
where
    T: Record,
    V: PartialOrd,
    G: FnMut(&T) -> V + Clone + Send + 'static,
{
    Rolling::new("min_by", key_of, RecordExtreme { extreme: Extreme::Least, get })
}

/// The record of a key whose field is the greatest; the first of equals.
pub fn max_by<K, T, F, V, G>(key_of: F, get: G) -> Rolling<K, T, F, RecordExtreme<G>>
where
    T: Record,
    V: PartialOrd,
    G: FnMut(&T) -> V + Clone + Send + 'static,
{
    Rolling::new("max_by", key_of, RecordExtreme { extreme: Extreme::Greatest, get })
}

impl<K, T, F, S: RollingStep<T>> Rolling<K, T, F, S> {
    /// A rolling aggregate with a step of the user's.
    pub fn new(name: impl Into<String>, key_of: F, step: S) -> Self {
        let states = Keyed::default();
        Self { name: name.into(), key_of, step, states, records: PhantomData }
    }

    /// The same under a name of the user's.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }
}

/// A prototype is cloned to each core: its functions, not what it has seen.
impl<K, T, F: Clone, S: RollingStep<T>> Clone for Rolling<K, T, F, S> {
    fn clone(&self) -> Self {
        Self::new(&self.name, self.key_of.clone(), self.step.clone())
    }
}

impl<K, T, F, S> Operator for Rolling<K, T, F, S>
where
    K: Key,
    T: 'static,
    F: FnMut(&T) -> K + Send + 'static,
    S: RollingStep<T>,
{
    type In = T;
    type Out = S::State;

    #[inline]
    fn on_record(&mut self, at: Timestamp, value: T, out: &mut impl Collect<S::State>) {
        let Self { name, key_of, step, states, .. } = self;
        let key = blame(name, at, || key_of(&value));
        match states.find(&key) {
            Some(state) => match blame(name, at, || step.next(state, value)) {
                Ok(()) => out.record(at, state.clone()),
                Err(error) => out.fail(Error::user(name, at, error)),
            },
            None => {
                let state = blame(name, at, || step.first(value));
                out.record(at, state.clone());
                states.insert(key, state);
            }
        }
    }

    fn snapshot(&mut self, into: &mut SnapshotWriter) -> Result<()> {
        into.operator(&self.name, |into| into.value("states", &self.states.to_vec()))
    }

    fn restore(&mut self, from: &mut SnapshotReader) -> Result<()> {
        let states: Option<Vec<(K, S::State)>> =
            from.operator(&self.name, |from| from.value("states"))?;
        for (key, state) in states.into_iter().flatten() {
            self.states.insert(key, state);
        }
        Ok(())
    }

    fn describe(&self, into: &mut Vec<Description>) {
        into.push(Description::new(&self.name, "rolling"));
    }
}
