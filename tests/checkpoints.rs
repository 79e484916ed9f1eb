//! Exactly once over failures and restarts: what reached the outside for good is what a run that
//! nothing disturbed would have put there.
//!
//! Method: a source that is replayed from its position gives numbers, a stage with state counts
//! them, and a sink with transactions shows only what was committed. Each number must be there
//! once, and the counts must be those of that number of records.

mod exactly_once;
mod watchdog;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use exactly_once::{Committed, Numbers};
use tailwater::Backoff;
use tailwater::prelude::*;
use tailwater_core::random::mix;
use watchdog::{pause, within};

const SPLITS: u64 = 5;
/// Slow enough that a run has little to compare and leaves the machine to others.
const RECORDS_PER_S: f64 = 200_000.0;
const KEYS: u64 = 101;

/// Numbers, mixed over the cores by key, counted by key; what is counted goes on as `key << 32 |
/// count`. The map panics where `panics` is set, once.
fn job(limit: u64, panics: &Arc<AtomicBool>, numbers: &Committed, counts: &Committed) -> Job {
    let job = Job::new("exactly-once");
    let panics = panics.clone();
    let (raw, counted) = job
        .source(Numbers { splits: SPLITS, limit })
        .pace(Pace::PerSecond(RECORDS_PER_S))
        .unstamped()
        .map(move |number| {
            assert!(!panics.swap(false, Relaxed), "told to");
            number
        })
        .tee();
    raw.key_by(|number| mix(*number)).records().named("raw").sink(numbers.clone());
    counted
        .key_by(|number| mix(*number) % KEYS)
        .fold((0, 0), |(key, count): &mut (u64, u64), number| {
            *key = mix(*number) % KEYS;
            *count += 1;
        })
        .map(|(key, count)| key << 32 | count)
        .named("counted")
        .sink(counts.clone());
    job
}

fn checkpoints(directory: &tempfile::TempDir) -> Option<Checkpoints> {
    let store = directory.path().to_str().unwrap().parse().unwrap();
    Some(Checkpoints::new(store, Some(1.millis())))
}

fn quickly() -> Restart {
    Restart::Exponential(Backoff { initial: 1.millis(), longest: 5.millis(), ..Backoff::default() })
}

/// The counts of each key must be there from one to the number of its records, each once.
fn assert_counts(numbers: &Committed, counts: &Committed, how: &str) {
    let mut expected = std::collections::BTreeMap::<u64, u64>::new();
    let mut values: Vec<u64> = numbers
        .values()
        .into_iter()
        .map(|number| {
            let key = mix(number) % KEYS;
            let count = expected.entry(key).or_default();
            *count += 1;
            key << 32 | *count
        })
        .collect();
    let mut found = counts.values();
    values.sort_unstable();
    found.sort_unstable();
    assert_eq!(values.len(), found.len(), "{how}");
    assert!(values == found, "{how}");
}

fn ways() -> Vec<Local> {
    vec![
        Local { driver: Driver::Threads, ring_capacity: 64, ..Local::cores(2) },
        Local { driver: Driver::Glommio, idle: Idle::Park, ..Local::cores(3) },
        Local { driver: Driver::Threads, idle: Idle::Park, ..Local::cores(1) },
    ]
}

#[test]
fn a_bounded_job_ends_with_its_last_checkpoint_committed() {
    for local in ways().into_iter().chain((0..20).map(|seed| Local::seeded(3, seed))) {
        let how = format!("{local:?}");
        let directory = tempfile::tempdir().unwrap();
        let (numbers, counts) = (Committed::default(), Committed::default());
        let report = within(180, &how, || {
            let local = Local { checkpoints: checkpoints(&directory), ..local };
            job(2_000, &Arc::default(), &numbers, &counts).run(local).unwrap()
        });
        assert_eq!(numbers.assert_each_once(SPLITS, &how), SPLITS * 2_000, "{how}");
        assert_counts(&numbers, &counts, &how);
        let came = &report.checkpoints;
        assert!(came.completed > 0 && came.restarts == 0, "{came:?} {how}");
    }
}

#[test]
fn a_panic_costs_a_restart_and_no_output() {
    for local in ways() {
        let how = format!("{local:?}");
        let directory = tempfile::tempdir().unwrap();
        let (numbers, counts) = (Committed::default(), Committed::default());
        let panics = Arc::new(AtomicBool::new(false));
        let report = within(180, &how, || {
            let local = Local { checkpoints: checkpoints(&directory), restart: quickly(), ..local };
            let handle = job(u64::MAX, &panics, &numbers, &counts).start(local).unwrap();
            for _ in 0..3 {
                let before = handle.completed_checkpoint();
                while handle.completed_checkpoint() < before + 2 {
                    pause();
                }
                panics.store(true, Relaxed);
                while panics.load(Relaxed) {
                    pause();
                }
            }
            handle.stop();
            handle.join().unwrap()
        });
        assert_eq!(report.checkpoints.restarts, 3, "{how}");
        assert!(report.checkpoints.restored_from > 0, "{how}");
        let count = numbers.assert_each_once(SPLITS, &how);
        assert!(count > 0 && count <= report.records, "{how}");
        assert_counts(&numbers, &counts, &how);
    }
}

/// The same seed is the same run, failures and restarts included.
#[test]
fn a_seed_repeats_its_restarts() {
    const FAILS_AT: u64 = 3_000;
    let run = |seed| {
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().to_str().unwrap().parse().unwrap();
        let committed = Committed::default();
        let panics = Arc::new(AtomicBool::new(true));
        let local = Local {
            checkpoints: Some(Checkpoints::new(store, Some(100.micros()))),
            restart: Restart::Fixed { restarts: 1, delay: 1.secs() },
            ..Local::seeded(3, seed)
        };
        let job = Job::new("seeds");
        job.source(Numbers { splits: SPLITS, limit: 4_000 })
            .unstamped()
            .map(move |number| {
                let fails = number & 0xFFFF == FAILS_AT && panics.swap(false, Relaxed);
                assert!(!fails, "told to");
                number
            })
            .key_by(|number| mix(*number))
            .records()
            .sink(committed.clone());
        let report = job.run(local).unwrap();
        let how = format!("seed {seed}");
        assert_eq!(committed.assert_each_once(SPLITS, &how), SPLITS * 4_000, "{how}");
        let came = report.checkpoints;
        assert_eq!(came.restarts, 1, "{how}: {came:?}");
        (report.records, came.completed, came.restored_from, came.duration_max_ns)
    };
    let runs: Vec<_> = (0..12).map(run).collect();
    for (seed, first) in runs.iter().enumerate() {
        assert_eq!(*first, run(seed as u64), "seed {seed}");
    }
    assert!(runs.iter().any(|(_, _, restored_from, _)| *restored_from > 0));
}
