//! A barrier cuts every stream at one place: the snapshots of a checkpoint agree with each other.
//!
//! Method: an operator in the task of the source counts the records that pass it, and so knows
//! exactly which lie before the barrier; behind an exchange a rolling count remembers how many
//! records of each key it saw. In the snapshots of one checkpoint both must come to the same
//! number. The sources never end while barriers are asked for, so that every task takes every
//! checkpoint.

mod ends;
mod watchdog;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use ends::source_fn;
use tailwater::JobHandle;
use tailwater::operators::{Collect, Description, Operator, Polled, Source};
use tailwater::prelude::*;
use tailwater::runtime::SnapshotTaker;
use tailwater_core::random::nth;
use tailwater_core::record::from_archive;
use tailwater_state::{SnapshotParts, SnapshotWriter};
use watchdog::within;

/// Counts what passes, and remembers the count.
#[derive(Clone, Default)]
struct CountPassing(u64);

impl Operator for CountPassing {
    type In = u64;
    type Out = u64;

    fn on_record(&mut self, at: Timestamp, value: u64, out: &mut impl Collect<u64>) {
        self.0 += 1;
        out.record(at, value);
    }

    fn snapshot(&mut self, into: &mut SnapshotWriter) -> Result<()> {
        into.operator("count_passing", |into| into.value("passed", &self.0))
    }

    fn describe(&self, into: &mut Vec<Description>) {
        into.push(Description::new("count_passing", ""));
    }
}

/// The snapshots by checkpoint, then by node and core.
#[derive(Default)]
struct Taken(Mutex<BTreeMap<u64, Vec<((u32, u32), SnapshotParts)>>>);

impl SnapshotTaker for Taken {
    fn take(&self, checkpoint: u64, node: u32, core: u32, snapshot: SnapshotParts) {
        let mut taken = self.0.lock().unwrap();
        taken.entry(checkpoint).or_default().push(((node, core), snapshot));
    }
}

impl Taken {
    fn count(&self, checkpoint: u64) -> usize {
        self.0.lock().unwrap().get(&checkpoint).map_or(0, Vec::len)
    }

    fn wait_for(&self, checkpoint: u64, count: usize) {
        while self.count(checkpoint) < count {
            std::thread::yield_now();
        }
    }

    /// What passed the sources and what the keyed stage has counted, for a checkpoint, after it was
    /// checked that each task took it once at most. `None` where the checkpoint was given up.
    fn sums(&self, checkpoint: u64, tasks: usize) -> Option<(u64, u64)> {
        let mut taken = self.0.lock().unwrap();
        let snapshots = taken.get_mut(&checkpoint)?;
        let distinct: BTreeSet<_> = snapshots.iter().map(|(task, _)| *task).collect();
        assert_eq!(distinct.len(), snapshots.len(), "checkpoint {checkpoint} was taken twice");
        assert!(snapshots.len() <= tasks);
        if snapshots.len() < tasks {
            return None;
        }
        let (mut passed, mut counted) = (0, 0);
        for (_, snapshot) in snapshots {
            for value in &snapshot.values {
                if value.state == "passed" {
                    passed += from_archive::<u64>(&value.items[0]).unwrap();
                } else if value.state == "states" {
                    let states: Vec<(u64, u64)> = from_archive(&value.items[0]).unwrap();
                    counted += states.iter().map(|(_, count)| count).sum::<u64>();
                }
            }
        }
        Some((passed, counted))
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

fn start_counting(job: Job, local: Local, taken: &Arc<Taken>) -> JobHandle {
    job.start_with_snapshots(local, taken.clone()).unwrap()
}

fn one_source(seed: u64) -> Job {
    let job = Job::new("barriers");
    job.source(numbers(5, seed))
        .unstamped()
        .then(CountPassing::default())
        .key_by(|number| number % 101)
        .fold(0, |count: &mut u64, _| *count += 1)
        .sink(counting_sink());
    job
}

/// Two sources, of which the second goes through one more exchange, together.
fn two_sources(seed: u64) -> Job {
    let job = Job::new("union");
    let first = job.source(numbers(2, seed)).unstamped().then(CountPassing::default());
    let second = job.source(numbers(3, seed + 1)).unstamped().then(CountPassing::default());
    first
        .union(second.rebalance())
        .key_by(|number| number % 101)
        .fold(0, |count: &mut u64, _| *count += 1)
        .sink(counting_sink());
    job
}

/// Barriers one after the other, then several at once.
fn check(job: Job, nodes: usize, local: Local) {
    const ONE_BY_ONE: u64 = 12;
    const AT_ONCE: u64 = 6;
    let Cores::Count(cores) = local.cores else { unreachable!("tests say how many") };
    let tasks = nodes * cores as usize;
    let how = format!("{local:?}");
    let taken = Arc::new(Taken::default());
    let report = within(60, &how, || {
        let handle = start_counting(job, local, &taken);
        for number in 1..=ONE_BY_ONE {
            assert_eq!(handle.request_barrier(), number);
            taken.wait_for(number, tasks);
        }
        let last = (0..AT_ONCE).map(|_| handle.request_barrier()).max().unwrap();
        taken.wait_for(last, tasks);
        handle.stop();
        handle.join().unwrap()
    });
    let mut before = 0;
    for checkpoint in 1..=ONE_BY_ONE + AT_ONCE {
        let sums = taken.sums(checkpoint, tasks);
        let must_be = checkpoint <= ONE_BY_ONE || checkpoint == ONE_BY_ONE + AT_ONCE;
        assert!(sums.is_some() || !must_be, "checkpoint {checkpoint} is missing: {how}");
        if let Some((passed, counted)) = sums {
            assert_eq!(passed, counted, "checkpoint {checkpoint}: {how}");
            assert!(passed >= before, "checkpoint {checkpoint} lies before the last: {how}");
            before = passed;
        }
    }
    assert!(before > 0 && before <= report.records, "{how}");
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
            check(one_source(1), 2, local);
        }
    }
}

