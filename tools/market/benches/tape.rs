//! How many prints a second does one core make of the default tape?

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tailwater_core::{Counters, ManualClock, Span};
use tailwater_market::{Options, Tape};
use tailwater_operators::{Source, SourceContext, Waker};

const PRINTS: u64 = 1 << 20;
const BATCH_LEN: usize = 256;

fn play(options: &Options) -> u64 {
    let context = SourceContext {
        core: 0,
        cores: 1,
        counters: Counters::default(),
        clock: Arc::new(ManualClock::at(0)),
        waker: Waker::none(),
        inline: true,
        start: None,
    };
    let tape = Tape::new(options.clone(), PRINTS).expect("options within limits");
    let splits = tape.splits(1).expect("splits").len();
    let mut readers: Vec<_> =
        (0..splits).map(|split| tape.open(split, &context).expect("a split")).collect();
    let (mut out, mut count) = (Vec::with_capacity(2 * BATCH_LEN), 0);
    while count < PRINTS {
        for reader in &mut readers {
            out.clear();
            reader.poll(BATCH_LEN, &mut out).expect("prints");
            count += black_box(&out).len() as u64;
        }
    }
    count
}

fn tape(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tape");
    group.throughput(Throughput::Elements(PRINTS)).sample_size(10);
    let in_order = Options { out_of_order: Span::ZERO, ..Options::default() };
    group.bench_function("default", |bencher| bencher.iter(|| play(&Options::default())));
    group.bench_function("in order", |bencher| bencher.iter(|| play(&in_order)));
    let many = Options { symbols: 10_000, ..Options::default() };
    group.bench_function("10,000 symbols", |bencher| bencher.iter(|| play(&many)));
    group.finish();
}

criterion_group!(benches, tape);
criterion_main!(benches);
