//! Who to blame for a panic: the operator and the record that user code was called for.
//!
//! A guard stands around each call of a user's function. On the normal way it is forgotten and
//! costs nothing; when a panic unwinds through it, it leaves the name and the event time for the
//! task to report.

use std::cell::{Cell, RefCell};

use tailwater_core::Timestamp;

thread_local! {
    static BLAMED: RefCell<Option<(String, Timestamp)>> = const { RefCell::new(None) };
}

/// Stands around calls of user code for one record after another; to be [acquitted](Blamed::acquit)
/// when all have returned.
pub struct Blamed<'a> {
    operator: &'a str,
    at: Cell<Timestamp>,
}

impl<'a> Blamed<'a> {
    /// Blames `operator` from here on.
    #[inline(always)]
    pub fn new(operator: &'a str) -> Self {
        Self { operator, at: Cell::new(Timestamp::NONE) }
    }

    /// What is called next is called for the record at `at`.
    #[inline(always)]
    pub fn at(&self, at: Timestamp) {
        self.at.set(at);
    }

    /// Nobody is to blame.
    #[inline(always)]
    pub fn acquit(self) {
        std::mem::forget(self);
    }
}

impl Drop for Blamed<'_> {
    #[cold]
    fn drop(&mut self) {
        BLAMED.with_borrow_mut(|blamed| {
            // The innermost guard unwinds first and knows best.
            blamed.get_or_insert_with(|| (self.operator.to_owned(), self.at.get()));
        });
    }
}

/// Calls user code on behalf of `operator` for the record at `at`.
#[inline(always)]
pub fn blame<R>(operator: &str, at: Timestamp, user_code: impl FnOnce() -> R) -> R {
    let guard = Blamed::new(operator);
    guard.at(at);
    let result = user_code();
    guard.acquit();
    result
}

/// The operator and event time of the last panic on this thread, if it came out of user code.
pub fn take() -> Option<(String, Timestamp)> {
    BLAMED.with_borrow_mut(Option::take)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_call_is_blamed_and_success_blames_nobody() {
        assert_eq!(blame("map", Timestamp(1), || 7), 7);
        assert_eq!(take(), None);
        let outcome = std::panic::catch_unwind(|| {
            blame("outer", Timestamp(1), || blame("inner", Timestamp(2), || panic!("no")))
        });
        assert!(outcome.is_err());
        assert_eq!(take(), Some(("inner".to_owned(), Timestamp(2))));
        assert_eq!(take(), None);
    }
}
