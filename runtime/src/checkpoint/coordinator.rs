//! When a checkpoint begins, when it is complete, and what follows where it fails: a pure state
//! machine, events in, actions out.
//!
//! ```text
//!          due, asked for, or all tasks ended         all tasks acknowledged
//!   rest ------------------------------> collecting ------------------------> storing
//!    ^  ^                                 |   timeout, declined                 |   |
//!    |  +----- abandoned: next is full ---+-------------------- not stored -----+   |
//!    +------------------------------ completed -------------------------------------+
//! ```
//!
//! One checkpoint is in flight at a time. Its tasks have all acknowledged when it is complete; a
//! task that has ended still acknowledges, with what it remembers at its end. When all tasks have
//! ended, one last checkpoint begins, whatever the interval, and the job is over when that is
//! complete (SEMANTICS 79).
//!
//! An operator with a union list has ended on all of its cores or on none: a checkpoint that finds
//! it otherwise is abandoned (SEMANTICS 65). That is no failure of the job's, which may do so any
//! number of times while it comes to its end.

use std::collections::BTreeMap;

use tailwater_core::{Error, ErrorKind, Span};
use tailwater_state::{SnapshotKind, UnionPart};

/// When checkpoints are taken and how many may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From the beginning of one to the beginning of the next, in nanoseconds; `None` takes them
    /// when asked only, and at the end.
    pub interval_ns: Option<u64>,
    /// How long one may take.
    pub timeout_ns: u64,
    /// From the end of one to the beginning of the next, at least (SEMANTICS 81).
    pub min_pause_ns: u64,
    /// How many may fail in a row before the job does (SEMANTICS 80).
    pub tolerable_failures: u32,
    /// From one that failed to the next, at least, whoever wants it: a full disk is not tried
    /// again and again.
    pub retry_pause_ns: u64,
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// Somebody wants a checkpoint as soon as none is in flight.
    Requested,
    /// A task has taken its barrier.
    Cut {
        /// Of which checkpoint.
        checkpoint: u64,
        /// The union lists of its operators.
        unions: Vec<UnionPart>,
    },
    /// A task has handed over all of its part.
    Acknowledged {
        /// Which task.
        task: u32,
        /// Of which checkpoint.
        checkpoint: u64,
    },
    /// A task cannot take its part.
    Declined {
        /// Which task.
        task: u32,
        /// Of which checkpoint.
        checkpoint: u64,
        /// Why.
        error: Error,
    },
    /// A task has worked off all of its input.
    Ended {
        /// Which task.
        task: u32,
    },
    /// The checkpoint is durable.
    Stored {
        /// Which one.
        checkpoint: u64,
        /// What the store wants next.
        next: SnapshotKind,
    },
    /// The checkpoint could not be written.
    NotStored {
        /// Which one.
        checkpoint: u64,
        /// Why.
        error: Error,
    },
}

/// What is to be done about it.
#[derive(Debug)]
pub enum Action {
    /// Send barriers.
    Begin {
        /// The number of the new checkpoint.
        checkpoint: u64,
        /// Whether all entries count as changed.
        kind: SnapshotKind,
    },
    /// Make what was handed over durable.
    Store {
        /// The checkpoint that all tasks have acknowledged.
        checkpoint: u64,
    },
    /// Tell the tasks that this checkpoint, and all before it, are complete (SEMANTICS 78).
    Complete {
        /// Which one.
        checkpoint: u64,
        /// Whether the job is over.
        last: bool,
        /// From its beginning, in nanoseconds.
        duration_ns: u64,
    },
    /// Forget what was handed over.
    Abandon {
        /// Which one.
        checkpoint: u64,
        /// Why.
        why: String,
    },
    /// Stop the job: more checkpoints in a row have failed than may.
    Fail(Error),
}

#[derive(Debug)]
struct InFlight {
    checkpoint: u64,
    began_ns: u64,
    acknowledged: Vec<bool>,
    /// Whether the operators that have union lists had ended, as the first core told.
    unions: BTreeMap<String, bool>,
    storing: bool,
    last: bool,
}

