//! What does it cost to merge a watermark into those of 2, 16 and 128 channels?
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tailwater::Timestamp;
use tailwater::runtime::task::watermark_merge::WatermarkMerge;

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("watermark_merge");
    for channels in [2, 16, 128] {
        let mut merge = WatermarkMerge::new(channels);
        let (mut at, mut channel) = (0, 0);
        group.bench_function(BenchmarkId::new("channels", channels), |bencher| {
            bencher.iter(|| {
                at += 1;
                channel = if channel + 1 == channels { 0 } else { channel + 1 };
                black_box(merge.on_watermark(channel, Timestamp(black_box(at))))
            });
        });
        assert!(merge.watermark() > Timestamp::MIN);
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
