//! Checkpoints of a table under operations drawn at random: after each, the chain of them restores
//! exactly what the table held at the barrier.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tailwater_core::{ErrorKind, KeyGroups, stable_hash};

use crate::changes::{Changes, Chunk, Drain, Frames, Payload, SnapshotKind, TrackedState};
use crate::testing::{FromNumber, Store, expected};
use crate::{Budget, StateContext, StateTable};

#[derive(Clone, Debug)]
enum Operation {
    Upsert(u16, u32),
    Change(u16, u32),
    Remove(u16),
    Clear,
    /// Many new keys at once: the table grows.
    Fill(u16),
    Barrier(SnapshotKind),
    Drain(usize),
    Abandon,
    /// The process ends and a new one restores the last completed checkpoint.
    Restore,
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let key = || prop_oneof![3 => 0u16..40, 1 => 0u16..600];
    let kind = prop_oneof![3 => Just(SnapshotKind::Incremental), 1 => Just(SnapshotKind::Full)];
    let operation = prop_oneof![
        100 => (key(), any::<u32>()).prop_map(|(k, v)| Operation::Upsert(k, v)),
        60 => (key(), any::<u32>()).prop_map(|(k, v)| Operation::Change(k, v)),
        60 => key().prop_map(Operation::Remove),
        30 => (0usize..40).prop_map(Operation::Drain),
        12 => kind.prop_map(Operation::Barrier),
        2 => (600u16..2_000).prop_map(Operation::Fill),
        2 => Just(Operation::Abandon),
        1 => Just(Operation::Restore),
        1 => Just(Operation::Clear),
    ];
    proptest::collection::vec(operation, 0..400)
}

type Model = BTreeMap<u16, u32>;

/// Keys that crowd together where `quality` is low.
fn hash(key: u16, quality: u8) -> u64 {
    let spread = stable_hash(&key);
    // Those that come in great numbers may crowd together only so much.
    match if key < 600 { quality } else { quality.max(2) } {
        0 => spread & 0xFFFF_FFFF,
        1 => (spread & 0xFFFF_FFFF) | u64::from(key % 5) << 40,
        2 => spread | 0x0FFF_FFFF << 36,
        _ => spread,
    }
}

fn contents<V: FromNumber>(table: &StateTable<u16, V>) -> BTreeMap<u16, V> {
    let mut contents = BTreeMap::new();
    for (_, key, value) in table.iter() {
        assert!(contents.insert(*key, value.clone()).is_none(), "{key} is there twice");
    }
    assert_eq!(contents.len(), table.len());
    contents
}

fn run<V: FromNumber>(operations: &[Operation], namespace: Option<i64>, quality: u8) {
    let new = || match namespace {
        Some(namespace) => StateTable::<u16, V>::detached().with_namespace(namespace),
        None => StateTable::detached(),
    };
    let (mut table, mut model) = (new(), Model::new());
    let mut store = Store::<Model>::default();
    let mut next_is_full = false;
    for operation in operations {
        let mut is_completed = false;
        match *operation {
            Operation::Upsert(key, number) => {
                let hash = hash(key, quality);
                *table.get_or_insert_with(hash, key, || V::from_number(0)) = V::from_number(number);
                model.insert(key, number);
            }
            Operation::Change(key, number) => {
                if let Some(value) = table.get_mut(hash(key, quality), &key) {
                    *value = V::from_number(number);
                    assert!(model.insert(key, number).is_some());
                }
            }
            Operation::Remove(key) => {
                let removed = table.remove(hash(key, quality), &key);
                assert_eq!(removed, model.remove(&key).map(V::from_number));
            }
            Operation::Clear => {
                table.clear();
                model.clear();
            }
            Operation::Fill(until) => {
                for key in 600..until {
                    let hash = hash(key, quality);
                    table.get_or_insert_with(hash, key, || V::from_number(key.into()));
                    model.entry(key).or_insert(key.into());
                }
            }
            Operation::Barrier(kind) => {
                let kind = if next_is_full { SnapshotKind::Full } else { kind };
                is_completed = store.barrier(kind, &mut table, &model);
                next_is_full = false;
            }
            Operation::Drain(entries) => is_completed = store.drain(entries, &mut table),
            Operation::Abandon => next_is_full |= store.abandon(&mut table),
            // The hashes of a restored table are the true ones.
            Operation::Restore if quality > 2 => {
                (table, model) = (new(), store.completed.clone());
                store.forget_under_way();
                next_is_full = false;
                store.restore(7, &mut table);
            }
            Operation::Restore => {}
        }
        assert_eq!((table.len(), table.is_empty()), (model.len(), model.is_empty()));
        if is_completed {
            let mut restored = new();
            store.restore(64, &mut restored);
            assert_eq!(contents(&restored), expected(&store.completed));
        }
    }
    for (key, number) in &model {
        assert_eq!(table.get(hash(*key, quality), key), Some(&V::from_number(*number)));
    }
    assert_eq!(contents(&table), expected(&model));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_chain_of_checkpoints_restores_what_the_barrier_saw(
        operations in operations(),
        namespace in proptest::option::of(any::<i64>()),
        quality in 0u8..8,
    ) {
        run::<u64>(&operations, namespace, quality);
        run::<String>(&operations, namespace, quality);
        run::<[i128; 9]>(&operations, namespace, quality);
        run::<(Vec<u16>, [u64; 14])>(&operations, namespace, quality);
    }
}

