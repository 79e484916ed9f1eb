//! Rolling aggregates: for each record what its key has come to so far, at the record's time.
//!
//! One output for each input (SEMANTICS 85, 86). No windows and no watermarks are involved, and
//! nothing is late. In batch mode a key has one output, what it came to in the end, at the end of
//! time (SEMANTICS 87).
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

mod batch;
mod steps;

#[cfg(test)]
mod tests;

use std::marker::PhantomData;

use tailwater_core::{Error, Key, Record, Result, Stamped, Timestamp, stable_hash};
use tailwater_state::{Drain, SnapshotReader, SnapshotWriter, StateTable, TrackedState};

pub use steps::{
    CheckedSum, Extreme, FieldExtreme, FieldSum, Fold, RecordExtreme, Reduce, RollingStep,
};

use self::batch::Batch;
use crate::blame::{Blamed, blame};
use crate::{Collect, Description, Operator, OperatorContext, RuntimeMode};

/// A rolling aggregate for each key: `F` reads the key, `S` takes the records in.
pub struct Rolling<K, T, F, S: RollingStep<T>> {
    name: String,
    key_of: F,
    step: S,
    states: StateTable<K, S::State>,
    /// How many keys all cores together are told to make room for.
    expected_keys: u64,
    /// Keys of the batch in hand with their hashes; empty between calls, as is the next.
    staged: Vec<(u64, K)>,
    /// What its records came to.
    results: Vec<Stamped<S::State>>,
    mode: RuntimeMode,
    batch: Batch<K, S::State>,
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
        Self {
            name: name.into(),
            key_of,
            step,
            states: StateTable::detached(),
            expected_keys: 0,
            staged: Vec::new(),
            results: Vec::new(),
            mode: RuntimeMode::Streaming,
            batch: Batch::default(),
            records: PhantomData,
        }
    }

    /// Makes room for so many keys, on all cores together, before the first record, so that the
    /// table need not grow while records flow.
    #[must_use]
    pub fn expecting_keys(mut self, keys: u64) -> Self {
        self.expected_keys = keys;
        self
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
            .expecting_keys(self.expected_keys)
    }
}

/// Takes one record of a key in; what its key has come to.
#[inline(always)]
fn apply<K: Key, T, S: RollingStep<T>>(
    step: &mut S,
    states: &mut StateTable<K, S::State>,
    (hash, key): (u64, K),
    value: T,
    emit: impl FnOnce(S::State),
) -> Result<()> {
    let Some(state) = states.get_mut(hash, &key) else {
        let first = step.first(value);
        states.get_or_insert_with(hash, key, || first.clone());
        emit(first);
        return Ok(());
    };
    if std::mem::needs_drop::<S::State>() {
        step.next(state, value)?;
        emit(state.clone());
    } else {
        // Worked on beside its slot: what was written in parts cannot be read back as a whole
        // before it has reached the cache, and the slot may still be on its way there.
        let mut next = state.clone();
        step.next(&mut next, value)?;
        *state = next.clone();
        emit(next);
    }
    Ok(())
}

/// Finds the keys of a batch of records, with their hashes, and asks for the slots of all.
#[inline(always)]
fn stage<K: Key, T, V>(
    (name, key_of): (&str, &mut impl FnMut(&T) -> K),
    records: &[Stamped<T>],
    table: &StateTable<K, V>,
    staged: &mut Vec<(u64, K)>,
) {
    let blamed = Blamed::new(name);
    staged.extend(records.iter().map(|record| {
        blamed.at(record.at);
        let key = key_of(&record.value);
        let hash = stable_hash(&key);
        table.prefetch(hash);
        (hash, key)
    }));
    blamed.acquit();
}

impl<K, T, F, S> Operator for Rolling<K, T, F, S>
where
    K: Key,
    T: Record + 'static,
    F: FnMut(&T) -> K + Send + 'static,
    S: RollingStep<T>,
{
    type In = T;
    type Out = S::State;

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.states = StateTable::new(&context.state);
        self.mode = context.mode;
        if self.mode == RuntimeMode::Batch {
            // Sorted there is one key at a time.
            self.batch = Batch::new::<T>(context.unsorted_memory, &context.state);
            return Ok(());
        }
        // Key groups do not come out quite even.
        let share = self.expected_keys / u64::from(context.cores);
        self.states.reserve(usize::try_from(share + share / 512).unwrap_or(usize::MAX));
        Ok(())
    }

    #[inline]
    fn on_record(&mut self, at: Timestamp, value: T, out: &mut impl Collect<S::State>) {
        let key = blame(&self.name, at, || (self.key_of)(&value));
        if self.mode == RuntimeMode::Batch {
            return self.take_in(at, key, value, out);
        }
        let Self { name, step, states, .. } = self;
        let key = (stable_hash(&key), key);
        let emit = |state| out.record(at, state);
        if let Err(error) = blame(name, at, || apply(step, states, key, value, emit)) {
            out.fail(Error::user(name, at, error));
        }
    }

    /// Asks for the slots of all records before it takes the first of them in.
    fn on_batch(&mut self, batch: &mut Vec<Stamped<T>>, out: &mut impl Collect<S::State>) {
        if self.mode == RuntimeMode::Batch {
            return batch
                .drain(..)
                .for_each(|Stamped { at, value }| self.on_record(at, value, out));
        }
        let Self { name, key_of, step, states, staged, results, .. } = self;
        stage((name, key_of), batch, states, staged);
        let blamed = Blamed::new(name);
        results.reserve(batch.len());
        for (Stamped { at, value }, key) in batch.drain(..).zip(staged.drain(..)) {
            blamed.at(at);
            let emit = |value| results.push(Stamped { at, value });
            if let Err(error) = apply(step, states, key, value, emit) {
                out.batch(results);
                out.fail(Error::user(name, at, error));
            }
        }
        blamed.acquit();
        out.batch(results);
    }

    // SEMANTICS 87
    fn on_unsorted(&mut self, batch: &mut Vec<Stamped<T>>, out: &mut impl Collect<S::State>) {
        if self.takes_unsorted() {
            self.take_unsorted(batch, out);
        }
    }

    fn on_key_end(&mut self, out: &mut impl Collect<S::State>) {
        self.end_key(out);
    }

    fn on_watermark(&mut self, watermark: Timestamp, out: &mut impl Collect<S::State>) {
        if self.mode == RuntimeMode::Batch && watermark == Timestamp::MAX {
            self.end_all(out);
            return self.resume(out);
        }
        out.watermark(watermark);
    }

    fn is_pending(&self) -> bool {
        self.batch.is_emitting()
    }

    fn resume(&mut self, out: &mut impl Collect<S::State>) {
        if self.batch.emit(out) {
            out.watermark(Timestamp::MAX);
        }
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
