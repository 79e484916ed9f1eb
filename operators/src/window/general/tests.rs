//! The rules of windows one by one, with the numbers that SEMANTICS gives; models are in `models`.

mod aligned;
mod by_clock;
mod functions;
mod models;

use tailwater_core::{Control, Element, ErrorKind, Stamped, TimeUnits, stable_hash};

use super::*;
use crate::testing::{Harness, Order, check_each_restore, check_operator, check_rescaling};
use crate::window::{Fired, Sliding, Tumbling};
use crate::{Description, Operator};

/// Key, value.
type Event = (u8, i64);

/// Key, start, end, values: what a firing shows.
type Shown = (u8, i64, i64, Vec<i64>);

fn key_of(event: &Event) -> u8 {
    event.0
}

fn show(key: &u8, window: Window, events: &[Stamped<Event>]) -> [Shown; 1] {
    let mut values: Vec<_> = events.iter().map(|event| event.value.1).collect();
    values.sort_unstable();
    [(*key, window.start.0, window.end.0, values)]
}

type ShowAll = Listed<fn(&u8, Window, &[Stamped<Event>]) -> [Shown; 1], [Shown; 1]>;

type Windows<A, R, E> = GeneralWindows<u8, Event, fn(&Event) -> u8, A, R, E, ShowAll>;

fn windows<A, R, E>(assigner: A, trigger: R, evictor: E) -> Windows<A, R, E>
where
    R: Trigger<Event>,
    E: Evictor<Event>,
{
    let show: fn(&u8, Window, &[Stamped<Event>]) -> [Shown; 1] = show;
    GeneralWindows::new(key_of as fn(&Event) -> u8, assigner, trigger, evictor, Listed::new(show))
        .late_records(LateRecords::Emit)
}

fn e(value: i64, at: i64) -> Element<Event> {
    Element::Record(Stamped::new(Timestamp(at), (0, value)))
}

fn w(at: i64) -> Element<Event> {
    Element::Control(Control::Watermark(Timestamp(at)))
}

/// Runs a script of one key through the harness and shows its output: `[start,end) values @time`.
fn run<A, R, E>(windows: Windows<A, R, E>, script: &[Element<Event>]) -> Vec<String>
where
    A: Assigner<Event>,
    R: Trigger<Event>,
    E: Evictor<Event>,
{
    check_each_restore(|| windows.clone(), script, Order::Exact);
    check_rescaling(|| windows.clone(), |event| stable_hash(&key_of(event)), script);
    let output = check_operator(|| windows.clone(), script, Order::Exact);
    let lines = output.into_iter().filter_map(|element| match element {
        Element::Control(_) => None,
        Element::Record(Stamped { at, value: Fired::Late((_, value)) }) => {
            Some(format!("late {value} @{at}"))
        }
        Element::Record(Stamped { at, value: Fired::Result((_, start, end, values)) }) => {
            Some(format!("[{start},{end}) {values:?} @{at}"))
        }
    });
    lines.collect()
}

fn tumbling(size: i64) -> Tumbling {
    Tumbling::of(Span(size))
}

fn session(gap: i64) -> Session {
    Session::with_gap(Span(gap))
}

/// The values of each firing of a global window, in the order of the firings.
fn firings_of_numbers<R: Trigger<Event>, E: Evictor<Event>>(
    trigger: R,
    evictor: E,
    count: i64,
) -> Vec<String> {
    let script: Vec<_> = (1..=count).map(|n| e(n, i64::MIN)).collect();
    let lines = run(windows(Global, trigger, evictor), &script);
    let values = |line: String| line.split(") ").nth(1).map(|rest| rest.replace(" @MAX", ""));
    lines.into_iter().filter_map(values).collect()
}

// SEMANTICS 3, 9
#[test]
fn ends_are_exclusive_and_results_carry_the_last_instant() {
    let script = [e(1, 0), e(2, 59), e(3, 60), w(58), w(59), w(119)];
    let lines = run(windows(tumbling(60), EventTime, NoEvictor), &script);
    assert_eq!(lines, ["[0,60) [1, 2] @59", "[60,120) [3] @119"]);
}

// SEMANTICS 7
#[test]
fn a_record_without_time_fails_and_names_what_is_missing() {
    let mut harness = Harness::new(windows(tumbling(60), EventTime, NoEvictor)).unwrap();
    harness.record(Timestamp::NONE, (0, 1));
    let error = harness.error().unwrap();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains(".event_time(..)"), "{error}");
}

