//! What a checkpoint holds, for people: all that its manifest says, its keys and bytes, its live
//! entries, and the verdict of a full check.

use std::cell::Cell;
use std::ops::{ControlFlow, Range};

use tailwater_core::{Error, ErrorKind, Result};

use super::layout::{BlockEntry, BlockKind};
use super::manifest::{Manifest, StateEntry, StateSort};
use super::opened::OpenedCheckpoint;
use super::segment_reader::{Buffer, Segment, items_of};
use super::segment_writer::SegmentRef;
use super::walk::{Scratch, Walk, for_each_frame};
use crate::changes::{HEADER_BYTES, Payload, padded};
use crate::snapshot::RestoreSource;
use crate::store::CheckpointStore;

/// What a checkpoint holds, and whether it is whole.
#[derive(Debug)]
pub struct Report {
    /// All that the manifest says.
    pub manifest: Manifest,
    /// The version of the format.
    pub format_version: u32,
    /// In the order of the manifest.
    pub states: Vec<StateReport>,
    /// In the order of the chain.
    pub segments: Vec<SegmentReport>,
    /// All that is damaged: file, byte and what is wrong with it. None: the checkpoint is whole.
    pub problems: Vec<Error>,
}

/// What a checkpoint holds of a state.
#[derive(Clone, Debug)]
pub struct StateReport {
    /// What the manifest says.
    pub entry: StateEntry,
    /// Live keys, or items of all cores.
    pub count: u64,
    /// Bytes of their frames, or of the items.
    pub bytes: u64,
    /// Keys and bytes by key group; empty where they do not go by key groups.
    pub groups: Vec<GroupReport>,
}

/// What a checkpoint holds of a state in a key group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupReport {
    /// Live keys.
    pub keys: u64,
    /// Bytes of their frames.
    pub bytes: u64,
}

/// A segment of the chain.
#[derive(Clone, Debug)]
pub struct SegmentReport {
    /// What the manifest says.
    pub reference: SegmentRef,
    /// How many blocks it has.
    pub blocks: usize,
    /// Frames that say what is there.
    pub upserts: u64,
    /// Frames that say what is gone.
    pub tombstones: u64,
    /// Bytes of blocks of the small states.
    pub value_bytes: u64,
}

impl StateReport {
    /// Keys and bytes of a range of key groups.
    pub fn in_groups(&self, groups: Range<usize>) -> GroupReport {
        let groups = self.groups.get(groups).unwrap_or_default();
        groups.iter().fold(GroupReport::default(), |sum, group| GroupReport {
            keys: sum.keys + group.keys,
            bytes: sum.bytes + group.bytes,
        })
    }
}

/// Reads all of a checkpoint and says what it holds and whether it is whole. Damage does not end
/// it: what can be read is read, and every damaged block is named.
///
/// # Errors
/// When there is no manifest that can be read, or the store refuses.
pub fn inspect(store: &dyn CheckpointStore, checkpoint: u64) -> Result<Report> {
    let manifest = Manifest::read(store, checkpoint)?;
    let mut report = Report {
        format_version: super::layout::FORMAT_VERSION,
        states: Vec::new(),
        segments: Vec::new(),
        problems: Vec::new(),
        manifest,
    };
    for reference in &report.manifest.segments {
        match Segment::open(store, reference) {
            Ok(segment) => {
                check_blocks(&segment, &mut report.problems)?;
                report.segments.push(segment_report(reference, &segment));
            }
            Err(error) => report.problems.push(only_damage(error)?),
        }
    }
    if report.problems.is_empty() {
        match OpenedCheckpoint::peek(store, super::Which::Id(checkpoint)) {
            Ok(Some(opened)) => {
                let states = opened.manifest().states.iter();
                let states = states.map(|entry| state_report(&opened, entry));
                report.states = states.collect::<Result<_>>()?;
            }
            Ok(None) => {}
            Err(error) => report.problems.push(only_damage(error)?),
        }
    } else {
        // What is live cannot be told any more.
        let named = report.manifest.states.iter().cloned();
        report.states = named
            .map(|entry| StateReport { entry, count: 0, bytes: 0, groups: Vec::new() })
            .collect();
    }
    Ok(report)
}

/// The error, if it speaks of damage.
fn only_damage(error: Error) -> Result<Error> {
    match error.kind() {
        ErrorKind::Format => Ok(error),
        _ => Err(error),
    }
}

