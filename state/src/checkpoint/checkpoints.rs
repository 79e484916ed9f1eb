//! The checkpoints of a running job in a store: begun, completed, merged, and deleted when newer
//! ones have replaced them.

use std::collections::BTreeSet;
use std::sync::Arc;

use tailwater_core::{Error, Result};

use super::layout::{JOB_NAME_MAX, SegmentHeader};
use super::manifest::{Manifest, StateEntry};
use super::names::{self, Named};
use super::opened::{OpenedCheckpoint, checkpoints_in, foreign};
use super::segment_reader::read_header;
use super::segment_writer::SegmentRef;
use super::writer::{CheckpointWriter, Written};
use crate::changes::SnapshotKind;
use crate::fault::{Fault, fault};
use crate::store::CheckpointStore;

/// What a job's checkpoints are like.
#[derive(Clone, Debug)]
pub struct CheckpointSettings {
    /// The job's name: a store with those of another job is refused.
    pub job: String,
    /// The job's max parallelism.
    pub key_groups: u32,
    /// The cores that it runs on.
    pub cores: u32,
    /// How many completed checkpoints are kept; at least one is.
    pub retain: usize,
}

/// The checkpoints of a running job.
pub struct Checkpoints {
    store: Arc<dyn CheckpointStore>,
    settings: CheckpointSettings,
    /// The completed ones that count, ascending.
    completed: Vec<Manifest>,
    /// The segments that the next incremental checkpoint goes on from, the oldest first.
    chain: Vec<SegmentRef>,
    /// The states of the newest checkpoint in the chain.
    states: Vec<StateEntry>,
    next: u64,
    /// Whether the next one must be full, since one was begun and did not complete.
    is_broken: bool,
}

/// What came of a checkpoint.
#[derive(Debug)]
pub struct Completed {
    /// Its number.
    pub checkpoint: u64,
    /// Bytes that were written for it: segment and manifest.
    pub bytes: u64,
    /// Frames in it, and their bytes.
    pub frames: u64,
    /// Bytes of these frames.
    pub frame_bytes: u64,
    /// Bytes of all files that a restore would read.
    pub restore_bytes: u64,
    /// How many segments a restore would read.
    pub segments: usize,
    /// What went wrong without doing harm: files that could not be deleted.
    pub warnings: Vec<Error>,
}

impl Checkpoints {
    /// Takes a store over for a job that goes on from `from`, or that starts afresh: refuses that
    /// of another job, and removes what crashed runs left behind.
    ///
    /// # Errors
    /// When the store has checkpoints of another job or of an unknown version, or refuses.
    pub fn take_over(
        store: Arc<dyn CheckpointStore>,
        settings: CheckpointSettings,
        from: Option<&OpenedCheckpoint>,
    ) -> Result<Self> {
        let CheckpointSettings { job, key_groups, .. } = &settings;
        if job.len() > JOB_NAME_MAX {
            let problem = format!("the job's name is longer than {JOB_NAME_MAX} bytes");
            return Err(Error::configuration(problem));
        }
        let numbers = checkpoints_in(&*store)?;
        let unusable: Vec<_> = from.iter().flat_map(|from| from.skipped()).collect();
        let mut completed = Vec::new();
        for &number in &numbers {
            if unusable.iter().any(|skipped| skipped.checkpoint == number) {
                continue;
            }
            match Manifest::read(&*store, number) {
                Ok(manifest) if manifest.job != *job => {
                    return Err(foreign(&*store, &manifest.job, job));
                }
                Ok(manifest) => completed.push(manifest),
                Err(error) if error.kind() == tailwater_core::ErrorKind::Format => {}
                Err(error) => return Err(error),
            }
        }
        let from = from.map(OpenedCheckpoint::manifest);
        if let Some(from) = from
            && from.key_groups != *key_groups
        {
            return Err(Error::configuration(format!(
                "checkpoint {} has {} key groups, the job has {key_groups}: max parallelism is \
                 fixed once there is state",
                from.checkpoint, from.key_groups
            )));
        }
        let mut this = Self {
            completed,
            chain: from.map(|from| from.segments.clone()).unwrap_or_default(),
            states: from.map(|from| from.states.clone()).unwrap_or_default(),
            next: numbers.last().map_or(1, |last| last + 1),
            is_broken: false,
            store,
            settings,
        };
        this.refuse_foreign_segments()?;
        this.store.clear_unfinished()?;
        this.sweep_segments()?;
        Ok(this)
    }

