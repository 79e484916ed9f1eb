//! Rules of docs/semantics.md that concern whole jobs, or any operator, and are short to prove.
//!
//! Method: each test gives the rule's number, and drives an operator or a job by hand.

use std::sync::{Arc, Mutex};

use tailwater::operators::{Collect, Description, Operator, OperatorContext, ProcessOperator};
use tailwater::prelude::*;
use tailwater::state::{SnapshotReader, SnapshotWriter};
use tailwater::testing::{Harness, JobHarness, TestSink, TestSource};

/// Counts the records of a key, and says when it saw each.
#[derive(Clone)]
struct Seen {
    /// Touches the state before there is a key.
    too_early: bool,
}

#[keyed_state(key = u32)]
struct SeenState {
    count: Value<u64>,
}

impl Process for Seen {
    type In = u32;
    type State = SeenState;
    type Out = (u32, u64);

    fn open(&mut self, state: &mut SeenState) {
        if self.too_early {
            state.count.set(1);
        }
    }

    fn on_record(&mut self, key: u32, state: &mut SeenState, context: &mut Context<(u32, u64)>) {
        let count = state.count.get().map_or(1, |count| *count + 1);
        state.count.set(count);
        context.emit((key, count));
    }
}

fn seen(too_early: bool) -> ProcessOperator<Seen, impl FnMut(&u32) -> u32 + Clone + Send> {
    ProcessOperator::new(|key: &u32| *key, Seen { too_early })
}

// SEMANTICS 21
#[test]
fn a_process_sees_late_records_as_any_other() {
    let mut harness = Harness::new(seen(false)).unwrap();
    harness.record(Timestamp(10), 1);
    harness.watermark(Timestamp(100));
    harness.record(Timestamp(100), 1);
    harness.record(Timestamp(5), 1);
    assert_eq!(harness.take_results(), [(1, 1), (1, 2), (1, 3)]);
}

// SEMANTICS 98
#[test]
fn state_is_that_of_the_key_at_hand() {
    let mut harness = Harness::new(seen(false)).unwrap();
    [1, 2, 1].into_iter().for_each(|key| harness.record(Timestamp(0), key));
    assert_eq!(harness.take_results(), [(1, 1), (2, 1), (1, 2)]);
}

// SEMANTICS 98
#[test]
#[should_panic(expected = "keyed state is used inside the callbacks of its operator only")]
fn state_without_a_key_is_refused() {
    let _ = Harness::new(seen(true));
}

// SEMANTICS 84
#[test]
fn a_restart_takes_the_newest_and_numbers_go_on() {
    let (source, sink) = (TestSource::new(), TestSink::new());
    let job = Job::new("numbers");
    job.source(source.clone())
        .unstamped()
        .key_by(|key: &u32| *key)
        .process(Seen { too_early: false })
        .sink(sink.clone());
    let mut harness = JobHarness::new(job, Local::seeded(2, 4)).unwrap();
    let mut newest = 0;
    for round in 1..=4 {
        source.push(7);
        harness.run_until_idle().unwrap();
        let checkpoint = harness.checkpoint().unwrap();
        assert!(checkpoint > newest, "{checkpoint} follows {newest}");
        newest = checkpoint;
        // This one is lost with its process, and counted again by the next.
        source.push(7);
        harness.run_until_idle().unwrap();
        assert_eq!(sink.take().last(), Some(&(7, 2 * round)));
        harness.restart(1 + round as u32 % 3).unwrap();
        harness.run_until_idle().unwrap();
        assert_eq!(sink.take(), [(7, 2 * round)]);
    }
}

type Log = Arc<Mutex<Vec<&'static str>>>;

/// Writes down what happens to it, and emits when it ends.
#[derive(Clone)]
struct Life(Log);

impl Life {
    fn note(&self, what: &'static str) {
        self.0.lock().unwrap().push(what);
    }
}

impl Operator for Life {
    type In = u32;
    type Out = u32;

    fn open(&mut self, _: &OperatorContext) -> Result<()> {
        self.note("open");
        Ok(())
    }

    fn on_record(&mut self, at: Timestamp, value: u32, out: &mut impl Collect<u32>) {
        self.note("record");
        out.record(at, value);
    }

    fn on_watermark(&mut self, watermark: Timestamp, out: &mut impl Collect<u32>) {
        if watermark == Timestamp::MAX {
            self.note("last watermark");
        }
        out.watermark(watermark);
    }

    fn on_end(&mut self, out: &mut impl Collect<u32>) {
        self.note("end");
        out.record(Timestamp::MAX, 99);
    }

    fn snapshot(&mut self, into: &mut SnapshotWriter) -> Result<()> {
        self.note("snapshot");
        into.operator("life", |into| into.value("nothing", &0_u64))
    }

    fn restore(&mut self, _: &mut SnapshotReader) -> Result<()> {
        self.note("restore");
        Ok(())
    }

    fn describe(&self, into: &mut Vec<Description>) {
        into.push(Description::stateful("life", ""));
    }
}

// SEMANTICS 99
#[test]
fn an_operator_lives_from_open_to_its_last_snapshot() {
    let (log, source, results) = (Log::default(), TestSource::new(), collect());
    let job = Job::new("life");
    job.source(source.clone()).unstamped().then(Life(log.clone())).sink(results.clone());
    // What a restored operator does not ask for counts as dropped.
    let local = Local { allow_dropped_state: true, ..Local::seeded(1, 1) };
    let mut harness = JobHarness::new(job, local).unwrap();
    source.push(1);
    harness.run_until_idle().unwrap();
    harness.checkpoint().unwrap();
    harness.restart(1).unwrap();
    source.push(2);
    source.end();
    harness.run_until_idle().unwrap();
    assert!(harness.is_finished());
    let first_life = ["open", "record", "snapshot"];
    let second_life = ["open", "restore", "record", "last watermark", "end", "snapshot"];
    assert_eq!(*log.lock().unwrap(), [&first_life[..], &second_life[..]].concat());
    assert_eq!(results.take(), [1, 2, 99]);
}

// SEMANTICS 100
#[test]
fn cores_share_no_instance() {
    let (source, sink) = (TestSource::with_splits(3), TestSink::new());
    let job = Job::new("instances");
    let mut calls = 0;
    job.source(source.clone())
        .unstamped()
        .map(move |split: u32| {
            calls += 1;
            (split, calls)
        })
        .sink(sink.clone());
    let mut harness = JobHarness::new(job, Local::seeded(3, 9)).unwrap();
    for round in 1..=5 {
        (0..3).for_each(|split| source.split(split as usize).push(split));
        harness.run_until_idle().unwrap();
        let mut seen = sink.take();
        seen.sort();
        assert_eq!(seen, [(0, round), (1, round), (2, round)]);
    }
}
