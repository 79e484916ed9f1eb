//! States of keys against naive models; the rules of TTL are in `tests/ttl.rs`, those of timers in
//! `tests/timers.rs`.

mod timers;
mod ttl;

use std::collections::BTreeMap;

use proptest::prelude::*;
use tailwater_core::{Timestamp, stable_hash};

use super::{Lasting, List, Map, Now, StatePart, Ttl, Value};
use crate::testing::Store;
use crate::{Budget, SnapshotKind, StateContext};

fn context() -> StateContext {
    StateContext::new(tailwater_core::KeyGroups::default_for(1), Budget::unlimited())
}

fn enter<S: StatePart<u8>>(state: &mut S, key: u8, now: i64) {
    let now = Now { processing: Timestamp(now), event: Timestamp(now / 2) };
    state.enter(stable_hash(&key), &key, now);
}

fn lasting<S: StatePart<u8>>() -> S {
    S::new(&context(), Ttl::never())
}

type Model = BTreeMap<u8, BTreeMap<u8, u32>>;

#[derive(Clone, Debug)]
enum MapStep {
    Insert(u8, u8, u32),
    Update(u8, u8, u32),
    Remove(u8, u8),
    OrInsert(u8, u8, u32),
    Clear(u8),
    Barrier(bool),
    Drain(usize),
    Restore,
}

fn map_steps() -> impl Strategy<Value = Vec<MapStep>> {
    use MapStep::*;
    let (key, entry) = (0u8..5, 0u8..12);
    let place = || (key.clone(), entry.clone());
    let step = prop_oneof![
        8 => (place(), any::<u32>()).prop_map(|((k, e), v)| Insert(k, e, v)),
        4 => (place(), any::<u32>()).prop_map(|((k, e), v)| Update(k, e, v)),
        4 => place().prop_map(|(k, e)| Remove(k, e)),
        2 => (place(), any::<u32>()).prop_map(|((k, e), v)| OrInsert(k, e, v)),
        1 => (0u8..5).prop_map(Clear),
        1 => any::<bool>().prop_map(Barrier),
        2 => (1usize..20).prop_map(Drain),
        1 => Just(Restore),
    ];
    prop::collection::vec(step, 0..150)
}

fn kind(is_full: bool) -> SnapshotKind {
    if is_full { SnapshotKind::Full } else { SnapshotKind::Incremental }
}

proptest! {
    #[test]
    fn a_map_is_a_map_for_each_key_over_checkpoints(steps in map_steps()) {
        let mut map: Map<u8, u8, u32> = lasting();
        let (mut model, mut store) = (Model::new(), Store::default());
        for step in steps {
            match step {
                MapStep::Insert(key, entry, value) => {
                    enter(&mut map, key, 0);
                    map.insert(entry, value);
                    model.entry(key).or_default().insert(entry, value);
                }
                MapStep::Update(key, entry, value) => {
                    enter(&mut map, key, 0);
                    let updated = map.update(&entry, |old| std::mem::replace(old, value));
                    let expected = model.get_mut(&key).and_then(|map| map.get_mut(&entry));
                    prop_assert_eq!(updated, expected.map(|old| std::mem::replace(old, value)));
                }
                MapStep::Remove(key, entry) => {
                    enter(&mut map, key, 0);
                    let expected = model.get_mut(&key).and_then(|map| map.remove(&entry));
                    prop_assert_eq!(map.remove(&entry), expected);
                }
                MapStep::OrInsert(key, entry, value) => {
                    enter(&mut map, key, 0);
                    let expected = model.entry(key).or_default().entry(entry).or_insert(value);
                    prop_assert_eq!(map.or_insert_with(entry, || value), expected);
                }
                MapStep::Clear(key) => {
                    enter(&mut map, key, 0);
                    map.clear();
                    model.remove(&key);
                }
                MapStep::Barrier(is_full) => _ = store.barrier(kind(is_full), &mut map, &model),
                MapStep::Drain(entries) => _ = store.drain(entries, &mut map),
                MapStep::Restore => {
                    store.forget_under_way();
                    map = lasting();
                    store.restore(3, &mut map);
                    model = store.completed.clone();
                }
            }
            for key in 0u8..5 {
                enter(&mut map, key, 0);
                let expected = model.get(&key).cloned().unwrap_or_default();
                prop_assert_eq!(map.len(), expected.len());
                let first = map.first().map(|(entry, _)| *entry);
                prop_assert_eq!(first, expected.keys().next().copied());
                let entries: Vec<_> = map.iter().map(|(entry, value)| (*entry, *value)).collect();
                prop_assert_eq!(entries, expected.clone().into_iter().collect::<Vec<_>>());
                for entry in 0..12 {
                    prop_assert_eq!(map.get(&entry), expected.get(&entry));
                    prop_assert_eq!(map.contains(&entry), expected.contains_key(&entry));
                }
            }
        }
    }
}

#[derive(Clone, Debug)]
enum ListStep {
    Push(u8, u32),
    PushMany(u8, u8),
    Retain(u8, u32),
    KeepLast(u8, usize),
    Replace(u8, Vec<u32>),
    Clear(u8),
    Barrier(bool),
    Drain(usize),
    Restore,
}

