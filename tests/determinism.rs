//! A deterministic merge makes results the same, in the same order, whatever runs the job: also
//! where functions depend on the order of records, and some records are late.
//!
//! Method: jobs whose functions mix what they see into a hash, so that any two records in another
//! order come to something else. Each is run on 1 to 4 cores with seeds of the seeded driver and
//! on threads, with checkpoints and restores in between, and compared with one core to the last
//! record. Without the switch the same jobs must differ, or nothing would be shown.

mod watchdog;

use tailwater::prelude::*;
use tailwater::testing::{JobHarness, TestSource};
use tailwater_core::random::{mix, nth};
use watchdog::within;

#[record]
#[derive(Copy, PartialEq)]
struct Event {
    key: u64,
    value: u64,
    at: Timestamp,
}

/// What comes out: who, what, and when.
type Line = (u64, u64);
type Lines = Vec<Stamped<Line>>;
type Sink = tailwater::connectors::Collected<Line>;

/// Every eleventh record is late by more than the watermarks allow; many have equal times.
fn event(stream: u64, split: u64, index: u64) -> Event {
    let random = nth(stream * 10 + split, index);
    let late = if index % 11 == 10 { 150 } else { 0 };
    let at = (index as i64 * 7 + (random >> 40) as i64 % 30 - late) / 5 * 5;
    Event { key: random % 9, value: mix(random), at: Timestamp(at) }
}

const SPLITS: [u64; 3] = [3, 2, 1];

fn splits(stream: u64, records: u64) -> Vec<Vec<Event>> {
    let split = |split| (0..records).map(|index| event(stream, split, index)).collect();
    (0..SPLITS[stream as usize]).map(split).collect()
}

fn folded(hash: u64, value: u64) -> u64 {
    mix(hash.rotate_left(7) ^ value)
}

type Events = Stream<Event, tailwater::operators::Identity<Event>>;

/// Reads a source of this number.
macro_rules! events {
    ($job:expr, $number:expr, $source:expr) => {
        $job.source($source)
            .named(format!("stream-{}", $number))
            .event_time(|event: &Event| event.at, Watermarks::bounded(40.nanos()))
    };
}

#[keyed_state(key = u64)]
struct Seen {
    hash: Value<u64>,
}

/// Both sides into one hash, with timers ahead and behind, and the watermark that is seen.
#[derive(Clone)]
struct Both;

impl CoProcess for Both {
    type Left = Event;
    type Right = Event;
    type State = Seen;
    type Out = Line;

    fn on_left(&mut self, event: Event, seen: &mut Seen, context: &mut Context<Line>) {
        let hash = seen.hash.or_default();
        *hash = folded(folded(*hash, event.value), context.watermark().0 as u64);
        let hash = *hash;
        context.emit((*seen.key(), hash));
        context.event_timer(event.at + Span(20));
        context.event_timer(event.at - Span(100));
    }

    fn on_right(&mut self, event: Event, seen: &mut Seen, context: &mut Context<Line>) {
        let key = *seen.key();
        let hash = seen.hash.or_default();
        *hash = folded(*hash, !event.value);
        if event.value.is_multiple_of(5) {
            context.emit_at(event.at + Span(13), (key, *hash));
        }
    }

    fn on_timer(&mut self, at: Timestamp, seen: &mut Seen, context: &mut Context<Line>) {
        let key = *seen.key();
        let hash = seen.hash.or_default();
        *hash = folded(folded(*hash, at.0 as u64), context.watermark().0 as u64);
        if hash.is_multiple_of(3) {
            // Another behind this one, in the same pass.
            context.event_timer(at - Span(7));
        }
        context.emit((key, *hash));
        context.emit((key, !*hash));
    }
}

/// For each record, the hash of all of its new key so far.
macro_rules! hashed_by {
    ($name:expr, $stream:expr, $key:expr) => {
        $stream
            .key_by($key)
            .fold((0_u64, 0_u64), |total: &mut Line, line: &Line| {
                *total = (line.0, folded(total.1 ^ line.0, line.1));
            })
            .named($name)
    };
}

/// A union, two inputs with timers, several records of one, and two more exchanges.
fn connected([lefts, rights, more]: [Events; 3], results: Sink) {
    let other = rights.key_by(|event| event.key);
    let lines = lefts.union(more).key_by(|event| event.key).connect(other).process(Both);
    let parts = lines.flat_map(|(key, hash)| (0..hash % 3).map(move |n| (key + n, hash >> n)));
    let folded = hashed_by!("parts", parts, |line: &Line| line.1 % 5);
    let (one, two) = folded.tee();
    let two = two.rebalance().map(|(key, hash)| (key, !hash));
    let again = hashed_by!("again", two, |line: &Line| line.1 % 3);
    hashed_by!("all", one.union(again), |line: &Line| line.0 % 2).gather().sink(results);
}

