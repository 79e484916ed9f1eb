//! Watermarks as a job sees them: a split at a time, idle splits left out, late records told apart.
//!
//! Method: closures as sources, one record a poll, so that it is known what the watermark was when
//! a record came; the seeded driver, whose clock moves by itself, so that idleness needs no
//! waiting. Where a rule is that something does not happen before something else, the source looks
//! for it before it goes on.

mod ends;
mod watchdog;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};

use ends::{sink_fn, source_fn};
use tailwater::operators::{Polled, Sink, Source};
use tailwater::prelude::*;
use watchdog::within;

type Counted = WindowResult<u64, u64>;

/// A split for each list; a poll gives one record.
fn one_by_one(splits: &[&[i64]]) -> impl Source<Out = i64> + use<> {
    let splits: Vec<Vec<i64>> = splits.iter().map(|times| times.to_vec()).collect();
    source_fn(splits.len(), move |split| {
        let mut times = splits[split].clone().into_iter();
        Ok(move |_: usize, out: &mut Vec<i64>| {
            out.extend(times.next());
            Ok(if times.len() == 0 { Polled::Finished } else { Polled::Ready })
        })
    })
}

/// One core and one record at a time: what comes out is in order.
fn step_by_step(seed: u64) -> Local {
    Local { batch_max: 1, ..Local::seeded(1, seed) }
}

fn spans(results: Vec<Counted>) -> Vec<(i64, u64)> {
    results.into_iter().map(|result| (result.window.start.0, result.value)).collect()
}

fn sorted<T: Ord>(mut values: Vec<T>) -> Vec<T> {
    values.sort();
    values
}

/// Sets a flag at the first result.
fn flag(seen: &Arc<AtomicBool>) -> impl Sink<Counted> + use<> {
    let seen = seen.clone();
    sink_fn(move |_| {
        let seen = seen.clone();
        Ok(move |batch: &mut Vec<Stamped<Counted>>| {
            seen.fetch_or(!batch.is_empty(), Relaxed);
            batch.clear();
            Ok(())
        })
    })
}

/// Split 0 goes on and split 1 is silent until a window has fired: with idleness it does.
#[test]
fn an_idle_split_does_not_hold_back_the_others() {
    for seed in 0..10 {
        for cores in [1, 2, 3] {
            let seen = Arc::new(AtomicBool::new(false));
            let of_source = seen.clone();
            let source = source_fn(2, move |split| {
                let seen = of_source.clone();
                let mut next = 0;
                Ok(move |_: usize, out: &mut Vec<i64>| {
                    if seen.load(Relaxed) {
                        return Ok(Polled::Finished);
                    }
                    if split == 1 {
                        return Ok(Polled::Pending);
                    }
                    out.push(next);
                    next += 1;
                    Ok(Polled::Ready)
                })
            });
            let job = Job::new("idle");
            job.source(source)
                .event_time(|at| Timestamp(*at), Watermarks::monotonous().idle_after(100.micros()))
                .key_by(|_| 0)
                .window(Tumbling::of(Span(100)))
                .aggregate(count())
                .sink(flag(&seen));
            within(60, "a silent split", || job.run(Local::seeded(cores, seed))).unwrap();
            assert!(seen.load(Relaxed));
        }
    }
}

/// Split 0 has gone far ahead when split 1 speaks: nothing may have fired before.
#[test]
fn a_split_that_may_still_speak_holds_back_the_others() {
    for seed in 0..10 {
        for cores in [1, 2] {
            let seen = Arc::new(AtomicBool::new(false));
            let of_source = seen.clone();
            let source = source_fn(2, move |split| {
                let seen = of_source.clone();
                let mut polls = 0;
                Ok(move |_: usize, out: &mut Vec<i64>| {
                    polls += 1;
                    if split == 0 {
                        out.push(polls);
                        return Ok(if polls < 300 { Polled::Ready } else { Polled::Finished });
                    }
                    if polls < 400 {
                        return Ok(Polled::Pending);
                    }
                    if seen.load(Relaxed) {
                        return Err(Error::internal("a window fired without the silent split"));
                    }
                    out.push(1);
                    Ok(Polled::Finished)
                })
            });
            let job = Job::new("silent");
            job.source(source)
                .event_time(|at| Timestamp(*at), Watermarks::monotonous())
                .key_by(|_| 0)
                .window(Tumbling::of(Span(100)))
                .aggregate(count())
                .sink(flag(&seen));
            let report = within(60, "silent", || job.run(Local::seeded(cores, seed))).unwrap();
            assert_eq!((report.records, report.late()), (301, 0));
        }
    }
}

