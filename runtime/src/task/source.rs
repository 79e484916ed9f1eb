//! The input end that reads a source: splits in turn, event time and watermarks per split, pace,
//! markers.

mod marks;
mod plan;
mod split;
mod split_state;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use tailwater_core::{Barrier, Control, Marker, Result, Stamped, Timestamp};
use tailwater_operators::blame::blame;
use tailwater_operators::{Polled, WatermarkGenerator};
use tailwater_state::SnapshotWriter;
use tailwater_state::snapshot::Spread;

use self::marks::Marks;
use self::plan::Origin;
use self::split::Split;
use self::split_state::SPLITS;
use super::drift::DriftMember;
use super::inbox::queue;
use super::watermark_merge::WatermarkMerge;
use super::{Event, Input, Step};
use crate::config::Pace;
use crate::control::Mode;
use crate::splits::{Activity, SourceGauges};

pub use self::plan::SourcePlan;

/// The most markers that are sent for times that passed while the source could not run. Those
/// beyond it would only repeat the same delay.
const MARKERS_BEHIND_MAX: u64 = 8;

/// Reads the splits of a source that belong to one core.
struct SourceInput<T, F, G> {
    name: Arc<str>,
    splits: Vec<Split<T, G>>,
    time: F,
    idle_after_ns: Option<u64>,
    merge: WatermarkMerge,
    /// There where splits wait for those of other sources or cores.
    drift: Option<DriftMember>,
    /// The way down was full when the input was last looked at.
    is_blocked: bool,
    ready: VecDeque<Control>,
    values: Vec<T>,
    /// Stamped records of a split that was idle, which wait until its change of status has gone.
    held: Vec<Stamped<T>>,
    held_index: usize,
    /// There in a deterministic merge. Nothing is idle then: that goes by the clock.
    marks: Option<Marks<T>>,
    /// The watermark of the split that was read last, before it was.
    read_behind: Timestamp,
    next: usize,
    pace: Pace,
    splits_total: u64,
    origin: Arc<Origin>,
    marker: Marker,
    marker_interval_ns: u64,
    barrier: u64,
    /// All splits ended, or were told to, also in the run that this one goes on from.
    is_drained: bool,
    /// Barriers that are asked for without a pause must not keep the splits from being read.
    read_since_barrier: bool,
    ended: bool,
    gauges: SourceGauges,
}

