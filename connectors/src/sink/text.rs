//! Records as text into an output, in two phases.

use tailwater_core::{Result, Stamped};

use super::encode::Encoder;
use super::output::Output;
use super::two_phase::{Commit, RestoredState, TwoPhase};

/// Text is written in pieces of about this size.
const BUFFER_BYTES: usize = 128 << 10;

/// Formats and writes.
pub(super) struct Text<E> {
    encoder: E,
    output: Output,
    buffer: Vec<u8>,
}

impl<E> Text<E> {
    pub(super) fn new(encoder: E, output: Output) -> Self {
        Self { encoder, output, buffer: Vec::with_capacity(2 * BUFFER_BYTES) }
    }

    fn write_out(&mut self) -> Result<()> {
        self.output.write(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    fn finish_part<T>(&mut self) -> Result<()>
    where
        E: Encoder<T>,
    {
        self.write_out()?;
        self.encoder.begin();
        self.output.finish_part()
    }
}

impl<T: Send + 'static, E: Encoder<T>> TwoPhase<T> for Text<E> {
    fn begin(&mut self) -> Result<()> {
        Ok(())
    }

    fn write(&mut self, batch: &mut Vec<Stamped<T>>) -> Result<()> {
        for record in batch.drain(..) {
            self.encoder.encode(&record.value, &mut self.buffer)?;
            if self.output.is_due(self.buffer.len()) {
                self.finish_part()?;
            } else if self.buffer.len() >= BUFFER_BYTES {
                self.write_out()?;
            }
        }
        if self.output.is_due_by_time() { self.finish_part() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        self.write_out()
    }

    fn pre_commit(&mut self, _: u64) -> Result<Vec<u8>> {
        if self.output.has_parts() {
            self.finish_part()?;
        }
        self.output.pre_commit()
    }

    fn commit(&mut self, checkpoint: u64, transaction: &[u8], _: u32) -> Result<Commit> {
        self.output.commit(checkpoint, transaction)?;
        Ok(Commit::Done)
    }

    fn abort(&mut self, restored: Option<&RestoredState>) -> Result<()> {
        let goes_on = self.output.abort(restored)?;
        if goes_on {
            self.encoder.go_on();
        }
        Ok(())
    }

    fn state(&self) -> Vec<u8> {
        self.output.state()
    }

    /// What was formatted becomes visible, a part in its time whole.
    fn idle(&mut self) -> Result<()> {
        if self.output.is_due_by_time() { self.finish_part() } else { self.write_out() }
    }

    fn close(&mut self) -> Result<()> {
        self.write_out()?;
        self.output.close()
    }
}
