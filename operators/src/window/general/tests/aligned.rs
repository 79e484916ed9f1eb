//! Panes and the general operator give the same results where both can keep the windows.

use proptest::prelude::*;

use super::models::{Sum, script};
use super::*;
use crate::PaneWindows;
use crate::window::WindowResult;

type Output = Vec<Element<Fired<WindowResult<u8, i64>, Event>>>;

/// Output with what lies between two watermarks in an order of its own (SEMANTICS 44).
fn in_order(output: Output) -> Vec<String> {
    let mut lines: Vec<String> = output.into_iter().map(|element| format!("{element:?}")).collect();
    let is_record = |line: &String| line.starts_with("Record");
    for run in lines.chunk_by_mut(|a, b| is_record(a) && is_record(b)) {
        run.sort();
    }
    lines
}

fn outcome<O>(windows: O, script: &[Element<Event>]) -> Vec<String>
where
    O: Operator<In = Event, Out = Fired<WindowResult<u8, i64>, Event>>,
{
    let mut harness = Harness::new(windows).unwrap();
    script.iter().for_each(|element| harness.element(element.clone()));
    in_order(harness.take_output())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    // SEMANTICS 1-5, 9, 23-29
    #[test]
    fn panes_agree_with_the_general_operator(
        size in 1i64..30,
        slide in 1i64..30,
        offset in -29i64..30,
        lateness in prop_oneof![Just(0i64), 0i64..20],
        script in script(60),
    ) {
        let windows = Sliding::of(Span(size)).every(Span(slide)).offset(Span(offset % slide));
        let key: fn(&Event) -> u8 = key_of;
        let general = GeneralWindows::new(
            key,
            windows,
            EventTime,
            NoEvictor,
            Incremental::new(Sum),
        )
        .allowed_lateness(Span(lateness))
        .late_records(LateRecords::Emit);
        let panes = PaneWindows::new(key, windows, Sum)
            .unwrap()
            .allowed_lateness(Span(lateness))
            .late_records(LateRecords::Emit);
        prop_assert_eq!(outcome(general, &script), outcome(panes, &script));
    }
}
