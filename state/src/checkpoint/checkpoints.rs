//! The checkpoints of a running job in a store: begun, completed, merged, and deleted when newer
//! ones have replaced them.

use std::collections::BTreeMap;
use std::sync::Arc;

use tailwater_core::{Error, ErrorKind, Fault, Result, fault};

use super::chain::{self, CHAIN_MAX};
use super::layout::{JOB_NAME_MAX, SegmentHeader};
use super::manifest::{Manifest, StateEntry};
use super::merge::{Merge, Step};
use super::names;
use super::opened::{OpenedCheckpoint, checkpoints_in, foreign};
use super::segment_writer::SegmentRef;
use super::writer::{CheckpointWriter, Written};
use crate::changes::SnapshotKind;
use crate::store::{CheckpointStore, NewFile};

/// Checkpoints of at most so many bytes are kept in the page cache: what a disk reads in some 50
/// ms.
const WARM_MAX: u64 = 96 << 20;

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
    pub(super) store: Arc<dyn CheckpointStore>,
    pub(super) settings: CheckpointSettings,
    /// The completed ones that count, ascending.
    pub(super) completed: Vec<Manifest>,
    /// The segments that the next incremental checkpoint goes on from, the oldest first.
    pub(super) chain: Vec<SegmentRef>,
    /// The states of the newest checkpoint in the chain.
    states: Vec<StateEntry>,
    next: u64,
    /// Whether the next one must be full, since one was begun and did not complete.
    is_broken: bool,
    /// Whether it pays that the next one is full.
    full_pays: bool,
    pub(super) merging: Option<Merging>,
    /// After a merge that failed, none is begun before this checkpoint.
    merge_again: u64,
}

