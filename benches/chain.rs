//! What do five fused steps (three maps, two filters) cost next to the same steps of a std
//! iterator?
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tailwater::operators::stateless::{Filter, Map};
use tailwater::operators::{Collect, Operator, Then};
use tailwater::{Error, Stamped, Timestamp};

const RECORDS: u64 = 1_000_000;
const BATCH_LEN: u64 = 256;
const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

fn spread(x: u64) -> u64 {
    x.wrapping_mul(GAMMA)
}

fn is_high(x: &u64) -> bool {
    x >> 60 != 0
}

fn fold(x: u64) -> u64 {
    x ^ (x >> 29)
}

fn is_not_round(x: &u64) -> bool {
    x & 15 != 0
}

fn scale(x: u64) -> u64 {
    (x >> 7).wrapping_add(x)
}

/// The end of the chain: adds up.
#[derive(Default)]
struct Sum(u64);

impl Collect<u64> for Sum {
    #[inline]
    fn record(&mut self, _: Timestamp, value: u64) {
        self.0 = self.0.wrapping_add(value);
    }

    fn watermark(&mut self, _: Timestamp) {}

    fn has_room(&self) -> bool {
        true
    }

    fn fail(&mut self, error: Error) {
        panic!("{error}");
    }
}

fn of_iterator(records: u64) -> u64 {
    (0..records)
        .map(spread)
        .filter(is_high)
        .map(fold)
        .filter(is_not_round)
        .map(scale)
        .fold(0, u64::wrapping_add)
}

fn of_operators(
    chain: &mut impl Operator<In = u64, Out = u64>,
    batch: &mut Vec<Stamped<u64>>,
    records: u64,
) -> u64 {
    let mut sum = Sum::default();
    for first in (0..records).step_by(BATCH_LEN as usize) {
        let of_batch = first..(first + BATCH_LEN).min(records);
        batch.extend(of_batch.map(|x| Stamped::new(Timestamp(x as i64), x)));
        chain.on_batch(batch, &mut sum);
    }
    sum.0
}

fn bench(criterion: &mut Criterion) {
    let maps = Then::new(Map::new(spread), Filter::new(is_high));
    let maps = Then::new(Then::new(maps, Map::new(fold)), Filter::new(is_not_round));
    let mut chain = Then::new(maps, Map::new(scale));
    let mut batch = Vec::with_capacity(BATCH_LEN as usize);
    assert_eq!(of_operators(&mut chain, &mut batch, 10_000), of_iterator(10_000));
    let mut group = criterion.benchmark_group("chain");
    group.throughput(Throughput::Elements(RECORDS)).sample_size(30);
    group.bench_function("std iterator", |bencher| {
        bencher.iter(|| of_iterator(black_box(RECORDS)));
    });
    group.bench_function("operators, batches of 256", |bencher| {
        bencher.iter(|| of_operators(&mut chain, &mut batch, black_box(RECORDS)));
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
