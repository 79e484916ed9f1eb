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
    /// The group whose slowest split must not be left too far behind.
    pub aligned: Option<Aligned>,
}

/// A group of sources that wait for each other (SEMANTICS 18).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aligned {
    /// The group's name: sources of a job that say the same one form it.
    pub group: String,
    /// How far a split's watermark may be ahead of the least of the group.
    pub max_drift: Span,
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
        Self::custom(Bounded { newest: Timestamp::MIN, delay })
    }

    /// Timestamps never go back within a split.
    pub fn monotonous() -> Self {
        Self::bounded(Span::ZERO)
    }
}

impl<G> Watermarks<G> {
    /// A strategy of the user's.
    pub fn custom(generator: G) -> Self {
        Self { generator, idle_after: None, aligned: None }
    }

    /// A split without records for `span` is idle: it does not hold back the watermark until it
    /// speaks again. Only time in which the split could have been read counts, not that of
    /// back-pressure or alignment (SEMANTICS 17).
    #[must_use]
    pub fn idle_after(mut self, span: Span) -> Self {
        self.idle_after = Some(span);
        self
    }

    /// A split whose watermark is more than `max_drift` ahead of the least of `group` is not read
    /// until that has caught up (SEMANTICS 18). A group spans all sources of the job that name it,
    /// on all cores; splits that are idle or have ended do not hold it back, one that has said
    /// nothing yet does. What a split has read in one batch may carry it further.
    #[must_use]
    pub fn aligned(mut self, group: impl Into<String>, max_drift: Span) -> Self {
        self.aligned = Some(Aligned { group: group.into(), max_drift });
        self
    }
}

/// Says itself which of its records carry a watermark.
#[derive(Clone, Debug)]
pub struct Punctuated<F> {
    mark: F,
    watermark: Timestamp,
}

impl<F> Watermarks<Punctuated<F>> {
    /// The watermark is the highest that `mark` has found in a record so far: for feeds that send
    /// it themselves, as an end-of-second message or a flag. It says that no later record is at or
    /// below it.
    ///
    /// ```
    /// use tailwater_core::Timestamp;
    /// use tailwater_operators::{WatermarkGenerator, Watermarks};
    ///
    /// // A message is a time, and whether the exchange has sent all of that second.
    /// type Message = (Timestamp, bool);
    /// let mark = |(at, is_last): &Message| is_last.then_some(*at);
    /// let mut generator = Watermarks::punctuated(mark).generator;
    /// generator.on_record(&(Timestamp(4), false), Timestamp(4));
    /// generator.on_record(&(Timestamp(5), true), Timestamp(5));
    /// assert_eq!(WatermarkGenerator::<Message>::watermark(&generator), Timestamp(5));
    /// ```
    pub fn punctuated<T>(mark: F) -> Self
    where
        F: FnMut(&T) -> Option<Timestamp>,
    {
        Self::custom(Punctuated { mark, watermark: Timestamp::MIN })
    }
}

impl<T, F> WatermarkGenerator<T> for Punctuated<F>
where
    F: FnMut(&T) -> Option<Timestamp> + Clone + Send + 'static,
{
    #[inline]
    fn on_record(&mut self, record: &T, _: Timestamp) {
        if let Some(mark) = (self.mark)(record) {
            self.watermark = self.watermark.max(mark);
        }
    }

    #[inline]
    fn watermark(&self) -> Timestamp {
        self.watermark
    }

    fn resume_from(&mut self, watermark: Timestamp) {
        self.watermark = watermark;
    }
}

/// Says nothing: what the source itself says counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct BySource;

impl<T> WatermarkGenerator<T> for BySource {
    #[inline]
    fn on_record(&mut self, _: &T, _: Timestamp) {}

    #[inline]
    fn watermark(&self) -> Timestamp {
        Timestamp::MIN
    }
}

impl Watermarks<BySource> {
    /// No watermarks but those that the source's splits say themselves.
    pub fn by_source() -> Self {
        Self::custom(BySource)
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
        out.retimes(self.sent);
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

    // SEMANTICS 9, 11
    #[test]
    fn a_punctuated_watermark_is_the_highest_mark() {
        let mut marks = Watermarks::punctuated(|mark: &Option<i64>| mark.map(Timestamp)).generator;
        let mut seen = Vec::new();
        for mark in [None, Some(7), None, Some(5), Some(9)] {
            marks.on_record(&mark, Timestamp(100));
            seen.push(WatermarkGenerator::<Option<i64>>::watermark(&marks));
        }
        assert_eq!(seen, [i64::MIN, 7, 7, 7, 9].map(Timestamp));
    }
}
