//! Reading a snapshot back, on as many cores as there are now.

use std::ops::Range;
use std::sync::Arc;

use tailwater_core::record::from_archive;
use tailwater_core::{Record, Result, Schema};

use super::{RestoreSource, Spread, StoredValues, operator_id};
use crate::changes::{Frame, TrackedState};

/// Gives the operators of one task back what they wrote.
///
/// A state that is not there, or is of another type now, reads as absent and is remembered; whoever
/// restores a job asks [`findings`](SnapshotReader::findings) before the first record.
pub struct SnapshotReader {
    source: Arc<dyn RestoreSource>,
    task: String,
    operator: String,
    core: u32,
    cores: u32,
    groups: Range<u32>,
    findings: Findings,
}

/// What came of reading: which states were asked for, and what stood in the way.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Operator and state of all that was asked for.
    pub asked: Vec<(String, String)>,
    /// Of those, the ones that the snapshot does not have.
    pub missing: Vec<(String, String)>,
    /// A line for each state that was written as another type.
    pub changed: Vec<String>,
}

impl SnapshotReader {
    /// Reads as the task named `task` on core `core` of `cores`, which owns these key groups.
    pub fn new(
        source: Arc<dyn RestoreSource>,
        task: impl Into<String>,
        (core, cores): (u32, u32),
        groups: Range<u32>,
    ) -> Self {
        let task = task.into();
        let (operator, findings) = (task.clone(), Findings::default());
        Self { source, task, operator, core, cores, groups, findings }
    }

    /// Calls `read` with the states of the operator `name`.
    pub fn operator<R>(&mut self, name: &str, read: impl FnOnce(&mut Self) -> R) -> R {
        let operator = operator_id(&self.task, name);
        let outer = std::mem::replace(&mut self.operator, operator);
        let result = read(self);
        self.operator = outer;
        result
    }

    /// The value that this core wrote; on another number of cores that of core `i` mod the old
    /// number. `None` where there is none.
    ///
    /// # Errors
    /// When the bytes cannot be read or are damaged.
    pub fn value<T: Record>(&mut self, state: &str) -> Result<Option<T>> {
        let Some(mut stored) = self.stored::<T>(state)? else { return Ok(None) };
        stored.cores.retain(|items| !items.is_empty());
        let writers = stored.cores.len().max(1);
        let items = stored.cores.get(self.core as usize % writers);
        items.and_then(|items| items.first()).map(|item| self.decode(state, item)).transpose()
    }

    /// The values of all cores, in their order.
    ///
    /// # Errors
    /// As [`value`](SnapshotReader::value).
    pub fn values<T: Record>(&mut self, state: &str) -> Result<Vec<T>> {
        let Some(stored) = self.stored::<T>(state)? else { return Ok(Vec::new()) };
        stored.cores.iter().flatten().map(|item| self.decode(state, item)).collect()
    }

    /// The items of a list that belong to this core, by the way in which they were to be spread.
    ///
    /// # Errors
    /// As [`value`](SnapshotReader::value).
    pub fn list<T: Record>(&mut self, state: &str) -> Result<Vec<T>> {
        let Some(stored) = self.stored::<T>(state)? else { return Ok(Vec::new()) };
        let own = share(&stored, self.core, self.cores);
        own.into_iter().map(|item| self.decode(state, item)).collect()
    }

    /// Fills a tracked state with the entries of this core's key groups; `false` where the snapshot
    /// has no such state.
    ///
    /// # Errors
    /// When entries cannot be read or are damaged.
    pub fn tracked(&mut self, state: &str, tracked: &mut dyn TrackedState) -> Result<bool> {
        self.ask(state);
        let Some(stored) = self.source.declaration(&self.operator, state) else {
            self.miss(state);
            return Ok(false);
        };
        let declared = tracked.declaration();
        for (what, was, is) in
            [("keys", &stored.key, &declared.key), ("values", &stored.value, &declared.value)]
        {
            if was != is {
                self.change(state, what, was, is);
                return Ok(false);
            }
        }
        let groups = self.groups.clone();
        tracked.expect(self.source.entries_about(&self.operator, state, groups));
        let load = &mut |frames: &[Frame<'_>]| tracked.load(frames);
        let (source, operator, groups) = (self.source.clone(), &self.operator, self.groups.clone());
        source
            .frames(operator, state, groups, load)
            .and_then(|()| tracked.loaded())
            .map_err(|error| error.context(format!("cannot restore `{operator}/{state}`")))?;
        Ok(true)
    }

    /// What came of reading so far.
    pub fn findings(&self) -> &Findings {
        &self.findings
    }

    fn stored<T: Record>(&mut self, state: &str) -> Result<Option<StoredValues>> {
        self.ask(state);
        let stored = self
            .source
            .values(&self.operator, state)
            .map_err(|error| error.context(format!("cannot read `{}/{state}`", self.operator)))?;
        let Some(stored) = stored else {
            self.miss(state);
            return Ok(None);
        };
        let is = Schema::of::<T>();
        if stored.schema != is {
            self.change(state, "items", &stored.schema, &is);
            return Ok(None);
        }
        Ok(Some(stored))
    }

    fn decode<T: Record>(&self, state: &str, item: &[u8]) -> Result<T> {
        let explain = || format!("cannot restore `{}/{state}`", self.operator);
        from_archive(item).map_err(|error| error.context(explain()))
    }

    fn ask(&mut self, state: &str) {
        self.findings.asked.push((self.operator.clone(), state.to_owned()));
    }

    fn miss(&mut self, state: &str) {
        self.findings.missing.push((self.operator.clone(), state.to_owned()));
    }

    fn change(&mut self, state: &str, what: &str, was: &Schema, is: &Schema) {
        let operator = &self.operator;
        self.findings
            .changed
            .push(format!("the {what} of `{operator}/{state}` were `{was}`, in the job `{is}`"));
    }
}

/// The items of a list that go to core `core` of `cores`.
fn share(stored: &StoredValues, core: u32, cores: u32) -> Vec<&Vec<u8>> {
    let (core, cores) = (core as usize, cores as usize);
    let old = stored.cores.len();
    match stored.spread {
        Spread::Union => stored.cores.iter().flatten().collect(),
        Spread::Broadcast => {
            // An operator that ran on some of the cores wrote on the first ones only.
            let wrote = |items: &Vec<_>| !items.is_empty();
            let writers = stored.cores.iter().rposition(wrote).map_or(1, |last| last + 1);
            stored.cores.get(core % writers).into_iter().flatten().collect()
        }
        Spread::Split if cores == old => stored.cores[core].iter().collect(),
        Spread::Split => {
            let all: Vec<_> = stored.cores.iter().flatten().collect();
            let (each, extra) = (all.len() / cores, all.len() % cores);
            let first = core * each + core.min(extra);
            let count = each + usize::from(core < extra);
            all[first..first + count].to_vec()
        }
    }
}