#[test]
fn each_split_has_its_own_watermark() {
    let ahead: Vec<i64> = (1_000..1_100).collect();
    let behind: Vec<i64> = (0..100).collect();
    let run = |splits: &[&[i64]], local: Local| {
        let results = collect();
        let job = Job::new("splits");
        job.source(one_by_one(splits))
            .event_time(|at| Timestamp(*at), Watermarks::monotonous())
            .key_by(|_| 0)
            .window(Tumbling::of(Span(50)))
            .aggregate(count())
            .sink(results.clone());
        let report = job.run(local).unwrap();
        (spans(results.take()), report.late())
    };
    for seed in 0..20 {
        for cores in [1, 2] {
            let (results, late) = run(&[&ahead, &behind], Local::seeded(cores, seed));
            assert_eq!(results, [(0, 50), (50, 50), (1_000, 50), (1_050, 50)]);
            assert_eq!(late, 0);
        }
    }
    // The same in one split is late.
    let (results, late) = run(&[&[ahead, behind].concat()], step_by_step(1));
    assert_eq!((results, late), (vec![(1_000, 50), (1_050, 50)], 100));
}

#[test]
fn event_time_can_be_given_in_the_middle_of_a_stream() {
    for seed in 0..20 {
        for cores in [1, 3] {
            let results = collect();
            let job = Job::new("middle");
            job.source(one_by_one(&[&[3, 1, 2, 12, 14, 11, 25], &[5, 15, 35]]))
                .unstamped()
                .map(|at| at * 10)
                .event_time(|at| Timestamp(*at), Watermarks::bounded(Span(1_000)))
                .key_by(|_| 0)
                .window(Tumbling::of(Span(100)))
                .aggregate(count())
                .sink(results.clone());
            job.run(Local::seeded(cores, seed)).unwrap();
            assert_eq!(spans(results.take()), [(0, 4), (100, 4), (200, 1), (300, 1)]);
        }
    }
}

/// In this order: 6 and 7 come when [0, 10) has fired; 8 when its lateness is over too.
const LATE: &[i64] = &[5, 25, 6, 7, 45, 8, 46];

#[test]
fn a_record_within_the_allowed_lateness_fires_its_window_again() {
    for seed in 0..20 {
        let results = collect();
        let job = Job::new("late");
        job.source(one_by_one(&[LATE]))
            .event_time(|at| Timestamp(*at), Watermarks::monotonous())
            .key_by(|_| 0)
            .window(Tumbling::of(Span(10)))
            .allowed_lateness(Span(20))
            .aggregate(count())
            .sink(results.clone());
        let report = job.run(step_by_step(seed)).unwrap();
        let expected = [(0, 1), (0, 2), (0, 3), (20, 1), (40, 2)];
        assert_eq!(spans(results.take()), expected, "seed {seed}");
        assert_eq!(report.late(), 1, "seed {seed}");
    }
}

#[test]
fn late_records_go_their_own_way_where_asked_for() {
    for seed in 0..20 {
        let (results, late) = (collect(), collect());
        let job = Job::new("side");
        let (counts, late_records) = job
            .source(one_by_one(&[LATE]))
            .event_time(|at| Timestamp(*at), Watermarks::monotonous())
            .key_by(|_| 0)
            .window(Tumbling::of(Span(10)))
            .aggregate_with_late(count());
        counts.sink(results.clone());
        late_records.sink(late.clone());
        let report = job.run(step_by_step(seed)).unwrap();
        assert_eq!(spans(results.take()), [(0, 1), (20, 1), (40, 2)], "seed {seed}");
        assert_eq!(late.take(), [6, 7, 8], "seed {seed}");
        assert_eq!(report.late(), 0, "they were not dropped");
    }
}

