//! How long one update of the flat table takes at a steady rate: its own time, not its queueing.

use hdrhistogram::Histogram;
use peers::flat_values::FlatValues;
use peers::report::Report;
use peers::state_update::update;
use peers::threads;
use peers::workloads::Totals;
use quanta::Clock;

/// The upper bound of the histogram; nothing is recorded above it.
const SERVICE_NS_MAX: u64 = 60_000_000_000;

/// Loads all keys, updates them at `rate` a second and prints the line. The first second, in which
/// caches warm up, is left out.
pub fn run(keys: u64, rate: u64, seconds: u64) {
    let events = rate * seconds;
    let clock = Clock::new();
    let (secs, mut parts) = threads::run(
        vec![()],
        |_, ()| {
            let mut values = FlatValues::with_capacity(keys);
            (0..keys).for_each(|key| values.value(key).update(1));
            values
        },
        |values| measure(&clock, values, keys, rate, events),
    );
    let (times_ns, totals) = parts.pop().expect("one thread");
    Report::new("hand", "service-time", 1)
        .number("keys", keys)
        .number("rate", rate)
        .throughput(events, secs)
        .totals(totals)
        .number("p50_ns", times_ns.value_at_quantile(0.5))
        .number("p99_ns", times_ns.value_at_quantile(0.99))
        .number("p999_ns", times_ns.value_at_quantile(0.999))
        .number("p9999_ns", times_ns.value_at_quantile(0.9999))
        .number("max_ns", times_ns.max())
        .number("samples", times_ns.len())
        .print();
}

fn measure(
    clock: &Clock,
    mut values: FlatValues,
    keys: u64,
    rate: u64,
    events: u64,
) -> (Histogram<u64>, Totals) {
    let mut times_ns =
        Histogram::new_with_bounds(1, SERVICE_NS_MAX, 3).expect("the bounds are valid");
    let mut totals = Totals::default();
    let start = clock.raw();
    for i in 0..events {
        let update = update(i, keys);
        let due_ns = (u128::from(i) * 1_000_000_000 / u128::from(rate)) as u64;
        while clock.delta_as_nanos(start, clock.raw()) < due_ns {}
        let began = in_order(|| clock.raw());
        let value = values.value(update.key);
        value.update(update.amount);
        let hash = value.hash();
        let ended = in_order(|| clock.raw());
        totals.add(hash);
        if i >= rate {
            times_ns.saturating_record(clock.delta_as_nanos(began, ended));
        }
    }
    (times_ns, totals)
}

/// Reads the clock after everything before it and before everything after it: the counter alone may
/// be read while the core still waits for the memory of the update, which then takes no time.
#[inline(always)]
fn in_order(read: impl FnOnce() -> u64) -> u64 {
    loads_done();
    let counts = read();
    loads_done();
    counts
}

#[inline(always)]
fn loads_done() {
    // SAFETY: the fence touches no memory, and every x86-64 core has it (SSE2).
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::x86_64::_mm_lfence();
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}
