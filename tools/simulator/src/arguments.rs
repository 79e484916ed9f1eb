//! What the command line says.

use std::num::NonZero;
use std::ops::Range;

use clap::Parser;

const EXAMPLES: &str = "\
Examples:
  tailwater-simulator --seeds 0..1000
  tailwater-simulator --seeds 17..18 --verbose
      repeats one run and shows what happened in it
  tailwater-simulator --seeds 0..1000 --job sliding
  tailwater-simulator --seeds 0..1000 --fault lose-dirty-slot
      must fail: the engine has a bug for once

docs/simulation.md says what is simulated and how to read a failure.";

/// Whole jobs, each from a seed: crashes, a disk that forgets, and an oracle that does not
#[derive(Debug, Parser)]
#[command(name = "tailwater-simulator", version, after_help = EXAMPLES)]
pub struct Arguments {
    /// The seeds to run: from the first up to, but not including, the second
    #[arg(long, value_name = "A..B", default_value = "0..1000", value_parser = parse_seeds)]
    pub seeds: Range<u64>,

    /// Run this job only; by default each seed draws one
    #[arg(long, value_name = "NAME")]
    pub job: Option<String>,

    /// Switch a deliberate bug of the engine on
    #[arg(long, value_name = "NAME")]
    pub fault: Option<String>,

    /// Show the deliberate bugs
    #[arg(long)]
    pub list_faults: bool,

    /// Show the jobs
    #[arg(long)]
    pub list_jobs: bool,

    /// Go on after a failure, and tell all of them
    #[arg(long)]
    pub keep_going: bool,

    /// Show what happened in each run
    #[arg(long)]
    pub verbose: bool,

    /// Seeds that run at the same time; by default as many as there are cores
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZero<usize>>,
}

fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let refuse = || format!("`{text}` is no range of seeds: write `0..1000`");
    if let Ok(seed) = text.parse::<u64>() {
        return seed.checked_add(1).map(|end| seed..end).ok_or_else(refuse);
    }
    let (first, end) = text.split_once("..").ok_or_else(refuse)?;
    let range = first.parse().ok().zip(end.parse().ok()).ok_or_else(refuse)?;
    if range.0 < range.1 { Ok(range.0..range.1) } else { Err(refuse()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_read_or_refused() {
        assert_eq!(parse_seeds("3..5").unwrap(), 3..5);
        assert_eq!(parse_seeds("7").unwrap(), 7..8);
        for bad in ["", "5..3", "a..b", "3.."] {
            assert!(parse_seeds(bad).is_err(), "{bad}");
        }
    }
}
