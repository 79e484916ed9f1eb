//! Whole checkpoints in a real directory: what is written is read back, in chain order.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::opened::BATCH;
use super::*;
use crate::changes::{Frame, Payload, SnapshotKind};
use crate::snapshot::{RestoreSource, Spread};
use crate::store::{Caching, CheckpointStore, DirectoryStore, RealDisk};

pub(super) type Model = BTreeMap<Vec<u8>, Vec<u8>>;

pub(super) fn settings(job: &str, retain: usize) -> CheckpointSettings {
    CheckpointSettings { job: job.to_owned(), key_groups: 128, cores: 2, retain }
}

pub(super) fn schema(text: &str) -> StoredSchema {
    super::schemas::stored(&tailwater_core::Schema::parse(text).unwrap())
}

/// Some key group for a key, always the same.
pub(super) fn group_of(key: &[u8]) -> u16 {
    key.iter().fold(7u16, |hash, byte| hash.wrapping_mul(31) + u16::from(*byte)) % 128
}

pub(super) fn upsert(into: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    Frame { group: group_of(key), key, payload: Payload::Upsert(value) }.write(into);
}

pub(super) fn tombstone(into: &mut Vec<u8>, key: &[u8]) {
    Frame { group: group_of(key), key, payload: Payload::Tombstone }.write(into);
}

/// Replays frames as the tables of three cores would.
pub(super) fn replay(opened: &OpenedCheckpoint, operator: &str, state: &str) -> Model {
    let mut all = Model::new();
    for groups in [0..50, 50..51, 51..128] {
        let mut model = Model::new();
        opened
            .frames(operator, state, groups, &mut |frames| {
                assert!(frames.len() <= BATCH);
                for frame in frames {
                    match frame.payload {
                        Payload::Upsert(value) => {
                            model.insert(frame.key.to_vec(), value.to_vec());
                        }
                        Payload::Tombstone => {
                            model.remove(frame.key);
                        }
                        Payload::NamespaceTombstone(_) => {
                            model.retain(|key, _| !key.starts_with(frame.key));
                        }
                    }
                }
                Ok(())
            })
            .unwrap();
        all.append(&mut model);
    }
    all
}

fn one_checkpoint(
    checkpoints: &mut Checkpoints,
    kind: SnapshotKind,
    frames: &[u8],
    items: &[&[u8]],
) -> Completed {
    let mut writer = checkpoints.begin(checkpoints.next(), kind).unwrap();
    for core in 0..2 {
        let items: Vec<_> = items.iter().map(|item| [item, &[core as u8][..]].concat()).collect();
        let list = (Spread::Split, schema("Vec<u8>"));
        writer.items(core, ("source", "splits"), list, &items).unwrap();
    }
    let types = (schema("u64"), schema("Total { sum: i64, count: u32 }"));
    let number = writer.tracked("count", "totals", types.clone(), false).unwrap();
    assert_eq!(writer.tracked("count", "totals", types, false).unwrap(), number);
    writer.frames(number, frames).unwrap();
    writer.transaction("files", 1, b"pending".to_vec());
    checkpoints.complete(writer, 17).unwrap()
}

#[test]
fn a_chain_is_read_back_from_a_directory() {
    for caching in [Caching::Direct, Caching::Buffered] {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("made/for/it");
        let store: Arc<dyn CheckpointStore> =
            Arc::new(DirectoryStore::create(RealDisk { caching }, place).unwrap());
        let settings = settings("vwap", 2);
        let mut checkpoints =
            Checkpoints::take_over(store.clone(), settings.clone(), None).unwrap();
        assert!(checkpoints.must_be_full());

        let mut model = Model::new();
        let mut frames = Vec::new();
        for number in 0..5_000u64 {
            let (key, value) = (number.to_le_bytes(), vec![7; (number % 90) as usize]);
            upsert(&mut frames, &key, &value);
            model.insert(key.to_vec(), value);
        }
        let first = one_checkpoint(&mut checkpoints, SnapshotKind::Full, &frames, &[]);
        assert_eq!((first.frames, first.segments), (5_000, 1));
        frames.clear();
        for number in (0..5_000u64).step_by(3) {
            let key = number.to_le_bytes();
            // Gone and back again within one checkpoint, in the wrong order: tombstones go first.
            if number % 2 == 0 {
                upsert(&mut frames, &key, b"new");
                model.insert(key.to_vec(), b"new".to_vec());
            } else {
                model.remove(&key[..]);
            }
            tombstone(&mut frames, &key);
        }
        let kind = SnapshotKind::Incremental;
        let second = one_checkpoint(&mut checkpoints, kind, &frames, &[b"a", b"bc"]);
        assert_eq!((second.checkpoint, second.segments), (2, 2));
        assert!(second.warnings.is_empty());
        one_checkpoint(&mut checkpoints, kind, &[], &[b"z"]);
        assert_eq!(checkpoints.completed().collect::<Vec<_>>(), [2, 3]);

        let opened = OpenedCheckpoint::open(&*store, "vwap", Which::Latest).unwrap().unwrap();
        assert_eq!(opened.manifest().checkpoint, 3);
        let opened = OpenedCheckpoint::open(&*store, "vwap", Which::Id(2)).unwrap().unwrap();
        assert_eq!(replay(&opened, "count", "totals"), model);
        assert_eq!(opened.entries_about("count", "totals", 0..128), 5_000);
        let half = opened.entries_about("count", "totals", 0..64);
        assert!((2_000..3_000).contains(&half), "{half}");
        assert_eq!(opened.transactions()[0].bytes, b"pending");
        let values = opened.values("source", "splits").unwrap().unwrap();
        assert_eq!(values.cores[1], [b"a\x01".to_vec(), b"bc\x01".to_vec()]);
        assert!(opened.values("source", "other").unwrap().is_none());
        assert!(OpenedCheckpoint::open(&*store, "vwap", Which::Id(1)).is_err());

        let error = OpenedCheckpoint::open(&*store, "bars", Which::Latest).err().unwrap();
        assert!(error.to_string().contains("the job `vwap`, not of `bars`"), "{error}");
        let again = Checkpoints::take_over(store.clone(), settings, Some(&opened)).unwrap();
        assert_eq!((again.next(), again.must_be_full()), (4, false));
        let error = Checkpoints::take_over(store, self::settings("bars", 1), None).err().unwrap();
        assert!(error.to_string().contains("give each job a place"), "{error}");
    }
}
