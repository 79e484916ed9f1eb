//! Where records go: each way to spread them over the cores, and tasks that run on some of them.
//!
//! Method: an operator that tells on which core it runs stands behind each way; jobs run on the
//! seeded driver. What depends on chance is run twice with the same seed.

mod exactly_once;
mod watchdog;

use exactly_once::{Committed, Numbers};
use tailwater::operators::{Collect, Description, Operator, OperatorContext};
use tailwater::prelude::*;
use watchdog::{pause, within};

/// Adds to each record the core that it came to.
#[derive(Clone, Default)]
struct OnCore(u32);

impl Operator for OnCore {
    type In = u64;
    type Out = (u32, u64);

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.0 = context.core;
        Ok(())
    }

    fn on_record(&mut self, at: Timestamp, value: u64, out: &mut impl Collect<(u32, u64)>) {
        out.record(at, (self.0, value));
    }

    fn describe(&self, into: &mut Vec<Description>) {
        into.push(Description::new("on core", ""));
    }
}

/// One split a core: what is in the first split is read on the first core.
fn numbers(job: &Job, splits: u64) -> Stream<u64, tailwater::operators::Identity<u64>> {
    let splits = (0..splits).map(|split| (split * 100..split * 100 + 60).collect()).collect();
    job.source(from_splits(splits)).unstamped()
}

macro_rules! spread {
    ($cores:expr, $seed:expr, $splits:expr, |$numbers:ident| $stream:expr) => {{
        let job = Job::new("spread");
        let results = collect();
        let $numbers = numbers(&job, $splits);
        $stream.then(OnCore::default()).sink(results.clone());
        job.run(Local::seeded($cores, $seed)).unwrap();
        let mut results = results.take();
        results.sort();
        results
    }};
}

fn on_each(results: &[(u32, u64)], cores: u32) -> Vec<usize> {
    (0..cores).map(|core| results.iter().filter(|(on, _)| *on == core).count()).collect()
}

#[test]
fn records_go_where_they_are_told_to() {
    for seed in 0..4 {
        let stay: Vec<_> =
            (0..3).flat_map(|s| (0..60).map(move |n| (s, s as u64 * 100 + n))).collect();
        assert_eq!(spread!(3, seed, 3, |n| n.forward()), stay);
        assert_eq!(spread!(3, seed, 3, |n| n.rescale()), stay);
        assert_eq!(on_each(&spread!(3, seed, 3, |n| n.rebalance()), 3), [60, 60, 60]);
        assert_eq!(on_each(&spread!(3, seed, 3, |n| n.gather()), 3), [180, 0, 0]);
        let everywhere: Vec<_> = (0..3).flat_map(|core| (0..60).map(move |n| (core, n))).collect();
        assert_eq!(spread!(3, seed, 1, |n| n.broadcast()), everywhere);
        let custom = spread!(3, seed, 3, |n| n.partition_custom(|n, cores| *n as usize % cores));
        assert!(custom.iter().all(|(core, n)| u64::from(*core) == n % 3), "{custom:?}");
        assert_eq!(custom.len(), 180);
    }
}

#[test]
fn a_shuffle_reaches_all_cores_and_its_seed_tells_how() {
    let one = spread!(4, 1, 2, |n| n.shuffle(7));
    assert!(on_each(&one, 4).iter().all(|count| (15..45).contains(count)), "{one:?}");
    // Other interleavings of tasks, the same draws.
    assert_eq!(spread!(4, 2, 2, |n| n.shuffle(7)), one);
    assert_ne!(spread!(4, 1, 2, |n| n.shuffle(8)), one);
}

#[test]
fn a_task_runs_on_as_many_cores_as_it_is_told() {
    let two = spread!(4, 1, 4, |n| n.rebalance().parallelism(2));
    assert_eq!(on_each(&two, 4), [120, 120, 0, 0]);
    // Cores 0 and 1 share core 0, cores 2 and 3 share core 1.
    let two = spread!(4, 1, 4, |n| n.rescale().parallelism(2));
    assert!(two.iter().all(|(core, n)| u64::from(*core) == n / 200), "{two:?}");
    // And from two back onto four, in pairs.
    let four = spread!(4, 1, 4, |n| n.rescale().parallelism(2).rescale());
    assert_eq!(on_each(&four, 4), [60, 60, 60, 60]);
    assert!(four.iter().all(|(core, n)| u64::from(*core) / 2 == n / 200), "{four:?}");
    // What follows without being spread stays there.
    let two = spread!(4, 1, 4, |n| n.rebalance().parallelism(2).map(|n| n).forward());
    assert_eq!(on_each(&two, 4), [120, 120, 0, 0]);
    // A job on fewer cores has no more of them.
    let one = spread!(1, 1, 4, |n| n.rebalance().parallelism(2));
    assert_eq!(on_each(&one, 1), [240]);
    // Every way to spread reaches those that are there and no others.
    for (way, on) in [
        spread!(4, 1, 4, |n| n.shuffle(1).parallelism(3)),
        spread!(4, 1, 4, |n| n.partition_custom(|n, cores| *n as usize % cores).parallelism(3)),
        spread!(4, 1, 4, |n| n.key_by(|n| *n).records().parallelism(3)),
    ]
    .iter()
    .enumerate()
    {
        let on = on_each(on, 4);
        assert!(on[3] == 0 && on[..3].iter().all(|count| *count > 40), "way {way}: {on:?}");
    }
    let all = spread!(4, 1, 1, |n| n.broadcast().parallelism(2));
    assert_eq!(on_each(&all, 4), [60, 60, 0, 0]);
}

