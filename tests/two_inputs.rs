//! Two streams in one operator: state that both sides of a key share, and a map on every core.
//!
//! Method: whole jobs on the seeded driver on 1, 2 and 4 cores. What depends on the order between
//! two streams waits for a timer; crashes and other numbers of cores must not lose what is shared.

mod exactly_once;
mod watchdog;

use exactly_once::{Committed, Numbers};
use tailwater::prelude::*;
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

    fn on_broadcast(&mut self, rule: u64, rules: &mut Rules, _: &mut UnkeyedContext<u64>) {
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
