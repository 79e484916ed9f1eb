//! The interval join against a model that looks at all pairs.

use proptest::prelude::*;
use tailwater_core::{Control, Element};

use super::*;
use crate::testing::{Harness, Order, check_operator, check_rescaling};

type Left = (u8, u32);
type Right = (u8, u32);
type In = Element<Either<Left, Right>>;

fn join(interval: Interval) -> IntervalJoin<u8, Left, Right, fn(&Left) -> u8, fn(&Right) -> u8> {
    let key_of: fn(&(u8, u32)) -> u8 = |record| record.0;
    IntervalJoin::new(key_of, key_of, interval).late_records(LateRecords::Emit)
}

fn left(at: i64, id: u32) -> In {
    Element::Record(Stamped::new(Timestamp(at), Either::First((0, id))))
}

fn right(at: i64, id: u32) -> In {
    Element::Record(Stamped::new(Timestamp(at), Either::Second((0, id))))
}

fn watermark(at: i64) -> In {
    Element::Control(Control::Watermark(Timestamp(at)))
}

/// What comes out of it as text: ids of pairs with their time, and of late records.
fn shown(at: Timestamp, value: &IntervalJoined<Left, Right>) -> String {
    match value {
        IntervalJoined::Pair(Joined { left, right }) => format!("{}+{}@{at:?}", left.1, right.1),
        IntervalJoined::LateLeft(left) => format!("late left {}", left.1),
        IntervalJoined::LateRight(right) => format!("late right {}", right.1),
    }
}

fn results(interval: Interval, script: impl IntoIterator<Item = In>) -> Vec<String> {
    let mut harness = Harness::new(join(interval)).unwrap();
    script.into_iter().for_each(|element| harness.element(element));
    let output = harness.take_output().into_iter();
    output
        .filter_map(|element| match element {
            Element::Record(Stamped { at, value }) => Some(shown(at, &value)),
            Element::Control(_) => None,
        })
        .collect()
}

fn pair(left: u32, right: u32, at: i64) -> String {
    format!("{left}+{right}@{:?}", Timestamp(at))
}

// SEMANTICS 67
#[test]
fn both_ends_belong_to_it_unless_told_otherwise() {
    let interval = Interval::between(Span(-2), Span(3));
    let script = || [right(8, 1), right(7, 2), right(13, 3), right(14, 4), left(10, 9)];
    assert_eq!(results(interval, script()), [pair(9, 1, 10), pair(9, 3, 13)]);
    assert_eq!(results(interval.lower_exclusive(), script()), [pair(9, 3, 13)]);
    assert_eq!(results(interval.upper_exclusive(), script()), [pair(9, 1, 10)]);
}

// SEMANTICS 68
#[test]
fn a_record_at_the_watermark_is_not_late() {
    let script = [right(10, 1), watermark(10), left(10, 2), left(9, 3), right(9, 4)];
    let interval = Interval::between(Span(0), Span(5));
    // SEMANTICS 69: the right record had ended at that watermark.
    assert_eq!(results(interval, script), ["late left 3", "late right 4"]);
    let script = [right(11, 1), watermark(10), left(10, 2)];
    assert_eq!(results(interval, script), [pair(2, 1, 11)]);
}

// SEMANTICS 69
#[test]
fn what_nobody_can_be_joined_with_is_forgotten() {
    let mut harness = Harness::new(join(Interval::between(Span(-5), Span(3)))).unwrap();
    harness.element(left(10, 1));
    harness.element(right(10, 2));
    let kept = |harness: &Harness<_>| {
        let operator: &IntervalJoin<u8, Left, Right, fn(&Left) -> u8, fn(&Right) -> u8> =
            harness.operator();
        operator.sides.iter().map(|(_, _, s)| (s.lefts.len(), s.rights.len())).next()
    };
    harness.watermark(Timestamp(12));
    assert_eq!(kept(&harness), Some((1, 1)));
    harness.watermark(Timestamp(13));
    assert_eq!(kept(&harness), Some((0, 1)));
    harness.watermark(Timestamp(14));
    assert_eq!(kept(&harness), Some((0, 1)));
    harness.watermark(Timestamp(15));
    assert_eq!(kept(&harness), None);
}

