//! Windows in two halves against windows in one: the same records on one to three cores, each with
//! its own watermarks and barriers, exchanged at once or in any order, give the same results and
//! the same late records.

use std::collections::VecDeque;

use proptest::prelude::*;
use tailwater_core::{Barrier, Control, Element, ErrorKind, Span, TimeUnits};

use super::*;
use crate::Then;
use crate::testing::{Harness, Order, Room, check_operator, check_rescaling};
use crate::window::{Fired, PaneWindows, Window, WindowResult};

/// A key and a value.
type Trade = (String, u32);
type Bagged = Partial<String, Vec<u32>>;

/// Collects the values themselves, so that nothing can cancel out.
#[derive(Clone, Debug)]
struct Bag;

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

    fn name(&self) -> String {
        "bag".to_owned()
    }
}

fn key_of(trade: &Trade) -> String {
    trade.0.clone()
}

fn local(
    windows: Sliding,
    judged_records_min: u64,
) -> LocalPanes<String, Trade, fn(&Trade) -> String, Bag> {
    let mut local = LocalPanes::new(key_of as fn(&Trade) -> String, windows, Bag).unwrap();
    local.judged_records_min = judged_records_min;
    local
}

#[derive(Clone, Debug)]
enum Step {
    Record(Timestamp, Trade),
    Watermark(Timestamp),
    /// Of this core alone: its half gives away what it holds, and then perhaps fails.
    Barrier,
}

#[derive(Clone, Copy, Debug)]
struct Setup {
    windows: Sliding,
    lateness: Span,
    judged_records_min: u64,
}

/// Everything that was fired, in order of window and key, and the late records dropped, of a step.
type Given = (Vec<(Window, String, Vec<u32>)>, u64);

fn sorted<T>(fired: Vec<Fired<WindowResult<String, Vec<u32>>, T>>) -> Given {
    let results = fired.into_iter().map(|fired| match fired {
        Fired::Result(result) => (result.window, result.key, result.value),
        Fired::Late(_) => panic!("late records are dropped"),
    });
    let mut results: Vec<_> = results.collect();
    results.sort();
    (results, 0)
}

fn least(watermarks: &[Timestamp]) -> Timestamp {
    watermarks.iter().copied().min().unwrap()
}

/// One operator that is given every record as it comes.
fn directly(setup: Setup, cores: usize, script: &[(usize, Step)]) -> Vec<Given> {
    let windows = PaneWindows::new(key_of, setup.windows, Bag).unwrap();
    let mut harness = Harness::new(windows.allowed_lateness(setup.lateness)).unwrap();
    let mut watermarks = vec![Timestamp::MIN; cores];
    let mut given = Vec::new();
    for (core, step) in script {
        match step {
            Step::Record(at, trade) => harness.record(*at, trade.clone()),
            Step::Watermark(at) => {
                watermarks[*core] = watermarks[*core].max(*at);
                harness.watermark(least(&watermarks));
            }
            Step::Barrier => {}
        }
        let late = harness.count("late_records_dropped");
        given.push((sorted(harness.take_results()).0, late));
    }
    given
}

/// A channel from a core to the owner of all keys: what is on its way, and whether a flush sent it.
type Channel = VecDeque<(Element<Bagged>, bool)>;