    /// The number of the next checkpoint.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The numbers of the completed ones that are kept, ascending.
    pub fn completed(&self) -> impl Iterator<Item = u64> + '_ {
        self.completed.iter().map(|manifest| manifest.checkpoint)
    }

    /// Whether the next checkpoint must be full: there is none to go on from, or one was given up.
    pub fn must_be_full(&self) -> bool {
        self.chain.is_empty() || self.is_broken
    }

    /// Begins a checkpoint. Its number is [`Checkpoints::next`] or greater.
    ///
    /// # Errors
    /// When the store refuses.
    ///
    /// # Panics
    /// When the number was used before, or it is incremental and must be full.
    pub fn begin(&mut self, checkpoint: u64, kind: SnapshotKind) -> Result<CheckpointWriter> {
        assert!(checkpoint >= self.next, "checkpoint {checkpoint} comes after {}", self.next - 1);
        let is_full = kind == SnapshotKind::Full;
        assert!(is_full || !self.must_be_full(), "checkpoint {checkpoint} must be full");
        self.next = checkpoint + 1;
        self.is_broken = true;
        let CheckpointSettings { job, key_groups, .. } = &self.settings;
        let (job, key_groups) = (job.clone(), *key_groups);
        let header =
            SegmentHeader { job, first: checkpoint, last: checkpoint, is_full, key_groups };
        CheckpointWriter::begin(&*self.store, header)
    }

    /// Completes a checkpoint whose barrier was sent at `time_ns`: its segment becomes durable,
    /// then its manifest, and what it replaces is deleted.
    ///
    /// # Errors
    /// When the store refuses; the checkpoint was not completed then, and the older ones are as
    /// they were.
    pub fn complete(&mut self, writer: CheckpointWriter, time_ns: i64) -> Result<Completed> {
        let checkpoint = writer.checkpoint();
        let explain = |error: Error| error.context(format!("checkpoint {checkpoint} failed"));
        let written = writer.finish().map_err(explain)?;
        let (frames, frame_bytes) = (written.frames, written.frame_bytes);
        let own = written.segment.len;
        let manifest = self.manifest_of(checkpoint, time_ns, written);
        manifest.put(&*self.store).map_err(explain)?;

        self.chain.clone_from(&manifest.segments);
        self.states.clone_from(&manifest.states);
        self.is_broken = false;
        let completed = Completed {
            checkpoint,
            bytes: own + manifest.to_bytes().len() as u64,
            frames,
            frame_bytes,
            restore_bytes: manifest.segments_len(),
            segments: manifest.segments.len(),
            warnings: Vec::new(),
        };
        self.completed.push(manifest);
        let warnings = self.sweep().err().into_iter().collect();
        Ok(Completed { warnings, ..completed })
    }

    fn manifest_of(&self, checkpoint: u64, time_ns: i64, written: Written) -> Manifest {
        let CheckpointSettings { job, key_groups, cores, .. } = &self.settings;
        let mut segments = match written.segment.is_full {
            true => Vec::new(),
            false => self.chain.clone(),
        };
        let mut states = written.states;
        if !written.segment.is_full {
            states.iter_mut().for_each(|state| state.since = self.since(state));
        }
        segments.push(written.segment);
        Manifest {
            job: job.clone(),
            checkpoint,
            time_ns,
            key_groups: *key_groups,
            cores: *cores,
            states,
            segments,
            transactions: written.transactions,
        }
    }

    /// Since when a state has had entries: as long as no checkpoint of the chain was without it, or
    /// had another type of it.
    fn since(&self, state: &StateEntry) -> u64 {
        let same = |old: &&StateEntry| {
            (&old.operator, &old.state, &old.sort) == (&state.operator, &state.state, &state.sort)
        };
        self.states.iter().find(same).map_or(state.since, |old| old.since)
    }

    /// Deletes what no checkpoint that is kept refers to: manifests first.
    fn sweep(&mut self) -> Result<()> {
        let surplus = self.completed.len().saturating_sub(self.settings.retain.max(1));
        self.completed.drain(..surplus);
        let newest = self.completed.last().map_or(0, |newest| newest.checkpoint);
        for number in checkpoints_in(&*self.store)? {
            let is_kept = self.completed.iter().any(|kept| kept.checkpoint == number);
            if !is_kept && number < newest {
                self.store.delete(&names::manifest(number))?;
            }
        }
        self.sweep_segments()
    }

    /// Deletes segments that nothing refers to.
    fn sweep_segments(&mut self) -> Result<()> {
        let kept = self.completed.iter().flat_map(|manifest| &manifest.segments);
        let mut kept: BTreeSet<_> =
            kept.chain(&self.chain).map(|segment| segment.name.as_str()).collect();
        if fault(Fault::DeleteReferencedFile) {
            kept.pop_first();
        }
        for listed in self.store.list()? {
            let is_segment = names::parse(&listed.name) == Some(Named::Segment);
            if is_segment && !kept.contains(listed.name.as_str()) {
                self.store.delete(&listed.name)?;
            }
        }
        Ok(())
    }

    /// A store without manifests may still have been begun by another job.
    fn refuse_foreign_segments(&self) -> Result<()> {
        for listed in self.store.list()? {
            if names::parse(&listed.name) != Some(Named::Segment) {
                continue;
            }
            let Some(file) = self.store.open(&listed.name)? else { continue };
            match read_header(&*file, &listed.name) {
                Ok(header) if header.job != self.settings.job => {
                    return Err(foreign(&*self.store, &header.job, &self.settings.job));
                }
                Ok(_) => {}
                Err(error) if error.kind() == tailwater_core::ErrorKind::Format => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
