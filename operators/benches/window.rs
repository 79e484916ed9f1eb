//! What does a record of a window cost with few keys, with some, with a million, and where windows
//! overlap?
//!
//! Milliseconds for a million records are nanoseconds a record, firing included.
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tailwater_core::random::nth;
use tailwater_core::{Error, Span, Stamped, Timestamp};
use tailwater_operators::aggregates::{count, max, sum};
use tailwater_operators::{Aggregator, Collect, Operator, PaneWindows, Sliding};

const RECORDS: i64 = 1_000_000;
const BATCH_LEN: i64 = 256;

#[derive(Default)]
struct Count(u64);

impl<T> Collect<T> for Count {
    fn record(&mut self, _: Timestamp, value: T) {
        black_box(value);
        self.0 += 1;
    }

    fn watermark(&mut self, _: Timestamp) {}

    fn has_room(&self) -> bool {
        true
    }

    fn fail(&mut self, error: Error) {
        panic!("{error}");
    }
}

fn key_of(record: &(u32, u32)) -> u32 {
    record.0
}

/// Runs passes of a million records of as many nanoseconds through the windows, watermarks a batch
/// behind.
fn passes(
    group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>,
    id: BenchmarkId,
    keys: u64,
    windows: Sliding,
    aggregator: impl Aggregator<(u32, u32)>,
) {
    let mut operator = PaneWindows::new(key_of, windows, aggregator).expect("valid windows");
    let mut batch = Vec::new();
    let mut out = Count::default();
    let mut now = 0;
    let mut pass = || {
        for first in (now..now + RECORDS).step_by(BATCH_LEN as usize) {
            batch.extend((first..(first + BATCH_LEN).min(now + RECORDS)).map(|at| {
                let random = nth(7, at as u64);
                let key = ((random >> 32) * keys) >> 32;
                Stamped::new(Timestamp(at), (key as u32, random as u32))
            }));
            operator.on_batch(&mut batch, &mut out);
            operator.on_watermark(Timestamp(first - 1), &mut out);
        }
        now += RECORDS;
    };
    // Slots grow in the first passes and are used again in the others.
    pass();
    pass();
    group.bench_function(id, |bencher| bencher.iter(&mut pass));
    assert!(out.0 > 0);
}

fn window(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("window");
    group.throughput(Throughput::Elements(RECORDS as u64)).sample_size(20);
    let bytes = |record: &(u32, u32)| record.1;
    let tumbling = Sliding::of(Span(RECORDS));
    for keys in [10, 10_000, 1_000_000] {
        let id = BenchmarkId::new("tumbling", keys);
        passes(&mut group, id, keys, tumbling, (count(), sum(bytes)));
    }
    let sliding = tumbling.every(Span(RECORDS / 10));
    let id = BenchmarkId::new("sliding by a tenth, running total", 10_000);
    passes(&mut group, id, 10_000, sliding, (count(), sum(bytes)));
    let id = BenchmarkId::new("sliding by a tenth, summed anew", 10_000);
    passes(&mut group, id, 10_000, sliding, (count(), max(bytes)));
    group.finish();
}

criterion_group!(benches, window);
criterion_main!(benches);
