//! Whatever the files of a checkpoint say, reading them ends in a value or an error. Checksums are
//! not compared, so that damage reaches what lies behind them.
#![no_main]

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use tailwater_core::Schema;
use tailwater_core::fault::{Fault, switch_fault};
use tailwater_state::checkpoint::{
    CheckpointSettings, Checkpoints, Manifest, OpenedCheckpoint, StoredSchema, Which, inspect,
};
use tailwater_state::snapshot::{RestoreSource, Spread};
use tailwater_state::store::{CheckpointStore, DirectoryStore, SimDisk};
use tailwater_state::{Frame, Payload, SnapshotKind};

const FILES: [&str; 4] = [
    "checkpoint-00000001.manifest",
    "segment-00000001.tw",
    "checkpoint-00000002.manifest",
    "segment-00000002.tw",
];

fn schema() -> StoredSchema {
    let schema = Schema::parse("u64").unwrap();
    StoredSchema { text: schema.to_string(), fingerprint: schema.fingerprint(), version: 0 }
}

/// A job's two checkpoints: a base and a delta.
fn two_checkpoints() -> (SimDisk, Arc<dyn CheckpointStore>) {
    let disk = SimDisk::new(1);
    let store: Arc<dyn CheckpointStore> =
        Arc::new(DirectoryStore::create(disk.clone(), "/c").unwrap());
    let settings =
        CheckpointSettings { job: "job".into(), key_groups: 128, cores: 2, retain: 2 };
    let mut checkpoints = Checkpoints::take_over(store.clone(), settings, None).unwrap();
    for kind in [SnapshotKind::Full, SnapshotKind::Incremental] {
        let mut writer = checkpoints.begin(checkpoints.next(), kind).unwrap();
        let number = writer.tracked("a", "b", (schema(), schema()), true).unwrap();
        let mut frames = Vec::new();
        for key in 0..3u8 {
            let payload = if key == 1 { Payload::Tombstone } else { Payload::Upsert(b"value") };
            Frame { group: key.into(), key: &[key; 16], payload }.write(&mut frames);
        }
        writer.frames(number, &frames).unwrap();
        writer.items(1, ("a", "c"), (Spread::Split, schema()), &[vec![1; 5], vec![]]).unwrap();
        checkpoints.complete(writer, 0).unwrap();
    }
    (disk, store)
}

fuzz_target!(|bytes: &[u8]| {
    switch_fault(Some(Fault::SkipChecksum));
    let _ = Manifest::parse(bytes);
    let Some((file, changes)) = bytes.split_first() else { return };
    let (disk, store) = two_checkpoints();
    let path = Path::new("/c").join(FILES[usize::from(*file) % FILES.len()]);
    disk.damage(&path, |bytes| {
        for change in changes.chunks_exact(3) {
            let at = usize::from(change[0]) | usize::from(change[1]) << 8;
            if let Some(byte) = bytes.get_mut(at) {
                *byte = change[2];
            } else {
                bytes.truncate(bytes.len().saturating_sub(at % 64));
            }
        }
    });
    let _ = inspect(&*store, 2);
    if let Ok(Some(opened)) = OpenedCheckpoint::open(&*store, "job", Which::Latest) {
        let _ = opened.frames("a", "b", 0..128, &mut |_| Ok(()));
        let _ = opened.values("a", "c");
        let _ = opened.entries("a", "b", &mut |_| Ok(ControlFlow::Continue(())));
    }
});
