//! A restore by hand: the segments of a checkpoint, replayed into the flat table.

use peers::flat_values::FlatValues;
use peers::report::Report;
use peers::segments;
use peers::state_update::Value;
use peers::threads;
use peers::workloads::Totals;
use std::io;
use std::path::Path;

/// Makes a directory with one segment of `keys` entries, where there is no checkpoint to read.
pub fn make(dir: &Path, keys: u64) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    segments::make(&dir.join("segment-00000001.tw"), keys, |key| {
        let mut value = Value::default();
        value.update(key);
        value
    })
}

/// Replays all segments of a directory and prints the line. Each thread has the keys of its share
/// of the key groups in a table of its own; making the tables is a part of the time.
pub fn run(dir: &Path, cores: usize, keys: u64) -> io::Result<()> {
    let paths = segments::in_dir(dir)?;
    let (secs, parts) = threads::run(
        vec![(); cores],
        |share, ()| share as u64,
        |share| -> io::Result<_> {
            let mut values = FlatValues::with_capacity(keys.div_ceil(cores as u64));
            let (mut bytes, mut frames) = (0, 0);
            for path in &paths {
                bytes += segments::read(path, share, cores as u64, |payload, upserts| {
                    frames += upserts.len() as u64;
                    values.visit_all(
                        upserts,
                        |upsert| upsert.key,
                        |upsert, value| *value = upsert.value(payload),
                    );
                })?;
            }
            Ok((values, bytes, frames))
        },
    );
    let mut totals = Totals::default();
    let (mut bytes, mut frames) = (0, 0);
    for part in parts {
        let (mut values, part_bytes, part_frames) = part?;
        let (outputs, checksum) = values.entries();
        totals = [totals, Totals { outputs, checksum }].into_iter().sum();
        bytes += part_bytes;
        frames += part_frames;
    }
    Report::new("hand", "restore", cores)
        .number("keys", keys)
        .number("bytes", bytes)
        .number("restore_ns", (secs * 1e9) as u64)
        .throughput(frames, secs)
        .totals(totals)
        .print();
    Ok(())
}
