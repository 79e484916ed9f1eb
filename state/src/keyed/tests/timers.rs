//! Timers against an ordered set.

use std::collections::BTreeSet;

use proptest::prelude::*;
use tailwater_core::{Timestamp, stable_hash};

use super::{context, enter, kind};
use crate::StateTable;
use crate::keyed::{Domain, Map, StatePart, Timer, Timers, Ttl};
use crate::testing::Store;

fn timer(key: u8, namespace: i64, time: i64, domain: Domain) -> Timer<u8> {
    Timer { key, namespace, time: Timestamp(time), domain }
}

fn domain(is_event: bool) -> Domain {
    if is_event { Domain::Event } else { Domain::Processing }
}

#[derive(Clone, Debug)]
enum Step {
    Register(Timer<u8>),
    Delete(Timer<u8>),
    Due(bool, i64),
    DropProcessing,
    Barrier(bool),
    Drain(usize),
    Restore,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let timer = || {
        (0u8..4, 0i64..2, -5i64..30, any::<bool>())
            .prop_map(|(key, namespace, time, is)| timer(key, namespace, time, domain(is)))
    };
    let step = prop_oneof![
        12 => timer().prop_map(Step::Register),
        6 => timer().prop_map(Step::Delete),
        3 => (any::<bool>(), -5i64..30).prop_map(|(is, now)| Step::Due(is, now)),
        1 => Just(Step::DropProcessing),
        1 => any::<bool>().prop_map(Step::Barrier),
        2 => (1usize..10).prop_map(Step::Drain),
        1 => Just(Step::Restore),
    ];
    prop::collection::vec(step, 0..300)
}

/// In the order in which timers fire.
type Model = BTreeSet<(bool, i64, u64, i64, u8)>;

fn place(timer: &Timer<u8>) -> (bool, i64, u64, i64, u8) {
    let Timer { key, namespace, time, domain } = timer;
    (*domain == Domain::Event, time.0, stable_hash(key), *namespace, *key)
}

proptest! {
    // SEMANTICS 45, 46, 50
    #[test]
    fn timers_are_an_ordered_set_over_checkpoints(steps in steps()) {
        let mut timers = Timers::new(&context());
        let (mut model, mut store) = (Model::new(), Store::default());
        for step in steps {
            match step {
                Step::Register(timer) => {
                    model.insert(place(&timer));
                    timers.register(timer);
                }
                Step::Delete(timer) => {
                    model.remove(&place(&timer));
                    timers.delete(&timer);
                }
                Step::Due(is_event, now) => {
                    while let Some(timer) = timers.pop_due(domain(is_event), Timestamp(now)) {
                        let first = model.iter().find(|place| place.0 == is_event).copied();
                        prop_assert_eq!(Some(place(&timer)), first);
                        model.remove(&place(&timer));
                    }
                    prop_assert!(model.iter().all(|place| place.0 != is_event || place.1 > now));
                }
                Step::DropProcessing => {
                    timers.drop_processing();
                    model.retain(|place| place.0);
                }
                Step::Barrier(is_full) => _ = store.barrier(kind(is_full), &mut timers, &model),
                Step::Drain(entries) => _ = store.drain(entries, &mut timers),
                Step::Restore => {
                    store.forget_under_way();
                    timers = Timers::new(&context());
                    store.restore(3, &mut timers);
                    model = store.completed.clone();
                }
            }
            prop_assert_eq!(timers.len(), model.len());
            prop_assert_eq!(timers.is_empty(), model.is_empty());
        }
    }
}

/// A timer that each record moves on leaves places in the queue behind, but not without bound.
#[test]
fn moved_timers_do_not_pile_up() {
    let mut timers = Timers::new(&context());
    for time in 0..100_000 {
        timers.delete(&timer(1, 0, time, Domain::Event));
        timers.register(timer(1, 0, time + 1, Domain::Event));
    }
    assert_eq!(timers.len(), 1);
    assert!(timers.queue_len() < 200, "{}", timers.queue_len());
}

#[test]
fn the_queues_of_timers_and_the_order_of_maps_count_in_the_budget() {
    const LEN: u64 = 5_000;
    let all = || (0..LEN as i64).map(|number| timer(1, 0, number, Domain::Event));
    // What the tables take by themselves.
    let alone = context();
    let (mut set, mut entries) = (StateTable::new(&alone), StateTable::new(&alone));
    let mut index = StateTable::new(&alone);
    index.get_or_insert_with(stable_hash(&1u8), 1u8, std::collections::BTreeSet::<u64>::new);
    for timer in all() {
        let entry = (1u8, timer.time.0 as u64);
        set.get_or_insert_with(stable_hash(&timer), timer, || ());
        entries.get_or_insert_with(stable_hash(&entry), entry, || 0u64);
    }
    let context = context();
    let mut timers = Timers::new(&context);
    let mut map: Map<u8, u64, u64> = StatePart::new(&context, Ttl::never());
    enter(&mut map, 1, 0);
    for timer in all() {
        map.insert(timer.time.0 as u64, 0);
        timers.register(timer);
    }
    // A place of a queue has at least a time, a hash and a namespace, the order of a map its keys.
    let beside = context.budget.used() - alone.budget.used();
    assert!(beside >= LEN * (24 + 8), "{beside}");
    drop((timers, map));
    assert_eq!(context.budget.used(), 0);
}
