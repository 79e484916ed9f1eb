//! Window scripts with the output that Apache Flink gave, through the API that users name: whole
//! jobs must agree.
//!
//! Method: each script (see the operators' own test, which runs here too, and reads them) becomes a
//! job that [`JobHarness`] drives: with its trigger and evictor, and where it has none, also as an
//! aggregate, which the job keeps as panes where it can, and as one that drops late records, which
//! it sums up before the exchange. Each runs on one core, on three with all that lies between two
//! watermarks in flight at once, and with a checkpoint and a restart on another number of cores
//! after each element.

#[path = "../operators/tests/conformance.rs"]
mod operators;

use operators::script::{Event, Firing, Script, Windows, check_all, firing};
use tailwater::WindowKind;
use tailwater::prelude::*;
use tailwater::testing::{JobHarness, TestSink, TestSource};
use tailwater_core::{Control, Element};

/// The values of a window, in the order of arrival.
#[record]
#[derive(Default)]
struct Values(Vec<i64>);

impl Aggregate<Event> for Values {
    type Output = Vec<i64>;

    fn add(&mut self, event: &Event) {
        self.0.push(event.1);
    }

    fn merge(&mut self, other: &Self) {
        self.0.extend(&other.0);
    }

    fn finish(&self) -> Vec<i64> {
        self.0.clone()
    }
}

/// How a job is run.
#[derive(Clone, Copy)]
enum Way {
    /// Each element is worked off before the next comes.
    ElementByElement { cores: u32 },
    /// What lies between two watermarks comes at once.
    InBatches { cores: u32 },
    /// The process dies after each element.
    Restarting,
}

const WAYS: [(&str, Way); 3] = [
    ("on one core", Way::ElementByElement { cores: 1 }),
    ("on three cores in batches", Way::InBatches { cores: 3 }),
    ("with a restart after each element", Way::Restarting),
];

/// A job, and what it is fed by and gives.
struct Ends {
    source: TestSource<Event>,
    firings: TestSink<Firing>,
    late: TestSink<Event>,
}

impl Ends {
    fn new() -> Self {
        Self { source: TestSource::new(), firings: TestSink::new(), late: TestSink::new() }
    }

    /// What came out since the last call, and where event time is now.
    fn take(&self, script: &Script, watermark: &mut Timestamp, into: &mut Vec<String>) {
        into.extend(self.firings.take_stamped().iter().map(|one| script.print_firing(one)));
        into.extend(self.late.take().iter().map(|event| script.print_late(event)));
        let now = self.firings.watermark();
        if now > *watermark {
            into.push(script.print_watermark(now));
            *watermark = now;
        }
    }

    /// Runs a script through a job with these ends; what it prints, and how many late records it
    /// dropped since the last restart.
    fn run(&self, script: &Script, job: Job, way: Way) -> Result<(Vec<String>, u64)> {
        let cores = match way {
            Way::ElementByElement { cores } | Way::InBatches { cores } => cores,
            Way::Restarting => 1,
        };
        let mut harness = JobHarness::new(job, Local::seeded(cores, 5))?;
        let (mut lines, mut watermark) = (Vec::new(), Timestamp::MIN);
        for (position, element) in script.elements.iter().enumerate() {
            let is_record = match element {
                Element::Record(record) => {
                    self.source.push(record.value.clone());
                    true
                }
                Element::Control(Control::Watermark(at)) => {
                    self.source.watermark(*at);
                    false
                }
                Element::Control(other) => panic!("{other:?} is in no script"),
            };
            if is_record && matches!(way, Way::InBatches { .. }) {
                continue;
            }
            harness.run_until_idle()?;
            self.take(script, &mut watermark, &mut lines);
            if matches!(way, Way::Restarting) {
                harness.checkpoint()?;
                harness.restart(1 + position as u32 % 3)?;
            }
        }
        self.source.end();
        harness.run_until_idle()?;
        self.take(script, &mut watermark, &mut lines);
        Ok((lines, harness.count("late_records_dropped")))
    }
}

/// What an aggregate gives, as a firing.
fn shown(result: WindowResult<String, Vec<i64>>) -> Firing {
    firing(&result.key, result.window, result.value)
}

