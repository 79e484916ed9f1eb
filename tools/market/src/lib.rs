//! A seeded, deterministic exchange: the synthetic tape as a source, and as CSV and ITCH 5.0 files.
//!
//! [`Options`] name a tape. [`Market`] plays it as exchange events in the order of exchange time,
//! [`Tape`] gives its prints to a job, [`write_csv`] and [`write_itch50`] write it to files. The
//! same options give the same tape on every machine: all arithmetic is on integers, and nothing
//! depends on the number of cores.
//!
//! ```
//! use tailwater_market::{Market, Options};
//!
//! let market = Market::new(&Options { symbols: 5, events: 1_000, ..Options::default() })?;
//! assert_eq!(market.count(), 1_000);
//! # Ok::<(), tailwater_core::Error>(())
//! ```
#![forbid(unsafe_code)]

mod arrivals;
mod book;
mod event;
mod files;
mod itch;
mod market;
mod options;
mod pace;
mod part;
mod pick;
mod tape;
mod turn;

pub use event::{Event, EventKind, Print, Side};
pub use files::{Written, write_csv, write_itch50};
pub use market::Market;
pub use options::Options;
pub use tape::Tape;
