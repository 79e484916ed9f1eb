//! Pane windows against a naive model: every record kept in every window of its own, as Flink's
//! rules say.
//!
//! Each random script runs five ways: record by record, in batches, with an output that refuses
//! every other time, with snapshot and restore after each element, and with all of that. The
//! results must agree with the model element by element.

use std::cell::Cell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use tailwater_core::{Control, Element, Error, ErrorKind, TimeUnits};

use super::*;
use crate::Window;
use crate::testing::{Order, carry_over, check_operator, check_rescaling};

/// Collects the values themselves, so that nothing can cancel out.
#[derive(Clone, Debug)]
struct Bag {
    subtracts: Subtracts,
}

#[derive(Clone, Copy, Debug)]
enum Subtracts {
    Always,
    Never,
    WhenSmall,
}

impl Aggregator<Trade> for Bag {
    type Accumulator = Vec<u32>;
    type Output = Vec<u32>;

    fn create(&self) -> Vec<u32> {
        Vec::new()
    }

    fn add(&self, bag: &mut Vec<u32>, trade: &Trade) {
        bag.push(trade.1);
    }

    fn merge(&self, bag: &mut Vec<u32>, other: &Vec<u32>) {
        bag.extend(other);
    }

    fn finish(&self, bag: &Vec<u32>) -> Vec<u32> {
        let mut sorted = bag.clone();
        sorted.sort_unstable();
        sorted
    }

    fn subtract(&self, bag: &mut Vec<u32>, other: &Vec<u32>) -> bool {
        match self.subtracts {
            Subtracts::Never => return false,
            Subtracts::WhenSmall if bag.len() > 4 => return false,
            _ => {}
        }
        for value in other {
            let index = bag.iter().position(|held| held == value).expect("was merged before");
            bag.swap_remove(index);
        }
        true
    }

    fn name(&self) -> String {
        "bag".to_owned()
    }
}

/// A key and a value.
type Trade = (String, u32);
type Event = (Timestamp, Fired<WindowResult<String, Vec<u32>>, Trade>);

#[derive(Default)]
struct Out {
    events: Vec<Event>,
    watermarks: Vec<Timestamp>,
    failure: Option<Error>,
    /// Answers "no" to every other question.
    grudging: bool,
    asked: Cell<u32>,
}

impl Collect<Fired<WindowResult<String, Vec<u32>>, Trade>> for Out {
    fn record(&mut self, at: Timestamp, value: Fired<WindowResult<String, Vec<u32>>, Trade>) {
        self.events.push((at, value));
    }

    fn watermark(&mut self, watermark: Timestamp) {
        self.watermarks.push(watermark);
    }

    fn has_room(&self) -> bool {
        self.asked.set(self.asked.get() + 1);
        !self.grudging || self.asked.get().is_multiple_of(2)
    }

