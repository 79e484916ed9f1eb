//! Processes over two inputs through the harness, and processes without a key.

use proptest::prelude::*;
use tailwater_core::{Control, Either, Element, Span, Stamped, Timestamp, stable_hash};
use tailwater_derive::keyed_state;
use tailwater_state::BroadcastState;

use super::{
    BroadcastContext, BroadcastOperator, BroadcastProcess, CoProcess, Context, ProcessEach,
    ProcessOperator, UnkeyedBroadcastOperator, UnkeyedBroadcastProcess, UnkeyedContext,
};
use crate::Operator;
use crate::testing::{Harness, Order, check_each_restore, check_operator, check_rescaling};

type In = Either<(u8, u32), (u8, u32)>;

#[keyed_state(key = u8, crate = tailwater_state)]
struct Sides {
    left: List<u32>,
    right: Map<u32, u32>,
}

/// Tells at timers and at each record what both sides have said.
#[derive(Clone)]
struct Both;

impl Both {
    fn tell(sides: &mut Sides, context: &mut Context<String>) {
        let (left, right): (Vec<_>, Vec<_>) =
            (sides.left.iter().copied().collect(), sides.right.iter().collect());
        let told = format!("{left:?} {right:?} {}", context.watermark());
        context.emit(told);
    }
}

impl CoProcess for Both {
    type Left = (u8, u32);
    type Right = (u8, u32);
    type State = Sides;
    type Out = String;

    fn on_left(&mut self, (_, n): (u8, u32), sides: &mut Sides, context: &mut Context<String>) {
        sides.left.push(n);
        context.event_timer(context.at() + Span(n.into()));
        Self::tell(sides, context);
    }

    fn on_right(&mut self, (_, n): (u8, u32), sides: &mut Sides, context: &mut Context<String>) {
        sides.right.insert(n % 3, n);
        context.delete_event_timer(context.at() + Span(n.into()));
        Self::tell(sides, context);
    }

    fn on_timer(&mut self, _: Timestamp, sides: &mut Sides, context: &mut Context<String>) {
        sides.left.keep_last(1);
        Self::tell(sides, context);
    }
}

fn key_of(record: &In) -> u8 {
    match record {
        Either::First((key, _)) | Either::Second((key, _)) => *key,
    }
}

fn co() -> impl Operator<In = In, Out = String> {
    ProcessOperator::of_two(key_of as fn(&In) -> u8, Both)
}

/// A broadcast record with this number asks for the totals of all keys.
const TELL: u32 = 7;

/// Emits what is above the rule of its key; sums up in the state of the key and tells at timers.
#[derive(Clone)]
struct Above;

#[keyed_state(key = u8, crate = tailwater_state)]
struct Total {
    total: Value<u32>,
}

type Rules = BroadcastState<u8, u32>;

impl BroadcastProcess for Above {
    type In = (u8, u32);
    type Broadcast = (u8, u32);
    type Shared = Rules;
    type State = Total;
    type Out = String;

    fn on_record(
        &mut self,
        (key, n): (u8, u32),
        rules: &Rules,
        total: &mut Total,
        context: &mut Context<String>,
    ) {
        *total.total.or_default() += n;
        context.event_timer(context.at() + Span(5));
        if rules.get(&key).is_none_or(|rule| n > *rule) {
            context.emit(format!("{key}: {n}"));
        }
    }

    fn on_broadcast(
        &mut self,
        (key, rule): (u8, u32),
        rules: &mut Rules,
        context: &mut BroadcastContext<'_, Total, String>,
    ) {
        if rule == TELL {
            // In the order of the keys' hashes; those that have nothing are not among them.
            context.apply_to_all_keys(|total, context| {
                let (key, sum) = (*total.key(), *total.total.or_default());
                context.emit(format!("{key} has {sum} at {}", context.at()));
                if sum % 2 == 1 {
                    total.total.clear();
                }
            });
        } else if rule % 4 == 0 {
            rules.remove(&key);
        } else {
            rules.insert(key, rule);
        }
    }

    fn on_timer(
        &mut self,
        _: Timestamp,
        rules: &Rules,
        total: &mut Total,
        context: &mut Context<String>,
    ) {
        let (key, sum) = (*total.key(), *total.total.or_default());
        context.emit(format!("{key} {sum} {:?}", rules.get(&key)));
    }
}

fn broadcast() -> impl Operator<In = In, Out = String> {
    BroadcastOperator::new(|record: &(u8, u32)| record.0, Above)
}

/// Emits what is above the rule for it.
#[derive(Clone)]
struct AboveAlone;

