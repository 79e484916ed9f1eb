//! What does a record of a tumbling window cost, in ns, with few keys, with some, and with a million?
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tailwater_core::random::nth;
use tailwater_core::{Error, Span, Stamped, Timestamp};
use tailwater_operators::{
    Aggregate, Aggregator as _, Collect, IntoAggregator, Operator, PaneWindows, Sliding,
};

const RECORDS: i64 = 1_000_000;
const BATCH_LEN: i64 = 256;

#[derive(Clone, Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
struct Sum {
    sum: u64,
    count: u64,
}

impl Aggregate<(u32, u32)> for Sum {
    type Output = Sum;

    fn add(&mut self, record: &(u32, u32)) {
        self.sum += u64::from(record.1);
        self.count += 1;
    }

    fn merge(&mut self, other: &Self) {
        self.sum += other.sum;
        self.count += other.count;
    }

    fn finish(&self) -> Sum {
        self.clone()
    }
}

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

fn window(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("window");
    group.throughput(Throughput::Elements(RECORDS as u64)).sample_size(20);
    for keys in [10u64, 10_000, 1_000_000] {
        let aggregator = IntoAggregator::into_aggregator(Sum::default());
        assert_eq!(aggregator.name(), "Sum");
        let windows = Sliding::of(Span(RECORDS));
        let mut operator = PaneWindows::new(key_of, windows, aggregator).expect("valid windows");
        let mut batch = Vec::new();
        let mut out = Count::default();
        let mut now = 0;
        // Each pass fills one window and fires it; its slots come from the pass before.
        let mut pass = || {
            for first in (now..now + RECORDS).step_by(BATCH_LEN as usize) {
                batch.extend((first..(first + BATCH_LEN).min(now + RECORDS)).map(|at| {
                    let random = nth(7, at as u64);
                    let key = ((random >> 32) * keys) >> 32;
                    Stamped::new(Timestamp(at), (key as u32, random as u32))
                }));
                operator.on_batch(&mut batch, &mut out);
            }
            now += RECORDS;
            operator.on_watermark(Timestamp(now - 1), &mut out);
        };
        pass();
        group.bench_function(BenchmarkId::new("keys", keys), |bencher| bencher.iter(&mut pass));
        assert!(out.0 > 0);
    }
    group.finish();
}

criterion_group!(benches, window);
criterion_main!(benches);
