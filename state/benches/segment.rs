//! What a checkpoint costs its store: frames into a segment, deltas into a base, and a chain back
//! into a table, against a bare loop that reads the same files and replays them into a flat table.
#![allow(missing_docs)]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tailwater_core::Schema;
use tailwater_core::key::{KeyGroups, stable_hash};
use tailwater_state::checkpoint::{
    CheckpointSettings, Checkpoints, OpenedCheckpoint, StoredSchema, Which,
};
use tailwater_state::snapshot::RestoreSource;
use tailwater_state::store::{CheckpointStore, DirectoryStore, RealDisk};
use tailwater_state::{Frame, Payload, SnapshotKind};

const KEY_GROUPS: u32 = 128;

/// Keys of the base; `SEGMENT_KEYS` in the environment asks for others.
fn keys() -> u64 {
    std::env::var("SEGMENT_KEYS").ok().and_then(|keys| keys.parse().ok()).unwrap_or(1_000_000)
}

/// The frames of these keys, 48 bytes each, in an order of their own as tables have it.
fn frames(keys: impl Iterator<Item = u64>) -> Vec<u8> {
    let groups = KeyGroups::new(KEY_GROUPS).expect("a valid number");
    let mut bytes = Vec::new();
    for key in keys {
        let hash = stable_hash(&key);
        let group = groups.of_hash(hash) as u16;
        let value = [hash; 4].map(u64::to_le_bytes);
        let key = key.to_le_bytes();
        Frame { group, key: &key, payload: Payload::Upsert(value.as_flattened()) }
            .write(&mut bytes);
    }
    bytes
}

fn schema() -> StoredSchema {
    let schema = Schema::parse("u64").expect("a schema");
    StoredSchema { text: schema.to_string(), fingerprint: schema.fingerprint(), version: 0 }
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory")
}

fn checkpoints(place: &Path) -> (Arc<dyn CheckpointStore>, Checkpoints) {
    let store = DirectoryStore::create(RealDisk::default(), place).expect("a directory");
    let store: Arc<dyn CheckpointStore> = Arc::new(store);
    let settings =
        CheckpointSettings { job: "bench".into(), key_groups: KEY_GROUPS, cores: 1, retain: 1 };
    let checkpoints = Checkpoints::take_over(store.clone(), settings, None).expect("a store");
    (store, checkpoints)
}

fn write(checkpoints: &mut Checkpoints, kind: SnapshotKind, frames: &[u8]) {
    let mut writer = checkpoints.begin(checkpoints.next(), kind).expect("a store");
    let number = writer.tracked("count", "totals", (schema(), schema()), false).expect("a state");
    for chunk in frames.chunks(48 << 13) {
        writer.frames(number, chunk).expect("frames");
    }
    checkpoints.complete(writer, 0).expect("a checkpoint");
}

/// A base of all keys and ten deltas of a tenth of them.
fn chain(place: &Path, deltas: u64) -> (Arc<dyn CheckpointStore>, Checkpoints) {
    let (store, mut checkpoints) = checkpoints(place);
    let all = frames(0..keys());
    write(&mut checkpoints, SnapshotKind::Full, &all);
    for delta in 0..deltas {
        let changed = frames((0..keys() / 10).map(|key| (key * 7 + delta) % keys()));
        write(&mut checkpoints, SnapshotKind::Incremental, &changed);
    }
    (store, checkpoints)
}

/// The flat table: linear probing, a key and four words a slot.
struct Flat {
    slots: Vec<[u64; 5]>,
}

impl Flat {
    fn new(keys: u64) -> Self {
        Self { slots: vec![[u64::MAX; 5]; (keys as usize * 5 / 3).next_power_of_two()] }
    }

    fn clear(&mut self) {
        self.slots.fill([u64::MAX; 5]);
    }

