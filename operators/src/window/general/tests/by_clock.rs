//! Windows and triggers of the wall clock, told the time by hand.

use super::*;

/// A harness at an instant of the wall clock.
fn at<A, R>(now: i64, windows: Windows<A, R, NoEvictor>) -> Harness<Windows<A, R, NoEvictor>>
where
    A: Assigner<Event>,
    R: Trigger<Event>,
{
    let mut harness = Harness::new(windows).unwrap();
    harness.clock(Timestamp(now));
    harness
}

/// What came out since the last call: start, end and values.
fn shown<A, R>(harness: &mut Harness<Windows<A, R, NoEvictor>>) -> Vec<(i64, i64, Vec<i64>)>
where
    A: Assigner<Event>,
    R: Trigger<Event>,
{
    let results = harness.take_results().into_iter().map(|fired| match fired {
        Fired::Result((_, start, end, values)) => (start, end, values),
        Fired::Late(event) => panic!("nothing is late by the wall clock, as {event:?} is"),
    });
    results.collect()
}

// SEMANTICS 8
#[test]
fn records_belong_to_the_window_of_their_arrival() {
    let mut harness = at(105, windows(ByClock(tumbling(10)), ProcessingTime, NoEvictor));
    harness.record(Timestamp(7), (0, 1));
    harness.record(Timestamp::NONE, (0, 2));
    harness.watermark(Timestamp(1_000));
    harness.record(Timestamp(3), (0, 3));
    harness.clock(Timestamp(109));
    harness.record(Timestamp(900), (0, 4));
    assert_eq!(shown(&mut harness), []);
    harness.clock(Timestamp(110));
    assert_eq!(shown(&mut harness), [(100, 110, vec![1, 2, 3, 4])]);
    // The window is gone, whatever the clock says later; one that goes back is not believed.
    harness.clock(Timestamp(50));
    harness.record(Timestamp(0), (0, 5));
    harness.clock(Timestamp(200));
    assert_eq!(shown(&mut harness), [(110, 120, vec![5])]);
}

#[test]
fn sessions_of_the_wall_clock_end_after_a_silence() {
    let mut harness = at(0, windows(ByClock(session(10)), ProcessingTime, NoEvictor));
    for (now, value) in [(5, 1), (14, 2), (23, 3), (40, 4)] {
        harness.clock(Timestamp(now));
        harness.record(Timestamp::NONE, (0, value));
    }
    assert_eq!(shown(&mut harness), [(5, 33, vec![1, 2, 3])]);
    harness.clock(Timestamp(50));
    assert_eq!(shown(&mut harness), [(40, 50, vec![4])]);
}

// SEMANTICS 49
#[test]
fn what_waits_for_the_wall_clock_is_dropped_at_the_end() {
    let mut harness = at(0, windows(ByClock(tumbling(10)), ProcessingTime, NoEvictor));
    harness.record(Timestamp(5), (0, 1));
    harness.end();
    assert_eq!(shown(&mut harness), []);
}

#[test]
fn continuous_firings_follow_the_wall_clock() {
    let every = ContinuousProcessing(Span(4));
    let mut harness = at(3, windows(ByClock(tumbling(10)), every, NoEvictor));
    harness.record(Timestamp::NONE, (0, 1));
    let mut firings = Vec::new();
    for now in 4..=12 {
        harness.clock(Timestamp(now));
        firings.extend(shown(&mut harness).into_iter().map(|_| now));
    }
    // At 4, 8 and the end: a timer is due when the clock has passed it.
    assert_eq!(firings, [5, 9, 10]);
    // Event-time windows fire by the wall clock too, and once for a clock that jumped.
    let mut harness = at(100, windows(tumbling(10), every, NoEvictor));
    harness.record(Timestamp(1), (0, 1));
    harness.clock(Timestamp(150));
    harness.clock(Timestamp(151));
    assert_eq!(shown(&mut harness), [(0, 10, vec![1])]);
    harness.clock(Timestamp(153));
    assert_eq!(shown(&mut harness), [(0, 10, vec![1])]);
}

#[test]
fn a_timeout_fires_what_waited_too_long() {
    let pairs = || Purging(Timeout::of(Count(2), Span(10)));
    let mut harness = at(0, windows(Global, pairs(), NoEvictor));
    let values = |harness: &mut Harness<_>| {
        shown(harness).into_iter().map(|(_, _, values)| values).collect::<Vec<_>>()
    };
    harness.record(Timestamp::NONE, (0, 1));
    harness.clock(Timestamp(9));
    harness.record(Timestamp::NONE, (0, 2));
    assert_eq!(values(&mut harness), [[1, 2]]);
    harness.record(Timestamp::NONE, (0, 3));
    harness.clock(Timestamp(19));
    assert_eq!(values(&mut harness), [[0; 0]; 0]);
    harness.clock(Timestamp(20));
    assert_eq!(values(&mut harness), [[3]]);
    // The count began anew.
    harness.record(Timestamp::NONE, (0, 4));
    assert_eq!(values(&mut harness), [[0; 0]; 0]);
    harness.record(Timestamp::NONE, (0, 5));
    assert_eq!(values(&mut harness), [[4, 5]]);

    let restarting = Purging(Timeout::of(Count(9), Span(10)).restarting());
    let mut harness = at(0, windows(Global, restarting, NoEvictor));
    for (now, value) in [(0, 1), (9, 2), (18, 3)] {
        harness.clock(Timestamp(now));
        harness.record(Timestamp::NONE, (0, value));
    }
    harness.clock(Timestamp(28));
    assert!(values(&mut harness).is_empty());
    harness.clock(Timestamp(29));
    assert_eq!(values(&mut harness), [[1, 2, 3]]);
}

// SEMANTICS 50
#[test]
fn timers_of_the_wall_clock_are_part_of_the_snapshot() {
    let make = || windows(ByClock(session(10)), Timeout::of(ProcessingTime, Span(3)), NoEvictor);
    let mut harness = at(100, make());
    harness.record(Timestamp::NONE, (0, 1));
    harness.replace(make()).unwrap();
    // The wall clock of a snapshot is known before it is told anew.
    harness.record(Timestamp::NONE, (0, 2));
    harness.replace(make()).unwrap();
    harness.clock(Timestamp(104));
    assert_eq!(shown(&mut harness), [(100, 110, vec![1, 2])]);
    harness.replace(make()).unwrap();
    harness.clock(Timestamp(500));
    assert_eq!(shown(&mut harness), [(100, 110, vec![1, 2])]);
}

#[test]
fn what_makes_no_sense_by_the_wall_clock_is_refused() {
    let late = windows(ByClock(tumbling(5)), ProcessingTime, NoEvictor).allowed_lateness(Span(1));
    let error = Harness::new(late).err().unwrap().to_string();
    assert!(error.contains("nothing is late"), "{error}");
    for span in [0, -1] {
        let timeout = windows(Global, Timeout::of(Count(2), Span(span)), NoEvictor);
        assert!(Harness::new(timeout).is_err());
        let every = windows(Global, ContinuousProcessing(Span(span)), NoEvictor);
        assert!(Harness::new(every).is_err());
    }
}
