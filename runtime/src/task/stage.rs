//! A stage: one chain of operators between an input and an output end. The control flow of a task.
//!
//! ```text
//! barrier -> before_barrier, finish what must be -> snapshot -> barrier onward -> records again
//!                                                     '-> a bounded drain in each step -> chunks
//!         drained, and the sink's transaction prepared -> acknowledged
//! end     -> the chain holds nothing back -> output flushed -> done; with checkpoints: it stays,
//!            takes its part in each, and is done when the last one is complete and committed
//!            (SEMANTICS 79)
//! ```

use std::sync::{Arc, Mutex, PoisonError};

use tailwater_core::{Clock, Control, Counter, Fault, Result, Stamped, Timestamp, fault};
use tailwater_operators::{Backlog, Operator, OperatorContext};
use tailwater_state::{Budget, Drain, SnapshotWriter};

use super::handover::Handover;
use super::{
    Event, Input, InputPlan, Output, OutputPlan, Progress, Step, Task, TaskContext, Undertaking,
};
use crate::checkpoint::port::TaskStats;

/// One chain on one core.
struct Stage<C: Operator, O> {
    name: Arc<str>,
    input: Box<dyn Input<C::In>>,
    chain: C,
    output: O,
    batch: Vec<Stamped<C::In>>,
    batch_max: usize,
    life: Life,
    records_in: Counter,
    budget: Budget,
    /// There where the chain wants to know the time.
    clock: Option<Arc<dyn Clock>>,
    /// There where the job takes checkpoints.
    handover: Option<Handover>,
    /// A barrier that waits until nothing must be finished, and what it has cost so far.
    barrier: Option<(u64, TaskStats)>,
    /// The key whose records came last has no more: the chain is told when it is done with them.
    key_ends: bool,
    /// The input is idle, and that is not said yet: what the chain holds back goes before it.
    idle_waits: bool,
}

/// Where a stage is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Life {
    /// Takes input.
    Running,
    /// The input has ended; the chain is told when it holds nothing back.
    Ending,
    /// The chain knows, and hands on what that made it emit.
    Draining,
    /// The chain has ended; the output hands over what is left.
    Closing,
    /// Nothing is left.
    Done,
}

impl<C: Operator, O: Output<C::Out>> Stage<C, O> {
    fn on_control(&mut self, control: Control) -> Result<()> {
        match control {
            Control::Watermark(watermark) => {
                self.chain.on_watermark(watermark, &mut self.output);
                Ok(())
            }
            Control::Barrier(barrier) => {
                let alignment_ns = self.input.alignment_ns();
                let stats = TaskStats { alignment_ns, ..TaskStats::default() };
                self.barrier = Some((barrier.checkpoint, stats));
                Ok(())
            }
            // Behind it, those that read the output wait for nothing that is held back here.
            Control::Idle if self.chain.backlog() > Backlog::Empty => {
                self.idle_waits = true;
                Ok(())
            }
            Control::Active if std::mem::take(&mut self.idle_waits) => Ok(()),
            Control::Idle | Control::Active | Control::Marker(_) => self.output.control(control),
            Control::End => {
                self.life = Life::Ending;
                self.on_end()
            }
        }
    }

    /// Goes on with the end of the input, as far as the chain holds nothing back.
    fn on_end(&mut self) -> Result<()> {
        if self.life == Life::Ending && self.chain.backlog() == Backlog::Empty {
            self.chain.on_end(&mut self.output);
            self.life = Life::Draining;
        }
        if self.life == Life::Draining && self.chain.backlog() == Backlog::Empty {
            self.output.control(Control::End)?;
            self.life = Life::Closing;
        }
        Ok(())
    }

    /// Lets the chain go on with what it holds back, and do what the time asks for. Whether there
    /// was something that it held back.
    fn on_time(&mut self, now: Timestamp) -> Result<bool> {
        let worked =
            self.chain.backlog() > Backlog::Empty && self.chain.go_on(now, &mut self.output);
        if self.idle_waits && self.chain.backlog() == Backlog::Empty {
            self.idle_waits = false;
            self.output.control(Control::Idle)?;
        }
        if self.life == Life::Running && !self.chain.must_finish() {
            self.chain.on_clock(now, &mut self.output);
        }
        Ok(worked)
    }

    /// The barrier that is to be taken before anything else, if there is one: what the chain is in
    /// the middle of, or holds back at the end, does not keep it.
    fn poll_barrier(&mut self, step: &Step) -> Result<()> {
        if self.barrier.is_some() {
            return Ok(());
        }
        if self.life > Life::Running {
            // No input is left that could bring it. Each is taken, as sources do.
            let due = self.handover.as_ref().filter(|handover| step.barrier > handover.taken);
            self.barrier = due.map(|handover| (handover.taken + 1, TaskStats::default()));
            return Ok(());
        }
        if self.chain.is_pending() && !self.chain.must_finish() {
            let barrier = self.input.poll_barrier(step)?;
            barrier.map_or(Ok(()), |barrier| self.on_control(Control::Barrier(barrier)))?;
        }
        Ok(())
    }

