//! One open split of a source: its reader, its watermark, and whether it is idle, paused or ended.

use std::collections::VecDeque;

use tailwater_core::{Result, Stamped, Timestamp};
use tailwater_operators::blame::blame;
use tailwater_operators::{Polled, SplitPosition, SplitReader, WatermarkGenerator};

use super::split_state::SplitState;
use crate::splits::{Activity, SplitGauges};

/// Batches of records from before the restored position that are read in one step.
const SKIPPED_BATCHES_A_STEP: usize = 16;

/// One open split.
pub(super) struct Split<T, G> {
    pub(super) name: String,
    /// Its number among the splits of the source in the order of their names.
    pub(super) rank: u64,
    pub(super) reader: Box<dyn SplitReader<T>>,
    /// There, but while a batch is stamped.
    pub(super) generator: Option<G>,
    /// Records read ahead of their time, where the pace follows event time.
    pub(super) ahead: VecDeque<T>,
    /// Where the reader stood when nothing was read ahead.
    pub(super) before_ahead: SplitPosition,
    /// Records that are to be read again and dropped: those between the place where the split was
    /// opened and the barrier that it goes on from.
    pub(super) skip: u64,
    /// Records emitted, from the start of the split.
    pub(super) emitted: u64,
    /// Of these, the ones before this attempt.
    pub(super) emitted_before: u64,
    /// For how long the split has been silent while it was asked.
    pub(super) silent_ns: u64,
    pub(super) asked_ns: u64,
    pub(super) idle: bool,
    /// It is idle because its reader says so.
    pub(super) said_idle: bool,
    /// Too far ahead of its group to be read.
    pub(super) paused: bool,
    pub(super) ended: bool,
    pub(super) finished: bool,
    pub(super) gauges: SplitGauges,
}

impl<T, G> Split<T, G> {
    /// Polls the reader, and names source and split where it fails.
    #[inline]
    pub(super) fn poll(
        &mut self,
        source: &str,
        limit: usize,
        values: &mut Vec<T>,
    ) -> Result<Polled> {
        if self.skip > 0 {
            return self.poll_behind(source, limit, values);
        }
        let polled = blame(source, Timestamp::NONE, || self.reader.poll(limit, values));
        polled.map_err(|error| {
            error.context(format!("cannot read `{}` of source `{source}`", self.name))
        })
    }

    /// Reads records that were emitted before, and drops them: some batches of them in one step.
    #[cold]
    fn poll_behind(&mut self, source: &str, limit: usize, values: &mut Vec<T>) -> Result<Polled> {
        for _ in 0..SKIPPED_BATCHES_A_STEP {
            let behind = std::mem::take(&mut self.skip);
            let polled = self.poll(source, limit, values);
            let dropped = behind.min(values.len() as u64);
            values.drain(..dropped as usize);
            self.skip = behind - dropped;
            if self.skip == 0 || !matches!(polled, Ok(Polled::Ready)) {
                return polled;
            }
        }
        Ok(Polled::Ready)
    }

    /// Where the split can be opened again, at or before the last record that was emitted.
    fn position(&self) -> SplitPosition {
        if self.ahead.is_empty() { self.reader.position() } else { self.before_ahead }
    }
}

impl<T, G: WatermarkGenerator<T>> Split<T, G> {
    /// How far event time has come here.
    #[inline]
    pub(super) fn watermark(&self) -> Timestamp {
        let of_records = self.generator.as_ref().map_or(Timestamp::MIN, G::watermark);
        if self.finished { Timestamp::MAX } else { of_records.max(self.reader.watermark()) }
    }

    /// Whether the split must wait for its group, which lets watermarks up to `limit` go on. Time
    /// that it waits is not its silence (SEMANTICS 17).
    pub(super) fn must_wait(&mut self, limit: Timestamp, now_ns: u64) -> bool {
        let ahead = self.watermark() > limit;
        if ahead {
            self.asked_ns = now_ns;
        }
        if ahead != self.paused {
            self.paused = ahead;
            self.show_activity(now_ns);
        }
        ahead
    }

    /// Takes note of how long the split has been silent; `true` when that is too long from now on,
    /// or when its reader says that it will be.
    pub(super) fn is_silent(&mut self, idle_after_ns: Option<u64>, now_ns: u64) -> bool {
        self.silent_ns += now_ns.saturating_sub(self.asked_ns);
        self.asked_ns = now_ns;
        let too_long = idle_after_ns.is_some_and(|after| self.silent_ns >= after);
        let says_idle = self.reader.is_idle();
        let falls_idle = (too_long || says_idle) && !self.idle && !self.finished;
        if falls_idle {
            (self.idle, self.said_idle) = (true, says_idle);
            self.show_activity(now_ns);
        }
        falls_idle
    }

    /// Whether the reader of a split without records takes back that it is idle.
    pub(super) fn wakes_up(&mut self, now_ns: u64) -> bool {
        self.idle && self.said_idle && !self.reader.is_idle() && self.has_spoken(now_ns)
    }

    /// Records have come; `true` when the split was idle until now.
    pub(super) fn has_spoken(&mut self, now_ns: u64) -> bool {
        (self.silent_ns, self.asked_ns, self.said_idle) = (0, now_ns, false);
        let was_idle = std::mem::take(&mut self.idle);
        if was_idle {
            self.show_activity(now_ns);
        }
        was_idle
    }

    /// Stamps `values` with their event times, in order.
    #[inline]
    pub(super) fn stamp(
        &mut self,
        source: &str,
        time: &mut impl FnMut(&T) -> Timestamp,
        values: &mut Vec<T>,
        batch: &mut Vec<Stamped<T>>,
    ) {
        self.emitted += values.len() as u64;
        // In a local for the length of the batch, so that its state stays in registers.
        let Some(mut generator) = self.generator.take() else { return };
        batch.extend(values.drain(..).map(|value| {
            let at = blame(source, Timestamp::NONE, || time(&value));
            blame(source, at, || generator.on_record(&value, at));
            Stamped { at, value }
        }));
        self.generator = Some(generator);
    }

    pub(super) fn show_activity(&self, now_ns: u64) {
        self.gauges.set_activity(
            match self {
                Self { finished: true, .. } => Activity::Ended,
                Self { paused: true, .. } => Activity::Paused,
                Self { idle: true, .. } => Activity::Idle,
                _ => Activity::Reading,
            },
            now_ns,
        );
    }

    /// What is remembered of the split at a barrier.
    pub(super) fn state(&self, is_drained: bool) -> SplitState {
        let start = self.position();
        SplitState {
            name: self.name.clone(),
            emitted: self.emitted,
            start_records: start.records,
            start_offset: start.offset,
            watermark: self.generator.as_ref().map_or(Timestamp::MIN, G::watermark),
            is_idle: self.idle,
            is_finished: self.finished,
            is_drained,
        }
    }
}
