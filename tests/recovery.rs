//! What a job starts from: the latest checkpoint that is whole, on any number of cores, if it fits.
//!
//! Method: as in `checkpoints.rs`, numbers from a source that is replayed, and sinks that show what
//! was committed. A run is killed by dropping its handle; nothing of it is kept but the store.

mod exactly_once;
mod watchdog;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use exactly_once::{Committed, Numbers};
use tailwater::prelude::*;
use tailwater::{Guarantee, JobHandle};
use tailwater_core::random::mix;
use tailwater_state::store::{
    CheckpointStore, DirectoryStore, Listed, NewFile, RealDisk, StoredFile,
};
use watchdog::{pause, within};

const SPLITS: u64 = 7;
/// Slow enough that a run has little to compare and leaves the machine to others.
const RECORDS_PER_S: f64 = 200_000.0;

fn job(limit: u64, numbers: &Committed) -> Job {
    let job = Job::new("recovery");
    job.source(Numbers { splits: SPLITS, limit })
        .pace(Pace::PerSecond(RECORDS_PER_S))
        .unstamped()
        .key_by(|number| mix(*number) % 101)
        .fold((0, 0), |(last, count): &mut (u64, u64), number| {
            (*last, *count) = (*number, *count + 1)
        })
        .named("counted")
        .map(|(number, _)| number)
        .sink(numbers.clone());
    job
}

fn checkpoints(directory: &tempfile::TempDir) -> Checkpoints {
    let store = directory.path().to_str().unwrap().parse().unwrap();
    Checkpoints::new(store, Some(1.millis()))
}

fn wait_for_more(handle: &JobHandle, more: u64) {
    let before = handle.completed_checkpoint();
    while handle.completed_checkpoint() < before + more {
        assert!(!handle.is_finished(), "it has ended");
        pause();
    }
}

#[test]
fn a_killed_job_goes_on_with_any_number_of_cores() {
    let directory = tempfile::tempdir().unwrap();
    let numbers = Committed::default();
    for (run, cores) in [1, 2, 4, 1, 3].into_iter().enumerate() {
        for local in [
            Local { driver: Driver::Threads, ring_capacity: 64, ..Local::cores(cores) },
            Local { driver: Driver::Glommio, idle: Idle::Park, ..Local::cores(cores) },
            Local::seeded(cores, run as u64),
        ] {
            let how = format!("{cores} cores, {:?}", local.driver);
            let local = Local {
                checkpoints: Some(checkpoints(&directory)),
                restore: Restore::Latest,
                ..local
            };
            within(180, &how, || {
                let handle = job(u64::MAX, &numbers).start(local).unwrap();
                wait_for_more(&handle, 3);
            });
            numbers.assert_none_twice(&how);
        }
    }
    let local = Local {
        checkpoints: Some(checkpoints(&directory)),
        restore: Restore::Latest,
        ..Local::seeded(2, 1)
    };
    let report = within(180, "the last run", || {
        let handle = job(u64::MAX, &numbers).start(local).unwrap();
        handle.stop();
        handle.join().unwrap()
    });
    assert!(report.checkpoints.restored_from > 0);
    assert!(numbers.assert_each_once(SPLITS, "at the end") > 0);
    // A job that has ended ends again at once, with nothing new.
    let before = numbers.values();
    let local = Local {
        checkpoints: Some(checkpoints(&directory)),
        restore: Restore::Latest,
        ..Local::seeded(3, 2)
    };
    let report = within(180, "over", || job(u64::MAX, &numbers).run(local).unwrap());
    assert_eq!((report.records, numbers.values()), (0, before));
}

/// What was gathered lies on the first core, whatever the key groups of its records are.
#[test]
fn records_that_wait_for_their_turn_are_restored_on_the_first_core() {
    let directory = tempfile::tempdir().unwrap();
    let numbers = Committed::default();
    let start = |local: Local, name: &str| {
        let job = Job::new("recovery");
        let time = |number: &u64| Timestamp((number & 0xFFFF_FFFF) as i64);
        job.source(Numbers { splits: SPLITS, limit: u64::MAX })
            .event_time(time, Watermarks::bounded(500.nanos()))
            .in_order(|number| *number)
            .sink(numbers.clone());
        let checkpoints = Some(checkpoints(&directory));
        let local = Local { checkpoints, restore: Restore::Latest, ..local };
        within(180, name, || {
            let handle = job.start(local).unwrap();
            wait_for_more(&handle, 3);
            handle
        })
    };
    for (run, cores) in [3, 2, 3].into_iter().enumerate() {
        drop(start(Local::seeded(cores, run as u64), "killed"));
        drop(start(Local { driver: Driver::Threads, ..Local::cores(cores) }, "killed"));
        numbers.assert_none_twice("after a restore");
    }
    let last = start(Local::seeded(2, 7), "stopped");
    last.stop();
    within(180, "the last run", || last.join().unwrap());
    assert!(numbers.assert_each_once(SPLITS, "at the end") > 0);
}

