//! Processes without a key through the harness: what they remember comes back on as many cores and
//! on others.

use std::collections::BTreeSet;

use proptest::prelude::*;
use tailwater_core::{Control, Element, Stamped, Timestamp};
use tailwater_derive::operator_state;

use super::{UnkeyedContext, UnkeyedProcess, UnkeyedProcessOperator};
use crate::testing::{Harness, KeyedHarness, Order, check_each_restore, check_operator};
use crate::{Operator, OperatorContext};

#[operator_state(crate = tailwater_state)]
struct Batch {
    numbers: ListState<u32>,
}

/// Hands numbers on by so many, and by fewer at the end.
#[derive(Clone)]
struct Batches {
    of: usize,
}

impl UnkeyedProcess for Batches {
    type In = u32;
    type State = Batch;
    type Out = Vec<u32>;

    fn on_record(
        &mut self,
        number: u32,
        batch: &mut Batch,
        context: &mut UnkeyedContext<Vec<u32>>,
    ) {
        batch.numbers.push(number);
        if batch.numbers.len() == self.of {
            context.emit(batch.numbers.drain(..).collect());
        }
    }

    fn on_end(&mut self, batch: &mut Batch, context: &mut UnkeyedContext<Vec<u32>>) {
        context.emit(batch.numbers.drain(..).collect());
    }
}

fn batches(of: usize) -> UnkeyedProcessOperator<Batches> {
    UnkeyedProcessOperator::new(Batches { of })
}

/// A harness on so many cores for an operator whose records come to a core that the test names.
fn on_cores<O: Operator<In = u32>, M: Fn() -> O>(
    make: M,
    cores: u32,
) -> KeyedHarness<O, M, impl Fn(&u32) -> u64> {
    KeyedHarness::new(make, |_: &u32| (), cores).unwrap()
}

proptest! {
    #[test]
    fn batches_survive_a_failure_at_any_place(
        mut script in prop::collection::vec(prop_oneof![
            4 => (0u32..100).prop_map(|n| Element::Record(Stamped::new(Timestamp(n.into()), n))),
            1 => (0i64..200).prop_map(|at| Element::Control(Control::Watermark(Timestamp(at)))),
        ], 0..30),
        of in 1usize..5,
    ) {
        script.push(Element::Control(Control::Watermark(Timestamp::MAX)));
        script.push(Element::Control(Control::End));
        let records = |elements: &[Element<u32>]| -> Vec<u32> {
            let of_record = |element: &Element<u32>| match element {
                Element::Record(record) => Some(record.value),
                Element::Control(_) => None,
            };
            elements.iter().filter_map(of_record).collect()
        };
        let output = check_operator(|| batches(of), &script, Order::Exact);
        check_each_restore(|| batches(of), &script, Order::Exact);
        let mut due: Vec<_> = records(&script).chunks(of).map(<[u32]>::to_vec).collect();
        if due.last().is_none_or(|last| last.len() == of) {
            due.push(Vec::new());
        }
        let is_batch = |element| match element {
            Element::Record(Stamped { value, .. }) => Some(value),
            Element::Control(_) => None,
        };
        prop_assert_eq!(output.into_iter().filter_map(is_batch).collect::<Vec<_>>(), due);
    }
}

// SEMANTICS 19
#[test]
fn what_is_emitted_at_the_end_goes_before_the_last_watermark() {
    let mut harness = Harness::new(batches(2)).unwrap();
    harness.record(Timestamp(5), 1);
    harness.end();
    let last = Control::Watermark(Timestamp::MAX);
    let end = Element::Record(Stamped::new(Timestamp::MAX, vec![1]));
    let due = [end, Element::Control(last), Element::Control(Control::End)];
    assert_eq!(harness.take_output(), due);
    // Not again when a job goes on from there, but where there is more input.
    harness.replace(batches(2)).unwrap();
    harness.end();
    assert!(harness.take_results().is_empty());
    harness.replace(batches(2)).unwrap();
    harness.record(Timestamp(6), 2);
    harness.end();
    assert_eq!(harness.take_results(), [[2]]);
}

/// What each core has after `sizes` were kept on as many and dealt to `cores`.
fn dealt(sizes: &[u32], cores: u32) -> Vec<Vec<u32>> {
    let mut harness = on_cores(|| batches(100), sizes.len() as u32);
    let mut numbers = 0..;
    for (core, size) in sizes.iter().enumerate() {
        for number in numbers.by_ref().take(*size as usize) {
            harness.record_on(core as u32, Timestamp(0), number);
        }
    }
    harness.rescale(cores).unwrap();
    harness.end();
    harness.take_results()
}

// SEMANTICS 62
#[test]
fn lists_are_dealt_in_blocks_where_the_number_of_cores_changes() {
    assert_eq!(dealt(&[3, 2], 3), [vec![0, 1], vec![2, 3], vec![4]]);
    assert_eq!(dealt(&[3, 1], 2), [vec![0, 1, 2], vec![3]]);
    assert_eq!(dealt(&[1, 1], 4), [vec![0], vec![1], vec![], vec![]]);
    assert_eq!(dealt(&[2, 0, 1], 1), [[0, 1, 2]]);
}

#[operator_state(crate = tailwater_state)]
struct Offsets {
    /// How far each partition is.
    own: UnionState<(u32, u32)>,
}

/// Counts up by partition. Records of a partition come to one core; any core tells of any.
#[derive(Clone)]
struct Positions;

impl UnkeyedProcess for Positions {
    type In = u32;
    type State = Offsets;
    type Out = (u32, u32);

    fn on_restore(&mut self, offsets: &mut Offsets, core: u32, cores: u32) {
        let partitions: BTreeSet<_> = offsets.own.iter().map(|(partition, _)| partition).collect();
        assert_eq!(partitions.len(), offsets.own.len(), "{:?}", offsets.own);
        offsets.own.retain(|(partition, _)| partition % cores == core);
    }

    fn on_record(
        &mut self,
        partition: u32,
        offsets: &mut Offsets,
        context: &mut UnkeyedContext<(u32, u32)>,
    ) {
        let own = &mut offsets.own;
        let place = own.iter().position(|(of, _)| *of == partition).unwrap_or_else(|| {
            own.push((partition, 0));
            own.len() - 1
        });
        own[place].1 += 1;
        context.emit(own[place]);
    }
}

// SEMANTICS 63
#[test]
fn of_a_union_each_core_picks_its_own() {
    let mut harness = on_cores(|| UnkeyedProcessOperator::new(Positions), 1);
    let mut counts = [0; 4];
    for cores in [1, 4, 2, 3, 3, 1] {
        harness.rescale(cores).unwrap();
        for partition in 0..4 {
            counts[partition as usize] += 1;
            harness.record_on(partition % cores, Timestamp(0), partition);
        }
        let told = harness.take_results();
        assert_eq!(told, [0, 1, 2, 3].map(|partition| (partition, counts[partition as usize])));
    }
}

#[test]
fn a_deterministic_merge_needs_one_core() {
    let open = |cores| {
        let deterministic =
            OperatorContext { cores, deterministic: true, ..OperatorContext::single_core() };
        batches(2).open(&deterministic)
    };
    assert!(open(1).is_ok());
    let error = open(2).unwrap_err().to_string();
    assert!(error.contains("`Batches`") && error.contains("gather()"), "{error}");
}
