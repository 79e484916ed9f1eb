//! A checkpoint that is read: opened, found whole, and given back to operators.

use std::ops::Range;

use tailwater_core::{Error, ErrorKind, Result};

use super::layout::{BlockEntry, BlockKind};
use super::manifest::{Manifest, StateSort, Transaction};
use super::names::{self, Named};
use super::schemas;
use super::segment_reader::{Buffer, Segment, damaged, items_of};
use crate::changes::{Declaration, EVERY_GROUP, Frame, Frames, Payload};
use crate::snapshot::{RestoreSource, StoredValues};
use crate::store::CheckpointStore;

/// Frames are handed on in batches of so many: enough to ask early for what they touch.
pub(super) const BATCH: usize = 512;

/// A checkpoint of at most so many bytes is brought into memory before it is asked for.
const EXPECTED_MAX: u64 = 256 << 20;

/// Which checkpoint of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The newest that is whole.
    Latest,
    /// The one with this number.
    Id(u64),
}

impl Which {
    /// The checkpoint whose manifest has this file name.
    pub fn of_file(name: &str) -> Option<Self> {
        match names::parse(name) {
            Some(Named::Manifest(checkpoint)) => Some(Self::Id(checkpoint)),
            _ => None,
        }
    }
}

/// A complete checkpoint, all of whose bytes were compared with their checksums.
pub struct OpenedCheckpoint {
    manifest: Manifest,
    /// In the order of the manifest.
    segments: Vec<Segment>,
    /// Newer ones that are damaged or incomplete, and in what way.
    skipped: Vec<Skipped>,
}

/// A checkpoint that could not be used.
#[derive(Debug)]
pub struct Skipped {
    /// Its number.
    pub checkpoint: u64,
    /// What is wrong with it: file, place, what.
    pub problem: Error,
}

impl OpenedCheckpoint {
    /// Opens a checkpoint of the job `job` and reads it once to see that it is whole. For
    /// [`Which::Latest`], damaged ones are passed over (see [`OpenedCheckpoint::skipped`]), and it
    /// is `None` where the store has no checkpoint at all.
    ///
    /// # Errors
    /// When it is not there, damaged, of another job or of an unknown version; when none of those
    /// that are there is whole; when the store refuses.
    pub fn open(store: &dyn CheckpointStore, job: &str, which: Which) -> Result<Option<Self>> {
        Self::open_with(store, job, which, &Self::verify)
    }

    /// As [`OpenedCheckpoint::open`], with `verify` to read it: by several threads, say, each a
    /// [share](OpenedCheckpoint::verify_share).
    ///
    /// # Errors
    /// As [`OpenedCheckpoint::open`].
    pub fn open_with(
        store: &dyn CheckpointStore,
        job: &str,
        which: Which,
        verify: &dyn Fn(&Self) -> Result<()>,
    ) -> Result<Option<Self>> {
        let opened = Self::find(store, which, &|opened| {
            opened.expect(store);
            verify(opened)
        })?;
        if let Some(opened) = &opened
            && opened.manifest.job != job
        {
            return Err(foreign(store, &opened.manifest.job, job));
        }
        Ok(opened)
    }

    /// Opens a checkpoint of whatever job, reading no more than manifest and indexes.
    ///
    /// # Errors
    /// As [`OpenedCheckpoint::open`].
    pub fn peek(store: &dyn CheckpointStore, which: Which) -> Result<Option<Self>> {
        Self::find(store, which, &|_| Ok(()))
    }

