//! What a job starts from, and whether it fits: a checkpoint that was opened, and what its tasks
//! found in it.

use std::collections::BTreeSet;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};

use tailwater_core::{Error, KeyGroups, Result};
use tailwater_state::SnapshotReader;
use tailwater_state::checkpoint::{OpenedCheckpoint, Which};
use tailwater_state::snapshot::{Findings, RestoreSource};
use tailwater_state::store::CheckpointStore;

/// The most names that an error lists.
const NAMES_MAX: usize = 20;

/// Opens a checkpoint as [`OpenedCheckpoint::open`] does, with so many threads to read it.
///
/// # Errors
/// Those of [`OpenedCheckpoint::open`].
pub fn open(
    store: &dyn CheckpointStore,
    job: &str,
    which: Which,
    readers: u32,
) -> Result<Option<OpenedCheckpoint>> {
    OpenedCheckpoint::open_with(store, job, which, &|opened| verify(opened, readers as usize))
}

/// Reads a checkpoint with so many threads, this one among them, to see that it is whole.
fn verify(opened: &OpenedCheckpoint, readers: usize) -> Result<()> {
    let share = |index| opened.verify_share(index, readers);
    std::thread::scope(|scope| {
        let reader = || std::thread::Builder::new().name("tailwater-verify".to_owned());
        let others = (1..readers).map(|index| {
            let spawned = reader().spawn_scoped(scope, move || share(index));
            (index, spawned)
        });
        let others: Vec<_> = others.collect();
        let own = share(0);
        others.into_iter().fold(own, |verdict, (index, spawned)| {
            verdict.and(match spawned {
                Ok(reader) => reader.join().unwrap_or_else(|payload| resume_unwind(payload)),
                Err(_) => share(index),
            })
        })
    })
}

/// A checkpoint that the tasks of an attempt read their state from. Clones are one.
#[derive(Clone)]
pub struct Restoring {
    /// The checkpoint's number.
    pub checkpoint: u64,
    /// What is in it.
    pub source: Arc<dyn RestoreSource>,
    findings: Arc<Mutex<Findings>>,
}

impl Restoring {
    /// From checkpoint number `checkpoint`.
    pub fn new(checkpoint: u64, source: Arc<dyn RestoreSource>) -> Self {
        Self { checkpoint, source, findings: Arc::default() }
    }

    /// Calls `read` with what the task named `task` has in it, and notes what was found.
    pub fn read<R>(
        &self,
        task: &str,
        (core, cores): (u32, u32),
        key_groups: KeyGroups,
        read: impl FnOnce(&mut SnapshotReader) -> R,
    ) -> R {
        let groups = key_groups.range(core, cores);
        let mut reader = SnapshotReader::new(self.source.clone(), task, (core, cores), groups);
        let result = read(&mut reader);
        let found = reader.findings();
        let mut findings = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
        findings.asked.extend_from_slice(&found.asked);
        findings.missing.extend_from_slice(&found.missing);
        findings.changed.extend_from_slice(&found.changed);
        result
    }

    /// Whether the checkpoint has this state.
    pub fn has(&self, operator: &str, state: &str) -> bool {
        self.source.states().iter().any(|(of, name)| of == operator && name == state)
    }

    /// After all tasks have read: all that does not fit, in one error.
    ///
    /// # Errors
    /// When a state was written as another type, is missing in the checkpoint, or is not in the job
    /// any more, and that was not allowed.
    pub fn verdict(&self, allow_missing: bool, allow_dropped: bool) -> Result<()> {
        let findings = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
        let asked: BTreeSet<_> = findings.asked.iter().collect();
        let missing: BTreeSet<_> = findings.missing.iter().collect();
        let changed: BTreeSet<_> = findings.changed.iter().collect();
        let stored = self.source.states();
        let dropped: BTreeSet<_> = stored.iter().filter(|state| !asked.contains(state)).collect();
        let mut complaints = Vec::new();
        if !changed.is_empty() {
            let lines = listed(changed.into_iter().cloned());
            complaints.push(format!("states have other types now: {lines}"));
        }
        if !missing.is_empty() && !allow_missing {
            let names = listed(missing.into_iter().map(path));
            complaints.push(format!(
                "the checkpoint has no {names} (allow missing state to begin with it empty)"
            ));
        }
        if !dropped.is_empty() && !allow_dropped {
            let names = listed(dropped.into_iter().map(path));
            complaints
                .push(format!("the job has no {names} (allow dropped state to go on without it)"));
        }
        if complaints.is_empty() {
            return Ok(());
        }
        let complaints = complaints.join("; ");
        let checkpoint = self.checkpoint;
        Err(Error::configuration(format!(
            "checkpoint {checkpoint} does not fit the job: {complaints}"
        )))
    }
}

fn path((operator, state): &(String, String)) -> String {
    format!("`{operator}/{state}`")
}

fn listed(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = names.len().saturating_sub(NAMES_MAX);
    let mut text = names.take(NAMES_MAX).collect::<Vec<_>>().join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}
