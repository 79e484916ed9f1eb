//! State stores on one workload: read-modify-write of 32-byte values, one thread.

#[cfg(feature = "fjall")]
mod fjall;
mod flat;
#[cfg(feature = "lmdb")]
mod lmdb;
#[cfg(feature = "redb")]
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;
#[cfg(test)]
mod tests;

use peers::arguments::Arguments;
use peers::report::Report;
use peers::state_update::{Update, Value, update};
use peers::threads;
use peers::workloads::Totals;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What a store may keep in memory of its data, where that is a setting: all of 10 M entries.
const CACHE_LEN: usize = 1 << 30;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A store with 8-byte big-endian keys and 32-byte values. Nothing needs to survive a crash.
trait Store: Sized {
    /// An empty store in an empty directory.
    fn create(dir: &Path, keys: u64) -> Result<Self>;

    /// Gives the keys `0..keys` values of zeros, and ends what that leaves to be done later.
    fn load(&mut self, keys: u64) -> Result<()>;

    /// Reads, updates, writes and emits each value in order: one transaction, where there are any.
    fn update_all(&mut self, updates: &[Update], emit: impl FnMut(&Value)) -> Result<()>;
}

struct Options {
    keys: u64,
    ops: u64,
    /// Updates in a transaction.
    batch: u64,
    dir: PathBuf,
}

/// What a run came to.
struct Measured {
    load_secs: f64,
    secs: f64,
    totals: Totals,
    bytes: u64,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("state-stores: {error}\n{}", usage());
            ExitCode::from(2)
        }
    }
}

fn usage() -> String {
    let compiled = [
        ("fjall", cfg!(feature = "fjall")),
        ("flat", true),
        ("lmdb", cfg!(feature = "lmdb")),
        ("redb", cfg!(feature = "redb")),
        ("rocksdb", cfg!(feature = "rocksdb")),
    ];
    let stores: Vec<_> = compiled.iter().filter(|store| store.1).map(|store| store.0).collect();
    format!(
        "usage: state-stores STORE --keys N --ops N --batch K --dir D
  stores in this build: {} (others: cargo build --features stores)
  the store is made in D/STORE, which must not exist, and is removed afterwards",
        stores.join(", ")
    )
}

fn run() -> Result<()> {
    let mut arguments = Arguments::parse(std::env::args().skip(1))?;
    let store = arguments.subcommand.clone();
    let options = Options {
        keys: arguments.number("keys", 10_000_000)?,
        ops: arguments.number("ops", 1_000_000)?,
        batch: arguments.number("batch", 10_000)?,
        dir: PathBuf::from(arguments.text("dir", "target/stores")).join(&store),
    };
    arguments.finish()?;
    let measured = match store.as_str() {
        "flat" => measure::<flat::Flat>(&options),
        #[cfg(feature = "fjall")]
        "fjall" => measure::<fjall::Fjall>(&options),
        #[cfg(feature = "lmdb")]
        "lmdb" => measure::<lmdb::Lmdb>(&options),
        #[cfg(feature = "redb")]
        "redb" => measure::<redb::Redb>(&options),
        #[cfg(feature = "rocksdb")]
        "rocksdb" => measure::<rocksdb::Rocksdb>(&options),
        other => Err(format!("{other} is no store of this build").into()),
    }?;
    Report::new(&store, "state-update", 1)
        .number("keys", options.keys)
        .number("batch", options.batch)
        .throughput(options.ops, measured.secs)
        .totals(measured.totals)
        .number("load_secs", format_args!("{:.3}", measured.load_secs))
        .number("bytes", measured.bytes)
        .print();
    Ok(())
}

/// Makes the store's directory, measures, and removes the directory whatever came of it.
fn measure<S: Store>(options: &Options) -> Result<Measured> {
    std::fs::create_dir_all(options.dir.parent().unwrap_or(Path::new(".")))?;
    std::fs::create_dir(&options.dir)
        .map_err(|error| format!("cannot make {}: {error}", options.dir.display()))?;
    let measured = measure_in::<S>(options);
    std::fs::remove_dir_all(&options.dir)?;
    measured
}

fn measure_in<S: Store>(options: &Options) -> Result<Measured> {
    // A store's own threads are made before this one is pinned, so that they may run elsewhere.
    let mut store = S::create(&options.dir, options.keys)?;
    let (load_secs, loaded) = seconds(|| store.load(options.keys));
    loaded?;
    threads::pin(threads::cores_for(1)[0]);
    let mut totals = Totals::default();
    let mut updates = Vec::new();
    let (secs, updated) = seconds(|| {
        for first in (0..options.ops).step_by(options.batch as usize) {
            updates.clear();
            let end = (first + options.batch).min(options.ops);
            updates.extend((first..end).map(|i| update(i, options.keys)));
            store.update_all(&updates, |value| totals.add(value.hash()))?;
        }
        Ok::<_, Box<dyn Error>>(())
    });
    updated?;
    let bytes = bytes_in(&options.dir)?;
    Ok(Measured { load_secs, secs, totals, bytes })
}

fn seconds<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let began = std::time::Instant::now();
    let result = work();
    (began.elapsed().as_secs_f64(), result)
}

/// What the files of a directory take on disk, holes left out.
fn bytes_in(dir: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { bytes_in(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(bytes)
}

/// The value that a store gave for a key, which every key has.
#[cfg(any(feature = "fjall", feature = "lmdb", feature = "redb", feature = "rocksdb"))]
fn stored(key: u64, bytes: Option<&[u8]>) -> Result<Value> {
    let value = bytes.and_then(Value::from_bytes);
    value.ok_or_else(|| format!("the store has lost the value of key {key}").into())
}
