//! The `tick-vwap` workload gives the outputs and checksums that are written down for it, on any
//! number of cores, on every driver, and for any seed of the seeded driver.
//!
//! Method: the workload's formula is written out here once more, as a job of a user's; count and
//! checksum do not depend on the order of the results.

use tailwater::prelude::*;
use tailwater_core::random::{mix, nth};

const SEED: u64 = 0x5EED_0000_0000_0001;
const START: i64 = 1_700_000_000_000_000_000;

#[record]
#[derive(Copy)]
struct Tick {
    symbol: u32,
    size: u32,
    price: i64,
    at: Timestamp,
}

fn tick(index: u64) -> Tick {
    let r = nth(SEED, index);
    Tick {
        symbol: (((r >> 32) * 10_000) >> 32) as u32,
        size: 1 + ((r >> 16) & 0xFF) as u32,
        price: 1_000_000 + (r & 0xFFFF) as i64,
        at: Timestamp(START + index as i64 * 1000 - ((r >> 24) & 0xFF) as i64 * 4000),
    }
}

/// Open and close by (time, price), so that nothing depends on the order of arrival.
#[record]
struct Bar {
    open: (i64, i64),
    close: (i64, i64),
    high: i64,
    low: i64,
    notional: i64,
    volume: i64,
    count: i64,
}

impl Default for Bar {
    fn default() -> Self {
        Self {
            open: (i64::MAX, i64::MAX),
            close: (i64::MIN, i64::MIN),
            high: i64::MIN,
            low: i64::MAX,
            notional: 0,
            volume: 0,
            count: 0,
        }
    }
}

impl Aggregate<Tick> for Bar {
    type Output = [i64; 7];

    fn add(&mut self, tick: &Tick) {
        let moment = (tick.at.0, tick.price);
        self.merge(&Self {
            open: moment,
            close: moment,
            high: tick.price,
            low: tick.price,
            notional: tick.price * i64::from(tick.size),
            volume: tick.size.into(),
            count: 1,
        });
    }

    fn merge(&mut self, other: &Self) {
        self.open = self.open.min(other.open);
        self.close = self.close.max(other.close);
        self.high = self.high.max(other.high);
        self.low = self.low.min(other.low);
        self.notional += other.notional;
        self.volume += other.volume;
        self.count += other.count;
    }

    fn finish(&self) -> [i64; 7] {
        let vwap = self.notional / self.volume;
        [self.open.1, self.high, self.low, self.close.1, vwap, self.volume, self.count]
    }
}

fn output_hash(Stamped { value: result, .. }: &Stamped<WindowResult<u32, [i64; 7]>>) -> u64 {
    let window = (result.window.start.0 / 1_000_000_000) as u64;
    let start = mix(u64::from(result.key) ^ window.rotate_left(32));
    result.value.iter().fold(start, |hash, &value| mix(hash ^ value as u64))
}

/// Runs the workload and returns the number of outputs and the checksum.
fn run(ticks: u64, splits: u64, local: Local) -> (u64, u64) {
    let part = |split| (0..ticks).filter(|i| i % splits == split).map(tick).collect();
    let job = Job::new("tick-vwap");
    let results = counting(output_hash);
    job.source(from_splits((0..splits).map(part).collect()))
        .event_time(|tick: &Tick| tick.at, Watermarks::bounded(2.millis()))
        .key_by(|tick| tick.symbol)
        .window(Tumbling::of(1.secs()))
        .aggregate(Bar::default())
        .sink(results.clone());
    let report = job.run(local).unwrap();
    assert_eq!(report.records, ticks);
    assert_eq!(report.late(), 0);
    (results.count(), results.checksum())
}

/// From the table of the workload's definition.
const MILLION: (u64, u64) = (10_496, 0x5ee9_c260_8541_492e);

#[test]
fn a_million_ticks_on_one_two_and_four_cores_on_each_driver() {
    for cores in [1, 2, 4] {
        for driver in [Driver::Threads, Driver::Glommio] {
            let local = Local { driver, ..Local::cores(cores) };
            assert_eq!(
                run(1_000_000, u64::from(cores), local),
                MILLION,
                "{cores} cores, {driver:?}"
            );
        }
    }
}

#[test]
fn parked_cores_wake_up() {
    let local = Local { idle: Idle::Park, ring_capacity: 16, ..Local::cores(3) };
    assert_eq!(run(1_000_000, 2, local), MILLION);
}

#[test]
fn two_hundred_seeds_agree() {
    let expected = run(2_000, 1, Local { driver: Driver::Threads, ..Local::cores(1) });
    for seed in 0..200 {
        let local = Local { ring_capacity: 1 + seed as usize % 40, ..Local::seeded(3, seed) };
        assert_eq!(run(2_000, 1 + seed % 4, local), expected, "seed {seed}");
    }
}
