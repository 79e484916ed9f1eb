//! Several outputs of one operator: each value goes its own way, and watermarks and barriers go all
//! of them.
//!
//! Method: whole jobs on the seeded driver on 1, 2 and 4 cores. What needs watermarks stands behind
//! each output; sinks with transactions show that barriers reach all of them, over crashes too.

mod exactly_once;
mod watchdog;

use exactly_once::{Committed, Numbers};
use tailwater::prelude::*;
use watchdog::{pause, within};

/// What a process over numbers emits.
#[derive(Outputs)]
enum Told {
    Small(u64),
    Text(String),
    Count((u64, u64)),
}

#[keyed_state(key = u64)]
struct Seen {
    count: Value<u64>,
}

#[derive(Clone)]
struct Tell;

impl Process for Tell {
    type In = u64;
    type State = Seen;
    type Out = Told;

    fn on_record(&mut self, number: u64, seen: &mut Seen, context: &mut Context<Told>) {
        *seen.count.or_default() += 1;
        context.event_timer(Timestamp(1000));
        match number {
            0..10 => context.emit(Told::Small(number)),
            _ => context.emit(Told::Text(number.to_string())),
        }
    }

    fn on_timer(&mut self, _: Timestamp, seen: &mut Seen, context: &mut Context<Told>) {
        let (key, count) = (*seen.key(), *seen.count.or_default());
        context.emit(Told::Count((key, count)));
    }
}

// SEMANTICS 20
#[test]
fn each_value_goes_its_own_way_and_watermarks_go_all() {
    for cores in [1, 2, 4] {
        for seed in 0..4 {
            let job = Job::new("told");
            let (small, texts, counts) = job
                .source(from_splits(vec![(0..20).collect(), (20..40).collect()]))
                .event_time(|n: &u64| Timestamp(*n as i64), Watermarks::monotonous())
                .key_by(|n| n % 5)
                .process(Tell)
                .outputs();
            let (numbers, words, totals) = (collect(), collect(), collect());
            // Each of these emits when a watermark came.
            small.in_order(|n| *n).named("small").sink(numbers.clone());
            texts.in_order(|text| text.clone()).named("texts").sink(words.clone());
            counts
                .key_by(|(key, _): &(u64, u64)| *key)
                .window(Tumbling::of(Span(10_000)))
                .aggregate(sum(|(_, count): &(u64, u64)| *count))
                .sink(totals.clone());
            job.run(Local::seeded(cores, seed)).unwrap();
            assert_eq!(numbers.take(), (0..10).collect::<Vec<_>>());
            let expected: Vec<_> = (10..40).map(|n| n.to_string()).collect();
            assert_eq!(words.take(), expected);
            let mut totals: Vec<_> =
                totals.take().into_iter().map(|total| (total.key, total.value)).collect();
            totals.sort();
            assert_eq!(totals, (0..5).map(|key| (key, 8)).collect::<Vec<_>>());
        }
    }
}

#[test]
fn what_failed_is_told_apart_from_what_went_well() {
    let job = Job::new("parsed");
    let (numbers, errors) = job
        .source(from_vec(vec!["1".to_owned(), "x".to_owned()]))
        .unstamped()
        .map(|text| text.parse::<u64>().map_err(|error| format!("{text}: {error}")))
        .outputs();
    let (good, bad) = (collect(), collect());
    numbers.sink(good.clone());
    errors.sink(bad.clone());
    job.run(Local::seeded(2, 1)).unwrap();
    assert_eq!(good.take(), [1]);
    assert_eq!(bad.take(), ["x: invalid digit found in string"]);
}

/// Three ways by the rest of a division.
#[derive(Outputs)]
enum Rest {
    None(u64),
    One(u64),
    Two(u64),
}

#[test]
fn barriers_go_all_ways() {
    const SPLITS: u64 = 5;
    let directory = tempfile::tempdir().unwrap();
    let numbers = Committed::default();
    let run = |cores, seed: u64| {
        let job = Job::new("rest");
        let (none, one, two) = job
            .source(Numbers { splits: SPLITS, limit: u64::MAX })
            .unstamped()
            .process(|number, context: &mut UnkeyedContext<Rest>| match number % 3 {
                0 => context.emit(Rest::None(number)),
                1 => context.emit(Rest::One(number)),
                _ => context.emit(Rest::Two(number)),
            })
            .outputs();
        // Sinks with transactions of their own cores: gathered, each would be core 0.
        none.union(one.map(|n| n)).union(two.map(|n| n)).sink(numbers.clone());
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
    for (seed, cores) in [1, 2, 4, 2].into_iter().enumerate() {
        within(180, "killed", || drop(run(cores, seed as u64)));
        numbers.assert_none_twice("after a crash");
    }
    within(180, "stopped", || {
        let handle = run(3, 9);
        handle.stop();
        handle.join().unwrap();
    });
    assert!(numbers.assert_each_once(SPLITS, "at the end") > 0);
}