#[test]
fn for_any_order_of_steps() {
    for seed in 0..20 {
        let local = Local { ring_capacity: 1 + seed as usize, ..Local::seeded(3, seed) };
        check(one_source(seed), 2, local);
    }
}

#[test]
fn also_where_streams_join() {
    // Source, source, rebalanced, joined, counted: nodes without state take part too.
    let local = Local { driver: Driver::Threads, ring_capacity: 16, ..Local::cores(2) };
    check(two_sources(3), nodes_of(&two_sources(3)), local);
    for seed in 0..8 {
        check(two_sources(seed), nodes_of(&two_sources(seed)), Local::seeded(2, seed));
    }
}

fn nodes_of(job: &Job) -> usize {
    let plan: serde_json::Value =
        serde_json::from_str(&job.explain_json(&Local::seeded(1, 1)).unwrap()).unwrap();
    plan["nodes"].as_array().expect("a list of nodes").len()
}

/// A source that has ended takes no more checkpoints; all it sent lies before every later one.
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
        let job = Job::new("ends");
        job.source(source)
            .unstamped()
            .then(CountPassing::default())
            .key_by(|number| number % 101)
            .fold(0, |count: &mut u64, _| *count += 1)
            .sink(counting_sink());
        let taken = Arc::new(Taken::default());
        let last = within(60, &how, || {
            let handle = start_counting(job, local, &taken);
            while !ended.load(Relaxed) {
                std::thread::yield_now();
            }
            // The end may be seen one barrier after the reader said so.
            let numbers = (0..3).map(|_| {
                let number = handle.request_barrier();
                taken.wait_for(number, 3);
                number
            });
            let last = numbers.max().unwrap();
            handle.stop();
            handle.join().unwrap();
            last
        });
        let (passed, counted) = taken.sums(last, 3).unwrap();
        assert_eq!(passed + ENDS_AT, counted, "{how}");
    }
}

#[test]
fn barriers_come_by_themselves_where_an_interval_is_set() {
    let local =
        Local { driver: Driver::Threads, barrier_interval: Some(1.millis()), ..Local::cores(2) };
    let taken = Arc::new(Taken::default());
    within(60, "an interval", || {
        let handle = start_counting(one_source(7), local, &taken);
        taken.wait_for(3, 4);
        handle.stop();
        handle.join().unwrap();
    });
    let (passed, counted) = taken.sums(3, 4).unwrap();
    assert_eq!(passed, counted);
}