    /// Goes on with a barrier: lets the chain emit what it will not keep, then takes the snapshot
    /// and hands the barrier on.
    fn on_barrier(&mut self, checkpoint: u64, mut stats: TaskStats) -> Result<()> {
        let Some(handover) = &mut self.handover else {
            return self.output.control(barrier(checkpoint));
        };
        let began_ns = handover.now_ns();
        if self.life < Life::Closing {
            self.chain.before_barrier(&mut self.output);
            if self.chain.must_finish() && !fault(Fault::ForgetPendingAtBarrier) {
                stats.pause_ns += handover.now_ns().saturating_sub(began_ns);
                self.barrier = Some((checkpoint, stats));
                return Ok(());
            }
        }
        let Self { input, chain, .. } = self;
        stats.forced = handover.settle(|into| Ok(input.drain(into)? && chain.drain(into)?))?;
        let kind = handover.kind(checkpoint);
        let writer = SnapshotWriter::new(kind, &*self.name);
        let mut writer = if self.life > Life::Ending { writer.at_the_end() } else { writer };
        self.input.snapshot(&mut writer)?;
        self.chain.snapshot(&mut writer)?;
        self.output.control(barrier(checkpoint))?;
        stats.pause_ns += handover.now_ns().saturating_sub(began_ns);
        handover.cut(checkpoint, kind, writer.into_parts(), stats);
        Ok(())
    }

    /// Takes input until the budget is used up, nothing is left, or the output is full.
    fn work(&mut self, step: &Step) -> Result<Progress> {
        let mut progress = Progress::Idle;
        let mut budget = step.budget;
        // Before the input: what comes in this round is dated by this round's clock.
        if let Some(clock) = &self.clock
            && self.life < Life::Closing
            && self.output.has_room()
        {
            let now = clock.wall();
            if self.on_time(now)? {
                progress = Progress::Worked;
            }
        }
        while budget > 0 && self.life < Life::Closing {
            if !self.output.has_room() {
                self.output.flush()?;
                if !self.output.has_room() {
                    self.input.on_blocked(step);
                    return Ok(progress.max(Progress::Blocked));
                }
            }
            self.poll_barrier(step)?;
            if !self.chain.must_finish()
                && let Some((checkpoint, stats)) = self.barrier.take()
            {
                self.on_barrier(checkpoint, stats)?;
                progress = Progress::Worked;
                continue;
            }
            if self.chain.backlog() == Backlog::Full {
                if !self.chain.is_pending()
                    && let Some(control) = self.input.poll_control(step)?
                {
                    self.on_control(control)?;
                    progress = Progress::Worked;
                    continue;
                }
                // What is behind that may have work left, what is before it cannot go on.
                self.chain.resume(&mut self.output);
                self.input.on_blocked(step);
                break;
            }
            if self.chain.is_pending() {
                self.chain.resume(&mut self.output);
                progress = Progress::Worked;
                if self.chain.is_pending() && !self.chain.must_finish() {
                    // A long piece of work, as of many timers: others have their turn in between.
                    break;
                }
                continue;
            }
            if std::mem::take(&mut self.key_ends) {
                self.chain.on_key_end(&mut self.output);
                progress = Progress::Worked;
                continue;
            }
            if self.life > Life::Running {
                self.on_end()?;
                break;
            }
            match self.input.poll(step, budget.min(self.batch_max), &mut self.batch)? {
                Event::Empty => break,
                Event::Records => {
                    // An input may have been busy with records that it does not hand on yet.
                    budget = budget.saturating_sub(self.batch.len().max(1));
                    self.records_in.add(self.batch.len() as u64);
                    self.chain.on_batch(&mut self.batch, &mut self.output);
                }
                Event::Unsorted => {
                    budget = budget.saturating_sub(self.batch.len());
                    self.records_in.add(self.batch.len() as u64);
                    self.chain.on_unsorted(&mut self.batch, &mut self.output);
                    self.input.sort(&mut self.batch)?;
                    if !self.batch.is_empty() {
                        // What is for all keys does not wait.
                        self.chain.on_batch(&mut self.batch, &mut self.output);
                    }
                }
                event @ (Event::Sorted | Event::LastOfKey) => {
                    budget = budget.saturating_sub(self.batch.len());
                    self.chain.on_sorted(&mut self.batch, &mut self.output);
                    self.key_ends = event == Event::LastOfKey;
                }
                Event::Control(control) => self.on_control(control)?,
            }
            progress = Progress::Worked;
            if let Some(error) = self.output.take_failure() {
                return Err(error);
            }
        }
        Ok(progress)
    }

