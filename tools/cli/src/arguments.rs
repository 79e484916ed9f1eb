//! What the command line says: commands, options, defaults, help.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tailwater::connectors::OnError;
use tailwater::{
    CheckpointOptions, Cores, Driver, Error, Idle, ModeOptions, Objective, Pace, Result, Span,
    TimeUnits,
};

use crate::bench::BenchArgs;
use crate::inspect::InspectArgs;
use crate::jobs::{Kind, Order, Shape};

const EXAMPLES: &str = "\
Examples:
  tailwater run vwap                                   a synthetic tape, on all cores
  tailwater run bars --input trades.csv.gz --output bars.jsonl
  tailwater explain vwap --cores 4
  tailwater generate --format itch50 --symbols 100 --events 1000000 --output tape.itch
  tailwater inspect checkpoints/
  tailwater bench tick-vwap --cores 2

`tailwater COMMAND --help` shows the options of a command, with examples.";

const RUN_EXAMPLES: &str = "\
Examples:
  tailwater run vwap
      5 million synthetic trades as fast as they go; shows throughput, latency and the last results
  tailwater run vwap --rate 100000/s --objective p99=50us
      an endless synthetic tape; Ctrl-C drains it and shows whether the objective was met
  tailwater run bars --window 1min --input btcusdt.jsonl.gz --output bars.jsonl
      bars of a minute from a recording, whose format is told by its content
  tailwater run bars --input 'tape/*.csv.zst' --output bars/ --on-error dead-letter=bad.jsonl
      several files into a directory of parts; bad lines are kept aside
  tailwater run vwap --input day.itch --rate x100 --output - | head
      a day of ITCH a hundred times as fast as it was
  tailwater run bars --input day.csv --output bars.jsonl --checkpoints ckpt/ --interval 1s --restore latest
      exactly once: killed at any moment and started again with the same line, it goes on where it was";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  tailwater explain bars
  tailwater explain vwap --cores 4 --format dot | dot -Tsvg > vwap.svg
  tailwater explain vwap --window 1min --slide 1s --format json";

const INSPECT_EXAMPLES: &str = "\
Examples:
  tailwater inspect checkpoints/
      the newest checkpoint: operators, states, keys, bytes, types, chain, and the verdict of a full check
  tailwater inspect checkpoints/ --state window/panes --limit 10
      some entries of a state
  tailwater inspect checkpoints/ --checkpoint 42 --state window/panes --key BTCUSDT --format json";

const GENERATE_EXAMPLES: &str = "\
Examples:
  tailwater generate --format csv --output trades.csv
  tailwater generate --format itch50 --symbols 500 --events 10000000 --seed 7 --output tape.itch
  tailwater generate --format csv --events 1000 --output - | head";

/// Market tapes into bars and VWAP on every core: a stateful stream processor
#[derive(Debug, Parser)]
#[command(name = "tailwater", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a job on a recording, or on a synthetic tape
    #[command(after_help = RUN_EXAMPLES)]
    Run(Box<RunArgs>),
    /// Show what a job is made of and how it is spread over the cores, without running it
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(ExplainArgs),
    /// Measure the engine on this machine; one JSON line a result
    Bench(BenchArgs),
    /// Look into a checkpoint: its states, its chain, whether it is whole, and its entries
    #[command(after_help = INSPECT_EXAMPLES)]
    Inspect(InspectArgs),
    /// Write a synthetic tape to a file: the same options give the same bytes
    #[command(after_help = GENERATE_EXAMPLES)]
    Generate(GenerateArgs),
}

/// What a job computes.
#[derive(Debug, Args)]
#[command(next_help_heading = "The job")]
pub struct ShapeArgs {
    /// Which job
    #[arg(value_enum, value_name = "JOB")]
    pub job: Kind,
    /// The length of a window: a whole number and ns, us, ms, s, min, h or d
    #[arg(long, default_value = "1s", value_name = "SPAN", value_parser = positive)]
    window: Span,
    /// From the start of one window to the start of the next; `vwap` only [default: 100ms]
    #[arg(long, value_name = "SPAN", value_parser = positive)]
    slide: Option<Span>,
    /// How much later than the newest trade of its file another one may come
    #[arg(long, default_value = "110ms", value_name = "SPAN", value_parser = not_negative)]
    out_of_orderness: Span,
    /// For how long a closed window still takes trades; each makes its line be written again
    #[arg(long, default_value = "0s", value_name = "SPAN", value_parser = not_negative)]
    allowed_lateness: Span,
    /// Write results as they come from the cores, not by window end and symbol
    #[arg(long)]
    unordered: bool,
}

impl ShapeArgs {
    /// # Errors
    /// When the options do not go together.
    pub fn shape(&self) -> Result<Shape> {
        let slide = match (self.job, self.slide) {
            (Kind::Vwap, slide) => slide.unwrap_or(100.millis()),
            (Kind::Bars, None) => self.window,
            (Kind::Bars, Some(_)) => {
                return Err(Error::configuration(
                    "bars are of windows that do not overlap: leave out --slide, or run vwap",
                ));
            }
        };
        Ok(Shape {
            kind: self.job,
            window: self.window,
            slide,
            out_of_orderness: self.out_of_orderness,
            allowed_lateness: self.allowed_lateness,
            order: if self.unordered { Order::Any } else { Order::ByWindow },
        })
    }
}

