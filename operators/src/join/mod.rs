//! Joins of two streams by key.

pub mod as_of;

pub use as_of::{AsOf, AsOfJoin, Direction, Matched, Ties};
