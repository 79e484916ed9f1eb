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

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tailwater_core::{Control, Element, Result, Span, Stamped, Timestamp};
use tailwater_operators::testing::{Order, check_each_restore, check_operator};
use tailwater_operators::window::general::{
    Assigner, Continuous, Count, CountEvictor, Delta, DeltaEvictor, DynamicSession, EndOfStream,
    EventTime, Evict, Evictor, GeneralWindows, Global, Listed, TimeEvictor, Trigger,
    TriggerContext, Verdict,
};
use tailwater_operators::{Fired, LateRecords, Session, Sliding, Tumbling, Window};

/// The nanoseconds of a tick, in the scaled runs.
const SCALE: i64 = 1_000_000;

/// A script's record: key and value.
type Event = (String, i64);

/// What a window function gives: key, window, values.
type Firing = (String, Window, Vec<i64>);

/// An assigner of the scripts; those that merge and those that do not are different types to the
/// operator.
#[derive(Clone)]
enum AnyAssigner<const MERGES: bool> {
    Tumbling(Tumbling),
    Sliding(Sliding),
    Session(Session),
    Dynamic { scale: i64 },
    Global,
}

impl<const MERGES: bool> Assigner<Event> for AnyAssigner<MERGES> {
    const MERGES: bool = MERGES;

    fn assign(&mut self, at: Timestamp, event: &Event, into: &mut Vec<Window>) -> Result<()> {
        match self {
            Self::Tumbling(windows) => windows.assign(at, event, into),
            Self::Sliding(windows) => Assigner::assign(windows, at, event, into),
            Self::Session(windows) => windows.assign(at, event, into),
            Self::Dynamic { scale } => {
                let scale = *scale;
                let gap_of = move |event: &Event| Span((1 + event.1 % 7) * scale);
                DynamicSession::new(gap_of).assign(at, event, into)
            }
            Self::Global => Global.assign(at, event, into),
        }
    }

    fn name(&self) -> String {
        String::new()
    }
}

/// By how much a value is greater than an earlier one.
fn rise(earlier: &Event, later: &Event) -> i64 {
    later.1 - earlier.1
}

type Rise = fn(&Event, &Event) -> i64;

#[derive(Clone)]
enum AnyTrigger {
    Never,
    EndOfStream,
    EventTime,
    Delta(Delta<i64, Rise>),
    Count(Count),
    Continuous(Continuous),
    Purging(Box<AnyTrigger>),
}

impl Trigger<Event> for AnyTrigger {
    type State = (u64, Option<Timestamp>, Option<Event>);

    fn on_record(
        &mut self,
        at: Timestamp,
        event: &Event,
        state: &mut Self::State,
        context: &mut TriggerContext<'_>,
    ) -> Verdict {
        match self {
            Self::Never => Verdict::Continue,
            Self::EndOfStream => EndOfStream.on_record(at, event, &mut (), context),
            Self::EventTime => EventTime.on_record(at, event, &mut (), context),
            Self::Delta(delta) => delta.on_record(at, event, &mut state.2, context),
            Self::Count(count) => count.on_record(at, event, &mut state.0, context),
            Self::Continuous(every) => every.on_record(at, event, &mut state.1, context),
            Self::Purging(inner) => purging(inner.on_record(at, event, state, context)),
        }
    }

    fn on_event_time(
        &mut self,
        time: Timestamp,
        state: &mut Self::State,
        context: &mut TriggerContext<'_>,
    ) -> Verdict {
        match self {
            Self::Never | Self::Count(_) | Self::Delta(_) => Verdict::Continue,
            Self::EndOfStream => {
                Trigger::<Event>::on_event_time(&mut EndOfStream, time, &mut (), context)
            }
            Self::EventTime => {
                Trigger::<Event>::on_event_time(&mut EventTime, time, &mut (), context)
            }
            Self::Continuous(every) => {
                Trigger::<Event>::on_event_time(every, time, &mut state.1, context)
            }
            Self::Purging(inner) => purging(inner.on_event_time(time, state, context)),
        }
    }

