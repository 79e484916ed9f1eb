//! A barrier cuts every stream at one place: the snapshots of a checkpoint agree with each other.
//!
//! Method: an operator in the task of the source counts the records that pass it, and so knows
//! exactly which lie before the barrier; another behind an exchange counts what reaches it. In each
//! completed checkpoint both must come to the same number. The sources never end while checkpoints
//! are asked for.

mod ends;
mod watchdog;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use ends::source_fn;
use tailwater::JobHandle;
use tailwater::operators::{Collect, Description, Operator, Polled, Source};
use tailwater::prelude::*;
use tailwater_core::random::nth;
use tailwater_core::record::from_archive;
use tailwater_state::checkpoint::{OpenedCheckpoint, Which};
use tailwater_state::store::{DirectoryStore, RealDisk};
use tailwater_state::{RestoreSource, SnapshotWriter};
use watchdog::{pause, within};

/// Counts what passes, and remembers the count.
#[derive(Clone)]
struct Count {
    name: &'static str,
    count: u64,
}

fn counting_as(name: &'static str) -> Count {
    Count { name, count: 0 }
}

impl Operator for Count {
    type In = u64;
    type Out = u64;

    fn on_record(&mut self, at: Timestamp, value: u64, out: &mut impl Collect<u64>) {
        self.count += 1;
        out.record(at, value);
    }

    fn snapshot(&mut self, into: &mut SnapshotWriter) -> Result<()> {
        into.operator(self.name, |into| into.value(self.name, &self.count))
    }

    fn describe(&self, into: &mut Vec<Description>) {
        into.push(Description::new(self.name, ""));
    }
}

/// Where the checkpoints of a test go. All of them are kept.
struct Kept(tempfile::TempDir);

impl Kept {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn checkpoints(&self, interval: Option<Span>) -> Option<Checkpoints> {
        let store = self.0.path().to_str().unwrap().parse().unwrap();
        Some(Checkpoints { retain: 1000, ..Checkpoints::new(store, interval) })
    }

    /// What passed the sources, and what the stages behind the exchange have counted.
    fn sums(&self, checkpoint: u64) -> (u64, u64) {
        let store = DirectoryStore::at(RealDisk::default(), self.0.path());
        let opened = OpenedCheckpoint::open(&store, "barriers", Which::Id(checkpoint));
        let opened = opened.unwrap().unwrap();
        let (mut passed, mut counted) = (0, 0);
        for (operator, state) in opened.states() {
            let sum = match state.as_str() {
                "passed" => &mut passed,
                "counted" => &mut counted,
                _ => continue,
            };
            let values = opened.values(&operator, &state).unwrap().unwrap();
            let items = values.cores.iter().flatten();
            *sum += items.map(|item| from_archive::<u64>(item).unwrap()).sum::<u64>();
        }
        (passed, counted)
    }
}

fn wait_for(handle: &JobHandle, checkpoint: u64) {
    while handle.completed_checkpoint() < checkpoint {
        assert!(!handle.is_finished(), "checkpoint {checkpoint} does not come");
        pause();
    }
}

/// Random numbers without an end, in uneven portions.
fn numbers(splits: usize, seed: u64) -> impl Source<Out = u64> {
    source_fn(splits, move |split| {
        let mut index = 0;
        Ok(move |limit: usize, out: &mut Vec<u64>| {
            let portion = nth(seed ^ split as u64, index) as usize % (limit + 1);
            for _ in 0..portion {
                index += 1;
                out.push(nth(seed, index));
            }
            index += 1;
            Ok(if portion == 0 { Polled::Pending } else { Polled::Ready })
        })
    })
}

fn counting_sink() -> impl tailwater::operators::Sink<u64> {
    counting(|count: &Stamped<u64>| count.value)
}

fn one_source(seed: u64) -> Job {
    let job = Job::new("barriers");
    job.source(numbers(5, seed))
        .unstamped()
        .then(counting_as("passed"))
        .key_by(|number| number % 101)
        .records()
        .then(counting_as("counted"))
        .sink(counting_sink());
    job
}

/// Two sources, of which the second goes through one more exchange, together.
fn two_sources(seed: u64) -> Job {
    let job = Job::new("barriers");
    let first = job.source(numbers(2, seed)).named("first").unstamped();
    let second = job.source(numbers(3, seed + 1)).named("second").unstamped();
    first
        .then(counting_as("passed"))
        .union(second.then(counting_as("passed")).rebalance())
        .key_by(|number| number % 101)
        .records()
        .then(counting_as("counted"))
        .sink(counting_sink());
    job
}

