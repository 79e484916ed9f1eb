//! Idleness, back-pressure and alignment of splits, poll by poll with a clock set by hand.

use std::collections::VecDeque;
use std::sync::Arc;

use tailwater_core::{Control, Marker, Result, Span, Stamped, Timestamp};
use tailwater_operators::watermarks::Bounded;
use tailwater_operators::{Aligned, Polled, SplitPosition, SplitReader, Watermarks};

use super::split::Split;
use super::*;
use crate::splits::{EventTime, SourceBoard, SplitGauges};
use crate::task::drift::DriftGroups;

type TestInput = SourceInput<i64, fn(&i64) -> Timestamp, Bounded>;

/// Gives one record a poll; `None` is a poll that finds nothing.
struct Scripted(VecDeque<Option<i64>>);

impl SplitReader<i64> for Scripted {
    fn poll(&mut self, _: usize, out: &mut Vec<i64>) -> Result<Polled> {
        match self.0.pop_front() {
            Some(record) => {
                out.extend(record);
                Ok(if self.0.is_empty() { Polled::Finished } else { Polled::Ready })
            }
            None => Ok(Polled::Finished),
        }
    }

    fn position(&self) -> SplitPosition {
        SplitPosition::default()
    }
}

/// A split for each script, monotonous, idle after 100 ns.
fn input(
    scripts: &[&[Option<i64>]],
    aligned: Option<(&DriftGroups, i64)>,
    board: &SourceBoard,
) -> TestInput {
    let gauges: Vec<_> =
        (0..scripts.len()).map(|split| SplitGauges::new(&format!("{split}"), 0)).collect();
    let splits: Vec<_> = scripts
        .iter()
        .zip(&gauges)
        .map(|(script, gauges)| Split {
            name: String::new(),
            rank: 0,
            reader: Box::new(Scripted(script.iter().copied().collect())),
            generator: Some(Watermarks::monotonous().generator),
            ahead: VecDeque::new(),
            before_ahead: SplitPosition::default(),
            skip: 0,
            emitted: 0,
            emitted_before: 0,
            silent_ns: 0,
            asked_ns: 0,
            idle: false,
            said_idle: false,
            paused: false,
            ended: false,
            finished: false,
            gauges: gauges.clone(),
        })
        .collect();
    let drift = aligned.map(|(groups, drift)| {
        groups.join(&Aligned { group: "g".to_owned(), max_drift: Span(drift) })
    });
    SourceInput {
        name: "test".into(),
        merge: WatermarkMerge::new(splits.len()),
        splits_total: splits.len() as u64,
        splits,
        time: |at| Timestamp(*at),
        drift,
        is_blocked: false,
        idle_after_ns: Some(100),
        ready: VecDeque::new(),
        values: Vec::new(),
        held: Vec::new(),
        held_index: 0,
        marks: None,
        read_behind: Timestamp::MIN,
        next: 0,
        pace: Pace::Max,
        origin: Arc::default(),
        marker: Marker { source: 0, core: 0, sent_ns: 0 },
        marker_interval_ns: 0,
        barrier: 0,
        is_drained: false,
        read_since_barrier: true,
        ended: false,
        gauges: board.register(&"test".into(), 0, gauges.into()),
    }
}

fn step(now_ns: u64) -> Step {
    Step { now_ns, mode: Mode::Running, barrier: 0, completed: 0, is_over: false, budget: 64 }
}

/// All that comes at an instant, records as `Ok`.
fn poll(input: &mut TestInput, now_ns: u64, polls: usize) -> Vec<Result<i64, Control>> {
    let mut all = Vec::new();
    let mut batch: Vec<Stamped<i64>> = Vec::new();
    for _ in 0..polls {
        match input.poll(&step(now_ns), 64, &mut batch).unwrap() {
            Event::Empty => {}
            Event::Records => all.extend(batch.drain(..).map(|record| Ok(record.value))),
            Event::Control(control) => all.push(Err(control)),
            Event::Unsorted | Event::Sorted | Event::LastOfKey => {
                unreachable!("a source knows no keys")
            }
        }
    }
    all
}

