//! How many records a second does the ring carry from one core to another, in batches and one at a
//! time?
#![allow(missing_docs)]

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tailwater::{Clock, SystemClock};
use tailwater_network::ring::{Consumer, Producer, ring};

const RECORDS: u64 = 1_000_000;
const RING_LEN: usize = 4096;

type Row = [u64; 4];

fn send(mut ring: Producer<Row>, publish_every: usize) {
    let mut next = 0;
    while next < RECORDS {
        match ring.write([next; 4]) {
            Ok(()) => {
                next += 1;
                if ring.unpublished() >= publish_every {
                    ring.publish();
                }
            }
            Err(_) => {
                ring.publish();
                std::hint::spin_loop();
            }
        }
    }
    ring.publish();
}

fn receive(mut ring: Consumer<Row>) -> u64 {
    let mut batch = Vec::with_capacity(256);
    let (mut received, mut sum) = (0, 0u64);
    while received < RECORDS {
        let ready = ring.ready().min(256);
        if ready == 0 {
            std::hint::spin_loop();
            continue;
        }
        ring.take(ready, &mut batch);
        received += ready as u64;
        sum = batch.drain(..).fold(sum, |sum, row| sum.wrapping_add(row[0]));
    }
    sum
}

/// One passage of all records between two threads that are there already.
fn pass(clock: &SystemClock, publish_every: usize) -> Duration {
    let (producer, consumer) = ring(RING_LEN);
    let sender = std::thread::Builder::new().spawn(move || send(producer, publish_every));
    let began_ns = clock.monotonic_ns();
    assert_eq!(receive(consumer), RECORDS * (RECORDS - 1) / 2);
    let took_ns = clock.monotonic_ns() - began_ns;
    sender.expect("a thread").join().expect("the sender has nothing to panic about");
    Duration::from_nanos(took_ns)
}

fn bench(criterion: &mut Criterion) {
    let clock = SystemClock::default();
    let mut group = criterion.benchmark_group("ring");
    group.throughput(Throughput::Elements(RECORDS)).sample_size(10);
    for publish_every in [1, 8, 64, 256] {
        group.bench_function(BenchmarkId::new("published by", publish_every), |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| pass(&clock, publish_every)).sum());
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