/// Panes, sessions and all records of a window, some late and some in time by lateness.
fn windows([events, others, _more]: [Events; 3], results: Sink) {
    let (one, two) = events.union(others).tee();
    let (two, three) = two.tee();
    let panes = one
        .named("one")
        .key_by(|event| event.key)
        .window(Sliding::of(60.nanos()).every(20.nanos()))
        .allowed_lateness(30.nanos())
        .aggregate(sum(|event: &Event| (event.value % 1_000) as i64))
        .map(|result| (result.key, result.value as u64))
        .named("panes");
    let local = two
        .named("two")
        .key_by(|event| event.key)
        .window(Tumbling::of(50.nanos()))
        .aggregate(count())
        .map(|result: WindowResult<u64, u64>| (result.key, result.value))
        .named("counts");
    let sessions = three
        .key_by(|event| event.key)
        .window(Session::with_gap(9.nanos()))
        .apply(|key: &u64, window: Window, events: &[Stamped<Event>]| {
            let hash = events.iter().fold(window.end.0 as u64, |h, e| folded(h, e.value.value));
            [(*key, hash), (*key + 1, hash)]
        })
        .named("sessions");
    let all = panes.union(local).union(sessions);
    hashed_by!("all", all, |line: &Line| line.0 % 4).gather().sink(results);
}

/// Joins by time, the pairs of which have times in the past.
fn joins([lefts, rights, more]: [Events; 3], results: Sink) {
    let (first, second) = lefts.tee();
    let (quotes, others) = rights.tee();
    let quotes = quotes.key_by(|event| event.key);
    let as_of = first.key_by(|event| event.key).as_of(quotes, AsOf::backward()).map(
        |m: Matched<Event, Event>| {
            (m.left.key, m.left.value ^ m.right.map_or(0, |right| right.value.value))
        },
    );
    let pairs = second
        .key_by(|event| event.key)
        .interval_join(
            others.union(more).key_by(|event| event.key),
            Interval::between(Span(-20), Span(25)),
        )
        .map(|joined: Joined<Event, Event>| {
            (joined.left.key, joined.left.value ^ joined.right.value)
        });
    hashed_by!("all", as_of.union(pairs), |line: &Line| line.0 % 3).gather().sink(results);
}

/// The keyed side sees the map as it was at its place in event time.
#[derive(Clone)]
struct Told;

impl BroadcastProcess for Told {
    type In = Event;
    type Broadcast = Event;
    type Shared = BroadcastState<u64, u64>;
    type State = Seen;
    type Out = Line;

    fn on_record(
        &mut self,
        event: Event,
        shared: &BroadcastState<u64, u64>,
        seen: &mut Seen,
        context: &mut Context<Line>,
    ) {
        let told = shared.get(&event.key).copied().unwrap_or_default();
        let hash = seen.hash.or_default();
        *hash = folded(*hash ^ told, event.value);
        context.emit((event.key, *hash));
    }

    fn on_broadcast(
        &mut self,
        event: Event,
        shared: &mut BroadcastState<u64, u64>,
        _: &mut BroadcastContext<'_, Seen, Line>,
    ) {
        let before = shared.get(&event.key).copied().unwrap_or_default();
        shared.insert(event.key, folded(before, event.value));
    }
}

fn broadcast([events, control, more]: [Events; 3], results: Sink) {
    let lines = events
        .rebalance()
        .key_by(|event| event.key)
        .connect_broadcast(control.union(more))
        .process(Told);
    hashed_by!("all", lines, |line: &Line| line.1 % 4).gather().sink(results);
}

type Build = fn([Events; 3], Sink);
const JOBS: [(&str, Build); 4] =
    [("connected", connected), ("windows", windows), ("joins", joins), ("broadcast", broadcast)];

fn run(build: Build, records: u64, local: Local) -> (Lines, u64) {
    let (job, results) = (Job::new("ordered"), collect());
    build([0, 1, 2].map(|n| events!(job, n, from_splits(splits(n, records)))), results.clone());
    let report = within(300, "a job", || job.run(local).unwrap());
    (results.take_stamped(), report.late())
}

