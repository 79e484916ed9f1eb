//! A snapshot in memory: for harnesses and tests, chained as checkpoints are.

use std::collections::BTreeMap;
use std::ops::Range;

use tailwater_core::Result;

use super::{RestoreSource, SnapshotParts, StoredValues};
use crate::changes::{Chunk, Declaration, Frame, Frames, Payload};

/// The snapshots of a job's cores, with all deltas before the newest.
#[derive(Clone, Debug, Default)]
pub struct MemorySnapshot {
    cores: u32,
    /// The newest parts of each task and core.
    parts: BTreeMap<(String, u32), SnapshotParts>,
    /// The chunks of each snapshot, oldest first: operator, state, frames.
    deltas: Vec<Vec<(String, String, Vec<u8>)>>,
}

impl MemorySnapshot {
    /// An empty one, for a job on so many cores.
    pub fn new(cores: u32) -> Self {
        Self { cores, ..Self::default() }
    }

    /// The next snapshot begins: what is added from now on is newer than all before.
    pub fn begin(&mut self) {
        self.deltas.push(Vec::new());
    }

    /// The next snapshot begins, of a job that runs on so many cores now.
    pub fn begin_on(&mut self, cores: u32) {
        self.cores = cores;
        self.parts.clear();
        self.begin();
    }

    /// Adds what a task on a core wrote at the barrier and drained after it.
    ///
    /// # Panics
    /// When a chunk names a state that the parts do not have.
    pub fn add(&mut self, task: &str, core: u32, parts: SnapshotParts, chunks: Vec<Chunk>) {
        if self.deltas.is_empty() {
            self.begin();
        }
        for chunk in chunks {
            let part = &parts.tracked[usize::from(chunk.state)];
            let entry = (part.operator.clone(), part.state.clone(), chunk.bytes);
            self.deltas.last_mut().into_iter().for_each(|delta| delta.push(entry.clone()));
        }
        self.parts.insert((task.to_owned(), core), parts);
    }

    /// How many bytes of values and frames the newest snapshot added.
    pub fn newest_bytes(&self) -> usize {
        let values = self.parts.values().flat_map(|parts| &parts.values);
        let values: usize = values.flat_map(|value| &value.items).map(Vec::len).sum();
        let frames = self.deltas.last().into_iter().flatten();
        values + frames.map(|(_, _, bytes)| bytes.len()).sum::<usize>()
    }
}

impl RestoreSource for MemorySnapshot {
    fn cores(&self) -> u32 {
        self.cores
    }

    fn states(&self) -> Vec<(String, String)> {
        let mut names = Vec::new();
        for parts in self.parts.values() {
            names.extend(parts.values.iter().map(|v| (v.operator.clone(), v.state.clone())));
            names.extend(parts.tracked.iter().map(|t| (t.operator.clone(), t.state.clone())));
        }
        names.sort();
        names.dedup();
        names
    }

    fn values(&self, operator: &str, state: &str) -> Result<Option<StoredValues>> {
        let mut found: Option<StoredValues> = None;
        for ((_, core), parts) in &self.parts {
            for value in &parts.values {
                if value.operator == operator && value.state == state {
                    let stored = found.get_or_insert_with(|| StoredValues {
                        spread: value.spread,
                        schema: value.schema.clone(),
                        cores: vec![Vec::new(); self.cores as usize],
                    });
                    stored.cores[*core as usize].clone_from(&value.items);
                }
            }
        }
        Ok(found)
    }

    fn declaration(&self, operator: &str, state: &str) -> Option<Declaration> {
        let mut tracked = self.parts.values().flat_map(|parts| &parts.tracked);
        let part = tracked.find(|part| part.operator == operator && part.state == state)?;
        Some(part.declaration.clone())
    }

    fn frames(
        &self,
        operator: &str,
        state: &str,
        groups: Range<u32>,
        each: &mut dyn FnMut(&[Frame<'_>]) -> Result<()>,
    ) -> Result<()> {
        for delta in &self.deltas {
            let mut tombstones = Vec::new();
            let mut upserts = Vec::new();
            let own = delta.iter().filter(|(o, s, _)| o == operator && s == state);
            for (_, _, bytes) in own {
                for frame in Frames::new(bytes) {
                    let frame = frame?;
                    match frame.payload {
                        Payload::NamespaceTombstone(_) => tombstones.push(frame),
                        _ if !groups.contains(&u32::from(frame.group)) => {}
                        Payload::Tombstone => tombstones.push(frame),
                        Payload::Upsert(_) => upserts.push(frame),
                    }
                }
            }
            each(&tombstones)?;
            each(&upserts)?;
        }
        Ok(())
    }
}
