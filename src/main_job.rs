//! A job as a program: its command line, its signals, its summary.

use clap::Parser;
use tailwater_core::{Error, Result, Span};
use tailwater_runtime::{Cores, Driver, Idle, JobHandle, Local, Report};

use crate::Job;
use crate::checkpoint_options::CheckpointOptions;
use crate::mode_options::ModeOptions;

/// The options of a program whose `main` is [`Job::main`].
#[derive(Debug, Parser)]
struct Options {
    /// Cores to run on: how many (`4`), which ones (`2,3` or `2-5`), or all
    #[arg(long, default_value = "all", value_name = "N|LIST|all")]
    cores: Cores,
    /// What a core does that has nothing to do: spin, yield or park
    #[arg(long, default_value = "yield", value_name = "POLICY")]
    idle: Idle,
    /// What drives the cores: glommio, threads, or seeded:N (one thread, repeatable)
    #[arg(long, default_value = "glommio", value_name = "DRIVER", value_parser = parse_driver)]
    driver: Driver,
    #[command(flatten)]
    checkpoints: CheckpointOptions,
    #[command(flatten)]
    mode: ModeOptions,
    /// Print the job instead of running it: text, dot or json
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, default_missing_value = "text")]
    explain: Option<String>,
    /// Print nothing when the job has ended
    #[arg(long)]
    quiet: bool,
}

/// Reads `glommio`, `threads` or `seeded:N`.
///
/// # Errors
/// When the text is none of them.
pub fn parse_driver(text: &str) -> Result<Driver> {
    match text {
        "glommio" => Ok(Driver::Glommio),
        "threads" => Ok(Driver::Threads),
        _ => text
            .strip_prefix("seeded:")
            .and_then(|seed| seed.parse().ok())
            .map(Driver::Seeded)
            .ok_or_else(|| Error::configuration("write glommio, threads or seeded:N")),
    }
}

impl Job {
    /// Runs the job as the program's command line says (`--cores`, `--idle`, `--driver`,
    /// `--checkpoints`, `--restore`, `--explain`; `--help` lists them). SIGINT and SIGTERM end the
    /// sources and drain the job, a second one aborts it.
    ///
    /// # Errors
    /// When the job cannot run as asked, or fails.
    #[allow(clippy::print_stdout, clippy::print_stderr)] // It is the program's own output.
    pub fn main(self) -> Result<()> {
        let options = Options::parse();
        let local = options.mode.apply(options.checkpoints.apply(Local {
            cores: options.cores,
            idle: options.idle,
            driver: options.driver,
            ..Local::default()
        }));
        match options.explain.as_deref() {
            Some("text") => print!("{}", self.explain(&local)?),
            Some("dot") => print!("{}", self.explain_dot(&local)?),
            Some("json") => println!("{}", self.explain_json(&local)?),
            Some(other) => {
                return Err(Error::configuration(format!(
                    "`{other}` is no format of --explain: write text, dot or json"
                )));
            }
            None => {
                let handle = self.start(local)?;
                for warning in handle.warnings() {
                    eprintln!("warning: {warning}");
                }
                stop_on_signals(&handle)?;
                let report = handle.join()?;
                if !options.quiet {
                    eprintln!("{}", summary(&report));
                }
            }
        }
        Ok(())
    }
}

/// From now on the first SIGINT or SIGTERM ends the job's sources and drains it, the second aborts
/// it; SIGUSR1 writes to standard error which split holds the watermark, and why.
///
/// # Errors
/// When the handlers cannot be set.
#[allow(clippy::print_stderr)] // Whoever sends the signal looks there.
pub fn stop_on_signals(handle: &JobHandle) -> Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGUSR1])
        .map_err(|cause| Error::io("cannot listen to signals", cause))?;
    let stopper = handle.stopper();
    let watch = handle.event_time_watch();
    std::thread::Builder::new()
        .name("tailwater-signals".to_owned())
        .spawn(move || {
            let mut stopping = false;
            for signal in signals.forever() {
                if signal == SIGUSR1 {
                    eprintln!("{}", watch.look().why(|at| at.to_string()));
                } else if std::mem::replace(&mut stopping, true) {
                    stopper.abort();
                } else {
                    stopper.drain();
                }
            }
        })
        .map(|_| ())
        .map_err(|cause| Error::io("cannot start the thread for signals", cause))
}

/// A run in one line, and what its checkpoints came to in another.
fn summary(report: &Report) -> String {
    let mut text = format!(
        "{}: {} records in, {} out, {} late, {:.3} s, {:.2} M records/s on {} cores ({})",
        report.job,
        report.records,
        report.outputs,
        report.late(),
        report.secs,
        report.records_per_s() / 1e6,
        report.cores.len(),
        report.driver,
    );
    let came = &report.checkpoints;
    if came.completed + came.failed + came.restarts + came.restored_from > 0 {
        text.push_str(&format!(
            "\n{}: restored from {}, {} checkpoints completed and {} failed, {} bytes, {} at most, \
             pause {} at most, {} restarts",
            report.job,
            came.restored_from,
            came.completed,
            came.failed,
            came.bytes,
            Span(came.duration_max_ns as i64),
            Span(came.pause_max_ns as i64),
            came.restarts,
        ));
    }
    text
}
