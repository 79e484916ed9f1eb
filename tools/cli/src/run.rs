//! `tailwater run`: a job on a tape, with a progress bar on the way and a report at its end.

use std::io::{IsTerminal, Write};

use tailwater::{Error, Job, Local, Result, TimeUnits, stop_on_signals};

use crate::arguments::{ReportFormat, RunArgs};
use crate::input::{Input, InputKind};
use crate::output::{Lines, Target};
use crate::progress::Shown;
use crate::{jobs, look, progress, summary};

/// Runs the job to its end, or to a signal.
///
/// # Errors
/// When the job cannot run as asked, or fails.
pub fn run(arguments: RunArgs) -> Result<()> {
    let shape = arguments.shape.shape()?;
    let input = Input::of(&arguments)?;
    let target = Target::of(arguments.output.as_deref());
    let lines = Lines::new(target.clone(), shape.order);
    let sample = lines.sample();

    let job = Job::new(shape.kind.name());
    for objective in &arguments.objective {
        job.objective(objective.percentile, objective.limit);
    }
    match input.kind {
        InputKind::Synthetic(tape) => jobs::add(&job, &shape, tape, arguments.rate, lines),
        InputKind::Files(files) => jobs::add(&job, &shape, files, arguments.rate, lines),
    }

    let local = Local {
        cores: arguments.cores,
        idle: arguments.idle,
        driver: arguments.driver,
        // Long enough to meet the machine's timer ticks, short enough not to be noticed.
        floor_measurement: 50.millis(),
        ..Local::default()
    };
    let handle = job.start(arguments.mode.apply(arguments.checkpoints.apply(local)))?;
    stop_on_signals(&handle)?;
    if !arguments.quiet {
        for warning in handle.warnings() {
            look::tell("warning", look::ODD, warning);
        }
        let both = target == Target::Stdout && std::io::stdout().is_terminal();
        let drawn = std::io::stderr().is_terminal() && !both;
        let shown = if drawn { Shown::Bar } else { Shown::Nothing };
        progress::watch(&handle, input.trades_max, shown, arguments.why_stuck);
    }
    let report = handle.join()?;

    let text = match arguments.report {
        ReportFormat::Json => summary::json(&report)?,
        ReportFormat::Text if arguments.quiet => return Ok(()),
        ReportFormat::Text => summary::text(&report, &sample.lines()),
    };
    write_report(&text, &target)
}

/// To standard output, unless the results are there.
fn write_report(text: &str, target: &Target) -> Result<()> {
    let written = match target {
        Target::Stdout => anstream::stderr().write_all(text.as_bytes()),
        _ => anstream::stdout().write_all(text.as_bytes()),
    };
    written.map_err(|cause| Error::io("cannot write the report", cause))
}
