//! `tailwater explain`: what a job is made of, without running it.

use std::io::Write;

use tailwater::{Error, Job, Local, Pace, Result};
use tailwater_market::{Options, Tape};

use crate::arguments::{ExplainArgs, ExplainFormat};
use crate::jobs;
use crate::output::{Lines, Target};

/// Prints the job.
///
/// # Errors
/// When the job cannot run as asked, or standard output cannot be written.
pub fn explain(arguments: ExplainArgs) -> Result<()> {
    let shape = arguments.shape.shape()?;
    let job = Job::new(shape.kind.name());
    // Every source and sink makes the same graph; these need nothing to be there.
    let tape = Tape::new(Options::default(), 0)?;
    jobs::add(&job, &shape, tape, Pace::Max, Lines::new(Target::Counted, shape.order));
    let local = Local { cores: arguments.cores, ..Local::default() };
    let text = match arguments.format {
        ExplainFormat::Text => job.explain(&local)?,
        ExplainFormat::Dot => job.explain_dot(&local)?,
        ExplainFormat::Json => job.explain_json(&local)? + "\n",
    };
    let written = std::io::stdout().lock().write_all(text.as_bytes());
    written.map_err(|cause| Error::io("cannot write to standard output", cause))
}
