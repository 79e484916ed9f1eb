//! `chain`: five fused stateless steps (three maps, two filters) against a std iterator's: the
//! chain alone, as jobs build it, and beside it the whole job with its source, batches and sink.

use std::time::Duration;

use serde::Serialize;
use tailwater::operators::stateless::{Filter, Map};
use tailwater::operators::{Collect, Operator, Then};
use tailwater::prelude::*;
use tailwater::{Clock, SystemClock};

use super::{BenchArgs, Generated, Throughput};

const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// Counts and adds up what comes out of the chain.
#[derive(Default)]
struct Totals {
    outputs: u64,
    checksum: u64,
}

impl Collect<u64> for Totals {
    #[inline(always)]
    fn record(&mut self, _: Timestamp, value: u64) {
        self.outputs += 1;
        self.checksum = self.checksum.wrapping_add(value);
    }

    fn watermark(&mut self, _: Timestamp) {}

    fn has_room(&self) -> bool {
        true
    }

    #[allow(clippy::panic)] // None of the steps can fail.
    fn fail(&mut self, error: Error) {
        panic!("{error}");
    }
}

/// The chain alone, with the whole job's rate beside it.
#[derive(Serialize)]
pub struct Chain {
    #[serde(flatten)]
    chain: Throughput,
    ns_per_record: f64,
    job_events_per_s: f64,
}

pub fn run(args: &BenchArgs) -> Result<Chain> {
    let mut chain = Then::new(
        Then::new(
            Then::new(
                Then::new(
                    Map::new(|x: u64| x.wrapping_mul(GAMMA)),
                    Filter::new(|x: &u64| x >> 60 != 0),
                ),
                Map::new(|x: u64| x ^ (x >> 29)),
            ),
            Filter::new(|x: &u64| x & 15 != 0),
        ),
        Map::new(|x: u64| (x >> 7).wrapping_add(x)),
    );
    let clock = SystemClock::default();
    let mut totals = Totals::default();
    let started_ns = clock.monotonic_ns();
    for index in 0..std::hint::black_box(args.events) {
        chain.on_record(Timestamp::NONE, index, &mut totals);
    }
    let secs = Duration::from_nanos(clock.monotonic_ns() - started_ns).as_secs_f64();

    let job = Job::new("chain");
    let results = counting(|result: &Stamped<u64>| result.value);
    job.source(Generated::per_core(args.events, |index| index))
        .unstamped()
        .map(|x: u64| x.wrapping_mul(GAMMA))
        .filter(|x| x >> 60 != 0)
        .map(|x| x ^ (x >> 29))
        .filter(|x| x & 15 != 0)
        .map(|x| (x >> 7).wrapping_add(x))
        .sink(results.clone());
    let report = job.run(args.local())?;
    if (results.count(), results.checksum()) != (totals.outputs, totals.checksum) {
        return Err(Error::internal(
            "the chain alone and the job with it came to different results",
        ));
    }
    let whole = args.throughput("chain", &report, totals.outputs, totals.checksum);
    Ok(Chain {
        job_events_per_s: whole.events_per_s,
        ns_per_record: secs * 1e9 / args.events as f64,
        chain: Throughput { secs, events_per_s: args.events as f64 / secs, cores: 1, ..whole },
    })
}
