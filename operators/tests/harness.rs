//! Operators that remember nothing, and chains of operators, go through the harness.
//!
//! Operators with state are put through it where they are tested: windows and rolling aggregates
//! beside their models, and the conformance scripts.

use proptest::prelude::*;
use tailwater_core::{Barrier, Control, Element, Span, Stamped, Timestamp};
use tailwater_operators::stateless::{Filter, FlatMap, Inspect, Map, TryMap};
use tailwater_operators::testing::{Order, check_operator};
use tailwater_operators::window::general::{
    Continuous, GeneralWindows, Incremental, NoEvictor, Purging,
};
use tailwater_operators::{Aggregate, Fired, Identity, Session, Sliding, Then, rolling};
use tailwater_operators::{WindowResult, aggregate::Prototype};

/// Records with rising watermarks, and now and then a control element that passes by operators.
fn script() -> impl Strategy<Value = Vec<Element<i64>>> {
    let step = prop_oneof![
        6 => (-50i64..50, -20i64..20).prop_map(|(ahead, value)| (0, Some((ahead, value)))),
        2 => (0i64..30).prop_map(|rise| (rise, None)),
    ];
    prop::collection::vec(step, 0..60).prop_map(|steps| {
        let mut watermark = 0;
        let mut script = Vec::new();
        for (rise, record) in steps {
            watermark += rise;
            script.push(match record {
                Some((ahead, value)) => {
                    Element::Record(Stamped::new(Timestamp(watermark + ahead), value))
                }
                None if rise == 0 => {
                    Element::Control(Control::Barrier(Barrier { checkpoint: script.len() as u64 }))
                }
                None => Element::Control(Control::Watermark(Timestamp(watermark))),
            });
        }
        script.push(Element::Control(Control::Watermark(Timestamp::MAX)));
        script.push(Element::Control(Control::End));
        script
    })
}

/// What a function of a record and its time makes of a script whose other elements pass.
fn expected<U>(
    script: &[Element<i64>],
    function: impl Fn(Timestamp, i64) -> Vec<U>,
) -> Vec<Element<U>> {
    let each = script.iter().flat_map(|element| match element {
        Element::Record(record) => function(record.at, record.value)
            .into_iter()
            .map(|value| Element::Record(Stamped::new(record.at, value)))
            .collect(),
        Element::Control(control) => vec![Element::Control(*control)],
    });
    each.collect()
}

#[derive(
    Clone,
    Debug,
    Default,
    PartialEq,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    tailwater_core::Describe,
)]
struct Total(i64);

impl Aggregate<i64> for Total {
    type Output = i64;

    fn add(&mut self, record: &i64) {
        self.0 += record;
    }

    fn merge(&mut self, other: &Self) {
        self.0 += other.0;
    }

    fn finish(&self) -> i64 {
        self.0
    }
}

proptest! {
    #[test]
    fn stateless_operators(script in script()) {
        let map = check_operator(|| Map::new(|n: i64| n * 2), &script, Order::Exact);
        prop_assert_eq!(map, expected(&script, |_, n| vec![n * 2]));
        let filter = check_operator(|| Filter::new(|n: &i64| n % 2 == 0), &script, Order::Exact);
        let even = |n| if n % 2 == 0 { vec![n] } else { vec![] };
        prop_assert_eq!(filter, expected(&script, |_, n| even(n)));
        let flat = check_operator(|| FlatMap::new(|n: i64| 0..n % 4), &script, Order::Exact);
        prop_assert_eq!(flat, expected(&script, |_, n| (0..n % 4).collect()));
        let inspect = check_operator(|| Inspect::new(|_, _: &i64| ()), &script, Order::Exact);
        prop_assert_eq!(&inspect, &script);
        let identity = check_operator(Identity::<i64>::default, &script, Order::Exact);
        prop_assert_eq!(&identity, &script);
    }

    #[test]
    fn a_failing_function_fails_at_the_same_record_in_every_run(script in script()) {
        let make = || TryMap::new(|n: i64| if n == 13 { Err("unlucky") } else { Ok(n) });
        let output = check_operator(make, &script, Order::Exact);
        let fails_at = script.iter().position(|element| {
            matches!(element, Element::Record(record) if record.value == 13)
        });
        prop_assert_eq!(output, &script[..fails_at.unwrap_or(script.len())]);
    }

    /// Chains put one operator's state, refusals and failures behind another's.
    #[test]
    fn chains_of_operators_with_state(script in script()) {
        let make = || {
            let gap = Session::with_gap(Span(9));
            let sessions = GeneralWindows::sessions(|n: &i64| n % 3, gap, Prototype(Total(0)));
            let totals = FlatMap::new(|fired: Fired<WindowResult<i64, i64>, i64>| match fired {
                Fired::Result(result) => Some(result.value),
                Fired::Late(_) => None,
            });
            let rolling = rolling::reduce(|_: &i64| (), |a: &i64, b: i64| a + b);
            Then::new(Then::new(sessions, totals), rolling)
        };
        check_operator(make, &script, Order::Exact);
    }

    /// Two operators that may be pending, one after the other.
    #[test]
    fn chains_of_windows(script in script()) {
        let make = || {
            let windows = GeneralWindows::new(
                |n: &i64| n % 3,
                Sliding::of(Span(20)).every(Span(5)),
                Purging(Continuous(Span(3))),
                NoEvictor,
                Incremental::new(Prototype(Total(0))),
            )
            .named("totals");
            let totals = FlatMap::new(|fired: Fired<WindowResult<i64, i64>, i64>| match fired {
                Fired::Result(result) => Some(result.value),
                Fired::Late(late) => Some(late),
            });
            let gap = Session::with_gap(Span(4));
            let sessions = GeneralWindows::sessions(|n: &i64| n % 2, gap, Prototype(Total(0)));
            Then::new(Then::new(windows, totals), sessions)
        };
        check_operator(make, &script, Order::Exact);
    }
}
