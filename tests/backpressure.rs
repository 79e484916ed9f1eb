//! A slow sink behind tiny rings loses nothing, deadlocks never, and holds the source back.
//!
//! Method: a sink whose writer takes three records at every second call, behind rings of 1 to 8
//! records, on each driver and on 1 to 4 cores; every record must arrive once. Memory is counted,
//! not measured: the source compares how many records it has emitted with how many the sink has
//! taken. A watchdog ends the test where it hangs.

mod ends;
mod watchdog;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use ends::{sink_fn, source_fn};
use tailwater::operators::{Polled, Sink};
use tailwater::prelude::*;
use watchdog::within;

/// What has left the source, what has reached the sink, and the sum of the latter.
#[derive(Clone, Default)]
struct Flow {
    emitted: Arc<AtomicU64>,
    taken: Arc<AtomicU64>,
    sum: Arc<AtomicU64>,
    lead_max: Arc<AtomicU64>,
}

impl Flow {
    /// The numbers below `count`, spread over the splits.
    fn numbers(&self, count: u64, splits: u64) -> impl tailwater::operators::Source<Out = u64> {
        let flow = self.clone();
        source_fn(splits as usize, move |split| {
            let flow = flow.clone();
            let mut next = split as u64;
            Ok(move |limit: usize, out: &mut Vec<u64>| {
                for _ in 0..limit {
                    if next >= count {
                        return Ok(Polled::Finished);
                    }
                    out.push(next);
                    next += splits;
                    let emitted = flow.emitted.fetch_add(1, Relaxed) + 1;
                    flow.lead_max
                        .fetch_max(emitted.saturating_sub(flow.taken.load(Relaxed)), Relaxed);
                }
                Ok(Polled::Ready)
            })
        })
    }

    /// Takes nothing at the first `deaf` calls of each writer, then three records at every second.
    fn slow_sink<T: Record>(&self, deaf: u64, number: fn(&T) -> u64) -> impl Sink<T> {
        let flow = self.clone();
        sink_fn(move |_| {
            let flow = flow.clone();
            let mut calls = 0;
            Ok(move |batch: &mut Vec<Stamped<T>>| {
                calls += 1;
                if calls > deaf && calls % 2 == 0 {
                    let count = batch.len().min(3);
                    flow.taken.fetch_add(count as u64, Relaxed);
                    let numbers = batch.drain(..count).map(|record| number(&record.value));
                    flow.sum.fetch_add(numbers.sum::<u64>(), Relaxed);
                }
                Ok(())
            })
        })
    }

    fn assert_all_arrived(&self, count: u64, how: &str) {
        assert_eq!(self.taken.load(Relaxed), count, "{how}");
        assert_eq!(self.sum.load(Relaxed), (0..count).sum::<u64>(), "{how}");
    }
}

fn drivers() -> Vec<Driver> {
    vec![Driver::Threads, Driver::Glommio, Driver::Seeded(1), Driver::Seeded(2)]
}

#[test]
fn a_slow_sink_loses_nothing() {
    const COUNT: u64 = 3_000;
    for driver in drivers() {
        for cores in [1, 2, 4] {
            for ring_capacity in [1, 3, 8] {
                let local = Local { driver, ring_capacity, ..Local::cores(cores) };
                let how = format!("{driver:?}, {cores} cores, rings of {ring_capacity}");
                let flow = Flow::default();
                let job = Job::new("slow");
                job.source(flow.numbers(COUNT, 3))
                    .unstamped()
                    .key_by(|number| *number)
                    .records()
                    .rebalance()
                    .sink(flow.slow_sink(0, |number| *number));
                let report = within(60, &how, || job.run(local)).unwrap();
                assert_eq!((report.records, report.outputs), (COUNT, COUNT), "{how}");
                flow.assert_all_arrived(COUNT, &how);
            }
        }
    }
}

#[test]
fn cores_that_park_are_not_forgotten() {
    const COUNT: u64 = 1_000;
    for driver in [Driver::Threads, Driver::Glommio] {
        for cores in [1, 3] {
            let local = Local { driver, idle: Idle::Park, ring_capacity: 8, ..Local::cores(cores) };
            let how = format!("{driver:?}, {cores} cores");
            let flow = Flow::default();
            let job = Job::new("parked");
            job.source(flow.numbers(COUNT, 2))
                .unstamped()
                .key_by(|number| *number)
                .records()
                .sink(flow.slow_sink(100, |number| *number));
            within(60, &how, || job.run(local)).unwrap();
            flow.assert_all_arrived(COUNT, &how);
        }
    }
}

