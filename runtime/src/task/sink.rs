//! The output end that leaves the job: hands records to a writer and reads the latency markers.

use std::sync::Arc;

use tailwater_core::{Clock, Control, Counter, Error, Result, Stamped, Timestamp};
use tailwater_operators::blame::blame;
use tailwater_operators::{Collect, Prepared, Restored, Sink, SinkContext, SinkWriter};
use tailwater_state::SnapshotWriter;
use tailwater_state::snapshot::{Spread, operator_id};

use super::{Output, OutputPlan, TaskContext};
use crate::latency::LatencyRecorder;

/// Records at which they are offered to the writer.
const OFFER_AT: usize = 64;
/// Records that the writer has not taken yet, at which the task takes no more input.
const STAGED_MAX: usize = 1024;
/// The state of a sink: what it has prepared and not committed.
const TRANSACTIONS: &str = "transactions";

/// One writer of a sink, on one core.
pub struct SinkOutput<T> {
    name: Arc<str>,
    /// What the sink calls itself: its name in snapshots, below that of the task.
    sink: String,
    writer: Box<dyn SinkWriter<T>>,
    staged: Vec<Stamped<T>>,
    /// Records from before a barrier that the writer has not taken yet; those after it are staged.
    before: Vec<Stamped<T>>,
    /// A barrier that the writer has not been told yet.
    barrier: Option<u64>,
    /// The last barrier that the writer was told and has not answered.
    preparing: Option<u64>,
    is_transactional: bool,
    /// What is prepared and not committed: it goes with each snapshot, so that a checkpoint which
    /// was given up takes no output with it.
    prepared: Vec<Prepared>,
    clock: Arc<dyn Clock>,
    latency: LatencyRecorder,
    records: Counter,
    failure: Option<Error>,
}

#[cold]
fn sink_failed(name: &str, error: Error) -> Error {
    error.context(format!("sink `{name}` failed"))
}

impl<T> SinkOutput<T> {
    /// Offers the writer what it has not taken: what came before a barrier, the barrier, and then
    /// the rest.
    fn offer(&mut self) -> Result<()> {
        if self.barrier.is_some() && !self.tell_barrier()? {
            return Ok(());
        }
        if !self.staged.is_empty() {
            self.write_staged()?;
        }
        Ok(())
    }

    fn write_staged(&mut self) -> Result<()> {
        let before = self.staged.len();
        let Self { name, writer, staged, .. } = self;
        blame(name, Timestamp::NONE, || writer.write(staged))
            .map_err(|error| sink_failed(name, error))?;
        self.records.add((before - self.staged.len()) as u64);
        Ok(())
    }

    /// Whether the writer knows of the barrier.
    #[cold]
    fn tell_barrier(&mut self) -> Result<bool> {
        let Some(checkpoint) = self.barrier else { return Ok(true) };
        if !self.before.is_empty() {
            std::mem::swap(&mut self.before, &mut self.staged);
            let written = self.write_staged();
            std::mem::swap(&mut self.before, &mut self.staged);
            written?;
            if !self.before.is_empty() {
                return Ok(false);
            }
        }
        if self.is_transactional {
            // The order of a checkpoint that was given up is answered before the next is given.
            if !self.take_answer()? {
                return Ok(false);
            }
            let Self { name, writer, .. } = self;
            let told = blame(name, Timestamp::NONE, || writer.prepare(checkpoint))
                .map_err(|error| sink_failed(name, error))?;
            if !told {
                return Ok(false);
            }
            self.preparing = Some(checkpoint);
        }
        self.barrier = None;
        Ok(true)
    }

    /// Whether the writer has answered all that it was asked to prepare.
    fn take_answer(&mut self) -> Result<bool> {
        let Some(checkpoint) = self.preparing else { return Ok(true) };
        let Self { name, writer, .. } = self;
        let answer = blame(name, Timestamp::NONE, || writer.prepared())
            .map_err(|error| sink_failed(name, error))?;
        let Some(prepared) = answer else { return Ok(false) };
        assert_eq!(prepared.checkpoint, checkpoint, "sink `{name}` answered for another one");
        self.preparing = None;
        if !prepared.transaction.is_empty() {
            self.prepared.push(prepared);
        }
        Ok(true)
    }

    fn on_barrier(&mut self, checkpoint: u64) -> Result<()> {
        // Where an earlier barrier still waits its checkpoint was given up: what came before it
        // belongs to this one.
        self.before.append(&mut self.staged);
        self.barrier = Some(checkpoint);
        self.offer()
    }
}

impl<T> Collect<T> for SinkOutput<T> {
    #[inline]
    fn record(&mut self, at: Timestamp, value: T) {
        self.staged.push(Stamped { at, value });
        if self.staged.len().is_multiple_of(OFFER_AT)
            && let Err(error) = self.offer()
        {
            self.fail(error);
        }
    }

    #[inline]
    fn batch(&mut self, batch: &mut Vec<Stamped<T>>) {
        if self.staged.is_empty() && self.barrier.is_none() {
            // The batch itself is offered; what the writer does not take is staged.
            std::mem::swap(&mut self.staged, batch);
            if let Err(error) = self.offer() {
                self.fail(error);
            }
            if self.staged.is_empty() {
                std::mem::swap(&mut self.staged, batch);
            }
        } else {
            self.staged.append(batch);
        }
    }

