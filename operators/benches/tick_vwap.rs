//! How close does the window operator come to the loop that one would write by hand for one-second
//! bars?
//!
//! The same ticks, formed by the same formula, in short pairs in the order A B B A; the answer is
//! the median of the ratios, with its quartiles. Both sides form the ticks, keep the bars and hash
//! the outputs; the checksums must agree with each other and with the known one.
#![allow(missing_docs, clippy::print_stdout, clippy::disallowed_methods)]

use std::collections::VecDeque;
use std::time::Instant;

use tailwater_core::random::{mix, nth};
use tailwater_core::{Error, Stamped, TimeUnits, Timestamp};
use tailwater_operators::aggregate::Prototype;
use tailwater_operators::{
    Aggregate, Collect, Fired, Operator, PaneWindows, Sliding, WindowResult,
};

const SEED: u64 = 0x5EED_0000_0000_0001;
const START: i64 = 1_700_000_000_000_000_000;
const SECOND: i64 = 1_000_000_000;
const TICKS: u64 = 10_000_000;
const CHECKSUM: u64 = 0xfb4a_e2c4_b386_743f;
const BATCH_LEN: u64 = 256;
const PAIRS: usize = 16;

#[derive(Clone, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize, tailwater_core::Describe)]
struct Tick {
    symbol: u32,
    size: u32,
    price: i64,
    at: i64,
}

#[inline(always)]
fn tick(index: u64) -> Tick {
    let random = nth(SEED, index);
    Tick {
        symbol: (((random >> 32) * 10_000) >> 32) as u32,
        size: 1 + ((random >> 16) & 0xFF) as u32,
        price: 1_000_000 + (random & 0xFFFF) as i64,
        at: START + index as i64 * 1000 - ((random >> 24) & 0xFF) as i64 * 4000,
    }
}

#[inline(always)]
fn watermark(index: u64) -> i64 {
    START + index as i64 * 1000 - 2_000_000
}

#[derive(Clone, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize, tailwater_core::Describe)]
struct Bar {
    open: (i64, i64),
    close: (i64, i64),
    high: i64,
    low: i64,
    notional: i64,
    volume: i64,
    count: u64,
}

impl Bar {
    const EMPTY: Self = Self {
        open: (i64::MAX, i64::MAX),
        close: (i64::MIN, i64::MIN),
        high: i64::MIN,
        low: i64::MAX,
        notional: 0,
        volume: 0,
        count: 0,
    };

    #[inline(always)]
    fn take(&mut self, tick: &Tick) {
        let at = (tick.at, tick.price);
        if at < self.open {
            self.open = at;
        }
        if at > self.close {
            self.close = at;
        }
        self.high = self.high.max(tick.price);
        self.low = self.low.min(tick.price);
        self.notional += tick.price * i64::from(tick.size);
        self.volume += i64::from(tick.size);
        self.count += 1;
    }

    fn hash(&self, symbol: u32, window: i64) -> u64 {
        let vwap = self.notional / self.volume;
        let mut hash = mix(u64::from(symbol) ^ (window as u64).rotate_left(32));
        for value in [self.open.1, self.high, self.low, self.close.1, vwap, self.volume] {
            hash = mix(hash ^ value as u64);
        }
        mix(hash ^ self.count)
    }
}

impl Aggregate<Tick> for Bar {
    type Output = Bar;