#[test]
fn late_records_are_counted_where_nobody_asks_for_them() {
    let operator = join(Interval::between(Span(0), Span(1))).late_records(LateRecords::Drop);
    let mut harness = Harness::new(operator).unwrap();
    harness.watermark(Timestamp(5));
    harness.element(left(4, 1));
    assert!(harness.take_results().is_empty());
    assert_eq!(harness.count("interval_join.late_records_dropped"), 1);
}

#[test]
fn an_interval_that_ends_before_it_begins_is_refused() {
    let error = Harness::new(join(Interval::between(Span(2), Span(1)))).err().unwrap();
    assert!(error.to_string().contains("joins nothing"), "{error}");
}

fn intervals() -> impl Strategy<Value = Interval> {
    (-12i64..12, 0i64..15)
        .prop_map(|(lower, len)| Interval::between(Span(lower), Span(lower + len)))
}

/// Some of the records are late.
fn scripts() -> impl Strategy<Value = Vec<In>> {
    let record = (any::<bool>(), 0u8..3, 0i64..16);
    proptest::collection::vec((record, any::<bool>()), 0..60).prop_map(|steps| {
        let mut script = Vec::new();
        let mut highest = i64::MIN;
        for (step, ((is_left, key, ahead), advances)) in steps.into_iter().enumerate() {
            let (base, id) = (step as i64 * 3, step as u32);
            let value = if is_left { Either::First((key, id)) } else { Either::Second((key, id)) };
            script.push(Element::Record(Stamped::new(Timestamp(base + ahead), value)));
            if advances && base + 6 > highest {
                highest = base + 6;
                script.push(watermark(highest));
            }
        }
        script.push(watermark(i64::MAX));
        script
    })
}

/// What comes of a script, looking at each record and all that came before it.
fn model(interval: Interval, script: &[In]) -> Vec<String> {
    let mut watermark = Timestamp::MIN;
    let mut before: Vec<Stamped<Either<Left, Right>>> = Vec::new();
    let mut all = Vec::new();
    for element in script {
        let record = match element {
            Element::Control(Control::Watermark(to)) => {
                watermark = *to;
                continue;
            }
            Element::Control(_) => continue,
            Element::Record(record) => record,
        };
        if record.at < watermark {
            all.push(match record.value {
                Either::First((_, id)) => format!("late left {id}"),
                Either::Second((_, id)) => format!("late right {id}"),
            });
            continue;
        }
        for other in &before {
            let (l, r) = match (&record.value, &other.value) {
                (Either::First(_), Either::Second(_)) => (record, other),
                (Either::Second(_), Either::First(_)) => (other, record),
                _ => continue,
            };
            let (Either::First(left), Either::Second(right)) = (&l.value, &r.value) else {
                continue;
            };
            let apart = r.at.0 - l.at.0;
            let ends = match other.value {
                Either::First(_) => other.at.0 + interval.upper.0.max(0),
                Either::Second(_) => other.at.0 - interval.lower.0.min(0),
            };
            let is_there = Timestamp(ends) > watermark;
            let is_near = interval.lower.0 <= apart && apart <= interval.upper.0;
            if left.0 == right.0 && is_near && is_there {
                all.push(pair(left.1, right.1, l.at.0.max(r.at.0)));
            }
        }
        before.push(*record);
    }
    all.sort_unstable();
    all
}

fn sorted(output: Vec<Element<IntervalJoined<Left, Right>>>) -> Vec<String> {
    let mut all: Vec<_> = output
        .into_iter()
        .filter_map(|element| match element {
            Element::Record(Stamped { at, value }) => Some(shown(at, &value)),
            Element::Control(_) => None,
        })
        .collect();
    all.sort_unstable();
    all
}

proptest! {
    // SEMANTICS 67, 68, 69
    #[test]
    fn agrees_with_the_model_over_snapshots_and_refusals(
        interval in intervals(), script in scripts(),
    ) {
        let output = check_operator(|| join(interval), &script, Order::Exact);
        prop_assert_eq!(sorted(output), model(interval, &script));
    }

    #[test]
    fn agrees_with_the_model_on_any_number_of_cores(
        interval in intervals(), script in scripts(),
    ) {
        let hash_of = |record: &Either<Left, Right>| match record {
            Either::First(left) => stable_hash(&left.0),
            Either::Second(right) => stable_hash(&right.0),
        };
        let output = check_rescaling(|| join(interval), hash_of, &script);
        prop_assert_eq!(sorted(output), model(interval, &script));
    }
}
