//! How a rolling aggregate takes a record in: reduce, fold, and sums and extremes of one field.

use std::cmp::Ordering;

use tailwater_core::{Error, Notional, Price, Record, Result, Size, Span, Volume};

/// One step of a rolling aggregate. Its state is also what it emits.
pub trait RollingStep<T>: Clone + Send + 'static {
    /// What is kept for a key.
    type State: Record;

    /// Whether a state is a record that stands for all that were taken in, and a key comes to the
    /// same however they were grouped and ordered, as long as the earliest is the first of all:
    /// batch mode then need not sort them.
    const COMBINES: bool = false;

    /// Where steps [combine](RollingStep::COMBINES), the record that a state is.
    fn as_record(state: Self::State) -> Option<T> {
        let _ = state;
        None
    }

    /// The state after the first record of a key.
    fn first(&mut self, record: T) -> Self::State;

    /// Takes in one more record.
    ///
    /// # Errors
    /// When the result does not fit its type; the job fails with it.
    fn next(&mut self, state: &mut Self::State, record: T) -> Result<()>;
}

/// Combines records two by two with a function.
#[derive(Clone, Debug)]
pub struct Reduce<R>(pub(super) R);

impl<T: Record, R: FnMut(&T, T) -> T + Clone + Send + 'static> RollingStep<T> for Reduce<R> {
    type State = T;

    #[inline]
    fn first(&mut self, record: T) -> T {
        record
    }

    #[inline]
    fn next(&mut self, state: &mut T, record: T) -> Result<()> {
        *state = (self.0)(state, record);
        Ok(())
    }
}

/// Takes records into an accumulator with a function.
#[derive(Clone, Debug)]
pub struct Fold<A, R> {
    pub(super) initial: A,
    pub(super) add: R,
}

impl<T, A: Record, R: FnMut(&mut A, &T) + Clone + Send + 'static> RollingStep<T> for Fold<A, R> {
    type State = A;

    #[inline]
    fn first(&mut self, record: T) -> A {
        let mut state = self.initial.clone();
        (self.add)(&mut state, &record);
        state
    }

    #[inline]
    fn next(&mut self, state: &mut A, record: T) -> Result<()> {
        (self.add)(state, &record);
        Ok(())
    }
}

/// Numbers that say so when their sum does not fit.
pub trait CheckedSum: Sized {
    /// Whether a sum is the same in whatever order it is added up, as of integers.
    const IS_EXACT: bool = false;

    /// The sum, or `None` where it does not fit the type.
    fn checked_sum(self, other: Self) -> Option<Self>;
}

macro_rules! checked_sum {
    ($($number:ty),*) => {
        $(impl CheckedSum for $number {
            const IS_EXACT: bool = true;

            #[inline]
            fn checked_sum(self, other: Self) -> Option<Self> {
                self.checked_add(other)
            }
        })*
    };
}

checked_sum!(i8, i16, i32, i64, i128, u8, u16, u32, u64, u128, Price, Size, Volume, Notional);

impl CheckedSum for Span {
    const IS_EXACT: bool = true;

    #[inline]
    fn checked_sum(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Span)
    }
}

impl CheckedSum for f64 {
    /// Always a sum: a float's overflow is its infinity.
    #[inline]
    fn checked_sum(self, other: Self) -> Option<Self> {
        Some(self + other)
    }
}

/// Adds up one field; the others stay those of the first record.
#[derive(Clone, Debug)]
pub struct FieldSum<G, P> {
    pub(super) get: G,
    pub(super) set: P,
}

impl<T, V, G, P> RollingStep<T> for FieldSum<G, P>
where
    T: Record,
    V: CheckedSum,
    G: FnMut(&T) -> V + Clone + Send + 'static,
    P: FnMut(&mut T, V) + Clone + Send + 'static,
{
    type State = T;
    const COMBINES: bool = V::IS_EXACT;

    fn as_record(state: T) -> Option<T> {
        Some(state)
    }

    #[inline]
    fn first(&mut self, record: T) -> T {
        record
    }

    #[inline]
    fn next(&mut self, state: &mut T, record: T) -> Result<()> {
        let sum = (self.get)(state).checked_sum((self.get)(&record)).ok_or_else(|| {
            Error::overflow(format!(
                "the rolling sum of a key does not fit into {}: sum a wider type",
                std::any::type_name::<V>()
            ))
        })?;
        (self.set)(state, sum);
        Ok(())
    }
}

/// Which end of an order is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extreme {
    /// The minimum.
    Least,
    /// The maximum.
    Greatest,
}

impl Extreme {
    /// Whether `new` is further out than `old`. Equal and unordered values are not: the first one
    /// stays.
    #[inline]
    fn beats<V: PartialOrd>(self, new: &V, old: &V) -> bool {
        let wanted = match self {
            Self::Least => Ordering::Less,
            Self::Greatest => Ordering::Greater,
        };
        new.partial_cmp(old) == Some(wanted)
    }
}

/// Keeps the extreme of one field; the other fields stay those of the first record (SEMANTICS 85).
#[derive(Clone, Debug)]
pub struct FieldExtreme<G, P> {
    pub(super) extreme: Extreme,
    pub(super) get: G,
    pub(super) set: P,
}

impl<T, V, G, P> RollingStep<T> for FieldExtreme<G, P>
where
    T: Record,
    V: PartialOrd,
    G: FnMut(&T) -> V + Clone + Send + 'static,
    P: FnMut(&mut T, V) + Clone + Send + 'static,
{
    type State = T;

    #[inline]
    fn first(&mut self, record: T) -> T {
        record
    }

    #[inline]
    fn next(&mut self, state: &mut T, record: T) -> Result<()> {
        let new = (self.get)(&record);
        if self.extreme.beats(&new, &(self.get)(state)) {
            (self.set)(state, new);
        }
        Ok(())
    }
}

/// Keeps the whole record whose field is the extreme.
#[derive(Clone, Debug)]
pub struct RecordExtreme<G> {
    pub(super) extreme: Extreme,
    pub(super) get: G,
}

impl<T, V, G> RollingStep<T> for RecordExtreme<G>
where
    T: Record,
    V: PartialOrd,
    G: FnMut(&T) -> V + Clone + Send + 'static,
{
    type State = T;

    #[inline]
    fn first(&mut self, record: T) -> T {
        record
    }

    #[inline]
    fn next(&mut self, state: &mut T, record: T) -> Result<()> {
        if self.extreme.beats(&(self.get)(&record), &(self.get)(state)) {
            *state = record;
        }
        Ok(())
    }
}
