//! `keyed-count`: a running count and sum per key, one output per input.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tailwater::prelude::*;
use tailwater_core::random::{mix, nth};

use super::{BenchArgs, Generated, Throughput};
use crate::look;

const SEED: u64 = 0x5EED_0000_0000_0001 ^ 0xC0;
const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

#[record]
#[derive(Copy)]
struct Amount {
    key: u64,
    amount: u64,
}

#[record]
#[derive(Copy, Default)]
struct Running {
    key: u64,
    count: u64,
    sum: u64,
}

pub fn run(args: &BenchArgs) -> Result<Throughput> {
    let keys = args.keys;
    let make = move |index| {
        let r = nth(SEED, index);
        let key = ((u128::from(r >> 32) * u128::from(keys)) >> 32) as u64;
        Amount { key, amount: 1 + (r & 0xFF) }
    };
    let job = Job::new("keyed-count");
    let is_told = Arc::new(AtomicBool::new(!args.first_output));
    let results = counting(move |result: &Stamped<Running>| {
        if !is_told.load(Relaxed) && !is_told.swap(true, Relaxed) {
            look::tell("first output", look::HEAD, &"has come");
        }
        let Running { key, count, .. } = result.value;
        mix(key ^ count.wrapping_mul(GAMMA))
    });
    job.source(Generated::per_core(args.events, make))
        .unstamped()
        .key_by(|amount: &Amount| amount.key)
        .fold(Running::default(), |running: &mut Running, amount: &Amount| {
            running.key = amount.key;
            running.count += 1;
            running.sum += amount.amount;
        })
        .sink(results.clone());
    let report = job.run(args.local())?;
    Ok(args.throughput("keyed-count", &report, results.count(), results.checksum()))
}