impl<T, F, G> SourceInput<T, F, G>
where
    F: FnMut(&T) -> Timestamp,
    G: WatermarkGenerator<T>,
{
    /// Reads up to `limit` records of one split into `self.values`.
    fn read(&mut self, index: usize, step: &Step, limit: usize) -> Result<()> {
        let split = &mut self.splits[index];
        let limit = match self.pace {
            Pace::PerSecond(rate) => {
                let started = *self.origin.started_ns.get_or_init(|| step.now_ns);
                let elapsed = step.now_ns.saturating_sub(started) as f64 / 1e9;
                let due = (elapsed * rate / self.splits_total as f64) as u64 + 1;
                limit.min(due.saturating_sub(split.emitted - split.emitted_before) as usize)
            }
            Pace::Max | Pace::EventTime(_) => limit,
        };
        if let Pace::EventTime(speed) = self.pace {
            return self.read_by_event_time(index, step, limit, speed);
        }
        if limit > 0 && !split.ended {
            split.ended = split.poll(&self.name, limit, &mut self.values)? == Polled::Finished;
        }
        split.finished = split.ended;
        Ok(())
    }

    /// Releases the records whose event time has come, by the pace's clock.
    fn read_by_event_time(
        &mut self,
        index: usize,
        step: &Step,
        limit: usize,
        speed: f64,
    ) -> Result<()> {
        let split = &mut self.splits[index];
        if split.ahead.is_empty() && !split.ended {
            split.before_ahead = split.reader.position();
            split.ended = split.poll(&self.name, limit, &mut self.values)? == Polled::Finished;
            split.ahead.extend(self.values.drain(..));
        }
        let started = *self.origin.started_ns.get_or_init(|| step.now_ns);
        let elapsed = step.now_ns.saturating_sub(started) as f64 * speed;
        while let Some(value) = split.ahead.front()
            && self.values.len() < limit
        {
            let at = blame(&self.name, Timestamp::NONE, || (self.time)(value));
            let origin = *self.origin.event_time.get_or_init(|| at);
            if (at - origin).0 as f64 > elapsed {
                break;
            }
            self.values.extend(split.ahead.pop_front());
        }
        split.finished = split.ended && split.ahead.is_empty();
        Ok(())
    }

    /// Stamps what was read, and queues what the split's watermark and idleness let through.
    fn stamp(&mut self, index: usize, step: &Step, batch: &mut Vec<Stamped<T>>) {
        let split = &mut self.splits[index];
        if self.values.is_empty() {
            if self.marks.is_some() {
                return;
            }
            if split.is_silent(self.idle_after_ns, step.now_ns) {
                queue(&mut self.ready, self.merge.on_idle(index));
            } else if split.wakes_up(step.now_ns) {
                queue(&mut self.ready, self.merge.on_active(index));
            }
            return;
        }
        if split.has_spoken(step.now_ns) {
            queue(&mut self.ready, self.merge.on_active(index));
        }
        self.gauges.records.add(self.values.len() as u64);
        // The gauge is for people: the last record of a batch stands for all of it.
        let newest = if let Some(marks) = &mut self.marks {
            let from = (&*self.name, self.read_behind);
            marks.stamp(from, split, &mut self.time, &mut self.values)
        } else {
            split.stamp(&self.name, &mut self.time, &mut self.values, batch);
            batch.last().map_or(Timestamp::MIN, |record| record.at)
        };
        if newest.0 > self.gauges.newest.get() {
            self.gauges.newest.set(newest.0);
        }
        split.gauges.show_records(split.emitted, newest, step.now_ns);
    }

    fn advance_watermark(&mut self, index: usize, now_ns: u64) {
        let split = &self.splits[index];
        let watermark = split.watermark();
        let merged = self.merge.on_watermark(index, watermark);
        // The end of all splits is told apart from the watermark before it by `end`.
        if merged.watermark != Some(Timestamp::MAX) {
            queue(&mut self.ready, merged);
        }
        self.gauges.watermark.set(self.merge.watermark().0);
        split.gauges.show_watermark(watermark, now_ns);
        if split.finished {
            split.show_activity(now_ns);
        }
        if let Some(drift) = &mut self.drift {
            drift.publish(least_watermark(&self.splits));
        }
    }

    fn end(&mut self, now_ns: u64) -> Control {
        self.ended = true;
        self.splits.iter().for_each(|split| split.gauges.set_activity(Activity::Ended, now_ns));
        self.ready.push_back(Control::End);
        if let Some(drift) = &mut self.drift {
            drift.publish(Timestamp::MAX);
        }
        self.gauges.watermark.set(Timestamp::MAX.0);
        Control::Watermark(Timestamp::MAX)
    }

    /// The barrier that is due. Every source sends every barrier: where one skipped what another
    /// sent, tasks that align channels of both would wait for each other.
    fn due_barrier(&mut self, step: &Step) -> Option<Barrier> {
        if step.barrier <= self.barrier {
            return None;
        }
        self.barrier += 1;
        self.read_since_barrier = false;
        Some(Barrier { checkpoint: self.barrier })
    }

    /// The marker that is due: stamped with the moment at which it should have left.
    fn due_marker(&mut self, step: &Step) -> Option<Marker> {
        if self.marker_interval_ns == 0 || step.now_ns < self.marker.sent_ns {
            return None;
        }
        if self.marker.sent_ns == 0 {
            self.marker.sent_ns = step.now_ns;
        }
        let behind_max = MARKERS_BEHIND_MAX * self.marker_interval_ns;
        let due = self.marker.sent_ns.max(step.now_ns.saturating_sub(behind_max));
        self.marker.sent_ns = due + self.marker_interval_ns;
        Some(Marker { sent_ns: due, ..self.marker })
    }
}

