//! Puts records in the order of event time, as soon as the watermark proves that none is missing.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use tailwater_core::{Record, Result, Timestamp};
use tailwater_state::{SnapshotReader, SnapshotWriter};

use crate::blame::blame;
use crate::{Collect, Description, Operator};

/// Holds records until the watermark reaches their time, then emits them by (time, key, arrival).
///
/// A record that comes when the watermark has passed its time (a late firing) is emitted at the
/// next watermark, before all that is newer.
pub struct InOrder<T, K, F> {
    key: F,
    held: BTreeMap<Timestamp, Vec<T>>,
    /// Sorted records of one time that are being emitted, last first.
    leaving: (Timestamp, Vec<T>),
    /// The watermark whose records are being emitted.
    pending: Option<Timestamp>,
    /// Emptied vectors for new times, so that none is allocated in steady state.
    spare: Vec<Vec<T>>,
    types: PhantomData<fn(T) -> K>,
}

/// The most emptied vectors that are kept.
const SPARE_MAX: usize = 64;

impl<T, K, F> InOrder<T, K, F> {
    /// Orders records of equal times by `key`.
    pub fn new(key: F) -> Self {
        Self {
            key,
            held: BTreeMap::new(),
            leaving: (Timestamp::MIN, Vec::new()),
            pending: None,
            spare: Vec::new(),
            types: PhantomData,
        }
    }
}

impl<T, K, F: Clone> Clone for InOrder<T, K, F> {
    fn clone(&self) -> Self {
        Self::new(self.key.clone())
    }
}

impl<T, K, F> Operator for InOrder<T, K, F>
where
    T: Record,
    K: Ord + 'static,
    F: FnMut(&T) -> K + Send + 'static,
{
    type In = T;
    type Out = T;

    #[inline]
    fn on_record(&mut self, at: Timestamp, value: T, _: &mut impl Collect<T>) {
        let spare = &mut self.spare;
        self.held.entry(at).or_insert_with(|| spare.pop().unwrap_or_default()).push(value);
    }

    fn on_watermark(&mut self, watermark: Timestamp, out: &mut impl Collect<T>) {
        self.pending = Some(watermark);
        self.resume(out);
    }

    fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    fn resume(&mut self, out: &mut impl Collect<T>) {
        let Some(watermark) = self.pending else { return };
        loop {
            let (at, records) = &mut self.leaving;
            while let Some(record) = records.pop() {
                out.record(*at, record);
                if !out.has_room() {
                    return;
                }
            }
            let next = self.held.first_entry().filter(|entry| *entry.key() <= watermark);
            let Some((at, mut records)) = next.map(|entry| entry.remove_entry()) else { break };
            // Stable, so that records of equal keys leave in the order they came; reversed, because
            // they are taken from the end.
            blame("in_order", at, || records.sort_by_cached_key(&mut self.key));
            records.reverse();
            let emptied = std::mem::replace(&mut self.leaving, (at, records)).1;
            if self.spare.len() < SPARE_MAX {
                self.spare.push(emptied);
            }
        }
        self.pending = None;
        out.watermark(watermark);
    }

    fn snapshot(&mut self, into: &mut SnapshotWriter) -> Result<()> {
        let held: Vec<(Timestamp, Vec<T>)> =
            self.held.iter().map(|(at, records)| (*at, records.clone())).collect();
        into.operator("in_order", |into| {
            into.value("held", &held)?;
            into.value("pending", &self.pending)?;
            into.value("leaving", &self.leaving)
        })
    }

    fn restore(&mut self, from: &mut SnapshotReader) -> Result<()> {
        from.operator("in_order", |from| {
            let held: Option<Vec<(Timestamp, Vec<T>)>> = from.value("held")?;
            self.held = held.into_iter().flatten().collect();
            self.pending = from.value("pending")?.flatten();
            self.leaving = from.value("leaving")?.unwrap_or_default();
            Ok(())
        })
    }

    fn describe(&self, into: &mut Vec<Description>) {
        into.push(Description::new("in_order", "by event time and key"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Order, check_operator};
    use tailwater_core::{Control, Element, Stamped};

    #[test]
    fn records_leave_by_time_and_key() {
        let record = |at, value| Element::Record(Stamped::new(Timestamp(at), value));
        let watermark = |at| Element::Control(Control::Watermark(at));
        let script = [
            record(5, (2u32, 'a')),
            record(5, (1, 'b')),
            record(3, (9, 'c')),
            record(8, (0, 'd')),
            record(5, (1, 'e')),
            watermark(Timestamp(5)),
            watermark(Timestamp(7)),
            watermark(Timestamp::MAX),
        ];
        let output =
            check_operator(|| InOrder::new(|value: &(u32, char)| value.0), &script, Order::Exact);
        assert_eq!(
            output,
            [
                record(3, (9, 'c')),
                record(5, (1, 'b')),
                record(5, (1, 'e')),
                record(5, (2, 'a')),
                watermark(Timestamp(5)),
                watermark(Timestamp(7)),
                record(8, (0, 'd')),
                watermark(Timestamp::MAX),
            ]
        );
    }
}