impl UnkeyedBroadcastProcess for AboveAlone {
    type In = (u8, u32);
    type Broadcast = (u8, u32);
    type Shared = Rules;
    type Out = String;

    fn on_record(
        &mut self,
        (key, n): (u8, u32),
        rules: &Rules,
        context: &mut UnkeyedContext<String>,
    ) {
        if rules.get(&key).is_none_or(|rule| n > *rule) {
            context.emit(format!("{key}: {n} after {}", context.watermark()));
        }
    }

    fn on_broadcast(
        &mut self,
        (key, rule): (u8, u32),
        rules: &mut Rules,
        _: &mut UnkeyedContext<String>,
    ) {
        rules.insert(key, rule);
    }
}

fn script() -> impl Strategy<Value = Vec<Element<In>>> {
    let step = prop_oneof![
        6 => (-5i64..20, any::<bool>(), 0u8..4, 0u32..30).prop_map(|(ahead, left, key, n)| {
            let record = (key, n);
            (0, Some((ahead, if left { Either::First(record) } else { Either::Second(record) })))
        }),
        2 => (1i64..20).prop_map(|rise| (rise, None)),
    ];
    prop::collection::vec(step, 0..40).prop_map(|steps| {
        let mut now = 0;
        let mut script = Vec::new();
        for (rise, record) in steps {
            now += rise;
            script.push(match record {
                Some((ahead, value)) => {
                    Element::Record(Stamped::new(Timestamp(now + ahead), value))
                }
                None => Element::Control(Control::Watermark(Timestamp(now))),
            });
        }
        script.push(Element::Control(Control::Watermark(Timestamp::MAX)));
        script
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    // SEMANTICS 98
    #[test]
    fn a_two_input_process_passes_the_harness(script in script()) {
        check_operator(co, &script, Order::Exact);
        check_each_restore(co, &script, Order::Exact);
        check_rescaling(co, |record| stable_hash(&key_of(record)), &script);
    }

    // SEMANTICS 63, 64
    #[test]
    fn a_broadcast_process_passes_the_harness(script in script()) {
        check_operator(broadcast, &script, Order::Exact);
        check_each_restore(broadcast, &script, Order::Exact);
    }
}

// SEMANTICS 64
#[test]
fn a_broadcast_record_comes_by_every_key_that_something_is_known_of() {
    let mut harness = Harness::new(broadcast()).unwrap();
    for (key, n) in [(1, 5), (2, 4), (3, 9), (1, 1)] {
        harness.record(Timestamp(1), Either::First((key, n)));
    }
    harness.take_results();
    let mut tell = |at| {
        harness.record(Timestamp(at), Either::Second((0, TELL)));
        let mut told = harness.take_results();
        told.sort();
        told
    };
    assert_eq!(tell(2), ["1 has 6 at 2", "2 has 4 at 2", "3 has 9 at 2"]);
    // It may change the state: that of the third key is gone.
    assert_eq!(tell(3), ["1 has 6 at 3", "2 has 4 at 3"]);
}

#[test]
fn a_broadcast_process_without_a_key_has_its_rules_after_a_restore() {
    let operator = || UnkeyedBroadcastOperator::new(AboveAlone);
    let mut harness = Harness::new(operator()).unwrap();
    harness.record(Timestamp(1), Either::Second((1, 10)));
    harness.replace(operator()).unwrap();
    harness.watermark(Timestamp(4));
    for record in [(1, 10), (1, 11), (2, 0)] {
        harness.record(Timestamp(5), Either::First(record));
    }
    assert_eq!(harness.take_results(), ["1: 11 after 4", "2: 0 after 4"]);
}

#[test]
fn a_process_without_a_key_emits_what_and_when_it_likes() {
    let spread = |n: i64, context: &mut UnkeyedContext<(i64, i64)>| {
        for ahead in 0..n {
            context.emit_at(context.at() + Span(ahead), (n, context.watermark().0));
        }
        if n == 13 {
            context.fail("unlucky");
        }
    };
    let mut harness = Harness::new(ProcessEach::new(spread)).unwrap();
    harness.record(Timestamp(5), 2);
    harness.watermark(Timestamp(7));
    harness.record(Timestamp(9), 1);
    let record = |at, value| Element::Record(Stamped::new(Timestamp(at), value));
    assert_eq!(
        harness.take_output(),
        [
            record(5, (2, i64::MIN)),
            record(6, (2, i64::MIN)),
            Element::Control(Control::Watermark(Timestamp(7))),
            record(9, (1, 7)),
        ]
    );
    harness.record(Timestamp(9), 13);
    let error = harness.error().unwrap().to_string();
    assert_eq!(error, "operator `process` failed on the record at 9: unlucky");
}