    fn fail(&mut self, error: Error) {
        self.failure = Some(error);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Record(Timestamp, Trade),
    Watermark(Timestamp),
}

#[derive(Clone, Copy, Debug)]
struct Setup {
    windows: Sliding,
    lateness: Span,
    subtracts: Subtracts,
}

/// What a step gave: events in order of time and key, watermarks, records dropped so far.
type Given = (Vec<Event>, Vec<Timestamp>, u64);

fn in_order(mut events: Vec<Event>) -> Vec<Event> {
    events.sort_by_key(|(at, event)| match event {
        Fired::Result(result) => (*at, result.window.start, result.key.clone()),
        Fired::Late(late) => (*at, Timestamp::MIN, late.0.clone()),
    });
    events
}

/// Flink's rules, record by record and window by window.
fn model(setup: Setup, late_records: LateRecords, script: &[Step]) -> Vec<Given> {
    let mut held = BTreeMap::<(Timestamp, Window, String), Vec<u32>>::new();
    let mut watermark = Timestamp::MIN;
    let mut dropped = 0;
    let mut given = Vec::new();
    for step in script {
        let (mut events, mut watermarks) = (Vec::new(), Vec::new());
        let emit = |window: Window, key: &String, values: &Vec<u32>| {
            let mut value = values.clone();
            value.sort_unstable();
            (window.last(), Fired::Result(WindowResult { key: key.clone(), window, value }))
        };
        match step {
            Step::Record(at, trade) => {
                let mut skipped = true;
                for window in setup.windows.windows(*at) {
                    if window.cleanup(setup.lateness) <= watermark {
                        continue;
                    }
                    skipped = false;
                    let values = held.entry((window.last(), window, trade.0.clone())).or_default();
                    values.push(trade.1);
                    if window.last() <= watermark {
                        events.push(emit(window, &trade.0, values));
                    }
                }
                if skipped && *at + setup.lateness <= watermark {
                    match late_records {
                        LateRecords::Drop => dropped += 1,
                        LateRecords::Emit => events.push((*at, Fired::Late(trade.clone()))),
                    }
                }
            }
            Step::Watermark(risen) if *risen > watermark => {
                for ((last, window, key), values) in &held {
                    if watermark < *last && last <= risen {
                        events.push(emit(*window, key, values));
                    }
                }
                watermark = *risen;
                watermarks.push(watermark);
                held.retain(|(_, window, _), _| window.cleanup(setup.lateness) > watermark);
            }
            Step::Watermark(_) => {}
        }
        given.push((in_order(events), watermarks, dropped));
    }
    given
}

#[derive(Clone, Copy, Debug)]
struct Harness {
    grudging: bool,
    restored: bool,
    batched: bool,
}

fn key_of(trade: &Trade) -> String {
    trade.0.clone()
}

fn run(setup: Setup, late: LateRecords, script: &[Step], harness: Harness) -> Vec<Given> {
    let prototype = PaneWindows::new(key_of, setup.windows, Bag { subtracts: setup.subtracts })
        .unwrap()
        .allowed_lateness(setup.lateness)
        .late_records(late);
    let context = OperatorContext::single_core();
    let mut operator = prototype.clone();
    operator.open(&context).unwrap();
    let mut given = Vec::new();
    let mut last = None;
    for step in script {
        let mut out = Out { grudging: harness.grudging, ..Out::default() };
        match step.clone() {
            Step::Record(at, trade) if harness.batched => {
                operator.on_batch(&mut vec![Stamped::new(at, trade)], &mut out);
            }
            Step::Record(at, trade) => operator.on_record(at, trade, &mut out),
            Step::Watermark(watermark) => operator.on_watermark(watermark, &mut out),
        }
        while operator.is_pending() {
            assert!(out.watermarks.is_empty(), "the watermark overtook results");
            operator.resume(&mut out);
        }
        assert!(out.failure.is_none());
        if matches!(step, Step::Watermark(_)) {
            assert!(out.events.is_sorted_by_key(|(at, _)| *at), "{:?}", out.events);
        }
        let dropped = context.counters.get("late_records_dropped");
        // A restored operator says once more how far it is.
        out.watermarks.retain(|watermark| last.replace(*watermark) != Some(*watermark));
        given.push((in_order(out.events), out.watermarks, dropped));
        if harness.restored {
            let mut fresh = prototype.clone();
            fresh.open(&context).unwrap();
            carry_over(&mut operator, &mut fresh).unwrap();
            operator = fresh;
        }
    }
    given
}

fn setups() -> impl Strategy<Value = Setup> {
    let spans = prop_oneof![
        2 => (1i64..60).prop_map(|size| (size, size)),
        2 => (1i64..20, 1i64..6).prop_map(|(slide, times)| (slide * times, slide)),
        3 => (1i64..80, 5i64..40),
    ];
    let lateness = prop_oneof![2 => Just(0), 3 => 1i64..120, 1 => Just(i64::MAX)];
    let subtracts =
        prop_oneof![Just(Subtracts::Always), Just(Subtracts::Never), Just(Subtracts::WhenSmall)];
    (spans, -60i64..60, lateness, subtracts).prop_map(
        |((size, slide), shift, lateness, subtracts)| Setup {
            windows: Sliding::of(Span(size)).every(Span(slide)).offset(Span(shift % slide)),
            lateness: Span(lateness),
            subtracts,
        },
    )
}

/// Records around a moving present, watermarks that follow it, now and then a long silence.
fn scripts() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (-90i64..60, 0u32..4).prop_map(|(around, key)| (0, around, Some(key))),
        3 => (0i64..40, -60i64..10).prop_map(|(pass, around)| (pass, around, None)),
    ];
    let pause = prop_oneof![
        30 => step,
        1 => (1_000_000_000_000i64..2_000_000_000_000).prop_map(|pass| (pass, 0, None)),
    ];
    (-300i64..100, proptest::collection::vec(pause, 1..80)).prop_map(|(start, steps)| {
        let mut present = start;
        let mut script: Vec<Step> = Vec::new();
        for (index, (pass, around, key)) in steps.into_iter().enumerate() {
            present += pass;
            let at = Timestamp(present + around);
            script.push(match key {
                Some(key) => Step::Record(at, (format!("key {key}"), index as u32)),
                None => Step::Watermark(at),
            });
        }
        script.push(Step::Watermark(Timestamp::MAX));
        script
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_model(setup in setups(), script in scripts(), emit in any::<bool>()) {
        let late = if emit { LateRecords::Emit } else { LateRecords::Drop };
        let expected = model(setup, late, &script);
        for (grudging, restored, batched) in [
            (false, false, false),
            (false, false, true),
            (true, false, true),
            (false, true, false),
            (true, true, true),
        ] {
            let harness = Harness { grudging, restored, batched };
            let given = run(setup, late, &script, harness);
            for (index, (given, expected)) in given.iter().zip(&expected).enumerate() {
                prop_assert_eq!(given, expected, "{:?}, step {}", harness, index);
            }
        }
    }

    /// The whole harness, with failures while a checkpoint is drained and on other cores.
    #[test]
    fn failures_and_other_cores_change_nothing(setup in setups(), script in scripts()) {
        let make = || {
            let bag = Bag { subtracts: setup.subtracts };
            let windows = PaneWindows::new(key_of, setup.windows, bag).unwrap();
            windows.allowed_lateness(setup.lateness).late_records(LateRecords::Emit)
        };
        let elements: Vec<_> = script.iter().map(|step| match step.clone() {
            Step::Record(at, trade) => Element::Record(Stamped::new(at, trade)),
            Step::Watermark(at) => Element::Control(Control::Watermark(at)),
        }).collect();
        check_operator(make, &elements, Order::AnyBetweenControls);
        check_rescaling(make, |trade| stable_hash(&trade.0), &elements);
    }

    #[test]
    fn batches_of_any_length_are_the_same_as_records(
        setup in setups(),
        script in scripts(),
        times in 1usize..200,
    ) {
        let results = |batched: bool| {
            let bag = Bag { subtracts: setup.subtracts };
            let mut operator = PaneWindows::new(key_of, setup.windows, bag)
                .unwrap()
                .allowed_lateness(setup.lateness);
            let mut out = Out::default();
            let mut batch = Vec::new();
            for step in &script {
                match step.clone() {
                    Step::Record(at, trade) => {
                        batch.extend((0..times).map(|_| Stamped::new(at, trade.clone())));
                    }
                    Step::Watermark(watermark) => {
                        if batched {
                            operator.on_batch(&mut batch, &mut out);
                        }
                        for Stamped { at, value } in batch.drain(..) {
                            operator.on_record(at, value, &mut out);
                        }
                        operator.on_watermark(watermark, &mut out);
                    }
                }
            }
            in_order(out.events)
        };
        // Late records fire once each: with many of them the comparison would be quadratic.
        if script.len() * times < 2_000 {
            prop_assert_eq!(results(true), results(false));
        }
    }
}

fn tumbling(size: i64) -> Setup {
    Setup { windows: Sliding::of(Span(size)), lateness: Span::ZERO, subtracts: Subtracts::Always }
}

// SEMANTICS 7
#[test]
fn a_record_without_event_time_is_a_failure_that_names_the_remedy() {
    let windows = tumbling(10).windows;
    let mut operator =
        PaneWindows::new(key_of, windows, Bag { subtracts: Subtracts::Never }).unwrap();
    let mut out = Out::default();
    operator.on_record(Timestamp::NONE, ("a".to_owned(), 1), &mut out);
    let failure = out.failure.take().unwrap();
    assert_eq!(failure.kind(), ErrorKind::Configuration);
    assert!(failure.to_string().contains(".event_time(..)"), "{failure}");
    operator.on_batch(&mut vec![Stamped::new(Timestamp::NONE, ("a".to_owned(), 1))], &mut out);
    assert!(out.failure.is_some() && out.events.is_empty());
}

// SEMANTICS 23, 25
#[test]
fn a_late_record_within_the_lateness_fires_everything_again() {
    let setup = Setup { lateness: Span(50), ..tumbling(100) };
    let record = |value| Step::Record(Timestamp(7), ("a".to_owned(), value));
    let watermark = |at| Step::Watermark(Timestamp(at));
    let script =
        [record(5), watermark(99), record(6), watermark(148), record(7), watermark(149), record(8)];
    let harness = Harness { grudging: false, restored: false, batched: false };
    let given = run(setup, LateRecords::Emit, &script, harness);
    let results: Vec<_> = given.iter().flat_map(|(events, ..)| events).collect();
    let values = |event: &Event| match &event.1 {
        Fired::Result(result) => result.value.clone(),
        Fired::Late(late) => vec![late.1],
    };
    let values: Vec<_> = results.into_iter().map(values).collect();
    assert_eq!(values, [vec![5], vec![5, 6], vec![5, 6, 7], vec![8]]);
}

// SEMANTICS 24
#[test]
fn the_ends_of_time_neither_wrap_nor_lose_records() {
    let setup = Setup { lateness: Span::MAX, ..tumbling(1_000) };
    let script = [
        Step::Record(Timestamp(i64::MIN + 1), ("a".to_owned(), 1)),
        Step::Record(Timestamp::MAX, ("a".to_owned(), 2)),
        Step::Watermark(Timestamp(0)),
        Step::Record(Timestamp(i64::MIN + 5), ("a".to_owned(), 3)),
        Step::Watermark(Timestamp(i64::MAX - 1)),
        Step::Watermark(Timestamp::MAX),
    ];
    let harness = Harness { grudging: true, restored: true, batched: true };
    let given = run(setup, LateRecords::Drop, &script, harness);
    let counts: Vec<usize> = given.iter().map(|(events, ..)| events.len()).collect();
    assert_eq!(counts, [0, 0, 1, 1, 1, 0]);
    assert_eq!(given.last().unwrap().2, 0);
}

#[test]
fn a_snapshot_of_other_windows_is_refused() {
    let operator = |size| {
        PaneWindows::new(key_of, tumbling(size).windows, Bag { subtracts: Subtracts::Never })
    };
    let error = carry_over(&mut operator(10).unwrap(), &mut operator(20).unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
}

#[test]
fn descriptions_say_what_is_computed() {
    let windows = Sliding::of(1.secs()).every(100.millis());
    let operator = PaneWindows::new(key_of, windows, Bag { subtracts: Subtracts::Never }).unwrap();
    let mut lines = Vec::new();
    operator.describe(&mut lines);
    assert_eq!(
        lines,
        [Description::stateful("window", "sliding 1s every 100ms in panes, bag, lateness 0s")]
    );
}

#[test]
fn a_panic_of_the_key_function_blames_the_window() {
    let key = |_: &Trade| -> String { panic!("no key") };
    let bag = Bag { subtracts: Subtracts::Never };
    let mut operator = PaneWindows::new(key, tumbling(10).windows, bag).unwrap().named("bars");
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        operator.on_record(Timestamp(3), ("a".to_owned(), 1), &mut Out::default());
    }));
    assert!(outcome.is_err());
    assert_eq!(crate::blame::take(), Some(("bars".to_owned(), Timestamp(3))));
}
