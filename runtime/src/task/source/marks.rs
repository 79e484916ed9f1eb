//! A source's part of a deterministic merge: gives each record its place and its number, and hands
//! records on one by one.

use std::collections::VecDeque;

use tailwater_core::{Stamped, Timestamp};
use tailwater_operators::WatermarkGenerator;
use tailwater_operators::blame::blame;

use super::split::Split;
use crate::task::lineage::{Lineage, Origin, ROOT, next};

/// Records of one split that were read and not handed on.
pub(super) struct Marks<T> {
    lineage: Lineage,
    /// The number of the source among those of the job.
    source: u32,
    queue: VecDeque<(Origin, Stamped<T>)>,
}

impl<T> Marks<T> {
    /// Of the source with this number.
    pub(super) fn new(lineage: Lineage, source: u16) -> Self {
        Self { lineage, source: source.into(), queue: VecDeque::new() }
    }

    /// Hands the next record on; `false` where there is none. Barriers, watermarks and the end wait
    /// until then: the split has counted all of them.
    pub(super) fn pop(&mut self, batch: &mut Vec<Stamped<T>>) -> bool {
        let Some((origin, record)) = self.queue.pop_front() else { return false };
        self.lineage.on_record(origin);
        batch.push(record);
        true
    }

    /// Stamps `values`, which were read from `split` when it had come to `watermark`. A record that
    /// is late there has its place right behind the watermark of the records before it, whenever
    /// that is sent.
    pub(super) fn stamp<G: WatermarkGenerator<T>>(
        &mut self,
        (name, watermark): (&str, Timestamp),
        split: &mut Split<T, G>,
        time: &mut impl FnMut(&T) -> Timestamp,
        values: &mut Vec<T>,
    ) -> Timestamp {
        let mut newest = Timestamp::MIN;
        let Some(mut generator) = split.generator.take() else { return newest };
        for value in values.drain(..) {
            let at = blame(name, Timestamp::NONE, || time(&value));
            let passed = watermark.max(generator.watermark());
            blame(name, at, || generator.on_record(&value, at));
            let origin = Origin {
                place: at.max(next(passed)),
                source: self.source,
                split: split.rank,
                sequence: split.emitted,
                path: ROOT,
            };
            split.emitted += 1;
            newest = at;
            self.queue.push_back((origin, Stamped { at, value }));
        }
        split.generator = Some(generator);
        newest
    }
}