/// The state machine; time is passed in.
#[derive(Debug)]
pub struct Coordinator {
    timing: Timing,
    tasks: Vec<String>,
    ended: Vec<bool>,
    next: u64,
    in_flight: Option<InFlight>,
    requested: bool,
    /// What the next one must be: full at first, and after one that was abandoned.
    kind: SnapshotKind,
    failures_in_a_row: u32,
    due_ns: u64,
    /// No checkpoint begins before.
    not_before_ns: u64,
    over: bool,
}

impl Coordinator {
    /// For these tasks; the first checkpoint has this number (they keep increasing over restarts,
    /// SEMANTICS 84), is of this kind, and begins one interval from now.
    pub fn new(
        timing: Timing,
        tasks: Vec<String>,
        (next, kind): (u64, SnapshotKind),
        now_ns: u64,
    ) -> Self {
        assert!(!tasks.is_empty(), "a job without tasks has no checkpoints");
        let due_ns = timing.interval_ns.map_or(u64::MAX, |span| now_ns.saturating_add(span));
        Self {
            timing,
            ended: vec![false; tasks.len()],
            tasks,
            next,
            in_flight: None,
            requested: false,
            kind,
            failures_in_a_row: 0,
            due_ns,
            not_before_ns: 0,
            over: false,
        }
    }

    /// The checkpoint that tasks are handing over, if one is.
    pub fn collecting(&self) -> Option<u64> {
        self.in_flight.as_ref().filter(|now| !now.storing).map(|now| now.checkpoint)
    }

    /// Whether no checkpoint is in flight.
    pub fn is_at_rest(&self) -> bool {
        self.in_flight.is_none()
    }

    /// The moment at which a [`Tick`](Event::Tick) will do something; [`u64::MAX`] for never.
    pub fn wakes_ns(&self) -> u64 {
        match &self.in_flight {
            Some(now) if now.storing => u64::MAX,
            Some(now) => now.began_ns.saturating_add(self.timing.timeout_ns),
            None if self.over => u64::MAX,
            None if self.requested || self.ended.iter().all(|ended| *ended) => self.not_before_ns,
            None => self.due_ns.max(self.not_before_ns),
        }
    }

    /// Takes note of an event; appends what is to be done.
    pub fn on(&mut self, event: Event, now_ns: u64, actions: &mut Vec<Action>) {
        match event {
            Event::Tick => {}
            Event::Requested => self.requested = !self.over,
            Event::Cut { checkpoint, unions } => {
                self.on_cut((checkpoint, unions), now_ns, actions);
            }
            Event::Acknowledged { task, checkpoint } => {
                self.on_acknowledged(task, checkpoint, actions);
            }
            Event::Declined { task, checkpoint, error } => {
                let task = &self.tasks[task as usize];
                let why = error.context(format!("task `{task}` cannot take its part"));
                if self.collecting() == Some(checkpoint) {
                    self.abandon(why, now_ns, actions);
                }
            }
            Event::Ended { task } => self.ended[task as usize] = true,
            Event::Stored { checkpoint, next } => {
                self.on_stored((checkpoint, next), now_ns, actions);
            }
            Event::NotStored { checkpoint, error } => {
                if self.in_flight.as_ref().is_some_and(|now| now.checkpoint == checkpoint) {
                    self.abandon(error, now_ns, actions);
                }
            }
        }
        self.expire(now_ns, actions);
        self.begin_if_due(now_ns, actions);
    }

    fn on_cut(
        &mut self,
        (checkpoint, unions): (u64, Vec<UnionPart>),
        now_ns: u64,
        actions: &mut Vec<Action>,
    ) {
        let Some(now) = self.in_flight.as_mut().filter(|now| now.checkpoint == checkpoint) else {
            return;
        };
        let differs = |UnionPart { operator, has_ended }: &UnionPart| {
            *now.unions.entry(operator.clone()).or_insert(*has_ended) != *has_ended
        };
        if let Some(UnionPart { operator, .. }) = unions.into_iter().find(differs) {
            let why = format!(
                "`{operator}` has a union list, and has ended on some cores and not on others: a \
                 checkpoint is taken when it has ended on all"
            );
            self.give_up(why, now_ns, actions);
        }
    }

