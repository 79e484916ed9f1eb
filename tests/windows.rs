//! Windows as a job writes them: every kind, trigger, evictor and terminal through the public API.
//!
//! Method: small jobs on one or two cores whose results are known by heart; `explain` says which
//! operator a job picked.

use tailwater::prelude::*;

/// Key, value, event time.
type Event = (u32, i64, i64);

fn keyed(
    job: &Job,
    events: &[Event],
) -> tailwater::Keyed<
    u32,
    Event,
    impl FnMut(&Event) -> u32 + Clone + Send + 'static + use<>,
    impl tailwater::operators::Operator<Out = Event> + Clone + use<>,
> {
    job.source(from_vec(events.to_vec()))
        .event_time(|event: &Event| Timestamp(event.2), Watermarks::monotonous())
        .key_by(|event| event.0)
}

fn value(event: &Event) -> i64 {
    event.1
}

/// Start, end, value of what windows emitted, in order.
fn rows<V: Ord>(results: Vec<WindowResult<u32, V>>) -> Vec<(i64, i64, V)> {
    let row =
        |result: WindowResult<u32, V>| (result.window.start.0, result.window.end.0, result.value);
    let mut rows: Vec<_> = results.into_iter().map(row).collect();
    rows.sort();
    rows
}

/// Runs a job that is built around one collection of results.
fn run<R: Record + Sync + 'static>(build: impl FnOnce(&Job, Collected<R>)) -> Vec<R> {
    let job = Job::new("windows");
    let results = collect();
    build(&job, results.clone());
    job.run(Local::cores(2)).unwrap();
    results.take()
}

type Collected<R> = tailwater::connectors::Collected<R>;

const EVENTS: &[Event] = &[(1, 1, 0), (1, 2, 3), (1, 4, 7), (1, 8, 12), (1, 16, 27)];

#[test]
fn every_kind_of_windows_of_event_time() {
    let sums = |build: fn(&Job, Collected<WindowResult<u32, i128>>)| rows(run(build));
    let tumbling = sums(|job, out| {
        keyed(job, EVENTS).window(Tumbling::of(10.nanos())).aggregate(sum(value)).sink(out);
    });
    assert_eq!(tumbling, [(0, 10, 7), (10, 20, 8), (20, 30, 16)]);
    let sliding = sums(|job, out| {
        let windows = Sliding::of(10.nanos()).every(5.nanos());
        keyed(job, &EVENTS[..2]).window(windows).aggregate(sum(value)).sink(out);
    });
    assert_eq!(sliding, [(-5, 5, 3), (0, 10, 3)]);
    let cumulative = sums(|job, out| {
        let windows = Cumulative::of(10.nanos()).every(5.nanos());
        keyed(job, &EVENTS[..3]).window(windows).aggregate(sum(value)).sink(out);
    });
    assert_eq!(cumulative, [(0, 5, 3), (0, 10, 7)]);
    let session = sums(|job, out| {
        let combine = |a: &Event, b: &Event| (a.0, a.1 + b.1, a.2);
        let windows = keyed(job, EVENTS).window(Session::with_gap(5.nanos()));
        let value = |r: WindowResult<u32, Event>| WindowResult {
            key: r.key,
            window: r.window,
            value: i128::from(r.value.1),
        };
        windows.reduce(combine).map(value).sink(out);
    });
    assert_eq!(session, [(0, 17, 15), (27, 32, 16)]);
    let dynamic = sums(|job, out| {
        let windows = DynamicSession::new(|event: &Event| event.1.nanos());
        keyed(job, EVENTS).window(windows).aggregate(sum(value)).sink(out);
    });
    assert_eq!(dynamic, [(0, 1, 1), (3, 5, 2), (7, 11, 4), (12, 20, 8), (27, 43, 16)]);
}

// SEMANTICS 31, 32, 33, 43
#[test]
fn windows_of_counts_and_the_global_one() {
    let values = |build: fn(&Job, Collected<WindowResult<u32, i128>>)| {
        run(build).into_iter().map(|result| result.value).collect::<Vec<_>>()
    };
    let pairs = values(|job, out| {
        keyed(job, EVENTS).window(Counted::of(2)).aggregate(sum(value)).sink(out);
    });
    assert_eq!(pairs, [3, 12]);
    let last_three = values(|job, out| {
        keyed(job, EVENTS).window(Counted::of(3).every(2)).aggregate(sum(value)).sink(out);
    });
    assert_eq!(last_three, [3, 14]);
    let never = values(|job, out| {
        keyed(job, EVENTS).window(Global).aggregate(sum(value)).sink(out);
    });
    assert!(never.is_empty());
    let at_end = values(|job, out| {
        keyed(job, EVENTS).window(Global).trigger(EndOfStream).aggregate(sum(value)).sink(out);
    });
    assert_eq!(at_end, [31]);
}

#[test]
fn triggers_and_evictors_replace_the_default_ones() {
    let early = run(|job, out| {
        keyed(job, EVENTS)
            .window(Tumbling::of(100.nanos()))
            .trigger(Purging(Count(2)))
            .aggregate(sum(value))
            .map(|result| result.value)
            .sink(out);
    });
    assert_eq!(early, [3, 12]);
    let newest = run(|job, out| {
        keyed(job, EVENTS)
            .window(Tumbling::of(100.nanos()))
            .evict(CountEvictor::new(2, Evict::Before))
            .apply(|key, window, events| {
                let values: Vec<i64> = events.iter().map(|event| event.value.1).collect();
                [(*key, window.start, values)]
            })
            .sink(out);
    });
    assert_eq!(newest, [(1, Timestamp(0), vec![8, 16])]);
    let delta = run(|job, out| {
        keyed(job, EVENTS)
            .window(Global)
            .trigger(Delta::new(5, |a: &Event, b: &Event| b.1 - a.1))
            .evict(TimeEvictor::new(10.nanos(), Evict::Before))
            .reduce(|a, b| (a.0, a.1 + b.1, a.2))
            .map(|result| result.value.1)
            .sink(out);
    });
    assert_eq!(delta, [14, 16]);
}

