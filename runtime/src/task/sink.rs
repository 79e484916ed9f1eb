//! The output end that leaves the job: hands records to a writer and reads the latency markers.

use std::sync::Arc;

use tailwater_core::{Clock, Control, Counter, Error, Result, Stamped, Timestamp};
use tailwater_operators::blame::blame;
use tailwater_operators::{Collect, Sink, SinkContext, SinkWriter};

use super::{Output, OutputPlan, TaskContext};
use crate::latency::LatencyRecorder;

/// Records at which they are offered to the writer.
const OFFER_AT: usize = 64;
/// Records that the writer has not taken yet, at which the task takes no more input.
const STAGED_MAX: usize = 1024;

/// One writer of a sink, on one core.
pub struct SinkOutput<T> {
    name: Arc<str>,
    writer: Box<dyn SinkWriter<T>>,
    staged: Vec<Stamped<T>>,
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
    fn offer(&mut self) -> Result<()> {
        let before = self.staged.len();
        if before > 0 {
            let Self { name, writer, staged, .. } = self;
            blame(name, Timestamp::NONE, || writer.write(staged))
                .map_err(|error| sink_failed(name, error))?;
            self.records.add((before - self.staged.len()) as u64);
        }
        Ok(())
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
        if self.staged.is_empty() {
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
            if !self.staged.is_empty() {
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
        self.staged.len() < STAGED_MAX && self.failure.is_none()
    }

    #[cold]
    fn fail(&mut self, error: Error) {
        self.failure.get_or_insert(error);
    }
}

impl<T> Output<T> for SinkOutput<T> {
    fn control(&mut self, control: Control) -> Result<()> {
        if let Control::Marker(marker) = control {
            self.offer()?;
            self.latency.record(marker, self.clock.monotonic_ns());
        }
        Ok(())
    }

    #[inline]
    fn flush(&mut self) -> Result<bool> {
        self.offer()?;
        Ok(self.staged.is_empty())
    }

    fn close(&mut self) -> Result<bool> {
        self.offer()?;
        if !self.staged.is_empty() {
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

impl<T: 'static, S: Sink<T>> OutputPlan<T> for SinkPlan<S> {
    type Output = SinkOutput<T>;

    fn edges(&self) -> Vec<usize> {
        Vec::new()
    }

    fn sink_name(&self) -> Option<String> {
        Some(self.sink.name())
    }

    fn open(&self, context: &TaskContext) -> Result<SinkOutput<T>> {
        let sink_context = SinkContext {
            core: context.core,
            cores: context.cores,
            counters: context.counters.clone(),
            clock: context.clock.clone(),
            waker: context.waker.clone(),
            inline: context.inline,
            checkpointing: false,
            restored: None,
        };
        let writer = blame(&self.name, Timestamp::NONE, || self.sink.open(&sink_context))
            .map_err(|error| error.context(format!("cannot open the sink `{}`", self.name)))?;
        Ok(SinkOutput {
            name: self.name.clone(),
            writer,
            staged: Vec::with_capacity(STAGED_MAX),
            clock: context.clock.clone(),
            latency: LatencyRecorder::new(self.name.clone(), context.core, context.latency.clone()),
            records: context.counters.register(&format!("{}.records_out", self.name)),
            failure: None,
        })
    }
}
