//! What do look-ups and inserts of a table of state cost, next to a flat table written by hand, and
//! how long is the longest pause while it grows?
//!
//! `TAILWATER_BENCH_KEYS` sets the number of keys (1,000,000).
#![allow(missing_docs)]
#![allow(clippy::disallowed_methods, clippy::print_stdout)] // Reads the clock and prints ratios.

mod flat;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tailwater_core::stable_hash;
use tailwater_state::StateTable;

use flat::Flat;

const BATCH: usize = 32;
const OPERATIONS: usize = 1 << 20;

type Table = StateTable<u64, (u64, u64)>;

fn keys() -> u64 {
    std::env::var("TAILWATER_BENCH_KEYS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000)
}

/// The keys of a run: spread, the same each time.
fn draw(keys: u64, offset: u64) -> Vec<u64> {
    let random = |i: u64| u128::from(stable_hash(&(i ^ 0xC0))) * u128::from(keys);
    (0..OPERATIONS as u64).map(|i| (random(i) >> 64) as u64 + offset).collect()
}

fn full_table(keys: u64) -> Table {
    let mut table = Table::detached();
    table.reserve(keys as usize);
    (0..keys).for_each(|key| add(&mut table, stable_hash(&key), key));
    table
}

fn full_flat(keys: u64) -> Flat {
    let mut flat = Flat::for_keys(keys as usize);
    for key in 0..keys {
        black_box(flat.add(stable_hash(&key), key, 1));
    }
    flat
}

#[inline(always)]
fn add(table: &mut Table, hash: u64, key: u64) {
    let entry = table.get_or_insert_with(hash, key, || (0, 0));
    entry.0 += 1;
    entry.1 += key & 0xFF;
}

/// Calls `each` for keys in batches whose hashes were made, and slots asked for, before.
#[inline(always)]
fn in_batches<T>(
    target: &mut T,
    keys: &[u64],
    prefetch: impl Fn(&T, u64),
    mut each: impl FnMut(&mut T, u64, u64),
) {
    for batch in keys.chunks(BATCH) {
        let mut hashes = [0; BATCH];
        for (hash, key) in hashes.iter_mut().zip(batch) {
            *hash = stable_hash(key);
            prefetch(target, *hash);
        }
        for (hash, key) in hashes.into_iter().zip(batch) {
            each(target, hash, *key);
        }
    }
}

/// The median of the ratios of so many pairs, run in the order A B B A.
fn ratio(mut a: impl FnMut(), mut b: impl FnMut()) -> f64 {
    let time = |run: &mut dyn FnMut()| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64()
    };
    let mut ratios: Vec<f64> = (0..15)
        .map(|_| {
            let (a1, b1) = (time(&mut a), time(&mut b));
            let (b2, a2) = (time(&mut b), time(&mut a));
            (a1 + a2) / (b1 + b2)
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}

fn look_ups(c: &mut Criterion) {
    let keys = keys();
    let (mut table, mut flat) = (full_table(keys), full_flat(keys));
    let (hits, misses) = (draw(keys, 0), draw(keys, keys));
    let table_hit = |table: &mut Table| in_batches(table, &hits, Table::prefetch, add);
    let flat_hit = |flat: &mut Flat| {
        in_batches(flat, &hits, Flat::prefetch, |flat, hash, key| {
            black_box(flat.add(hash, key, key & 0xFF));
        });
    };
    let one_by_one = |table: &mut Table| {
        for key in &hits {
            add(table, stable_hash(key), *key);
        }
    };
    let table_miss = |table: &mut Table| {
        in_batches(table, &misses, Table::prefetch, |table, hash, key| {
            assert!(table.get(hash, &key).is_none());
        });
    };
    let flat_miss = |flat: &mut Flat| {
        in_batches(flat, &misses, Flat::prefetch, |flat, hash, key| {
            assert!(!flat.has(hash, key));
        });
    };
    let hit = ratio(|| flat_hit(&mut flat), || table_hit(&mut table));
    let miss = ratio(|| flat_miss(&mut flat), || table_miss(&mut table));
    println!("throughput next to the flat table, {keys} keys: hit {hit:.2}, miss {miss:.2}");
    let mut group = c.benchmark_group(format!("{keys} keys"));
    group.sample_size(10).throughput(Throughput::Elements(OPERATIONS as u64));
    group.measurement_time(Duration::from_secs(1)).warm_up_time(Duration::from_millis(200));
    group.bench_function("hit, batched", |b| b.iter(|| table_hit(&mut table)));
    group.bench_function("hit, batched, flat", |b| b.iter(|| flat_hit(&mut flat)));
    group.bench_function("hit, one by one", |b| b.iter(|| one_by_one(&mut table)));
    group.bench_function("miss, batched", |b| b.iter(|| table_miss(&mut table)));
    group.bench_function("miss, batched, flat", |b| b.iter(|| flat_miss(&mut flat)));
    group.bench_function("remove and insert", |b| {
        b.iter(|| {
            in_batches(&mut table, &hits, Table::prefetch, |table, hash, key| {
                let removed = table.remove(hash, &key);
                table.get_or_insert_with(hash, key, || removed.unwrap_or_default());
            });
        });
    });
    group.finish();
}

fn inserts(c: &mut Criterion) {
    let keys = keys();
    let fill = |table: &mut Table| (0..keys).for_each(|key| add(table, stable_hash(&key), key));
    let mut group = c.benchmark_group(format!("{keys} inserts"));
    group.sample_size(10).throughput(Throughput::Elements(keys));
    group.measurement_time(Duration::from_secs(1)).warm_up_time(Duration::from_millis(200));
    group.bench_function("growing", |b| {
        b.iter_with_large_drop(|| {
            let mut table = Table::detached();
            fill(&mut table);
            table
        })
    });
    group.bench_function("reserved", |b| b.iter_with_large_drop(|| full_table(keys)));
    group.bench_function("reserved, flat", |b| b.iter_with_large_drop(|| full_flat(keys)));
    group.finish();
    println!("longest inserts while growing to {keys} keys: {}", pauses(keys));
}

/// The slowest inserts into a table that grows with memory from another thread.
fn pauses(keys: u64) -> String {
    let (chores, receiver) = std::sync::mpsc::channel::<tailwater_state::Chore>();
    let thread = std::thread::Builder::new()
        .spawn(move || receiver.iter().for_each(|chore| chore()))
        .unwrap();
    let prefault =
        tailwater_state::Prefault::with(move |chore| chores.send(chore).unwrap_or_default());
    let groups = tailwater_core::KeyGroups::default_for(1);
    let budget = tailwater_state::Budget::unlimited();
    let context = tailwater_state::StateContext::new(groups, budget).with_prefault(prefault);
    let mut times = Vec::with_capacity(keys as usize);
    {
        let mut table = Table::new(&context);
        let mut last = Instant::now();
        for key in 0..keys {
            add(&mut table, stable_hash(&key), key);
            let now = Instant::now();
            times.push(now - last);
            last = now;
        }
    }
    drop(context);
    thread.join().unwrap();
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    format!("p50 {:?} p99.9 {:?} p99.999 {:?} max {:?}", at(0.5), at(0.999), at(0.99999), at(1.0))
}

criterion_group!(benches, look_ups, inserts);
criterion_main!(benches);