#[test]
fn the_source_does_not_run_ahead() {
    const COUNT: u64 = 30_000;
    const RING: u64 = 8;
    const BATCH: u64 = 64;
    for (driver, cores) in
        [(Driver::Threads, 1), (Driver::Threads, 2), (Driver::Glommio, 2), (Driver::Seeded(3), 3)]
    {
        let local = Local {
            driver,
            ring_capacity: RING as usize,
            batch_max: BATCH as usize,
            ..Local::cores(cores)
        };
        let how = format!("{driver:?}, {cores} cores");
        let flow = Flow::default();
        let job = Job::new("ahead");
        job.source(flow.numbers(COUNT, 3))
            .unstamped()
            .key_by(|number| *number)
            .records()
            .sink(flow.slow_sink(2_000, |number| *number));
        within(60, &how, || job.run(local)).unwrap();
        flow.assert_all_arrived(COUNT, &how);
        // Of each ring: what is in it, and the overflow of 256 that stops a task, passed by one
        // batch at most. Of each sink: 1024 staged records, passed by one batch at most. A batch in
        // each task.
        let cores = u64::from(cores);
        let bound = cores * cores * (RING + 256 + BATCH) + cores * (1024 + BATCH + 2 * BATCH);
        let lead = flow.lead_max.load(Relaxed);
        assert!(lead <= bound, "{how}: {lead} records in flight, {bound} have a place");
        assert!(lead > 1024, "{how}: the sink never pushed back");
    }
}

/// All results of a window leave at one watermark: more than any queue holds.
#[test]
fn windows_wait_for_room_while_they_fire() {
    const KEYS: u64 = 4_000;
    for driver in drivers() {
        let local = Local { driver, ring_capacity: 2, ..Local::cores(2) };
        let how = format!("{driver:?}");
        let flow = Flow::default();
        let job = Job::new("burst");
        job.source(flow.numbers(2 * KEYS, 2))
            .event_time(|number| Timestamp((number / KEYS) as i64), Watermarks::monotonous())
            .key_by(|number| number % KEYS)
            .window(Tumbling::of(Span(1)))
            .aggregate(count())
            .rebalance()
            .sink(flow.slow_sink(0, |result: &WindowResult<u64, u64>| {
                result.value * (result.key + result.window.start.0 as u64 * KEYS)
            }));
        within(60, &how, || job.run(local)).unwrap();
        flow.assert_all_arrived(2 * KEYS, &how);
    }
}

/// Two ways from one stream that meet again, while barriers make one way wait for the other.
#[test]
fn a_diamond_with_barriers_does_not_lock_up() {
    const COUNT: u64 = 3_000;
    for driver in drivers() {
        let local = Local { driver, ring_capacity: 1, ..Local::cores(2) };
        let how = format!("{driver:?}");
        let flow = Flow::default();
        let job = Job::new("diamond");
        let (left, right) = job.source(flow.numbers(COUNT, 2)).unstamped().tee();
        let right = right.key_by(|number| *number).records();
        left.filter(|number| number % 2 == 0)
            .union(right.filter(|number| number % 2 == 1))
            .sink(flow.slow_sink(0, |number| *number));
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().to_str().unwrap().parse().unwrap();
        let local = Local { checkpoints: Some(Checkpoints::new(store, None)), ..local };
        within(60, &how, || {
            let handle = job.start(local).unwrap();
            while !handle.is_finished() {
                handle.trigger_checkpoint().unwrap();
                std::thread::yield_now();
            }
            handle.join().unwrap();
        });
        flow.assert_all_arrived(COUNT, &how);
    }
}

#[test]
fn an_abort_does_not_wait_for_a_sink_that_takes_nothing() {
    for driver in drivers() {
        let local = Local { driver, idle: Idle::Park, ring_capacity: 4, ..Local::cores(2) };
        let flow = Flow::default();
        let called = Arc::new(AtomicBool::new(false));
        let of_sink = called.clone();
        let job = Job::new("deaf");
        job.source(flow.numbers(1_000_000, 2)).unstamped().key_by(|number| *number).records().sink(
            sink_fn(move |_| {
                let called = of_sink.clone();
                Ok(move |_: &mut Vec<Stamped<u64>>| {
                    called.store(true, Relaxed);
                    Ok(())
                })
            }),
        );
        let error = within(30, "abort", || {
            let handle = job.start(local).unwrap();
            while !called.load(Relaxed) {
                std::thread::yield_now();
            }
            handle.stopper().abort();
            handle.join().unwrap_err()
        });
        assert!(error.to_string().contains("aborted"), "{error}");
    }
}
