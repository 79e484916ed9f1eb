//! The hand-written ceilings: what a program without an engine reaches on each workload.

mod exchange;
mod floor;
mod iterator;
mod keyed_count;
mod latency;
mod restore;
mod ring;
mod service_time;
mod tick_vwap;

use peers::arguments::Arguments;
use peers::counts::HashCounts;
use peers::flat_table::{Any, Dense, FlatCounts};
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "usage: ceiling SUBCOMMAND
  tick-vwap        --cores 1|2 --events N
  keyed-count      --cores 1|2 --events N --keys K --table flat|flat-any|hashbrown
  service-time     --keys K --rate R --seconds S
  restore          --dir D --keys K --cores 1|2
  restore-make     --dir D --keys K
  latency          --rate R --seconds S
  ring-rtt         --events N
  ring-throughput  --events N
  iterator         --events N";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("ceiling: {message}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), String> {
    let mut arguments = Arguments::parse(std::env::args().skip(1))?;
    match arguments.subcommand.as_str() {
        "tick-vwap" => {
            let cores = arguments.threads("cores")?;
            let events = arguments.number("events", 10_000_000)?;
            arguments.finish()?;
            tick_vwap::run(cores, events);
        }
        "keyed-count" => {
            let cores = arguments.threads("cores")?;
            let events = arguments.number("events", 10_000_000)?;
            let keys = arguments.number("keys", 1_000_000)?;
            let table = arguments.choice("table", &["flat", "flat-any", "hashbrown"])?;
            arguments.finish()?;
            match table {
                "flat" => keyed_count::run::<FlatCounts<Dense>>(table, cores, events, keys),
                "flat-any" => keyed_count::run::<FlatCounts<Any>>(table, cores, events, keys),
                _ => keyed_count::run::<HashCounts>(table, cores, events, keys),
            }
        }
        "service-time" => {
            let keys = arguments.number("keys", 10_000_000)?;
            let rate = arguments.number("rate", 1_000_000)?;
            let seconds = arguments.number("seconds", 5)?;
            arguments.finish()?;
            if seconds < 2 {
                return Err("--seconds must be at least 2: the first is left out".to_owned());
            }
            service_time::run(keys, rate, seconds);
        }
        "restore" | "restore-make" => {
            let is_making = arguments.subcommand == "restore-make";
            let dir = PathBuf::from(arguments.text("dir", "target/restore"));
            let keys = arguments.number("keys", 10_000_000)?;
            let cores = if is_making { 1 } else { arguments.threads("cores")? };
            arguments.finish()?;
            let done = match is_making {
                true => restore::make(&dir, keys),
                false => restore::run(&dir, cores, keys),
            };
            done.map_err(|error| error.to_string())?;
        }
        "latency" => {
            let rate = arguments.number("rate", 1_000_000)?;
            let seconds = arguments.number("seconds", 5)?;
            arguments.finish()?;
            latency::run(rate, seconds);
        }
        "ring-rtt" => {
            let events = arguments.number("events", 1_000_000)?;
            arguments.finish()?;
            ring::round_trip(events);
        }
        "ring-throughput" => {
            let events = arguments.number("events", 100_000_000)?;
            arguments.finish()?;
            ring::throughput(events);
        }
        "iterator" => {
            let events = arguments.number("events", 100_000_000)?;
            arguments.finish()?;
            iterator::run(events);
        }
        other => return Err(format!("unknown subcommand {other}")),
    }
    Ok(())
}
