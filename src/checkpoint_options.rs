//! The options of a command line that say how a job takes checkpoints, what it starts from, and
//! what follows a failure.

use clap::Args;
use tailwater_connectors::checkpoints::create_store;
use tailwater_core::{Error, Result, Span};
use tailwater_runtime::{Checkpoints, Guarantee, Local, OpenStore, Restart, Restore};

/// Options that every program which runs a job has; flatten them into its own.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Checkpoints")]
pub struct CheckpointOptions {
    /// Take checkpoints, into this directory or object store
    #[arg(long, value_name = "DIR|URL", value_parser = open_store)]
    pub checkpoints: Option<OpenStore>,
    /// How often, from the beginning of one to the beginning of the next
    #[arg(long, default_value = "1s", value_name = "SPAN", requires = "checkpoints")]
    pub interval: Span,
    /// What they guarantee: exactly-once or at-least-once
    #[arg(long, default_value = "exactly-once", value_name = "MODE", requires = "checkpoints")]
    pub mode: Guarantee,
    /// How many completed ones are kept
    #[arg(long, default_value_t = 1, value_name = "N", requires = "checkpoints")]
    pub retain: u32,
    /// Start from a checkpoint: latest (afresh where there is none), its number, or its path
    #[arg(long, value_name = "latest|ID|PATH")]
    pub restore: Option<Restore>,
    /// Restore although the checkpoint lacks states of the job, which begin empty
    #[arg(long, requires = "restore")]
    pub allow_missing_state: bool,
    /// Restore although the job lacks states of the checkpoint, which are dropped
    #[arg(long, requires = "restore")]
    pub allow_dropped_state: bool,
    /// After a failure: none, fixed:3:1s (restarts, delay), rate:3:1min:1s (failures, within,
    /// delay), exponential or exponential:1s:1min (first and longest delay) [default: exponential
    /// with checkpoints, none without]
    #[arg(long, value_name = "STRATEGY")]
    pub restart: Option<Restart>,
    /// The most memory that state may take, as in 4GiB
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    pub state_memory: Option<u64>,
}

/// The store of checkpoints at a path or URL: a directory, `file:///path`, `s3://bucket/prefix` or
/// `memory://`; see [`create_store`].
///
/// # Errors
/// When the place is none that this program knows.
pub fn open_store(place: &str) -> Result<OpenStore> {
    if !place.contains("://") {
        return place.parse();
    }
    // Opened once: what is kept in memory must outlive a restart of the job.
    let store = create_store(place)?;
    Ok(OpenStore::new(place, move || Ok(store.clone())))
}

impl CheckpointOptions {
    /// The same way to run a job, with these options.
    pub fn apply(self, local: Local) -> Local {
        let checkpoints = self.checkpoints.map(|store| Checkpoints {
            guarantee: self.mode,
            retain: self.retain,
            ..Checkpoints::new(store, Some(self.interval))
        });
        Local {
            checkpoints,
            restore: self.restore.unwrap_or_default(),
            allow_missing_state: self.allow_missing_state,
            allow_dropped_state: self.allow_dropped_state,
            restart: self.restart.unwrap_or_default(),
            state_memory: self.state_memory,
            ..local
        }
    }
}

/// Reads a number of bytes: `4GiB`, `512MiB`, `64KiB`, `1000000`.
///
/// # Errors
/// When the text is none.
pub fn parse_bytes(text: &str) -> Result<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim() {
        "" | "B" => Some(0),
        "KiB" => Some(10),
        "MiB" => Some(20),
        "GiB" => Some(30),
        "TiB" => Some(40),
        _ => None,
    };
    let bytes = number.parse::<u64>().ok().zip(shift);
    bytes
        .and_then(|(number, shift)| number.checked_mul(1 << shift))
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| {
            Error::configuration(format!(
                "`{text}` is no number of bytes: write 4GiB, 512MiB, 64KiB or a plain number"
            ))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_or_refused() {
        assert_eq!(parse_bytes("4GiB").unwrap(), 4 << 30);
        assert_eq!(parse_bytes("17").unwrap(), 17);
        for bad in ["", "GiB", "4GB", "0", "-1", "99999999999TiB"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
    }
}
