//! Checkpoints of a job in stores of all sorts, by URL and by what stands behind it.

use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use tailwater_core::Schema;
use tailwater_state::checkpoint::{
    CheckpointSettings, Checkpoints, OpenedCheckpoint, StoredSchema, Which, inspect,
};
use tailwater_state::snapshot::RestoreSource;
use tailwater_state::store::CheckpointStore;
use tailwater_state::{Frame, Payload, SnapshotKind};

use super::{ObjectStore, create_store, existing_store};

/// Large enough for an upload in parts.
const VALUE_BYTES: usize = 64 << 10;

fn frames(keys: std::ops::Range<u16>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for key in keys {
        let value = vec![key as u8; VALUE_BYTES];
        let payload = Payload::Upsert(&value);
        Frame { group: key % 128, key: &key.to_le_bytes(), payload }.write(&mut bytes);
    }
    bytes
}

fn write_and_read_back(store: Arc<dyn CheckpointStore>) {
    let schema = Schema::parse("u64").unwrap();
    let schema =
        StoredSchema { text: schema.to_string(), fingerprint: schema.fingerprint(), version: 0 };
    let settings = CheckpointSettings { job: "job".into(), key_groups: 128, cores: 1, retain: 1 };
    let mut checkpoints = Checkpoints::take_over(store.clone(), settings.clone(), None).unwrap();
    for (kind, keys) in [(SnapshotKind::Full, 0..300), (SnapshotKind::Incremental, 300..310)] {
        let mut writer = checkpoints.begin(checkpoints.next(), kind).unwrap();
        let types = (schema.clone(), schema.clone());
        let number = writer.tracked("a", "b", types, false).unwrap();
        writer.frames(number, &frames(keys)).unwrap();
        let completed = checkpoints.complete(writer, 0).unwrap();
        assert!(completed.warnings.is_empty(), "{:?}", completed.warnings);
    }
    // A checkpoint that is given up leaves nothing.
    let mut writer = checkpoints.begin(3, SnapshotKind::Full).unwrap();
    let number = writer.tracked("a", "b", (schema.clone(), schema), false).unwrap();
    writer.frames(number, &frames(0..300)).unwrap();
    drop(writer);

    let names: Vec<_> = store.list().unwrap().into_iter().map(|listed| listed.name).collect();
    let expected = ["checkpoint-00000002.manifest", "segment-00000001.tw", "segment-00000002.tw"];
    assert_eq!(names, expected);
    let opened = OpenedCheckpoint::open(&*store, "job", Which::Latest).unwrap().unwrap();
    let mut count = 0;
    let each = &mut |frames: &[Frame<'_>]| {
        for frame in frames {
            let Payload::Upsert(value) = frame.payload else { panic!("{frame:?}") };
            assert!(value.len() == VALUE_BYTES && value.iter().all(|byte| *byte == frame.key[0]));
            count += 1;
        }
        Ok(())
    };
    opened.frames("a", "b", 0..128, each).unwrap();
    assert_eq!(count, 310);
    assert!(inspect(&*store, 2).unwrap().problems.is_empty());
    Checkpoints::take_over(store.clone(), settings, Some(&opened)).unwrap();
    store.delete("segment-00000002.tw").unwrap();
    store.delete("segment-00000002.tw").unwrap();
    let error = OpenedCheckpoint::open(&*store, "job", Which::Id(2)).err().unwrap().to_string();
    assert!(error.contains("`segment-00000002.tw` is missing"), "{error}");
}

#[test]
fn in_memory() {
    write_and_read_back(create_store("memory://a/b").unwrap());
    let objects = Arc::new(InMemory::new());
    write_and_read_back(Arc::new(ObjectStore::new(objects, "", "memory://").unwrap()));
}

#[test]
fn on_the_local_file_system() {
    let directory = tempfile::tempdir().unwrap();
    let objects = LocalFileSystem::new_with_prefix(directory.path()).unwrap();
    write_and_read_back(Arc::new(ObjectStore::new(Arc::new(objects), "x", "local").unwrap()));
}

#[test]
fn in_a_directory_by_path_or_url() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    let url = format!("file://{}", path.display());
    assert!(existing_store(&url).is_err());
    write_and_read_back(create_store(&url).unwrap());
    assert!(existing_store(path.to_str().unwrap()).is_ok());
}

#[test]
fn other_places_are_refused() {
    let error = create_store("gopher://x").err().unwrap().to_string();
    assert!(error.contains("no place for checkpoints"), "{error}");
}

#[test]
fn an_s3_url_is_a_bucket_and_a_prefix() {
    let store = create_store("s3://bucket/jobs/vwap").unwrap();
    assert_eq!(store.describe(), "s3://bucket/jobs/vwap");
}

#[test]
#[allow(clippy::print_stderr)] // Says why it does nothing.
fn on_a_server_that_speaks_s3() {
    let Ok(url) = std::env::var("TAILWATER_S3") else {
        eprintln!("skipped: TAILWATER_S3 names no empty place, such as s3://bucket/prefix");
        return;
    };
    write_and_read_back(create_store(&url).unwrap());
}