    #[inline]
    fn put(&mut self, key: &[u8], value: &[u8]) {
        let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        let key = word(key);
        let mask = self.slots.len() - 1;
        let mut slot = stable_hash(&key) as usize & mask;
        while self.slots[slot][0] != u64::MAX && self.slots[slot][0] != key {
            slot = (slot + 1) & mask;
        }
        let value: [u64; 4] = std::array::from_fn(|at| word(&value[at * 8..at * 8 + 8]));
        self.slots[slot] = [key, value[0], value[1], value[2], value[3]];
    }
}

fn segment_write(c: &mut Criterion) {
    let directory = directory();
    let (_, mut checkpoints) = checkpoints(directory.path());
    let frames = frames(0..keys());
    let mut group = c.benchmark_group("segment");
    group.sample_size(10).throughput(Throughput::Bytes(frames.len() as u64));
    group.bench_function("write", |b| {
        b.iter(|| write(&mut checkpoints, SnapshotKind::Full, &frames));
    });
    group.bench_function("write_bare", |b| {
        let path = directory.path().join("bare");
        b.iter(|| {
            std::fs::write(&path, &frames).expect("a file");
            std::fs::File::open(&path).and_then(|file| file.sync_all()).expect("a sync");
        });
    });
    group.finish();
}

fn merge(c: &mut Criterion) {
    let mut group = c.benchmark_group("merge");
    group.sample_size(10).throughput(Throughput::Elements(keys() * 2));
    group.bench_function("ten_deltas_into_a_base", |b| {
        let setup = || {
            let directory = directory();
            let (_, checkpoints) = chain(directory.path(), 11);
            (directory, checkpoints)
        };
        b.iter_batched_ref(
            setup,
            |(_, checkpoints)| while checkpoints.merge_step().expect("a merge") {},
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn restore(c: &mut Criterion) {
    let directory = directory();
    let (store, _) = chain(directory.path(), 5);
    let mut flat = Flat::new(keys());
    let mut group = c.benchmark_group("restore");
    group.sample_size(10).throughput(Throughput::Elements(keys() + keys() / 2));
    let open = || OpenedCheckpoint::open(&*store, "bench", Which::Latest).expect("a checkpoint");
    group.bench_function("verify", |b| b.iter(|| black_box(open().is_some())));
    let opened = open().expect("a checkpoint");
    group.bench_function("read", |b| {
        b.iter(|| {
            let mut count = 0;
            let each = &mut |frames: &[Frame<'_>]| {
                count += frames.len();
                Ok(())
            };
            opened.frames("count", "totals", 0..KEY_GROUPS, each).expect("frames");
            black_box(count)
        });
    });
    group.bench_function("into_a_flat_table", |b| {
        b.iter(|| {
            flat.clear();
            let opened = open().expect("a checkpoint");
            let each = &mut |frames: &[Frame<'_>]| {
                for frame in frames {
                    if let Payload::Upsert(value) = frame.payload {
                        flat.put(frame.key, value);
                    }
                }
                Ok(())
            };
            opened.frames("count", "totals", 0..KEY_GROUPS, each).expect("frames");
        });
    });
    group.bench_function("bare_loop", |b| {
        let names: Vec<_> = opened.manifest().segments.iter().map(|s| s.name.clone()).collect();
        b.iter(|| {
            flat.clear();
            for name in &names {
                let bytes = std::fs::read(directory.path().join(name)).expect("a file");
                bare_replay(&bytes, &mut flat);
            }
        });
    });
    group.finish();
}

/// Replays a segment's frames of 48 bytes without looking at anything but lengths.
fn bare_replay(bytes: &[u8], flat: &mut Flat) {
    let mut at = 128;
    while bytes[at..].starts_with(b"TWBK") {
        let len = bytes[at + 24..at + 28].try_into().map_or(0, u32::from_le_bytes) as usize;
        for frame in bytes[at + 64..at + 64 + len].chunks_exact(48) {
            flat.put(&frame[8..16], &frame[16..48]);
        }
        at += 64 + len.next_multiple_of(64);
    }
}

criterion_group!(benches, segment_write, merge, restore);
criterion_main!(benches);
