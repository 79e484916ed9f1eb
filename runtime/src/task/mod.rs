//! Tasks: a chain of operators with its input and output ends, stepped by whatever driver there is.

pub mod alignment;
mod channels;
pub mod drift;
pub mod fork;
mod handover;
pub mod inbox;
pub mod lineage;
pub mod marker;
pub mod merging;
pub mod outbox;
pub mod sink;
pub mod sorted;
pub mod source;
pub mod stage;
pub mod watermark_merge;

use std::sync::Arc;

use tailwater_core::{
    Barrier, Clock, Control as ControlElement, Counters, Error, KeyGroups, Result, Stamped,
};
use tailwater_operators::{Collect, OperatorContext, RuntimeMode, Waker};
use tailwater_state::{Drain, SnapshotReader, SnapshotWriter, SortOptions, StateContext};

use self::drift::DriftGroups;
use self::lineage::Lineage;
use crate::checkpoint::Restoring;
use crate::checkpoint::config::Guarantee;
use crate::checkpoint::port::Register;
use crate::control::{Control, Mode};
use crate::latency::LatencyLog;
use crate::splits::SourceBoard;

/// What an operator may keep of records that it takes unsorted, as a part of the memory for
/// sorting: where that is not enough, what it kept is listed and then sorted beside it.
const UNSORTED_SHARE: u64 = 3;

/// One task of one core.
pub trait Task {
    /// Does a bounded piece of work.
    ///
    /// # Errors
    /// When the job cannot go on.
    fn step(&mut self, step: &Step) -> Result<Progress>;

    /// The name of the task's node.
    fn name(&self) -> &str;
}

/// What a step is told.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Monotonic time at the start of the round.
    pub now_ns: u64,
    /// Whether sources should go on, end, or the job is aborted.
    pub mode: Mode,
    /// The number of the last barrier asked for.
    pub barrier: u64,
    /// The newest checkpoint that is complete, and with it all before; zero for none.
    pub completed: u64,
    /// Whether that was the job's last.
    pub is_over: bool,
    /// The most records to take in.
    pub budget: usize,
}

#[cfg(test)]
impl Step {
    /// The first step of a job without checkpoints.
    pub(crate) const FIRST: Self = Self {
        now_ns: 0,
        mode: Mode::Running,
        barrier: 0,
        completed: 0,
        is_over: false,
        budget: 64,
    };
}

/// What a step came to, from the least to the most reason to step again at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    /// The task has ended and is not to be stepped again.
    Done,
    /// There was nothing to do.
    Idle,
    /// There is something to do, but the way down is full.
    Blocked,
    /// Something was done.
    Worked,
}

/// What a task is told when it is opened on its core.
#[derive(Clone)]
pub struct TaskContext {
    /// Which core this is.
    pub core: u32,
    /// How many cores run the job.
    pub cores: u32,
    /// On how many of them, the first ones, the task runs.
    pub task_cores: u32,
    /// How keys fall into key groups.
    pub key_groups: KeyGroups,
    /// Named counts of the job.
    pub counters: Counters,
    /// The job's clock.
    pub clock: Arc<dyn Clock>,
    /// Wakes this core.
    pub waker: Waker,
    /// Whether sources and sinks must work inside their calls.
    pub inline: bool,
    /// Whether cores sleep, so that who writes to them must wake them.
    pub parking: bool,
    /// Records that a ring between two cores holds.
    pub ring_capacity: usize,
    /// The most records that a task takes at once.
    pub batch_max: usize,
    /// How often a source sends a latency marker, in nanoseconds; zero for never.
    pub marker_interval_ns: u64,
    /// The switches of the job.
    pub control: Arc<Control>,
    /// Where sinks leave their latencies.
    pub latency: LatencyLog,
    /// Where sources show how far they are.
    pub sources: SourceBoard,
    /// Where sources see those that they wait for.
    pub drift_groups: DriftGroups,
    /// What the tables of the core share.
    pub state: StateContext,
    /// Where tasks that take part in checkpoints make themselves known, if any are taken.
    pub(crate) register: Option<Arc<Register>>,
    /// Whether inputs wait for each other's barriers.
    pub guarantee: Guarantee,
    /// What the job goes on from, if it does.
    pub restoring: Option<Restoring>,
    /// How the job is run: [`RuntimeMode::Streaming`] or [`RuntimeMode::Batch`].
    pub mode: RuntimeMode,
    /// What sorting may take, in batch mode.
    pub sort: SortOptions,
    /// What the task's records come from, where all inputs are merged in one order.
    pub lineage: Option<Lineage>,
}

