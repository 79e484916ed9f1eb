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

mod steps;

#[cfg(test)]
mod tests;

use std::marker::PhantomData;

use tailwater_core::{Error, Key, Record, Result, Stamped, Timestamp, stable_hash};
use tailwater_state::{Drain, SnapshotReader, SnapshotWriter, StateTable, TrackedState};

pub use steps::{
    CheckedSum, Extreme, FieldExtreme, FieldSum, Fold, RecordExtreme, Reduce, RollingStep,
};

use crate::blame::blame;
use crate::window::panes::GROUP_LEN;
use crate::{Collect, Description, Operator, OperatorContext};

/// A rolling aggregate for each key: `F` reads the key, `S` takes the records in.
pub struct Rolling<K, T, F, S: RollingStep<T>> {
    name: String,
    key_of: F,
    step: S,
    states: StateTable<K, S::State>,
    /// Hashes and keys of the group in hand; empty between calls.
    staged: Vec<(u64, K)>,
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
        let (states, staged) = (StateTable::detached(), Vec::new());
        Self { name: name.into(), key_of, step, states, staged, records: PhantomData }
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

impl<K: Key, T, F, S: RollingStep<T>> Rolling<K, T, F, S> {
    /// Takes one record in and emits what its key has come to.
    #[inline(always)]
    fn apply(
        &mut self,
        at: Timestamp,
        (hash, key): (u64, K),
        value: T,
        out: &mut impl Collect<S::State>,
    ) {
        let Self { name, step, states, .. } = self;
        let mut value = Some(value);
        let outcome = blame(name, at, || {
            let state = states.get_or_insert_with(hash, key, || {
                step.first(value.take().expect("a record is taken in once"))
            });
            let outcome = value.map_or(Ok(()), |value| step.next(state, value));
            outcome.map(|()| state.clone())
        });
        match outcome {
            Ok(state) => out.record(at, state),
            Err(error) => out.fail(Error::user(name, at, error)),
        }
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

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.states = StateTable::new(&context.state);
        Ok(())
    }

    #[inline]
    fn on_record(&mut self, at: Timestamp, value: T, out: &mut impl Collect<S::State>) {
        let key = blame(&self.name, at, || (self.key_of)(&value));
        self.apply(at, (stable_hash(&key), key), value, out);
    }

    /// Hashes the keys of a group and asks for their slots, then takes the records in order.
    fn on_batch(&mut self, batch: &mut Vec<Stamped<T>>, out: &mut impl Collect<S::State>) {
        let mut staged = std::mem::take(&mut self.staged);
        let mut records = batch.drain(..);
        loop {
            let Self { name, key_of, states, .. } = self;
            staged.extend(records.as_slice().iter().take(GROUP_LEN).map(|record| {
                let key = blame(name, record.at, || key_of(&record.value));
                let hash = stable_hash(&key);
                states.prefetch(hash);
                (hash, key)
            }));
            if staged.is_empty() {
                break;
            }
            for (hashed, Stamped { at, value }) in staged.drain(..).zip(&mut records) {
                self.apply(at, hashed, value, out);
            }
        }
        drop(records);
        self.staged = staged;
    }

    fn snapshot(&mut self, into: &mut SnapshotWriter) -> Result<()> {
        into.operator(&self.name, |into| into.tracked("states", &mut self.states))
    }

    fn drain(&mut self, into: &mut Drain) -> Result<bool> {
        self.states.drain(into)
    }

    fn restore(&mut self, from: &mut SnapshotReader) -> Result<()> {
        from.operator(&self.name, |from| from.tracked("states", &mut self.states)).map(drop)
    }

    fn describe(&self, into: &mut Vec<Description>) {
        into.push(Description::stateful(&self.name, "rolling"));
    }
}
