//! `keyed-count`: a running count and sum per key, one output per input.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tailwater::prelude::*;
use tailwater_core::random::{mix, nth};

use super::checksum::Checksum;
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

/// With its key and the table's tag 32 bytes: two entries share a cache line.
#[record]
#[derive(Copy, Default)]
struct Running {
    key: u32,
    count: u32,
    sum: u64,
}

pub fn run(args: &BenchArgs) -> Result<Throughput> {
    let keys = args.keys;
    if keys > u64::from(u32::MAX) {
        return Err(Error::configuration("keyed-count has at most 4,294,967,295 keys"));
    }
    let make = move |index| {
        let r = nth(SEED, index);
        let key = ((u128::from(r >> 32) * u128::from(keys)) >> 32) as u64;
        Amount { key, amount: 1 + (r & 0xFF) }
    };
    let job = Job::new("keyed-count");
    let is_told = Arc::new(AtomicBool::new(!args.first_output));
    let results = Checksum::of(move |result: &Running| {
        if !is_told.load(Relaxed) && !is_told.swap(true, Relaxed) {
            look::tell("first output", look::HEAD, &"has come");
        }
        let Running { key, count, .. } = *result;
        mix(u64::from(key) ^ u64::from(count).wrapping_mul(GAMMA))
    });
    job.source(Generated::per_core(args.events, make))
        .unstamped()
        .key_by(|amount: &Amount| amount.key)
        .expect_keys(keys)
        .fold(Running::default(), |running: &mut Running, amount: &Amount| {
            running.key = amount.key as u32;
            running.count += 1;
            running.sum += amount.amount;
        })
        .sink(results.clone());
    let report = job.run(args.local())?;
    Ok(args.throughput("keyed-count", &report, results.count(), results.sum()))
}
