//! A snapshot as operators see it: what a task hands over at a barrier, and gets back before its
//! first record.
//!
//! There are two sorts of state. *Values* are small: they are archived at the barrier and go with
//! the task's acknowledgement. *Tracked* states are large: the barrier cuts them in constant time,
//! and what changed since the last one is drained in the rounds that follow. Names are
//! `OPERATOR/STATE`; the operator's is its task's, and its own where that differs.

mod memory;
mod reader;
mod writer;

#[cfg(test)]
mod tests;

use std::ops::Range;

use tailwater_core::{Result, Schema};

use crate::changes::{Changes, Declaration, Frame};

pub use memory::MemorySnapshot;
pub use reader::{Findings, SnapshotReader};
pub use writer::SnapshotWriter;

/// How the items of an operator's state are spread over the cores that restore it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// All items in the order of the cores, dealt in contiguous blocks; left in place where the
    /// number of cores is the same (SEMANTICS 62).
    Split,
    /// Every core gets all items (SEMANTICS 63).
    Union,
    /// Every core wrote the same; core `i` gets those of core `i` mod the old number
    /// (SEMANTICS 63).
    Broadcast,
}

/// A small state of one operator on one core.
#[derive(Clone, Debug)]
pub struct StateValue {
    /// Whose it is.
    pub operator: String,
    /// Its name, unique in its operator.
    pub state: String,
    /// How its items are spread when it is restored.
    pub spread: Spread,
    /// What an item is.
    pub schema: Schema,
    /// The archive of each item.
    pub items: Vec<Vec<u8>>,
}

/// A tracked state of one operator on one core; its entries come in chunks that name its index.
#[derive(Clone, Debug)]
pub struct TrackedPart {
    /// Whose it is.
    pub operator: String,
    /// Its name, unique in its operator.
    pub state: String,
    /// What its entries are.
    pub declaration: Declaration,
    /// How much of it changed since the barrier before.
    pub changes: Changes,
}

/// An operator's union list on one core: what a checkpoint must know to tell whether it is whole
/// (SEMANTICS 65).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnionPart {
    /// Whose it is.
    pub operator: String,
    /// Whether the operator has been told there that its input has ended.
    pub has_ended: bool,
}

/// What one task hands over at a barrier.
#[derive(Clone, Debug, Default)]
pub struct SnapshotParts {
    /// The small states, whole.
    pub values: Vec<StateValue>,
    /// The tracked states, by the index that their chunks carry.
    pub tracked: Vec<TrackedPart>,
    /// One for each of the values that is a union list of a user's.
    pub unions: Vec<UnionPart>,
}

/// The items of a small state as a checkpoint has them.
#[derive(Clone, Debug)]
pub struct StoredValues {
    /// How they are spread.
    pub spread: Spread,
    /// What an item is.
    pub schema: Schema,
    /// The archives of the items, by the core that wrote them.
    pub cores: Vec<Vec<Vec<u8>>>,
}

/// What a reader reads from: an opened checkpoint, or memory. All cores read at once.
pub trait RestoreSource: Send + Sync {
    /// How many cores wrote it.
    fn cores(&self) -> u32;

    /// Operator and state of all that is in it.
    fn states(&self) -> Vec<(String, String)>;

    /// A small state, or `None` where there is none of this name.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    fn values(&self, operator: &str, state: &str) -> Result<Option<StoredValues>>;

    /// What a tracked state is, or `None` where there is none of this name.
    fn declaration(&self, operator: &str, state: &str) -> Option<Declaration>;

    /// About how many entries of a tracked state are in these key groups.
    fn entries_about(&self, _operator: &str, _state: &str, _groups: Range<u32>) -> usize {
        0
    }

    /// Hands the entries of a tracked state in these key groups to `each`, some at a time: deltas
    /// in the order of their checkpoints, and in each the tombstones first.
    ///
    /// # Errors
    /// When they cannot be read or are damaged, or with the error of `each`.
    fn frames(
        &self,
        operator: &str,
        state: &str,
        groups: Range<u32>,
        each: &mut dyn FnMut(&[Frame<'_>]) -> Result<()>,
    ) -> Result<()>;
}

/// The name of an operator in snapshots: its task's, and its own where that differs.
pub fn operator_id(task: &str, operator: &str) -> String {
    match (task.is_empty(), task == operator) {
        (true, _) | (_, true) => operator.to_owned(),
        _ => format!("{task}/{operator}"),
    }
}
