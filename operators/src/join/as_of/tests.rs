//! The as-of join against a model that sees all records at once.

use proptest::prelude::*;
use tailwater_core::{Control, Element};

use super::*;
use crate::testing::{Harness, Order, check_operator};

pub(super) type Left = (u8, u32);
pub(super) type Right = (u8, u32);

pub(super) fn join(rule: AsOf) -> Join {
    AsOfJoin::new(|left| left.0, |right| right.0, rule)
}

pub(super) type In = Element<Either<Left, Right>>;
pub(super) type Join = AsOfJoin<u8, Left, Right, fn(&Left) -> u8, fn(&Right) -> u8>;

/// How many records are kept.
pub(super) fn kept(harness: &Harness<Join>) -> usize {
    let join = harness.operator();
    join.fresh.len() + join.held.len() + join.in_force.table.len()
}

pub(super) fn left(at: i64, id: u32) -> In {
    Element::Record(Stamped::new(Timestamp(at), Either::First((0, id))))
}

pub(super) fn right(at: i64, id: u32) -> In {
    Element::Record(Stamped::new(Timestamp(at), Either::Second((0, id))))
}

pub(super) fn watermark(at: i64) -> In {
    Element::Control(Control::Watermark(Timestamp(at)))
}

/// The ids of left and matched right records, in the order in which they left.
fn matches(
    rule: AsOf,
    script: impl IntoIterator<Item = Element<Either<Left, Right>>>,
) -> Vec<(u32, Option<u32>)> {
    let mut harness = Harness::new(join(rule)).unwrap();
    script.into_iter().for_each(|element| harness.element(element));
    let results = harness.take_results().into_iter();
    results.map(|m| (m.left.1, m.right.map(|right| right.value.1))).collect()
}

#[test]
fn backward_takes_the_latest_at_or_before_and_the_last_of_ties() {
    let script =
        || [right(10, 1), right(20, 2), right(20, 3), left(20, 7), left(9, 8), left(19, 9)];
    let end = || script().into_iter().chain([watermark(100)]);
    assert_eq!(matches(AsOf::backward(), end()), [(8, None), (9, Some(1)), (7, Some(3))]);
    let first = AsOf::backward().first_of_ties();
    assert_eq!(matches(first, end()), [(8, None), (9, Some(1)), (7, Some(2))]);
    let near = AsOf::backward().within(Span(8));
    assert_eq!(matches(near, end()), [(8, None), (9, None), (7, Some(3))]);
}

#[test]
fn a_left_record_waits_until_the_watermark_proves_its_match() {
    let mut harness = Harness::new(join(AsOf::backward())).unwrap();
    harness.element(left(20, 1));
    harness.watermark(Timestamp(19));
    assert!(harness.take_results().is_empty());
    harness.element(right(20, 2));
    harness.watermark(Timestamp(20));
    let [Matched { left: (0, 1), right: Some(right) }] = harness.take_results()[..] else {
        panic!("one match")
    };
    assert_eq!(right.value, (0, 2));
}

#[test]
fn forward_and_nearest_look_ahead() {
    let script = [left(20, 1), right(12, 2), right(25, 3), watermark(24), watermark(28)];
    assert_eq!(matches(AsOf::forward(), script.clone()), [(1, Some(3))]);
    assert_eq!(matches(AsOf::nearest(), script.clone()), [(1, Some(3))]);
    let tie = [left(20, 1), right(15, 2), right(25, 3), watermark(25)];
    assert_eq!(matches(AsOf::nearest(), tie), [(1, Some(2))]);
    let nothing = [left(20, 1), watermark(29), right(31, 2), watermark(30)];
    assert_eq!(matches(AsOf::forward().within(Span(10)), nothing), [(1, None)]);
}

#[test]
fn no_match_leaves_behind_the_watermark() {
    for rule in [AsOf::forward().within(Span(100)), AsOf::nearest().within(Span(100))] {
        let script = [left(10, 1), watermark(20), right(50, 2), watermark(50), watermark(200)];
        let mut harness = Harness::new(join(rule)).unwrap();
        script.into_iter().for_each(|element| harness.element(element));
        let mut told = Timestamp::MIN;
        let mut matched = 0;
        for element in harness.take_output() {
            match element {
                Element::Record(record) => {
                    assert!(record.at > told, "{record:?} comes behind {told:?}");
                    matched += 1;
                }
                Element::Control(Control::Watermark(watermark)) => told = watermark,
                Element::Control(_) => {}
            }
        }
        assert_eq!((matched, told), (1, Timestamp(200)));
    }
}