fn insert(table: &mut StateTable<u64, u64>, key: u64) {
    table.get_or_insert_with(stable_hash(&key), key, || key);
}

fn frames(table: &mut StateTable<u64, u64>, kind: SnapshotKind) -> u32 {
    let mut drain = Drain::new();
    table.begin(0, kind);
    drain.allow(usize::MAX);
    assert!(table.drain(&mut drain).unwrap());
    drain.take().map(|chunk| chunk.frames).sum()
}

#[test]
fn a_checkpoint_has_what_changed_and_no_more() {
    let mut table = StateTable::detached();
    (0..10_000).for_each(|key| insert(&mut table, key));
    assert_eq!(frames(&mut table, SnapshotKind::Incremental), 10_000);
    assert_eq!(frames(&mut table, SnapshotKind::Incremental), 0);
    for key in [3u64, 5, 3] {
        *table.get_mut(stable_hash(&key), &key).unwrap() += 1;
    }
    // A key that came and went between two barriers was never stored.
    insert(&mut table, 20_000);
    table.remove(stable_hash(&20_000u64), &20_000);
    table.remove(stable_hash(&7u64), &7);
    assert_eq!(frames(&mut table, SnapshotKind::Incremental), 3);
    assert_eq!(frames(&mut table, SnapshotKind::Full), 9_999);
}

#[test]
#[should_panic(expected = "the drain of the barrier before is not finished")]
fn two_barriers_without_a_drain_are_refused() {
    let mut table = StateTable::<u64, u64>::detached();
    insert(&mut table, 1);
    table.begin(0, SnapshotKind::Incremental);
    table.begin(0, SnapshotKind::Incremental);
}

#[test]
fn each_entry_that_changed_counts_once_until_the_next_barrier() {
    let changes = |changed, entries| Changes { changed, entries };
    let mut table = StateTable::detached();
    (0..1_000).for_each(|key| insert(&mut table, key));
    assert_eq!(table.changes(), changes(1_000, 1_000));
    for kind in [SnapshotKind::Full, SnapshotKind::Incremental] {
        assert!(frames(&mut table, kind) > 0);
        assert_eq!(table.changes(), changes(0, table.len()));
        let known = table.len() as u64;
        (0..30).chain(0..30).for_each(|key| insert(&mut table, key));
        (known..known + 5).for_each(|key| insert(&mut table, key));
        assert_eq!(table.changes(), changes(35, known as usize + 5));
    }
}

#[test]
fn a_drain_keeps_to_its_budget() {
    let mut table = StateTable::detached();
    (0..10_000).for_each(|key| insert(&mut table, key));
    table.begin(0, SnapshotKind::Incremental);
    let mut drain = Drain::new();
    let mut rounds = 0;
    loop {
        drain.allow(10);
        let is_done = table.drain(&mut drain).unwrap();
        rounds += 1;
        if is_done {
            break;
        }
    }
    assert!((1_000..1_200).contains(&rounds), "{rounds} rounds");
}

#[test]
fn a_table_beyond_its_budget_goes_on_and_says_so() {
    let budget = Budget::limited(1 << 20);
    let groups = KeyGroups::new(128).unwrap();
    let context = StateContext::new(groups, budget.clone());
    let mut table = StateTable::new(&context);
    let mut added = 0u64;
    while budget.failure().is_none() {
        insert(&mut table, added);
        added += 1;
    }
    assert!(added > 5_000, "{added} keys");
    let failure = budget.failure().unwrap();
    assert_eq!(failure.kind(), ErrorKind::Configuration);
    assert!(failure.to_string().contains("--state-memory"), "{failure}");
    // The step that met the refusal goes on to its end.
    (added..4 * added).for_each(|key| insert(&mut table, key));
    assert!((0..4 * added).all(|key| table.get(stable_hash(&key), &key) == Some(&key)));
    drop(table);
    assert_eq!(budget.used(), 0);
}

