//! Watermark strategies: how far event time has surely come, judged from the records of one split.

use std::marker::PhantomData;

use tailwater_core::{Result, Span, Stamped, Timestamp};
use tailwater_state::{SnapshotReader, SnapshotWriter};

use crate::blame::blame;
use crate::{Collect, Description, Operator};

/// Judges from the records of one split how far event time has come.
pub trait WatermarkGenerator<T>: Clone + Send + 'static {
    /// A record with its event time, in order of arrival.
    fn on_record(&mut self, record: &T, at: Timestamp);

    /// No later record is expected at or below this instant; [`Timestamp::MIN`] before the first
    /// record. What is not above the last answer is ignored (SEMANTICS 11).
    fn watermark(&self) -> Timestamp;

    /// Goes on after a restore from where [`watermark`](Self::watermark) was. Without it the split
    /// has no watermark again until its next record, and that of the source does not go back.
    fn resume_from(&mut self, watermark: Timestamp) {
        let _ = watermark;
    }
}

/// A strategy: a generator for each split, and after how long a silent split is idle.
#[derive(Clone, Debug)]
pub struct Watermarks<G> {
    /// Cloned for each split.
    pub generator: G,
    /// A split without records for so long does not hold back the others.
    pub idle_after: Option<Span>,
}

/// Records come at most so much later than the newest before them (SEMANTICS 10).
#[derive(Clone, Debug)]
pub struct Bounded {
    newest: Timestamp,
    delay: Span,
}

impl<T> WatermarkGenerator<T> for Bounded {
    #[inline]
    fn on_record(&mut self, _: &T, at: Timestamp) {
        self.newest = self.newest.max(at);
    }

    #[inline]
    fn watermark(&self) -> Timestamp {
        if self.newest == Timestamp::MIN {
            return Timestamp::MIN;
        }
        self.newest - self.delay - Span(1)
    }

    fn resume_from(&mut self, watermark: Timestamp) {
        if watermark != Timestamp::MIN {
            self.newest = watermark + self.delay + Span(1);
        }
    }
}

impl Watermarks<Bounded> {
    /// Records may come up to `delay` out of order: the watermark is the newest timestamp minus
    /// `delay` minus one nanosecond.
    pub fn bounded(delay: Span) -> Self {
        Self { generator: Bounded { newest: Timestamp::MIN, delay }, idle_after: None }
    }

    /// Timestamps never go back within a split.
    pub fn monotonous() -> Self {
        Self::bounded(Span::ZERO)
    }
}

impl<G> Watermarks<G> {
    /// A strategy of the user's.
    pub fn custom(generator: G) -> Self {
        Self { generator, idle_after: None }
    }

    /// A split without records for `span` is idle: it does not hold back the watermark until it
    /// speaks again.
    #[must_use]
    pub fn idle_after(mut self, span: Span) -> Self {
        self.idle_after = Some(span);
        self
    }
}

/// Gives records event times and watermarks in the middle of a stream; those from before are
/// dropped.
pub struct AssignTime<T, F, G> {
    time: F,
    generator: G,
    sent: Timestamp,
    /// `sent` is a snapshot's: whoever comes behind has not heard of it yet.
    is_restored: bool,
    types: PhantomData<fn(T)>,
}

impl<T, F, G> AssignTime<T, F, G> {
    /// Takes each record's event time with `time`; `generator` judges how far it has come.
    pub fn new(time: F, generator: G) -> Self {
        Self { time, generator, sent: Timestamp::MIN, is_restored: false, types: PhantomData }
    }
}

impl<T, F: Clone, G: Clone> Clone for AssignTime<T, F, G> {
    fn clone(&self) -> Self {
        Self::new(self.time.clone(), self.generator.clone())
    }
}

impl<T, F, G> Operator for AssignTime<T, F, G>
where
    T: 'static,
    F: FnMut(&T) -> Timestamp + Send + 'static,
    G: WatermarkGenerator<T>,
{
    type In = T;
    type Out = T;

    #[inline]
    fn on_record(&mut self, at: Timestamp, value: T, out: &mut impl Collect<T>) {
        let at = blame("event_time", at, || (self.time)(&value));
        blame("event_time", at, || self.generator.on_record(&value, at));
        out.record(at, value);
    }

    fn on_batch(&mut self, batch: &mut Vec<Stamped<T>>, out: &mut impl Collect<T>) {
        for Stamped { at, value } in batch.drain(..) {
            self.on_record(at, value, out);
        }
        let watermark = self.generator.watermark();
        if watermark > self.sent || (watermark == self.sent && self.is_restored) {
            (self.sent, self.is_restored) = (watermark, false);
            out.watermark(watermark);
        }
    }

    /// Only the end of the input passes; other watermarks belong to the times from before.
    fn on_watermark(&mut self, watermark: Timestamp, out: &mut impl Collect<T>) {
        if watermark == Timestamp::MAX {
            out.watermark(watermark);
        }
    }

    fn snapshot(&mut self, into: &mut SnapshotWriter) -> Result<()> {
        into.operator("event_time", |into| into.value("watermark", &self.sent))
    }

    /// Goes on from the least watermark of all cores: any of their records may come here now.
    fn restore(&mut self, from: &mut SnapshotReader) -> Result<()> {
        let watermarks: Vec<Timestamp> =
            from.operator("event_time", |from| from.values("watermark"))?;
        if let Some(least) = watermarks.into_iter().min() {
            (self.sent, self.is_restored) = (least, least != Timestamp::MIN);
            self.generator.resume_from(least);
        }
        Ok(())
    }

    fn describe(&self, into: &mut Vec<Description>) {
        into.push(Description::stateful("event_time", ""));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tailwater_core::TimeUnits;

    // SEMANTICS 10
    #[test]
    fn bounded_and_monotonous() {
        let mut bounded = Watermarks::bounded(10.nanos()).generator;
        assert_eq!(WatermarkGenerator::<()>::watermark(&bounded), Timestamp::MIN);
        for at in [100, 90, 105] {
            bounded.on_record(&(), Timestamp(at));
        }
        assert_eq!(WatermarkGenerator::<()>::watermark(&bounded), Timestamp(94));
        let mut restored = Watermarks::bounded(10.nanos()).generator;
        for watermark in [Timestamp::MIN, Timestamp(94)] {
            WatermarkGenerator::<()>::resume_from(&mut restored, watermark);
            assert_eq!(WatermarkGenerator::<()>::watermark(&restored), watermark);
        }
        let mut monotonous = Watermarks::monotonous().generator;
        monotonous.on_record(&(), Timestamp(i64::MIN + 1));
        assert_eq!(WatermarkGenerator::<()>::watermark(&monotonous), Timestamp::MIN);
    }
}
