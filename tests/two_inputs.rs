//! Two streams in one operator: state that both sides of a key share, and a map on every core.
//!
//! Method: whole jobs on the seeded driver on 1, 2 and 4 cores. What depends on the order between
//! two streams waits for a timer; crashes and other numbers of cores must not lose what is shared.

mod exactly_once;
mod watchdog;

use exactly_once::{Committed, Numbers};
use tailwater::prelude::*;
use tailwater::testing::{JobHarness, TestSink, TestSource};
use watchdog::{pause, within};

#[keyed_state(key = u64)]
struct Account {
    paid: Value<u64>,
    spent: Value<u64>,
}

#[derive(Clone)]
struct Balance;

/// Key, amount, time.
type Amount = (u64, u64, i64);

impl CoProcess for Balance {
    type Left = Amount;
    type Right = (u64, String, i64);
    type State = Account;
    type Out = (u64, u64, u64);

    fn on_left(&mut self, paid: Amount, account: &mut Account, context: &mut Context<Self::Out>) {
        *account.paid.or_default() += paid.1;
        context.event_timer(Timestamp(100));
    }

    fn on_right(
        &mut self,
        (_, spent, _): (u64, String, i64),
        account: &mut Account,
        context: &mut Context<Self::Out>,
    ) {
        *account.spent.or_default() += spent.len() as u64;
        context.event_timer(Timestamp(100));
    }

    fn on_timer(&mut self, _: Timestamp, account: &mut Account, context: &mut Context<Self::Out>) {
        let (paid, spent) = (*account.paid.or_default(), *account.spent.or_default());
        context.emit((*account.key(), paid, spent));
    }
}

// SEMANTICS 98
#[test]
fn both_sides_of_a_key_share_its_state() {
    for cores in [1, 2, 4] {
        for seed in 0..4 {
            let job = Job::new("balance");
            let paid: Vec<Amount> = (0..60).map(|n| (n % 7, n, n as i64)).collect();
            let spent: Vec<_> =
                (0..40).map(|n| (n % 9, "x".repeat(n as usize), n as i64)).collect();
            let results = collect();
            let right = job
                .source(from_vec(spent))
                .named("spent")
                .event_time(
                    |spent: &(u64, String, i64)| Timestamp(spent.2),
                    Watermarks::monotonous(),
                )
                .key_by(|spent| spent.0);
            job.source(from_splits(vec![paid[..30].to_vec(), paid[30..].to_vec()]))
                .named("paid")
                .event_time(|paid: &Amount| Timestamp(paid.2), Watermarks::monotonous())
                .key_by(|paid| paid.0)
                .connect(right)
                .process(Balance)
                .sink(results.clone());
            job.run(Local::seeded(cores, seed)).unwrap();
            let mut results = results.take();
            results.sort();
            let of = |key, all: u64, keys| (0..all).filter(|n| n % keys == key).sum::<u64>();
            let expected: Vec<_> = (0..9)
                .map(|key| (key, if key < 7 { of(key, 60, 7) } else { 0 }, of(key, 40, 9)))
                .collect();
            assert_eq!(results, expected);
        }
    }
}

#[keyed_state(key = u64)]
struct Remembered {
    rules: Value<u64>,
}

/// Hands numbers on; fails when a rule is gone that a key has seen.
#[derive(Clone)]
struct Ruled;

type Rules = BroadcastState<u64, String>;

impl BroadcastProcess for Ruled {
    type In = u64;
    type Broadcast = u64;
    type Shared = Rules;
    type State = Remembered;
    type Out = u64;

    fn on_record(
        &mut self,
        number: u64,
        rules: &Rules,
        remembered: &mut Remembered,
        context: &mut Context<u64>,
    ) {
        let (now, before) = (rules.len() as u64, *remembered.rules.or_default());
        if now < before {
            context.fail(format!("there are {now} rules where there were {before}"));
        }
        remembered.rules.set(now);
        context.emit(number);
    }

    fn on_broadcast(
        &mut self,
        rule: u64,
        rules: &mut Rules,
        _: &mut BroadcastContext<'_, Remembered, u64>,
    ) {
        rules.insert(rule, format!("rule {rule}"));
    }
}