#[keyed_state(key = u32)]
struct Best {
    best: Value<i128>,
}

/// Emits a window's sum where it is the best of its key so far.
#[derive(Clone)]
struct Records;

impl WindowProcess for Records {
    type In = i128;
    type WindowState = ();
    type State = Best;
    type Out = (u32, i128);

    fn on_fire(
        &mut self,
        sum: &i128,
        (): &mut (),
        state: &mut Best,
        context: &mut WindowContext<(u32, i128)>,
    ) {
        if state.best.get().is_none_or(|best| best < sum) {
            state.best.set(*sum);
            context.emit((*state.key(), *sum));
        }
    }
}

#[test]
fn window_functions_keep_state_of_a_key() {
    let events = [(1, 5, 0), (2, 1, 1), (1, 3, 11), (1, 9, 21), (2, 2, 22)];
    let mut best = run(|job, out| {
        keyed(job, &events)
            .window(Tumbling::of(10.nanos()))
            .aggregate_with(sum(value), Records)
            .sink(out);
    });
    best.sort_unstable();
    assert_eq!(best, [(1, 5), (1, 9), (2, 1), (2, 2)]);
}

#[test]
fn a_whole_stream_has_windows_too() {
    let mut all = run(|job, out| {
        job.source(from_splits(vec![EVENTS.to_vec(), vec![(2, 32, 1), (3, 64, 15)]]))
            .event_time(|event: &Event| Timestamp(event.2), Watermarks::monotonous())
            .window_all(Tumbling::of(10.nanos()))
            .aggregate(sum(value))
            .map(|result| (result.window.start.0, result.value))
            .sink(out);
    });
    all.sort_unstable();
    assert_eq!(all, [(0, 39), (10, 72), (20, 16)]);
}

// SEMANTICS 8, 49
#[test]
fn windows_of_the_wall_clock_take_records_without_event_time() {
    let fired = run(|job, out| {
        keyed(job, EVENTS)
            .window(Tumbling::of(1_000.hours()).processing_time())
            .trigger(EndOfStream)
            .aggregate(sum(value))
            .map(|result| result.value)
            .sink(out);
    });
    assert_eq!(fired, [31]);
}

#[test]
fn explain_says_which_operator_a_job_picked() {
    let explain = |build: fn(&Job, Collected<WindowResult<u32, i128>>)| {
        let job = Job::new("windows");
        build(&job, collect());
        job.explain(&Local::cores(1)).unwrap()
    };
    let panes = explain(|job, out| {
        keyed(job, EVENTS).window(Tumbling::of(10.nanos())).aggregate(sum(value)).sink(out);
    });
    assert!(panes.contains("tumbling 10ns in panes"), "{panes}");
    let general = explain(|job, out| {
        keyed(job, EVENTS)
            .window(Tumbling::of(10.nanos()))
            .trigger(Count(2))
            .aggregate(sum(value))
            .sink(out);
    });
    assert!(general.contains("tumbling 10ns in general, count 2"), "{general}");
}

// SEMANTICS 2, 6
#[test]
fn what_makes_no_windows_is_refused_before_anything_runs() {
    fn refused<O>(
        build: impl FnOnce(&Job) -> tailwater::Stream<WindowResult<u32, i128>, O>,
    ) -> String
    where
        O: tailwater::operators::Operator<Out = WindowResult<u32, i128>> + Clone,
    {
        let job = Job::new("refused");
        build(&job).sink(collect());
        job.run(Local::cores(1)).unwrap_err().to_string()
    }
    let windows = Sliding::of(10.nanos()).every(0.nanos());
    let error = refused(|job| keyed(job, EVENTS).window(windows).aggregate(sum(value)));
    assert!(error.contains("positive size and slide"), "{error}");
    let windows = Tumbling::of(10.nanos()).offset(10.nanos());
    let error =
        refused(|job| keyed(job, EVENTS).window(windows).trigger(Count(2)).aggregate(sum(value)));
    assert!(error.contains("offset"), "{error}");
    let windows = Cumulative::of(10.nanos()).every(3.nanos());
    let error = refused(|job| keyed(job, EVENTS).window(windows).aggregate(sum(value)));
    assert!(error.contains("divides"), "{error}");
    let error = refused(|job| {
        let windows = keyed(job, EVENTS).window(Tumbling::of(10.nanos()));
        windows.allowed_lateness(-(1.nanos())).aggregate(sum(value))
    });
    assert!(error.contains("must not be negative"), "{error}");
    let error = refused(|job| {
        let windows = keyed(job, EVENTS).window(Session::with_gap(1.nanos()));
        windows.trigger(Delta::new(1, |a: &Event, b: &Event| b.1 - a.1)).aggregate(sum(value))
    });
    assert!(error.contains("merge"), "{error}");
    let error = refused(|job| keyed(job, EVENTS).window(Counted::of(0)).aggregate(sum(value)));
    assert!(error.contains("at least one"), "{error}");
}
