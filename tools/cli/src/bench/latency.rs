//! `latency`: an open loop through source, exchange, keyed update and sink, corrected for
//! coordinated omission.
//!
//! Record i is due at start + i / rate, whatever happened before. Its latency is the time from that
//! moment until its result, the updated bar of its symbol, has been handed to the sink. The first
//! tenth warms up.

use std::sync::{Arc, Mutex, PoisonError};

use hdrhistogram::Histogram;
use serde::Serialize;
use tailwater::operators::{
    Polled, Sink, SinkContext, SinkWriter, Source, SourceContext, SplitPosition, SplitReader,
};
use tailwater::prelude::*;
use tailwater::runtime::latency::histogram;
use tailwater::{Clock, Stamped};

use super::BenchArgs;
use super::tick_vwap::{Bar, Tick, tick};

/// A tick that carries the moment at which it was due.
#[record]
#[derive(Copy)]
struct Sent {
    tick: Tick,
    due_ns: u64,
}

/// The updated bar of a symbol, and the moment at which the tick that updated it was due.
#[record]
#[derive(Default)]
struct Updated {
    bar: Bar,
    due_ns: u64,
}

struct OpenLoop {
    rate: u64,
    events: u64,
}

struct OpenLoopReader {
    rate: u64,
    events: u64,
    /// The schedule begins with this one.
    first: u64,
    next: u64,
    start_ns: Option<u64>,
    clock: Arc<dyn Clock>,
}

impl Source for OpenLoop {
    type Out = Sent;

    fn name(&self) -> String {
        "open-loop".to_owned()
    }

    fn splits(&self, _: u32) -> Result<Vec<String>> {
        Ok(vec!["open-loop".to_owned()])
    }

    fn open(&self, _: usize, context: &SourceContext) -> Result<Box<dyn SplitReader<Sent>>> {
        Ok(Box::new(OpenLoopReader {
            rate: self.rate,
            events: self.events,
            first: context.records_before(),
            next: context.records_before(),
            start_ns: None,
            clock: context.clock.clone(),
        }))
    }
}

impl SplitReader<Sent> for OpenLoopReader {
    fn poll(&mut self, limit: usize, out: &mut Vec<Sent>) -> Result<Polled> {
        let now_ns = self.clock.monotonic_ns();
        let start_ns = *self.start_ns.get_or_insert(now_ns);
        for _ in 0..limit {
            if self.next == self.events {
                return Ok(Polled::Finished);
            }
            let after = u128::from(self.next - self.first) * 1_000_000_000 / u128::from(self.rate);
            let due_ns = start_ns + after as u64;
            if due_ns > now_ns {
                return Ok(Polled::Pending);
            }
            out.push(Sent { tick: tick(self.next), due_ns });
            self.next += 1;
        }
        Ok(Polled::Ready)
    }

    fn position(&self) -> SplitPosition {
        SplitPosition::after(self.next)
    }
}

#[derive(Clone)]
struct Measured {
    all: Arc<Mutex<Histogram<u64>>>,
    warm_up_ns: u64,
}

struct MeasuredWriter {
    sink: Measured,
    own: Histogram<u64>,
    clock: Arc<dyn Clock>,
    warm_ns: Option<u64>,
}

impl Sink<Updated> for Measured {
    fn name(&self) -> String {
        "measured".to_owned()
    }

    fn may_repeat(&self) -> bool {
        false
    }

    fn open(&self, context: &SinkContext) -> Result<Box<dyn SinkWriter<Updated>>> {
        let clock = context.clock.clone();
        Ok(Box::new(MeasuredWriter { sink: self.clone(), own: histogram(), clock, warm_ns: None }))
    }
}

impl SinkWriter<Updated> for MeasuredWriter {
    fn write(&mut self, batch: &mut Vec<Stamped<Updated>>) -> Result<()> {
        let now_ns = self.clock.monotonic_ns();
        for Stamped { value, .. } in batch.drain(..) {
            let warm_ns = *self.warm_ns.get_or_insert(value.due_ns + self.sink.warm_up_ns);
            if value.due_ns >= warm_ns {
                self.own.saturating_record(now_ns.saturating_sub(value.due_ns));
            }
        }
        Ok(())
    }

    fn close(&mut self) -> Result<bool> {
        let mut all = self.sink.all.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = all.add(&self.own);
        self.own.reset();
        Ok(true)
    }
}

/// What the workload came to.
#[derive(Serialize)]
pub struct Latency {
    engine: &'static str,
    workload: &'static str,
    cores: u32,
    rate: u64,
    events: u64,
    secs: f64,
    events_per_s: f64,
    p50_ns: u64,
    p99_ns: u64,
    p999_ns: u64,
    p9999_ns: u64,
    max_ns: u64,
    samples: u64,
    floor_p99_ns: u64,
    floor_p999_ns: u64,
    floor_max_ns: u64,
}

pub fn run(args: &BenchArgs) -> Result<Latency> {
    let seconds = args.seconds.max(1);
    let events = args.rate * seconds;
    let measured = Measured {
        all: Arc::new(Mutex::new(histogram())),
        warm_up_ns: seconds * 1_000_000_000 / 10,
    };
    let job = Job::new("latency");
    job.source(OpenLoop { rate: args.rate, events })
        .event_time(|sent: &Sent| sent.tick.at, Watermarks::bounded(2.millis()))
        .key_by(|sent| sent.tick.symbol)
        .fold(Updated::default(), |updated: &mut Updated, sent: &Sent| {
            updated.bar.add(&sent.tick);
            updated.due_ns = sent.due_ns;
        })
        .sink(measured.clone());
    // The floor is seen before the run, by the same pinned threads, and in the idle rounds of the
    // run.
    let report =
        job.run(Local { floor_measurement: (seconds as i64 * 500).millis(), ..args.local() })?;
    let latency = measured.all.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Latency {
        engine: "tailwater",
        workload: "latency",
        cores: args.cores,
        rate: args.rate,
        events: report.records,
        secs: report.secs,
        events_per_s: report.records_per_s(),
        p50_ns: latency.value_at_quantile(0.5),
        p99_ns: latency.value_at_quantile(0.99),
        p999_ns: latency.value_at_quantile(0.999),
        p9999_ns: latency.value_at_quantile(0.9999),
        max_ns: latency.max(),
        samples: latency.len(),
        floor_p99_ns: report.floor.p99_ns,
        floor_p999_ns: report.floor.p999_ns,
        floor_max_ns: report.floor.max_ns,
    })
}