/// What an attempt of a job sets out with, before any core starts.
#[derive(Clone)]
pub struct Undertaking {
    /// How many cores run the job.
    pub cores: u32,
    /// How keys fall into key groups.
    pub key_groups: KeyGroups,
    /// Whether checkpoints are taken.
    pub checkpointing: bool,
    /// What the job goes on from, if it does.
    pub restoring: Option<Restoring>,
}

impl TaskContext {
    /// What the operators of the task are told.
    pub fn operator_context(&self) -> OperatorContext {
        OperatorContext {
            core: self.core,
            cores: self.task_cores,
            key_groups: self.key_groups,
            counters: self.counters.clone(),
            state: self.state.clone(),
            mode: self.mode,
            waker: self.waker.clone(),
            deterministic: self.lineage.is_some(),
            unsorted_memory: self.sort.memory / UNSORTED_SHARE,
        }
    }
}

/// The input end of a task.
pub trait Input<T> {
    /// Appends up to `limit` records to `batch`, or takes one control element.
    ///
    /// # Errors
    /// When the input cannot be read on.
    fn poll(&mut self, step: &Step, limit: usize, batch: &mut Vec<Stamped<T>>) -> Result<Event>;

    /// The barrier, if nothing stands before it any more: asked while the chain is in the middle of
    /// its work for a watermark, and takes nothing else.
    ///
    /// # Errors
    /// When the input cannot be read on.
    fn poll_barrier(&mut self, step: &Step) -> Result<Option<Barrier>> {
        let _ = step;
        Ok(None)
    }

    /// The control element before which no record stands: asked while the chain holds back as much
    /// as it may, and takes no records.
    ///
    /// # Errors
    /// When the input cannot be read on.
    fn poll_control(&mut self, step: &Step) -> Result<Option<ControlElement>> {
        let _ = step;
        Ok(None)
    }

    /// In batch mode: keeps those records of the batch that belong to a key, which come again when
    /// they are sorted; leaves those that are for all keys.
    ///
    /// # Errors
    /// When they cannot be kept.
    fn sort(&mut self, batch: &mut Vec<Stamped<T>>) -> Result<()> {
        let _ = batch;
        Ok(())
    }

    /// The task could not take input in this round; time that passes now is not the input's silence
    /// (SEMANTICS 17).
    fn on_blocked(&mut self, step: &Step);

    /// Writes what the input remembers, at a barrier: how far it has read.
    ///
    /// # Errors
    /// When a value cannot be archived.
    fn snapshot(&mut self, into: &mut SnapshotWriter) -> Result<()> {
        let _ = into;
        Ok(())
    }

    /// Hands on entries of the tracked states that the last snapshot cut, as many as `into` allows;
    /// `true` when nothing is left.
    ///
    /// # Errors
    /// When an entry cannot be archived.
    fn drain(&mut self, into: &mut Drain) -> Result<bool> {
        let _ = into;
        Ok(true)
    }

    /// Reads back what [`snapshot`](Input::snapshot) wrote, before anything is polled; what was
    /// read [before the input was opened](InputPlan::prepare) is not asked for here.
    ///
    /// # Errors
    /// When the bytes are not what this input wrote.
    fn restore(&mut self, from: &mut SnapshotReader) -> Result<()> {
        let _ = from;
        Ok(())
    }

