//! A script of `tests/conformance` and what it means: windows, trigger, evictor, elements, and the
//! lines that Apache Flink printed.
//!
//! The one mapping from scripts to what Tailwater runs: the operator's test and that of the public
//! API both use it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tailwater_core::{Control, Element, Span, Stamped, Timestamp};
use tailwater_operators::window::general::{
    Continuous, Count, CountEvictor, Delta, DeltaEvictor, EndOfStream, EventTime, Evict, Evictor,
    TimeEvictor, Trigger, TriggerContext, Verdict,
};
use tailwater_operators::{Session, Sliding, Tumbling, Window};

/// The nanoseconds of a tick, in the scaled runs.
const SCALE: i64 = 1_000_000;

/// A script's record: key, value, and its time.
pub(crate) type Event = (String, i64, Timestamp);

/// What a window function gives: key, window, values.
pub(crate) type Firing = (String, Window, Vec<i64>);

/// The windows of a script.
#[derive(Clone, Debug)]
pub(crate) enum Windows {
    Tumbling(Tumbling),
    Sliding(Sliding),
    Session(Session),
    /// Sessions with a gap by record: [`Script::gap_of`].
    Dynamic,
    Global,
}

/// What a window function shows: the values in order, as Flink's order within a window is not part
/// of the contract.
pub(crate) fn firing(key: &str, window: Window, mut values: Vec<i64>) -> Firing {
    values.sort_unstable();
    (key.to_owned(), window, values)
}

/// By how much a value is greater than an earlier one.
fn rise(earlier: &Event, later: &Event) -> i64 {
    later.1 - earlier.1
}

pub(crate) type Rise = fn(&Event, &Event) -> i64;

/// A trigger of the scripts.
#[derive(Clone)]
pub(crate) enum AnyTrigger {
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

/// An evictor of the scripts.
#[derive(Clone)]
pub(crate) enum AnyEvictor {
    Count(CountEvictor),
    Time(TimeEvictor),
    Delta(DeltaEvictor<i64, Rise>),
}

impl Evictor<Event> for AnyEvictor {
    fn before(&mut self, records: &mut Vec<Stamped<Event>>, window: Window) {
        match self {
            Self::Count(evictor) => evictor.before(records, window),
            Self::Time(evictor) => evictor.before(records, window),
            Self::Delta(evictor) => evictor.before(records, window),
        }
    }