    fn find(
        store: &dyn CheckpointStore,
        which: Which,
        check: &dyn Fn(&Self) -> Result<()>,
    ) -> Result<Option<Self>> {
        let open_one = |checkpoint| {
            let opened = Self::open_unverified(store, checkpoint)?;
            check(&opened)?;
            Ok(opened)
        };
        if let Which::Id(checkpoint) = which {
            return open_one(checkpoint).map(Some);
        }
        let mut skipped = Vec::new();
        for checkpoint in checkpoints_in(store)?.into_iter().rev() {
            match open_one(checkpoint) {
                Ok(mut opened) => {
                    opened.skipped = skipped;
                    return Ok(Some(opened));
                }
                // Damage is passed over; a store that refuses, or a later version, is not.
                Err(problem) if problem.kind() == ErrorKind::Format => {
                    skipped.push(Skipped { checkpoint, problem });
                }
                Err(error) => return Err(error),
            }
        }
        match skipped.into_iter().next() {
            None => Ok(None),
            Some(newest) => Err(newest.problem.context(format!(
                "no checkpoint in `{}` is whole; the newest, {}, cannot be used",
                store.describe(),
                newest.checkpoint
            ))),
        }
    }

    fn open_unverified(store: &dyn CheckpointStore, checkpoint: u64) -> Result<Self> {
        let manifest = Manifest::read(store, checkpoint)?;
        let explain = |cause: Error| cause.context(format!("cannot use checkpoint {checkpoint}"));
        schemas::check(&manifest).map_err(explain)?;
        let open = |reference| {
            let segment = Segment::open(store, reference)?;
            let header = &segment.header;
            if header.job != manifest.job || header.key_groups != manifest.key_groups {
                let problem = format!("`{}` is a segment of another job", segment.name);
                return Err(Error::format(problem));
            }
            Ok(segment)
        };
        let segments = manifest.segments.iter().map(open).collect::<Result<_>>();
        Ok(Self { segments: segments.map_err(explain)?, manifest, skipped: Vec::new() })
    }

    /// Compares every block with its checksum.
    ///
    /// # Errors
    /// With the first damaged block: file and byte.
    pub fn verify(&self) -> Result<()> {
        self.verify_share(0, 1)
    }

    /// Compares a share of the blocks with their checksums: number `index` of `count`, which
    /// together are all.
    ///
    /// # Errors
    /// With the first damaged block of the share: file and byte.
    pub fn verify_share(&self, index: usize, count: usize) -> Result<()> {
        let checkpoint = self.manifest.checkpoint;
        let mut buffer = Buffer::new();
        self.segments
            .iter()
            .try_for_each(|segment| segment.verify_share(index, count, &mut buffer))
            .map_err(|cause| cause.context(format!("cannot use checkpoint {checkpoint}")))
    }

    /// Says that it will be read, unless it is so large that this would push out what others read.
    fn expect(&self, store: &dyn CheckpointStore) {
        if self.manifest.segments_len() <= EXPECTED_MAX {
            self.segments.iter().for_each(|segment| store.expect(&segment.name));
        }
    }

    /// What it is.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Newer checkpoints that were passed over, the newest first.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// What sinks had prepared, to be committed again.
    pub fn transactions(&self) -> &[Transaction] {
        &self.manifest.transactions
    }
}