#[test]
fn by_arrival_nothing_waits_and_one_right_record_is_kept() {
    let script = [left(5, 1), right(20, 2), left(10, 3), right(4, 4), left(9, 5), watermark(50)];
    let due = [(1, None), (3, Some(2)), (5, Some(4))];
    assert_eq!(matches(AsOf::arrived(), script.clone()), due);
    let near = [(1, None), (3, None), (5, Some(4))];
    assert_eq!(matches(AsOf::arrived().within(Span(5)), script.clone()), near);
    let mut harness = Harness::new(join(AsOf::arrived())).unwrap();
    for id in 0..100 {
        let value = Either::Second((0, id));
        harness.record(Timestamp::NONE, value);
    }
    assert_eq!(kept(&harness), 1);
    harness.record(Timestamp::NONE, Either::First((0, 7)));
    assert_eq!(harness.take_results()[0].right.as_ref().map(|right| right.value.1), Some(99));
    let output = check_operator(|| join(AsOf::arrived()), &script, Order::Exact);
    assert_eq!(output.iter().filter(|e| matches!(e, Element::Record(_))).count(), 3);
}

#[test]
fn right_records_that_nobody_can_need_are_forgotten() {
    let mut harness = Harness::new(join(AsOf::backward())).unwrap();
    for at in 0..1000 {
        harness.element(right(at, at as u32));
        harness.watermark(Timestamp(at - 5));
    }
    let kept = kept(&harness);
    assert!(kept <= 8, "{kept} right records are kept");
}

pub(super) fn rules() -> impl Strategy<Value = AsOf> {
    let direction =
        prop_oneof![Just(AsOf::backward()), Just(AsOf::forward()), Just(AsOf::nearest())];
    (direction, proptest::option::of(0i64..30), any::<bool>()).prop_map(|(rule, within, first)| {
        AsOf {
            tolerance: within.map(Span),
            ties: if first { Ties::First } else { Ties::Last },
            ..rule
        }
    })
}

/// Nothing is late: the watermark lags behind the least time that is still to come.
fn scripts() -> impl Strategy<Value = Vec<Element<Either<Left, Right>>>> {
    let record = (any::<bool>(), 0u8..3, 0i64..12);
    proptest::collection::vec((record, any::<bool>()), 0..60).prop_map(|steps| {
        let mut script = Vec::new();
        for (step, ((is_left, key, ahead), advances)) in steps.into_iter().enumerate() {
            let (base, id) = (step as i64 * 3, step as u32);
            let value = if is_left { Either::First((key, id)) } else { Either::Second((key, id)) };
            script.push(Element::Record(Stamped::new(Timestamp(base + ahead), value)));
            if advances {
                script.push(watermark(base + 2));
            }
        }
        script.push(watermark(i64::MAX));
        script
    })
}

/// The match at `at` among the times and ids of a key's right records, in order of arrival: the
/// nearest, the earlier of two as near, of ties the one that the rule says.
pub(super) fn best(rule: AsOf, rights: impl Iterator<Item = (i64, u32)>, at: i64) -> Option<u32> {
    let tolerated = rights.enumerate().filter(|(_, (time, _))| {
        rule.tolerates(Span((time - at).abs()))
            && match rule.direction {
                Direction::Backward => *time <= at,
                Direction::Forward => *time >= at,
                Direction::Nearest | Direction::Arrived => true,
            }
    });
    let best = tolerated.min_by_key(|(index, (time, _))| {
        let arrival = *index as i64;
        let tie = if rule.ties == Ties::First { arrival } else { -arrival };
        ((time - at).abs(), *time, tie)
    });
    best.map(|(_, (_, id))| id)
}

/// What each left record is matched with by somebody who sees all right ones.
fn model(rule: AsOf, script: &[Element<Either<Left, Right>>]) -> Vec<(u32, Option<u32>)> {
    let records = script.iter().filter_map(|element| match element {
        Element::Record(record) => Some(record),
        Element::Control(_) => None,
    });
    let rights: Vec<(i64, Right)> = records
        .clone()
        .filter_map(|record| match record.value {
            Either::Second(right) => Some((record.at.0, right)),
            Either::First(_) => None,
        })
        .collect();
    let mut all = Vec::new();
    for record in records {
        let Either::First((key, id)) = record.value else { continue };
        let of_key = rights.iter().filter(|(_, right)| right.0 == key);
        let of_key = of_key.map(|(time, right)| (*time, right.1));
        all.push((id, best(rule, of_key, record.at.0)));
    }
    all.sort_unstable();
    all
}

proptest! {
    #[test]
    fn agrees_with_the_model_over_snapshots_and_refusals(rule in rules(), script in scripts()) {
        let output = check_operator(|| join(rule), &script, Order::Exact);
        let mut got: Vec<_> = output
            .into_iter()
            .filter_map(|element| match element {
                Element::Record(record) => {
                    let Matched { left, right } = record.value;
                    Some((left.1, right.map(|right| right.value.1)))
                }
                Element::Control(_) => None,
            })
            .collect();
        got.sort_unstable();
        prop_assert_eq!(got, model(rule, &script));
    }
}