// SEMANTICS 2, 6
#[test]
fn what_makes_no_windows_is_refused() {
    fn refused<O: Operator>(windows: O) -> String {
        Harness::new(windows).err().expect("the operator must not open").to_string()
    }
    let offset = tumbling(60).offset(Span(60));
    assert!(refused(windows(offset, EventTime, NoEvictor)).contains("offset"));
    assert!(refused(windows(session(0), EventTime, NoEvictor)).contains("positive gap"));
    assert!(refused(windows(tumbling(1), Count(0), NoEvictor)).contains("at least one"));
    let never = Purging(Continuous(Span::ZERO));
    assert!(refused(windows(tumbling(1), never, NoEvictor)).contains("positive interval"));
    let delta = Delta::new(1, |a: &Event, b: &Event| b.1 - a.1);
    assert!(refused(windows(session(1), delta, NoEvictor)).contains("merge"));
    let early = windows(session(1), EventTime, NoEvictor).allowed_lateness(Span(-1));
    assert!(refused(early).contains("must not be negative"));
}

// SEMANTICS 6
#[test]
fn a_record_whose_gap_is_not_positive_fails_the_job() {
    let sessions = DynamicSession::new(|event: &Event| event.1.nanos());
    let mut harness = Harness::new(windows(sessions, EventTime, NoEvictor)).unwrap();
    harness.record(Timestamp(1), (0, 5));
    harness.record(Timestamp(2), (0, 0));
    let error = harness.error().unwrap().to_string();
    assert!(error.contains("the record at 2") && error.contains("positive gap"), "{error}");
}

// SEMANTICS 6
#[test]
fn sessions_that_touch_merge() {
    let sessions = || windows(session(30), EventTime, NoEvictor);
    assert_eq!(run(sessions(), &[e(1, 0), e(2, 30), w(99)]), ["[0,60) [1, 2] @59"]);
    let apart = run(sessions(), &[e(1, 0), e(2, 31), w(99)]);
    assert_eq!(apart, ["[0,30) [1] @29", "[31,61) [2] @60"]);
    // The end of a session is the greatest of its records', not that of the last one.
    let dynamic = DynamicSession::new(|event: &Event| event.1.nanos());
    let lines = run(windows(dynamic, EventTime, NoEvictor), &[e(50, 0), e(5, 10), w(99)]);
    assert_eq!(lines, ["[0,50) [5, 50] @49"]);
}

/// A record whose session equals one that has grown to the same bounds joins it.
#[test]
fn a_session_takes_in_a_record_with_its_very_bounds() {
    let dynamic = DynamicSession::new(|event: &Event| event.1.nanos());
    let script = [e(5, 0), e(7, 3), e(10, 0), w(99)];
    let lines = run(windows(dynamic, EventTime, NoEvictor), &script);
    assert_eq!(lines, ["[0,10) [5, 7, 10] @9"]);
}

// SEMANTICS 23, 24
#[test]
fn a_window_takes_records_until_its_lateness_is_over() {
    let late = || windows(tumbling(100), EventTime, NoEvictor).allowed_lateness(Span(50));
    let in_time = run(late(), &[e(1, 0), w(148), e(2, 5)]);
    assert_eq!(in_time, ["[0,100) [1] @99", "[0,100) [1, 2] @99"]);
    assert_eq!(run(late(), &[e(1, 0), w(149), e(2, 5)]), ["[0,100) [1] @99", "late 2 @5"]);
    let for_ever = windows(tumbling(100), EventTime, NoEvictor).allowed_lateness(Span::MAX);
    assert_eq!(run(for_ever, &[w(i64::MAX - 1), e(2, 5)]), ["[0,100) [2] @99"]);
}

// SEMANTICS 25, 26, 27, 29, 30
#[test]
fn late_records_fire_at_once_with_all_or_only_with_themselves() {
    let script = [e(5, 1), w(99), e(6, 2), e(7, 3)];
    let all = windows(tumbling(100), EventTime, NoEvictor).allowed_lateness(Span(50));
    assert_eq!(
        run(all, &script),
        ["[0,100) [5] @99", "[0,100) [5, 6] @99", "[0,100) [5, 6, 7] @99"]
    );
    let new = windows(tumbling(100), Purging(EventTime), NoEvictor).allowed_lateness(Span(50));
    assert_eq!(run(new, &script), ["[0,100) [5] @99", "[0,100) [6] @99", "[0,100) [7] @99"]);
    let brand_new = windows(tumbling(100), EventTime, NoEvictor).allowed_lateness(Span(50));
    assert_eq!(run(brand_new, &[w(120), e(6, 2)]), ["[0,100) [6] @99"]);
}

