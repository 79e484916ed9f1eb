//! The sleep of a core under loom: no interleaving loses a wake-up.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p tailwater-network --test loom --release`.
#![cfg(loom)]

use std::time::Duration;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use tailwater_network::Parker;

/// A writer publishes `count` items; the sleeper must see them all. Loom's park has no time-out, so
/// a lost wake-up is a deadlock, which loom reports.
fn all_items_arrive(writers: usize) {
    let mut model = loom::model::Builder::new();
    // Three preemptions reach every lost wake-up known to this pattern; without a bound two writers
    // take minutes.
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

/// Records written one by one and published in pairs arrive in order, in a ring of two slots.
#[test]
fn the_ring_keeps_order_and_loses_nothing() {
    loom::model(|| {
        let (mut producer, mut consumer) = tailwater_network::ring::ring(2);
        let writer = thread::spawn(move || {
            for record in 0..3u32 {
                let mut record = record;
                while let Err(refused) = producer.write(record) {
                    record = refused;
                    producer.publish();
                    thread::yield_now();
                }
                if record % 2 == 1 {
                    producer.publish();
                }
            }
        });
        let mut taken = Vec::new();
        while taken.len() < 3 {
            let ready = consumer.ready();
            if ready == 0 {
                thread::yield_now();
            }
            consumer.take(ready, &mut taken);
        }
        assert_eq!(taken, [0, 1, 2]);
        writer.join().unwrap();
    });
}

/// A control element keeps its place among the records, whichever ring is looked at when.
#[test]
fn a_control_element_keeps_its_place() {
    use tailwater_core::{Control, Timestamp};
    use tailwater_network::{Polled, channel};
    loom::model(|| {
        let (mut sender, mut receiver) = channel::<u32>(4);
        let writer = thread::spawn(move || {
            sender.send(Timestamp(0), 0);
            sender.control(Control::Idle);
            sender.send(Timestamp(1), 1);
            sender.flush();
        });
        let (mut seen, mut batch) = (Vec::new(), Vec::new());
        while seen.len() < 3 {
            match receiver.poll(4, &mut batch) {
                Polled::Empty => thread::yield_now(),
                Polled::Records(_) => seen.extend(batch.drain(..).map(|record| Some(record.value))),
                Polled::Control(_) => seen.push(None),
            }
        }
        assert_eq!(seen, [Some(0), None, Some(1)]);
        writer.join().unwrap();
    });
}
