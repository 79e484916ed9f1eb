//! Rolling aggregates against SEMANTICS 85 and 86, a naive model, and the harness.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tailwater_core::{Control, Element, ErrorKind, Stamped};

use super::*;
use crate::testing::{Harness, Order, check_each_restore, check_operator, check_rescaling};

/// Key, number, a name that tells records apart.
type Row = (u8, i64, String);

fn row(key: u8, number: i64, name: &str) -> Row {
    (key, number, name.to_owned())
}

fn key_of(row: &Row) -> u8 {
    row.0
}

fn number(row: &Row) -> i64 {
    row.1
}

fn set_number(row: &mut Row, number: i64) {
    row.1 = number;
}

fn results<S: RollingStep<Row>>(
    rolling: Rolling<u8, Row, fn(&Row) -> u8, S>,
    rows: &[Row],
) -> Vec<S::State> {
    let mut harness = Harness::new(rolling).unwrap();
    for row in rows {
        harness.record(Timestamp(1), row.clone());
    }
    harness.take_results()
}

const KEY_OF: fn(&Row) -> u8 = key_of;

// SEMANTICS 85
#[test]
fn a_field_or_the_whole_record() {
    let rows = [row(1, 8, "a"), row(1, 6, "b"), row(1, 6, "c"), row(1, 9, "d")];
    let last = |rows: Vec<Row>| rows.last().cloned().unwrap();
    assert_eq!(last(results(min(KEY_OF, number, set_number), &rows)), row(1, 6, "a"));
    assert_eq!(last(results(min_by(KEY_OF, number), &rows)), row(1, 6, "b"));
    assert_eq!(last(results(max(KEY_OF, number, set_number), &rows)), row(1, 9, "a"));
    assert_eq!(last(results(max_by(KEY_OF, number), &rows)), row(1, 9, "d"));
    assert_eq!(last(results(sum(KEY_OF, number, set_number), &rows)), row(1, 29, "a"));
}

// SEMANTICS 86
#[test]
fn outputs_have_the_time_of_their_input() {
    let mut harness = Harness::new(min_by(KEY_OF, number)).unwrap();
    for at in [5, 3, 9] {
        harness.record(Timestamp(at), row(0, at, ""));
    }
    let stamped = |at, number| Element::Record(Stamped::new(Timestamp(at), row(0, number, "")));
    assert_eq!(harness.take_output(), [stamped(5, 5), stamped(3, 3), stamped(9, 3)]);
}

#[test]
fn a_sum_that_does_not_fit_ends_the_job_and_says_where() {
    let mut harness = Harness::new(sum(KEY_OF, number, set_number).named("total")).unwrap();
    harness.record(Timestamp(1), row(0, i64::MAX, ""));
    harness.record(Timestamp(2), row(0, 1, ""));
    let error = harness.error().unwrap();
    assert_eq!(error.kind(), ErrorKind::User);
    let message = error.to_string();
    assert!(message.starts_with("operator `total` failed on the record at 2: "), "{message}");
}

proptest! {
    #[test]
    fn every_step_agrees_with_a_model_and_passes_the_harness(
        rows in prop::collection::vec((0u8..5, -9i64..9, -9i64..9), 0..40),
    ) {
        let rows: Vec<_> = rows.iter().enumerate()
            .map(|(index, &(key, number, at))| {
                Stamped::new(Timestamp(at), (key, number, index.to_string()))
            })
            .collect();
        let mut seen: BTreeMap<u8, Vec<&Row>> = BTreeMap::new();
        let mut script = Vec::new();
        let mut sums = Vec::new();
        let mut least = Vec::new();
        for record in &rows {
            let seen = seen.entry(record.value.0).or_default();
            seen.push(&record.value);
            let total: i64 = seen.iter().map(|row| row.1).sum();
            sums.push(Stamped::new(record.at, row(record.value.0, total, &seen[0].2)));
            // `Iterator::min_by_key` keeps the first of equals too.
            let first_least = seen.iter().min_by_key(|row| row.1).unwrap();
            least.push(Stamped::new(record.at, (**first_least).clone()));
            script.push(Element::Record(record.clone()));
            script.push(Element::Control(Control::Watermark(record.at)));
        }
        let records = |output: Vec<Element<Row>>| -> Vec<Stamped<Row>> {
            output.into_iter()
                .filter_map(|element| match element {
                    Element::Record(record) => Some(record),
                    Element::Control(_) => None,
                })
                .collect()
        };
        let make_sum = || sum(KEY_OF, number, set_number);
        prop_assert_eq!(records(check_operator(make_sum, &script, Order::Exact)), sums.clone());
        check_each_restore(make_sum, &script, Order::Exact);
        check_rescaling(make_sum, |row| stable_hash(&row.0), &script);
        let make_least = || min_by(KEY_OF, number);
        prop_assert_eq!(records(check_operator(make_least, &script, Order::Exact)), least);
        let make_reduce = || {
            reduce(KEY_OF, |so_far: &Row, new: Row| row(new.0, so_far.1 + new.1, &so_far.2))
        };
        prop_assert_eq!(records(check_operator(make_reduce, &script, Order::Exact)), sums.clone());
        let make_fold = || fold(KEY_OF, 0i64, |total: &mut i64, row: &Row| *total += row.1);
        let totals: Vec<_> = check_operator(make_fold, &script, Order::Exact).into_iter()
            .filter_map(|element| match element {
                Element::Record(record) => Some(record.value),
                Element::Control(_) => None,
            })
            .collect();
        prop_assert_eq!(totals, sums.iter().map(|row| row.value.1).collect::<Vec<_>>());
        check_operator(|| max(KEY_OF, number, set_number), &script, Order::Exact);
        check_operator(|| min(KEY_OF, number, set_number), &script, Order::Exact);
        check_operator(|| max_by(KEY_OF, number), &script, Order::Exact);
    }
}
