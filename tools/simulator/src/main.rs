//! The simulator: runs whole jobs from seeds, with all the trouble that a machine can make, and
//! compares what they put out with what they should have.
#![forbid(unsafe_code)]

mod arguments;
mod disk;
mod input;
mod jobs;
mod ledger;
mod life;
mod output_disk;
mod probe;
mod run;
mod script;
mod store;
mod swarm;
mod trace;
mod world;

use std::io::Write;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use clap::Parser;
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use tailwater::{Clock, SystemClock};
use tailwater_core::Fault;
use tailwater_core::fault::switch_fault;

use arguments::Arguments;
use run::{Outcome, Settings};

/// One seed in so many runs twice, to see that both runs are the same.
const TWICE_EVERY: u64 = 16;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Panics are part of the game; what they mean is found out from their results.
    std::panic::set_hook(Box::new(|_| {}));
    match prepare(&arguments) {
        Ok(ControlFlow::Break(())) => ExitCode::SUCCESS,
        Ok(ControlFlow::Continue(settings)) => run_all(&arguments, &settings),
        Err(problem) => {
            tell(&format!("error: {problem}"));
            ExitCode::from(2)
        }
    }
}

fn prepare(arguments: &Arguments) -> Result<ControlFlow<(), Settings>, String> {
    if arguments.list_jobs {
        let names = jobs::JOBS.iter().map(|(name, ..)| (*name).to_owned());
        print(names);
        return Ok(ControlFlow::Break(()));
    }
    if arguments.list_faults {
        print(Fault::ALL.iter().map(|fault| name_of(*fault)));
        return Ok(ControlFlow::Break(()));
    }
    if let Some(name) = &arguments.fault {
        let fault = Fault::ALL.iter().find(|fault| name_of(**fault) == *name);
        let Some(fault) = fault else {
            return Err(format!("there is no fault `{name}`: --list-faults shows them"));
        };
        switch_fault(Some(*fault));
    }
    if let Some(job) = &arguments.job
        && !jobs::JOBS.iter().any(|(name, ..)| name == job)
    {
        return Err(format!("there is no job `{job}`: --list-jobs shows them"));
    }
    Ok(ControlFlow::Continue(Settings { job: arguments.job.clone(), verbose: arguments.verbose }))
}

/// A fault as it is called on the command line: `lose-dirty-slot`.
fn name_of(fault: Fault) -> String {
    let mut name = String::new();
    for letter in format!("{fault:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

/// Lines of standard output; whoever does not want to read them to the end need not.
fn print(lines: impl Iterator<Item = String>) {
    let mut out = std::io::stdout().lock();
    for line in lines {
        let _ = writeln!(out, "{line}");
    }
}

fn tell(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// What came of all seeds.
#[derive(Debug, Default)]
struct Tally {
    runs: AtomicU64,
    records: AtomicU64,
    steps: AtomicU64,
    lives: AtomicU64,
    failures: AtomicU64,
}

fn run_all(arguments: &Arguments, settings: &Settings) -> ExitCode {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = arguments.threads.map_or(cores, usize::from);
    let bar = bar(arguments.seeds.end - arguments.seeds.start);
    let next = AtomicU64::new(arguments.seeds.start);
    let stop = AtomicBool::new(false);
    let (tally, failed) = (Tally::default(), Mutex::new(Vec::new()));
    let clock = SystemClock::default();
    let started_ns = clock.monotonic_ns();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !stop.load(Relaxed) {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= arguments.seeds.end {
                        break;
                    }
                    let outcome = run_seed(seed, settings, arguments.seeds.start);
                    tally.add(&outcome);
                    bar.inc(1);
                    if arguments.verbose {
                        bar.suspend(|| print(outcome.story().into_iter()));
                    }
                    if outcome.problem.is_some() {
                        let text = failure(&outcome, arguments);
                        bar.suspend(|| tell(&text));
                        failed.lock().unwrap_or_else(|e| e.into_inner()).push(seed);
                        stop.store(!arguments.keep_going, Relaxed);
                    }
                }
            });
        }
    });
    bar.finish_and_clear();
    let secs = (clock.monotonic_ns() - started_ns) as f64 / 1e9;
    print(std::iter::once(tally.summary(secs)));
    if tally.failures.load(Relaxed) == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a seed, some of them twice.
fn run_seed(seed: u64, settings: &Settings, first: u64) -> Outcome {
    let mut outcome = run::run(seed, settings);
    if outcome.problem.is_none() && (seed - first).is_multiple_of(TWICE_EVERY) {
        let again = run::run(seed, settings);
        if (again.trace, again.events) != (outcome.trace, outcome.events) {
            outcome.problem = Some(format!(
                "the same seed ran differently: trace {:016x} of {} events, then {:016x} of {}",
                outcome.trace, outcome.events, again.trace, again.events
            ));
        }
    }
    outcome
}

fn failure(outcome: &Outcome, arguments: &Arguments) -> String {
    let Outcome { seed, job, problem, .. } = outcome;
    let problem = problem.as_deref().unwrap_or_default();
    let fault = arguments.fault.as_ref().map_or(String::new(), |name| format!(" --fault {name}"));
    let only = if arguments.job.is_some() { format!(" --job {job}") } else { String::new() };
    format!(
        "seed {seed} failed: job {job}: {problem}\n  repeat it: cargo run --release -p \
         tailwater-simulator -- --seeds {seed}..{}{only}{fault} --verbose",
        seed + 1
    )
}

impl Tally {
    fn add(&self, outcome: &Outcome) {
        self.runs.fetch_add(1, Relaxed);
        self.records.fetch_add(outcome.records, Relaxed);
        self.steps.fetch_add(outcome.steps, Relaxed);
        self.lives.fetch_add(outcome.lives, Relaxed);
        self.failures.fetch_add(u64::from(outcome.problem.is_some()), Relaxed);
    }

    fn summary(&self, secs: f64) -> String {
        let runs = self.runs.load(Relaxed);
        format!(
            "{} seeds in {secs:.1} s ({:.0}/s): {} failed; {} steps, {} records, {} processes",
            HumanCount(runs),
            runs as f64 / secs,
            HumanCount(self.failures.load(Relaxed)),
            HumanCount(self.steps.load(Relaxed)),
            HumanCount(self.records.load(Relaxed)),
            HumanCount(self.lives.load(Relaxed)),
        )
    }
}

fn bar(length: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr_with_hz(10));
    let template = "{bar:24.cyan} {percent:>3} %  {pos} of {len} seeds  {rate}/s  {eta} left";
    // A template that does not parse is a mistake in this file; the default bar is as useful then.
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", |state: &ProgressState, text: &mut dyn std::fmt::Write| {
            let _ = write!(text, "{:.0}", state.per_sec());
        });
    bar.set_style(style);
    bar
}
