//! The library of aggregates: counts, sums, extremes, means, market bars, rankings, sets and
//! quantiles.
//!
//! Each is a function that takes closures and gives an [`Aggregator`](crate::Aggregator); a tuple
//! of two to four aggregators is one too. All of them give the same result in whatever order
//! records and accumulators come together (sums of `f64` up to rounding), and have a result for no
//! records at all.
//!
//! | subtracts, so that sliding windows keep a running total | does not |
//! |---|---|
//! | `count`, exact `sum` and `mean`, `vwap`, tuples of these | `min`, `max`, `ohlcv`, `top_n`, `distinct`, `quantile`, sums and means of `f64` |
//!
//! ```
//! use tailwater_operators::aggregates::{count, max, sum};
//!
//! struct Trade { price: i64, size: u32 }
//! let volume_and_high = (count(), sum(|t: &Trade| t.size), max(|t: &Trade| t.price));
//! # let _ = tailwater_operators::IntoAggregator::into_aggregator(volume_and_high);
//! ```

/// Declares an aggregator of one closure: its struct, which also names the types, and its clone.
macro_rules! by_closure {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $kind:ty),* }) => {
        $(#[$doc])*
        pub struct $name<T, V, F> {
            $($field: $kind,)*
            of: F,
            types: std::marker::PhantomData<fn(T) -> V>,
        }

        impl<T, V, F: Clone> Clone for $name<T, V, F> {
            fn clone(&self) -> Self {
                Self {
                    $($field: self.$field.clone(),)*
                    of: self.of.clone(),
                    types: std::marker::PhantomData,
                }
            }
        }
    };
}

pub mod count;
pub mod distinct;
pub mod extreme;
pub mod number;
pub mod ohlcv;
pub mod quantile;
pub mod sum;
#[cfg(test)]
mod tests;
pub mod top_n;
pub mod tuple;
pub mod vwap;

pub use count::count;
pub use distinct::distinct;
pub use extreme::{max, min};
pub use number::Number;
pub use ohlcv::{Ohlcv, Tick, ohlcv};
pub use quantile::quantile;
pub use sum::{mean, sum};
pub use top_n::top_n;
pub use vwap::{Vwap, vwap};
