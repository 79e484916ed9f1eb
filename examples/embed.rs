//! The engine inside a host program: a record goes in through a ring, through a job, and comes
//! back.
//!
//! ```text
//! cargo run --release --example embed
//! ```
//!
//! Measures the round trip of one record at a time from the host's thread through a job on one core
//! that spins, and beside it, in the same run, that of a bare pair of rings between two threads:
//! what no engine can be faster than. Blocks of both take turns, so that both see the machine in
//! the same mood. It needs two cores that have nothing else to do.
#![allow(clippy::print_stdout)] // It is the program's output.

use hdrhistogram::Histogram;
use tailwater::prelude::*;
use tailwater::runtime::latency::histogram;
use tailwater::{Clock, SystemClock};
use tailwater_network::ring::{Consumer, ring};

/// What goes round: half a cache line.
type Quote = [u64; 4];

const RING_LEN: usize = 1024;
/// Round trips of each block, after those that warm it up.
const ROUND_TRIPS: u64 = 100_000;
const WARM_UP: u64 = 10_000;
const BLOCKS: usize = 9;

fn main() -> Result<()> {
    let clock = SystemClock::default();
    let (mut bare, mut embedded) = (histogram(), histogram());
    let mut ratios = Vec::new();
    for _ in 0..BLOCKS {
        let of_ring = bare_rings(&clock)?;
        let of_job = job(&clock)?;
        ratios.push(of_job.value_at_quantile(0.5) as f64 / of_ring.value_at_quantile(0.5) as f64);
        // All three have the same bounds.
        let _ = bare.add(&of_ring);
        let _ = embedded.add(&of_job);
    }
    ratios.sort_by(f64::total_cmp);
    print("bare rings", &bare);
    print("through a job", &embedded);
    println!("ratio of the medians: {:.2} (median of {BLOCKS} pairs)", ratios[BLOCKS / 2]);
    Ok(())
}

fn print(what: &str, histogram: &Histogram<u64>) {
    let at = |quantile| histogram.value_at_quantile(quantile);
    println!(
        "{what:<14} p50 {:>6} ns  p99 {:>6} ns  {} round trips",
        at(0.5),
        at(0.99),
        histogram.len()
    );
}

/// Sends a record and waits for its answer, over and over.
fn measure(clock: &SystemClock, mut round_trip: impl FnMut(Quote) -> Quote) -> Histogram<u64> {
    let mut histogram = histogram();
    for number in 0..WARM_UP + ROUND_TRIPS {
        let sent_ns = clock.monotonic_ns();
        let answer = round_trip([number; 4]);
        let took_ns = clock.monotonic_ns() - sent_ns;
        assert_eq!(answer[0], number, "the answer to another question");
        if number >= WARM_UP {
            histogram.saturating_record(took_ns);
        }
    }
    histogram
}

/// The host's thread and a job on one core.
fn job(clock: &SystemClock) -> Result<Histogram<u64>> {
    let (mut ingress, source) = ingress::<Quote>(RING_LEN);
    let (mut egress, sink) = egress::<Quote>(RING_LEN);
    let job = Job::new("embedded");
    job.source(source).unstamped().map(|quote| quote).sink(sink);
    let handle = job.start(Local { idle: Idle::Spin, ..Local::cores(1) })?;
    let histogram = measure(clock, |quote| {
        assert!(ingress.try_push(quote).is_ok(), "one record fits, while the job runs");
        loop {
            if let Some(answer) = egress.try_recv() {
                return answer.value;
            }
            assert!(!egress.is_ended(), "the job has ended too early");
            std::hint::spin_loop();
        }
    });
    // The end of the input ends the job.
    drop(ingress);
    handle.join()?;
    Ok(histogram)
}

/// Two threads and two rings.
fn bare_rings(clock: &SystemClock) -> Result<Histogram<u64>> {
    let (mut there, mut other) = ring::<Quote>(RING_LEN);
    let (mut answers, mut back) = ring::<Quote>(RING_LEN);
    let answer = move || {
        for _ in 0..WARM_UP + ROUND_TRIPS {
            let quote = wait(&mut other);
            assert!(answers.write(quote).is_ok(), "one record fits");
            answers.publish();
        }
    };
    let thread = std::thread::Builder::new()
        .spawn(answer)
        .map_err(|cause| Error::io("cannot start the thread that answers", cause))?;
    let histogram = measure(clock, |quote| {
        assert!(there.write(quote).is_ok(), "one record fits");
        there.publish();
        wait(&mut back)
    });
    assert!(thread.join().is_ok(), "the thread that answers panicked");
    Ok(histogram)
}

fn wait(ring: &mut Consumer<Quote>) -> Quote {
    loop {
        if let Some(quote) = ring.pop() {
            return quote;
        }
        std::hint::spin_loop();
    }
}
