//! The options of a command line that say how a job takes checkpoints, what it starts from, and
//! what follows a failure.

use clap::Args;
use tailwater_connectors::checkpoints::{create_store, existing_store};
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
    /// Start from a checkpoint: latest (afresh where there is none), its number, its path, or the
    /// URL of an object store, with /ID behind it for another than the latest there
    #[arg(long, value_name = "latest|ID|PATH|URL", value_parser = parse_restore)]
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

/// What a job starts from: as [`Restore`] reads it, or the URL of a store, as [`open_store`] takes
/// it, that has the checkpoint; see [`split_checkpoint`].
///
/// # Errors
/// When the text is none of these.
pub fn parse_restore(text: &str) -> Result<Restore> {
    if !text.contains("://") {
        return text.parse();
    }
    let (place, checkpoint) = split_checkpoint(text);
    let place = place.to_owned();
    let store = OpenStore::new(place.clone(), move || existing_store(&place));
    Ok(Restore::Store { store, checkpoint })
}

/// The store in a URL, and the number of the checkpoint that it names in it: behind the last `/`
/// as a number, or as the name of its manifest. A URL that ends in `/` names none.
pub fn split_checkpoint(url: &str) -> (&str, Option<u64>) {
    let number = |name: &str| {
        let manifest = name.strip_prefix("checkpoint-").and_then(|n| n.strip_suffix(".manifest"));
        manifest.unwrap_or(name).parse().ok()
    };
    match url.rsplit_once('/') {
        // The slashes of the scheme, and what is before the first name, are no place.
        Some((place, name)) if !place.ends_with('/') && place.contains("://") => {
            number(name).map_or((url, None), |number| (place, Some(number)))
        }
        _ => (url, None),
    }
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
    fn urls_name_a_store_and_a_checkpoint_in_it() {
        let cases = [
            ("s3://bucket/prefix", ("s3://bucket/prefix", None)),
            ("s3://bucket/prefix/17", ("s3://bucket/prefix", Some(17))),
            ("s3://bucket/2024/", ("s3://bucket/2024/", None)),
            ("s3://17", ("s3://17", None)),
            ("file:///a/checkpoint-00000003.manifest", ("file:///a", Some(3))),
            ("memory://", ("memory://", None)),
        ];
        for (url, expected) in cases {
            assert_eq!(split_checkpoint(url), expected);
        }
        let restore = parse_restore("file:///nowhere/4").unwrap();
        let Restore::Store { store, checkpoint: Some(4) } = restore else {
            panic!("{restore:?} is no checkpoint of a store");
        };
        let error = store.open().err().expect("it is not there").to_string();
        assert!(error.contains("there is no directory `/nowhere`"), "{error}");
        assert_eq!(parse_restore("latest").unwrap(), Restore::Latest);
        assert_eq!(parse_restore("a/b").unwrap(), Restore::Path("a/b".into()));
    }

    #[test]
    fn bytes_are_read_or_refused() {
        assert_eq!(parse_bytes("4GiB").unwrap(), 4 << 30);
        assert_eq!(parse_bytes("17").unwrap(), 17);
        for bad in ["", "GiB", "4GB", "0", "-1", "99999999999TiB"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
    }
}
