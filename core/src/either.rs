//! One of two: what tells the records of two streams apart where they share a way.

use rkyv::{Archive, Deserialize, Serialize};

use crate::Describe;

/// A value that belongs to one of two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize, Describe)]
pub enum Either<A, B> {
    /// The first stream's.
    First(A),
    /// The second stream's.
    Second(B),
}
