//! Joins of two streams by key.

pub mod as_of;
pub mod interval;

use tailwater_core::Error;

pub use as_of::{AsOf, AsOfJoin, Direction, Matched, Ties};
pub use interval::{Interval, IntervalJoin, IntervalJoined, Joined};

/// The error for a record that has no place in time.
fn without_time(operator: &str) -> Error {
    Error::configuration(format!(
        "operator `{operator}` got a record without a timestamp: give both sources an \
         `.event_time(..)`"
    ))
}