// SEMANTICS 63, 64
#[test]
fn what_is_broadcast_is_on_every_core_after_each_restore() {
    const SPLITS: u64 = 5;
    let directory = tempfile::tempdir().unwrap();
    let numbers = Committed::default();
    let run = |cores, seed: u64| {
        let job = Job::new("ruled");
        let rules = job
            .source(from_splits(vec![(0..10).collect(), (10..20).collect()]))
            .named("rules")
            .unstamped();
        job.source(Numbers { splits: SPLITS, limit: u64::MAX })
            .unstamped()
            .key_by(|number| number % 101)
            .connect_broadcast(rules)
            .process(Ruled)
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
    for (seed, cores) in [2, 1, 4, 3].into_iter().enumerate() {
        within(180, "killed", || drop(run(cores, seed as u64)));
        numbers.assert_none_twice("after a crash");
    }
    within(180, "stopped", || {
        let handle = run(2, 9);
        handle.stop();
        handle.join().unwrap();
    });
    assert!(numbers.assert_each_once(SPLITS, "at the end") > 0);
}

#[test]
fn streams_without_a_key_stand_side_by_side() {
    for cores in [1, 2, 4] {
        let job = Job::new("side by side");
        let numbers = job.source(from_vec(vec![1u64, 2, 3])).named("numbers").unstamped();
        let words = job.source(from_vec(vec!["a b".to_owned()])).named("words").unstamped();
        let results = collect();
        numbers
            .connect(words)
            .flat_map(
                |number| vec![number.to_string(); number as usize],
                |text| text.split(' ').map(str::to_owned).collect(),
            )
            .sink(results.clone());
        job.run(Local::seeded(cores, 3)).unwrap();
        let mut results = results.take();
        results.sort();
        assert_eq!(results, ["1", "2", "2", "3", "3", "3", "a", "b"]);
    }
}

#[keyed_state(key = u64)]
struct Sum {
    sum: Value<u64>,
    parts: List<u64>,
}

/// Sums numbers up by key, and tells all sums whenever it is asked to.
#[derive(Clone)]
struct OnRequest;

impl BroadcastProcess for OnRequest {
    type In = u64;
    type Broadcast = u64;
    type Shared = BroadcastState<u64, ()>;
    type State = Sum;
    type Out = (u64, u64, u64);

    fn on_record(
        &mut self,
        number: u64,
        _: &Self::Shared,
        sum: &mut Sum,
        _: &mut Context<Self::Out>,
    ) {
        *sum.sum.or_default() += number;
        sum.parts.push(number);
    }

    fn on_broadcast(
        &mut self,
        request: u64,
        _: &mut Self::Shared,
        context: &mut BroadcastContext<'_, Sum, Self::Out>,
    ) {
        context.apply_to_all_keys(|sum, context| {
            assert_eq!(sum.parts.iter().sum::<u64>(), *sum.sum.or_default());
            context.emit((request, *sum.key(), *sum.sum.or_default()));
        });
    }
}

// SEMANTICS 64
#[test]
fn a_request_comes_by_each_key_once_on_whichever_core_it_is() {
    for seed in 0..4 {
        let (numbers, requests, told) = (TestSource::new(), TestSource::new(), TestSink::new());
        let job = Job::new("on request");
        let asked = job.source(requests.clone()).named("requests").unstamped();
        job.source(numbers.clone())
            .named("numbers")
            .unstamped()
            .key_by(|number| number % 7)
            .connect_broadcast(asked)
            .process(OnRequest)
            .sink(told.clone());
        let mut harness = JobHarness::new(job, Local::seeded(2, seed)).unwrap();
        numbers.extend(0..50);
        let ask = |harness: &mut JobHarness, request| {
            harness.run_until_idle().unwrap();
            requests.push(request);
            harness.run_until_idle().unwrap();
            let mut told = told.take();
            told.sort();
            told
        };
        let sums = |request, until: u64| -> Vec<(u64, u64, u64)> {
            let sum = |key| (0..until).filter(|number| number % 7 == key).sum();
            (0..7).map(|key| (request, key, sum(key))).collect()
        };
        assert_eq!(ask(&mut harness, 1), sums(1, 50));
        harness.checkpoint().unwrap();
        harness.restart(3).unwrap();
        numbers.extend(50..60);
        assert_eq!(ask(&mut harness, 2), sums(2, 60));
    }
}

/// Numbers with the sum of all that every core was told.
#[derive(Clone)]
struct WithTold;

impl UnkeyedBroadcastProcess for WithTold {
    type In = u64;
    type Broadcast = u64;
    type Shared = BroadcastState<u64, ()>;
    type Out = (u64, u64);

    fn on_record(
        &mut self,
        number: u64,
        told: &Self::Shared,
        context: &mut UnkeyedContext<(u64, u64)>,
    ) {
        context.emit((number, told.iter().map(|(number, ())| number).sum()));
    }

    fn on_broadcast(
        &mut self,
        number: u64,
        told: &mut Self::Shared,
        _: &mut UnkeyedContext<(u64, u64)>,
    ) {
        told.insert(number, ());
    }
}

// SEMANTICS 63, 64
#[test]
fn a_stream_without_a_key_has_what_is_broadcast_on_every_core() {
    for seed in 0..4 {
        let (numbers, rules) = (TestSource::with_splits(4), TestSource::new());
        let (job, results) = (Job::new("told"), TestSink::new());
        let told = job.source(rules.clone()).named("rules").unstamped();
        job.source(numbers.clone())
            .named("numbers")
            .unstamped()
            .connect_broadcast(told)
            .process(WithTold)
            .sink(results.clone());
        let mut harness = JobHarness::new(job, Local::seeded(2, seed)).unwrap();
        let next = |harness: &mut JobHarness| {
            (0..4).for_each(|split| numbers.split(split).push(split as u64));
            harness.run_until_idle().unwrap();
            let mut results = results.take();
            results.sort();
            results
        };
        rules.extend([10, 20]);
        harness.run_until_idle().unwrap();
        let all = |sum| (0..4).map(|number| (number, sum)).collect::<Vec<_>>();
        assert_eq!(next(&mut harness), all(30));
        harness.checkpoint().unwrap();
        harness.restart(4).unwrap();
        assert_eq!(next(&mut harness), all(30));
        rules.push(5);
        harness.run_until_idle().unwrap();
        assert_eq!(next(&mut harness), all(35));
    }
}

// SEMANTICS 90
#[test]
fn a_batch_reads_what_is_broadcast_first_without_a_key_as_well() {
    for (cores, seed) in [(1, 1), (3, 2), (3, 3)] {
        let (job, results) = (Job::new("told"), collect());
        let told = job.source(from_vec((0..1_000).collect())).named("rules").unstamped();
        job.source(from_splits(vec![vec![1, 2], vec![3]]))
            .named("numbers")
            .unstamped()
            .connect_broadcast(told)
            .process(WithTold)
            .sink(results.clone());
        job.run(Local { mode: RuntimeMode::Batch, ..Local::seeded(cores, seed) }).unwrap();
        let mut results = results.take();
        results.sort();
        assert_eq!(results, [1, 2, 3].map(|number| (number, 499_500)));
    }
}