fn check_blocks(segment: &Segment, problems: &mut Vec<Error>) -> Result<()> {
    let mut buffer = Buffer::new();
    for block in &segment.index.blocks {
        let read = segment.read_run(&[block], &mut buffer, &mut |block, payload| {
            check_payload(block, payload).map_err(|cause| {
                let (name, at) = (&segment.name, block.offset);
                cause.context(format!("`{name}` is damaged in the block at byte {at}"))
            })
        });
        if let Err(error) = read {
            let (operator, state) = &segment.index.states[usize::from(block.state)];
            problems.push(only_damage(error.context(format!("in `{operator}/{state}`")))?);
        }
    }
    Ok(())
}

/// That a payload is what its block says.
fn check_payload(block: &BlockEntry, payload: &[u8]) -> Result<()> {
    if block.kind == BlockKind::Values {
        return items_of(payload, block.count).map(drop);
    }
    let (low, high) = block.groups;
    let mut count = 0u32;
    for_each_frame(payload, |frame, _| {
        count += 1;
        let is_upsert = matches!(frame.payload, Payload::Upsert(_));
        if is_upsert != (block.kind == BlockKind::Upserts) {
            return Err(Error::format("upserts and tombstones are mixed"));
        }
        if frame.group < low || frame.group > high {
            let group = frame.group;
            return Err(Error::format(format!("a frame has key group {group}")));
        }
        Ok(())
    })?;
    match count == block.count {
        true => Ok(()),
        false => Err(Error::format(format!("it has {count} frames, not {}", block.count))),
    }
}

fn segment_report(reference: &SegmentRef, segment: &Segment) -> SegmentReport {
    let blocks = &segment.index.blocks;
    let of = |kind| blocks.iter().filter(move |block| block.kind == kind);
    SegmentReport {
        reference: reference.clone(),
        blocks: blocks.len(),
        upserts: of(BlockKind::Upserts).map(|block| u64::from(block.count)).sum(),
        tombstones: of(BlockKind::Tombstones).map(|block| u64::from(block.count)).sum(),
        value_bytes: of(BlockKind::Values).map(|block| u64::from(block.payload_len)).sum(),
    }
}

fn state_report(opened: &OpenedCheckpoint, entry: &StateEntry) -> Result<StateReport> {
    let mut report = StateReport { entry: entry.clone(), count: 0, bytes: 0, groups: Vec::new() };
    if let StateSort::List { .. } = entry.sort {
        let stored = opened.values(&entry.operator, &entry.state)?;
        for item in stored.iter().flat_map(|stored| stored.cores.iter().flatten()) {
            report.count += 1;
            report.bytes += item.len() as u64;
        }
        return Ok(report);
    }
    report.groups = vec![GroupReport::default(); opened.manifest().key_groups as usize];
    opened.entries(&entry.operator, &entry.state, &mut |live| {
        let bytes = HEADER_BYTES + padded(live.key.len()) + padded(live.value.len());
        report.count += 1;
        report.bytes += bytes as u64;
        if let Some(group) = report.groups.get_mut(usize::from(live.group)) {
            group.keys += 1;
            group.bytes += bytes as u64;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(report)
}

/// A live entry: what a restore would put into a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its key group.
    pub group: u16,
    /// The namespace, if the state has them, and the key's archive.
    pub key: &'a [u8],
    /// The value's archive.
    pub value: &'a [u8],
}

impl OpenedCheckpoint {
    /// Hands each live entry of a tracked state on, the chain applied, until `each` breaks; there
    /// are none where there is no such state. They come by ranges of key groups, in no order within
    /// one.
    ///
    /// # Errors
    /// When they cannot be read or are damaged, or with the error of `each`.
    pub fn entries(
        &self,
        operator: &str,
        state: &str,
        each: &mut dyn FnMut(Entry<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let Some(entry) = self.manifest().state(operator, state) else { return Ok(()) };
        let mut scratch = Scratch::default();
        let segments = self.segments();
        let mut walk = Walk::begin(segments, (operator, state), entry.since, &mut scratch)?;
        let is_over = Cell::new(false);
        let mut hand_on = |frame: crate::Frame<'_>, _: &[u8]| {
            if let (Payload::Upsert(value), true) = (frame.payload, !is_over.get()) {
                let entry = Entry { group: frame.group, key: frame.key, value };
                is_over.set(each(entry)?.is_break());
            }
            Ok(())
        };
        while !is_over.get() && walk.step(segments, &mut scratch, &mut hand_on)? {}
        Ok(())
    }
}
