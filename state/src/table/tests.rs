//! The table against `std`'s map, under operations drawn at random.

mod checkpoints;

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use tailwater_core::stable_hash;

use super::*;

#[derive(Clone, Debug)]
enum Operation {
    Upsert(u16, u32),
    Change(u16, u32),
    Get(u16),
    Remove(u16),
    Clear,
    Walk,
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let key = || prop_oneof![0u16..40, 0u16..2_000];
    let operation = prop_oneof![
        8 => (key(), any::<u32>()).prop_map(|(k, v)| Operation::Upsert(k, v)),
        2 => (key(), any::<u32>()).prop_map(|(k, v)| Operation::Change(k, v)),
        3 => key().prop_map(Operation::Get),
        5 => key().prop_map(Operation::Remove),
        1 => Just(Operation::Walk),
    ];
    let operation = prop_oneof![200 => operation, 1 => Just(Operation::Clear)];
    proptest::collection::vec(operation, 0..600)
}

/// Hashes of every quality: all equal, nearly all equal, spread.
fn hash(key: u16, quality: u8) -> u64 {
    match quality {
        0 => 0,
        1 => u64::from(key % 3) << 32 | u64::from(key),
        2 => u64::MAX - (u64::from(key % 7) << 32),
        _ => stable_hash(&key),
    }
}

proptest! {
    #[test]
    fn agrees_with_a_hash_map(operations in operations(), quality in 0u8..6) {
        let mut table = StateTable::<u16, String>::default();
        let mut model = HashMap::<u16, String>::new();
        for operation in operations {
            match operation {
                Operation::Upsert(key, value) => {
                    let made = table
                        .get_or_insert_with(hash(key, quality), key, || value.to_string());
                    prop_assert_eq!(&*made, model.entry(key).or_insert_with(|| value.to_string()));
                }
                Operation::Change(key, value) => {
                    let changed = table.get_mut(hash(key, quality), &key);
                    prop_assert_eq!(changed.is_some(), model.contains_key(&key));
                    if let Some(slot) = changed {
                        *slot = value.to_string();
                        model.insert(key, value.to_string());
                    }
                }
                Operation::Get(key) => {
                    prop_assert_eq!(table.get(hash(key, quality), &key), model.get(&key));
                }
                Operation::Remove(key) => {
                    prop_assert_eq!(table.remove(hash(key, quality), &key), model.remove(&key));
                }
                Operation::Clear => {
                    table.clear();
                    model.clear();
                }
                Operation::Walk => {
                    let mut seen = BTreeMap::new();
                    let mut cursor = 0;
                    while let Some((next, key, value)) = table.next_from(cursor) {
                        prop_assert!(seen.insert(*key, value.clone()).is_none());
                        cursor = next;
                    }
                    prop_assert_eq!(seen, model.clone().into_iter().collect());
                }
            }
            prop_assert_eq!(table.len(), model.len());
            prop_assert_eq!(table.is_empty(), model.is_empty());
        }
        for (hash, key, value) in table.iter() {
            prop_assert_eq!(model.get(key), Some(value));
            prop_assert_eq!(table.get(hash, key), Some(value));
        }
    }
}

#[test]
fn every_value_is_dropped_once() {
    let counted = std::rc::Rc::new(());
    let fill = |table: &mut StateTable<u32, std::rc::Rc<()>>| {
        for key in 0..1_000u32 {
            table.get_or_insert_with(stable_hash(&key), key, || counted.clone());
        }
    };
    let mut table = StateTable::default();
    fill(&mut table);
    assert_eq!(std::rc::Rc::strong_count(&counted), 1_001);
    for key in 0..500u32 {
        assert!(table.remove(stable_hash(&key), &key).is_some());
    }
    assert_eq!(std::rc::Rc::strong_count(&counted), 501);
    table.clear();
    assert_eq!(std::rc::Rc::strong_count(&counted), 1);
    fill(&mut table);
    drop(table);
    assert_eq!(std::rc::Rc::strong_count(&counted), 1);
}

#[test]
fn clearing_keeps_the_slots_and_an_empty_table_has_none() {
    let mut table = StateTable::<u32, u32>::default();
    table.prefetch(7);
    assert_eq!((table.get(7, &7), table.slot_bytes()), (None, 0));
    assert_eq!(table.next_from(0), None);
    table.get_or_insert_with(7, 7, || 7);
    let bytes = table.slot_bytes();
    table.clear();
    assert_eq!((table.len(), table.slot_bytes()), (0, bytes));
}