impl<T, F, G> Input<T> for SourceInput<T, F, G>
where
    F: FnMut(&T) -> Timestamp,
    G: WatermarkGenerator<T>,
{
    fn poll(&mut self, step: &Step, limit: usize, batch: &mut Vec<Stamped<T>>) -> Result<Event> {
        if std::mem::take(&mut self.is_blocked) {
            self.gauges.blocked_since_ns.set(0);
        }
        if self.marks.as_mut().is_some_and(|marks| marks.pop(batch)) {
            return Ok(Event::Records);
        }
        if let Some(control) = self.ready.pop_front() {
            return Ok(Event::Control(control));
        }
        if !self.held.is_empty() {
            batch.append(&mut self.held);
            self.advance_watermark(self.held_index, step.now_ns);
            return Ok(Event::Records);
        }
        if self.ended {
            return Ok(Event::Empty);
        }
        if self.read_since_barrier
            && let Some(barrier) = self.due_barrier(step)
        {
            return Ok(Event::Control(Control::Barrier(barrier)));
        }
        if step.mode == Mode::Draining || self.is_drained {
            self.is_drained = true;
            return Ok(Event::Control(self.end(step.now_ns)));
        }
        if self.splits.iter().all(|split| split.finished) {
            return Ok(Event::Control(self.end(step.now_ns)));
        }
        if let Some(marker) = self.due_marker(step) {
            return Ok(Event::Control(Control::Marker(marker)));
        }
        self.read_since_barrier = true;
        let drift_limit =
            self.drift.as_mut().map_or(Timestamp::MAX, |drift| drift.limit(step.now_ns));
        for _ in 0..self.splits.len() {
            let index = self.next;
            self.next = if index + 1 == self.splits.len() { 0 } else { index + 1 };
            let split = &mut self.splits[index];
            if split.finished || split.must_wait(drift_limit, step.now_ns) {
                continue;
            }
            self.read_behind = split.watermark();
            self.read(index, step, limit)?;
            self.stamp(index, step, batch);
            if !self.ready.is_empty() && !batch.is_empty() {
                // The split was idle: its change of status goes before its records (SEMANTICS 15).
                std::mem::swap(&mut self.held, batch);
                self.held_index = index;
                break;
            }
            self.advance_watermark(index, step.now_ns);
            if self.marks.as_mut().is_some_and(|marks| marks.pop(batch)) || !batch.is_empty() {
                return Ok(Event::Records);
            }
            if !self.ready.is_empty() {
                break;
            }
        }
        Ok(self.ready.pop_front().map_or(Event::Empty, Event::Control))
    }

    fn poll_control(&mut self, step: &Step) -> Result<Option<Control>> {
        if let Some(control) = self.ready.pop_front() {
            return Ok(Some(control));
        }
        let stands_first = self.held.is_empty() && !self.ended;
        let barrier = if stands_first { self.due_barrier(step) } else { None };
        Ok(barrier.map(Control::Barrier))
    }

    fn on_blocked(&mut self, step: &Step) {
        if !std::mem::replace(&mut self.is_blocked, true) {
            self.gauges.blocked_since_ns.set(step.now_ns as i64);
        }
        for split in &mut self.splits {
            split.asked_ns = step.now_ns;
        }
    }

    fn snapshot(&mut self, into: &mut SnapshotWriter) -> Result<()> {
        let states = self.splits.iter().map(|split| split.state(self.is_drained));
        let states: Vec<_> = states.collect();
        into.operator(&self.name, |into| into.list(SPLITS, Spread::Union, &states))
    }
}

/// The least watermark of the splits that hold their group back: those that are idle or have ended
/// do not.
fn least_watermark<T, G: WatermarkGenerator<T>>(splits: &[Split<T, G>]) -> Timestamp {
    let holding = splits.iter().filter(|split| !split.idle && !split.finished);
    holding.map(Split::watermark).min().unwrap_or(Timestamp::MAX)
}