    fn on_acknowledged(&mut self, task: u32, checkpoint: u64, actions: &mut Vec<Action>) {
        // One of a checkpoint that was given up comes too late.
        let Some(now) = self.in_flight.as_mut().filter(|now| now.checkpoint == checkpoint) else {
            return;
        };
        now.acknowledged[task as usize] = true;
        if !now.storing && now.acknowledged.iter().all(|acknowledged| *acknowledged) {
            now.storing = true;
            actions.push(Action::Store { checkpoint });
        }
    }

    fn on_stored(
        &mut self,
        (checkpoint, next): (u64, SnapshotKind),
        now_ns: u64,
        actions: &mut Vec<Action>,
    ) {
        let stored = |now: &InFlight| now.storing && now.checkpoint == checkpoint;
        if !self.in_flight.as_ref().is_some_and(stored) {
            return;
        }
        let Some(now) = self.in_flight.take() else { return };
        self.failures_in_a_row = 0;
        self.kind = next;
        self.over = now.last;
        let duration_ns = now_ns.saturating_sub(now.began_ns);
        actions.push(Action::Complete { checkpoint, last: now.last, duration_ns });
        self.rest(now.began_ns, now_ns);
    }

    /// Sets when the next one is due.
    fn rest(&mut self, began_ns: u64, now_ns: u64) {
        let Some(interval_ns) = self.timing.interval_ns else { return };
        let by_interval = began_ns.saturating_add(interval_ns);
        self.due_ns = by_interval.max(now_ns.saturating_add(self.timing.min_pause_ns));
    }

    /// Abandons the one in flight, which counts as a failure.
    fn abandon(&mut self, why: Error, now_ns: u64, actions: &mut Vec<Action>) {
        let Some(checkpoint) = self.give_up(why.to_string(), now_ns, actions) else { return };
        self.failures_in_a_row += 1;
        if self.failures_in_a_row > self.timing.tolerable_failures {
            let error = why.context(format!(
                "checkpoint {checkpoint} failed, and {} in a row may",
                self.timing.tolerable_failures
            ));
            actions.push(Action::Fail(error));
        }
    }

    /// Abandons the one in flight; its number.
    fn give_up(&mut self, why: String, now_ns: u64, actions: &mut Vec<Action>) -> Option<u64> {
        let now = self.in_flight.take()?;
        // What its tasks took as handed over is lost, so the next one hands everything over.
        self.kind = SnapshotKind::Full;
        self.not_before_ns = now_ns.saturating_add(self.timing.retry_pause_ns);
        self.rest(now.began_ns, now_ns);
        actions.push(Action::Abandon { checkpoint: now.checkpoint, why });
        Some(now.checkpoint)
    }

    fn expire(&mut self, now_ns: u64, actions: &mut Vec<Action>) {
        let Some(now) = self.in_flight.as_ref().filter(|now| !now.storing) else { return };
        if now_ns.saturating_sub(now.began_ns) < self.timing.timeout_ns {
            return;
        }
        let missing = self.tasks.iter().zip(&now.acknowledged);
        let missing: Vec<_> =
            missing.filter(|(_, done)| !**done).map(|(task, _)| format!("`{task}`")).collect();
        let error = Error::new(
            ErrorKind::Cancelled,
            format!(
                "it took longer than {}; these tasks were not done: {}",
                Span(self.timing.timeout_ns.min(i64::MAX as u64) as i64),
                missing.join(", ")
            ),
        );
        self.abandon(error, now_ns, actions);
    }

    fn begin_if_due(&mut self, now_ns: u64, actions: &mut Vec<Action>) {
        let last = self.ended.iter().all(|ended| *ended);
        let wanted = last || self.requested || now_ns >= self.due_ns;
        if self.in_flight.is_some() || self.over || !wanted || now_ns < self.not_before_ns {
            return;
        }
        let checkpoint = self.next;
        self.next += 1;
        self.requested = false;
        self.in_flight = Some(InFlight {
            checkpoint,
            began_ns: now_ns,
            acknowledged: vec![false; self.tasks.len()],
            unions: BTreeMap::new(),
            storing: false,
            last,
        });
        actions.push(Action::Begin { checkpoint, kind: self.kind });
    }
}

#[cfg(test)]
#[path = "coordinator_tests.rs"]
mod tests;
