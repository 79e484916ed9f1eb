//! The harness for whole jobs: what a test says happens, when it says so, and nothing else does.
//!
//! Method: small jobs whose every output can be said beforehand, driven by hand with several seeds.

use tailwater::prelude::*;
use tailwater::testing::{JobHarness, TestSink, TestSource};

/// A reading and its time.
type Reading = (u32, i64);

/// Sums by key over windows of 100, whose watermarks the test gives.
fn sums(source: &TestSource<Reading>) -> (Job, TestSink<(u32, i64)>) {
    let (job, sink) = (Job::new("sums"), TestSink::new());
    job.source(source.clone())
        .event_time(|(_, at): &Reading| Timestamp(*at), Watermarks::by_source())
        .key_by(|(key, _)| *key)
        .window(Tumbling::of(100.nanos()))
        .aggregate(count())
        .map(|result| (result.key, result.value as i64))
        .sink(sink.clone());
    (job, sink)
}

fn sorted<T: Ord>(mut results: Vec<T>) -> Vec<T> {
    results.sort();
    results
}

#[test]
fn results_come_when_the_test_raises_the_watermark() {
    for seed in 0..10 {
        let source = TestSource::new();
        let (job, sink) = sums(&source);
        let mut harness = JobHarness::new(job, Local::seeded(2, seed)).unwrap();
        source.extend([(1, 10), (2, 20), (1, 99)]);
        harness.run_until_idle().unwrap();
        source.watermark(Timestamp(98));
        harness.run_until_idle().unwrap();
        assert!(sink.take().is_empty());
        assert_eq!(sink.watermark(), Timestamp(98));
        // SEMANTICS 9
        source.watermark(Timestamp(99));
        harness.run_until_idle().unwrap();
        assert_eq!(sorted(sink.take()), [(1, 2), (2, 1)]);
        source.push((3, 50));
        harness.run_until_idle().unwrap();
        assert_eq!(harness.count("late_records_dropped"), 1);
        source.push((3, 150));
        source.end();
        harness.run_until_idle().unwrap();
        // SEMANTICS 19
        assert_eq!(sink.take(), [(3, 1)]);
        assert!(harness.is_finished());
        assert!(harness.checkpoint().is_err());
    }
}

// SEMANTICS 13, 15, 16
#[test]
fn splits_hold_the_watermark_back_until_they_are_idle() {
    for (seed, cores) in [(1, 1), (2, 2), (3, 3)] {
        let source = TestSource::with_splits(2);
        let (job, sink) = sums(&source);
        let mut harness = JobHarness::new(job, Local::seeded(cores, seed)).unwrap();
        source.split(0).push((1, 10));
        source.split(0).watermark(Timestamp(40));
        harness.run_until_idle().unwrap();
        assert_eq!(sink.watermark(), Timestamp::MIN);
        source.split(1).watermark(Timestamp(15));
        harness.run_until_idle().unwrap();
        assert_eq!(sink.watermark(), Timestamp(15));
        source.split(1).idle();
        harness.run_until_idle().unwrap();
        assert_eq!(sink.watermark(), Timestamp(40));
        source.split(0).watermark(Timestamp(120));
        source.split(0).idle();
        harness.run_until_idle().unwrap();
        assert_eq!((sink.watermark(), sink.take()), (Timestamp(120), vec![(1, 1)]));
        // Active again, but behind: it holds nothing back until it has caught up.
        source.split(1).push((1, 130));
        source.split(1).watermark(Timestamp(130));
        harness.run_until_idle().unwrap();
        assert_eq!(sink.watermark(), Timestamp(130));
        source.split(1).watermark(Timestamp(199));
        harness.run_until_idle().unwrap();
        assert_eq!(sink.take(), [(1, 1)]);
    }
}

#[test]
fn a_crash_loses_what_no_checkpoint_has_and_reads_it_again() {
    for seed in 0..10 {
        let source = TestSource::with_splits(2);
        let (job, sink) = sums(&source);
        let mut harness = JobHarness::new(job, Local::seeded(1, seed)).unwrap();
        source.split(0).extend([(1, 10), (2, 20)]);
        source.split(1).push((1, 30));
        source.split(1).watermark(Timestamp(50));
        source.split(1).idle();
        harness.run_until_idle().unwrap();
        let first = harness.checkpoint().unwrap();
        source.split(0).push((2, 60));
        harness.run_until_idle().unwrap();
        assert_eq!(harness.checkpoint().unwrap(), first + 1);
        for (cores, restored) in [(3, None), (2, Some(first)), (1, None)] {
            match restored {
                None => harness.restart(cores).unwrap(),
                Some(checkpoint) => harness.restore(checkpoint, cores).unwrap(),
            }
            harness.run_until_idle().unwrap();
            assert!(sink.take().is_empty());
        }
        source.split(0).watermark(Timestamp(99));
        harness.run_until_idle().unwrap();
        assert_eq!(sorted(sink.take()), [(1, 2), (2, 2)], "seed {seed}");
        // What is not committed comes again.
        harness.restart(2).unwrap();
        harness.run_until_idle().unwrap();
        assert_eq!(sorted(sink.take()), [(1, 2), (2, 2)], "seed {seed}");
        harness.stop().unwrap();
        assert!(harness.is_finished() && sink.take().is_empty());
    }
}

