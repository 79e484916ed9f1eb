//! Window scripts with the output that Apache Flink gave: the general window operator must agree.
//!
//! Each script of `tests/conformance/window.jsonl` (and of the files that `TAILWATER_CONFORMANCE`
//! names, separated by colons) runs in ticks and scaled to nanoseconds, and each of these plainly,
//! with an output that refuses every other call, with a snapshot and restore after each element,
//! and with one restore at each position in turn. What lies between two watermarks is compared as a
//! multiset.
//!
//! Scaling: a tick `t` is a million nanoseconds from `t * 1_000_000`; the watermark `t` passes its
//! last one, as no record of that tick may follow. There is one difference that follows from this.
//! Where a mark of the continuous trigger falls on the last tick of a window, it is the end of the
//! window in ticks, but comes before the end in nanoseconds, and so the window fires twice. There
//! the scaled outputs are compared as sets.

#[path = "conformance/script.rs"]
pub(crate) mod script;

use script::{AnyTrigger, Event, Firing, Script, Windows, check_all, firing};
use tailwater_core::{Control, Element, Result, Span, Stamped, Timestamp};
use tailwater_operators::testing::{Order, check_each_restore, check_operator};
use tailwater_operators::window::general::{
    Assigner, DynamicSession, Evictor, GeneralWindows, Global, Listed, NoEvictor,
};
use tailwater_operators::{Fired, LateRecords, Window};

/// The windows of a script; those that merge and those that do not are different types to the
/// operator.
#[derive(Clone)]
struct Assign<const MERGES: bool, G> {
    windows: Windows,
    dynamic: DynamicSession<G>,
}

impl<const MERGES: bool, G> Assigner<Event> for Assign<MERGES, G>
where
    G: FnMut(&Event) -> Span + Clone + Send + 'static,
{
    const MERGES: bool = MERGES;

    fn assign(&mut self, at: Timestamp, event: &Event, into: &mut Vec<Window>) -> Result<()> {
        match &mut self.windows {
            Windows::Tumbling(windows) => windows.assign(at, event, into),
            Windows::Sliding(windows) => Assigner::assign(windows, at, event, into),
            Windows::Session(windows) => windows.assign(at, event, into),
            Windows::Dynamic => self.dynamic.assign(at, event, into),
            Windows::Global => Global.assign(at, event, into),
        }
    }

    fn name(&self) -> String {
        String::new()
    }
}

/// Runs a script in all ways and tells how its output differs.
fn run(script: &Script) -> Vec<String> {
    let (windows, dynamic) = (script.windows.clone(), DynamicSession::new(script.gap_of()));
    match windows {
        Windows::Session(_) | Windows::Dynamic => {
            run_with(script, Assign::<true, _> { windows, dynamic })
        }
        _ => run_with(script, Assign::<false, _> { windows, dynamic }),
    }
}

fn run_with<A: Assigner<Event>>(script: &Script, assigner: A) -> Vec<String> {
    match script.evictor.clone() {
        Some(evictor) => run_evicting(script, assigner, evictor),
        None => run_evicting(script, assigner, NoEvictor),
    }
}

fn run_evicting<A, E>(script: &Script, assigner: A, evictor: E) -> Vec<String>
where
    A: Assigner<Event>,
    E: Evictor<Event>,
{
    let default = match script.windows {
        Windows::Global => AnyTrigger::Never,
        _ => AnyTrigger::EventTime,
    };
    let trigger = script.trigger.clone().unwrap_or(default);
    let make = || {
        GeneralWindows::new(
            |event: &Event| event.0.clone(),
            assigner.clone(),
            trigger.clone(),
            evictor.clone(),
            Listed::new(|key: &String, window, events: &[Stamped<Event>]| -> [Firing; 1] {
                [firing(key, window, events.iter().map(|event| event.value.1).collect())]
            }),
        )
        .allowed_lateness(script.lateness)
        .late_records(LateRecords::Emit)
    };
    let end = Element::Control(Control::Watermark(Timestamp::MAX));
    let elements: Vec<_> = script.elements.iter().cloned().chain([end]).collect();
    check_each_restore(make, &elements, Order::Exact);
    let output = check_operator(make, &elements, Order::Exact);
    let lines: Vec<_> = output.iter().map(|element| print(script, element)).collect();
    script.difference("by the operator", &lines, |_| true).into_iter().collect()
}

fn print(script: &Script, element: &Element<Fired<Firing, Event>>) -> String {
    match element {
        Element::Control(Control::Watermark(at)) => script.print_watermark(*at),
        Element::Control(other) => panic!("{other:?} is in no script"),
        Element::Record(Stamped { value: Fired::Late(event), .. }) => script.print_late(event),
        Element::Record(Stamped { at, value: Fired::Result(firing) }) => {
            script.print_firing(&Stamped::new(*at, firing.clone()))
        }
    }
}

#[test]
fn the_scripts_agree_with_flink() {
    check_all(run);
}