/// A directory that refuses every so many files.
struct Refusing {
    inner: DirectoryStore<RealDisk>,
    files: Arc<AtomicU64>,
}

impl CheckpointStore for Refusing {
    fn describe(&self) -> String {
        self.inner.describe()
    }
    fn begin(&self, name: &str) -> Result<Box<dyn NewFile>> {
        if self.files.fetch_add(1, Relaxed) % 5 == 4 {
            return Err(Error::internal("refused"));
        }
        self.inner.begin(name)
    }
    fn list(&self) -> Result<Vec<Listed>> {
        self.inner.list()
    }
    fn open(&self, name: &str) -> Result<Option<Arc<dyn StoredFile>>> {
        self.inner.open(name)
    }
    fn delete(&self, name: &str) -> Result<()> {
        self.inner.delete(name)
    }
    fn clear_unfinished(&self) -> Result<()> {
        self.inner.clear_unfinished()
    }
}

#[test]
fn checkpoints_that_are_given_up_lose_nothing() {
    for local in [Local::seeded(2, 1), Local { driver: Driver::Threads, ..Local::cores(2) }] {
        let how = format!("{:?}", local.driver);
        let directory = tempfile::tempdir().unwrap();
        let numbers = Committed::default();
        let refusing = || {
            let (path, files) = (directory.path().to_owned(), Arc::new(AtomicU64::new(0)));
            OpenStore::new("refusing", move || {
                let inner = DirectoryStore::create(RealDisk::default(), path.clone())?;
                Ok(Arc::new(Refusing { inner, files: files.clone() }))
            })
        };
        let local = || Local {
            checkpoints: Some(Checkpoints {
                tolerable_failures: 3,
                ..Checkpoints::new(refusing(), Some(1.millis()))
            }),
            restore: Restore::Latest,
            ..local.clone()
        };
        for _ in 0..3 {
            within(180, &how, || {
                let handle = job(u64::MAX, &numbers).start(local()).unwrap();
                wait_for_more(&handle, 4);
                while handle.checkpoints().failed == 0 {
                    pause();
                }
                wait_for_more(&handle, 2);
            });
            numbers.assert_none_twice(&how);
        }
        let report = within(180, &how, || {
            let handle = job(u64::MAX, &numbers).start(local()).unwrap();
            wait_for_more(&handle, 1);
            handle.stop();
            handle.join().unwrap()
        });
        assert!(report.checkpoints.restored_from > 0, "{how}");
        numbers.assert_each_once(SPLITS, &how);
    }
}

#[test]
fn at_least_once_nothing_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let numbers = Committed::default();
    for cores in [2, 3] {
        let local = Local {
            checkpoints: Some(Checkpoints {
                guarantee: Guarantee::AtLeastOnce,
                ..checkpoints(&directory)
            }),
            restore: Restore::Latest,
            driver: Driver::Threads,
            ..Local::cores(cores)
        };
        within(180, "at least once", || {
            let handle = job(u64::MAX, &numbers).start(local).unwrap();
            wait_for_more(&handle, 4);
            handle.stop();
            if cores == 3 { drop(handle.join().unwrap()) } else { drop(handle) }
        });
    }
    let mut values = numbers.values();
    values.sort_unstable();
    values.dedup();
    for split in 0..SPLITS {
        let of_split = values.iter().filter(|value| *value >> 32 == split).enumerate();
        of_split.for_each(|(index, value)| assert_eq!(*value & 0xFFFF_FFFF, index as u64));
    }
}

#[test]
fn what_does_not_fit_is_named_before_the_first_record() {
    let directory = tempfile::tempdir().unwrap();
    let numbers = Committed::default();
    let local = |restore| Local {
        checkpoints: Some(checkpoints(&directory)),
        restore,
        ..Local::seeded(2, 1)
    };
    job(100, &numbers).run(local(Restore::None)).unwrap();
    let other = |name: &str| {
        let job = Job::new("recovery");
        job.source(Numbers { splits: SPLITS, limit: 100 })
            .unstamped()
            .key_by(|number| mix(*number) % 101)
            .fold(0u64, |count, _| *count += 1)
            .named(name)
            .map(|count| count)
            .sink(numbers.clone());
        job
    };
    let error = other("new").run(local(Restore::Latest)).unwrap_err().to_string();
    for name in ["`new/fold/", "`counted/fold/", "allow missing", "allow dropped"] {
        assert!(error.contains(name), "{name}: {error}");
    }
    let error = other("counted").run(local(Restore::Latest)).unwrap_err().to_string();
    assert!(error.contains("counted/fold/") && error.contains("other types"), "{error}");
    let allowed =
        Local { allow_missing_state: true, allow_dropped_state: true, ..local(Restore::Latest) };
    other("new").run(allowed).unwrap();

    // SEMANTICS 61
    let many = Local { max_parallelism: Some(64), ..local(Restore::Latest) };
    let error = job(100, &numbers).run(many).unwrap_err().to_string();
    assert!(error.contains("max parallelism 128"), "{error}");
    let error = job(100, &numbers).run(local(Restore::Id(999))).unwrap_err().to_string();
    assert!(error.contains("999"), "{error}");
    let nowhere = local(Restore::Path(PathBuf::from("no/such/directory")));
    let error = job(100, &numbers).run(nowhere).unwrap_err().to_string();
    assert!(error.contains("no checkpoint in `no/such/directory`"), "{error}");
}

