//! Joins of two streams as whole jobs: the pairs that a look at all records finds, on any number of
//! cores.
//!
//! Method: records of a few keys with times drawn from a seed, each stream in two splits; the
//! output is compared, sorted, with two nested loops.

use tailwater::prelude::*;
use tailwater_core::Random;

#[record]
#[derive(Copy, PartialEq)]
struct Event {
    key: u32,
    id: u32,
    at: Timestamp,
}

const KEYS: u64 = 7;
const STEP: i64 = 10;

fn events(seed: u64) -> Vec<Vec<Event>> {
    let mut random = Random::from_seed(seed);
    let mut split = |split: u32| {
        let event = |index: u32| Event {
            key: random.below(KEYS) as u32,
            id: split * 1_000 + index,
            at: Timestamp(i64::from(index) * STEP + random.below(STEP as u64) as i64),
        };
        (0..200).map(event).collect()
    };
    vec![split(0), split(1)]
}

/// Both streams by key, the second one's name aside.
macro_rules! streams {
    ($job:expr, $lefts:expr, $rights:expr) => {
        streams!($job, $lefts, $rights, 0)
    };
    ($job:expr, $lefts:expr, $rights:expr, $number:expr) => {{
        let stream = |name: &str, splits: &Vec<Vec<Event>>| {
            $job.source(from_splits(splits.clone()))
                .named(format!("{name} {}", $number))
                .event_time(|event: &Event| event.at, Watermarks::monotonous())
                .key_by(|event| event.key)
        };
        (stream("lefts", $lefts), stream("rights", $rights))
    }};
}

fn all(splits: &[Vec<Event>]) -> impl Iterator<Item = &Event> {
    splits.iter().flatten()
}

// SEMANTICS 67
#[test]
fn an_interval_join_finds_all_pairs() {
    let (lefts, rights) = (events(1), events(2));
    let (lower, upper) = (Span(-35), Span(20));
    let mut due: Vec<(u32, u32)> = all(&lefts)
        .flat_map(|left| {
            let near = all(&rights).filter(move |right| {
                let apart = right.at - left.at;
                right.key == left.key && lower <= apart && apart <= upper
            });
            near.map(|right| (left.id, right.id))
        })
        .collect();
    due.sort_unstable();
    assert!(due.len() > 100);
    for cores in [1, 2, 4] {
        let job = Job::new("interval");
        let (left, right) = streams!(job, &lefts, &rights);
        let results = collect();
        left.interval_join(right, Interval::between(lower, upper))
            .map(|pair: Joined<Event, Event>| (pair.left.id, pair.right.id))
            .sink(results.clone());
        job.run(Local::cores(cores)).unwrap();
        let mut results = results.take();
        results.sort_unstable();
        assert_eq!(results, due, "{cores} cores");
    }
}

fn window(at: Timestamp) -> i64 {
    at.0.div_euclid(100)
}

// SEMANTICS 70
#[test]
fn a_window_join_is_the_cross_product_of_each_window() {
    let (lefts, rights) = (events(3), events(4));
    let mut due: Vec<(u32, u32)> = all(&lefts)
        .flat_map(|left| {
            let same = all(&rights)
                .filter(move |right| right.key == left.key && window(right.at) == window(left.at));
            same.map(|right| (left.id, right.id))
        })
        .collect();
    due.sort_unstable();
    for cores in [1, 2, 4] {
        let job = Job::new("window-join");
        let (left, right) = streams!(job, &lefts, &rights);
        let results = collect();
        left.co_group(right)
            .window(Tumbling::of(Span(100)))
            .apply(pairs(|left: &Event, right: &Event| (left.id, right.id)))
            .sink(results.clone());
        job.run(Local::cores(cores)).unwrap();
        let mut results = results.take();
        results.sort_unstable();
        assert_eq!(results, due, "{cores} cores");
    }
}

// SEMANTICS 70
#[test]
fn a_co_group_sees_windows_of_one_side_too() {
    let (lefts, rights) = (events(5), events(6));
    let mut counts = std::collections::BTreeMap::<(i64, u32), (u32, u32)>::new();
    all(&lefts).for_each(|left| counts.entry((window(left.at), left.key)).or_default().0 += 1);
    all(&rights).for_each(|right| counts.entry((window(right.at), right.key)).or_default().1 += 1);
    let due: Vec<_> = counts.into_iter().map(|((w, key), (l, r))| (w, key, l, r)).collect();
    assert!(due.iter().any(|(.., left, right)| *left == 0 || *right == 0));
    for cores in [1, 2, 4] {
        let job = Job::new("co-group");
        let (left, right) = streams!(job, &lefts, &rights);
        let results = collect();
        left.co_group(right)
            .window(Tumbling::of(Span(100)))
            .apply(groups(|key: &u32, window, lefts: &[&Event], rights: &[&Event]| {
                let number = window.start.0.div_euclid(100);
                [(number, *key, lefts.len() as u32, rights.len() as u32)]
            }))
            .sink(results.clone());
        job.run(Local::cores(cores)).unwrap();
        let mut results = results.take();
        results.sort_unstable();
        assert_eq!(results, due, "{cores} cores");
    }
}

#[test]
fn an_interval_that_ends_before_it_begins_is_no_job() {
    let job = Job::new("interval");
    let (left, right) = streams!(job, &events(1), &events(2));
    left.interval_join(right, Interval::between(Span(1), Span(0)))
        .map(|pair: Joined<Event, Event>| pair.left.id)
        .sink(collect());
    let error = job.run(Local::cores(1)).err().unwrap();
    assert!(error.to_string().contains("joins nothing"), "{error}");
}

/// An as-of, an interval and a window join, each twice; the second of `equal` without a name.
fn twice(equal: Option<&str>) -> Result<()> {
    let job = Job::new("twice");
    for number in 0..2 {
        // The name of the task goes before that of the join.
        let name = |kind: &str| match equal {
            Some(equal) if equal == kind => kind.to_owned(),
            _ => format!("{kind} {number}"),
        };
        let (left, right) = streams!(job, &events(1), &events(2), format!("as of {number}"));
        left.as_of(right, AsOf::backward())
            .named(name("as of"))
            .map(|matched: Matched<Event, Event>| matched.left.id)
            .sink(collect());
        let (left, right) = streams!(job, &events(1), &events(2), format!("interval {number}"));
        left.interval_join(right, Interval::between(Span(0), Span(5)))
            .named(name("interval"))
            .map(|pair: Joined<Event, Event>| pair.left.id)
            .sink(collect());
        let (left, right) = streams!(job, &events(1), &events(2), format!("window {number}"));
        left.co_group(right)
            .window(Tumbling::of(Span(100)))
            .apply(pairs(|left: &Event, right: &Event| (left.id, right.id)))
            .named(name("window"))
            .sink(collect());
    }
    job.run(Local::cores(1)).map(drop)
}

#[test]
fn joins_that_remember_something_have_names_of_their_own() {
    for kind in ["as of", "interval", "window"] {
        let error = twice(Some(kind)).unwrap_err().to_string();
        assert!(error.contains("two operators are named"), "{error}");
        assert!(error.contains(kind) && error.contains(".named(..)"), "{error}");
    }
    twice(None).unwrap();
}
