//! A stage: one chain of operators between an input and an output end. The control flow of a task.

use std::sync::{Arc, Mutex, PoisonError};

use tailwater_core::{Control, Counter, Result, Stamped};
use tailwater_operators::Operator;
use tailwater_state::{Drain, SnapshotKind, SnapshotWriter};

use super::{Event, Input, InputPlan, Output, OutputPlan, Progress, Step, Task, TaskContext};
use crate::checkpoint::SnapshotTaker;

/// One chain on one core.
struct Stage<C: Operator, O> {
    name: Arc<str>,
    node: u32,
    core: u32,
    input: Box<dyn Input<C::In>>,
    chain: C,
    output: O,
    batch: Vec<Stamped<C::In>>,
    batch_max: usize,
    life: Life,
    records_in: Counter,
    snapshots: Arc<dyn SnapshotTaker>,
}

/// Where a stage is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// Takes input.
    Running,
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
                let mut snapshot = SnapshotWriter::new(SnapshotKind::Incremental, &*self.name);
                self.chain.snapshot(&mut snapshot)?;
                let mut drain = Drain::new();
                drain.allow(usize::MAX);
                while !self.chain.drain(&mut drain)? {
                    drain.allow(usize::MAX);
                }
                let parts = snapshot.into_parts();
                self.snapshots.take(barrier.checkpoint, self.node, self.core, parts);
                self.output.control(control)
            }
            Control::Idle | Control::Active | Control::Marker(_) => self.output.control(control),
            Control::End => {
                self.chain.on_end(&mut self.output);
                self.output.control(Control::End)?;
                self.life = Life::Closing;
                Ok(())
            }
        }
    }

    /// Takes input until the budget is used up, nothing is left, or the output is full.
    fn work(&mut self, step: &Step) -> Result<Progress> {
        let mut progress = Progress::Idle;
        let mut budget = step.budget;
        while budget > 0 && self.life == Life::Running {
            if !self.output.has_room() {
                self.output.flush()?;
                if !self.output.has_room() {
                    self.input.on_blocked(step);
                    return Ok(progress.max(Progress::Blocked));
                }
            }
            if self.chain.is_pending() {
                self.chain.resume(&mut self.output);
                progress = Progress::Worked;
                continue;
            }
            match self.input.poll(step, budget.min(self.batch_max), &mut self.batch)? {
                Event::Empty => break,
                Event::Records => {
                    budget = budget.saturating_sub(self.batch.len());
                    self.records_in.add(self.batch.len() as u64);
                    self.chain.on_batch(&mut self.batch, &mut self.output);
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
}

impl<C: Operator, O: Output<C::Out>> Task for Stage<C, O> {
    fn step(&mut self, step: &Step) -> Result<Progress> {
        if self.life == Life::Done {
            return Ok(Progress::Done);
        }
        let progress = self.work(step)?;
        if let Some(error) = self.output.take_failure() {
            return Err(error);
        }
        let flushed = self.output.flush()?;
        if self.life == Life::Closing && flushed && self.output.close()? {
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
    output: P,
}

impl<C: Operator, P> StagePlan<C, P> {
    /// A chain between two ends.
    pub fn new(input: Arc<dyn InputPlan<C::In>>, chain: C, output: P) -> Self {
        Self { input, chain: Mutex::new(chain), output }
    }
}

/// What the graph keeps of a stage, whatever its types.
pub trait TaskPlan: Send + Sync {
    /// What there is to know before any core starts.
    ///
    /// # Errors
    /// When an input does not exist.
    fn prepare(&self, cores: u32) -> Result<()>;

    /// The stage on a core; `None` where it does not run there.
    ///
    /// # Errors
    /// When an end cannot be opened.
    fn open(
        &self,
        node: u32,
        name: &Arc<str>,
        context: &TaskContext,
    ) -> Result<Option<Box<dyn Task>>>;
}

impl<C, P> TaskPlan for StagePlan<C, P>
where
    C: Operator + Clone,
    P: OutputPlan<C::Out>,
{
    fn prepare(&self, cores: u32) -> Result<()> {
        self.input.prepare(cores)
    }

    fn open(
        &self,
        node: u32,
        name: &Arc<str>,
        context: &TaskContext,
    ) -> Result<Option<Box<dyn Task>>> {
        let Some(input) = self.input.open(context)? else { return Ok(None) };
        // A panic while a prototype is cloned fails the job; the prototype itself stays as it was.
        let mut chain = self.chain.lock().unwrap_or_else(PoisonError::into_inner).clone();
        chain.open(&context.operator_context())?;
        Ok(Some(Box::new(Stage {
            name: name.clone(),
            node,
            core: context.core,
            input,
            chain,
            output: self.output.open(context)?,
            batch: Vec::with_capacity(context.batch_max),
            batch_max: context.batch_max,
            life: Life::Running,
            records_in: context.counters.register(&format!("{name}.records_in")),
            snapshots: context.snapshots.clone(),
        })))
    }
}