    /// The stage's part in checkpoints, beside its work.
    fn hand_over(&mut self, step: &Step, progress: Progress, flushed: bool) -> Result<Progress> {
        let Some(handover) = &mut self.handover else { return Ok(progress) };
        let Self { input, chain, .. } = self;
        let drain = |into: &mut Drain| Ok(input.drain(into)? && chain.drain(into)?);
        let mut worked = handover.go_on(drain, progress < Progress::Worked)?;
        if let Some(kind) = handover.waits_for_output()
            && self.output.is_prepared()?
        {
            let mut writer = SnapshotWriter::new(kind, &*self.name);
            self.output.snapshot(&mut writer)?;
            handover.acknowledge(writer.into_parts().values);
            worked = true;
        }
        if step.completed > handover.committed && self.output.commit(step.completed)? {
            handover.committed = step.completed;
            worked = true;
        }
        if self.life == Life::Closing && flushed {
            handover.ended();
            if step.barrier > handover.taken {
                // No input is left that could bring the barrier.
                self.on_barrier(step.barrier, TaskStats::default())?;
                worked = true;
            }
        }
        Ok(if worked { Progress::Worked } else { progress })
    }

    /// Whether nothing is left but to close the output.
    fn is_over(&self, step: &Step) -> bool {
        let committed = |handover: &Handover| step.is_over && handover.committed >= step.completed;
        self.life == Life::Closing && self.handover.as_ref().is_none_or(committed)
    }
}

fn barrier(checkpoint: u64) -> Control {
    Control::Barrier(tailwater_core::Barrier { checkpoint })
}

impl<C: Operator, O: Output<C::Out>> Task for Stage<C, O> {
    fn step(&mut self, step: &Step) -> Result<Progress> {
        if self.life == Life::Done {
            return Ok(Progress::Done);
        }
        let progress = self.work(step)?;
        if let Some(error) = self.output.take_failure().or_else(|| self.budget.failure()) {
            return Err(error);
        }
        let flushed = self.output.flush()?;
        let progress = self.hand_over(step, progress, flushed)?;
        if flushed && self.is_over(step) && self.output.close()? {
            self.life = Life::Done;
            return Ok(Progress::Worked);
        }
        Ok(if flushed { progress } else { progress.max(Progress::Blocked) })
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// How a stage is made on each core: the prototype of its chain, and the plans of its two ends.
pub struct StagePlan<C: Operator, P> {
    input: Arc<dyn InputPlan<C::In>>,
    /// Behind a mutex because a chain is `Send` and is cloned from several threads.
    chain: Mutex<C>,
    /// The most cores that it runs on.
    cores_max: u32,
    output: P,
}

impl<C: Operator, P> StagePlan<C, P> {
    /// A chain between two ends.
    pub fn new(input: Arc<dyn InputPlan<C::In>>, chain: C, output: P) -> Self {
        Self { input, chain: Mutex::new(chain), cores_max: u32::MAX, output }
    }

    /// The same plan of a task that runs on the first cores only, which own all key groups.
    #[must_use]
    pub fn on_cores(self, cores_max: u32) -> Self {
        Self { cores_max, ..self }
    }
}

/// What the graph keeps of a stage, whatever its types.
pub trait TaskPlan: Send + Sync {
    /// What there is to know before any core starts.
    ///
    /// # Errors
    /// When an input does not exist.
    fn prepare(&self, name: &str, undertaking: &Undertaking) -> Result<()>;

    /// The stage on a core; `None` where it does not run there.
    ///
    /// # Errors
    /// When an end cannot be opened.
    fn open(&self, name: &Arc<str>, context: &TaskContext) -> Result<Option<Box<dyn Task>>>;
}

impl<C, P> TaskPlan for StagePlan<C, P>
where
    C: Operator + Clone,
    P: OutputPlan<C::Out>,
{
    fn prepare(&self, name: &str, undertaking: &Undertaking) -> Result<()> {
        self.input.prepare(name, undertaking)
    }

    fn open(&self, name: &Arc<str>, context: &TaskContext) -> Result<Option<Box<dyn Task>>> {
        let Some(mut input) = self.input.open(context)? else { return Ok(None) };
        // A panic while a prototype is cloned fails the job; the prototype itself stays as it was.
        let mut chain = self.chain.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let task_cores = self.cores_max.min(context.cores);
        let context = &TaskContext { task_cores, ..context.clone() };
        let place = (context.core, task_cores);
        let mut operator_context: OperatorContext = context.operator_context();
        let groups = context.key_groups.range(place.0, place.1);
        operator_context.state = operator_context.state.for_groups(groups);
        chain.open(&operator_context)?;
        if let Some(restoring) = &context.restoring {
            let restore = |reader: &mut _| {
                input.restore(reader)?;
                chain.restore(reader)
            };
            restoring.read(name, place, context.key_groups, restore)?;
        }
        let barrier = context.control.barrier();
        let restored = context.restoring.as_ref().map_or(0, |restoring| restoring.checkpoint);
        let handover = context.register.as_ref().map(|register| {
            let port = register.add(name, context.core);
            Handover::new(port, context.clock.clone(), barrier, restored)
        });
        Ok(Some(Box::new(Stage {
            name: name.clone(),
            input,
            clock: chain.wants_clock().then(|| context.clock.clone()),
            chain,
            output: self.output.open(name, context)?,
            batch: Vec::with_capacity(context.batch_max),
            batch_max: context.batch_max,
            life: Life::Running,
            records_in: context.counters.register(&format!("{name}.records_in")),
            budget: context.state.budget.clone(),
            handover,
            barrier: None,
            key_ends: false,
            idle_waits: false,
        })))
    }
}