#[test]
fn committed_results_come_once() {
    let (source, results) = (TestSource::new(), collect());
    let job = Job::new("committed");
    job.source(source.clone()).unstamped().map(|n: u64| n * 10).sink(results.clone());
    let mut harness = JobHarness::new(job, Local::seeded(2, 3)).unwrap();
    source.extend([1, 2]);
    harness.run_until_idle().unwrap();
    assert!(results.take().is_empty());
    harness.checkpoint().unwrap();
    assert_eq!(results.take(), [10, 20]);
    source.push(3);
    harness.run_until_idle().unwrap();
    harness.restart(1).unwrap();
    harness.run_until_idle().unwrap();
    harness.checkpoint().unwrap();
    assert_eq!(results.take(), [30]);
}

/// Emits the time at which a key has been silent for ten nanoseconds of processing time.
#[derive(Clone)]
struct Silence;

#[keyed_state(key = u32)]
struct Last {
    due: Value<Timestamp>,
}

impl Process for Silence {
    type In = u32;
    type State = Last;
    type Out = (u32, Timestamp);

    fn on_record(&mut self, _: u32, last: &mut Last, context: &mut Context<Self::Out>) {
        if let Some(due) = last.due.get().copied() {
            context.delete_processing_timer(due);
        }
        let due = context.processing_time() + Span(10);
        last.due.set(due);
        context.processing_timer(due);
    }

    fn on_timer(&mut self, at: Timestamp, last: &mut Last, context: &mut Context<Self::Out>) {
        context.emit((*last.key(), at));
    }
}

#[test]
fn processing_time_moves_only_by_hand() {
    let (source, sink) = (TestSource::new(), TestSink::new());
    let job = Job::new("silence");
    job.source(source.clone())
        .unstamped()
        .key_by(|key: &u32| *key)
        .process(Silence)
        .sink(sink.clone());
    let mut harness = JobHarness::new(job, Local::seeded(2, 5)).unwrap();
    harness.advance_processing_time(100.nanos()).unwrap();
    source.extend([1, 2]);
    harness.run_until_idle().unwrap();
    harness.advance_processing_time(9.nanos()).unwrap();
    assert!(sink.take().is_empty());
    source.push(2);
    harness.run_until_idle().unwrap();
    harness.advance_processing_time(1.nanos()).unwrap();
    // SEMANTICS 48
    let fired = sink.take_stamped();
    assert_eq!(fired, [Stamped::new(Timestamp::NONE, (1, Timestamp(110)))]);
    // SEMANTICS 50: what became due while the job was down fires at once.
    harness.checkpoint().unwrap();
    harness.restart(3).unwrap();
    harness.advance_processing_time(1.secs()).unwrap();
    assert_eq!(sink.take(), [(2, Timestamp(119))]);
    assert_eq!(harness.processing_time(), Timestamp(1_000_000_110));
}

#[test]
fn silent_splits_fall_idle_in_processing_time() {
    let (source, sink) = (TestSource::with_splits(2), TestSink::new());
    let job = Job::new("idle");
    job.source(source.clone())
        .event_time(|at: &i64| Timestamp(*at), Watermarks::monotonous().idle_after(1.secs()))
        .sink(sink.clone());
    let mut harness = JobHarness::new(job, Local::seeded(1, 5)).unwrap();
    source.split(0).push(50);
    harness.run_until_idle().unwrap();
    assert_eq!(sink.watermark(), Timestamp::MIN);
    harness.advance_processing_time(999.millis()).unwrap();
    source.split(0).push(60);
    harness.run_until_idle().unwrap();
    assert_eq!(sink.watermark(), Timestamp::MIN);
    harness.advance_processing_time(1.millis()).unwrap();
    assert_eq!(sink.watermark(), Timestamp(59));
}

#[test]
fn a_failure_is_told_and_the_job_can_go_on() {
    let (source, sink) = (TestSource::new(), TestSink::new());
    let job = Job::new("fragile");
    let mut is_first_time = true;
    job.source(source.clone())
        .unstamped()
        .try_map(move |n: u32| {
            if n == 13 && std::mem::take(&mut is_first_time) {
                return Err("unlucky".to_owned());
            }
            Ok(n)
        })
        .sink(sink.clone());
    let mut harness = JobHarness::new(job, Local::seeded(1, 1)).unwrap();
    source.push(12);
    harness.run_until_idle().unwrap();
    harness.checkpoint().unwrap();
    source.push(13);
    let error = harness.run_until_idle().unwrap_err().to_string();
    assert!(error.contains("unlucky") && error.contains("fragile"), "{error}");
    let error = harness.run_until_idle().unwrap_err().to_string();
    assert!(error.contains("restart"), "{error}");
    assert_eq!(sink.take(), [12]);
    // The closure is cloned anew, and fails again.
    harness.restart(1).unwrap();
    assert!(harness.run_until_idle().is_err());
}

#[test]
fn a_seed_decides_the_order_and_nothing_else_does() {
    let run = |seed| {
        let (source, sink) = (TestSource::with_splits(4), TestSink::new());
        let job = Job::new("order");
        job.source(source.clone())
            .unstamped()
            .key_by(|n: &u32| *n)
            .fold(0_u32, |last, n| *last = *n)
            .sink(sink.clone());
        let local = Local { batch_max: 3, ring_capacity: 4, ..Local::seeded(3, seed) };
        let mut harness = JobHarness::new(job, local).unwrap();
        (0..400).for_each(|n| source.split(n as usize % 4).push(n));
        harness.run_until_idle().unwrap();
        sink.take()
    };
    let (first, second, other) = (run(1), run(1), run(2));
    assert_eq!(first, second);
    assert_ne!(first, other);
    assert_eq!(sorted(first), sorted(other));
}

#[test]
fn only_the_seeded_driver_can_be_driven_by_hand() {
    let (job, _) = sums(&TestSource::new());
    let error = JobHarness::new(job, Local::cores(1)).unwrap_err().to_string();
    assert!(error.contains("seed"), "{error}");
}
