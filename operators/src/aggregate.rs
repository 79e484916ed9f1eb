//! How many records become one value: the engine's view (`Aggregator`) and the user's
//! ([`Aggregate`], of core).

use std::marker::PhantomData;

use tailwater_core::Record;

pub use tailwater_core::Aggregate;

/// An aggregate as the engine runs it: a function, with its accumulator as a value apart.
pub trait Aggregator<T>: Clone + Send + 'static {
    /// What is kept for a key and window.
    type Accumulator: Record;
    /// What a window emits.
    type Output: Record;

    /// The accumulator of no records.
    fn create(&self) -> Self::Accumulator;

    /// Takes one record in.
    fn add(&self, accumulator: &mut Self::Accumulator, record: &T);

    /// Takes in all that `other` has seen.
    fn merge(&self, accumulator: &mut Self::Accumulator, other: &Self::Accumulator);

    /// The result so far.
    fn finish(&self, accumulator: &Self::Accumulator) -> Self::Output;

    /// Takes out what `other` has seen; `false`, and no change, where that is impossible.
    fn subtract(&self, accumulator: &mut Self::Accumulator, other: &Self::Accumulator) -> bool {
        let _ = (accumulator, other);
        false
    }

    /// A short name for `explain`.
    fn name(&self) -> String;
}

/// The user's accumulator as the engine's function: clones the prototype.
pub struct Prototype<A>(pub A);

impl<A: Clone> Clone for Prototype<A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T, A: Aggregate<T>> Aggregator<T> for Prototype<A> {
    type Accumulator = A;
    type Output = A::Output;

    #[inline]
    fn create(&self) -> A {
        self.0.clone()
    }

    #[inline]
    fn add(&self, accumulator: &mut A, record: &T) {
        accumulator.add(record);
    }

    #[inline]
    fn merge(&self, accumulator: &mut A, other: &A) {
        accumulator.merge(other);
    }

    #[inline]
    fn finish(&self, accumulator: &A) -> A::Output {
        accumulator.finish()
    }

    #[inline]
    fn subtract(&self, accumulator: &mut A, other: &A) -> bool {
        accumulator.subtract(other)
    }

    fn name(&self) -> String {
        short_type_name::<A>()
    }
}

/// The last segment of a type's path, without its parameters.
pub(crate) fn short_type_name<A>() -> String {
    let full = std::any::type_name::<A>();
    let head = full.split('<').next().unwrap_or(full);
    head.rsplit("::").next().unwrap_or(head).to_owned()
}

/// Accepts both views where a job asks for an aggregate; `Marker` tells the compiler which one it
/// is.
pub trait IntoAggregator<T, Marker> {
    /// The engine's view.
    type Aggregator: Aggregator<T>;

    /// The engine's view of this aggregate.
    fn into_aggregator(self) -> Self::Aggregator;
}

/// Marks an accumulator of the user's.
pub struct ByAccumulator(PhantomData<()>);

/// Marks a function with its accumulator apart.
pub struct ByFunction(PhantomData<()>);

impl<T, A: Aggregate<T>> IntoAggregator<T, ByAccumulator> for A {
    type Aggregator = Prototype<A>;

    fn into_aggregator(self) -> Prototype<A> {
        Prototype(self)
    }
}

impl<T, G: Aggregator<T>> IntoAggregator<T, ByFunction> for G {
    type Aggregator = G;

    fn into_aggregator(self) -> G {
        self
    }
}