    fn merge(&mut self, state: &mut Self::State, other: Self::State) {
        Trigger::<Event>::merge(&mut Count(1), &mut state.0, other.0);
        Trigger::<Event>::merge(&mut Continuous(Span(1)), &mut state.1, other.1);
    }

    fn on_merged(&mut self, state: &mut Self::State, context: &mut TriggerContext<'_>) {
        match self {
            Self::Never | Self::Count(_) | Self::Delta(_) => {}
            Self::EndOfStream => Trigger::<Event>::on_merged(&mut EndOfStream, &mut (), context),
            Self::EventTime => Trigger::<Event>::on_merged(&mut EventTime, &mut (), context),
            Self::Continuous(every) => Trigger::<Event>::on_merged(every, &mut state.1, context),
            Self::Purging(inner) => inner.on_merged(state, context),
        }
    }

    fn name(&self) -> String {
        String::new()
    }
}

fn purging(verdict: Verdict) -> Verdict {
    if verdict.fires() { Verdict::FireAndPurge } else { verdict }
}

#[derive(Clone)]
enum AnyEvictor {
    None,
    Count(CountEvictor),
    Time(TimeEvictor),
    Delta(DeltaEvictor<i64, Rise>),
}

impl Evictor<Event> for AnyEvictor {
    fn before(&mut self, records: &mut Vec<Stamped<Event>>, window: Window) {
        match self {
            Self::None => {}
            Self::Count(evictor) => evictor.before(records, window),
            Self::Time(evictor) => evictor.before(records, window),
            Self::Delta(evictor) => evictor.before(records, window),
        }
    }

    fn after(&mut self, records: &mut Vec<Stamped<Event>>, window: Window) {
        match self {
            Self::None => {}
            Self::Count(evictor) => evictor.after(records, window),
            Self::Time(evictor) => evictor.after(records, window),
            Self::Delta(evictor) => evictor.after(records, window),
        }
    }

    fn name(&self) -> String {
        String::new()
    }
}

/// One line of a file, ready to run.
struct Script {
    id: i64,
    scale: i64,
    assigner: String,
    trigger: AnyTrigger,
    evictor: AnyEvictor,
    lateness: Span,
    elements: Vec<Element<Event>>,
    expected: Vec<String>,
}

impl Script {
    fn read(line: &str, scale: i64) -> Self {
        let line: Value = serde_json::from_str(line).expect("a script is a JSON object");
        let text = |name: &str| line[name].as_str().expect("a text");
        let lines = |name: &str| {
            let array = line[name].as_array().expect("an array");
            array.iter().map(|line| line.as_str().expect("a line").to_owned()).collect::<Vec<_>>()
        };
        let assigner = text("assigner").to_owned();
        let trigger = match (text("trigger"), assigner.as_str()) {
            ("default", "global") => AnyTrigger::Never,
            (trigger, _) => read_trigger(trigger, scale),
        };
        let mut elements: Vec<_> =
            lines("script").iter().map(|line| read_element(line, scale)).collect();
        elements.push(Element::Control(Control::Watermark(Timestamp::MAX)));
        Self {
            id: line["id"].as_i64().expect("a number"),
            scale,
            assigner,
            trigger,
            evictor: read_evictor(line["evictor"].as_str().unwrap_or("none"), scale),
            lateness: Span(line["lateness"].as_i64().unwrap_or(0) * scale),
            elements,
            expected: lines("expected"),
        }
    }

    /// The number behind `name=` in the assigner, scaled.
    fn span(&self, name: &str) -> Span {
        let words = self.assigner.split_whitespace();
        let value = words.filter_map(|word| word.strip_prefix(name)?.strip_prefix('=')).next();
        Span(value.map_or(0, |value| value.parse::<i64>().expect("a number") * self.scale))
    }