// SEMANTICS 5, 28
#[test]
fn only_records_late_for_all_their_windows_are_late() {
    let sliding = Sliding::of(Span(20)).every(Span(10));
    let lines = run(windows(sliding, EventTime, NoEvictor), &[w(19), e(1, 15), e(2, 9)]);
    // Late for [0,20), in time for [10,30): not in the late output.
    assert_eq!(lines, ["late 2 @9"]);
    let gaps = || windows(Sliding::of(Span(10)).every(Span(30)), EventTime, NoEvictor);
    assert_eq!(run(gaps(), &[e(1, 15), w(99)]), [""; 0]);
    assert_eq!(run(gaps(), &[w(15), e(1, 15)]), ["late 1 @15"]);
}

// SEMANTICS 28
#[test]
fn late_records_are_emitted_or_counted_never_both() {
    for (late_records, emitted, counted) in [(LateRecords::Emit, 1, 0), (LateRecords::Drop, 0, 1)] {
        let windows = windows(tumbling(10), EventTime, NoEvictor).late_records(late_records);
        let mut harness = Harness::new(windows).unwrap();
        harness.watermark(Timestamp(50));
        harness.record(Timestamp(5), (0, 1));
        assert_eq!(harness.take_results().len(), emitted);
        assert_eq!(harness.count("late_records_dropped"), counted);
    }
}

// SEMANTICS 31, 32
#[test]
fn counts() {
    let kept = run(windows(tumbling(9), Count(2), NoEvictor), &[e(1, 0), e(2, 1), e(3, 2), w(50)]);
    assert_eq!(kept, ["[0,9) [1, 2] @8"]);
    assert_eq!(firings_of_numbers(Count(2), NoEvictor, 4), ["[1, 2]", "[1, 2, 3, 4]"]);
    assert_eq!(firings_of_numbers(Purging(Count(2)), NoEvictor, 4), ["[1, 2]", "[3, 4]"]);
}

// SEMANTICS 33, 37
#[test]
fn sliding_counts_are_a_count_with_an_evictor() {
    let last_three = CountEvictor::new(3, Evict::Before);
    assert_eq!(firings_of_numbers(Count(2), last_three, 6), ["[1, 2]", "[2, 3, 4]", "[4, 5, 6]"]);
    let keep_one = CountEvictor::new(1, Evict::After);
    assert_eq!(firings_of_numbers(Count(2), keep_one, 4), ["[1, 2]", "[2, 3, 4]"]);
    let keep_none = CountEvictor::new(0, Evict::Before);
    assert_eq!(firings_of_numbers(Count(2), keep_none, 4), ["[]", "[]"]);
}

// SEMANTICS 38
#[test]
fn evictors_work_with_sessions() {
    let last_two = windows(session(30), EventTime, CountEvictor::new(2, Evict::Before));
    let script = [e(1, 0), e(2, 40), e(3, 20), w(100)];
    let fired = run(last_two, &script);
    assert_eq!(fired, ["[0,70) [2, 3] @69"]);
}

// SEMANTICS 34
#[test]
fn a_watermark_over_several_marks_fires_once_for_each() {
    let every = windows(tumbling(100), Continuous(Span(40)), NoEvictor);
    assert_eq!(run(every, &[e(1, 10), w(0), w(500)]), ["[0,100) [1] @99"; 3]);
}

// SEMANTICS 35
#[test]
fn deltas_are_taken_from_the_last_record_that_fired() {
    let delta = Delta::new(10, |reference: &Event, new: &Event| new.1 - reference.1);
    let values = [100, 110, 111, 121, 122];
    let script: Vec<_> = values.iter().map(|&value| e(value, 0)).collect();
    let lines = run(windows(Global, Purging(delta), NoEvictor), &script);
    let shown: Vec<_> = lines.iter().map(|line| line.split(") ").nth(1).unwrap()).collect();
    assert_eq!(shown, ["[100, 110, 111] @MAX", "[121, 122] @MAX"]);
}

// SEMANTICS 40
#[test]
fn merging_sessions_add_their_counts() {
    let counted = windows(session(10), Count(3), NoEvictor);
    let lines = run(counted, &[e(1, 0), e(2, 16), e(3, 8), w(99)]);
    assert_eq!(lines, ["[0,26) [1, 2, 3] @25"]);
}

