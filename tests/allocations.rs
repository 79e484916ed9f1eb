//! No allocation on the way of a record: a job three times as long allocates no more.
//!
//! Method: an allocator that counts, in this test program only. The job keys, exchanges, keeps bars
//! in windows and counts the results. A short and a long run have the same keys, windows and span
//! of event time, so that all they differ in is the number of records; their numbers of allocations
//! may differ by a few buffers that grow to their size when the threads happen to meet in another
//! way, and by no more.

mod ends;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use ends::source_fn;
use tailwater::operators::Polled;
use tailwater::prelude::*;
use tailwater_core::random::nth;

struct CountingAllocator;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is handed on to the system's allocator unchanged; counting touches only an
// atomic.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller keeps the promises of `alloc`, which are the same here.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `System` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the pointer came from `System` with this layout; the caller promises that `size`
        // is valid.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[record]
#[derive(Copy)]
struct Tick {
    symbol: u32,
    size: u32,
    price: i64,
    at: Timestamp,
}

const SYMBOLS: u64 = 1_000;
const SPAN_NS: u64 = 5_000_000_000;
const SPLITS: u64 = 2;

/// Runs the job over so many ticks; returns how many allocations it made.
fn allocations(ticks: u64, cores: u32) -> u64 {
    let source = source_fn(SPLITS as usize, move |split| {
        let mut next = split as u64;
        Ok(move |limit: usize, out: &mut Vec<Tick>| {
            for _ in 0..limit {
                if next >= ticks {
                    return Ok(Polled::Finished);
                }
                let random = nth(1, next);
                out.push(Tick {
                    symbol: (random % SYMBOLS) as u32,
                    size: 1 + (random >> 40) as u32 % 100,
                    price: 1_000_000 + (random >> 20) as i64 % 5_000,
                    at: Timestamp(
                        (u128::from(next) * u128::from(SPAN_NS) / u128::from(ticks)) as i64,
                    ),
                });
                next += SPLITS;
            }
            Ok(Polled::Ready)
        })
    });
    let price = |tick: &Tick| Price::from_units(tick.price);
    let size = |tick: &Tick| Size::from_units(i64::from(tick.size));
    let job = Job::new("tick-vwap");
    let results = counting(|result: &Stamped<WindowResult<u32, _>>| u64::from(result.value.key));
    job.source(source)
        .event_time(|tick: &Tick| tick.at, Watermarks::bounded(2.millis()))
        .filter(|tick| tick.size > 0)
        .key_by(|tick| tick.symbol)
        .window(Tumbling::of(1.secs()))
        .aggregate((vwap(price, size), max(|tick: &Tick| tick.price), count()))
        .sink(results.clone());
    let local = Local { driver: Driver::Threads, ..Local::cores(cores) };
    let before = ALLOCATIONS.load(Relaxed);
    let report = job.run(local).unwrap();
    let allocations = ALLOCATIONS.load(Relaxed) - before;
    assert_eq!((report.records, report.late()), (ticks, 0));
    assert_eq!(results.count(), 5 * SYMBOLS);
    allocations
}

#[test]
fn no_allocation_for_a_record() {
    const SHORT: u64 = 200_000;
    const BUFFERS: u64 = 200;
    for cores in [1, 2] {
        // What is made once in a process is made here.
        allocations(SHORT, cores);
        let short = allocations(SHORT, cores);
        let long = allocations(3 * SHORT, cores);
        assert!(
            long <= short + BUFFERS,
            "{cores} cores: {short} allocations for {SHORT} records, {long} for three times as many"
        );
    }
}
