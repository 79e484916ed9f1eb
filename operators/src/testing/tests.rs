//! The harness must catch the operators that it is there to catch.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tailwater_state::SnapshotReader;

use super::*;
use crate::Description;

/// Emits the running count at each record and all counts so far at each watermark.
#[derive(Clone, Default)]
struct Counting {
    count: u64,
    left: Vec<u64>,
    watermark: Option<Timestamp>,
    fault: Fault,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Fault {
    #[default]
    None,
    ForgetsOnRestore,
    LosesWhenRefused,
    SkipsInBatches,
}

impl Operator for Counting {
    type In = ();
    type Out = u64;

    fn on_record(&mut self, at: Timestamp, (): (), out: &mut impl Collect<u64>) {
        self.count += 1;
        out.record(at, self.count);
    }

    fn on_batch(&mut self, batch: &mut Vec<Stamped<()>>, out: &mut impl Collect<u64>) {
        if self.fault == Fault::SkipsInBatches {
            batch.pop();
        }
        for Stamped { at, value } in batch.drain(..) {
            self.on_record(at, value, out);
        }
    }

    fn on_watermark(&mut self, watermark: Timestamp, out: &mut impl Collect<u64>) {
        self.left = (1..=self.count).collect();
        self.watermark = Some(watermark);
        self.resume(out);
    }

    fn is_pending(&self) -> bool {
        self.watermark.is_some()
    }

    fn resume(&mut self, out: &mut impl Collect<u64>) {
        while !self.left.is_empty() {
            let room = out.has_room();
            if !room && self.fault != Fault::LosesWhenRefused {
                return;
            }
            let first = self.left.remove(0);
            if room {
                out.record(Timestamp::NONE, first);
            }
        }
        out.watermark(self.watermark.take().expect("called when pending only"));
    }

    fn snapshot(&mut self, into: &mut SnapshotWriter) -> Result<()> {
        into.value("count", &self.count)
    }

    fn restore(&mut self, from: &mut SnapshotReader) -> Result<()> {
        if self.fault != Fault::ForgetsOnRestore {
            self.count = from.value("count")?.unwrap_or(0);
        }
        Ok(())
    }

    fn describe(&self, _: &mut Vec<Description>) {}
}

fn script() -> Vec<Element<()>> {
    let mut script = vec![Element::Record(Stamped::new(Timestamp(1), ())); 3];
    script.push(Element::Control(Control::Watermark(Timestamp(1))));
    script.push(Element::Control(Control::Idle));
    script.push(Element::Control(Control::End));
    script
}

fn check(fault: Fault) -> std::thread::Result<Vec<Element<u64>>> {
    let make = || Counting { fault, ..Counting::default() };
    catch_unwind(AssertUnwindSafe(|| check_operator(make, &script(), Order::Exact)))
}

#[test]
fn a_sound_operator_passes_with_all_its_output() {
    let output = check(Fault::None).unwrap();
    // Three counts, the three again, the watermark, and the two elements that pass by.
    assert_eq!(output.len(), 9);
    assert_eq!(output[8], Element::Control(Control::End));
    check_each_restore(Counting::default, &script(), Order::Exact);
}

#[test]
fn faults_are_found() {
    assert!(check(Fault::ForgetsOnRestore).is_err());
    assert!(check(Fault::LosesWhenRefused).is_err());
    assert!(check(Fault::SkipsInBatches).is_err());
}

#[test]
fn order_counts_unless_it_is_waived() {
    let outcome = |values: [i64; 2], at: i64| Outcome {
        elements: values
            .iter()
            .map(|&value| Element::Record(Stamped::new(Timestamp(at), value)))
            .chain([Element::Control(Control::Idle)])
            .collect(),
        error: None,
        counts: Some(Vec::new()),
    };
    let same = |other: Outcome<i64>, order| {
        catch_unwind(AssertUnwindSafe(|| assert_same(&outcome([1, 2], 0), other, order, "")))
            .is_ok()
    };
    assert!(same(outcome([1, 2], 0), Order::Exact));
    assert!(!same(outcome([2, 1], 0), Order::Exact));
    assert!(same(outcome([2, 1], 0), Order::AnyBetweenControls));
    assert!(!same(outcome([2, 2], 0), Order::AnyBetweenControls));
    assert!(!same(outcome([1, 2], 5), Order::AnyBetweenControls));
}

type Either = tailwater_core::Either<(), ()>;

/// Counts the records of both inputs, as [`Counting`] does.
#[derive(Clone, Default)]
struct CountingBoth(Counting);

impl Operator for CountingBoth {
    type In = Either;
    type Out = u64;

    fn on_record(&mut self, at: Timestamp, _: Either, out: &mut impl Collect<u64>) {
        self.0.on_record(at, (), out);
    }

    fn describe(&self, into: &mut Vec<Description>) {
        self.0.describe(into);
    }
}

// SEMANTICS 11, 12, 13, 15
#[test]
fn an_operator_with_two_inputs_sees_the_lesser_watermark() {
    let mut harness = TwoInputHarness::new(CountingBoth::default()).unwrap();
    let mut watermarks = |push: &dyn Fn(&mut TwoInputHarness<CountingBoth>)| {
        push(&mut harness);
        let output = harness.take_output().into_iter();
        let watermarks = output.filter_map(|element| match element {
            Element::Control(Control::Watermark(watermark)) => Some(watermark.0),
            _ => None,
        });
        watermarks.collect::<Vec<_>>()
    };
    assert_eq!(watermarks(&|both| both.first_watermark(Timestamp(40))), [0; 0]);
    assert_eq!(watermarks(&|both| both.second_watermark(Timestamp(15))), [15]);
    assert_eq!(watermarks(&|both| both.second_watermark(Timestamp(10))), [0; 0]);
    assert_eq!(watermarks(&|both| both.second_idle()), [40]);
    assert_eq!(watermarks(&|both| both.second(Timestamp(41), ())), [0; 0]);
    assert_eq!(watermarks(&|both| both.first_watermark(Timestamp(60))), [0; 0]);
    assert_eq!(watermarks(&|both| both.first_idle()), [0; 0]);
    assert_eq!(watermarks(&|both| both.second_watermark(Timestamp(50))), [50]);
    assert_eq!(watermarks(&|both| both.second_idle()), [60]);
}

#[test]
fn cores_become_more_and_fewer_and_no_key_is_lost() {
    let key = |n: &u64| n % 50;
    let make = move || crate::rolling::fold(key, 0_u64, |count: &mut u64, _: &u64| *count += 1);
    let mut harness = KeyedHarness::new(make, key, 1).unwrap();
    for (round, cores) in [3, 128, 2, 5, 1].into_iter().enumerate() {
        for n in 0..50 {
            harness.record(Timestamp(0), n);
        }
        assert_eq!(harness.take_results(), [round as u64 + 1; 50]);
        harness.rescale(cores).unwrap();
        assert_eq!(harness.cores(), cores);
    }
    harness.watermark(Timestamp(7));
    let watermark = Element::Control(Control::Watermark(Timestamp(7)));
    assert_eq!(harness.take_output(), [watermark]);
    assert!(harness.rescale(0).is_err());
}
