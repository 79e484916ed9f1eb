//! The sleep of a core under loom: no interleaving loses a wake-up.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p tailwater-network --test loom --release`.
#![cfg(loom)]

use std::time::Duration;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use tailwater_network::Parker;

/// A writer publishes `count` items; the sleeper must see them all. Loom's park has no time-out, so a lost
/// wake-up is a deadlock, which loom reports.
fn all_items_arrive(writers: usize) {
    let mut model = loom::model::Builder::new();
    // Three preemptions reach every lost wake-up known to this pattern; without a bound two writers take minutes.
    model.preemption_bound = Some(3);
    model.check(move || {
        let published = Arc::new(AtomicUsize::new(0));
        let parker = Arc::new(Parker::for_this_thread());
        let threads: Vec<_> = (0..writers)
            .map(|_| {
                let (published, parker) = (published.clone(), parker.clone());
                thread::spawn(move || {
                    // Relaxed on purpose: the fences of the parker alone must carry the argument.
                    published.fetch_add(1, Ordering::Relaxed);
                    parker.wake();
                })
            })
            .collect();
        while published.load(Ordering::Relaxed) < writers {
            parker.sleep(Duration::MAX, || published.load(Ordering::Relaxed) == writers);
        }
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn one_writer_wakes_the_sleeper() {
    all_items_arrive(1);
}

#[test]
fn two_writers_wake_the_sleeper() {
    all_items_arrive(2);
}
