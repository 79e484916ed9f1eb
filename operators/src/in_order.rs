//! Puts records in the order of event time, as soon as the watermark proves that none is missing.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::marker::PhantomData;

use tailwater_core::{Record, Result, Timestamp, stable_hash};
use tailwater_state::{Drain, Entries, Entry, SnapshotReader, SnapshotWriter, TrackedState};

use crate::blame::blame;
use crate::{Collect, Description, Operator, OperatorContext};

/// Holds records until the watermark reaches their time, then emits them by (time, key, arrival).
///
/// A record that comes when the watermark has passed its time (a late firing) is emitted at the
/// next watermark, before all that is newer. It runs on one core, which restores what is held.
pub struct InOrder<T, K, F> {
    key: F,
    records: Entries<Held<T>>,
    /// The numbers of the records in `records`, in order of arrival.
    held: BTreeMap<Timestamp, Vec<u32>>,
    arrivals: u64,
    /// Sorted records of one time that are being emitted, last first.
    leaving: (Timestamp, Vec<T>),
    /// The watermark whose records are being emitted.
    pending: Option<Timestamp>,
    /// Emptied vectors for new times, so that none is allocated in steady state.
    spare: Vec<Vec<u32>>,
    types: PhantomData<fn(T) -> K>,
}

/// A record that is held.
struct Held<T> {
    at: Timestamp,
    arrival: u64,
    record: T,
}

impl<T: Record> Entry for Held<T> {
    type Key = (Timestamp, u64);
    type Value = T;

    fn hash(&self) -> u64 {
        stable_hash(&self.key())
    }

    fn key(&self) -> (Timestamp, u64) {
        (self.at, self.arrival)
    }

    fn with_value<R>(&mut self, use_it: impl FnOnce(&T) -> R) -> R {
        use_it(&self.record)
    }

    fn restored((at, arrival): (Timestamp, u64), record: T) -> Self {
        Self { at, arrival, record }
    }
}

/// The most emptied vectors that are kept.
const SPARE_MAX: usize = 64;

impl<T, K, F> InOrder<T, K, F> {
    /// Orders records of equal times by `key`.
    pub fn new(key: F) -> Self {
        Self {
            key,
            records: Entries::default(),
            held: BTreeMap::new(),
            arrivals: 0,
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

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.records = Entries::new(&context.state);
        Ok(())
    }

    #[inline]
    fn on_record(&mut self, at: Timestamp, record: T, _: &mut impl Collect<T>) {
        let number = self.records.insert(Held { at, arrival: self.arrivals, record });
        self.arrivals += 1;
        let spare = &mut self.spare;
        self.held.entry(at).or_insert_with(|| spare.pop().unwrap_or_default()).push(number);
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
            let (leaving, records) = &mut self.leaving;
            while let Some(record) = records.pop() {
                out.fires(*leaving, &());
                out.record(*leaving, record);
                if !out.has_room() {
                    return;
                }
            }
            let next = self.held.first_entry().filter(|entry| *entry.key() <= watermark);
            let Some((at, mut numbers)) = next.map(|entry| entry.remove_entry()) else { break };
            *leaving = at;
            // From the end, as they are taken from the end; the sort is stable, so that those of
            // equal keys leave in the order they came.
            let taken = numbers.drain(..).rev().map(|number| self.records.remove(number).record);
            records.extend(taken);
            let key = &mut self.key;
            blame("in_order", at, || records.sort_by_cached_key(|record| Reverse(key(record))));
            if self.spare.len() < SPARE_MAX {
                self.spare.push(numbers);
            }
        }
        self.pending = None;
        out.watermark(watermark);
    }

    fn snapshot(&mut self, into: &mut SnapshotWriter) -> Result<()> {
        assert!(self.pending.is_none(), "a barrier comes behind what was leaving");
        into.operator("in_order", |into| into.tracked("held", &mut self.records))
    }

    fn drain(&mut self, into: &mut Drain) -> Result<bool> {
        self.records.drain(into)
    }

    fn restore(&mut self, from: &mut SnapshotReader) -> Result<()> {
        from.operator("in_order", |from| from.tracked("held", &mut self.records))?;
        let mut order: Vec<_> =
            self.records.iter().map(|(number, held)| (held.arrival, held.at, number)).collect();
        order.sort_unstable();
        self.arrivals = order.last().map_or(0, |(arrival, ..)| arrival + 1);
        for (_, at, number) in order {
            self.held.entry(at).or_default().push(number);
        }
        Ok(())
    }

    fn describe(&self, into: &mut Vec<Description>) {
        into.push(Description::stateful("in_order", "by event time and key"));
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
