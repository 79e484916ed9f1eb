//! Writing a snapshot: the barrier's part of it.

use tailwater_core::record::to_archive;
use tailwater_core::{Error, Record, Result, Schema};

use super::{SnapshotParts, Spread, StateValue, TrackedPart, UnionPart};
use crate::changes::{SnapshotKind, TrackedState};

/// Collects what the operators of one task remember at a barrier.
#[derive(Debug)]
pub struct SnapshotWriter {
    kind: SnapshotKind,
    task: String,
    operator: String,
    has_ended: bool,
    parts: SnapshotParts,
}

impl SnapshotWriter {
    /// A snapshot of the task named `task`.
    pub fn new(kind: SnapshotKind, task: impl Into<String>) -> Self {
        let task = task.into();
        let (operator, parts) = (task.clone(), SnapshotParts::default());
        Self { kind, operator, task, has_ended: false, parts }
    }

    /// The same for a task whose operators have been told that their input has ended.
    #[must_use]
    pub fn at_the_end(self) -> Self {
        Self { has_ended: true, ..self }
    }

    /// Calls `write` with the states of the operator `name`.
    pub fn operator<R>(&mut self, name: &str, write: impl FnOnce(&mut Self) -> R) -> R {
        let operator = super::operator_id(&self.task, name);
        let outer = std::mem::replace(&mut self.operator, operator);
        let result = write(self);
        self.operator = outer;
        result
    }

    /// Writes one value, each core its own. A restore on another number of cores reads those of all
    /// with [`SnapshotReader::values`](super::SnapshotReader::values).
    ///
    /// # Errors
    /// When the value cannot be archived, or the name is taken in this operator.
    pub fn value<T: Record>(&mut self, state: &str, value: &T) -> Result<()> {
        self.list(state, Spread::Union, std::slice::from_ref(value))
    }

    /// Writes a list of items that is spread in this way over the cores that restore it.
    ///
    /// # Errors
    /// When an item cannot be archived, or the name is taken in this operator.
    pub fn list<T: Record>(&mut self, state: &str, spread: Spread, items: &[T]) -> Result<()> {
        self.claim(state)?;
        let items = items.iter().map(|item| to_archive(item).map(|bytes| bytes.to_vec()));
        let items = items.collect::<Result<_>>()?;
        let (operator, state) = (self.operator.clone(), state.to_owned());
        let schema = Schema::of::<T>();
        self.parts.values.push(StateValue { operator, state, spread, schema, items });
        Ok(())
    }

    /// Writes a list of which every core gets all items (SEMANTICS 63), and which needs those of
    /// all cores: the checkpoint fails where some have ended and others have not (SEMANTICS 65).
    /// One that says itself what has ended, as the splits of a source do, is a
    /// [`list`](SnapshotWriter::list).
    ///
    /// # Errors
    /// As [`list`](SnapshotWriter::list).
    pub fn union<T: Record>(&mut self, state: &str, items: &[T]) -> Result<()> {
        self.list(state, Spread::Union, items)?;
        let (operator, has_ended) = (self.operator.clone(), self.has_ended);
        self.parts.unions.push(UnionPart { operator, has_ended });
        Ok(())
    }

    /// Cuts a tracked state here; its entries follow when the operator drains it.
    ///
    /// # Errors
    /// When the name is taken in this operator, or a task has more than 65,535 tracked states.
    pub fn tracked(&mut self, state: &str, tracked: &mut dyn TrackedState) -> Result<()> {
        self.claim(state)?;
        let index = u16::try_from(self.parts.tracked.len())
            .map_err(|_| Error::internal("a task has more than 65,535 tracked states"))?;
        let (operator, state) = (self.operator.clone(), state.to_owned());
        let (declaration, changes) = (tracked.declaration(), tracked.changes());
        tracked.begin(index, self.kind);
        self.parts.tracked.push(TrackedPart { operator, state, declaration, changes });
        Ok(())
    }

    /// All that was written at the barrier.
    pub fn into_parts(self) -> SnapshotParts {
        self.parts
    }

    fn claim(&self, state: &str) -> Result<()> {
        let SnapshotParts { values, tracked, .. } = &self.parts;
        let mut names = values
            .iter()
            .map(|value| (&value.operator, &value.state))
            .chain(tracked.iter().map(|part| (&part.operator, &part.state)));
        if names.any(|(operator, other)| *operator == self.operator && other == state) {
            return Err(Error::internal(format!(
                "two states are named `{}/{state}`",
                self.operator
            )));
        }
        Ok(())
    }
}
