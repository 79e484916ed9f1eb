//! An open loop over one ring: latency from the intended moment of each record to its result.

use crate::floor::{self, Stretch};
use hdrhistogram::Histogram;
use peers::bars::Windows;
use peers::report::Report;
use peers::threads;
use peers::workloads::{Tick, WINDOW_NS, tick};
use quanta::Clock;
use rtrb::{Consumer, Producer, RingBuffer};
use std::hint::black_box;
use std::time::Duration;

/// Room for 80 ms at 100 k records a second: above any pause of the machine that is worth timing.
const RING_LEN: usize = 1 << 13;
/// The share of records that warm the caches up and are left out: one in ten.
const WARM_UP_DIVISOR: u64 = 10;
/// Time for both threads to be ready, and between the parts of a run.
const LEAD: Duration = Duration::from_millis(50);
/// The histograms' upper bound; nothing is recorded above it.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// A trade of 32 bytes that carries the moment at which it should have been sent.
#[derive(Clone, Copy)]
struct Sent {
    intended: u64,
    offset_ns: u32,
    symbol: u32,
    price: i64,
    size: u64,
}
const _: () = assert!(size_of::<Sent>() == 32);

/// Clock readings at which the parts of a run begin; the floor is measured on both sides of it.
///
/// ```text
/// floor_before | LEAD | records | LEAD | floor_after
/// ```
#[derive(Clone, Copy)]
struct Schedule {
    events: u64,
    /// Clock units between records.
    interval: f64,
    floor_before: u64,
    floor_len: u64,
    start: u64,
    floor_after: u64,
}

impl Schedule {
    fn new(clock: &Clock, rate: u64, seconds: u64) -> Self {
        // The clock's unit: how many of its counts make a second.
        let counts = 1u64 << 40;
        let per_second = counts as f64 * 1e9 / clock.delta_as_nanos(0, counts) as f64;
        let length = |time: Duration| (time.as_secs_f64() * per_second) as u64;
        let floor_len = length(Duration::from_secs(seconds)) / 2;
        let floor_before = clock.raw() + length(LEAD);
        let start = floor_before + floor_len + length(LEAD);
        let floor_after = start + length(Duration::from_secs(seconds) + LEAD);
        Self {
            events: rate * seconds,
            interval: per_second / rate as f64,
            floor_before,
            floor_len,
            start,
            floor_after,
        }
    }

    fn intended(&self, i: u64) -> u64 {
        self.start + (i as f64 * self.interval) as u64
    }
}

enum Seed {
    Sender(Producer<Sent>),
    Receiver(Consumer<Sent>),
}

struct Seen {
    latencies_ns: Option<Histogram<u64>>,
    floor: [Stretch; 2],
}

/// Runs the workload at `rate` records a second and prints its line.
pub fn run(rate: u64, seconds: u64) {
    let clock = Clock::new();
    let schedule = Schedule::new(&clock, rate, seconds);
    let (producer, consumer) = RingBuffer::new(RING_LEN);
    let (_, seen) = threads::run(
        vec![Seed::Sender(producer), Seed::Receiver(consumer)],
        |_, seed| seed,
        |seed| measure(&clock, schedule, seed),
    );
    let mut floor_ns = histogram();
    for part in 0..2 {
        let (first, second) = (&seen[0].floor[part], &seen[1].floor[part]);
        floor::replay(&clock, schedule.interval, first, second, &mut floor_ns);
    }
    let latencies_ns = seen.into_iter().find_map(|seen| seen.latencies_ns).expect("one receiver");
    Report::new("hand", "latency", 2)
        .number("rate", rate)
        .throughput(schedule.events, seconds as f64)
        .number("p50_ns", latencies_ns.value_at_quantile(0.5))
        .number("p99_ns", latencies_ns.value_at_quantile(0.99))
        .number("p999_ns", latencies_ns.value_at_quantile(0.999))
        .number("p9999_ns", latencies_ns.value_at_quantile(0.9999))
        .number("max_ns", latencies_ns.max())
        .number("samples", latencies_ns.len())
        .number("floor_p99_ns", floor_ns.value_at_quantile(0.99))
        .number("floor_p999_ns", floor_ns.value_at_quantile(0.999))
        .number("floor_p9999_ns", floor_ns.value_at_quantile(0.9999))
        .number("floor_max_ns", floor_ns.max())
        .print();
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("the bounds are valid")
}

fn measure(clock: &Clock, schedule: Schedule, seed: Seed) -> Seen {
    let floor = |start: u64| floor::spin(clock, start, start + schedule.floor_len);
    let before = floor(schedule.floor_before);
    let latencies_ns = match seed {
        Seed::Sender(producer) => {
            send(clock, schedule, producer);
            None
        }
        Seed::Receiver(consumer) => Some(receive(clock, schedule, consumer)),
    };
    Seen { latencies_ns, floor: [before, floor(schedule.floor_after)] }
}

fn send(clock: &Clock, schedule: Schedule, mut producer: Producer<Sent>) {
    for i in 0..schedule.events {
        let Tick { ts, price, size, symbol } = tick(i);
        let intended = schedule.intended(i);
        let offset_ns = ts.rem_euclid(WINDOW_NS) as u32;
        let record = Sent { intended, offset_ns, symbol, price, size: u64::from(size) };
        // Neither wait gives the core away: both threads have a core of their own to spin on.
        while clock.raw() < intended {}
        while producer.push(record).is_err() {}
    }
}

/// All ticks go into one window that stays open: a record's result is its updated bar, and the
/// emission of a whole window is a matter of throughput.
fn receive(clock: &Clock, schedule: Schedule, mut consumer: Consumer<Sent>) -> Histogram<u64> {
    let mut windows = Windows::new(1);
    let mut latencies_ns = histogram();
    let warm_up = schedule.events / WARM_UP_DIVISOR;
    for i in 0..schedule.events {
        let record = loop {
            if let Ok(record) = consumer.pop() {
                break record;
            }
        };
        let Sent { intended, offset_ns, symbol, price, size } = record;
        let tick = Tick { ts: i64::from(offset_ns), price, size: size as u32, symbol };
        black_box(windows.add(&tick));
        let done = clock.raw();
        if i >= warm_up {
            latencies_ns.saturating_record(clock.delta_as_nanos(intended, done));
        }
    }
    latencies_ns
}
