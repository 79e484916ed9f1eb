//! How many records become one value, as a user writes it: for windows and for state.

use crate::Record;

/// An aggregate as a user writes it: the accumulator itself, cloned from the prototype that the job
/// gives.
///
/// `merge` must not depend on the order of its sides: panes, sessions and cores are merged in any
/// order (SEMANTICS 39).
pub trait Aggregate<T>: Record {
    /// What a window emits.
    type Output: Record;

    /// Takes one record in.
    fn add(&mut self, record: &T);

    /// Takes in all that `other` has seen.
    fn merge(&mut self, other: &Self);

    /// The result so far.
    fn finish(&self) -> Self::Output;

    /// Takes out again what `other` has seen, which was merged before. Returns `false`, and changes
    /// nothing, where the aggregate cannot (a maximum cannot); sliding windows then combine all
    /// panes.
    fn subtract(&mut self, other: &Self) -> bool {
        let _ = other;
        false
    }
}
