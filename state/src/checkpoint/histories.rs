//! Random histories of a job on a disk that crashes: every checkpoint that counts is there, and is
//! what a naive replay says.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use tailwater_core::{Error, Random};

use super::tests::{Model, group_of, replay, schema, settings};
use super::*;
use crate::changes::{EVERY_GROUP, Frame, GroupRange, Payload, SnapshotKind};
use crate::store::{CheckpointStore, DirectoryStore, SimDisk, Trouble};

const RETAIN: usize = 3;

/// A job with one state, whose keys begin with a namespace.
struct Job {
    disk: SimDisk,
    random: Random,
    checkpoints: Option<Checkpoints>,
    /// The state, and what changed since the last checkpoint began.
    state: Model,
    changed: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    ended: Vec<i64>,
    needs_full: bool,
    /// What each completed checkpoint must give back.
    completed: BTreeMap<u64, Model>,
    /// Those that were being completed when the store refused: they may be there.
    unsure: BTreeMap<u64, Model>,
}

fn store(disk: &SimDisk) -> Arc<dyn CheckpointStore> {
    Arc::new(DirectoryStore::at(disk.clone(), "/checkpoints"))
}

impl Job {
    fn new(seed: u64) -> Self {
        let disk = SimDisk::new(seed ^ 0xD15C);
        DirectoryStore::create(disk.clone(), "/checkpoints").unwrap();
        let mut job = Self {
            disk,
            random: Random::from_seed(seed),
            checkpoints: None,
            state: Model::new(),
            changed: BTreeMap::new(),
            ended: Vec::new(),
            needs_full: true,
            completed: BTreeMap::new(),
            unsure: BTreeMap::new(),
        };
        job.restart();
        job
    }

    /// Opens the newest checkpoint as a job does that was started again.
    fn restart(&mut self) {
        let store = store(&self.disk);
        let opened = OpenedCheckpoint::open(&*store, "job", Which::Latest).unwrap();
        let id = opened.as_ref().map(|opened| opened.manifest().checkpoint);
        let unsure = std::mem::take(&mut self.unsure);
        for (unsure, model) in unsure {
            if OpenedCheckpoint::open(&*store, "job", Which::Id(unsure)).is_ok() {
                self.completed.insert(unsure, model);
            }
        }
        assert_eq!(id, self.completed.last_key_value().map(|(id, _)| *id), "the newest is there");
        self.state = opened.as_ref().map(|o| replay(o, "a", "b")).unwrap_or_default();
        let model = id.map(|id| self.completed[&id].clone()).unwrap_or_default();
        assert_eq!(self.state, model);
        self.changed.clear();
        self.ended.clear();
        let settings = settings("job", RETAIN);
        let checkpoints = Checkpoints::take_over(store, settings, opened.as_ref()).unwrap();
        self.needs_full = checkpoints.must_be_full();
        self.checkpoints = Some(checkpoints);
    }

    fn change_some(&mut self) {
        for _ in 0..self.random.below(40) {
            let namespace = self.random.below(4) as i64;
            let number = self.random.below(60);
            let key = [namespace.to_le_bytes(), number.to_le_bytes()].concat();
            match self.random.below(20) {
                0 => {
                    let start = namespace.to_le_bytes();
                    self.state.retain(|key, _| !key.starts_with(&start));
                    self.changed.retain(|key, _| !key.starts_with(&start));
                    self.ended.push(namespace);
                }
                1..6 => {
                    self.state.remove(&key);
                    self.changed.insert(key, None);
                }
                _ => {
                    let value = vec![self.random.next_u64() as u8; self.random.below(30) as usize];
                    self.state.insert(key.clone(), value.clone());
                    self.changed.insert(key, Some(value));
                }
            }
        }
    }