#[allow(clippy::ptr_arg)] // The key is a `String`, and a window function takes a reference to it.
fn show(key: &String, window: Window, events: &[Stamped<Event>]) -> [Firing; 1] {
    [firing(key, window, events.iter().map(|event| event.value.1).collect())]
}

/// The records of `ends` in windows, by key.
macro_rules! windowed {
    ($script:expr, $windows:expr, $ends:expr, $job:expr) => {
        $job.source($ends.source.clone())
            .event_time(|event: &Event| event.2, Watermarks::by_source())
            .key_by(|event| event.0.clone())
            .window($windows)
            .allowed_lateness($script.lateness)
    };
}

/// Shows all that windows hold, and what comes too late for them.
macro_rules! list {
    ($windows:expr, $ends:expr) => {{
        let (firings, late) = $windows.with_late(|windows| windows.apply(show));
        firings.sink($ends.firings.clone());
        late.named("late").sink($ends.late.clone());
    }};
}

/// The script as it stands.
fn as_lists<W: WindowKind<Event>>(script: &Script, windows: W, ends: &Ends) -> Job {
    let job = Job::new("lists");
    let windowed = windowed!(script, windows, ends, job);
    match (script.trigger.clone(), script.evictor.clone()) {
        (None, None) => list!(windowed, ends),
        (Some(trigger), None) => list!(windowed.trigger(trigger), ends),
        (None, Some(evictor)) => list!(windowed.evict(evictor), ends),
        (Some(trigger), Some(evictor)) => list!(windowed.trigger(trigger).evict(evictor), ends),
    }
    job
}

/// An aggregate beside which late records are told.
fn as_aggregate<W: WindowKind<Event>>(script: &Script, windows: W, ends: &Ends) -> Job {
    let job = Job::new("aggregate");
    let windowed = windowed!(script, windows, ends, job);
    let (results, late) = windowed.aggregate_with_late(Values::default());
    results.map(shown).sink(ends.firings.clone());
    late.named("late").sink(ends.late.clone());
    job
}

/// An aggregate that drops late records.
fn as_sums<W: WindowKind<Event>>(script: &Script, windows: W, ends: &Ends) -> Job {
    let job = Job::new("sums");
    let windowed = windowed!(script, windows, ends, job);
    windowed.aggregate(Values::default()).map(shown).sink(ends.firings.clone());
    job
}

/// Runs a script with windows of one kind in all ways and tells how its output differs.
fn run_with<W: WindowKind<Event>>(script: &Script, windows: W) -> Vec<String> {
    type Build<W> = fn(&Script, W, &Ends) -> Job;
    let kinds: [(&str, Build<W>, bool); 3] = [
        ("as lists", as_lists, true),
        ("as an aggregate", as_aggregate, true),
        ("as an aggregate without late records", as_sums, false),
    ];
    let has_defaults = script.trigger.is_none() && script.evictor.is_none();
    let mut differences = Vec::new();
    for (kind, build, tells_late) in &kinds[..if has_defaults { 3 } else { 1 }] {
        for (name, way) in WAYS {
            let (name, ends) = (format!("{kind} {name}"), Ends::new());
            let job = build(script, windows.clone(), &ends);
            let outcome = ends.run(script, job, way);
            let (lines, dropped) = outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
            let wanted = |line: &str| *tells_late || !line.starts_with("LATE");
            differences.extend(script.difference(&name, &lines, wanted));
            // A restart begins to count anew.
            if !tells_late && !matches!(way, Way::Restarting) {
                assert_eq!(dropped, script.late_records(), "{name}");
            }
        }
    }
    differences
}

/// Runs a script and tells how its output differs.
fn run(script: &Script) -> Vec<String> {
    match script.windows.clone() {
        Windows::Tumbling(windows) => run_with(script, windows),
        Windows::Sliding(windows) => run_with(script, windows),
        Windows::Session(windows) => run_with(script, windows),
        Windows::Dynamic => run_with(script, DynamicSession::new(script.gap_of())),
        Windows::Global => run_with(script, Global),
    }
}

#[test]
fn jobs_agree_with_flink() {
    check_all(run);
}
