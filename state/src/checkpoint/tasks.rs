//! What a task hands over at a barrier, put into a checkpoint.

use tailwater_core::{Error, Result};

use super::schemas::stored;
use super::writer::{CheckpointWriter, TrackedNumber};
use crate::changes::Chunk;
use crate::snapshot::SnapshotParts;

/// What the states of a task are called in a checkpoint, by the index that its chunks carry.
#[derive(Clone, Debug, Default)]
pub struct TaskNumbers(Vec<TrackedNumber>);

impl CheckpointWriter {
    /// Takes what a task on a core handed over at the barrier. Its chunks may follow.
    ///
    /// # Errors
    /// When the store refuses, or two cores do not agree on what a state is.
    pub fn parts(&mut self, core: u32, parts: &SnapshotParts) -> Result<TaskNumbers> {
        for value in &parts.values {
            let name = (value.operator.as_str(), value.state.as_str());
            self.items(core, name, (value.spread, stored(&value.schema)), &value.items)?;
        }
        let numbers = parts.tracked.iter().map(|part| {
            self.changes += part.changes;
            let schemas = (stored(&part.declaration.key), stored(&part.declaration.value));
            self.tracked(&part.operator, &part.state, schemas, part.declaration.namespaced)
        });
        numbers.collect::<Result<_>>().map(TaskNumbers)
    }

    /// Takes a chunk that the task drained after its barrier.
    ///
    /// # Errors
    /// When the store refuses, or the chunk names a state that the task did not hand over.
    pub fn chunk(&mut self, task: &TaskNumbers, chunk: &Chunk) -> Result<()> {
        let Some(number) = task.0.get(usize::from(chunk.state)) else {
            let state = chunk.state;
            return Err(Error::internal(format!("a chunk names state {state} of its task")));
        };
        match chunk.groups {
            Some(_) => self.sorted(*number, chunk),
            None => self.frames(*number, &chunk.bytes),
        }
    }
}