/// A local operator on each core and one owner, which takes an element of a channel that `choices`
/// names after each step, or all at once when there are none.
fn in_halves(
    setup: Setup,
    cores: usize,
    script: &[(usize, Step)],
    choices: Option<&[usize]>,
) -> Vec<Given> {
    let key = |partial: &Bagged| partial.key.clone();
    let windows = PaneWindows::new(key, setup.windows, Merging::new(Bag)).unwrap();
    let mut owner = Harness::new(windows.allowed_lateness(setup.lateness)).unwrap();
    let new = || Harness::new(local(setup.windows, setup.judged_records_min)).unwrap();
    let mut locals: Vec<_> = (0..cores).map(|_| new()).collect();
    let mut channels = vec![Channel::new(); cores];
    let mut watermarks = vec![Timestamp::MIN; cores];
    let mut given = Vec::new();
    let mut take = |channel: usize, channels: &mut Vec<Channel>| {
        let Some((element, flushed)) = channels[channel].pop_front() else { return };
        let late_before = owner.count("late_records_dropped");
        match element {
            Element::Record(Stamped { at, value }) => owner.record(at, value),
            Element::Control(Control::Watermark(at)) => {
                watermarks[channel] = watermarks[channel].max(at);
                owner.watermark(least(&watermarks));
            }
            Element::Control(control) => panic!("{control:?} came out of a window"),
        }
        let late = owner.count("late_records_dropped");
        assert!(!flushed || late == late_before, "what was held back is never late");
        given.push((sorted(owner.take_results()).0, late));
    };
    let mut steps = Vec::new();
    for (index, (core, step)) in script.iter().enumerate() {
        let flushed = !matches!(step, Step::Record(..));
        match step.clone() {
            Step::Record(at, trade) if index % 2 == 0 => {
                locals[*core].batch([Stamped::new(at, trade)]);
            }
            Step::Record(at, trade) => locals[*core].record(at, trade),
            Step::Watermark(at) => locals[*core].watermark(at),
            Step::Barrier if index % 2 == 0 => {
                let fresh = local(setup.windows, setup.judged_records_min);
                locals[*core].replace(fresh).unwrap();
            }
            Step::Barrier => drop(locals[*core].snapshot().unwrap().newest_bytes()),
        }
        let output = locals[*core].take_output();
        channels[*core].extend(output.into_iter().map(|element| (element, flushed)));
        match choices {
            Some(choices) => take(choices[index % choices.len()] % cores, &mut channels),
            None => {
                let waiting = channels[*core].len();
                (0..waiting).for_each(|_| take(*core, &mut channels));
                steps.push(waiting);
            }
        }
    }
    for core in 0..cores {
        for _ in 0..channels[core].len() {
            take(core, &mut channels);
        }
    }
    if choices.is_some() {
        return given;
    }
    // One entry for each step, whatever crossed over in it.
    let mut crossed = given.into_iter();
    let mut late = 0;
    let joined = steps.into_iter().map(|count| {
        let mut results = Vec::new();
        for (more, total) in crossed.by_ref().take(count) {
            results.extend(more);
            late = total;
        }
        results.sort();
        (results, late)
    });
    joined.collect()
}

/// All results of a run, and how many records were late.
fn totals(given: Vec<Given>) -> Given {
    let late = given.last().map_or(0, |(_, late)| *late);
    let mut results: Vec<_> = given.into_iter().flat_map(|(results, _)| results).collect();
    results.sort();
    (results, late)
}

fn setups() -> impl Strategy<Value = Setup> {
    let spans = prop_oneof![
        2 => (1i64..60).prop_map(|size| (size, size)),
        2 => (1i64..20, 1i64..6).prop_map(|(slide, times)| (slide * times, slide)),
        3 => (1i64..80, 5i64..40),
    ];
    let lateness = prop_oneof![2 => Just(0), 3 => 1i64..120, 1 => Just(i64::MAX)];
    let judged_records_min = prop_oneof![Just(JUDGED_RECORDS_MIN), 1u64..8];
    (spans, -60i64..60, lateness, judged_records_min).prop_map(
        |((size, slide), shift, lateness, judged_records_min)| Setup {
            windows: Sliding::of(Span(size)).every(Span(slide)).offset(Span(shift % slide)),
            lateness: Span(lateness),
            judged_records_min,
        },
    )
}

/// Records around a moving present and watermarks that follow it, on each core. In time, when no
/// record may be behind the watermark of its core.
fn scripts(in_time: bool) -> impl Strategy<Value = (usize, Vec<(usize, Step)>)> {
    let step = prop_oneof![
        6 => (0i64..4, -90i64..60, 0u32..4).prop_map(|(pass, around, key)| {
            (pass, around, Some(Some(key)))
        }),
        3 => (0i64..40, -60i64..10).prop_map(|(pass, around)| (pass, around, Some(None))),
        1 => Just((5_000, 0, Some(None))),
        2 => Just((0, 0, None)),
    ];
    let steps = proptest::collection::vec((0usize..3, step), 1..120);
    (1usize..=3, -300i64..100, steps).prop_map(move |(cores, start, steps)| {
        let mut present = start;
        let mut watermarks = vec![Timestamp(i64::MIN + 1); cores];
        let mut script = Vec::new();
        for (index, (core, (pass, around, key))) in steps.into_iter().enumerate() {
            let core = core % cores;
            present += pass;
            let mut at = Timestamp(present + around);
            let Some(key) = key else {
                script.push((core, Step::Barrier));
                continue;
            };
            if let Some(key) = key {
                if in_time && at <= watermarks[core] {
                    at = Timestamp(watermarks[core].0 + 1 + around.rem_euclid(50));
                }
                script.push((core, Step::Record(at, (format!("key {key}"), index as u32))));
            } else {
                watermarks[core] = watermarks[core].max(at);
                script.push((core, Step::Watermark(at)));
            }
        }
        script.extend((0..cores).map(|core| (core, Step::Watermark(Timestamp::MAX))));
        (cores, script)
    })
}

