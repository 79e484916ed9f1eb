//! How long does a barrier wait while a million timers fire at one watermark? It may be taken
//! between two pieces of firings; the longest piece, with the snapshot, is the longest that it
//! waits. Beside it the time of all firings at once, which it would wait otherwise, and the longest
//! piece in which the machine did not give the processor to somebody else.
//!
//! ```text
//! cargo bench -p tailwater-operators --bench timer_burst
//! ```
#![allow(missing_docs, clippy::print_stdout, clippy::disallowed_methods)]

use std::time::{Duration, Instant};

use tailwater_core::{Error, Timestamp};
use tailwater_operators::process::{Context, Process, ProcessOperator};
use tailwater_operators::{Collect, Operator, OperatorContext};
use tailwater_state::keyed::NoState;
use tailwater_state::{Drain, SnapshotKind, SnapshotWriter};

const TIMERS: u64 = 1_000_000;
/// Barriers are rare next to pieces: one in so many.
const BARRIER_EVERY: u32 = 64;
const RUNS: usize = 5;

#[derive(Clone)]
struct Fire;

impl Process for Fire {
    type In = u64;
    type State = NoState<u64>;
    type Out = u64;

    fn on_record(&mut self, key: u64, _: &mut NoState<u64>, context: &mut Context<u64>) {
        context.event_timer(Timestamp((key % 1000) as i64));
    }

    fn on_timer(&mut self, _: Timestamp, state: &mut NoState<u64>, context: &mut Context<u64>) {
        context.emit(*state.key());
    }
}

#[derive(Default)]
struct Count(u64);

impl Collect<u64> for Count {
    fn record(&mut self, _: Timestamp, value: u64) {
        std::hint::black_box(value);
        self.0 += 1;
    }

    fn watermark(&mut self, _: Timestamp) {}

    fn has_room(&self) -> bool {
        true
    }

    fn fail(&mut self, error: Error) {
        panic!("{error}");
    }
}

/// How often the processor was taken from this thread so far.
fn preemptions() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"));
    line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

/// What a run came to: the longest piece, the longest that was left alone, a piece in the middle,
/// and all of them.
struct Run {
    longest: Duration,
    undisturbed: Duration,
    median: Duration,
    all: Duration,
}

fn run() -> Run {
    let mut operator = ProcessOperator::new(|key: &u64| *key, Fire);
    operator.open(&OperatorContext::single_core()).unwrap_or_else(|error| panic!("{error}"));
    let mut out = Count::default();
    for key in 0..TIMERS {
        operator.on_record(Timestamp(0), key, &mut out);
    }
    let (mut pieces, mut all, mut undisturbed) = (Vec::new(), Duration::ZERO, Duration::ZERO);
    let mut drain = Drain::new();
    let mut piece = |work: &mut dyn FnMut()| {
        let before = preemptions();
        let began = Instant::now();
        work();
        let took = began.elapsed();
        if preemptions() == before {
            undisturbed = undisturbed.max(took);
        }
        pieces.push(took);
        all += took;
    };
    piece(&mut || operator.on_watermark(Timestamp(1000), &mut out));
    let mut number = 0;
    while operator.is_pending() {
        number += 1;
        piece(&mut || {
            operator.resume(&mut out);
            if number % BARRIER_EVERY == 0 {
                let mut writer = SnapshotWriter::new(SnapshotKind::Incremental, "");
                operator.snapshot(&mut writer).unwrap_or_else(|error| panic!("{error}"));
            }
        });
        // What the last barrier cut is handed over between pieces, as a task does.
        drain.allow(usize::MAX);
        while !operator.drain(&mut drain).unwrap_or_else(|error| panic!("{error}")) {
            drain.allow(usize::MAX);
        }
        drain.take().for_each(drop);
    }
    assert_eq!(out.0, TIMERS);
    pieces.sort();
    let (longest, median) = (pieces[pieces.len() - 1], pieces[pieces.len() / 2]);
    Run { longest, undisturbed, median, all }
}

fn main() {
    for number in 1..=RUNS {
        let Run { longest, undisturbed, median, all } = run();
        println!(
            "run {number}: a barrier waits {:.0} us at most ({:.0} us where the thread was not \
             preempted), {:.0} us in the middle; all {TIMERS} timers take {:.0} us",
            longest.as_secs_f64() * 1e6,
            undisturbed.as_secs_f64() * 1e6,
            median.as_secs_f64() * 1e6,
            all.as_secs_f64() * 1e6,
        );
    }
}
