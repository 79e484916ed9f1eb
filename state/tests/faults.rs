//! Each deliberate bug of a table loses something that a restore shows.
//!
//! Method: a fixed script of changes around two barriers, with a bug switched on; a table that is
//! restored from the two checkpoints must differ from what the second barrier saw, and without a
//! bug must not. One test, because the switch is one for the process.

use std::collections::BTreeMap;

use tailwater_core::fault::switch_fault;
use tailwater_core::{Fault, stable_hash};
use tailwater_state::changes::Frames;
use tailwater_state::{Chunk, Drain, Frame, SnapshotKind, StateTable, TrackedState};

type Table = StateTable<u64, u64>;
type Contents = BTreeMap<u64, u64>;

const KEYS: u64 = 500;

fn set(table: &mut Table, key: u64, value: u64) {
    *table.get_or_insert_with(stable_hash(&key), key, || 0) = value;
}

fn contents(table: &Table) -> Contents {
    table.iter().map(|(_, key, value)| (*key, *value)).collect()
}

fn drain(table: &mut Table, into: &mut Drain, entries: usize) -> Vec<Chunk> {
    into.allow(entries);
    table.drain(into).unwrap();
    into.take().collect()
}

/// What the second barrier saw, and what its checkpoint restores.
fn run() -> (Contents, Contents) {
    let (mut table, mut into) = (Table::detached(), Drain::new());
    (0..KEYS).for_each(|key| set(&mut table, key, key));
    table.begin(0, SnapshotKind::Full);
    let mut chunks = drain(&mut table, &mut into, usize::MAX);
    for key in 0..KEYS {
        set(&mut table, key, key + 1_000);
    }
    table.remove(stable_hash(&3u64), &3);
    let seen = contents(&table);
    table.begin(0, SnapshotKind::Incremental);
    chunks.extend(drain(&mut table, &mut into, 10));
    // Some of those that wait are changed, some removed; the removals and growth move others.
    (0..50).for_each(|key| set(&mut table, key, 0));
    (200..350u64).for_each(|key| assert!(table.remove(stable_hash(&key), &key).is_some()));
    (KEYS..2 * KEYS).for_each(|key| set(&mut table, key, 0));
    chunks.extend(drain(&mut table, &mut into, usize::MAX));
    let mut restored = Table::detached();
    for chunk in &chunks {
        let frames: Vec<Frame<'_>> = Frames::new(&chunk.bytes).map(Result::unwrap).collect();
        restored.load(&frames).unwrap();
    }
    (seen, contents(&restored))
}

#[test]
fn every_bug_of_a_table_shows() {
    for bug in [
        None,
        Some(Fault::LoseDirtySlot),
        Some(Fault::SkipCopyOnFirstTouch),
        Some(Fault::ForgetTombstone),
        Some(Fault::LoseMovedEntry),
        None,
    ] {
        switch_fault(bug);
        let (seen, restored) = run();
        switch_fault(None);
        assert_eq!(seen == restored, bug.is_none(), "{bug:?}");
    }
}
