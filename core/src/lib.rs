//! What flows through a job: records, time, keys, clocks, counters, fixed-point money and errors.
//!
//! Nothing here knows threads, files, sockets or the machine's clock. A type belongs here only when
//! at least two of network, state and operators need it.
#![forbid(unsafe_code)]

// `Describe` writes paths that start at `::tailwater_core`; inside this crate they must lead here.
extern crate self as tailwater_core;

pub mod aggregate;
pub mod clock;
pub mod counters;
pub mod either;
pub mod element;
pub mod error;
pub mod fault;
pub mod key;
pub mod money;
pub mod random;
pub mod record;
pub mod schema;
pub mod symbol;
pub mod time;

pub use aggregate::Aggregate;
pub use clock::{Clock, ManualClock};
pub use counters::{Counter, Counters, Gauge};
pub use either::Either;
pub use element::{Barrier, Control, Element, Marker, Stamped};
pub use error::{Error, ErrorKind, Result};
pub use fault::{Fault, fault};
pub use key::{Key, KeyGroups, hash_code, stable_hash};
pub use money::{Notional, Price, Size, Volume};
pub use random::Random;
pub use record::Record;
pub use schema::{Describe, Schema};
pub use symbol::Symbol;
/// The derive of the trait of the same name.
pub use tailwater_derive::Describe;
pub use time::{Span, TimeUnits, Timestamp};