fn list_steps() -> impl Strategy<Value = Vec<ListStep>> {
    use ListStep::*;
    let key = || 0u8..4;
    let step = prop_oneof![
        8 => (key(), any::<u32>()).prop_map(|(k, v)| Push(k, v)),
        4 => (key(), any::<u8>()).prop_map(|(k, n)| PushMany(k, n)),
        2 => (key(), 2u32..5).prop_map(|(k, n)| Retain(k, n)),
        2 => (key(), 0usize..200).prop_map(|(k, n)| KeepLast(k, n)),
        1 => (key(), prop::collection::vec(any::<u32>(), 0..9)).prop_map(|(k, v)| Replace(k, v)),
        1 => key().prop_map(Clear),
        1 => any::<bool>().prop_map(Barrier),
        2 => (1usize..20).prop_map(Drain),
        1 => Just(Restore),
    ];
    prop::collection::vec(step, 0..80)
}

proptest! {
    #[test]
    fn a_list_is_a_list_for_each_key_over_checkpoints(steps in list_steps()) {
        let mut list: List<u8, u32> = lasting();
        let (mut model, mut store) = (BTreeMap::<u8, Vec<u32>>::new(), Store::default());
        for step in steps {
            match step {
                ListStep::Push(key, value) => {
                    enter(&mut list, key, 0);
                    list.push(value);
                    model.entry(key).or_default().push(value);
                }
                ListStep::PushMany(key, count) => {
                    enter(&mut list, key, 0);
                    list.extend((0..count).map(u32::from));
                    model.entry(key).or_default().extend((0..count).map(u32::from));
                }
                ListStep::Retain(key, divisor) => {
                    enter(&mut list, key, 0);
                    list.retain(|value| value % divisor == 0);
                    model.entry(key).or_default().retain(|value| value % divisor == 0);
                }
                ListStep::KeepLast(key, len) => {
                    enter(&mut list, key, 0);
                    list.keep_last(len);
                    let expected = model.entry(key).or_default();
                    expected.drain(..expected.len().saturating_sub(len));
                }
                ListStep::Replace(key, values) => {
                    enter(&mut list, key, 0);
                    list.replace(values.iter().copied());
                    model.insert(key, values);
                }
                ListStep::Clear(key) => {
                    enter(&mut list, key, 0);
                    list.clear();
                    model.remove(&key);
                }
                ListStep::Barrier(is_full) => _ = store.barrier(kind(is_full), &mut list, &model),
                ListStep::Drain(entries) => _ = store.drain(entries, &mut list),
                ListStep::Restore => {
                    store.forget_under_way();
                    list = lasting();
                    store.restore(3, &mut list);
                    model = store.completed.clone();
                }
            }
            for key in 0u8..4 {
                enter(&mut list, key, 0);
                let expected = model.get(&key).cloned().unwrap_or_default();
                prop_assert_eq!(list.len(), expected.len());
                prop_assert_eq!(list.last(), expected.last());
                prop_assert_eq!(list.iter().copied().collect::<Vec<_>>(), expected);
            }
        }
    }

    #[test]
    fn a_value_is_a_value_for_each_key_over_checkpoints(
        steps in prop::collection::vec((0u8..6, 0u8..7, any::<u32>()), 0..200),
    ) {
        let mut value: Value<u8, String> = lasting();
        let (mut model, mut store) = (BTreeMap::<u8, String>::new(), Store::default());
        for (key, what, number) in steps {
            enter(&mut value, key, 0);
            match what {
                0 => {
                    value.set(number.to_string());
                    model.insert(key, number.to_string());
                }
                1 => prop_assert_eq!(value.take(), model.remove(&key)),
                2 => {
                    value.update(|text| text.push('x'));
                    model.entry(key).and_modify(|text| text.push('x'));
                }
                3 => {
                    value.or_default().push('y');
                    model.entry(key).or_default().push('y');
                }
                4 => _ = store.barrier(kind(number % 3 == 0), &mut value, &model),
                5 => _ = store.drain(number as usize % 4 + 1, &mut value),
                _ if number % 4 == 0 => {
                    store.forget_under_way();
                    value = lasting();
                    store.restore(2, &mut value);
                    model = store.completed.clone();
                }
                _ => {}
            }
            for key in 0..6 {
                enter(&mut value, key, 0);
                prop_assert_eq!(value.get(), model.get(&key));
            }
        }
    }
}

/// What an append or a changed entry costs the next checkpoint does not hang on what is there.
#[test]
fn a_change_writes_what_it_touches() {
    let (mut list, mut map): (List<u8, u64>, Map<u8, u32, u64>) = (lasting(), lasting());
    enter(&mut list, 1, 0);
    enter(&mut map, 1, 0);
    list.extend(0..10_000);
    (0..10_000).for_each(|entry| map.insert(entry, 7));
    let chunk_bytes = |state: &mut dyn crate::TrackedState| {
        let mut drain = crate::Drain::new();
        drain.allow(usize::MAX);
        state.begin(0, SnapshotKind::Incremental);
        assert!(state.drain(&mut drain).unwrap());
        drain.take().map(|chunk| chunk.bytes.len()).sum::<usize>()
    };
    assert!(chunk_bytes(&mut list) > 80_000 && chunk_bytes(&mut map) > 80_000);
    list.push(1);
    map.insert(77, 1);
    assert!(chunk_bytes(&mut list) <= 8 + 16 + 8 + List::<u8, u64, Lasting>::CHUNK_LEN * 8 + 8);
    assert_eq!(chunk_bytes(&mut map), 8 + 8 + 8);
}
