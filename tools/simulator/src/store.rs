//! The checkpoints of a run on its disk: opened for jobs, looked at between them, and let rot.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use tailwater::Result;
use tailwater_core::Random;
use tailwater_state::checkpoint::{Manifest, OpenedCheckpoint, Which, checkpoints_in};
use tailwater_state::store::{CheckpointStore, DirectoryStore};

use crate::disk::SimDisk;
use crate::swarm::Swarm;
use crate::world::World;

/// Where they are.
const DIRECTORY: &str = "/checkpoints";

/// The store for a job.
pub fn open(disk: &SimDisk) -> Result<Arc<dyn CheckpointStore>> {
    Ok(Arc::new(DirectoryStore::create(disk.clone(), DIRECTORY)?))
}

/// What must hold between two processes: the newest checkpoints are whole, and nothing was
/// committed that the newest does not have.
pub fn check(disk: &SimDisk, world: &World, swarm: &Swarm) -> std::result::Result<(), String> {
    let store = DirectoryStore::at(disk.clone(), DIRECTORY);
    let numbers = checkpoints_in(&store).map_err(|error| error.to_string())?;
    let newest = numbers.last().copied().unwrap_or(0);
    let committed = world.ledger.newest();
    if newest < committed {
        return Err(format!(
            "checkpoint {committed} was committed, but the newest that is there is {newest}"
        ));
    }
    for &number in numbers.iter().rev().take(swarm.checkpoints.retain as usize) {
        if world.is_rotten(number) {
            continue;
        }
        let opened = Manifest::read(&store, number)
            .and_then(|manifest| OpenedCheckpoint::open(&store, &manifest.job, Which::Id(number)));
        if let Err(error) = opened {
            return Err(format!("a checkpoint that is kept cannot be used: {error}"));
        }
    }
    Ok(())
}

/// Lets a file of a checkpoint rot that the newest does not need; where records may count twice,
/// one of the newest itself, as long as there is another.
pub fn rot(disk: &SimDisk, world: &World, random: &mut Random, newest_too: bool) {
    let store = DirectoryStore::at(disk.clone(), DIRECTORY);
    let Ok(numbers) = checkpoints_in(&store) else { return };
    let sound = numbers.iter().filter(|number| !world.is_rotten(**number));
    // A crash may bring the name of a deleted checkpoint back, without its segments.
    let manifests = sound.filter_map(|n| Manifest::read(&store, *n).ok()).filter(|manifest| {
        OpenedCheckpoint::open(&store, &manifest.job, Which::Id(manifest.checkpoint)).is_ok()
    });
    let manifests: Vec<_> = manifests.collect();
    let Some((newest, older)) = manifests.split_last() else { return };
    let Some(before) = older.last() else { return };
    let (victim, spared) = match newest_too && random.chance(3, 4) {
        true => (newest, before),
        false => (before, newest),
    };
    let needed: BTreeSet<_> = spared.segments.iter().map(|segment| &segment.name).collect();
    let segments = victim.segments.iter().filter(|segment| !needed.contains(&segment.name));
    let mut files: Vec<String> = segments.map(|segment| segment.name.clone()).collect();
    // Manifests are small: most of what rots is in segments.
    if files.is_empty() || random.chance(1, 4) {
        files = vec![format!("checkpoint-{:08}.manifest", victim.checkpoint)];
    }
    let file = &files[random.below(files.len() as u64) as usize];
    disk.rot(&Path::new(DIRECTORY).join(file));
    for manifest in &manifests {
        let has_it = manifest.segments.iter().any(|segment| segment.name == *file);
        if has_it || manifest.checkpoint == victim.checkpoint {
            world.rotten(manifest.checkpoint);
        }
    }
}
