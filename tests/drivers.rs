//! Every driver gives the same results, and makes progress when executors outnumber cores.
//!
//! Method: one keyed job with windows, its count and checksum compared between drivers, idle
//! policies and numbers of cores. The hang of glommio 0.9 (an executor that is descheduled between
//! arming and reading its preemption timer parks with work queued) needs contention for the
//! processor: the regression test keeps more threads busy than there are cores and runs many short
//! jobs beside them, under a watchdog.

mod watchdog;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{Builder, JoinHandle};

use tailwater::prelude::*;
use tailwater_core::random::{mix, nth};
use watchdog::within;

/// Counts of ten-millisecond windows of 97 keys: their number and checksum.
fn run(records: u64, local: Local) -> (u64, u64) {
    let record = |index: u64| (nth(7, index) % 97, index as i64 * 10_000);
    let splits = 3;
    let part = |split| (0..records).filter(|index| index % splits == split).map(record).collect();
    let job = Job::new("drivers");
    let results = counting(|Stamped { value: result, .. }: &Stamped<WindowResult<u64, u64>>| {
        mix(result.key ^ (result.window.start.0 as u64).rotate_left(20) ^ mix(result.value))
    });
    job.source(from_splits((0..splits).map(part).collect()))
        .event_time(|record: &(u64, i64)| Timestamp(record.1), Watermarks::monotonous())
        .key_by(|record| record.0)
        .window(Tumbling::of(10.millis()))
        .aggregate(count())
        .sink(results.clone());
    let report = job.run(local).unwrap();
    assert_eq!((report.records, report.late()), (records, 0));
    let replaced = report.warnings.iter().any(|warning| warning.contains("io_uring"));
    assert!(!replaced || report.driver == "threads", "a replaced driver is told: {report:?}");
    (results.count(), results.checksum())
}

#[test]
fn four_executors_complete_in_time_and_agree() {
    const RECORDS: u64 = 50_000;
    let expected = run(RECORDS, Local { driver: Driver::Threads, ..Local::cores(1) });
    for driver in [Driver::Threads, Driver::Glommio] {
        for idle in [Idle::Yield, Idle::Park] {
            let local = Local { driver, idle, ..Local::cores(4) };
            let how = format!("{driver:?}, {idle:?}");
            assert_eq!(within(10, &how, || run(RECORDS, local)), expected, "{how}");
        }
    }
}

#[test]
fn every_driver_gives_the_same_results() {
    const RECORDS: u64 = 5_000;
    let expected = run(RECORDS, Local { driver: Driver::Threads, ..Local::cores(1) });
    for cores in 1..=5 {
        for driver in [Driver::Threads, Driver::Glommio, Driver::Seeded(u64::from(cores))] {
            let local = Local { driver, ..Local::cores(cores) };
            let how = format!("{cores} cores, {driver:?}");
            assert_eq!(within(60, &how, || run(RECORDS, local)), expected, "{how}");
        }
    }
}

/// Threads that do nothing but take processor time, until they are dropped.
struct Busy(Arc<AtomicBool>, Vec<JoinHandle<()>>);

impl Busy {
    fn threads(count: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..count).map(|_| {
            let stop = stop.clone();
            let spin = move || {
                while !stop.load(Relaxed) {
                    std::hint::spin_loop();
                }
            };
            Builder::new().name("busy".to_owned()).spawn(spin).unwrap()
        });
        let threads = threads.collect();
        Self(stop, threads)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
        for thread in self.1.drain(..) {
            thread.join().unwrap();
        }
    }
}

#[test]
fn glommio_does_not_hang_under_contention() {
    const RECORDS: u64 = 2_000;
    let expected = run(RECORDS, Local { driver: Driver::Threads, ..Local::cores(1) });
    within(120, "36 short jobs beside busy threads", || {
        let _busy = Busy::threads(4);
        for round in 0..36 {
            let idle = if round % 2 == 0 { Idle::Yield } else { Idle::Park };
            let local = Local { driver: Driver::Glommio, idle, ..Local::cores(3) };
            assert_eq!(run(RECORDS, local), expected, "round {round}");
        }
    });
}