fn watermark(at: i64) -> Result<i64, Control> {
    Err(Control::Watermark(Timestamp(at)))
}

// SEMANTICS 13, 16
#[test]
fn a_silent_split_falls_idle_and_comes_back() {
    let board = SourceBoard::default();
    let silent = [Some(15), None, None, None, Some(16), None];
    let mut input = input(&[&[Some(40), Some(41), None, None, None], &silent], None, &board);
    assert_eq!(poll(&mut input, 10, 3), [Ok(40), Ok(15), watermark(14)]);
    assert_eq!(poll(&mut input, 50, 1), [Ok(41)]);
    assert_eq!(poll(&mut input, 109, 2), []);
    let activity = |board: &SourceBoard, now_ns| EventTime::of(board, now_ns).splits[1].activity;
    assert_eq!(activity(&board, 109), Activity::Reading);
    assert_eq!(poll(&mut input, 110, 1), [watermark(40)], "100 ns after its last record");
    assert_eq!(activity(&board, 110), Activity::Idle);
}

// SEMANTICS 17
#[test]
fn the_clock_of_idleness_stands_still_under_back_pressure() {
    let script = [Some(15), None, None, None, None];
    for blocked in [false, true] {
        let board = SourceBoard::default();
        let mut input = input(&[&script], None, &board);
        assert_eq!(poll(&mut input, 10, 2), [Ok(15), watermark(14)]);
        if blocked {
            for now_ns in [20, 500, 900] {
                input.on_blocked(&step(now_ns));
            }
            let split = &EventTime::of(&board, 920).splits[0];
            assert_eq!((split.activity, split.activity_ns), (Activity::Blocked, 900));
        }
        let events = poll(&mut input, 950, 1);
        assert_eq!(events.contains(&Err(Control::Idle)), !blocked, "{events:?}");
        let activity = EventTime::of(&board, 950).splits[0].activity;
        assert_eq!(activity, if blocked { Activity::Reading } else { Activity::Idle });
    }
}

// SEMANTICS 17, 18
#[test]
fn a_fast_split_waits_for_its_group_and_is_not_idle_meanwhile() {
    let board = SourceBoard::default();
    let groups = DriftGroups::default();
    // Another source of the group, on whatever core.
    let mut slow = groups.join(&Aligned { group: "g".to_owned(), max_drift: Span(0) });
    let fast: Vec<_> = (1..10).map(|n| Some(n * 10)).collect();
    let mut input = input(&[&fast], Some((&groups, 25)), &board);
    slow.publish(Timestamp(0));
    // Watermarks 9, 19, 29: the first that is more than 25 ahead pauses the split.
    let events = poll(&mut input, 0, 20);
    assert_eq!(events, [Ok(10), watermark(9), Ok(20), watermark(19), Ok(30), watermark(29)]);
    let split = |now_ns| EventTime::of(&board, now_ns).splits[0].clone();
    assert_eq!((split(500).activity, split(500).activity_ns), (Activity::Paused, 500));
    for now_ns in [200, 150_000, 300_000] {
        assert_eq!(poll(&mut input, now_ns, 3), [], "far beyond its time, and not idle");
    }
    slow.publish(Timestamp(8));
    assert_eq!(poll(&mut input, 400_000, 2), [Ok(40), watermark(39)]);
    slow.publish(Timestamp::MAX);
    let last = poll(&mut input, 500_000, 20);
    assert!(last.ends_with(&[Ok(90), Err(Control::Watermark(Timestamp::MAX)), Err(Control::End)]));
    assert_eq!(slow.limit(600_000), Timestamp::MAX, "who has ended holds nobody back");
    assert!(split(600_000).paused_ns >= 299_000);
}
