//! `exchange`: records that take 32 bytes in the ring, from a source on core 0 to a sink on the
//! last core.

use tailwater::prelude::*;
use tailwater_core::{KeyGroups, stable_hash};

use super::{BenchArgs, Generated, Throughput};

/// A key that the last of `cores` cores owns.
fn key_of_last(cores: u32) -> u64 {
    let groups = KeyGroups::default_for(cores);
    let owner = |key: &u64| groups.owner(groups.of_hash(stable_hash(key)), cores);
    (0..).find(|key| owner(key) == cores - 1).unwrap_or(0)
}

pub fn run(args: &BenchArgs) -> Result<Throughput> {
    let key = key_of_last(args.cores);
    let job = Job::new("exchange");
    // Record i is [i, i + 1, i + 2, i + 3]; its first word is its event time.
    let results = counting(|record: &Stamped<[u64; 3]>| {
        record.value.iter().fold(record.at.0 as u64, |sum, word| sum.wrapping_add(*word))
    });
    job.source(Generated::on_one_core(args.events, |i| [i + 1, i + 2, i + 3]))
        .event_time(|record: &[u64; 3]| Timestamp(record[0] as i64 - 1), Watermarks::monotonous())
        .key_by(move |_| key)
        .records()
        .sink(results.clone());
    let report = job.run(args.local())?;
    Ok(args.throughput("exchange", &report, results.count(), results.checksum()))
}