/// The options of `tailwater run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub shape: ShapeArgs,

    /// A file of trades, or a quoted pattern (`'tape/*.csv'`); may be repeated. Files that end in
    /// .gz, .zst or .xz are unpacked on the way. Without it the tape is synthetic
    #[arg(long, value_name = "FILE|GLOB", num_args = 1.., help_heading = "Input")]
    pub input: Vec<PathBuf>,
    /// The format of the input
    #[arg(long, value_enum, default_value = "auto", help_heading = "Input")]
    pub format: InputFormat,
    /// How fast trades come in: max, realtime, x10 (ten times real time) or 50000/s
    #[arg(long, default_value = "max", value_name = "RATE", help_heading = "Input")]
    pub rate: Pace,
    /// Stop after so many trades in all [default: the whole input; of a synthetic tape at --rate
    /// max 5,000,000]
    #[arg(long, value_name = "N", help_heading = "Input")]
    pub limit: Option<u64>,
    /// The seed of the synthetic tape
    #[arg(long, default_value_t = 1, value_name = "N", help_heading = "Input")]
    #[arg(conflicts_with = "input")]
    pub seed: u64,
    /// The number of symbols on the synthetic tape
    #[arg(long, default_value_t = 100, value_name = "N", help_heading = "Input")]
    #[arg(conflicts_with = "input")]
    pub symbols: u32,

    /// What to do with a bad line or message: fail, skip, or dead-letter=FILE
    #[arg(long, default_value = "fail", value_name = "POLICY", help_heading = "Input")]
    pub on_error: OnError,

    /// Where results go: a file, `-` for standard output, or a directory for rolled parts if it
    /// ends in `/`. Without it they are counted, and the last few are shown
    #[arg(long, value_name = "FILE|DIR/|-", help_heading = "Output")]
    pub output: Option<PathBuf>,
    /// A latency that is promised, such as p99=50us or max=5ms; may be repeated. The report says
    /// whether it was kept, and how much of a miss was the machine
    #[arg(long, value_name = "PERCENTILE=SPAN", help_heading = "Output")]
    pub objective: Vec<Objective>,
    /// How the report at the end is written; on standard output, or on standard error with --output
    /// -
    #[arg(long, value_enum, default_value = "text", help_heading = "Output")]
    pub report: ReportFormat,
    /// Say which split holds the watermark, and why, when it has not risen for so long; SIGUSR1
    /// asks for the same at any time
    #[arg(long, default_value = "10s", value_name = "SPAN", value_parser = positive)]
    #[arg(help_heading = "Output")]
    pub why_stuck: Span,
    /// No progress bar, no warnings, no report as text
    #[arg(long, help_heading = "Output")]
    pub quiet: bool,

    /// Cores to run on: how many (`4`), which ones (`2,3` or `2-5`), or all
    #[arg(long, default_value = "all", value_name = "N|LIST|all", help_heading = "Machine")]
    pub cores: Cores,
    /// What a core does that has nothing to do: spin, yield or park
    #[arg(long, default_value = "yield", value_name = "POLICY", help_heading = "Machine")]
    pub idle: Idle,
    /// What drives the cores: glommio, threads, or seeded:N (one thread, repeatable)
    #[arg(long, default_value = "glommio", value_name = "DRIVER", help_heading = "Machine")]
    #[arg(value_parser = tailwater::parse_driver)]
    pub driver: Driver,

    #[command(flatten)]
    pub checkpoints: CheckpointOptions,
    #[command(flatten)]
    pub mode: ModeOptions,
}

/// The options of `tailwater explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    #[command(flatten)]
    pub shape: ShapeArgs,
    /// Cores to plan for: how many (`4`), which ones (`2,3` or `2-5`), or all
    #[arg(long, default_value = "all", value_name = "N|LIST|all")]
    pub cores: Cores,
    /// How the job is written
    #[arg(long, value_enum, default_value = "text")]
    pub format: ExplainFormat,
}

/// The options of `tailwater generate`.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// The format of the file: trades as CSV, or all that an exchange tells as NASDAQ ITCH 5.0
    #[arg(long, value_enum)]
    pub format: TapeFormat,
    /// The number of symbols
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub symbols: u32,
    /// The number of exchange events; a little more than a third of them are trades
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    pub events: u64,
    /// The seed of all that happens
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// The file to write, or `-` for standard output
    #[arg(long, value_name = "FILE|-")]
    pub output: PathBuf,
    /// No progress bar and no summary
    #[arg(long)]
    pub quiet: bool,
}

/// How input is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum InputFormat {
    /// Told by the content of each file; synthetic where no file is named
    Auto,
    /// A capture of Binance USD-M streams: a receive time and a message a line
    Binance,
    /// NASDAQ TotalView-ITCH 5.0, each message behind its length
    Itch50,
    /// A header and the columns symbol, price, size, at (nanoseconds) and perhaps id
    Csv,
    /// The same as objects, one a line
    Jsonl,
    /// A seeded exchange; no file is read
    Synthetic,
}

/// How the report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For people
    Text,
    /// For programs: one JSON object on one line
    Json,
}

/// How a job is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExplainFormat {
    /// For people
    Text,
    /// A Graphviz digraph
    Dot,
    /// One JSON object
    Json,
}

/// How a tape is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TapeFormat {
    /// Trades, with a header
    Csv,
    /// Orders and trades, as NASDAQ tells them
    Itch50,
}

fn positive(text: &str) -> Result<Span> {
    match text.parse()? {
        span if span > Span::ZERO => Ok(span),
        _ => Err(Error::configuration("it must be longer than nothing, as in `100ms`")),
    }
}

fn not_negative(text: &str) -> Result<Span> {
    match text.parse()? {
        span if span >= Span::ZERO => Ok(span),
        _ => Err(Error::configuration("it cannot be negative")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Arguments::command().debug_assert();
    }
}
