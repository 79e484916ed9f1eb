//! A process over two streams that share a key, its state and its timers.

use tailwater_core::{Either, Timestamp};
use tailwater_state::keyed::KeyedState;

use super::{Context, Process, ProcessOperator};
use crate::aggregate::short_type_name;

/// What happens to the records of a key that come from two streams. Both see the same state of the
/// key (SEMANTICS 98). Which of two records of different streams comes first is not told by their
/// times: what matters waits in the state for a timer.
pub trait CoProcess: Clone + Send + 'static {
    /// What comes from the left stream.
    type Left;
    /// What comes from the right stream.
    type Right;
    /// What is remembered of each key.
    type State: KeyedState;
    /// What goes out.
    type Out;

    /// Called once before the first record.
    fn open(&mut self, state: &mut Self::State) {
        let _ = state;
    }

    /// A record of the left stream.
    fn on_left(
        &mut self,
        record: Self::Left,
        state: &mut Self::State,
        context: &mut Context<Self::Out>,
    );

    /// A record of the right stream.
    fn on_right(
        &mut self,
        record: Self::Right,
        state: &mut Self::State,
        context: &mut Context<Self::Out>,
    );

    /// A timer of the current key is due; it was set for `at`.
    fn on_timer(
        &mut self,
        at: Timestamp,
        state: &mut Self::State,
        context: &mut Context<Self::Out>,
    ) {
        let _ = (at, state, context);
    }
}

/// A [`CoProcess`] as a process over one stream of what came from either.
#[derive(Clone)]
pub struct TwoInputs<P>(P);

impl<P: CoProcess> Process for TwoInputs<P> {
    type In = Either<P::Left, P::Right>;
    type State = P::State;
    type Out = P::Out;

    fn open(&mut self, state: &mut P::State) {
        self.0.open(state);
    }

    #[inline]
    fn on_record(&mut self, record: Self::In, state: &mut P::State, context: &mut Context<P::Out>) {
        match record {
            Either::First(left) => self.0.on_left(left, state, context),
            Either::Second(right) => self.0.on_right(right, state, context),
        }
    }

    fn on_timer(&mut self, at: Timestamp, state: &mut P::State, context: &mut Context<P::Out>) {
        self.0.on_timer(at, state, context);
    }
}

impl<P: CoProcess, F> ProcessOperator<TwoInputs<P>, F> {
    /// Runs `process` on two streams with the key that `key_of` gives, of a record of either.
    pub fn of_two(key_of: F, process: P) -> Self {
        Self::of_kind("two-input process", short_type_name::<P>(), key_of, TwoInputs(process))
    }
}
