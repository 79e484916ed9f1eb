//! `tick-vwap`: one-second OHLC and VWAP per symbol, order-independent, with its written checksum.

use tailwater::prelude::*;
use tailwater_core::random::{mix, nth};

use super::{BenchArgs, Generated, Throughput};

const SEED: u64 = 0x5EED_0000_0000_0001;
const START_NS: i64 = 1_700_000_000_000_000_000;
const SYMBOLS: u64 = 10_000;

#[record]
#[derive(Copy)]
pub struct Tick {
    pub symbol: u32,
    pub size: u32,
    pub price: i64,
    pub at: Timestamp,
}

/// The workload's record `index`.
#[inline]
pub fn tick(index: u64) -> Tick {
    let r = nth(SEED, index);
    Tick {
        symbol: (((r >> 32) * SYMBOLS) >> 32) as u32,
        size: 1 + ((r >> 16) & 0xFF) as u32,
        price: 1_000_000 + (r & 0xFFFF) as i64,
        at: Timestamp(START_NS + index as i64 * 1000 - ((r >> 24) & 0xFF) as i64 * 4000),
    }
}

/// A bar whose open and close are those of the least and greatest (time, price). With its key it
/// fills one cache line: times are kept as nanoseconds within their second, which orders them in
/// windows of a second.
#[record]
pub struct Bar {
    open: i64,
    close: i64,
    high: i64,
    low: i64,
    notional: i64,
    open_at_ns: u32,
    close_at_ns: u32,
    volume: u32,
    count: u32,
}

impl Default for Bar {
    fn default() -> Self {
        Self {
            open: i64::MAX,
            close: i64::MIN,
            high: i64::MIN,
            low: i64::MAX,
            notional: 0,
            open_at_ns: u32::MAX,
            close_at_ns: 0,
            volume: 0,
            count: 0,
        }
    }
}

impl Aggregate<Tick> for Bar {
    /// Open, high, low, close, VWAP, volume, count.
    type Output = [i64; 7];

    #[inline]
    fn add(&mut self, tick: &Tick) {
        // The workload's times are positive; an unsigned remainder is cheaper.
        let at_ns = (tick.at.0 as u64 % 1_000_000_000) as u32;
        // Branches, not comparisons of pairs: which way they go is almost always known in advance.
        if at_ns >= self.close_at_ns && (at_ns > self.close_at_ns || tick.price >= self.close) {
            (self.close_at_ns, self.close) = (at_ns, tick.price);
        }
        if at_ns <= self.open_at_ns && (at_ns < self.open_at_ns || tick.price < self.open) {
            (self.open_at_ns, self.open) = (at_ns, tick.price);
        }
        if tick.price > self.high {
            self.high = tick.price;
        }
        if tick.price < self.low {
            self.low = tick.price;
        }
        self.notional += tick.price * i64::from(tick.size);
        self.volume += tick.size;
        self.count += 1;
    }

    fn merge(&mut self, other: &Self) {
        if (other.open_at_ns, other.open) < (self.open_at_ns, self.open) {
            (self.open_at_ns, self.open) = (other.open_at_ns, other.open);
        }
        if (other.close_at_ns, other.close) >= (self.close_at_ns, self.close) {
            (self.close_at_ns, self.close) = (other.close_at_ns, other.close);
        }
        self.high = self.high.max(other.high);
        self.low = self.low.min(other.low);
        self.notional += other.notional;
        self.volume += other.volume;
        self.count += other.count;
    }

    fn finish(&self) -> [i64; 7] {
        let volume = i64::from(self.volume);
        let vwap = if volume == 0 { 0 } else { self.notional / volume };
        [self.open, self.high, self.low, self.close, vwap, volume, self.count.into()]
    }
}

fn output_hash(Stamped { value: result, .. }: &Stamped<WindowResult<u32, [i64; 7]>>) -> u64 {
    let window = (result.window.start.0 / 1_000_000_000) as u64;
    let start = mix(u64::from(result.key) ^ window.rotate_left(32));
    result.value.iter().fold(start, |hash, &value| mix(hash ^ value as u64))
}

pub fn run(args: &BenchArgs) -> Result<Throughput> {
    let job = Job::new("tick-vwap");
    let results = counting(output_hash);
    job.source(Generated::per_core(args.events, tick))
        .event_time(|tick: &Tick| tick.at, Watermarks::bounded(2.millis()))
        .key_by(|tick| tick.symbol)
        .window(Tumbling::of(1.secs()))
        .aggregate(Bar::default())
        .sink(results.clone());
    let report = job.run(args.local())?;
    Ok(args.throughput("tick-vwap", &report, results.count(), results.checksum()))
}
