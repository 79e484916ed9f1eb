//! Spreading items over cores, and what a reader finds missing or changed.

use std::sync::Arc;

use super::{MemorySnapshot, SnapshotReader, SnapshotWriter, Spread};
use crate::changes::SnapshotKind;

/// A job whose task `t` wrote so many items on each core: the list 0, 1, 2, .. in order of the
/// cores.
fn written(spread: Spread, sizes: &[u32]) -> Arc<MemorySnapshot> {
    let mut memory = MemorySnapshot::new(sizes.len() as u32);
    let mut next = 0;
    for (core, size) in sizes.iter().enumerate() {
        let items: Vec<u32> = (next..next + size).collect();
        next += size;
        let mut writer = SnapshotWriter::new(SnapshotKind::Incremental, "t");
        writer.operator("o", |writer| writer.list("items", spread, &items)).unwrap();
        memory.add("t", core as u32, writer.into_parts(), Vec::new());
    }
    Arc::new(memory)
}

/// What each of `cores` cores gets.
fn dealt(memory: &Arc<MemorySnapshot>, cores: u32) -> Vec<Vec<u32>> {
    let of_core = |core| {
        let mut reader = SnapshotReader::new(memory.clone(), "t", (core, cores), 0..128);
        reader.operator("o", |reader| reader.list::<u32>("items")).unwrap()
    };
    (0..cores).map(of_core).collect()
}

fn sizes(lists: &[Vec<u32>]) -> Vec<usize> {
    lists.iter().map(Vec::len).collect()
}

// SEMANTICS 62
#[test]
fn a_split_list_is_dealt_in_contiguous_blocks() {
    let three = dealt(&written(Spread::Split, &[3, 2]), 3);
    assert_eq!(three, [vec![0, 1], vec![2, 3], vec![4]]);
    assert_eq!(sizes(&dealt(&written(Spread::Split, &[3, 1]), 2)), [3, 1]);
    assert_eq!(sizes(&dealt(&written(Spread::Split, &[1, 1]), 4)), [1, 1, 0, 0]);
    assert_eq!(dealt(&written(Spread::Split, &[2, 0, 1]), 1), [[0, 1, 2]]);
}

// SEMANTICS 63
#[test]
fn a_union_goes_to_everyone_and_a_broadcast_to_its_successors() {
    assert_eq!(dealt(&written(Spread::Union, &[1, 2]), 3), [[0, 1, 2], [0, 1, 2], [0, 1, 2]]);
    let broadcast = written(Spread::Broadcast, &[1, 1]);
    assert_eq!(dealt(&broadcast, 3), [[0], [1], [0]]);
    assert_eq!(dealt(&broadcast, 1), [[0]]);
}

#[test]
fn values_are_read_by_one_core_or_by_all() {
    let memory = written(Spread::Union, &[1, 1]);
    let mut reader = SnapshotReader::new(memory, "t", (1, 2), 0..128);
    reader.operator("o", |reader| {
        assert_eq!(reader.value::<u32>("items").unwrap(), Some(1));
        assert_eq!(reader.values::<u32>("items").unwrap(), [0, 1]);
    });
}

#[test]
fn what_is_missing_or_changed_is_told_by_name() {
    let mut reader = SnapshotReader::new(written(Spread::Union, &[1]), "t", (0, 1), 0..128);
    reader.operator("o", |reader| {
        assert_eq!(reader.value::<u32>("absent").unwrap(), None);
        assert_eq!(reader.value::<i64>("items").unwrap(), None);
    });
    let findings = reader.findings();
    assert_eq!(findings.missing, [("t/o".to_owned(), "absent".to_owned())]);
    assert_eq!(findings.changed.len(), 1);
    let told = &findings.changed[0];
    assert!(told.contains("`t/o/items`") && told.contains("u32") && told.contains("i64"), "{told}");
}

#[test]
fn two_states_of_one_name_are_refused_in_one_operator_only() {
    let mut writer = SnapshotWriter::new(SnapshotKind::Incremental, "t");
    for operator in ["a", "t"] {
        writer.operator(operator, |writer| writer.value("count", &1u8)).unwrap();
    }
    assert!(writer.operator("a", |writer| writer.value("count", &2u8)).is_err());
    let parts = writer.into_parts();
    let operators: Vec<_> = parts.values.iter().map(|value| value.operator.as_str()).collect();
    assert_eq!(operators, ["t/a", "t"]);
}
