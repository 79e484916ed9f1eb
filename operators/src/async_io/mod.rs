//! Asynchronous I/O: a function of the user's that answers later, called for many records at a time
//! on a core that goes on meanwhile.
//!
//! ```text
//! record -> queue -> asked for: a future, polled when it is woken -> answered -> out, in order
//!             '-- beyond the capacity: not asked for yet, and no more input is taken
//! watermark -> queue -> out when all before it is
//! barrier   -> what is in the queue, as inputs -> onward at once
//! ```

mod cache;
mod calls;
mod look_up;
mod map;
mod operator;
mod options;
mod queue;

#[cfg(test)]
mod tests;

pub use look_up::{ByKey, Enriched, LookUp};
pub use map::Each;
pub use operator::{Answered, Ask, Asked, AsyncIo};
pub use options::{Async, ResultOrder, Retries};
