//! `chain`: five fused stateless steps (three maps, two filters), as a std iterator would do them.

use tailwater::prelude::*;

use super::{BenchArgs, Generated, Throughput};

const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

pub fn run(args: &BenchArgs) -> Result<Throughput> {
    let job = Job::new("chain");
    let results = counting(|value: &u64| *value);
    job.source(Generated::per_core(args.events, |index| index))
        .unstamped()
        .map(|x: u64| x.wrapping_mul(GAMMA))
        .filter(|x| x >> 60 != 0)
        .map(|x| x ^ (x >> 29))
        .filter(|x| x & 15 != 0)
        .map(|x| (x >> 7).wrapping_add(x))
        .sink(results.clone());
    let report = job.run(args.local())?;
    Ok(args.throughput("chain", &report, results.count(), results.checksum()))
}
