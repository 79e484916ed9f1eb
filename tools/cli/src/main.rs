//! The command line: run a job on a tape, explain it, measure the engine, write a tape.
#![forbid(unsafe_code)]

mod arguments;
mod bench;
mod entries;
mod explain;
mod generate;
mod input;
mod inspect;
mod jobs;
mod look;
mod output;
mod progress;
mod run;
mod summary;

use std::error::Error as _;
use std::process::ExitCode;

use clap::Parser;
use tailwater::Error;

use arguments::{Arguments, Command};

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Run(arguments) => run::run(*arguments),
        Command::Explain(arguments) => explain::explain(arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Generate(arguments) => generate::generate(arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads our output has seen enough, as in `tailwater run bars --output - | head`.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            look::tell("error", look::BAD, &error);
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &Error) -> bool {
    let mut cause = error.source();
    while let Some(current) = cause {
        if let Some(refused) = current.downcast_ref::<std::io::Error>() {
            return refused.kind() == std::io::ErrorKind::BrokenPipe;
        }
        cause = current.source();
    }
    false
}