    fn watermark(&mut self, watermark: Timestamp) {
        // What the writer has not taken yet is not covered by the watermark: it is told at the next
        // one.
        let told = self.offer().and_then(|()| {
            if !self.staged.is_empty() || self.barrier.is_some() {
                return Ok(());
            }
            let Self { name, writer, .. } = self;
            blame(name, watermark, || writer.watermark(watermark))
                .map_err(|error| sink_failed(name, error))
        });
        if let Err(error) = told {
            self.fail(error);
        }
    }

    #[inline]
    fn has_room(&self) -> bool {
        self.staged.len() + self.before.len() < STAGED_MAX && self.failure.is_none()
    }

    #[cold]
    fn fail(&mut self, error: Error) {
        self.failure.get_or_insert(error);
    }
}

impl<T> Output<T> for SinkOutput<T> {
    fn control(&mut self, control: Control) -> Result<()> {
        match control {
            Control::Marker(marker) => {
                self.offer()?;
                self.latency.record(marker, self.clock.monotonic_ns());
                Ok(())
            }
            Control::Barrier(barrier) => self.on_barrier(barrier.checkpoint),
            _ => Ok(()),
        }
    }

    #[inline]
    fn flush(&mut self) -> Result<bool> {
        self.offer()?;
        Ok(self.staged.is_empty() && self.barrier.is_none())
    }

    fn is_prepared(&mut self) -> Result<bool> {
        self.offer()?;
        if self.barrier.is_some() {
            return Ok(false);
        }
        self.take_answer()
    }

    fn snapshot(&mut self, into: &mut SnapshotWriter) -> Result<()> {
        if !self.is_transactional {
            return Ok(());
        }
        let transactions: Vec<_> =
            self.prepared.iter().map(|prepared| prepared.transaction.clone()).collect();
        into.operator(&self.sink, |into| into.list(TRANSACTIONS, Spread::Split, &transactions))
    }

    fn commit(&mut self, checkpoint: u64) -> Result<bool> {
        if !self.is_transactional {
            return Ok(true);
        }
        let Self { name, writer, .. } = self;
        let committed = blame(name, Timestamp::NONE, || writer.commit(checkpoint))
            .map_err(|error| sink_failed(name, error))?;
        if committed {
            self.prepared.retain(|prepared| prepared.checkpoint > checkpoint);
        }
        Ok(committed)
    }

    fn close(&mut self) -> Result<bool> {
        self.offer()?;
        if !self.staged.is_empty() || self.barrier.is_some() {
            return Ok(false);
        }
        let Self { name, writer, .. } = self;
        blame(name, Timestamp::NONE, || writer.close()).map_err(|error| sink_failed(name, error))
    }

    fn take_failure(&mut self) -> Option<Error> {
        self.failure.take()
    }
}

/// How a sink's writers are made.
pub struct SinkPlan<S> {
    name: Arc<str>,
    sink: S,
}

impl<S> SinkPlan<S> {
    /// Writes to `sink`.
    pub fn new(name: Arc<str>, sink: S) -> Self {
        Self { name, sink }
    }
}

impl<S> SinkPlan<S> {
    /// What a writer must commit again, where the job goes on from a checkpoint (SEMANTICS 76). A
    /// sink with one writer for the job gives that one everything.
    fn restored<T>(&self, task: &str, context: &TaskContext) -> Result<Option<Restored>>
    where
        S: Sink<T>,
    {
        let Some(restoring) = &context.restoring else { return Ok(None) };
        let checkpoint = restoring.checkpoint;
        let sink = self.sink.name();
        let operator = operator_id(task, &sink);
        let mut restored = Restored { checkpoint, transactions: Vec::new() };
        if restoring.has(&operator, TRANSACTIONS) {
            let single = self.sink.single_writer();
            let place = if single { (0, 1) } else { (context.core, context.task_cores) };
            restored.transactions = restoring.read(task, place, context.key_groups, |reader| {
                reader.operator(&sink, |reader| reader.list(TRANSACTIONS))
            })?;
        }
        Ok(Some(restored))
    }
}

impl<T: 'static, S: Sink<T>> OutputPlan<T> for SinkPlan<S> {
    type Output = SinkOutput<T>;

    fn edges(&self) -> Vec<usize> {
        Vec::new()
    }

    fn sink_name(&self) -> Option<String> {
        Some(self.sink.name())
    }

    fn may_repeat(&self) -> bool {
        self.sink.may_repeat()
    }

    fn open(&self, task: &str, context: &TaskContext) -> Result<SinkOutput<T>> {
        let restored = self.restored::<T>(task, context)?;
        let sink_context = SinkContext {
            core: context.core,
            cores: context.cores,
            counters: context.counters.clone(),
            clock: context.clock.clone(),
            waker: context.waker.clone(),
            inline: context.inline,
            checkpointing: context.register.is_some(),
            restored,
        };
        let writer = blame(&self.name, Timestamp::NONE, || self.sink.open(&sink_context))
            .map_err(|error| error.context(format!("cannot open the sink `{}`", self.name)))?;
        Ok(SinkOutput {
            name: self.name.clone(),
            sink: self.sink.name(),
            is_transactional: writer.is_transactional(),
            writer,
            before: Vec::new(),
            barrier: None,
            preparing: None,
            prepared: Vec::new(),
            staged: Vec::with_capacity(STAGED_MAX),
            clock: context.clock.clone(),
            latency: LatencyRecorder::new(self.name.clone(), context.core, context.latency.clone()),
            records: context.counters.register(&format!("{}.records_out", self.name)),
            failure: None,
        })
    }
}
