//! How long is the cut at a barrier, and what does draining an entry cost?
//!
//! `TAILWATER_BENCH_KEYS` sets the number of keys (1,000,000); a tenth of them changes.
#![allow(missing_docs)]
#![allow(clippy::disallowed_methods, clippy::print_stdout)] // Reads the clock and prints ratios.

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tailwater_core::stable_hash;
use tailwater_state::{Drain, SnapshotKind, StateTable, TrackedState};

type Table = StateTable<u64, [u64; 4]>;

/// Entries a round.
const ROUND: usize = 64;

fn keys() -> u64 {
    std::env::var("TAILWATER_BENCH_KEYS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000)
}

fn change(table: &mut Table, keys: u64, seed: u64) {
    for i in 0..keys / 10 {
        let key = stable_hash(&(i ^ seed)) % keys;
        table.get_mut(stable_hash(&key), &key).unwrap()[0] += 1;
    }
}

fn drain(table: &mut Table, drain: &mut Drain) -> (u64, usize) {
    let (mut frames, mut bytes) = (0, 0);
    loop {
        drain.allow(ROUND);
        let is_done = table.drain(drain).unwrap();
        let chunks: Vec<_> = drain.take().collect();
        for chunk in chunks {
            frames += u64::from(chunk.frames);
            bytes += chunk.bytes.len();
            drain.give_back(chunk.bytes);
        }
        if is_done {
            return (frames, bytes);
        }
    }
}

fn snapshots(c: &mut Criterion) {
    let keys = keys();
    let mut table = Table::detached();
    table.reserve(keys as usize);
    for key in 0..keys {
        table.get_or_insert_with(stable_hash(&key), key, || [key; 4]);
    }
    let mut into = Drain::new();
    table.begin(0, SnapshotKind::Incremental);
    drain(&mut table, &mut into);
    let mut cuts = Vec::new();
    for seed in 0..21 {
        change(&mut table, keys, seed << 40);
        let start = Instant::now();
        table.begin(0, SnapshotKind::Incremental);
        cuts.push(start.elapsed());
        let (frames, bytes) = drain(&mut table, &mut into);
        if seed == 0 {
            let ideal = frames * (8 + 32);
            let ratio = bytes as f64 / ideal as f64;
            println!("{frames} entries changed: {ratio:.2} times the bytes of keys and values");
        }
    }
    cuts.sort_unstable();
    println!("a barrier with {keys} keys: median {:?}, max {:?}", cuts[10], cuts[20]);

    let mut group = c.benchmark_group(format!("{keys} keys, a tenth changed"));
    group.sample_size(10).throughput(Throughput::Elements(keys / 10));
    group.measurement_time(Duration::from_secs(1)).warm_up_time(Duration::from_millis(200));
    let mut seed = 1 << 50;
    group.bench_function("update, first touch of most", |b| {
        b.iter_custom(|times| {
            (0..times)
                .map(|_| {
                    seed += 1 << 30;
                    table.begin(0, SnapshotKind::Incremental);
                    drain(&mut table, &mut into);
                    let start = Instant::now();
                    change(&mut table, keys, seed);
                    start.elapsed()
                })
                .sum()
        });
    });
    group.bench_function("update, touched before", |b| b.iter(|| change(&mut table, keys, seed)));
    group.bench_function("drain", |b| {
        b.iter_custom(|times| {
            (0..times)
                .map(|_| {
                    seed += 1 << 30;
                    change(&mut table, keys, seed);
                    let start = Instant::now();
                    table.begin(0, SnapshotKind::Incremental);
                    drain(&mut table, &mut into);
                    start.elapsed()
                })
                .sum()
        });
    });
    group.bench_function("update while all waits: saved first", |b| {
        b.iter_custom(|times| {
            (0..times)
                .map(|_| {
                    seed += 1 << 30;
                    change(&mut table, keys, seed);
                    table.begin(0, SnapshotKind::Incremental);
                    let start = Instant::now();
                    change(&mut table, keys, seed);
                    let elapsed = start.elapsed();
                    drain(&mut table, &mut into);
                    elapsed
                })
                .sum()
        });
    });
    group.finish();
}

criterion_group!(benches, snapshots);
criterion_main!(benches);
