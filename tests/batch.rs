//! Batch mode: the same job on input that ends comes to the final results of streaming, whatever
//! the number of cores, and whether sorting fits into memory or not.
//!
//! Method: random records into every kind of keyed operator at once, in both modes on the seeded
//! driver; of what streaming emits for a key (and window) the last counts.

mod ends;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use ends::{sink_fn, source_fn};
use proptest::prelude::*;
use tailwater::operators::window::general::EventTime;
use tailwater::operators::{Polled, Sink};
use tailwater::prelude::*;
use tailwater::{ErrorKind, SortOptions};

#[record]
#[derive(PartialEq)]
struct Event {
    key: u8,
    value: i64,
    at: i64,
}

/// What a result is of, and what it is.
#[record]
struct Line {
    of: String,
    is: String,
}

fn line(of: impl std::fmt::Debug, is: impl std::fmt::Debug) -> Line {
    Line { of: format!("{of:?}"), is: format!("{is:?}") }
}

fn batch(cores: u32, seed: u64, sort_memory: u64) -> Local {
    let sort = SortOptions { memory: sort_memory, directory: None };
    Local { mode: RuntimeMode::Batch, sort, ..Local::seeded(cores, seed) }
}

#[keyed_state(key = u8)]
struct Total {
    total: Value<i64>,
}

/// Tells when its timers fire, and at the end of time what the values of its key add up to.
#[derive(Clone)]
struct Timers;

const LAST: Timestamp = Timestamp(i64::MAX - 1);

impl Process for Timers {
    type In = Event;
    type State = Total;
    type Out = Line;

    fn on_record(&mut self, event: Event, state: &mut Total, context: &mut Context<Line>) {
        let total = state.total.get().map_or(0, |total| *total);
        state.total.set(total + event.value);
        context.event_timer(Timestamp(event.at - event.at.rem_euclid(50) + 50));
        context.event_timer(LAST);
    }

    fn on_timer(&mut self, at: Timestamp, state: &mut Total, context: &mut Context<Line>) {
        let total = state.total.get().copied().filter(|_| at == LAST);
        context.emit(line(("timer", state.key(), at), total));
    }
}

fn of_window<V: std::fmt::Debug>(kind: &str, result: WindowResult<u8, V>) -> Line {
    line((kind, result.key, result.window), result.value)
}

/// The final results of every kind of keyed operator.
fn finals(splits: &[Vec<Event>], local: Local) -> BTreeMap<String, String> {
    let results = collect();
    let job = Job::new("modes");
    let source = |name: &str| {
        job.source(from_splits(splits.to_vec()))
            .named(name)
            .event_time(|event: &Event| Timestamp(event.at), Watermarks::bounded(Span(100)))
            .key_by(|event| event.key)
    };
    let value = |event: &Event| event.value;
    let windowed = |kind| move |result| of_window(kind, result);
    source("sum")
        .sum(value, |event, sum| event.value = sum)
        .map(|event| line(("sum", event.key), event.value))
        .union(
            source("max")
                .max(value, |event, max| event.value = max)
                .map(|event| line(("max", event.key), event.value)),
        )
        .union(
            source("tumbling")
                .window(Tumbling::of(Span(60)))
                .aggregate(sum(value))
                .map(windowed("tumbling"))
                .named("tumbling"),
        )
        .union(
            source("sliding")
                .window(Sliding::of(Span(50)).every(Span(20)))
                .without_local_aggregation()
                .aggregate(sum(value))
                .map(windowed("sliding"))
                .named("sliding"),
        )
        .union(
            source("session")
                .window(Session::with_gap(Span(7)))
                .aggregate(sum(value))
                .map(windowed("session"))
                .named("session"),
        )
        .union(
            source("gaps")
                .window(DynamicSession::new(|event: &Event| Span(1 + event.value.rem_euclid(9))))
                .aggregate(sum(value))
                .map(windowed("gaps"))
                .named("gaps"),
        )
        .union(
            source("evicted")
                .window(Session::with_gap(Span(7)))
                .trigger(Purging(EventTime))
                .evict(TimeEvictor::new(Span(5), Evict::Before))
                .aggregate(sum(value))
                .map(windowed("evicted"))
                .named("evicted"),
        )
        .union(
            source("continuous")
                .window(Session::with_gap(Span(7)))
                .trigger(Continuous(Span(15)))
                .aggregate(sum(value))
                .map(windowed("continuous"))
                .named("continuous"),
        )
        .union(
            source("cumulative")
                .window(Cumulative::of(Span(60)).every(Span(20)))
                .apply(|key, window, events: &[Stamped<Event>]| {
                    let all: i64 = events.iter().map(|event| event.value.value).sum();
                    [line(("cumulative", key, window), all)]
                })
                .named("cumulative"),
        )
        .union(
            source("threes")
                .window(Global)
                .trigger(Count(3))
                .aggregate(count())
                .map(|threes| of_window("threes", threes))
                .named("threes"),
        )
        .union(
            source("all")
                .window(Global)
                .trigger(EndOfStream)
                .aggregate(sum(value))
                .map(windowed("all"))
                .named("all"),
        )
        .union(
            source("first")
                .interval_join(source("second"), Interval::between(Span(-5), Span(9)))
                .map(|pair: Joined<Event, Event>| line(("interval", pair.left, pair.right), ())),
        )
        .union(
            source("near")
                .as_of(source("nearest"), AsOf::nearest())
                .map(|found| {
                    let right = found.right.map(|right| right.at);
                    line(("nearest", found.left), right)
                })
                .named("nearest as of"),
        )
        .union(source("timers").process(Timers))
        .union(source("left").as_of(source("right"), AsOf::backward()).map(|found| {
            let right = found.right.map(|right| right.at);
            line(("as of", found.left), right)
        }))
        .sink(results.clone());
    let report = job.run(local).unwrap();
    assert_eq!(report.late(), 0);
    results.take().into_iter().map(|line| (line.of, line.is)).collect()
}