/// A merge under way.
pub(super) struct Merging {
    merge: Box<Merge>,
    /// The names of the segments that it replaces.
    pub(super) inputs: Vec<String>,
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
        let files: BTreeMap<_, _> =
            store.list()?.into_iter().map(|listed| (listed.name, listed.len)).collect();
        let is_there = |segment: &SegmentRef| files.get(&segment.name) == Some(&segment.len);
        let mut completed = Vec::new();
        for &number in &numbers {
            if unusable.iter().any(|skipped| skipped.checkpoint == number) {
                continue;
            }
            match Manifest::read(&*store, number) {
                Ok(manifest) if manifest.job != *job => {
                    return Err(foreign(&*store, &manifest.job, job));
                }
                // The manifest of one that failed may come back alone when the machine stops: it
                // must not count as kept, or one that is whole is deleted for it.
                Ok(manifest) if manifest.segments.iter().all(is_there) => completed.push(manifest),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Format => {}
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
            full_pays: false,
            merging: None,
            merge_again: 0,
            store,
            settings,
        };
        this.refuse_foreign_segments()?;
        // Nobody may act on a checkpoint that a crash could still take back.
        this.store.settle()?;
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

    /// How much the next checkpoint is to hold: everything where it must, or where the last one
    /// shows that a delta would be nearly as large. It then costs hardly more, there is nothing to
    /// merge, and a restore reads each key once.
    pub fn next_kind(&self) -> SnapshotKind {
        match self.full_pays || self.must_be_full() {
            true => SnapshotKind::Full,
            false => SnapshotKind::Incremental,
        }
    }

    /// Begins a checkpoint. Its number is [`Checkpoints::next`] or greater.
    ///
    /// # Errors
    /// When the store refuses, a merge that can wait no longer fails, or the checkpoint is
    /// incremental and there is nothing to go on from: the next one must be full.
    ///
    /// # Panics
    /// When the number was used before.
    pub fn begin(&mut self, checkpoint: u64, kind: SnapshotKind) -> Result<CheckpointWriter> {
        assert!(checkpoint >= self.next, "checkpoint {checkpoint} comes after {}", self.next - 1);
        let is_full = kind == SnapshotKind::Full;
        self.next = checkpoint + 1;
        if !is_full && self.must_be_full() {
            return Err(Error::internal(format!("checkpoint {checkpoint} must be a full one")));
        }
        self.is_broken = true;
        if !is_full && self.chain.len() >= CHAIN_MAX {
            self.merge_again = 0;
            while self.merge_step()? {}
        }
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
        let written = writer.seal().map_err(explain)?;
        let (frames, frame_bytes) = (written.frames, written.frame_bytes);
        let changes = written.changes;
        let own = written.segment.len;
        let (file, manifest) = self.manifest_of(checkpoint, time_ns, written);
        if fault(Fault::ManifestBeforeSegment) {
            manifest.put(&*self.store).map_err(explain)?;
            file.finish().map_err(explain)?;
        } else {
            file.finish().map_err(explain)?;
            manifest.put(&*self.store).map_err(explain)?;
        }

        self.chain.clone_from(&manifest.segments);
        self.states.clone_from(&manifest.states);
        self.is_broken = false;
        let lens: Vec<_> = self.chain.iter().map(|segment| segment.len).collect();
        self.full_pays = chain::full_pays(&lens, self.full_pays, changes);
        if manifest.segments.len() == 1 {
            self.merging = None;
        }
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
        self.keep_warm();
        Ok(Completed { warnings, ..completed })
    }

    /// A process that is killed is mostly started again at once: the newest segment, which was
    /// written past the page cache, is brought in while the job goes on.
    fn keep_warm(&self) {
        if let Some(newest) = self.completed.last()
            && newest.segments_len() <= WARM_MAX
            && let Some(segment) = newest.segments.last()
        {
            self.store.expect(&segment.name);
        }
    }

    fn manifest_of(
        &self,
        checkpoint: u64,
        time_ns: i64,
        written: Written,
    ) -> (Box<dyn NewFile>, Manifest) {
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
        let manifest = Manifest {
            job: job.clone(),
            checkpoint,
            time_ns,
            key_groups: *key_groups,
            cores: *cores,
            states,
            segments,
            transactions: written.transactions,
        };
        (written.file, manifest)
    }

    /// Since when a state has had entries: as long as no checkpoint of the chain was without it, or
    /// had another type of it.
    fn since(&self, state: &StateEntry) -> u64 {
        let same = |old: &&StateEntry| {
            (&old.operator, &old.state, &old.sort) == (&state.operator, &state.state, &state.sort)
        };
        self.states.iter().find(same).map_or(state.since, |old| old.since)
    }

    /// Does some work on a merge that would make the chain shorter: it reads half a megabyte, or
    /// makes the merged segment durable. `false` when there is nothing to merge. Checkpoints that
    /// complete later rely on the merged segment.
    ///
    /// # Errors
    /// When the store refuses or a segment is damaged. The merge is given up, and begun again after
    /// the next checkpoint; a damaged segment means that the next checkpoint must be full.
    pub fn merge_step(&mut self) -> Result<bool> {
        let worked = self.try_merge_step();
        if let Err(error) = &worked {
            self.merge_again = self.next + 1;
            // A chain with a damaged segment is of no use to anybody.
            if error.kind() == ErrorKind::Format {
                self.chain.clear();
            }
        }
        worked.map_err(|error| error.context("cannot merge segments of checkpoints"))
    }

    fn try_merge_step(&mut self) -> Result<bool> {
        let Some(Merging { merge, inputs }) = self.merging.take() else {
            self.merging = self.begin_merge()?;
            return Ok(self.merging.is_some());
        };
        match merge.step()? {
            Step::More(merge) => self.merging = Some(Merging { merge, inputs }),
            Step::Done(merged) => self.replace(&inputs, merged),
        }
        Ok(true)
    }

    fn begin_merge(&self) -> Result<Option<Merging>> {
        if self.next < self.merge_again {
            return Ok(None);
        }
        let lens: Vec<_> = self.chain.iter().map(|segment| segment.len).collect();
        let Some(range) = chain::plan(&lens) else { return Ok(None) };
        let inputs = &self.chain[range];
        let (first, last) = (inputs[0].first, inputs[inputs.len() - 1].last);
        let mut by = self.next;
        // A run that went on from an older checkpoint may find the name taken by one that did not.
        while self.store.open(&names::merged(first, last, by))?.is_some() {
            by += 1;
        }
        let output = names::merged(first, last, by);
        let merge = Merge::begin(&*self.store, output, inputs, &self.states)?;
        let inputs = inputs.iter().map(|input| input.name.clone()).collect();
        Ok(Some(Merging { merge: Box::new(merge), inputs }))
    }

    /// Puts a merged segment in the place of those that it was made of, if the chain still has
    /// them.
    fn replace(&mut self, inputs: &[String], merged: SegmentRef) {
        let first = self.chain.iter().position(|segment| segment.name == inputs[0]);
        let Some(first) = first else { return };
        let range = first..first + inputs.len();
        let is_there = self
            .chain
            .get(range.clone())
            .is_some_and(|run| run.iter().map(|segment| &segment.name).eq(inputs));
        if is_there {
            self.chain.splice(range, [merged]);
        }
    }
}