// SEMANTICS 28
#[test]
fn functions_over_all_records_have_their_late_records_beside_them_too() {
    for seed in 0..20 {
        let (results, late) = (collect(), collect());
        let job = Job::new("side");
        let (starts, late_records) = job
            .source(one_by_one(&[LATE]))
            .event_time(|at| Timestamp(*at), Watermarks::monotonous())
            .key_by(|_| 0)
            .window(Tumbling::of(Span(10)))
            .with_late(|windows| windows.apply(|_, window, _| [window.start.0]));
        starts.sink(results.clone());
        late_records.sink(late.clone());
        let report = job.run(step_by_step(seed)).unwrap();
        assert_eq!(results.take(), [0, 20, 40], "seed {seed}");
        assert_eq!(late.take(), [6, 7, 8], "seed {seed}");
        assert_eq!(report.late(), 0, "they were not dropped");
    }
}

#[test]
fn streams_that_part_and_meet_keep_records_and_watermarks() {
    let even: Vec<i64> = (0..200).step_by(2).collect();
    let odd: Vec<i64> = (1..200).step_by(2).collect();
    for seed in 0..30 {
        let (all, small, large) = (collect(), collect(), collect());
        let job = Job::new("ways");
        let stream = |name: &str, times: &[i64]| {
            job.source(one_by_one(&[times]))
                .named(name)
                .event_time(|at| Timestamp(*at), Watermarks::monotonous())
        };
        let (first, second) = stream("even", &even).union(stream("odd", &odd)).rebalance().tee();
        first.key_by(|_| 0).window(Tumbling::of(Span(20))).aggregate(count()).sink(all.clone());
        let (below, above) = second.split(|at| *at < 50);
        below.sink(small.clone());
        above.sink(large.clone());
        let local = Local { ring_capacity: 1 + seed as usize, ..Local::seeded(2, seed) };
        let report = within(60, "ways", || job.run(local)).unwrap();
        assert_eq!(report.late(), 0, "seed {seed}");
        let expected: Vec<_> = (0..10).map(|window| (window * 20, 20)).collect();
        assert_eq!(spans(all.take()), expected, "seed {seed}");
        assert_eq!(sorted(small.take()), (0..50).collect::<Vec<_>>(), "seed {seed}");
        assert_eq!(sorted(large.take()), (50..200).collect::<Vec<_>>(), "seed {seed}");
    }
}

#[test]
fn rebalance_spreads_evenly() {
    let seen: Arc<[std::sync::atomic::AtomicU64]> = (0..4).map(|_| Default::default()).collect();
    let of_sink = seen.clone();
    let job = Job::new("even");
    job.source(from_vec((0..4_000u64).collect())).unstamped().rebalance().sink(sink_fn(
        move |context| {
            let (seen, core) = (of_sink.clone(), context.core as usize);
            Ok(move |batch: &mut Vec<Stamped<u64>>| {
                seen[core].fetch_add(batch.drain(..).count() as u64, Relaxed);
                Ok(())
            })
        },
    ));
    job.run(Local::seeded(4, 9)).unwrap();
    assert_eq!(seen.iter().map(|count| count.load(Relaxed)).collect::<Vec<_>>(), [1_000; 4]);
}

#[test]
fn a_record_without_event_time_is_refused_by_windows_of_event_time() {
    let session = |job: &Job| {
        let keyed = job.source(from_vec(vec![1i64])).unstamped().key_by(|_| 0);
        keyed.window(Session::with_gap(Span(5))).aggregate(count()).sink(collect());
    };
    let tumbling = |job: &Job| {
        let keyed = job.source(from_vec(vec![1i64])).unstamped().key_by(|_| 0);
        keyed.window(Tumbling::of(Span(5))).aggregate(count()).sink(collect());
    };
    for build in [&session as &dyn Fn(&Job), &tumbling] {
        let job = Job::new("unstamped");
        build(&job);
        let error = job.run(Local::seeded(1, 1)).unwrap_err();
        assert!(error.to_string().contains(".event_time(..)"), "{error}");
    }
}

