//! A task's part in checkpoints: what it has taken, what it still hands over, and what that costs.

use std::sync::Arc;

use tailwater_core::{Clock, Fault, Result, fault};
use tailwater_state::snapshot::StateValue;
use tailwater_state::{Drain, SnapshotKind, SnapshotParts};

use crate::checkpoint::port::{Port, TaskStats};

/// Entries that a task hands over in a round in which it also works: some 2 us of copying, so that
/// no round becomes noticeably longer, while a million entries take an eighth of a second at the
/// some 60,000 rounds a second of a busy core.
const ENTRIES_BUSY: usize = 128;
/// The same in a round without other work; bounded so that input which arrives waits at most for
/// some 20 us.
const ENTRIES_IDLE: usize = 1024;
/// Entries between two looks at the budget where the drain must be finished at once.
const ENTRIES_FORCED: usize = 1 << 16;

/// What is handed over for the checkpoint whose barrier was taken last.
struct Owed {
    checkpoint: u64,
    kind: SnapshotKind,
    since_ns: u64,
    is_drained: bool,
    stats: TaskStats,
}

/// A task's side of the checkpoints.
pub(super) struct Handover {
    port: Port,
    clock: Arc<dyn Clock>,
    drain: Drain,
    /// The last checkpoint that was taken.
    pub taken: u64,
    /// The last one whose sink transactions were committed.
    pub committed: u64,
    owed: Option<Owed>,
    has_ended: bool,
}

impl Handover {
    /// For a task that goes on from the checkpoint `restored` (zero for none), whose next barrier
    /// is higher than `barrier`.
    pub fn new(port: Port, clock: Arc<dyn Clock>, barrier: u64, restored: u64) -> Self {
        Self {
            port,
            clock,
            drain: Drain::new(),
            taken: barrier,
            committed: restored,
            owed: None,
            has_ended: false,
        }
    }

    /// The time for pauses.
    pub fn now_ns(&self) -> u64 {
        self.clock.monotonic_ns()
    }

    /// Finishes what is still owed for an earlier checkpoint, which `drain` hands on. That one was
    /// given up, or no later barrier would have come, so nobody wants the entries.
    pub fn settle(&mut self, mut drain: impl FnMut(&mut Drain) -> Result<bool>) -> Result<bool> {
        let Some(owed) = self.owed.take() else { return Ok(false) };
        self.port.flush(owed.checkpoint);
        let mut is_drained = owed.is_drained;
        while !is_drained {
            self.drain.allow(ENTRIES_FORCED);
            is_drained = drain(&mut self.drain)?;
            let chunks: Vec<_> = self.drain.take().collect();
            chunks.into_iter().for_each(|chunk| self.drain.give_back(chunk.bytes));
        }
        Ok(!owed.is_drained)
    }

    /// How much this checkpoint is to hold. Asked once for each.
    pub fn kind(&mut self, checkpoint: u64) -> SnapshotKind {
        self.port.kind(checkpoint)
    }

    /// The barrier was taken; `parts` was written at it.
    pub fn cut(
        &mut self,
        checkpoint: u64,
        kind: SnapshotKind,
        parts: SnapshotParts,
        stats: TaskStats,
    ) {
        let is_drained = parts.tracked.is_empty();
        self.port.cut(checkpoint, parts);
        self.taken = checkpoint;
        let since_ns = self.now_ns();
        self.owed = Some(Owed { checkpoint, kind, since_ns, is_drained, stats });
    }

    /// Hands over some of what is owed, as `drain` hands it on. Whether something was done.
    pub fn go_on(
        &mut self,
        drain: impl FnOnce(&mut Drain) -> Result<bool>,
        is_idle: bool,
    ) -> Result<bool> {
        let Some(owed) = self.owed.as_mut().filter(|owed| !owed.is_drained) else {
            return Ok(false);
        };
        self.port.collect_buffers(&mut self.drain);
        if !self.port.has_room() {
            return Ok(false);
        }
        self.drain.allow(if is_idle { ENTRIES_IDLE } else { ENTRIES_BUSY });
        owed.is_drained = drain(&mut self.drain)?;
        for chunk in self.drain.take() {
            owed.stats.bytes += chunk.bytes.len() as u64;
            self.port.chunk(owed.checkpoint, chunk);
        }
        if owed.is_drained {
            self.port.flush(owed.checkpoint);
            owed.stats.drain_ns = self.clock.monotonic_ns().saturating_sub(owed.since_ns);
        }
        Ok(true)
    }

    /// The checkpoint whose acknowledgement waits for nothing but the output, and its kind.
    pub fn waits_for_output(&self) -> Option<SnapshotKind> {
        let is_done = |owed: &&Owed| owed.is_drained || fault(Fault::AcknowledgeBeforeDrained);
        self.owed.as_ref().filter(is_done).map(|owed| owed.kind)
    }

    /// The output is done too: acknowledges, with what it wrote.
    pub fn acknowledge(&mut self, late: Vec<StateValue>) {
        if let Some(owed) = self.owed.take() {
            self.port.acknowledge(owed.checkpoint, late, owed.stats);
        }
    }

    /// Says once that all input is worked off.
    pub fn ended(&mut self) {
        if !std::mem::replace(&mut self.has_ended, true) {
            self.port.ended();
        }
    }
}