fn elements(script: &[(usize, Step)]) -> Vec<Element<Trade>> {
    let element = |(_, step): &(usize, Step)| match step.clone() {
        Step::Record(at, trade) => Element::Record(Stamped::new(at, trade)),
        Step::Watermark(at) => Element::Control(Control::Watermark(at)),
        Step::Barrier => Element::Control(Control::Barrier(Barrier { checkpoint: 1 })),
    };
    script.iter().map(element).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_or_late_whatever_the_order_of_the_exchange(
        setup in setups(),
        (cores, script) in scripts(true),
        choices in proptest::collection::vec(0usize..3, 1..60),
    ) {
        let expected = totals(directly(setup, cores, &script));
        prop_assert_eq!(expected.1, 0);
        prop_assert_eq!(&totals(in_halves(setup, cores, &script, Some(&choices))), &expected);
    }

    #[test]
    fn late_records_fire_and_are_dropped_as_without_the_exchange(
        setup in setups(),
        (cores, script) in scripts(false),
    ) {
        let expected = directly(setup, cores, &script);
        let given = in_halves(setup, cores, &script, None);
        for (index, (given, expected)) in given.iter().zip(&expected).enumerate() {
            prop_assert_eq!(given, expected, "step {}: {:?}", index, script[index]);
        }
        prop_assert_eq!(given.len(), expected.len());
    }

    #[test]
    fn restores_refusals_batches_and_other_cores_change_nothing(
        setup in setups(),
        (_, script) in scripts(false),
    ) {
        let script: Vec<_> = script.into_iter().map(|(_, step)| (0, step)).collect();
        let expected = totals(directly(setup, 1, &script));
        let elements = elements(&script);
        for output in [
            check_operator(|| both_halves(setup), &elements, Order::AnyBetweenControls),
            check_rescaling(|| both_halves(setup), |trade| stable_hash(&trade.0), &elements),
        ] {
            let fired = output.into_iter().filter_map(|element| match element {
                Element::Record(record) => Some(record.value),
                Element::Control(_) => None,
            });
            prop_assert_eq!(&sorted(fired.collect()).0, &expected.0);
        }
    }
}

/// Both halves on one core.
fn both_halves(
    setup: Setup,
) -> impl Operator<In = Trade, Out = Fired<WindowResult<String, Vec<u32>>, Bagged>> {
    let key = |partial: &Bagged| partial.key.clone();
    let windows = PaneWindows::new(key, setup.windows, Merging::new(Bag)).unwrap();
    let windows = windows.allowed_lateness(setup.lateness);
    Then::new(local(setup.windows, setup.judged_records_min), windows)
}

fn trade(key: u32, value: u32) -> Trade {
    (format!("key {key}"), value)
}

#[test]
fn panes_are_flushed_in_order_when_the_watermark_has_passed_them() {
    let mut harness = Harness::new(local(Sliding::of(Span(10)), JUDGED_RECORDS_MIN)).unwrap();
    for (at, key) in [(12, 1), (3, 1), (4, 1), (25, 2)] {
        harness.record(Timestamp(at), trade(key, at as u32));
    }
    harness.watermark(Timestamp(18));
    let partial = |key: u32, values: &[u32]| Partial {
        key: format!("key {key}"),
        accumulator: values.to_vec(),
    };
    let record = |at, partial| Element::Record(Stamped::new(Timestamp(at), partial));
    let watermark = |at| Element::Control(Control::Watermark(Timestamp(at)));
    assert_eq!(harness.take_output(), [record(9, partial(1, &[3, 4])), watermark(18)]);
    // Behind the watermark, but its pane is still held; then one whose pane is gone.
    harness.record(Timestamp(13), trade(1, 13));
    harness.record(Timestamp(5), trade(1, 5));
    assert_eq!(harness.take_output(), [record(5, partial(1, &[5]))]);
    harness.watermark(Timestamp(19));
    assert_eq!(harness.take_output(), [record(19, partial(1, &[12, 13])), watermark(19)]);
}