#[test]
fn keys_by_group_are_those_of_the_groups() {
    let mut table = StateTable::detached();
    (0..1_000).for_each(|key| insert(&mut table, key));
    let groups = KeyGroups::default_for(1);
    let halves = [0..64, 64..128].map(|range| {
        let keys: Vec<u64> = table.by_group(range.clone()).map(|(_, key, _)| *key).collect();
        assert!(keys.iter().all(|key| range.contains(&groups.of_hash(stable_hash(key)))));
        keys.len()
    });
    assert_eq!(halves.iter().sum::<usize>(), 1_000);
}

/// What chunks say of each key, after a look at what they promise of themselves.
fn upserts(chunks: &[Chunk], kinds: &mut [usize; 2]) -> BTreeMap<u64, u64> {
    let mut upserts = BTreeMap::new();
    for chunk in chunks {
        let mut count = 0;
        for frame in Frames::new(&chunk.bytes).map(Result::unwrap) {
            count += 1;
            let is_upsert = matches!(frame.payload, Payload::Upsert(_));
            assert!(chunk.groups.is_none_or(|groups| is_upsert && groups.contains(frame.group)));
            kinds[usize::from(chunk.groups.is_some())] += 1;
            let Payload::Upsert(value) = frame.payload else {
                assert!(upserts.is_empty(), "tombstones come first");
                continue;
            };
            let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
            let key = number(frame.key);
            assert_eq!(
                u32::from(frame.group),
                KeyGroups::default_for(1).of_hash(stable_hash(&key))
            );
            assert!(upserts.insert(key, number(value)).is_none(), "a key has one upsert");
        }
        assert_eq!(count, chunk.frames);
    }
    upserts
}

#[test]
fn a_large_table_sorts_what_it_hands_out() {
    for kind in [SnapshotKind::Incremental, SnapshotKind::Full] {
        let mut table = StateTable::detached();
        (0..6_000).for_each(|key| insert(&mut table, key));
        assert_eq!(frames(&mut table, kind), 6_000);
        (0..3_000).for_each(|key| *table.get_mut(stable_hash(&key), &key).unwrap() = key + 1);
        (2_900..3_000u64).for_each(|key| assert!(table.remove(stable_hash(&key), &key).is_some()));
        table.begin(3, kind);
        let (mut drain, mut chunks, mut next) = (Drain::new(), Vec::new(), 0u64);
        loop {
            drain.allow(20);
            let is_done = table.drain(&mut drain).unwrap();
            chunks.extend(drain.take());
            if is_done {
                break;
            }
            // Some that wait are changed, some removed, and new ones make the table grow.
            for key in [next, next + 1_500] {
                if let Some(value) = table.get_mut(stable_hash(&key), &key) {
                    *value = u64::MAX;
                }
            }
            table.remove(stable_hash(&(next + 1_000)), &(next + 1_000));
            (0..50).for_each(|n| insert(&mut table, 10_000 + 50 * next + n));
            next += 1;
        }
        let mut kinds = [0; 2];
        let seen = upserts(&chunks, &mut kinds);
        let last = if kind == SnapshotKind::Full { 6_000 } else { 3_000 };
        let keys = (0..last).filter(|key| !(2_900..3_000).contains(key));
        let held = keys.map(|key| (key, if key < 3_000 { key + 1 } else { key }));
        assert_eq!(seen, held.collect(), "{kind:?}");
        // Tombstones are not sorted, nor is what was saved before the drain began.
        let tombstones = if kind == SnapshotKind::Full { 0 } else { 100 };
        assert_eq!(kinds, [tombstones, seen.len()]);
    }
}

#[test]
fn a_key_of_a_group_that_is_not_the_tables_is_handed_out_too() {
    let groups = KeyGroups::new(128).unwrap();
    let context = StateContext::new(groups, Budget::unlimited()).for_groups(32..64);
    let mut table = StateTable::new(&context);
    (0..2_000).for_each(|key| insert(&mut table, key));
    table.begin(0, SnapshotKind::Incremental);
    let mut drain = Drain::new();
    drain.allow(usize::MAX);
    assert!(table.drain(&mut drain).unwrap());
    let (chunks, mut kinds) = (drain.take().collect::<Vec<_>>(), [0; 2]);
    assert_eq!(upserts(&chunks, &mut kinds).len(), 2_000);
    let own = table.by_group(32..64).count();
    assert_eq!(kinds, [2_000 - own, own]);
}
