//! Damage of every sort: a flipped byte anywhere, a manifest cut anywhere, files that are missing.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::tests::{replay, schema, settings, tombstone, upsert};
use super::*;
use crate::changes::SnapshotKind;
use crate::snapshot::{RestoreSource, Spread};
use crate::store::{CheckpointStore, DirectoryStore, SimDisk};

const PLACE: &str = "/checkpoints";

/// A small job's two checkpoints: a base and a delta.
fn two_checkpoints() -> (SimDisk, Arc<dyn CheckpointStore>) {
    let disk = SimDisk::new(1);
    let store: Arc<dyn CheckpointStore> =
        Arc::new(DirectoryStore::create(disk.clone(), PLACE).unwrap());
    let mut checkpoints = Checkpoints::take_over(store.clone(), settings("job", 2), None).unwrap();
    for (round, kind) in [(1u64, SnapshotKind::Full), (2, SnapshotKind::Incremental)] {
        let mut writer = checkpoints.begin(round, kind).unwrap();
        let mut frames = Vec::new();
        upsert(&mut frames, b"left", &round.to_le_bytes());
        upsert(&mut frames, b"right", b"abc");
        tombstone(&mut frames, b"middle");
        let number = writer.tracked("a", "b", (schema("u64"), schema("i64")), false).unwrap();
        writer.frames(number, &frames).unwrap();
        let list = (Spread::Union, schema("u8"));
        writer.items(0, ("a", "list"), list, &[vec![1], vec![2]]).unwrap();
        writer.transaction("sink", 0, vec![9; 3]);
        checkpoints.complete(writer, 5).unwrap();
    }
    (disk, store)
}

fn path_of(disk: &SimDisk, name: &str) -> PathBuf {
    let path = Path::new(PLACE).join(name);
    assert!(disk.bytes(&path).is_some(), "{name} is not there");
    path
}

/// Opens the newest; says which it was and that it gives back what was written.
fn newest(store: &dyn CheckpointStore) -> (u64, Vec<String>) {
    let opened = OpenedCheckpoint::open(store, "job", Which::Latest).unwrap().unwrap();
    let id = opened.manifest().checkpoint;
    let model = replay(&opened, "a", "b");
    assert_eq!(model[&b"left"[..]], id.to_le_bytes());
    assert_eq!(model.len(), 2);
    assert_eq!(opened.values("a", "list").unwrap().unwrap().cores[0], [[1], [2]]);
    assert_eq!(opened.transactions()[0].bytes, [9; 3]);
    (id, opened.skipped().iter().map(|skipped| skipped.problem.to_string()).collect())
}

#[test]
fn every_flipped_byte_is_found_and_the_checkpoint_before_is_taken() {
    let (disk, store) = two_checkpoints();
    assert_eq!(newest(&*store), (2, vec![]));
    for name in ["checkpoint-00000002.manifest", "segment-00000002.tw"] {
        let path = path_of(&disk, name);
        for at in 0..disk.bytes(&path).unwrap().len() {
            disk.damage(&path, |bytes| bytes[at] ^= 0x10);
            let (id, problems) = newest(&*store);
            assert_eq!((id, problems.len()), (1, 1), "byte {at} of {name}");
            assert!(problems[0].contains(name), "byte {at}: {}", problems[0]);
            let error = OpenedCheckpoint::open(&*store, "job", Which::Id(2)).err().unwrap();
            assert!(error.to_string().contains(name), "byte {at}: {error}");
            disk.damage(&path, |bytes| bytes[at] ^= 0x10);
        }
    }
    assert_eq!(newest(&*store).0, 2);
    // Both rely on the base: there is nothing to take instead.
    let path = path_of(&disk, "segment-00000001.tw");
    for at in 0..disk.bytes(&path).unwrap().len() {
        disk.damage(&path, |bytes| bytes[at] ^= 1);
        let error = OpenedCheckpoint::open(&*store, "job", Which::Latest).err().unwrap();
        let text = error.to_string();
        assert!(text.contains("no checkpoint") && text.contains("segment-00000001.tw"), "{text}");
        disk.damage(&path, |bytes| bytes[at] ^= 1);
    }
}

#[test]
fn each_damaged_block_is_found_by_the_one_share_that_has_it() {
    let (disk, store) = two_checkpoints();
    let segments = ["segment-00000001.tw", "segment-00000002.tw"];
    for path in segments.map(|name| path_of(&disk, name)) {
        // The first payload byte of each block, as the index has them.
        let opened = OpenedCheckpoint::peek(&*store, Which::Latest).unwrap().unwrap();
        let is_it = |segment: &&super::segment_reader::Segment| path.ends_with(&segment.name);
        let segment = opened.segments().iter().find(is_it).unwrap();
        for block in &segment.index.blocks {
            let at = block.offset as usize + super::layout::HEADER;
            disk.damage(&path, |bytes| bytes[at] ^= 1);
            for count in 1..=4 {
                let shares = (0..count).map(|index| opened.verify_share(index, count));
                let damaged: Vec<_> = shares.filter_map(Result::err).collect();
                assert_eq!(damaged.len(), 1, "byte {at} of {path:?}, {count} shares: {damaged:?}");
                assert!(damaged[0].to_string().contains(&segment.name), "{}", damaged[0]);
            }
            disk.damage(&path, |bytes| bytes[at] ^= 1);
        }
    }
}

