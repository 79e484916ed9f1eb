//! `in_order` makes the output the same to the byte, whatever runs the job.
//!
//! Method: sliding windows of skewed keys, written as text by one ordered sink; the bytes are
//! compared for 1, 2 and 4 cores, for each driver, and for 200 seeds of the seeded driver with
//! rings of all sizes.

use tailwater::prelude::*;
use tailwater_core::random::nth;

/// Times come up to 40 us out of order; low keys come most.
fn record(index: u64) -> (u64, i64) {
    let random = nth(3, index);
    let key = (random % 40).min(random / 64 % 40);
    (key, index as i64 * 1_000 - (random >> 32) as i64 % 40 * 1_000)
}

fn run(records: u64, splits: u64, local: Local) -> String {
    let part = |split| (0..records).filter(|index| index % splits == split).map(record).collect();
    let job = Job::new("ordered");
    let results = collect();
    job.source(from_splits((0..splits).map(part).collect()))
        .event_time(|record: &(u64, i64)| Timestamp(record.1), Watermarks::bounded(40.micros()))
        .key_by(|record| record.0)
        .window(Sliding::of(200.micros()).every(100.micros()))
        .aggregate(count())
        .in_order(|result| result.key)
        .sink(results.clone());
    let report = job.run(local).unwrap();
    assert_eq!((report.records, report.late()), (records, 0));
    let results: Vec<WindowResult<u64, u64>> = results.take();
    assert!(results.is_sorted_by_key(|result| (result.window.end, result.key)));
    results.iter().map(|r| format!("{},{},{}\n", r.window.end, r.key, r.value)).collect()
}

#[test]
fn for_any_number_of_cores_on_each_driver() {
    const RECORDS: u64 = 40_000;
    let expected = run(RECORDS, 1, Local { driver: Driver::Threads, ..Local::cores(1) });
    assert!(expected.lines().count() > 10_000);
    for cores in [1, 2, 4] {
        for driver in [Driver::Threads, Driver::Glommio, Driver::Seeded(7)] {
            for splits in [1, 3] {
                let local = Local { driver, ring_capacity: 64, ..Local::cores(cores) };
                let output = run(RECORDS, splits, local);
                assert!(output == expected, "{cores} cores, {driver:?}, {splits} splits");
            }
        }
    }
}

#[test]
fn for_two_hundred_seeds() {
    const RECORDS: u64 = 1_500;
    let expected = run(RECORDS, 1, Local { driver: Driver::Threads, ..Local::cores(1) });
    for seed in 0..200 {
        let local = Local {
            ring_capacity: 1 + seed as usize % 30,
            ..Local::seeded(1 + seed as u32 % 4, seed)
        };
        assert!(run(RECORDS, 1 + seed % 3, local) == expected, "seed {seed}");
    }
}
