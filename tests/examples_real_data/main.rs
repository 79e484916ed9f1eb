//! The examples' jobs on real data: what they find is computed a second time, in the plain way.
//!
//! Method: each job runs on two cores as its user would run it, and each test says what the outcome
//! must be from the same records, without windows, state or time: by sorting, by going through all
//! of it again, or by what the exchange itself says elsewhere in the capture. Tests that need a
//! file which is not there say that they were skipped.

#[path = "../../examples/effective_spread/job.rs"]
mod effective_spread;
#[path = "../../examples/late_prints/job.rs"]
mod late_prints;
#[path = "../../examples/risk_limits/job.rs"]
mod risk_limits;
#[path = "../../examples/rolling_volatility/job.rs"]
mod rolling_volatility;
#[path = "../../examples/session_vwap/job.rs"]
mod session_vwap;
#[path = "../../examples/surveillance/job.rs"]
mod surveillance;
#[path = "../../examples/top_of_book/job.rs"]
mod top_of_book;

mod bars;
mod books;
mod patterns;
mod risk;
mod session;
mod spreads;

use std::path::PathBuf;

use tailwater::connectors::market::{Captured, MarketEvent};
use tailwater::operators::{Operator, Source};
use tailwater::prelude::*;
use tailwater::{Stream, operators::Identity};

/// Real out-of-order data is up to so much behind.
const OUT_OF_ORDER: i64 = 110_000_000;

const BTC: &str = "binance-usdm-btcusdt-20240808.jsonl.gz";
const ETH: &str = "binance-usdm-ethusdt-20240808.jsonl.gz";

/// The path of a file of real data, if it is there.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn data(name: &str) -> Option<String> {
    let fallback = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data");
    let directory = std::env::var_os("TAILWATER_DATA").unwrap_or_else(|| fallback.into());
    let path = PathBuf::from(directory).join(name);
    if !path.exists() {
        eprintln!("skipped: {} is absent", path.display());
        return None;
    }
    Some(path.display().to_string())
}

/// All that a source gives, in its order.
fn read<S: Source>(source: S) -> Vec<S::Out>
where
    S::Out: Record,
{
    let (job, records) = (Job::new("read"), collect());
    job.source(source).unstamped().sink(records.clone());
    job.run(Local::cores(1)).expect("the file can be read");
    records.take()
}

/// All messages of a capture.
fn capture(path: &str) -> Vec<MarketEvent> {
    read(Files::binance_events(path)).into_iter().map(|captured| captured.event).collect()
}

/// What a job makes of the messages of a capture, on two cores; none was late.
fn run_on_capture<T: Record, C: Operator<Out = T> + Clone>(
    path: &str,
    build: impl FnOnce(Stream<MarketEvent, Events>) -> Stream<T, C>,
) -> Vec<T> {
    let (job, results) = (Job::new("capture"), collect());
    let event: fn(Captured) -> MarketEvent = |captured| captured.event;
    let events = job
        .source(Files::binance_events(path))
        .event_time(|captured| captured.event.at(), Watermarks::bounded(Span(OUT_OF_ORDER)))
        .map(event);
    build(events).sink(results.clone());
    let report = job.run(Local::cores(2)).expect("the job runs");
    assert_eq!(report.counters.iter().find(|(name, n)| name.contains("late") && *n > 0), None);
    results.take()
}

/// The chain of a capture's messages.
type Events = tailwater::operators::Then<
    Identity<Captured>,
    tailwater::operators::stateless::Map<Captured, MarketEvent, fn(Captured) -> MarketEvent>,
>;
