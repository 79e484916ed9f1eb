//! What the tables of a core share: the memory budget, how keys fall into groups, and who does work
//! that would make the core pause.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use tailwater_core::KeyGroups;

use crate::Budget;
use crate::changes::GroupRange;

/// Shared by all tables of a core.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StateContext {
    /// How keys fall into key groups.
    pub key_groups: KeyGroups,
    /// Those whose keys come to this core.
    pub groups: GroupRange,
    /// How much memory the tables may take.
    pub budget: Budget,
    /// Who maps and unmaps the memory of large tables.
    pub prefault: Prefault,
    /// What the system did not grant.
    pub warnings: Warnings,
}

impl StateContext {
    /// A context in which memory is prepared in line; see [`Prefault`].
    pub fn new(key_groups: KeyGroups, budget: Budget) -> Self {
        let (prefault, warnings) = (Prefault::inline(), Warnings::default());
        Self { key_groups, groups: GroupRange::ALL, budget, prefault, warnings }
    }

    /// The same for a core to which the keys of these groups come.
    #[must_use]
    pub fn for_groups(mut self, groups: Range<u32>) -> Self {
        let (first, last) = (groups.start, groups.end.saturating_sub(1));
        self.groups = GroupRange { first: first as u16, last: last as u16 };
        self
    }

    /// The same with another way to prepare memory.
    #[must_use]
    pub fn with_prefault(mut self, prefault: Prefault) -> Self {
        self.prefault = prefault;
        self
    }
}

/// Maps, touches and unmaps memory of large tables, which takes from a millisecond to a second:
/// on a thread that the runtime owns, or in line where runs must repeat from a seed.
#[derive(Clone)]
pub struct Prefault(Arc<dyn Fn(Chore) + Send + Sync>);

/// Work on memory. It is done by whoever calls it.
pub type Chore = Box<dyn FnOnce() + Send>;

impl Prefault {
    /// Hands every chore to `perform`, which may do it at once or later, in any thread.
    pub fn with(perform: impl Fn(Chore) + Send + Sync + 'static) -> Self {
        Self(Arc::new(perform))
    }

    /// Does each chore at once; the table that asked pauses.
    pub fn inline() -> Self {
        Self::with(|chore| chore())
    }

    /// Has `chore` done, at once or later.
    pub fn perform(&self, chore: Chore) {
        (self.0)(chore);
    }
}

impl fmt::Debug for Prefault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prefault")
    }
}

/// What the system did not grant to the memory of tables, for a job's report: each line once.
#[derive(Clone, Debug, Default)]
pub struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    /// The most lines that are kept.
    const LINES_MAX: usize = 16;

    /// Adds a line, unless it is there.
    pub fn add(&self, line: impl Into<String>) {
        let line = line.into();
        let mut lines = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if lines.len() < Self::LINES_MAX && !lines.contains(&line) {
            lines.push(line);
        }
    }

    /// The lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }
}
