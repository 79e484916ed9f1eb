//! The bare ring between two cores: its round trip and its throughput.

use hdrhistogram::Histogram;
use peers::report::Report;
use peers::threads::{self, Idle};
use peers::workloads::Totals;
use quanta::Clock;
use rtrb::chunks::ChunkError;
use rtrb::{Consumer, Producer, RingBuffer};

const RING_LEN: usize = 4096;
/// Records published at once; larger batches are no faster.
const BATCH_LEN: usize = 64;
/// The share of round trips that warm the caches up and are left out: one in ten.
const WARM_UP_DIVISOR: u64 = 10;

/// A record of one cache line.
type Line = [u64; 8];
/// A record of half a cache line.
type HalfLine = [u64; 4];

enum Side<A, B> {
    Left(A),
    Right(B),
}

/// Ping-pong of 64-byte records between two spinning threads.
pub fn round_trip(events: u64) {
    let (ping, pong_in) = RingBuffer::<Line>::new(RING_LEN);
    let (pong, ping_in) = RingBuffer::<Line>::new(RING_LEN);
    let (secs, sides) = threads::run(
        vec![Side::Left((ping, ping_in)), Side::Right((pong, pong_in))],
        |_, side| side,
        |side| match side {
            Side::Left((ping, ping_in)) => Some(initiate(events, ping, ping_in)),
            Side::Right((pong, pong_in)) => {
                answer(events, pong, pong_in);
                None
            }
        },
    );
    let histogram = sides.into_iter().flatten().next().expect("one side measures");
    Report::new("hand", "ring-rtt", 2)
        .throughput(events, secs)
        .number("p50_ns", histogram.value_at_quantile(0.5))
        .number("p99_ns", histogram.value_at_quantile(0.99))
        .number("p999_ns", histogram.value_at_quantile(0.999))
        .number("samples", histogram.len())
        .print();
}

fn initiate(events: u64, mut ping: Producer<Line>, mut answers: Consumer<Line>) -> Histogram<u64> {
    let clock = Clock::new();
    let mut histogram = Histogram::new(3).expect("three digits are valid");
    for i in 0..events {
        let sent = clock.raw();
        ping.push([i; 8]).expect("one record at a time fits the ring");
        assert_eq!(pop(&mut answers), [i; 8], "the answer is the record that was sent");
        if i >= events / WARM_UP_DIVISOR {
            let round_trip_ns = clock.delta_as_nanos(sent, clock.raw());
            histogram.record(round_trip_ns).expect("a histogram that grows takes any value");
        }
    }
    histogram
}

fn answer(events: u64, mut pong: Producer<Line>, mut questions: Consumer<Line>) {
    for _ in 0..events {
        let record = pop(&mut questions);
        pong.push(record).expect("one record at a time fits the ring");
    }
}

fn pop(consumer: &mut Consumer<Line>) -> Line {
    let mut idle = Idle::default();
    loop {
        match consumer.pop() {
            Ok(record) => return record,
            Err(_) => idle.wait(),
        }
    }
}

/// 32-byte records in batches, as fast as one core can send and another receive.
pub fn throughput(events: u64) {
    let (producer, consumer) = RingBuffer::<HalfLine>::new(RING_LEN);
    let (secs, totals) = threads::run(
        vec![Side::Left(producer), Side::Right(consumer)],
        |_, side| side,
        |side| match side {
            Side::Left(producer) => {
                send(events, producer);
                Totals::default()
            }
            Side::Right(consumer) => receive(consumer),
        },
    );
    Report::new("hand", "exchange", 2)
        .throughput(events, secs)
        .totals(totals.into_iter().sum())
        .print();
}

/// Record `i` is `[i, i + 1, i + 2, i + 3]`.
fn send(events: u64, mut producer: Producer<HalfLine>) {
    let mut idle = Idle::default();
    let mut next = 0;
    while next < events {
        let len = (events - next).min(BATCH_LEN as u64);
        match producer.write_chunk_uninit(len as usize) {
            Ok(chunk) => {
                chunk.fill_from_iter((next..next + len).map(|i| [i, i + 1, i + 2, i + 3]));
                next += len;
                idle.reset();
            }
            Err(ChunkError::TooFewSlots(_)) => idle.wait(),
        }
    }
}

/// The checksum is the wrapping sum of every word.
fn receive(mut consumer: Consumer<HalfLine>) -> Totals {
    let mut idle = Idle::default();
    let mut totals = Totals::default();
    loop {
        let ended = consumer.is_abandoned();
        let len = consumer.slots().min(BATCH_LEN);
        if len == 0 {
            if ended {
                return totals;
            }
            idle.wait();
            continue;
        }
        let chunk = consumer.read_chunk(len).expect("as many slots were counted");
        let (first, second) = chunk.as_slices();
        for record in first.iter().chain(second) {
            let sum = record.iter().fold(0, |sum: u64, word| sum.wrapping_add(*word));
            totals.add(sum);
        }
        chunk.commit_all();
        idle.reset();
    }
}
