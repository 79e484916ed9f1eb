//! The disk forgets what it may, and nothing else.

use super::*;
use crate::trace::Trace;

const DIRECTORY: &str = "/d";

fn disk(seed: u64) -> SimDisk {
    let world = World::new(Random::from_seed(seed), Trace::default());
    let disk = SimDisk::new(&Arc::new(world));
    disk.create_directory(Path::new(DIRECTORY)).unwrap();
    disk
}

fn path(name: &str) -> PathBuf {
    Path::new(DIRECTORY).join(name)
}

const ANY: Loss = Loss { torn_writes: true, lost_names: true };

#[test]
fn what_is_synced_stays() {
    for seed in 0..200 {
        let disk = disk(seed);
        let mut file = disk.create(&path("a")).unwrap();
        file.append(b"durable").unwrap();
        file.sync().unwrap();
        disk.rename(&path("a"), &path("b")).unwrap();
        disk.sync_directory(Path::new(DIRECTORY)).unwrap();
        file.append(b" and not").unwrap();
        disk.crash(ANY);
        let bytes = disk.read(&path("b")).unwrap();
        assert!(bytes.starts_with(b"durable") && disk.read(&path("a")).is_none(), "seed {seed}");
    }
}

#[test]
fn what_is_not_synced_may_go() {
    let (mut names, mut lengths) = ([0; 3], [0; 4]);
    for seed in 0..200 {
        let disk = disk(seed);
        let mut file = disk.create(&path("a")).unwrap();
        file.sync().unwrap();
        disk.sync_directory(Path::new(DIRECTORY)).unwrap();
        file.append(b"xyz").unwrap();
        disk.rename(&path("a"), &path("b")).unwrap();
        disk.delete(&path("b")).unwrap();
        disk.crash(ANY);
        let left = disk.read(&path("a")).map(|bytes| (0, bytes));
        let left = left.or_else(|| disk.read(&path("b")).map(|bytes| (1, bytes)));
        names[left.as_ref().map_or(2, |(name, _)| *name)] += 1;
        if let Some((_, bytes)) = left {
            lengths[bytes.len()] += 1;
        }
    }
    assert!(names.iter().all(|times| *times > 10), "{names:?}");
    assert!(lengths.iter().all(|times| *times > 5), "{lengths:?}");
}

#[test]
fn a_killed_process_reaches_nothing() {
    let disk = disk(1);
    disk.set_trouble(Trouble { crash_in: Some(2), ..Trouble::default() });
    let mut file = disk.create(&path("a")).unwrap();
    assert!(file.append(b"x").is_err() && disk.is_killed());
    assert!(file.sync().is_err() && disk.list(Path::new(DIRECTORY)).is_err());
    let next = disk.next_process();
    assert!(next.list(Path::new(DIRECTORY)).is_ok() && file.sync().is_err());
}

#[test]
fn a_full_disk_is_full_for_a_while() {
    let disk = disk(1);
    disk.set_trouble(Trouble { full_for: 3, full_one_in: 5, ..Trouble::default() });
    let refused: Vec<bool> = (0..100).map(|_| disk.create(&path("a")).is_err()).collect();
    assert!(refused.contains(&true) && refused.contains(&false) && disk.has_troubled());
    assert!(refused.chunk_by(|a, b| a == b).all(|run| !run[0] || run.len() >= 2));
}
