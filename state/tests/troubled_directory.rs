//! A full disk, a read-only directory, a directory that vanishes: the error says what to do, and
//! the older checkpoint is there.
//!
//! Method: a tmpfs of a megabyte, mounted for the test; where mounting is not allowed, the test
//! says so and passes.
#![expect(clippy::print_stdout, reason = "a test that is skipped says so")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tailwater_core::{Result, Schema};
use tailwater_state::checkpoint::{
    CheckpointSettings, Checkpoints, Completed, OpenedCheckpoint, StoredSchema, Which,
};
use tailwater_state::snapshot::RestoreSource;
use tailwater_state::store::{CheckpointStore, DirectoryStore, RealDisk};
use tailwater_state::{Frame, Payload, SnapshotKind};

/// A small file system of its own; gone when dropped.
struct Mounted {
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl Mounted {
    fn new() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_owned();
        if !mount(&["-t", "tmpfs", "-o", "size=1m", "tmpfs"], &path) {
            println!("skipped: mounting a tmpfs is not allowed here");
            return None;
        }
        Some(Self { path, _directory: directory })
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.path).status();
    }
}

fn mount(arguments: &[&str], path: &Path) -> bool {
    let status = Command::new("mount").args(arguments).arg(path).output();
    status.is_ok_and(|output| output.status.success())
}

fn start(path: &Path) -> (Arc<dyn CheckpointStore>, Result<Checkpoints>) {
    let store: Arc<dyn CheckpointStore> = Arc::new(DirectoryStore::at(RealDisk::default(), path));
    let settings = CheckpointSettings { job: "job".into(), key_groups: 128, cores: 1, retain: 1 };
    let opened = OpenedCheckpoint::open(&*store, "job", Which::Latest).ok().flatten();
    let checkpoints = Checkpoints::take_over(store.clone(), settings, opened.as_ref());
    (store, checkpoints)
}

/// A full checkpoint of so many entries of a kilobyte.
fn checkpoint(checkpoints: &mut Checkpoints, entries: u32) -> Result<Completed> {
    let schema = Schema::parse("u64").unwrap();
    let schema =
        StoredSchema { text: schema.to_string(), fingerprint: schema.fingerprint(), version: 0 };
    let mut writer = checkpoints.begin(checkpoints.next(), SnapshotKind::Full)?;
    let number = writer.tracked("a", "b", (schema.clone(), schema), false)?;
    let mut frames = Vec::new();
    for entry in 0..entries {
        let payload = Payload::Upsert(&[7; 1 << 10]);
        Frame { group: 3, key: &entry.to_le_bytes(), payload }.write(&mut frames);
    }
    writer.frames(number, &frames)?;
    checkpoints.complete(writer, 0)
}

fn entries_of_newest(store: &dyn CheckpointStore) -> (u64, usize) {
    let opened = OpenedCheckpoint::open(store, "job", Which::Latest).unwrap().unwrap();
    let mut count = 0;
    let each = &mut |frames: &[Frame<'_>]| {
        count += frames.len();
        Ok(())
    };
    opened.frames("a", "b", 0..128, each).unwrap();
    (opened.manifest().checkpoint, count)
}

#[test]
fn a_full_disk_fails_the_checkpoint_and_keeps_the_one_before() {
    let Some(mounted) = Mounted::new() else { return };
    let (store, checkpoints) = start(&mounted.path);
    let mut checkpoints = checkpoints.unwrap();
    checkpoint(&mut checkpoints, 100).unwrap();
    let error = checkpoint(&mut checkpoints, 2_000).unwrap_err().to_string();
    let advice = "free some space; the older checkpoints are kept";
    assert!(error.contains(advice) && error.contains("segment-00000002.tw"), "{error}");
    assert!(checkpoints.must_be_full());
    assert_eq!(entries_of_newest(&*store), (1, 100));
    // What did not fit is gone, and there is room for a smaller one.
    checkpoint(&mut checkpoints, 200).unwrap();
    assert_eq!(entries_of_newest(&*store), (3, 200));
}

#[test]
fn a_read_only_directory_is_refused_when_it_is_taken_over_or_written() {
    let Some(mounted) = Mounted::new() else { return };
    let (store, checkpoints) = start(&mounted.path);
    let mut checkpoints = checkpoints.unwrap();
    checkpoint(&mut checkpoints, 10).unwrap();
    if !mount(&["-o", "remount,ro"], &mounted.path) {
        println!("skipped: mounting again is not allowed here");
        return;
    }
    let error = checkpoint(&mut checkpoints, 10).unwrap_err().to_string();
    assert!(error.contains("let the job write there"), "{error}");
    assert_eq!(entries_of_newest(&*store), (1, 10));
}

#[test]
fn a_directory_that_vanishes_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("checkpoints");
    DirectoryStore::create(RealDisk::default(), &place).unwrap();
    let (_, checkpoints) = start(&place);
    let mut checkpoints = checkpoints.unwrap();
    checkpoint(&mut checkpoints, 10).unwrap();
    std::fs::remove_dir_all(&place).unwrap();
    let error = checkpoint(&mut checkpoints, 10).unwrap_err().to_string();
    assert!(error.contains("checkpoints/segment-00000002.tw"), "{error}");
    let (_, checkpoints) = start(&place);
    let error = checkpoints.err().unwrap().to_string();
    assert!(error.contains("cannot list"), "{error}");
}

#[test]
fn a_place_that_is_a_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("file");
    std::fs::write(&place, "").unwrap();
    let error = DirectoryStore::create(RealDisk::default(), &place).unwrap_err().to_string();
    assert!(error.contains("cannot make the checkpoint directory"), "{error}");
}