#[test]
fn explain_shows_where_a_task_runs_and_how_records_come_there() {
    let job = Job::new("explained");
    numbers(&job, 4).rescale().parallelism(2).map(|n| n).broadcast().sink(collect());
    let text = job.explain(&Local::cores(4)).unwrap();
    assert!(text.contains("on cores 0 to 1"), "{text}");
    assert!(text.contains("rescaled: u64 over 4 rings"), "{text}");
    assert!(text.contains("to all: u64 over 8 rings"), "{text}");
}

#[test]
fn parallelism_that_makes_no_sense_is_refused() {
    let refused = |build: &dyn Fn(&Job)| {
        let job = Job::new("refused");
        build(&job);
        job.run(Local::seeded(2, 1)).unwrap_err().to_string()
    };
    let none = refused(&|job| numbers(job, 1).rebalance().parallelism(0).sink(collect()));
    assert!(none.contains("at least one"), "{none}");
    let source = refused(&|job| numbers(job, 1).parallelism(1).rebalance().sink(collect()));
    assert!(source.contains("a source runs on every core"), "{source}");
    let stays = refused(&|job| numbers(job, 1).forward().parallelism(1).sink(collect()));
    assert!(stays.contains("stays on the cores where it is"), "{stays}");
    let gathered = refused(&|job| numbers(job, 1).gather().parallelism(2).sink(collect()));
    assert!(gathered.contains("stays on the cores where it is"), "{gathered}");
}

#[test]
fn a_core_that_does_not_exist_ends_the_job() {
    let job = Job::new("nowhere");
    numbers(&job, 1).partition_custom(|_, cores| cores).sink(collect());
    let error = job.run(Local::seeded(2, 1)).unwrap_err().to_string();
    assert!(error.contains("partition_custom"), "{error}");
}

// SEMANTICS 59
#[test]
fn keys_of_a_task_on_some_cores_are_found_again_on_others() {
    const SPLITS: u64 = 5;
    let directory = tempfile::tempdir().unwrap();
    let numbers = Committed::default();
    let run = |cores, parallelism, seed: u64| {
        let job = Job::new("some cores");
        job.source(Numbers { splits: SPLITS, limit: u64::MAX })
            .unstamped()
            .key_by(|number| number % 101)
            .fold((0, 0), |(last, count): &mut (u64, u64), number| {
                (*last, *count) = (*number, *count + 1)
            })
            .parallelism(parallelism)
            .named("counted")
            // The counts of each key, from 0 on: one that was lost would be there twice.
            .map(|(number, count)| (number % 101) << 32 | (count - 1))
            .sink(numbers.clone());
        let store = directory.path().to_str().unwrap().parse().unwrap();
        let local = Local {
            checkpoints: Some(Checkpoints::new(store, Some(1.millis()))),
            restore: Restore::Latest,
            ..Local::seeded(cores, seed)
        };
        let handle = job.start(local).unwrap();
        let before = handle.completed_checkpoint();
        while handle.completed_checkpoint() < before + 3 {
            assert!(!handle.is_finished(), "it has ended");
            pause();
        }
        handle
    };
    for (seed, (cores, parallelism)) in
        [(4, 2), (3, 2), (1, 2), (4, 3), (4, 9)].into_iter().enumerate()
    {
        within(180, "killed", || drop(run(cores, parallelism, seed as u64)));
        numbers.assert_none_twice("after a crash");
    }
    within(180, "stopped", || {
        let handle = run(4, 2, 9);
        handle.stop();
        handle.join().unwrap();
    });
    assert!(numbers.assert_each_once(101, "at the end") > 0);
}
