//! Joins of two streams by key.

pub mod as_of;
pub mod interval;

pub use as_of::{AsOf, AsOfJoin, Direction, Matched, Ties};
pub use interval::{Interval, IntervalJoin, IntervalJoined, Joined};