    /// From the first channel's barrier to the last one's, for the barrier that came last.
    fn alignment_ns(&self) -> u64 {
        0
    }
}

/// What an input found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Nothing now.
    Empty,
    /// Records were appended.
    Records,
    /// A control element, merged over the input's channels.
    Control(ControlElement),
    /// In batch mode: records were appended in the order in which they came, or none are left. What
    /// the chain does not take unsorted goes back to [`Input::sort`].
    Unsorted,
    /// In batch mode: records of one key were appended, by time; it has more.
    Sorted,
    /// In batch mode: the last records of a key were appended, by time.
    LastOfKey,
}

/// The output end of a task: takes what the chain emits, and control elements between.
pub trait Output<T>: Collect<T> {
    /// Passes a control element on, behind all that was emitted before it.
    ///
    /// # Errors
    /// When the output cannot be written.
    fn control(&mut self, control: ControlElement) -> Result<()>;

    /// Hands over what is ready; `true` when nothing is left.
    ///
    /// # Errors
    /// When the output cannot be written.
    fn flush(&mut self) -> Result<bool>;

    /// Whether all that came before the last barrier is safe. Polled after each barrier.
    ///
    /// # Errors
    /// When the output cannot be written.
    fn is_prepared(&mut self) -> Result<bool> {
        Ok(true)
    }

    /// Writes what is needed to commit what is prepared, after a restart too.
    ///
    /// # Errors
    /// When a value cannot be archived.
    fn snapshot(&mut self, into: &mut SnapshotWriter) -> Result<()> {
        let _ = into;
        Ok(())
    }

    /// A checkpoint is complete, and with it all before: what was prepared for them becomes
    /// visible. Called again until it returns `true`.
    ///
    /// # Errors
    /// When the output cannot be written.
    fn commit(&mut self, checkpoint: u64) -> Result<bool> {
        let _ = checkpoint;
        Ok(true)
    }

    /// Finishes the output after the end; called again until it returns `true`.
    ///
    /// # Errors
    /// When the output cannot be finished.
    fn close(&mut self) -> Result<bool> {
        self.flush()
    }

    /// The error that the chain reported, if it did.
    fn take_failure(&mut self) -> Option<Error>;
}

/// How a task's input end is made on each core; known before the job runs.
pub trait InputPlan<T>: Send + Sync + 'static {
    /// The edges that it reads, for the graph.
    fn edges(&self) -> Vec<usize>;

    /// Whether it surely ends. What reads other tasks' outputs ends with them.
    fn is_bounded(&self) -> bool {
        true
    }

    /// What there is to know before any core starts: lists splits, for instance. Each attempt of a
    /// job begins with it, and leaves nothing of the one before.
    ///
    /// # Errors
    /// When the input does not exist.
    fn prepare(&self, task: &str, undertaking: &Undertaking) -> Result<()> {
        let _ = (task, undertaking);
        Ok(())
    }

    /// The input end on a core; `None` where the task does not run there.
    ///
    /// # Errors
    /// When the input cannot be opened.
    fn open(&self, context: &TaskContext) -> Result<Option<Box<dyn Input<T>>>>;
}

/// How a task's output end is made on each core.
pub trait OutputPlan<T>: Send + Sync + 'static {
    /// The output end.
    type Output: Output<T> + 'static;

    /// The edges that it writes, for the graph.
    fn edges(&self) -> Vec<usize>;

    /// What the output is called in `explain`, where it leaves the job.
    fn sink_name(&self) -> Option<String> {
        None
    }

    /// Whether the output leaves the job, and may do so again after a restore.
    fn may_repeat(&self) -> bool {
        false
    }

    /// The output end of the task named `task` on a core.
    ///
    /// # Errors
    /// When the output cannot be opened.
    fn open(&self, task: &str, context: &TaskContext) -> Result<Self::Output>;
}
