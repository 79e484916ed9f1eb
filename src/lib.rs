//! Tailwater: a stateful stream processor with the semantics of Apache Flink, built as a
//! thread-per-core engine.
//!
//! A job is a typed graph that is known before it runs: sources, operators, windows, sinks.
//!
//! ```
//! use tailwater::prelude::*;
//!
//! #[record]
//! struct Trade { symbol: Symbol, price: Price, size: Size, at: Timestamp }
//!
//! # fn main() -> Result<()> {
//! let trade = |symbol: &str, price: i64, at: i64| Trade {
//!     symbol: symbol.parse().unwrap(),
//!     price: Price::from_units(price * 100_000_000),
//!     size: Size::from_units(100_000_000),
//!     at: Timestamp(at),
//! };
//! let trades = vec![trade("A", 10, 1), trade("A", 20, 2), trade("B", 5, 900_000_000)];
//!
//! let job = Job::new("vwap");
//! let results = collect();
//! job.source(from_vec(trades))
//!     .event_time(|trade: &Trade| trade.at, Watermarks::bounded(5.millis()))
//!     .key_by(|trade| trade.symbol)
//!     .window(Tumbling::of(1.secs()))
//!     .aggregate(vwap(|trade: &Trade| trade.price, |trade: &Trade| trade.size))
//!     .sink(results.clone());
//! job.run(Local::cores(2))?;
//!
//! let mut prices: Vec<_> =
//!     results.take().into_iter().map(|r| (r.key.to_string(), r.value.vwap.to_string())).collect();
//! prices.sort();
//! assert_eq!(prices, [("A".into(), "15".into()), ("B".into(), "5".into())]);
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

// `#[record]` writes paths that start at `::tailwater`; inside this crate they must lead here.
extern crate self as tailwater;

mod async_io;
mod checkpoint_options;
mod connected;
pub mod embed;
mod job;
mod joined;
mod keyed;
mod main_job;
mod mode_options;
mod outputs;
mod partition;
pub mod prelude;
mod source_stream;
mod stream;
pub mod testing;
mod two_inputs;
mod windowed;

pub use checkpoint_options::{
    CheckpointOptions, open_store, parse_bytes, parse_restore, split_checkpoint,
};
pub use embed::{Egress, Ingress, egress, ingress};
pub use job::Job;
pub use joined::{groups, pairs};
pub use keyed::Keyed;
pub use main_job::{parse_driver, stop_on_signals};
pub use mode_options::ModeOptions;
pub use outputs::Outputs;
pub use source_stream::SourceStream;
pub use stream::Stream;
pub use two_inputs::{Connected, ConnectedBroadcast, ConnectedKeyed, UnkeyedBroadcast};
pub use windowed::{
    Aligned, Beside, Counted, CountedOrAfter, CountedSliding, Direct, Dropped, Evicting, Eviction,
    GeneralWindowed, LateOutput, WindowKind, Windowed,
};

pub use tailwater_connectors as connectors;
pub use tailwater_core::{
    Clock, Counter, Counters, Describe, Element, Error, ErrorKind, Key, KeyGroups, ManualClock,
    Notional, Price, Record, Result, Schema, Size, Span, Stamped, Symbol, TimeUnits, Timestamp,
    Volume,
};
/// The derive of the trait of the same name.
pub use tailwater_derive::Outputs;
pub use tailwater_derive::{keyed_state, operator_state, record};
pub use tailwater_operators as operators;
pub use tailwater_operators::RuntimeMode;
pub use tailwater_runtime as runtime;
pub use tailwater_runtime::{
    Activity, Backoff, CheckpointReport, Checkpoints, Cores, Driver, EventTime, EventTimeWatch,
    Guarantee, Idle, JobHandle, Local, Objective, OpenStore, Pace, Report, Restart, Restore,
    SplitProgress, SystemClock,
};
pub use tailwater_state as state;
pub use tailwater_state::SortOptions;

/// What the derives write paths to.
#[doc(hidden)]
pub mod __private {
    pub use std::convert::Infallible;

    pub use tailwater_core::Either;

    pub use crate::outputs::Ways;
    pub use crate::stream::Fresh;
}

#[doc(hidden)]
pub use tailwater_core::schema;
#[doc(hidden)]
pub use {rkyv, serde};

/// The pages of `docs/` whose code is compiled and run with the tests.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../docs/async.md")]
    struct Async;
    #[doc = include_str!("../docs/embedding.md")]
    struct Embedding;
    #[doc = include_str!("../docs/joins.md")]
    struct Joins;
    #[doc = include_str!("../docs/latency.md")]
    struct Latency;
    #[doc = include_str!("../docs/time.md")]
    struct Time;
    #[doc = include_str!("../docs/determinism.md")]
    struct Determinism;
    #[doc = include_str!("../docs/batch.md")]
    struct Batch;
    #[doc = include_str!("../docs/state.md")]
    struct State;
    #[doc = include_str!("../docs/windows.md")]
    struct Windows;
    #[doc = include_str!("../docs/process.md")]
    struct Process;
    #[doc = include_str!("../docs/exactly-once.md")]
    struct ExactlyOnce;
    #[doc = include_str!("../docs/testing.md")]
    struct Testing;
}