/// The numbers of all checkpoints that have a manifest, ascending.
///
/// # Errors
/// When the store cannot be read.
pub fn checkpoints_in(store: &dyn CheckpointStore) -> Result<Vec<u64>> {
    let manifest = |name: &str| match names::parse(name) {
        Some(Named::Manifest(checkpoint)) => Some(checkpoint),
        _ => None,
    };
    let mut numbers: Vec<_> =
        store.list()?.iter().filter_map(|listed| manifest(&listed.name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// The error for a store that is another job's.
pub(crate) fn foreign(store: &dyn CheckpointStore, theirs: &str, ours: &str) -> Error {
    Error::configuration(format!(
        "`{}` has the checkpoints of the job `{theirs}`, not of `{ours}`: give each job a place of \
         its own",
        store.describe()
    ))
}

impl RestoreSource for OpenedCheckpoint {
    fn cores(&self) -> u32 {
        self.manifest.cores
    }

    fn states(&self) -> Vec<(String, String)> {
        let states = self.manifest.states.iter();
        states.map(|entry| (entry.operator.clone(), entry.state.clone())).collect()
    }

    fn values(&self, operator: &str, state: &str) -> Result<Option<StoredValues>> {
        let Some(entry) = self.manifest.state(operator, state) else { return Ok(None) };
        let StateSort::List { spread, item } = &entry.sort else { return Ok(None) };
        let mut cores = vec![Vec::new(); self.manifest.cores as usize];
        let own = self.segments.last().and_then(|own| Some((own, own.number_of(operator, state)?)));
        if let Some((own, number)) = own {
            let wanted =
                |block: &BlockEntry| block.state == number && block.kind == BlockKind::Values;
            own.read(wanted, &mut Buffer::new(), &mut |block, payload| {
                let items = items_of(payload, block.count);
                let items = items.map_err(|cause| damaged(&own.name, cause))?;
                let Some(core) = cores.get_mut(block.core as usize) else {
                    let problem = format!("it has values of a core {}", block.core);
                    return Err(damaged(&own.name, Error::format(problem)));
                };
                core.extend(items);
                Ok(())
            })?;
        }
        Ok(Some(StoredValues { spread: *spread, schema: schemas::known(item)?, cores }))
    }

    fn declaration(&self, operator: &str, state: &str) -> Option<Declaration> {
        let StateSort::Tracked { key, value, namespaced } =
            &self.manifest.state(operator, state)?.sort
        else {
            return None;
        };
        let (key, value) = (schemas::known(key).ok()?, schemas::known(value).ok()?);
        Some(Declaration { key, value, namespaced: *namespaced })
    }

    /// Those of the segment that has most of them: deltas have the same keys again, or few.
    fn entries_about(&self, operator: &str, state: &str, groups: Range<u32>) -> usize {
        let Some(entry) = self.manifest.state(operator, state) else { return 0 };
        let segments = self.segments.iter().filter(|s| s.header.last >= entry.since);
        let counts = segments.filter_map(|segment| {
            let number = segment.number_of(operator, state)?;
            let blocks = segment.index.blocks.iter();
            let blocks = blocks.filter(|b| b.state == number && b.kind == BlockKind::Upserts);
            Some(blocks.map(|block| block.count_about(&groups)).sum::<u64>() as usize)
        });
        counts.max().unwrap_or(0)
    }

    fn frames(
        &self,
        operator: &str,
        state: &str,
        groups: Range<u32>,
        each: &mut dyn FnMut(&[Frame<'_>]) -> Result<()>,
    ) -> Result<()> {
        let Some(entry) = self.manifest.state(operator, state) else { return Ok(()) };
        let mut buffer = Buffer::new();
        for segment in self.segments.iter().filter(|segment| segment.header.last >= entry.since) {
            let Some(number) = segment.number_of(operator, state) else { continue };
            for kind in [BlockKind::Tombstones, BlockKind::Upserts] {
                let wanted = |block: &BlockEntry| {
                    block.state == number && block.kind == kind && block.concerns(&groups)
                };
                segment.read(wanted, &mut buffer, &mut |block, payload| {
                    let every = block.is_within(&groups);
                    batches(&segment.name, block, payload, every, &groups, each)
                })?;
            }
        }
        Ok(())
    }
}

/// Hands the frames of a block to `each` in batches: all, or those of some key groups.
fn batches(
    name: &str,
    block: &BlockEntry,
    payload: &[u8],
    every: bool,
    groups: &Range<u32>,
    each: &mut dyn FnMut(&[Frame<'_>]) -> Result<()>,
) -> Result<()> {
    let mut batch = [Frame { group: 0, key: &[], payload: Payload::Tombstone }; BATCH];
    let mut len = 0;
    for frame in Frames::new(payload) {
        let frame = frame.map_err(|cause| {
            cause.context(format!("`{name}` is damaged in the block at byte {}", block.offset))
        })?;
        let is_wanted =
            every || groups.contains(&u32::from(frame.group)) || frame.group == EVERY_GROUP;
        if !is_wanted {
            continue;
        }
        batch[len] = frame;
        len += 1;
        if len == BATCH {
            each(&batch)?;
            len = 0;
        }
    }
    if len > 0 { each(&batch[..len]) } else { Ok(()) }
}