#[test]
fn results_are_those_of_one_core_in_the_same_order() {
    const RECORDS: u64 = 150;
    for (name, build) in JOBS {
        let expected = run(build, RECORDS, Local::seeded(1, 0).deterministically());
        assert!(expected.0.len() > 200, "{name}: {}", expected.0.len());
        assert!(expected.1 > 0 || name != "windows", "nothing is late");
        for seed in 1..25 {
            let local = Local {
                ring_capacity: 1 + seed as usize % 30,
                batch_max: 1 + seed as usize * 7 % 50,
                ..Local::seeded(1 + seed as u32 % 4, seed)
            };
            let results = run(build, RECORDS, local.deterministically());
            assert!(results == expected, "{name}, seed {seed}");
        }
        for cores in [1, 2, 4] {
            let local = Local { driver: Driver::Threads, ring_capacity: 64, ..Local::cores(cores) };
            let results = run(build, RECORDS, local.deterministically());
            assert!(results == expected, "{name}, {cores} cores on threads");
        }
    }
}

/// What is shown above is the merge's doing.
#[test]
fn without_it_results_depend_on_the_seed() {
    for (name, build) in JOBS {
        let one = run(build, 150, Local::seeded(1, 0));
        let differs = (1..10).any(|seed| run(build, 150, Local::seeded(3, seed)) != one);
        assert!(differs, "{name}");
    }
}

/// Pushes in portions, with a checkpoint and another number of cores between two of them.
fn interrupted(build: Build, records: u64, seed: u64) -> Lines {
    let (job, results) = (Job::new("ordered"), collect());
    let sources: Vec<_> =
        SPLITS.iter().map(|splits| TestSource::with_splits(*splits as usize)).collect();
    build([0, 1, 2].map(|n| events!(job, n, sources[n].clone())), results.clone());
    let local = Local { max_parallelism: Some(32), ..Local::seeded(1 + seed as u32 % 4, seed) };
    let mut harness = JobHarness::new(job, local.deterministically()).unwrap();
    let mut pushed = [0, 0, 0];
    for portion in 0.. {
        for (stream, source) in (0..).zip(&sources) {
            let before = pushed[stream as usize];
            let until = records.min(before + 10 + nth(seed, portion * 3 + stream) % 40);
            pushed[stream as usize] = until;
            for split in 0..SPLITS[stream as usize] {
                let part = (before..until).map(|index| event(stream, split, index));
                source.split(split as usize).extend(part);
            }
        }
        for _ in 0..nth(seed, portion) % 30 {
            harness.round().unwrap();
        }
        harness.checkpoint().unwrap();
        harness.restart(1 + nth(seed + 1, portion) as u32 % 4).unwrap();
        if pushed == [records; 3] {
            break;
        }
    }
    harness.run_until_idle().unwrap();
    harness.stop().unwrap();
    results.take_stamped()
}

#[test]
fn a_restore_on_other_cores_goes_on_in_the_same_order() {
    const RECORDS: u64 = 120;
    for (name, build) in JOBS {
        let (expected, _) = run(build, RECORDS, Local::seeded(1, 0).deterministically());
        for seed in 0..12 {
            let results = within(300, "a job", || interrupted(build, RECORDS, seed));
            assert_eq!(results.len(), expected.len(), "{name}, seed {seed}");
            assert!(results == expected, "{name}, seed {seed}");
        }
    }
}

#[test]
fn batch_mode_has_an_order_of_its_own() {
    let local = Local { mode: RuntimeMode::Batch, ..Local::seeded(1, 0) };
    let (job, results) = (Job::new("ordered"), collect());
    broadcast([0, 1, 2].map(|n| events!(job, n, from_splits(splits(n, 10)))), results);
    let error = job.run(local.deterministically()).unwrap_err();
    assert!(error.to_string().contains("choose one"), "{error}");
}

/// What waits for the watermark is state, and counts as such.
#[test]
fn what_is_held_is_charged_to_the_budget() {
    let (job, results) = (Job::new("held"), collect());
    let events = (0..20_000).map(|n| Event { key: n, value: n, at: Timestamp(0) }).collect();
    job.source(from_vec(events))
        .event_time(|event: &Event| event.at, Watermarks::monotonous())
        .key_by(|event: &Event| event.key % 2)
        .fold((0, 0), |total: &mut Line, event| *total = (event.key, event.value))
        .sink(results);
    let local = Local { state_memory: Some(1 << 20), ..Local::seeded(1, 0) };
    let error = job.run(local.deterministically()).unwrap_err();
    assert!(error.to_string().contains("--state-memory"), "{error}");
}
