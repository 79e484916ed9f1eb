//! A job ends when it is told to: drained, aborted, or because nobody holds it any more.
//!
//! Method: endless sources; after a stop every record that was read must be in a window that was
//! emitted. A watchdog ends the test where a job goes on.

mod ends;
mod watchdog;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use ends::{sink_fn, source_fn};
use tailwater::operators::{Polled, Source};
use tailwater::prelude::*;
use tailwater::{ErrorKind, JobHandle};
use watchdog::within;

/// Two splits that never end, in steps of a microsecond. The returned token is held by open
/// readers.
fn endless() -> (impl Source<Out = u64>, Arc<()>) {
    let token = Arc::new(());
    let held = token.clone();
    let source = source_fn(2, move |split| {
        let held = held.clone();
        let mut next = split as u64;
        Ok(move |limit: usize, out: &mut Vec<u64>| {
            let _ = &held;
            for _ in 0..limit {
                out.push(next);
                next += 2;
            }
            Ok(Polled::Ready)
        })
    });
    (source, token)
}

fn windows_of(
    source: impl Source<Out = u64>,
    results: &tailwater::connectors::Collected<WindowResult<u64, u64>>,
) -> Job {
    let job = Job::new("endless");
    job.source(source)
        .event_time(|number| Timestamp(*number as i64 * 1_000), Watermarks::monotonous())
        .key_by(|number| number % 7)
        .window(Tumbling::of(10.millis()))
        .aggregate(count())
        .sink(results.clone());
    job
}

fn wait_for_records(handle: &JobHandle) {
    while handle.metrics().records < 20_000 {
        std::thread::yield_now();
    }
}

fn all_drivers() -> [Local; 4] {
    [
        Local { driver: Driver::Threads, idle: Idle::Park, ..Local::cores(2) },
        Local { driver: Driver::Threads, ..Local::cores(3) },
        Local { driver: Driver::Glommio, ..Local::cores(2) },
        Local::seeded(2, 11),
    ]
}

#[test]
fn a_stop_drains_and_loses_nothing() {
    for local in all_drivers() {
        let how = format!("{local:?}");
        let results = collect();
        let (source, _) = endless();
        let job = windows_of(source, &results);
        let report = within(60, &how, || {
            let handle = job.start(local).unwrap();
            wait_for_records(&handle);
            handle.stop();
            handle.stop();
            while !handle.is_finished() {
                std::thread::yield_now();
            }
            handle.stop();
            handle.join().unwrap()
        });
        let results = results.take();
        let counted: u64 = results.iter().map(|result| result.value).sum();
        assert!(counted >= 20_000);
        assert_eq!((report.records, report.late()), (counted, 0), "{how}");
        // The last windows are closed by the end; each is emitted once.
        let mut windows: Vec<_> = results.iter().map(|r| (r.window.start, r.key)).collect();
        windows.sort_unstable();
        windows.dedup();
        assert_eq!(windows.len(), results.len(), "{how}");
    }
}

#[test]
fn a_stop_waits_for_a_sink_that_is_not_ready() {
    let ready = Arc::new(AtomicBool::new(false));
    let results = collect();
    let of_sink = (ready.clone(), results.clone());
    let (source, _) = endless();
    let job = Job::new("gate");
    job.source(source).unstamped().key_by(|number| *number).records().sink(sink_fn(move |_| {
        let (ready, results) = of_sink.clone();
        let mut inner = tailwater::operators::Sink::open(&results.clone(), &context())?;
        Ok(
            move |batch: &mut Vec<Stamped<u64>>| {
                if ready.load(Relaxed) { inner.write(batch) } else { Ok(()) }
            },
        )
    }));
    let report = within(60, "a closed gate", || {
        let handle =
            job.start(Local { driver: Driver::Threads, idle: Idle::Park, ..Local::cores(2) });
        let handle = handle.unwrap();
        while handle.metrics().records < 2_000 {
            std::thread::yield_now();
        }
        handle.stop();
        assert!(!handle.is_finished());
        ready.store(true, Relaxed);
        handle.join().unwrap()
    });
    let mut numbers = results.take();
    assert_eq!(numbers.len() as u64, report.records);
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len() as u64, report.records);
}

fn context() -> tailwater::operators::SinkContext {
    tailwater::operators::SinkContext {
        core: 0,
        cores: 1,
        counters: tailwater::Counters::default(),
        clock: Arc::new(tailwater::ManualClock::default()),
        waker: tailwater::operators::Waker::none(),
        inline: true,
        checkpointing: false,
        restored: None,
    }
}

#[test]
fn an_abort_is_an_error_and_stands() {
    for local in all_drivers() {
        let how = format!("{local:?}");
        let (source, token) = endless();
        let job = windows_of(source, &collect());
        let error = within(60, &how, || {
            let handle = job.start(local).unwrap();
            wait_for_records(&handle);
            let stopper = handle.stopper();
            stopper.abort();
            // Comes too late.
            stopper.drain();
            handle.join().unwrap_err()
        });
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{how}");
        assert_eq!(error.to_string(), "job `endless` failed: the job was aborted", "{how}");
        assert_eq!(Arc::strong_count(&token), 1, "{how}: readers are left");
    }
}

#[test]
fn dropping_the_handle_ends_the_job() {
    for local in all_drivers() {
        let how = format!("{local:?}");
        let (source, token) = endless();
        let job = windows_of(source, &collect());
        within(60, &how, || {
            let handle = job.start(local).unwrap();
            wait_for_records(&handle);
            assert!(Arc::strong_count(&token) > 1);
            drop(handle);
        });
        assert_eq!(Arc::strong_count(&token), 1, "{how}: readers are left");
    }
}

#[test]
fn a_stop_before_the_first_record_is_not_lost() {
    for local in all_drivers() {
        let how = format!("{local:?}");
        let (source, _) = endless();
        let job = windows_of(source, &collect());
        within(60, &how, || {
            let handle = job.start(local).unwrap();
            handle.stop();
            handle.join().unwrap()
        });
    }
}
