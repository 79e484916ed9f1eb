//! How many records a second does a job spread by key over its cores, for one core and for two?
//!
//! A whole job runs in each iteration: its start, some milliseconds, is part of the time.
#![allow(missing_docs)]

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tailwater::prelude::*;
use tailwater_core::random::nth;

const RECORDS: u64 = 2_000_000;

fn run(splits: Vec<Vec<[u64; 3]>>, cores: u32) {
    let job = Job::new("exchange");
    let results = counting(|record: &tailwater::Stamped<[u64; 3]>| record.value[1]);
    job.source(from_splits(splits))
        .event_time(|record: &[u64; 3]| Timestamp(record[1] as i64), Watermarks::monotonous())
        .key_by(|record| record[0])
        .records()
        .sink(results.clone());
    let local = Local { driver: Driver::Threads, ..Local::cores(cores) };
    job.run(local).expect("the job has nothing to fail on");
    assert_eq!(results.checksum(), RECORDS * (RECORDS - 1) / 2);
}

fn bench(criterion: &mut Criterion) {
    let part = |split| {
        let of_split = (0..RECORDS).filter(move |index| index % 2 == split);
        of_split.map(|index| [nth(1, index) % 10_000, index, 0]).collect::<Vec<_>>()
    };
    let splits = vec![part(0), part(1)];
    let mut group = criterion.benchmark_group("exchange");
    group.throughput(Throughput::Elements(RECORDS)).sample_size(10);
    for cores in [1, 2] {
        group.bench_function(BenchmarkId::new("cores", cores), |bencher| {
            bencher.iter_batched(
                || splits.clone(),
                |splits| run(splits, cores),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