/// Two sources of a group, each of two splits, of which one races and one crawls: no split is ever
/// read further ahead of the slowest than the drift and a batch allow, whatever the cores; an ended
/// one holds nobody back, and the same seed gives the same order.
// SEMANTICS 18
#[test]
fn fast_splits_wait_for_the_slow_ones_of_their_group() {
    const DRIFT: i64 = 50;
    let run = |local: Local| {
        let read: Arc<[AtomicI64]> = (0..4).map(|_| AtomicI64::new(0)).collect();
        let ahead_max = Arc::new(AtomicI64::new(0));
        let results = collect();
        let job = Job::new("aligned");
        let stream = |name: &'static str, first: usize, last: [i64; 2]| {
            let (read, ahead_max) = (read.clone(), ahead_max.clone());
            let source = source_fn(2, move |split| {
                let (read, ahead_max) = (read.clone(), ahead_max.clone());
                let mut next = 0;
                let mut polls = 0u64;
                Ok(move |_: usize, out: &mut Vec<i64>| {
                    polls += 1;
                    // The second split of the first source answers to one poll in seven.
                    if first == 0 && split == 1 && !polls.is_multiple_of(7) {
                        return Ok(Polled::Pending);
                    }
                    next += 1;
                    out.push(next);
                    let all = read.iter().map(|at| at.load(Relaxed));
                    ahead_max.fetch_max(next - all.min().unwrap_or(0), Relaxed);
                    let ended = next == last[split];
                    read[first + split].store(if ended { i64::MAX } else { next }, Relaxed);
                    Ok(if ended { Polled::Finished } else { Polled::Ready })
                })
            });
            let watermarks = Watermarks::monotonous().aligned("all", Span(DRIFT));
            job.source(source).named(name).event_time(|at| Timestamp(*at), watermarks)
        };
        stream("first", 0, [400, 300]).union(stream("second", 2, [100, 600])).sink(results.clone());
        let report = within(60, "aligned", || job.run(local)).unwrap();
        assert_eq!(report.records, 1_400);
        let paused = report.event_time.splits.iter().filter(|split| split.paused_ns > 0).count();
        (results.take(), ahead_max.load(Relaxed), paused)
    };
    for seed in 0..10 {
        for cores in [1, 2, 3] {
            // One record a poll, and between two looks at the group no more than some twenty polls.
            let (results, ahead, paused) = run(Local::seeded(cores, seed));
            assert!(ahead <= DRIFT + 60, "{ahead} ahead, seed {seed}, {cores} cores");
            assert!(paused >= 1, "nobody waited, seed {seed}, {cores} cores");
            assert_eq!(results, run(Local::seeded(cores, seed)).0, "seed {seed}, {cores} cores");
        }
    }
}

#[test]
fn a_punctuated_watermark_fires_windows_where_the_feed_says_so() {
    for seed in 0..10 {
        let results = collect();
        let job = Job::new("punctuated");
        // A negative number is the feed's own word that all up to it has been sent.
        job.source(one_by_one(&[&[3, 9, 12, -10, 4, -20, 33]]))
            .event_time(
                |at| Timestamp(at.abs()),
                Watermarks::punctuated(|at: &i64| (*at < 0).then_some(Timestamp(-at))),
            )
            .filter(|at| *at > 0)
            .key_by(|_| 0)
            .window(Tumbling::of(Span(10)))
            .aggregate(count())
            .sink(results.clone());
        let report = job.run(step_by_step(seed)).unwrap();
        assert_eq!(spans(results.take()), [(0, 2), (10, 1), (30, 1)], "seed {seed}");
        assert_eq!(report.late(), 1, "4 came behind the word of 10");
    }
}

#[test]
fn what_only_a_source_can_do_is_refused_in_the_middle_of_a_stream() {
    for watermarks in [
        Watermarks::monotonous().aligned("group", Span(1)),
        Watermarks::monotonous().idle_after(Span(1)),
    ] {
        let job = Job::new("middle");
        job.source(from_vec(vec![1i64]))
            .unstamped()
            .event_time(|at| Timestamp(*at), watermarks)
            .sink(collect());
        let error = job.run(Local::seeded(1, 1)).unwrap_err();
        assert!(error.to_string().contains("splits of a source"), "{error}");
    }
}
