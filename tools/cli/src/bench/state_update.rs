//! `state-update`: read-modify-write of 32-byte values on one core, the work that state stores are
//! compared by.

use tailwater::prelude::*;
use tailwater_core::random::{mix, nth};

use super::checksum::Checksum;
use super::{BenchArgs, Generated, Throughput};

const SEED: u64 = 0x5EED_0000_0000_0001 ^ 0x57;

/// 32 bytes: each update changes all of them.
#[record]
#[derive(Copy, Default)]
pub struct Value {
    words: [u64; 4],
}

impl Value {
    /// What an update does; the same for every store.
    #[inline]
    pub fn update(&mut self, amount: u64) {
        self.words[0] += 1;
        self.words[1] = self.words[1].wrapping_add(amount);
        self.words[2] ^= amount;
        self.words[3] = self.words[3].rotate_left(5) ^ self.words[1];
    }
}

/// The key and the amount of update `index`.
#[inline]
pub fn update_at(index: u64, keys: u64) -> (u64, u64) {
    let r = nth(SEED, index);
    ((((r >> 32) as u128 * keys as u128) >> 32) as u64, 1 + (r & 0xFF))
}

pub fn run(args: &BenchArgs) -> Result<Throughput> {
    let keys = args.keys;
    let job = Job::new("state-update");
    let results = Checksum::of(|result: &Value| mix(result.words[3]));
    job.source(Generated::per_core(args.events, move |index| update_at(index, keys)))
        .unstamped()
        .key_by(|update: &(u64, u64)| update.0)
        .expect_keys(keys)
        .fold(Value::default(), |value: &mut Value, update: &(u64, u64)| value.update(update.1))
        .sink(results.clone());
    let report = job.run(args.local())?;
    Ok(args.throughput("state-update", &report, results.count(), results.sum()))
}