    fn after(&mut self, records: &mut Vec<Stamped<Event>>, window: Window) {
        match self {
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
pub(crate) struct Script {
    /// What it is called where it differs.
    name: String,
    scale: i64,
    pub windows: Windows,
    /// `None` is the default of the windows.
    pub trigger: Option<AnyTrigger>,
    /// `None` evicts nothing.
    pub evictor: Option<AnyEvictor>,
    pub lateness: Span,
    /// Without the last watermark, which follows from the end of the input.
    pub elements: Vec<Element<Event>>,
    expected: Vec<String>,
}

impl Script {
    fn read(line: &str, scale: i64) -> Self {
        let json: Value = serde_json::from_str(line).expect("a script is a JSON object");
        let text = |name: &str| json[name].as_str().expect("a text");
        let lines = |name: &str| {
            let array = json[name].as_array().expect("an array");
            array.iter().map(|line| line.as_str().expect("a line").to_owned()).collect::<Vec<_>>()
        };
        Self {
            name: format!("script {} scaled by {scale}: {line}", json["id"]),
            scale,
            windows: read_windows(text("assigner"), scale),
            trigger: read_trigger(text("trigger"), scale),
            evictor: read_evictor(json["evictor"].as_str().unwrap_or("none"), scale),
            lateness: Span(json["lateness"].as_i64().unwrap_or(0) * scale),
            elements: lines("script").iter().map(|line| read_element(line, scale)).collect(),
            expected: lines("expected"),
        }
    }

    /// The gap that a record brings to dynamic sessions.
    pub(crate) fn gap_of(&self) -> impl FnMut(&Event) -> Span + Clone + Send + use<> {
        let scale = self.scale;
        move |event: &Event| Span((1 + event.1 % 7) * scale)
    }

    /// How many records Flink told to be late.
    #[allow(dead_code)] // Of the two tests that share this file only that of jobs counts them.
    pub(crate) fn late_records(&self) -> u64 {
        self.expected.iter().filter(|line| line.starts_with("LATE")).count() as u64
    }

    /// The line of a watermark that is handed on.
    pub(crate) fn print_watermark(&self, at: Timestamp) -> String {
        format!("W {}", self.last_tick(at))
    }

    /// The line of a late record.
    pub(crate) fn print_late(&self, (key, value, at): &Event) -> String {
        format!("LATE {key} {value} {}", self.tick(*at))
    }

    /// The line of a firing.
    pub(crate) fn print_firing(&self, firing: &Stamped<Firing>) -> String {
        let (key, window, values) = &firing.value;
        let mut line = format!("FIRE {key} ");
        if *window == Window::GLOBAL {
            line.push('G');
        } else {
            let (start, end) = (self.tick(window.start), self.tick(window.end));
            write!(line, "{start} {end}").unwrap();
        }
        let values: Vec<_> = values.iter().map(i64::to_string).collect();
        write!(line, " [{}] @{}", values.join(","), self.last_tick(firing.at)).unwrap();
        line
    }

    /// What is to be told of a run in which `got` was printed: nothing where Flink printed the
    /// same. `wanted` says which of Flink's lines that run can show.
    pub(crate) fn difference(
        &self,
        way: &str,
        got: &[String],
        wanted: impl Fn(&str) -> bool,
    ) -> Option<String> {
        let expected: Vec<_> = self.expected.iter().filter(|line| wanted(line)).cloned().collect();
        let (expected, got) = (self.in_order(&expected), self.in_order(got));
        let Self { name, .. } = self;
        (expected != got)
            .then(|| format!("{name}\n  {way}\n  Flink:     {expected:?}\n  Tailwater: {got:?}\n"))
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
        if self.scale > 1 && self.trigger.as_ref().is_some_and(is_continuous) {
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

fn read_windows(text: &str, scale: i64) -> Windows {
    let span = |name: &str| {
        let words = text.split_whitespace();
        let value = words.filter_map(|word| word.strip_prefix(name)?.strip_prefix('=')).next();
        Span(value.map_or(0, |value| value.parse::<i64>().expect("a number") * scale))
    };
    let (size, offset) = (span("size"), span("offset"));
    match text.split_whitespace().next() {
        Some("tumbling") => Windows::Tumbling(Tumbling { size, offset }),
        Some("sliding") => Windows::Sliding(Sliding { size, slide: span("slide"), offset }),
        Some("global") => Windows::Global,
        Some("session") if text == "session dynamic gap=1+value%7" => Windows::Dynamic,
        Some("session") => Windows::Session(Session::with_gap(span("gap"))),
        other => panic!("an unknown assigner: {other:?}"),
    }
}

fn read_trigger(text: &str, scale: i64) -> Option<AnyTrigger> {
    Some(match call(text) {
        ("default", "") => return None,
        ("event", "") => AnyTrigger::EventTime,
        ("never", "") => AnyTrigger::Never,
        ("eos" | "end_of_stream" | "end-of-stream" | "end of stream", "") => {
            AnyTrigger::EndOfStream
        }
        ("delta", by) => AnyTrigger::Delta(Delta::new(by.parse().expect("a number"), rise)),
        ("count", n) => AnyTrigger::Count(Count(n.parse().expect("a count"))),
        ("continuous", ticks) => {
            AnyTrigger::Continuous(Continuous(Span(ticks.parse::<i64>().expect("ticks") * scale)))
        }
        ("purging", inner) => {
            let inner = read_trigger(inner, scale).unwrap_or(AnyTrigger::EventTime);
            AnyTrigger::Purging(Box::new(inner))
        }
        other => panic!("an unknown trigger: {other:?}"),
    })
}

fn read_evictor(text: &str, scale: i64) -> Option<AnyEvictor> {
    let (name, arguments) = call(text);
    let mut arguments = arguments.split(',');
    let number = arguments.next().unwrap_or("").trim();
    let after = matches!(arguments.next().map(str::trim), Some("after" | "true"));
    let side = if after { Evict::After } else { Evict::Before };
    Some(match name {
        "none" => return None,
        "count" => AnyEvictor::Count(CountEvictor::new(number.parse().expect("a count"), side)),
        "time" => {
            let ticks = number.parse::<i64>().expect("ticks");
            AnyEvictor::Time(TimeEvictor::new(Span(ticks * scale), side))
        }
        "delta" => {
            AnyEvictor::Delta(DeltaEvictor::new(number.parse().expect("a number"), rise, side))
        }
        other => panic!("an unknown evictor: {other}"),
    })
}

fn read_element(line: &str, scale: i64) -> Element<Event> {
    let words: Vec<_> = line.split_whitespace().collect();
    let number = |word: &str| word.parse::<i64>().expect("a number");
    match words[..] {
        ["e", key, value, at] => {
            let at = Timestamp(number(at) * scale);
            Element::Record(Stamped::new(at, (key.to_owned(), number(value), at)))
        }
        ["w", at] => Element::Control(Control::Watermark(Timestamp((number(at) + 1) * scale - 1))),
        _ => panic!("an unknown element: {line}"),
    }
}

/// The repository's scripts, and those of `TAILWATER_CONFORMANCE`.
fn files() -> Vec<PathBuf> {
    // This file is a test of the operators and of the whole.
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = if here.ends_with("operators") { here.join("..") } else { here.to_owned() };
    let own = root.join("tests/conformance/window.jsonl");
    let more = std::env::var_os("TAILWATER_CONFORMANCE").unwrap_or_default();
    let more: Vec<_> = std::env::split_paths(&more).filter(|path| path != Path::new("")).collect();
    std::iter::once(own).chain(more).collect()
}

/// Runs every script of every file, as it is and scaled; `run` tells how each differs.
///
/// # Panics
/// When one differs, with all that do.
pub(crate) fn check_all(run: impl Fn(&Script) -> Vec<String>) {
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
            scripts += 1;
            for difference in run(&Script::read(line, scale)) {
                writeln!(differing, "{} {difference}", file.display()).unwrap();
            }
        }
    }
    assert!(differing.is_empty(), "{differing}");
    assert!(scripts >= 100, "the scripts are missing: {scripts} were run");
}