#[test]
fn a_report_counts_what_is_live_and_names_each_damaged_block() {
    let (disk, store) = two_checkpoints();
    let report = inspect(&*store, 2).unwrap();
    assert!(report.problems.is_empty());
    assert_eq!(report.segments.len(), 2);
    assert_eq!((report.segments[1].upserts, report.segments[1].tombstones), (2, 1));
    let [keyed, list] = &report.states[..] else { panic!("{:?}", report.states) };
    assert_eq!((keyed.count, keyed.bytes, list.count, list.bytes), (2, 48, 2, 2));
    let all = keyed.in_groups(0..128);
    assert_eq!((all.keys, all.bytes), (2, 48));
    let group = usize::from(super::tests::group_of(b"left"));
    assert_eq!(keyed.in_groups(group..group + 1).keys, 1);

    let path = path_of(&disk, "segment-00000002.tw");
    disk.damage(&path, |bytes| {
        bytes[128] ^= 1;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
    let report = inspect(&*store, 2).unwrap();
    let problems: Vec<_> = report.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("in `a/") && problems[0].contains("at byte 128"), "{problems:?}");
    assert_eq!(report.states.len(), 2);
}

#[test]
fn entries_end_when_told_to() {
    let (_, store) = two_checkpoints();
    let opened = OpenedCheckpoint::open(&*store, "job", Which::Latest).unwrap().unwrap();
    let mut keys = Vec::new();
    let first = &mut |entry: Entry<'_>| {
        keys.push(entry.key.to_vec());
        Ok(ControlFlow::Break(()))
    };
    opened.entries("a", "b", first).unwrap();
    assert_eq!(keys.len(), 1);
    opened.entries("a", "list", &mut |_| panic!("a list has no entries")).unwrap();
}

#[test]
fn a_later_version_is_refused_and_not_passed_over() {
    let (disk, store) = two_checkpoints();
    let path = path_of(&disk, "checkpoint-00000002.manifest");
    disk.damage(&path, |bytes| {
        bytes[8] = 2;
        let crc = crc32c::crc32c(&bytes[..28]);
        bytes[28..32].copy_from_slice(&crc.to_le_bytes());
    });
    let error = OpenedCheckpoint::open(&*store, "job", Which::Latest).err().unwrap();
    assert!(error.to_string().contains("it has format version 2"), "{error}");
    let error = Checkpoints::take_over(store, settings("job", 1), None).err().unwrap();
    assert!(error.to_string().contains("use the program that wrote it"), "{error}");
}

#[test]
fn a_file_cut_anywhere_is_found() {
    let (disk, store) = two_checkpoints();
    for name in ["checkpoint-00000002.manifest", "segment-00000002.tw"] {
        let path = path_of(&disk, name);
        let whole = disk.bytes(&path).unwrap();
        for len in 0..whole.len() {
            disk.damage(&path, |bytes| bytes.truncate(len));
            let (id, problems) = newest(&*store);
            assert_eq!((id, problems.len()), (1, 1), "{name} cut to {len} bytes");
            disk.damage(&path, |bytes| bytes.clone_from(&whole));
        }
        disk.damage(&path, |bytes| bytes.push(0));
        assert_eq!(newest(&*store).0, 1, "{name} with a byte more");
        disk.damage(&path, |bytes| bytes.clone_from(&whole));
    }
}

#[test]
fn a_missing_or_exchanged_segment_is_named() {
    let (disk, store) = two_checkpoints();
    let (old, new) = (path_of(&disk, "segment-00000001.tw"), path_of(&disk, "segment-00000002.tw"));
    let (first, second) = (disk.bytes(&old).unwrap(), disk.bytes(&new).unwrap());
    disk.damage(&new, |bytes| bytes.clone_from(&first));
    assert_eq!(newest(&*store).0, 1);
    disk.damage(&new, |bytes| bytes.clone_from(&second));
    store.delete("segment-00000002.tw").unwrap();
    let (id, problems) = newest(&*store);
    assert_eq!(id, 1);
    assert!(problems[0].contains("`segment-00000002.tw` is missing"), "{}", problems[0]);
    // What is damaged does not count: the next checkpoints go on from the first, and push it out.
    let opened = OpenedCheckpoint::open(&*store, "job", Which::Latest).unwrap();
    let mut checkpoints =
        Checkpoints::take_over(store.clone(), settings("job", 2), opened.as_ref()).unwrap();
    assert_eq!(checkpoints.completed().collect::<Vec<_>>(), [1]);
    let writer = checkpoints.begin(checkpoints.next(), SnapshotKind::Incremental).unwrap();
    let completed = checkpoints.complete(writer, 0).unwrap();
    assert_eq!(completed.checkpoint, 3);
    assert_eq!(checkpoints_in(&*store).unwrap(), [1, 3]);
}