// SEMANTICS 41
#[test]
fn a_record_after_cleanup_opens_a_session_that_overlaps() {
    let script = [e(1, 0), w(29), e(2, 10), w(39)];
    let lines = run(windows(session(30), EventTime, NoEvictor), &script);
    assert_eq!(lines, ["[0,30) [1] @29", "[10,40) [2] @39"]);
    let late = windows(session(30), EventTime, NoEvictor).allowed_lateness(Span(20));
    assert_eq!(run(late, &script), ["[0,30) [1] @29", "[0,40) [1, 2] @39"]);
}

// SEMANTICS 43
#[test]
fn global_windows_never_fire_or_at_the_end() {
    let script = [e(1, 5), w(i64::MAX - 1), e(2, 6), w(i64::MAX)];
    assert_eq!(run(windows(Global, Never, NoEvictor), &script), [""; 0]);
    let (min, max) = (i64::MIN, i64::MAX);
    let at_end = run(windows(Global, EndOfStream, NoEvictor), &script);
    assert_eq!(at_end, [format!("[{min},{max}) [1, 2] @MAX")]);
}

// SEMANTICS 20, 44
#[test]
fn firings_are_in_order_of_time_over_all_keys_and_before_the_watermark() {
    let mut harness = Harness::new(windows(session(10), EventTime, NoEvictor)).unwrap();
    for (key, at) in [(1, 30), (2, 10), (3, 20), (1, 0)] {
        harness.record(Timestamp(at), (key, at));
    }
    harness.watermark(Timestamp(100));
    let output = harness.take_output();
    let times: Vec<_> = output
        .iter()
        .map(|element| match element {
            Element::Record(record) => record.at.0,
            Element::Control(_) => -1,
        })
        .collect();
    assert_eq!(times, [9, 19, 29, 39, -1]);
}

/// Registers timers in timers, before and after the one at hand.
#[derive(Clone)]
struct Echo;

impl Trigger<Event> for Echo {
    type State = ();

    fn on_record(
        &mut self,
        _: Timestamp,
        event: &Event,
        (): &mut (),
        context: &mut TriggerContext<'_>,
    ) -> Verdict {
        context.register_timer(Timestamp(event.1));
        context.register_timer(Timestamp(event.1 + 1));
        context.delete_timer(Timestamp(event.1 + 1));
        context.delete_timer(Timestamp(event.1 + 2));
        Verdict::Continue
    }

    fn on_event_time(
        &mut self,
        time: Timestamp,
        (): &mut (),
        context: &mut TriggerContext<'_>,
    ) -> Verdict {
        if time.0 == 10 {
            context.register_timer(Timestamp(5));
            context.register_timer(Timestamp(20));
            context.register_timer(Timestamp(21));
            assert_eq!(context.watermark(), Timestamp(20));
        }
        Verdict::Fire
    }

    fn merge(&mut self, (): &mut (), (): ()) {}

    fn name(&self) -> String {
        "echo".to_owned()
    }
}

// SEMANTICS 22, 45, 46, 47
#[test]
fn timers_set_in_timers_fire_in_the_same_pass_where_they_are_due() {
    let lines = run(windows(tumbling(1000), Echo, NoEvictor), &[e(10, 0), w(20), w(999)]);
    // At 10, 5 and 20 by the first watermark; 21 and the cleanup by the second.
    assert_eq!(lines.len(), 5);
    // A timer that is already due waits for the next watermark.
    let waits = run(windows(tumbling(1000), Echo, NoEvictor), &[w(15), e(3, 0)]);
    assert_eq!(waits, [""; 0]);
    let fires = run(windows(tumbling(1000), Echo, NoEvictor), &[w(15), e(3, 0), w(16)]);
    assert_eq!(fires.len(), 1);
}

/// A trigger sets those that it still wants in `on_merged`; this one wants none.
#[test]
fn timers_of_merged_windows_are_gone() {
    let lines = run(windows(session(10), Echo, NoEvictor), &[e(5, 0), e(7, 3), w(99)]);
    // At 7 and at the cleanup, but not at 5.
    assert_eq!(lines, ["[0,13) [5, 7] @12"; 2]);
}

#[test]
fn explain_names_the_parts() {
    let mut lines = Vec::new();
    windows(session(30), Purging(Count(3)), CountEvictor::new(2, Evict::After))
        .allowed_lateness(Span(5))
        .describe(&mut lines);
    let detail = "session gap 30ns in general, purging count 3, last 2, list, allowed lateness 5ns";
    assert_eq!(lines, [Description::stateful("window", detail)]);
}
