//! Functions of the user's over the records of each key, with state and timers, and over those of a
//! core, with state of the core.
//!
//! ```
//! use tailwater_core::{Describe, Span, Timestamp};
//! use tailwater_derive::keyed_state;
//! use tailwater_operators::process::{Context, Process, ProcessOperator};
//! use tailwater_operators::testing::Harness;
//!
//! #[keyed_state(key = u32, crate = tailwater_state)]
//! struct Silence { last: Value<Timestamp> }
//!
//! /// Emits a key when nothing came for it in ten nanoseconds.
//! #[derive(Clone)]
//! struct Watch;
//!
//! impl Process for Watch {
//!     type In = u32;
//!     type State = Silence;
//!     type Out = u32;
//!
//!     fn on_record(&mut self, _: u32, silence: &mut Silence, context: &mut Context<u32>) {
//!         silence.last.set(context.at());
//!         context.event_timer(context.at() + Span(10));
//!     }
//!
//!     fn on_timer(&mut self, at: Timestamp, silence: &mut Silence, context: &mut Context<u32>) {
//!         if silence.last.get().is_some_and(|last| *last + Span(10) == at) {
//!             context.emit(*silence.key());
//!         }
//!     }
//! }
//!
//! let mut harness = Harness::new(ProcessOperator::new(|n: &u32| *n, Watch))?;
//! harness.record(Timestamp(1), 7);
//! harness.record(Timestamp(6), 7);
//! harness.watermark(Timestamp(20));
//! assert_eq!(harness.take_results(), [7]);
//! # Ok::<(), tailwater_core::Error>(())
//! ```

mod broadcast;
mod context;
mod operator;
mod two_input;
mod unkeyed;
mod unkeyed_broadcast;
mod unkeyed_process;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod two_input_tests;
#[cfg(test)]
mod unkeyed_process_tests;

use tailwater_core::Timestamp;
use tailwater_state::keyed::KeyedState;

pub use broadcast::{
    BroadcastContext, BroadcastOperator, BroadcastProcess, KeyedSide, SharedState,
};
pub use context::Context;
pub use operator::ProcessOperator;
pub use two_input::{CoProcess, TwoInputs};
pub use unkeyed::{ProcessEach, UnkeyedContext};
pub use unkeyed_broadcast::{UnkeyedBroadcastOperator, UnkeyedBroadcastProcess};
pub use unkeyed_process::{UnkeyedProcess, UnkeyedProcessOperator};

/// What happens to the records of a key. Each core has a clone of its own, which sees many keys:
/// what is to be remembered belongs into the state, not into fields.
pub trait Process: Clone + Send + 'static {
    /// What comes in.
    type In;
    /// What is remembered of each key; `#[keyed_state]` makes it, `NoState` is none.
    type State: KeyedState;
    /// What goes out.
    type Out;

    /// Called once before the first record: the place to set a TTL that is known only now.
    fn open(&mut self, state: &mut Self::State) {
        let _ = state;
    }

    /// A record of the current key. Late ones come like any other (SEMANTICS 21).
    fn on_record(
        &mut self,
        record: Self::In,
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