    #[inline(always)]
    fn add(&mut self, tick: &Tick) {
        self.take(tick);
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

    fn finish(&self) -> Bar {
        self.clone()
    }
}

/// The loop one would write: a map of hashbrown's for each window that is open.
fn by_hand() -> u64 {
    let mut open = VecDeque::<(i64, hashbrown::HashMap<u32, Bar>)>::new();
    let mut spare = Vec::new();
    let mut checksum = 0u64;
    let mut close = |window: i64, bars: &mut hashbrown::HashMap<u32, Bar>| {
        for (symbol, bar) in bars.drain() {
            checksum = checksum.wrapping_add(bar.hash(symbol, window));
        }
    };
    let mut hot = 0;
    for index in 0..TICKS {
        let tick = tick(index);
        let window = tick.at / SECOND;
        if open.get(hot).is_none_or(|(at, _)| *at != window) {
            hot = open.partition_point(|(at, _)| *at < window);
            if open.get(hot).is_none_or(|(at, _)| *at != window) {
                open.insert(hot, (window, spare.pop().unwrap_or_default()));
            }
        }
        open[hot].1.entry(tick.symbol).or_insert(Bar::EMPTY).take(&tick);
        let due = watermark(index);
        while open.front().is_some_and(|(at, _)| (at + 1) * SECOND - 1 <= due) {
            if let Some((window, mut bars)) = open.pop_front() {
                close(window, &mut bars);
                spare.push(bars);
            }
            hot = 0;
        }
    }
    for (window, mut bars) in open {
        close(window, &mut bars);
    }
    checksum
}

#[derive(Default)]
struct Checksum(u64);

impl Collect<Fired<WindowResult<u32, Bar>, Tick>> for Checksum {
    #[inline]
    fn record(&mut self, _: Timestamp, fired: Fired<WindowResult<u32, Bar>, Tick>) {
        match fired {
            Fired::Result(result) => {
                let hash = result.value.hash(result.key, result.window.start.0 / SECOND);
                self.0 = self.0.wrapping_add(hash);
            }
            Fired::Late(tick) => panic!("tick of {} at {} is late", tick.symbol, tick.at),
        }
    }

    fn watermark(&mut self, _: Timestamp) {}

    fn has_room(&self) -> bool {
        true
    }

    fn fail(&mut self, error: Error) {
        panic!("{error}");
    }
}

fn key_of(tick: &Tick) -> u32 {
    tick.symbol
}

fn by_operator() -> u64 {
    let windows = Sliding::of(1.secs());
    let mut operator =
        PaneWindows::new(key_of, windows, Prototype(Bar::EMPTY)).expect("valid windows");
    let mut out = Checksum::default();
    let mut batch = Vec::with_capacity(BATCH_LEN as usize);
    for first in (0..TICKS).step_by(BATCH_LEN as usize) {
        let last = (first + BATCH_LEN).min(TICKS) - 1;
        batch.extend((first..=last).map(|index| {
            let tick = tick(index);
            Stamped::new(Timestamp(tick.at), tick)
        }));
        operator.on_batch(&mut batch, &mut out);
        operator.on_watermark(Timestamp(watermark(last)), &mut out);
    }
    operator.on_watermark(Timestamp::MAX, &mut out);
    out.0
}

fn seconds(run: fn() -> u64) -> f64 {
    let start = Instant::now();
    assert_eq!(run(), CHECKSUM, "wrong bars");
    start.elapsed().as_secs_f64()
}

fn main() {
    // `cargo test --benches` only wants to see that it runs.
    let pairs = if std::env::args().any(|argument| argument == "--bench") { PAIRS } else { 1 };
    let (mut ratios, mut hand, mut operator) = (Vec::new(), f64::MAX, f64::MAX);
    for pair in 0..pairs {
        let (a, b) = if pair % 2 == 0 {
            let a = seconds(by_hand);
            (a, seconds(by_operator))
        } else {
            let b = seconds(by_operator);
            (seconds(by_hand), b)
        };
        ratios.push(a / b);
        hand = hand.min(a);
        operator = operator.min(b);
    }
    ratios.sort_by(f64::total_cmp);
    let rate = |seconds: f64| TICKS as f64 / seconds / 1e6;
    println!(
        "tick-vwap, one core: by hand {:.1} M/s, operator {:.1} M/s (best of {pairs}); \
         ratio {:.2} (quartiles {:.2} to {:.2})",
        rate(hand),
        rate(operator),
        ratios[pairs / 2],
        ratios[pairs / 4],
        ratios[pairs * 3 / 4],
    );
}