    /// Runs the script in all ways and gives the lines that it prints.
    fn run(&self) -> Vec<String> {
        let (size, offset) = (self.span("size"), self.span("offset"));
        let sliding = Sliding { size, slide: self.span("slide"), offset };
        match self.assigner.split_whitespace().next() {
            Some("tumbling") => {
                self.run_with::<false>(AnyAssigner::Tumbling(Tumbling { size, offset }))
            }
            Some("sliding") => self.run_with::<false>(AnyAssigner::Sliding(sliding)),
            Some("global") => self.run_with::<false>(AnyAssigner::Global),
            Some("session") if self.assigner == "session dynamic gap=1+value%7" => {
                self.run_with::<true>(AnyAssigner::Dynamic { scale: self.scale })
            }
            Some("session") => {
                self.run_with::<true>(AnyAssigner::Session(Session::with_gap(self.span("gap"))))
            }
            other => panic!("script {} has an unknown assigner {other:?}", self.id),
        }
    }

    fn run_with<const MERGES: bool>(&self, assigner: AnyAssigner<MERGES>) -> Vec<String> {
        let make = || {
            GeneralWindows::new(
                |event: &Event| event.0.clone(),
                assigner.clone(),
                self.trigger.clone(),
                self.evictor.clone(),
                Listed::new(|key: &String, window, events: &[Stamped<Event>]| -> [Firing; 1] {
                    let mut values: Vec<_> = events.iter().map(|event| event.value.1).collect();
                    values.sort_unstable();
                    [(key.clone(), window, values)]
                }),
            )
            .allowed_lateness(self.lateness)
            .late_records(LateRecords::Emit)
        };
        check_each_restore(make, &self.elements, Order::Exact);
        let output = check_operator(make, &self.elements, Order::Exact);
        output.iter().map(|element| self.print(element)).collect()
    }

    fn print(&self, element: &Element<Fired<Firing, Event>>) -> String {
        match element {
            Element::Control(Control::Watermark(at)) => format!("W {}", self.last_tick(*at)),
            Element::Control(other) => panic!("{other:?} is in no script"),
            Element::Record(Stamped { at, value: Fired::Late((key, value)) }) => {
                format!("LATE {key} {value} {}", self.tick(*at))
            }
            Element::Record(Stamped { at, value: Fired::Result((key, window, values)) }) => {
                let mut line = format!("FIRE {key} ");
                if *window == Window::GLOBAL {
                    line.push('G');
                } else {
                    let (start, end) = (self.tick(window.start), self.tick(window.end));
                    write!(line, "{start} {end}").unwrap();
                }
                let values: Vec<_> = values.iter().map(i64::to_string).collect();
                write!(line, " [{}] @{}", values.join(","), self.last_tick(*at)).unwrap();
                line
            }
        }
    }

    /// The tick that begins at an instant.
    fn tick(&self, at: Timestamp) -> String {
        if at.0 % self.scale == 0 { (at.0 / self.scale).to_string() } else { format!("{at}ns") }
    }

    /// The tick that ends with an instant.
    fn last_tick(&self, at: Timestamp) -> String {
        if at == Timestamp::MAX {
            return "MAX".to_owned();
        }
        let next = Timestamp(at.0 + 1);
        let tick = self.tick(next);
        tick.parse().map_or(tick, |tick: i64| (tick - 1).to_string())
    }

    /// Lines in an order that does not depend on that between two watermarks.
    fn in_order(&self, lines: &[String]) -> Vec<String> {
        let mut lines = lines.to_vec();
        for run in lines.chunk_by_mut(|a, b| !a.starts_with('W') && !b.starts_with('W')) {
            run.sort();
        }
        if self.scale > 1 && is_continuous(&self.trigger) {
            lines.dedup();
        }
        lines
    }
}

fn is_continuous(trigger: &AnyTrigger) -> bool {
    match trigger {
        AnyTrigger::Continuous(_) => true,
        AnyTrigger::Purging(inner) => is_continuous(inner),
        _ => false,
    }
}

/// `name(argument)` apart.
fn call(text: &str) -> (&str, &str) {
    text.strip_suffix(')').and_then(|text| text.split_once('(')).unwrap_or((text, ""))
}

