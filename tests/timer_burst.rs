//! A barrier that comes while many timers of one watermark fire is taken between two of them, and
//! nothing is lost or comes twice by it.
//!
//! Method: timers that count their firings in the state of their key and tell the count; a
//! checkpoint while they fire; then a crash, and the rest on another number of cores. What was
//! committed by then must be a part, and with what is committed after the restart all of it, once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use tailwater::prelude::*;
use tailwater::testing::{JobHarness, TestSource};

const KEYS: u32 = 20;
const TIMERS_OF_A_KEY: u32 = 500;

/// Sets the timers of a key, and tells at each how many have fired.
#[derive(Clone)]
struct Alarms {
    /// Firings of all keys on all cores.
    fired: Arc<AtomicU32>,
}

#[keyed_state(key = u32)]
struct Fired {
    count: Value<u32>,
}

impl Process for Alarms {
    type In = u32;
    type State = Fired;
    type Out = (u32, i64, u32);

    fn on_record(&mut self, _: u32, _: &mut Fired, context: &mut Context<Self::Out>) {
        for time in 1..=TIMERS_OF_A_KEY {
            context.event_timer(Timestamp(time.into()));
        }
    }

    fn on_timer(&mut self, at: Timestamp, state: &mut Fired, context: &mut Context<Self::Out>) {
        let count = state.count.get().copied().unwrap_or(0) + 1;
        state.count.set(count);
        self.fired.fetch_add(1, Relaxed);
        context.emit((*state.key(), at.0, count));
    }
}

// SEMANTICS 20, 46
#[test]
fn a_barrier_is_taken_between_two_timers_of_a_watermark() {
    let expected: Vec<_> = (0..KEYS)
        .flat_map(|key| (1..=TIMERS_OF_A_KEY).map(move |nth| (key, i64::from(nth), nth)))
        .collect();
    for seed in 0..8 {
        let (source, results) = (TestSource::new(), collect());
        let fired = Arc::new(AtomicU32::new(0));
        let job = Job::new("alarms");
        job.source(source.clone())
            .event_time(|_: &u32| Timestamp(0), Watermarks::by_source())
            .key_by(|key| *key)
            .process(Alarms { fired: fired.clone() })
            .sink(results.clone());
        let mut harness = JobHarness::new(job, Local::seeded(2, seed)).unwrap();
        source.extend(0..KEYS);
        harness.run_until_idle().unwrap();
        source.split(0).watermark(Timestamp(1_000));
        while fired.load(Relaxed) == 0 {
            harness.round().unwrap();
        }
        harness.checkpoint().unwrap();
        let mut all = results.take();
        assert!(
            !all.is_empty() && all.len() < expected.len(),
            "{} timers had fired at the barrier, seed {seed}",
            all.len()
        );
        // What has fired since is not committed: it fires again, and only that.
        let before = all.len();
        fired.store(0, Relaxed);
        harness.restart(if seed % 2 == 0 { 3 } else { 1 }).unwrap();
        harness.run_until_idle().unwrap();
        assert_eq!(fired.load(Relaxed) as usize, expected.len() - before, "seed {seed}");
        harness.checkpoint().unwrap();
        all.extend(results.take());
        all.sort_unstable();
        assert_eq!(all, expected, "seed {seed}");
    }
}