    /// The frames of the next checkpoint, in an order that a table might choose.
    fn frames(&mut self, kind: SnapshotKind) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut write = |key: &[u8], payload| {
            Frame { group: group_of(key), key, payload }.write(&mut bytes);
        };
        if kind == SnapshotKind::Full {
            for (key, value) in &self.state {
                write(key, Payload::Upsert(value));
            }
            return bytes;
        }
        for (key, value) in &self.changed {
            match value {
                Some(value) => {
                    write(key, Payload::Upsert(value));
                    if value.len() % 3 == 0 {
                        write(key, Payload::Tombstone);
                    }
                }
                None => write(key, Payload::Tombstone),
            }
        }
        for namespace in &self.ended {
            let key = namespace.to_le_bytes();
            let payload = Payload::NamespaceTombstone(GroupRange::ALL);
            Frame { group: EVERY_GROUP, key: &key, payload }.write(&mut bytes);
        }
        bytes
    }

    fn checkpoint(&mut self) -> tailwater_core::Result<()> {
        let full = self.needs_full || self.random.chance(1, 12);
        let kind = if full { SnapshotKind::Full } else { SnapshotKind::Incremental };
        let frames = self.frames(kind);
        self.changed.clear();
        self.ended.clear();
        self.needs_full = true;
        let checkpoints = self.checkpoints.as_mut().unwrap();
        let id = checkpoints.next();
        let mut writer = checkpoints.begin(id, kind)?;
        let number = writer.tracked("a", "b", (schema("u64"), schema("Vec<u8>")), true)?;
        writer.frames(number, &frames)?;
        self.unsure.insert(id, self.state.clone());
        let completed = checkpoints.complete(writer, 0)?;
        assert!(completed.segments <= CHAIN_MAX);
        self.unsure.remove(&id);
        self.completed.insert(id, self.state.clone());
        self.needs_full = false;
        Ok(())
    }

    fn merge(&mut self, steps: u64) -> tailwater_core::Result<()> {
        for _ in 0..steps {
            if !self.checkpoints.as_mut().unwrap().merge_step()? {
                break;
            }
        }
        Ok(())
    }

    /// All retained checkpoints give back what they were; nothing else lies about.
    fn check(&self, is_at_rest: bool) {
        let store = store(&self.disk);
        let kept = self.completed.iter().rev().take(RETAIN);
        let mut needed = Vec::new();
        for (id, model) in kept {
            let opened = OpenedCheckpoint::open(&*store, "job", Which::Id(*id)).unwrap().unwrap();
            assert_eq!(replay(&opened, "a", "b"), *model, "checkpoint {id}");
            let report = inspect(&*store, *id).unwrap();
            assert!(report.problems.is_empty());
            assert_eq!(report.states[0].count, model.len() as u64);
            needed.push(format!("checkpoint-{id:08}.manifest"));
            needed.extend(opened.manifest().segments.iter().map(|segment| segment.name.clone()));
        }
        if is_at_rest {
            let names = store.list().unwrap().into_iter().map(|listed| listed.name);
            let surplus: Vec<_> = names.filter(|name| !needed.contains(name)).collect();
            assert!(surplus.is_empty(), "{surplus:?} besides {needed:?}");
        }
    }

    fn crash(&mut self) {
        self.disk.trouble(None);
        self.checkpoints = None;
        self.disk.crash();
        self.restart();
    }

    fn step(&mut self) {
        self.change_some();
        let troubled = self.random.chance(1, 6);
        if troubled {
            let kinds = [std::io::ErrorKind::StorageFull, std::io::ErrorKind::Other];
            let kind = kinds[self.random.below(2) as usize];
            let at = self.disk.operations() + self.random.below(40);
            let once = self.random.chance(1, 2);
            let trouble = if once { Trouble::Once(at) } else { Trouble::From(at) };
            self.disk.trouble(Some((trouble, kind)));
        }
        let completed = self.checkpoint();
        if completed.is_ok() && !troubled && self.random.chance(1, 4) {
            // What a merge under way reads and writes is there besides.
            self.check(self.checkpoints.as_ref().unwrap().merging.is_none());
        }
        let steps = self.random.below(30);
        let merged = self.merge(steps);
        self.disk.trouble(None);
        if !troubled {
            completed.and(merged).unwrap();
        } else if let Err(error) = completed {
            assert!(is_io(&error), "{error}");
        }
        match self.random.below(8) {
            0 => self.crash(),
            1 => self.check(false),
            _ => {}
        }
    }
}

fn is_io(error: &Error) -> bool {
    error.kind() == tailwater_core::ErrorKind::Io
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn what_completed_survives(seed in any::<u64>()) {
        live(seed);
    }
}

fn live(seed: u64) {
    let mut job = Job::new(seed);
    for _ in 0..60 {
        job.step();
    }
    job.crash();
    job.check(false);
}

/// A checkpoint that had failed came back in a crash with its manifest alone, counted as one that
/// is kept, and so an older one that was whole was deleted for it.
#[test]
fn a_manifest_without_its_segments_takes_no_place_of_a_whole_one() {
    live(8_262_961_724_123_287_276);
}

/// A crash or a refusal at each operation of a checkpoint with a merge: the one before it is there.
#[test]
fn trouble_at_every_operation_leaves_the_older_checkpoint() {
    for crashes in [true, false] {
        let mut at = 0;
        loop {
            let mut job = Job::new(7);
            for _ in 0..12 {
                job.change_some();
                job.checkpoint().unwrap();
            }
            let first = job.disk.operations();
            let kind = std::io::ErrorKind::StorageFull;
            job.disk.trouble(Some((Trouble::From(first + at), kind)));
            job.change_some();
            let outcome = job.merge(u64::MAX).and_then(|()| job.checkpoint());
            let went_through = outcome.is_ok() && job.disk.operations() <= first + at;
            job.disk.trouble(None);
            if crashes {
                job.crash();
            } else {
                job.restart();
            }
            job.check(false);
            if went_through {
                break;
            }
            at += 1;
        }
        assert!(at > 20, "{at} operations");
    }
}