#[test]
fn a_damaged_latest_is_passed_over_and_none_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let numbers = Committed::default();
    let local = |restore| Local {
        checkpoints: Some(Checkpoints { retain: 3, ..checkpoints(&directory) }),
        restore,
        ..Local::seeded(2, 5)
    };
    let report = within(180, "first", || {
        let handle = job(u64::MAX, &numbers).start(local(Restore::Latest)).unwrap();
        assert!(handle.warnings().iter().any(|line| line.contains("starts afresh")));
        wait_for_more(&handle, 3);
        handle.stop();
        handle.join().unwrap()
    });
    let newest = report.checkpoints.newest;
    let manifest = directory.path().join(format!("checkpoint-{newest:08}.manifest"));
    let mut bytes = std::fs::read(&manifest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(&manifest, bytes).unwrap();
    let report = within(180, "second", || {
        let handle = job(u64::MAX, &numbers).start(local(Restore::Latest)).unwrap();
        let warnings = handle.warnings().join("; ");
        assert!(warnings.contains(&format!("checkpoint {newest} cannot be used")), "{warnings}");
        wait_for_more(&handle, 1);
        handle.stop();
        handle.join().unwrap()
    });
    assert_eq!(report.checkpoints.restored_from, newest - 1);
    assert!(report.checkpoints.newest > newest, "numbers keep increasing");
    let path = Restore::Path(directory.path().to_owned());
    let report = job(u64::MAX, &numbers).run(Local { checkpoints: None, ..local(path) }).unwrap();
    assert!(report.checkpoints.restored_from > newest);
}

#[test]
fn what_remembers_something_has_a_name_of_its_own() {
    let twice = |named: bool| {
        let job = Job::new("twice");
        for number in 0..2 {
            let source = job.source(Numbers { splits: 1, limit: 10 });
            let source = if named { source.named(format!("numbers of {number}")) } else { source };
            source.unstamped().sink(collect());
        }
        job.run(Local::seeded(1, 1))
    };
    let error = twice(false).unwrap_err().to_string();
    assert!(error.contains("two sources are named `numbers`"), "{error}");
    assert!(error.contains(".named(..)"), "{error}");
    twice(true).unwrap();
}

#[test]
fn two_jobs_do_not_share_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let numbers = Committed::default();
    let local = || Local {
        checkpoints: Some(checkpoints(&directory)),
        restore: Restore::Latest,
        ..Local::seeded(1, 7)
    };
    let first = job(u64::MAX, &numbers).start(local()).unwrap();
    let error = job(u64::MAX, &numbers).start(local()).err().expect("it is refused").to_string();
    assert!(error.contains("another job takes checkpoints in"), "{error}");
    wait_for_more(&first, 1);
    // The end of the first, however it comes, lets the next one in.
    drop(first);
    let second = job(u64::MAX, &numbers).start(local()).unwrap();
    wait_for_more(&second, 1);
    drop(second);
}

#[test]
fn sinks_that_cannot_commit_are_told_once_where_checkpoints_are_taken() {
    let directory = tempfile::tempdir().unwrap();
    let told = |checkpoints, is_stdout| {
        let job = Job::new("told");
        let stream = job.source(from_vec(vec![String::new(); 2])).unstamped();
        match is_stdout {
            true => stream.filter(|_| false).sink(stdout()),
            false => stream.sink(collect()),
        }
        let handle = job.start(Local { checkpoints, ..Local::seeded(2, 1) }).unwrap();
        let lines = handle.warnings().iter().filter(|line| line.contains("cannot take back"));
        lines.count()
    };
    assert_eq!(told(Some(checkpoints(&directory)), true), 1);
    assert_eq!(told(Some(checkpoints(&directory)), false), 0);
    assert_eq!(told(None, true), 0);
}