/// Checkpoints one after the other, then wanted without a pause.
fn check(job: Job, local: Local) {
    const ONE_BY_ONE: u64 = 12;
    let how = format!("{local:?}");
    let kept = Kept::new();
    let local = Local { checkpoints: kept.checkpoints(None), ..local };
    let report = within(180, &how, || {
        let handle = job.start(local).unwrap();
        for number in 1..=ONE_BY_ONE {
            handle.trigger_checkpoint().unwrap();
            wait_for(&handle, number);
        }
        while handle.completed_checkpoint() < ONE_BY_ONE + 6 {
            handle.trigger_checkpoint().unwrap();
            pause();
        }
        handle.stop();
        handle.join().unwrap()
    });
    let mut before = 0;
    let last = report.checkpoints.completed;
    for checkpoint in 1..=last {
        let (passed, counted) = kept.sums(checkpoint);
        assert_eq!(passed, counted, "checkpoint {checkpoint}: {how}");
        assert!(passed >= before, "checkpoint {checkpoint} lies before the last: {how}");
        before = passed;
    }
    assert_eq!(before, report.records, "the last one lies behind all records: {how}");
}

#[test]
fn a_checkpoint_is_one_cut_through_all_streams() {
    for cores in [1, 2, 3] {
        for (driver, idle) in [
            (Driver::Threads, Idle::Yield),
            (Driver::Threads, Idle::Park),
            (Driver::Glommio, Idle::Yield),
        ] {
            let local = Local { driver, idle, ring_capacity: 32, ..Local::cores(cores) };
            check(one_source(1), local);
        }
    }
}

#[test]
fn for_any_order_of_steps() {
    for seed in 0..20 {
        let local = Local { ring_capacity: 1 + seed as usize, ..Local::seeded(3, seed) };
        check(one_source(seed), local);
    }
}

#[test]
fn also_where_streams_join() {
    let local = Local { driver: Driver::Threads, ring_capacity: 16, ..Local::cores(2) };
    check(two_sources(3), local);
    for seed in 0..8 {
        check(two_sources(seed), Local::seeded(2, seed));
    }
}

/// A split that has ended still takes its part; all it sent lies before every later barrier.
#[test]
fn a_split_that_has_ended_holds_no_barrier_up() {
    const ENDS_AT: u64 = 500;
    for local in [
        Local { driver: Driver::Threads, ..Local::cores(2) },
        Local { driver: Driver::Glommio, idle: Idle::Park, ..Local::cores(2) },
        Local::seeded(2, 4),
    ] {
        let how = format!("{local:?}");
        let ended = Arc::new(AtomicBool::new(false));
        let of_source = ended.clone();
        let source = source_fn(2, move |split| {
            let ended = of_source.clone();
            let mut next = 0;
            Ok(move |limit: usize, out: &mut Vec<u64>| {
                for _ in 0..limit {
                    if split == 0 && next == ENDS_AT {
                        ended.store(true, Relaxed);
                        return Ok(Polled::Finished);
                    }
                    out.push(next);
                    next += 1;
                }
                Ok(Polled::Ready)
            })
        });
        let job = Job::new("barriers");
        job.source(source)
            .unstamped()
            .then(counting_as("passed"))
            .key_by(|number| number % 101)
            .records()
            .then(counting_as("counted"))
            .sink(counting_sink());
        let kept = Kept::new();
        let local = Local { checkpoints: kept.checkpoints(None), ..local };
        within(180, &how, || {
            let handle = job.start(local).unwrap();
            while !ended.load(Relaxed) {
                pause();
            }
            for number in 1..=3 {
                handle.trigger_checkpoint().unwrap();
                wait_for(&handle, number);
            }
            handle.stop();
            handle.join().unwrap()
        });
        let (passed, counted) = kept.sums(3);
        assert!(passed == counted && passed > ENDS_AT, "{how}");
    }
}

#[test]
fn checkpoints_come_by_themselves_where_an_interval_is_set() {
    let kept = Kept::new();
    let checkpoints = kept.checkpoints(Some(1.millis()));
    let local = Local { driver: Driver::Threads, checkpoints, ..Local::cores(2) };
    within(180, "an interval", || {
        let handle = one_source(7).start(local).unwrap();
        wait_for(&handle, 3);
        handle.stop();
        handle.join().unwrap();
    });
    let (passed, counted) = kept.sums(3);
    assert_eq!(passed, counted);
}

#[test]
fn a_job_without_checkpoints_refuses_to_take_one() {
    let handle = one_source(1).start(Local::seeded(1, 1)).unwrap();
    let error = handle.trigger_checkpoint().unwrap_err();
    assert!(error.to_string().contains("takes no checkpoints"), "{error}");
}