#[test]
fn keys_that_do_not_repeat_pass_for_some_panes_and_are_tried_again() {
    let mut harness = Harness::new(local(Sliding::of(Span(10)), 4)).unwrap();
    let pane = |harness: &mut Harness<_>, pane: i64| {
        harness.batch(
            (0..4).map(|key| Stamped::new(Timestamp(pane * 10 + i64::from(key)), trade(key, 0))),
        );
        let at_once = harness.take_output().len();
        harness.watermark(Timestamp(pane * 10 + 9));
        harness.take_output();
        at_once
    };
    let given: Vec<usize> = (0..PASSED_PANES + 3).map(|at| pane(&mut harness, at)).collect();
    let mut expected = vec![4; PASSED_PANES as usize + 3];
    // The first pane is held, and so is the one that is tried again; after it panes pass again.
    expected[0] = 0;
    expected[PASSED_PANES as usize + 1] = 0;
    assert_eq!(given, expected);
}

/// A barrier gives away all that is held, and stores nothing but the watermark.
#[test]
fn nothing_is_held_over_a_barrier() {
    let setup = |room| Harness::with_room(local(Sliding::of(Span(10)), 1_000), room).unwrap();
    for room in [Room::Always, Room::EveryOther] {
        let mut harness = setup(room);
        harness.watermark(Timestamp(4));
        for (at, key) in [(12, 1), (5, 1), (13, 1), (25, 2)] {
            harness.record(Timestamp(at), trade(key, at as u32));
        }
        harness.take_output();
        let bytes = harness.snapshot().unwrap().newest_bytes();
        let times: Vec<_> = harness
            .take_output()
            .into_iter()
            .map(|element| match element {
                Element::Record(Stamped { at, value }) => (at.0, value.accumulator),
                Element::Control(control) => panic!("{control:?} for a barrier"),
            })
            .collect();
        assert_eq!(times, [(9, vec![5]), (19, vec![12, 13]), (29, vec![25])]);
        assert_eq!(bytes, size_of::<Timestamp>());
        // The pane is held again, and late records are still told from others.
        harness.record(Timestamp(14), trade(1, 14));
        assert_eq!(harness.take_output(), []);
        harness.replace(local(Sliding::of(Span(10)), 1_000)).unwrap();
        assert_eq!(harness.take_results().len(), 1);
        harness.watermark(Timestamp(4));
        let said = Element::Control(Control::Watermark(Timestamp(4)));
        assert_eq!(harness.take_output(), [said], "the next task may not know the watermark");
        harness.watermark(Timestamp(4));
        assert_eq!(harness.take_output(), []);
    }
}

// SEMANTICS 7
#[test]
fn a_record_without_event_time_is_a_failure_that_names_the_remedy() {
    let mut harness = Harness::new(local(Sliding::of(Span(10)), 1)).unwrap();
    harness.record(Timestamp::NONE, trade(1, 1));
    let failure = harness.error().unwrap();
    assert_eq!(failure.kind(), ErrorKind::Configuration);
    assert!(failure.to_string().contains(".event_time(..)"), "{failure}");
}

#[test]
fn descriptions_say_what_is_summed_up() {
    let mut lines = Vec::new();
    local(Sliding::of(1.secs()).every(100.millis()), 1).describe(&mut lines);
    assert_eq!(
        lines,
        [Description::stateful("local window", "sliding 1s every 100ms in panes, bag")]
    );
}

#[test]
fn a_panic_of_the_key_function_blames_the_local_window() {
    let key = |_: &Trade| -> String { panic!("no key") };
    let operator = LocalPanes::new(key, Sliding::of(Span(10)), Bag).unwrap();
    let mut harness = Harness::new(operator).unwrap();
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        harness.record(Timestamp(3), trade(1, 1));
    }));
    assert!(outcome.is_err());
    assert_eq!(crate::blame::take(), Some(("local window".to_owned(), Timestamp(3))));
}
