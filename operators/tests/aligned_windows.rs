//! Tumbling and sliding windows agree with Apache Flink on the conformance vectors that fit them.
//!
//! Each script runs as it is and scaled to milliseconds, with and without a snapshot and restore
//! after each element. What lies between two watermarks is compared as a multiset. The vectors lie
//! in `$TAILWATER_CONFORMANCE`, or in `../shared/conformance` beside the workspace.
#![allow(missing_docs, clippy::print_stderr)]

use std::path::PathBuf;

use tailwater_core::{Error, Span, Timestamp};
use tailwater_operators::aggregate::Prototype;
use tailwater_operators::testing::carry_over;
use tailwater_operators::{
    Aggregate, Collect, Fired, LateRecords, Operator, OperatorContext, PaneWindows, Sliding,
    WindowResult,
};

#[derive(
    Clone, Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize, tailwater_core::Describe,
)]
struct Contents(Vec<i64>);

type Record = (String, i64);

impl Aggregate<Record> for Contents {
    type Output = Vec<i64>;

    fn add(&mut self, record: &Record) {
        self.0.push(record.1);
    }

    fn merge(&mut self, other: &Self) {
        self.0.extend(&other.0);
    }

    fn finish(&self) -> Vec<i64> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted
    }
}

struct Printed {
    lines: Vec<String>,
    tick: i64,
}

impl Collect<Fired<WindowResult<String, Vec<i64>>, Record>> for Printed {
    fn record(&mut self, at: Timestamp, fired: Fired<WindowResult<String, Vec<i64>>, Record>) {
        self.lines.push(match fired {
            Fired::Result(WindowResult { key, window, value }) => {
                let values: Vec<String> = value.iter().map(i64::to_string).collect();
                assert_eq!(at, window.last());
                let (start, end) = (window.start.0 / self.tick, window.end.0 / self.tick);
                format!("FIRE {key} {start} {end} [{}] @{}", values.join(","), end - 1)
            }
            Fired::Late((key, value)) => format!("LATE {key} {value} {}", at.0 / self.tick),
        });
    }

    fn watermark(&mut self, at: Timestamp) {
        self.lines.push(match at {
            Timestamp::MAX => "W MAX".to_owned(),
            // The last instant of a scaled tick; see `run`.
            at => format!("W {}", (at.0 + 1) / self.tick - 1),
        });
    }

    fn has_room(&self) -> bool {
        true
    }

    fn fail(&mut self, error: Error) {
        panic!("{error}");
    }
}

/// The value of `name=` in an assigner's description.
fn field(text: &str, name: &str) -> Option<i64> {
    let of = |word: &str| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok();
    text.split_whitespace().find_map(of)
}

fn windows(assigner: &str, tick: i64) -> Option<Sliding> {
    if !(assigner.starts_with("tumbling") || assigner.starts_with("sliding")) {
        return None;
    }
    let size = Sliding::of(Span(field(assigner, "size")? * tick));
    let every = field(assigner, "slide").map_or(size.size, |slide| Span(slide * tick));
    Some(size.every(every).offset(Span(field(assigner, "offset").unwrap_or(0) * tick)))
}

fn run(windows: Sliding, lateness: i64, script: &[&str], tick: i64, restored: bool) -> Vec<String> {
    let key = |record: &Record| record.0.clone();
    let prototype = PaneWindows::new(key, windows, Prototype(Contents::default()))
        .unwrap()
        .allowed_lateness(Span(lateness * tick))
        .late_records(LateRecords::Emit);
    let context = OperatorContext::single_core();
    let mut operator = prototype.clone();
    operator.open(&context).unwrap();
    let mut out = Printed { lines: Vec::new(), tick };
    for step in script {
        let words: Vec<&str> = step.split(' ').collect();
        match words[..] {
            ["e", key, value, at] => {
                let at = Timestamp(at.parse::<i64>().unwrap() * tick);
                operator.on_record(at, (key.to_owned(), value.parse().unwrap()), &mut out);
            }
            // A tick becomes a span of `tick` nanoseconds; its last one has passed.
            ["w", at] => {
                let at = (at.parse::<i64>().unwrap() + 1) * tick - 1;
                operator.on_watermark(Timestamp(at), &mut out);
            }
            _ => panic!("an unknown step: {step}"),
        }
        if restored {
            let mut fresh = prototype.clone();
            fresh.open(&context).unwrap();
            carry_over(&mut operator, &mut fresh).unwrap();
            operator = fresh;
        }
    }
    operator.on_watermark(Timestamp::MAX, &mut out);
    out.lines
}

/// The same lines, sorted between one watermark and the next.
fn as_multisets<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<Vec<String>> {
    let mut sets = vec![Vec::new()];
    for line in lines {
        let set = sets.last_mut().expect("there is always one");
        set.push(line.to_owned());
        if line.starts_with("W ") {
            set.sort_unstable();
            sets.push(Vec::new());
        }
    }
    sets
}

#[test]
fn agree_with_flink() {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/conformance");
    let directory =
        std::env::var_os("TAILWATER_CONFORMANCE").map_or(PathBuf::from(beside), PathBuf::from);
    let file = directory.join("window.jsonl");
    let Ok(vectors) = std::fs::read_to_string(&file) else {
        eprintln!("skipped: {} is absent", file.display());
        return;
    };
    let mut compared = 0;
    for line in vectors.lines() {
        let vector: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| vector[name].as_str().unwrap_or_default();
        let list = |name: &str| -> Vec<&str> {
            vector[name].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect()
        };
        let plain = matches!(text("trigger"), "default" | "event") && text("evictor") == "none";
        for (tick, restored) in [(1, false), (1, true), (1_000_000, false), (1_000_000, true)] {
            let Some(windows) = windows(text("assigner"), tick).filter(|_| plain) else { continue };
            let lateness = vector["lateness"].as_i64().unwrap();
            let given = run(windows, lateness, &list("script"), tick, restored);
            let given = as_multisets(given.iter().map(String::as_str));
            assert_eq!(given, as_multisets(list("expected")), "vector {}", vector["id"]);
            compared += 1;
        }
    }
    assert!(compared > 0, "{} has no vector for aligned windows", file.display());
}