fn read_trigger(text: &str, scale: i64) -> AnyTrigger {
    match call(text) {
        ("default" | "event", "") => AnyTrigger::EventTime,
        ("never", "") => AnyTrigger::Never,
        ("eos" | "end_of_stream" | "end-of-stream" | "end of stream", "") => {
            AnyTrigger::EndOfStream
        }
        ("delta", by) => AnyTrigger::Delta(Delta::new(by.parse().expect("a number"), rise)),
        ("count", n) => AnyTrigger::Count(Count(n.parse().expect("a count"))),
        ("continuous", ticks) => {
            AnyTrigger::Continuous(Continuous(Span(ticks.parse::<i64>().expect("ticks") * scale)))
        }
        ("purging", inner) => AnyTrigger::Purging(Box::new(read_trigger(inner, scale))),
        other => panic!("an unknown trigger: {other:?}"),
    }
}

fn read_evictor(text: &str, scale: i64) -> AnyEvictor {
    let (name, arguments) = call(text);
    let mut arguments = arguments.split(',');
    let number = arguments.next().unwrap_or("").trim();
    let after = matches!(arguments.next().map(str::trim), Some("after" | "true"));
    let side = if after { Evict::After } else { Evict::Before };
    match name {
        "none" => AnyEvictor::None,
        "count" => AnyEvictor::Count(CountEvictor::new(number.parse().expect("a count"), side)),
        "time" => {
            let ticks = number.parse::<i64>().expect("ticks");
            AnyEvictor::Time(TimeEvictor::new(Span(ticks * scale), side))
        }
        "delta" => {
            AnyEvictor::Delta(DeltaEvictor::new(number.parse().expect("a number"), rise, side))
        }
        other => panic!("an unknown evictor: {other}"),
    }
}

fn read_element(line: &str, scale: i64) -> Element<Event> {
    let words: Vec<_> = line.split_whitespace().collect();
    let number = |word: &str| word.parse::<i64>().expect("a number");
    match words[..] {
        ["e", key, value, at] => {
            let at = Timestamp(number(at) * scale);
            Element::Record(Stamped::new(at, (key.to_owned(), number(value))))
        }
        ["w", at] => Element::Control(Control::Watermark(Timestamp((number(at) + 1) * scale - 1))),
        _ => panic!("an unknown element: {line}"),
    }
}

fn files() -> Vec<PathBuf> {
    // This file is a test of the operators and of the whole.
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = if here.ends_with("operators") { here.join("..") } else { here.to_owned() };
    let own = root.join("tests/conformance/window.jsonl");
    let more = std::env::var_os("TAILWATER_CONFORMANCE").unwrap_or_default();
    let more: Vec<_> = std::env::split_paths(&more).filter(|path| path != Path::new("")).collect();
    std::iter::once(own).chain(more).collect()
}

#[test]
fn the_scripts_agree_with_flink() {
    let mut differing = String::new();
    let mut scripts = 0;
    for file in files() {
        let text = std::fs::read_to_string(&file)
            .unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()));
        let of_windows = |line: &&str| {
            let kind = serde_json::from_str::<Value>(line).map(|line| line["kind"] == "window");
            kind.expect("a script is a JSON object")
        };
        let lines = text.lines().filter(|line| !line.trim().is_empty()).filter(of_windows);
        for (line, scale) in lines.flat_map(|line| [(line, 1), (line, SCALE)]) {
            let script = Script::read(line, scale);
            scripts += 1;
            let (expected, got) =
                (script.in_order(&script.expected), script.in_order(&script.run()));
            if expected != got {
                writeln!(
                    differing,
                    "{} script {} scaled by {scale}: {line}\n  Flink:     {expected:?}\n  \
                     Tailwater: {got:?}",
                    file.display(),
                    script.id,
                )
                .unwrap();
            }
        }
    }
    assert!(differing.is_empty(), "{differing}");
    assert!(scripts >= 100, "the scripts are missing: {scripts} were run");
}