/// Up to three splits, each out of order by less than the delay of the watermark.
fn inputs() -> impl Strategy<Value = Vec<Vec<Event>>> {
    let event = (0u8..5, -50i64..50, 0i64..100);
    let split = prop::collection::vec(event, 0..60).prop_map(|events| {
        let shifted = events.into_iter().enumerate();
        let event = |(n, (key, value, at))| Event { key, value, at: at + 9 * n as i64 };
        shifted.map(event).collect()
    });
    prop::collection::vec(split, 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    // SEMANTICS 87, 88
    #[test]
    fn the_final_results_are_those_of_streaming(
        splits in inputs(),
        seed in 0u64..1_000,
        memory in prop_oneof![Just(1u64), Just(2_000), Just(20_000), Just(1 << 30)],
    ) {
        let expected = finals(&splits, Local::seeded(1, seed));
        for cores in [1, 2] {
            prop_assert_eq!(&finals(&splits, batch(cores, seed, memory)), &expected);
        }
    }
}

/// Records as they arrived, of which many have the time of another, by key and then by time.
fn by_key(events: &[Event]) -> BTreeMap<u8, Vec<Event>> {
    let mut by_key = BTreeMap::<u8, Vec<Event>>::new();
    events.iter().for_each(|event| by_key.entry(event.key).or_default().push(event.clone()));
    by_key.values_mut().for_each(|of_key| of_key.sort_by_key(|event| event.at));
    by_key
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    // SEMANTICS 85, 87, 88
    #[test]
    fn rolling_aggregates_are_those_of_a_model_that_sorts(
        drawn in prop::collection::vec((0u8..250, -9i64..9, 0i64..20), 0..900),
        keys in 1u8..=250,
        (cores, seed) in (1u32..3, 0u64..1_000),
        memory in prop_oneof![Just(1u64), 100u64..4_000, 4_000u64..80_000, Just(1 << 30)],
    ) {
        let drawn = drawn.into_iter();
        let events: Vec<Event> =
            drawn.map(|(key, value, at)| Event { key: key % keys, value, at }).collect();
        let (sums, lists) = (collect(), collect());
        let job = Job::new("model");
        let source = |name: &str| {
            job.source(from_vec(events.clone()))
                .named(name)
                .event_time(|event: &Event| Timestamp(event.at), Watermarks::monotonous())
                .key_by(|event| event.key)
        };
        source("sums").sum(|event| event.value, |event, sum| event.value = sum).sink(sums.clone());
        source("lists")
            .fold(Vec::new(), |list: &mut Vec<Event>, event: &Event| list.push(event.clone()))
            .sink(lists.clone());
        job.run(batch(cores, seed, memory)).unwrap();

        let expected = by_key(&events);
        let mut lists: Vec<Vec<Event>> = lists.take();
        lists.sort_by_key(|list| list[0].key);
        prop_assert_eq!(lists, expected.values().cloned().collect::<Vec<_>>());
        let mut sums: Vec<Event> = sums.take();
        sums.sort_by_key(|event| event.key);
        let sum = |of_key: &Vec<Event>| Event {
            value: of_key.iter().map(|event| event.value).sum(),
            ..of_key[0].clone()
        };
        prop_assert_eq!(sums, expected.values().map(sum).collect::<Vec<_>>());
    }
}

/// All that arrives, with its time.
fn stamped<T: Record>(into: &Arc<Mutex<Vec<Stamped<T>>>>) -> impl Sink<T> + use<T> {
    let into = into.clone();
    sink_fn(move |_| {
        let into = into.clone();
        Ok(move |batch: &mut Vec<Stamped<T>>| {
            into.lock().unwrap().append(batch);
            Ok(())
        })
    })
}

fn events(all: &[(u8, i64, i64)]) -> Vec<Event> {
    all.iter().map(|&(key, value, at)| Event { key, value, at }).collect()
}

// SEMANTICS 87, 88
#[test]
fn a_rolling_aggregate_emits_once_a_key_in_order_of_time_at_the_end_of_time() {
    let unsorted = events(&[(1, 3, 30), (2, 9, 5), (1, 1, 10), (1, 2, 20), (2, 8, 5)]);
    for memory in [1, 1 << 20] {
        for seed in 0..10 {
            let results = Arc::default();
            let job = Job::new("rolling");
            job.source(from_vec(unsorted.clone()))
                .event_time(|event: &Event| Timestamp(event.at), Watermarks::monotonous())
                .key_by(|event| event.key)
                // The decimal digits are the order in which they came.
                .fold(0i64, |digits, event: &Event| *digits = *digits * 10 + event.value)
                .sink(stamped(&results));
            job.run(batch(2, seed, memory)).unwrap();
            let mut results = std::mem::take(&mut *results.lock().unwrap());
            results.sort_by_key(|result| result.value);
            let at_the_end = |value| Stamped::new(Timestamp::MAX, value);
            assert_eq!(results, [at_the_end(98), at_the_end(123)], "seed {seed}");
        }
    }
}

// SEMANTICS 85, 87, 88
#[test]
fn a_sum_is_of_the_earliest_record_whether_it_was_sorted_or_not() {
    let unsorted: Vec<Event> =
        (0..600).map(|n| Event { key: (n % 200) as u8, value: n, at: 1_000 - n }).collect();
    let sums = |memory| {
        let results = collect();
        let job = Job::new("sums");
        job.source(from_vec(unsorted.clone()))
            .event_time(|event: &Event| Timestamp(event.at), Watermarks::monotonous())
            .key_by(|event| event.key)
            .sum(|event| event.value, |event, sum| event.value = sum)
            .sink(results.clone());
        job.run(batch(2, 3, memory)).unwrap();
        let mut results = results.take();
        results.sort_by_key(|event: &Event| event.key);
        results
    };
    let expected: Vec<Event> =
        (0..200).map(|n| Event { key: n as u8, value: 3 * n + 600, at: 600 - n }).collect();
    // Everything sorted; a table that is soon too large; and one that is not.
    for memory in [1, 9_000, 1 << 30] {
        assert_eq!(sums(memory), expected, "{memory} bytes");
    }
}

// SEMANTICS 88
#[test]
fn what_depends_on_the_order_is_added_up_in_order() {
    let unsorted = vec![(1u8, 1e16, 1i64), (1, 1.0, 3), (1, -1e16, 2)];
    let results = collect();
    let job = Job::new("floats");
    job.source(from_vec(unsorted))
        .event_time(|event: &(u8, f64, i64)| Timestamp(event.2), Watermarks::monotonous())
        .key_by(|event| event.0)
        .sum(|event| event.1, |event, sum| event.1 = sum)
        .sink(results.clone());
    job.run(batch(1, 1, 1 << 30)).unwrap();
    assert_eq!(results.take(), [(1, 1.0, 1)]);
}

// SEMANTICS 6, 88, 89
#[test]
fn a_session_ends_with_the_first_record_that_does_not_touch_it() {
    let unsorted = events(&[(1, 4, 15), (1, 2, 7), (2, 9, 3), (1, 1, 0), (1, 3, 7), (1, 5, 21)]);
    for memory in [1, 1 << 20] {
        let results = collect();
        let job = Job::new("sessions");
        job.source(from_vec(unsorted.clone()))
            .event_time(|event: &Event| Timestamp(event.at), Watermarks::monotonous())
            .key_by(|event| event.key)
            .window(Session::with_gap(Span(7)))
            .apply(|key, window: Window, events: &[Stamped<Event>]| {
                let values: Vec<i64> = events.iter().map(|event| event.value.value).collect();
                [line((*key, window.start.0, window.end.0), values)]
            })
            .sink(results.clone());
        let report = job.run(batch(2, 5, memory)).unwrap();
        let mut lines: Vec<_> =
            results.take().into_iter().map(|line| format!("{} {}", line.of, line.is)).collect();
        lines.sort();
        assert_eq!(lines, ["(1, 0, 14) [1, 2, 3]", "(1, 15, 28) [4, 5]", "(2, 3, 10) [9]"]);
        assert_eq!(report.late(), 0);
    }
}

/// Tells of every callback.
#[derive(Clone)]
struct Diary;

impl Process for Diary {
    type In = Event;
    type State = Total;
    type Out = String;

    fn on_record(&mut self, event: Event, _: &mut Total, context: &mut Context<String>) {
        assert_eq!(context.watermark(), Timestamp::MIN);
        context.emit(format!("{}: {} at {}", event.key, event.value, context.at()));
        context.event_timer(Timestamp(event.at + 100));
        if event.value == 1 {
            context.processing_timer(Timestamp(i64::MAX - 7));
        }
    }

    fn on_timer(&mut self, at: Timestamp, state: &mut Total, context: &mut Context<String>) {
        assert_eq!(context.watermark(), Timestamp::MAX);
        let key = state.key();
        context.emit(format!("{key}: timer {at} {:?}", context.domain().unwrap()));
        if at == Timestamp(101) {
            context.event_timer(Timestamp(90));
        }
        if at == Timestamp(i64::MAX - 7) {
            // In streaming mode it would set itself anew for ever.
            context.processing_timer(at);
            context.event_timer(Timestamp(95));
        }
    }
}

// SEMANTICS 88, 89
#[test]
fn a_key_is_worked_off_with_its_timers_before_the_next_begins() {
    let unsorted = events(&[(7, 3, 30), (4, 1, 2), (7, 1, 1), (7, 2, 1), (4, 5, 5)]);
    let diary = |memory, seed| {
        let results = collect();
        let job = Job::new("diary");
        job.source(from_vec(unsorted.clone()))
            .event_time(|event: &Event| Timestamp(event.at), Watermarks::monotonous())
            .key_by(|event| event.key)
            .process(Diary)
            .sink(results.clone());
        job.run(batch(1, seed, memory)).unwrap();
        results.take()
    };
    for (memory, seed) in [(1, 1), (1 << 20, 2), (1 << 20, 3)] {
        let mut by_key: Vec<Vec<String>> = Vec::new();
        for line in diary(memory, seed) {
            match by_key.last_mut() {
                Some(key) if key[0][..2] == line[..2] => key.push(line),
                _ => by_key.push(vec![line]),
            }
        }
        by_key.sort();
        let last = i64::MAX - 7;
        let of_4 = [
            "4: 1 at 2".to_owned(),
            "4: 5 at 5".to_owned(),
            "4: timer 102 Event".to_owned(),
            "4: timer 105 Event".to_owned(),
            format!("4: timer {last} Processing"),
            "4: timer 95 Event".to_owned(),
        ];
        let of_7 = [
            "7: 1 at 1".to_owned(),
            "7: 2 at 1".to_owned(),
            "7: 3 at 30".to_owned(),
            "7: timer 101 Event".to_owned(),
            "7: timer 90 Event".to_owned(),
            "7: timer 130 Event".to_owned(),
            format!("7: timer {last} Processing"),
            "7: timer 95 Event".to_owned(),
        ];
        assert_eq!(by_key, [of_4.to_vec(), of_7.to_vec()]);
    }
}

// SEMANTICS 88
#[test]
fn nothing_is_late_and_windows_fire_once() {
    // In streaming mode 6 and 7 come too late.
    let late = events(&[(0, 1, 5), (0, 1, 25), (0, 1, 6), (0, 1, 7), (0, 1, 26)]);
    for lateness in [0, 30] {
        let results = collect();
        let job = Job::new("late");
        job.source(from_vec(late.clone()))
            .event_time(|event: &Event| Timestamp(event.at), Watermarks::monotonous())
            .key_by(|event| event.key)
            .window(Tumbling::of(Span(10)))
            .allowed_lateness(Span(lateness))
            .aggregate(count())
            .sink(results.clone());
        let report = job.run(Local { batch_max: 1, ..batch(1, 3, 1 << 20) }).unwrap();
        let counts: Vec<_> =
            results.take().into_iter().map(|r| (r.window.start.0, r.value)).collect();
        assert_eq!((counts, report.late()), (vec![(0, 3), (20, 2)], 0));
        assert_eq!(report.mode, RuntimeMode::Batch);
    }
}

/// A job of one record, or without an end.
fn job(ends: bool) -> Job {
    let job = Job::new("any");
    let keyed = |stream: Stream<i64, tailwater::operators::Identity<i64>>| {
        stream.key_by(|_| 0).reduce(|sum: &i64, n| sum + n).sink(collect());
    };
    if ends {
        keyed(job.source(from_vec(vec![1i64])).unstamped());
    } else {
        let (_ingress, source) = ingress::<i64>(1);
        keyed(job.source(source).named("endless").unstamped());
    }
    job
}

// SEMANTICS 90
#[test]
fn what_a_batch_cannot_have_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store: OpenStore = directory.path().to_str().unwrap().parse().unwrap();
    let checkpoints = || Some(Checkpoints::new(store.clone(), Some(1.secs())));
    let refused = |job: Job, local: Local| {
        let error = job.run(local).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        error.to_string()
    };
    let said = refused(job(false), batch(1, 1, 1));
    assert!(said.contains("`endless` does not say that it ends"), "{said}");
    let said = refused(job(true), Local { checkpoints: checkpoints(), ..batch(1, 1, 1) });
    assert!(said.contains("batch mode takes no checkpoints"), "{said}");
    let restore = Restore::Path(directory.path().into());
    let said = refused(job(true), Local { restore, ..batch(1, 1, 1) });
    assert!(said.contains("cannot go on from a checkpoint"), "{said}");

    let automatic = Local { mode: RuntimeMode::Automatic, ..Local::seeded(1, 1) };
    let local = Local { checkpoints: checkpoints(), ..automatic.clone() };
    let report = job(true).run(local).unwrap();
    assert_eq!((report.mode, report.checkpoints.completed), (RuntimeMode::Batch, 0));
    assert!(report.warnings.iter().any(|warning| warning.contains("no checkpoints")));
    assert_eq!(job(true).run(Local::seeded(1, 1)).unwrap().mode, RuntimeMode::Streaming);
}

#[test]
fn a_directory_for_sorting_that_is_not_there_fails_the_job_by_its_name() {
    let job = Job::new("nowhere");
    let numbers = source_fn(1, |_| {
        Ok(|_: usize, out: &mut Vec<i64>| {
            out.push(1);
            Ok(Polled::Finished)
        })
    });
    job.source(numbers).unstamped().key_by(|_| 0).reduce(|sum: &i64, n| sum + n).sink(collect());
    let sort = SortOptions { memory: 1, directory: Some("/no/such/place".into()) };
    let error = job.run(Local { sort, ..batch(1, 1, 1) }).unwrap_err();
    assert!(error.to_string().contains("`/no/such/place`"), "{error}");
}
