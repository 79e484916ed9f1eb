//! `service-time`: how long one update of a keyed table takes, its own time and not its queueing,
//! at a steady rate; with checkpoints or without.
//!
//! Updates are due one by one, as in `latency`, and are timed one by one around the table alone:
//! find or insert the key, change the value, and what change tracking adds to that. The first
//! second, in which keys are inserted and caches warm up, is left out, and so is the time in which
//! all keys are loaded.

use std::sync::{Arc, Mutex, PoisonError};

use hdrhistogram::Histogram;
use serde::Serialize;
use tailwater::operators::{
    Collect, Description, Operator, OperatorContext, Polled, Source, SourceContext, SplitPosition,
    SplitReader,
};
use tailwater::prelude::*;
use tailwater::runtime::latency::histogram;
use tailwater::state::{Drain, SnapshotReader, SnapshotWriter, StateTable};
use tailwater::{Clock, SystemClock};
use tailwater_core::stable_hash;

use super::BenchArgs;
use super::state_update::{Value, update_at};

/// All keys once as fast as they are taken, then updates at a rate.
struct Paced {
    keys: u64,
    rate: u64,
    events: u64,
}

struct PacedReader {
    keys: u64,
    rate: u64,
    events: u64,
    next: u64,
    start_ns: Option<u64>,
    clock: Arc<dyn Clock>,
}

/// An update, and whether it is one to be timed.
type Update = (u64, u64, bool);

impl Source for Paced {
    type Out = Update;

    fn name(&self) -> String {
        "paced".to_owned()
    }

    fn splits(&self, _: u32) -> Result<Vec<String>> {
        Ok(vec!["paced".to_owned()])
    }

    fn open(&self, _: usize, context: &SourceContext) -> Result<Box<dyn SplitReader<Update>>> {
        Ok(Box::new(PacedReader {
            keys: self.keys,
            rate: self.rate,
            events: self.events,
            next: 0,
            start_ns: None,
            clock: context.clock.clone(),
        }))
    }
}

impl SplitReader<Update> for PacedReader {
    fn poll(&mut self, limit: usize, out: &mut Vec<Update>) -> Result<Polled> {
        if self.next < self.keys {
            let count = (self.keys - self.next).min(limit as u64);
            out.extend((self.next..self.next + count).map(|key| (key, 1, false)));
            self.next += count;
            return Ok(Polled::Ready);
        }
        let now_ns = self.clock.monotonic_ns();
        let start_ns = *self.start_ns.get_or_insert(now_ns);
        for _ in 0..limit {
            let index = self.next - self.keys;
            if index == self.events {
                return Ok(Polled::Finished);
            }
            let due_ns =
                start_ns + (u128::from(index) * 1_000_000_000 / u128::from(self.rate)) as u64;
            if due_ns > now_ns {
                return Ok(Polled::Pending);
            }
            let (key, amount) = update_at(index, self.keys);
            out.push((key, amount, index >= self.rate));
            self.next += 1;
        }
        Ok(Polled::Ready)
    }

    fn position(&self) -> SplitPosition {
        SplitPosition::after(self.next)
    }
}

/// Updates a table and times each update.
struct TimedUpdates {
    table: StateTable<u64, Value>,
    times: Arc<Mutex<Histogram<u64>>>,
    own: Histogram<u64>,
    clock: SystemClock,
}

impl TimedUpdates {
    fn new(times: Arc<Mutex<Histogram<u64>>>) -> Self {
        Self {
            table: StateTable::detached(),
            times,
            own: histogram(),
            clock: SystemClock::default(),
        }
    }
}

impl Clone for TimedUpdates {
    fn clone(&self) -> Self {
        Self::new(self.times.clone())
    }
}

impl Operator for TimedUpdates {
    type In = Update;
    type Out = u64;

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.table = StateTable::new(&context.state);
        Ok(())
    }

    #[inline]
    fn on_record(&mut self, at: Timestamp, update: Update, out: &mut impl Collect<u64>) {
        let (key, amount, is_timed) = update;
        let start_ns = self.clock.monotonic_ns();
        let value = self.table.get_or_insert_with(stable_hash(&key), key, Value::default);
        value.update(amount);
        let end_ns = self.clock.monotonic_ns();
        if is_timed {
            self.own.saturating_record(end_ns - start_ns);
            out.record(at, amount);
        }
    }

    fn snapshot(&mut self, into: &mut SnapshotWriter) -> Result<()> {
        into.operator("timed_updates", |into| into.tracked("values", &mut self.table))
    }

    fn drain(&mut self, into: &mut Drain) -> Result<bool> {
        tailwater::state::TrackedState::drain(&mut self.table, into)
    }

    fn restore(&mut self, from: &mut SnapshotReader) -> Result<()> {
        from.operator("timed_updates", |from| from.tracked("values", &mut self.table)).map(drop)
    }

    fn on_end(&mut self, _: &mut impl Collect<u64>) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        // Both have the bounds of `histogram()`.
        let _ = times.add(&self.own);
        self.own.reset();
    }

    fn describe(&self, into: &mut Vec<Description>) {
        into.push(Description::new("timed_updates", ""));
    }
}

/// What the workload came to, in nanoseconds.
#[derive(Serialize)]
pub struct ServiceTime {
    engine: &'static str,
    workload: &'static str,
    cores: u32,
    keys: u64,
    rate: u64,
    samples: u64,
    p50_ns: u64,
    p99_ns: u64,
    p999_ns: u64,
    p9999_ns: u64,
    max_ns: u64,
    #[serde(flatten)]
    checkpoints: Option<super::CheckpointFigures>,
}

pub fn run(args: &BenchArgs) -> Result<ServiceTime> {
    let events = args.rate * args.seconds.max(2);
    let times = Arc::new(Mutex::new(histogram()));
    let job = Job::new("service-time");
    let results = counting(|result: &Stamped<u64>| result.value);
    job.source(Paced { keys: args.keys, rate: args.rate, events })
        .unstamped()
        .key_by(|update: &Update| update.0)
        .then(|_| TimedUpdates::new(times.clone()))
        .sink(results);
    let report = job.run(args.local())?;
    let times = times.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(ServiceTime {
        engine: "tailwater",
        workload: "service-time",
        cores: args.cores,
        keys: args.keys,
        rate: args.rate,
        samples: times.len(),
        p50_ns: times.value_at_quantile(0.5),
        p99_ns: times.value_at_quantile(0.99),
        p999_ns: times.value_at_quantile(0.999),
        p9999_ns: times.value_at_quantile(0.9999),
        max_ns: times.max(),
        checkpoints: super::CheckpointFigures::of(&report),
    })
}
