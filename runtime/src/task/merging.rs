//! The input end of a deterministic merge: releases records by their origin, and event time with
//! them, so that what a task sees of a key depends on the sources only.
//!
//! ```text
//! ring, ring, ..  ->  held, by origin  ->  watermark p - 1, all records of place p, ..  -> chain
//!                     as far as the merged watermark
//! ```
//!
//! A writer never sends a record whose place it has sent a watermark for. So when the merged
//! watermark has reached a place, all records of that place and of those before it are here, on
//! however many cores they came about; and the chain, which is told the watermark before each
//! place, sees what it would see if event time went on by single nanoseconds.
//!
//! Nothing here goes by the clock: a channel that says it is idle still holds the others back.
//!
//! A barrier is handed on when all that the watermark allows has been released. What is held then
//! goes with the snapshot: by key group, as what is kept of its key, and dealt out anew with it;
//! what is for all cores as the copy of each.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use tailwater_core::{Barrier, Control, Record, Result, Stamped, Timestamp, stable_hash};
use tailwater_network::{Polled, Receiver};
use tailwater_operators::blame::blame;
use tailwater_state::budget::Held as Memory;
use tailwater_state::{
    Drain, Entries, Entry, SnapshotReader, SnapshotWriter, Spread, StateContext, TrackedState,
};

use super::channels::Channels;
use super::lineage::{Lineage, Origin, over_edge, too_deep};
use super::watermark_merge::WatermarkMerge;
use super::{Event, Input, Step};
use crate::checkpoint::config::Guarantee;

/// The name of what is held in snapshots, below that of the task.
const MERGE: &str = "merge";
/// Records that are taken off the rings before the task looks at what else there is to do.
const TAKEN_MAX: usize = 4096;

/// A record on its way between two stages.
#[derive(Debug)]
pub struct Marked<T> {
    /// Where it comes from.
    pub origin: Origin,
    /// The record.
    pub value: T,
}

/// A record that is held, with the hash of its key, or of its origin where it has none.
struct Held<T> {
    origin: Origin,
    record: (u64, Stamped<T>),
}

impl<T: Record> Entry for Held<T> {
    type Key = Origin;
    type Value = (u64, Stamped<T>);

    fn hash(&self) -> u64 {
        self.record.0
    }

    fn key(&self) -> Origin {
        self.origin
    }

    fn with_value<R>(&mut self, use_it: impl FnOnce(&(u64, Stamped<T>)) -> R) -> R {
        use_it(&self.record)
    }

    fn restored(origin: Origin, record: (u64, Stamped<T>)) -> Self {
        Self { origin, record }
    }
}

/// Whom a record is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// The core that owns the key with this hash.
    Key(u64),
    /// Any core: its stage knows no keys.
    Any,
    /// Every core, each of which has its own copy.
    All,
}

/// Reads the rings of a task on one core; `F` says whom a record is for.
pub struct MergingInbox<T, F> {
    channels: Channels<Marked<T>>,
    /// The number of the edge of each channel.
    edges: Vec<u64>,
    several_edges: bool,
    whom: F,
    merge: WatermarkMerge,
    /// Barriers and markers that wait for their turn.
    ready: VecDeque<Control>,
    ended: bool,
    /// The watermark that the chain was told last.
    clock: Timestamp,
    lineage: Lineage,
    held: Entries<Held<T>>,
    /// What is held for all cores.
    for_all: BTreeMap<Origin, Stamped<T>>,
    /// All that is held, with its number in `held`; what is for all has none.
    order: BinaryHeap<Reverse<(Origin, Option<u32>)>>,
    batch: Vec<Stamped<Marked<T>>>,
    /// The memory of the order; `held` counts its own.
    memory: Memory,
}

impl<T, F> MergingInbox<T, F>
where
    T: Record,
    F: FnMut(&T) -> For,
{
    /// Reads these rings, those of each edge together.
    pub fn new(
        edges: Vec<Vec<Receiver<Marked<T>>>>,
        whom: F,
        guarantee: Guarantee,
        lineage: Lineage,
        state: &StateContext,
    ) -> Self {
        let several_edges = edges.len() > 1;
        let of_edge = |(edge, number): (Vec<_>, u64)| {
            edge.into_iter().map(move |receiver| (number, receiver))
        };
        let (edges, receivers): (Vec<_>, Vec<_>) =
            edges.into_iter().zip(0..).flat_map(of_edge).unzip();
        Self {
            merge: WatermarkMerge::new(edges.len()),
            channels: Channels::new(receivers, guarantee),
            edges,
            several_edges,
            whom,
            ready: VecDeque::new(),
            ended: false,
            clock: Timestamp::MIN,
            lineage,
            held: Entries::new(state),
            for_all: BTreeMap::new(),
            order: BinaryHeap::new(),
            batch: Vec::new(),
            memory: Memory::of(&state.budget),
        }
    }

    fn on_control(&mut self, channel: usize, control: Control, now_ns: u64) {
        let aligned = match control {
            Control::Watermark(watermark) => {
                self.merge.on_watermark(channel, watermark);
                None
            }
            Control::Idle | Control::Active => None,
            Control::Barrier(barrier) => self.channels.on_barrier(channel, barrier, now_ns),
            Control::Marker(_) => {
                self.ready.push_back(control);
                None
            }
            Control::End => {
                self.merge.on_watermark(channel, Timestamp::MAX);
                self.channels.on_end(channel, now_ns)
            }
        };
        self.ready.extend(aligned.map(Control::Barrier));
    }

    /// Holds what was taken off a ring of `edge`.
    fn hold(&mut self, edge: u64) -> Result<()> {
        let mut batch = std::mem::take(&mut self.batch);
        for Stamped { at, value: Marked { mut origin, value } } in batch.drain(..) {
            if self.several_edges {
                origin.path = over_edge(edge, origin.path).ok_or_else(too_deep)?;
            }
            let whom = blame("key_by", at, || (self.whom)(&value));
            self.keep(origin, whom, Stamped { at, value });
        }
        self.batch = batch;
        self.count();
        Ok(())
    }

    fn keep(&mut self, origin: Origin, whom: For, record: Stamped<T>) {
        let hash = match whom {
            For::Key(hash) => hash,
            For::Any => stable_hash(&(origin.split, origin.sequence, origin.path)),
            For::All => {
                self.for_all.insert(origin, record);
                return self.order.push(Reverse((origin, None)));
            }
        };
        let number = self.held.insert(Held { origin, record: (hash, record) });
        self.order.push(Reverse((origin, Some(number))));
    }

    /// Counts the memory of the order and of the copies, after some were taken.
    fn count(&mut self) {
        let order = self.order.capacity() * size_of::<Reverse<(Origin, Option<u32>)>>();
        let copies = self.for_all.len() * size_of::<(Origin, Stamped<T>)>();
        self.memory.set(order + copies);
    }

    /// Whether the chain has yet to hear of records or of event time before it takes a barrier.
    fn is_due(&self) -> bool {
        let watermark = self.merge.watermark();
        let record = self.order.peek().is_some_and(|Reverse((first, _))| first.place <= watermark);
        record || self.clock < watermark
    }

    /// The next record whose place the watermark has reached, or the watermark before it.
    fn release(&mut self, batch: &mut Vec<Stamped<T>>) -> Option<Event> {
        let watermark = self.merge.watermark();
        let Some(Reverse((origin, number))) = self.order.peek().copied() else {
            return self.tell(watermark);
        };
        if origin.place > watermark {
            return self.tell(watermark);
        }
        let told = self.tell(Timestamp(origin.place.0.saturating_sub(1)));
        if told.is_some() {
            return told;
        }
        self.order.pop();
        let record = match number {
            Some(number) => Some(self.held.remove(number).record.1),
            None => self.for_all.remove(&origin),
        };
        self.lineage.on_record(origin);
        batch.extend(record);
        Some(Event::Records)
    }

    /// The watermark, if the chain has not heard of it yet.
    fn tell(&mut self, watermark: Timestamp) -> Option<Event> {
        (watermark > self.clock).then(|| {
            self.clock = watermark;
            self.lineage.on_time();
            Event::Control(Control::Watermark(watermark))
        })
    }
}

impl<T, F> Input<T> for MergingInbox<T, F>
where
    T: Record,
    F: FnMut(&T) -> For,
{
    /// At most one record, so that what the chain emits next comes from it.
    fn poll(&mut self, step: &Step, limit: usize, batch: &mut Vec<Stamped<T>>) -> Result<Event> {
        let mut taken = 0;
        loop {
            if let Some(event) = self.release(batch) {
                return Ok(event);
            }
            if let Some(control) = self.ready.pop_front() {
                return Ok(Event::Control(control));
            }
            if self.channels.have_ended() {
                let ended = std::mem::replace(&mut self.ended, true);
                return Ok(if ended { Event::Empty } else { Event::Control(Control::End) });
            }
            let polled = self.channels.poll(limit, &mut self.batch);
            match polled {
                Some((channel, Polled::Control(control))) => {
                    self.on_control(channel, control, step.now_ns);
                }
                Some((channel, _)) => {
                    taken += self.batch.len();
                    self.hold(self.edges[channel])?;
                }
                None => {}
            }
            if polled.is_none() || taken >= TAKEN_MAX {
                return Ok(if taken > 0 { Event::Records } else { Event::Empty });
            }
        }
    }

    fn poll_barrier(&mut self, step: &Step) -> Result<Option<Barrier>> {
        while self.ready.is_empty()
            && !self.is_due()
            && let Some((channel, control)) = self.channels.poll_control()
        {
            self.on_control(channel, control, step.now_ns);
        }
        let Some(Control::Barrier(barrier)) = self.ready.front().copied() else { return Ok(None) };
        if self.is_due() {
            return Ok(None);
        }
        self.ready.pop_front();
        Ok(Some(barrier))
    }

    fn on_blocked(&mut self, _: &Step) {}

    fn snapshot(&mut self, into: &mut SnapshotWriter) -> Result<()> {
        let Self { clock, lineage, held, for_all, .. } = self;
        let copies = for_all.iter().map(|(origin, record)| (*origin, record.clone()));
        let copies: Vec<_> = copies.collect();
        into.operator(MERGE, |into| {
            into.value("clock", clock)?;
            into.value("fired", &lineage.fired())?;
            into.list("held for all", Spread::Broadcast, &copies)?;
            into.tracked("held", held)
        })
    }

    fn drain(&mut self, into: &mut Drain) -> Result<bool> {
        self.held.drain(into)
    }

    fn restore(&mut self, from: &mut SnapshotReader) -> Result<()> {
        let copies: Vec<(Origin, Stamped<T>)> = from.operator(MERGE, |from| {
            // Where every core reads every writer, all had come equally far at the barrier.
            let clocks: Vec<Timestamp> = from.values("clock")?;
            self.clock = clocks.into_iter().min().unwrap_or(Timestamp::MIN);
            let fired: Vec<u64> = from.values("fired")?;
            self.lineage.fired_before(fired.into_iter().max().unwrap_or(0));
            from.tracked("held", &mut self.held)?;
            from.list("held for all")
        })?;
        let held = self.held.iter().map(|(number, held)| (held.origin, Some(number)));
        self.order.extend(held.map(Reverse));
        for (origin, record) in copies {
            self.keep(origin, For::All, record);
        }
        self.count();
        Ok(())
    }

    fn alignment_ns(&self) -> u64 {
        self.channels.alignment_ns()
    }
}

#[cfg(test)]
mod tests {
    use super::super::lineage::ROOT;
    use super::*;
    use proptest::prelude::*;
    use tailwater_core::KeyGroups;
    use tailwater_network::{Sender, channel};
    use tailwater_state::Budget;

    const STEP: Step = Step::FIRST;
    const CHANNELS: usize = 3;

    type TestInbox = MergingInbox<u64, fn(&u64) -> For>;

    fn state() -> StateContext {
        StateContext::new(KeyGroups::default_for(1), Budget::unlimited())
    }

    fn inbox() -> (Vec<Sender<Marked<u64>>>, TestInbox) {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..CHANNELS).map(|_| channel(64)).unzip();
        let whom: fn(&u64) -> For = |value| For::Key(*value);
        let (lineage, guarantee) = (Lineage::new(0), Guarantee::ExactlyOnce);
        (senders, MergingInbox::new(vec![receivers], whom, guarantee, lineage, &state()))
    }

    fn marked(channel: usize, place: i64, value: u64) -> Marked<u64> {
        let (place, split) = (Timestamp(place), channel as u64);
        let origin = Origin { place, source: 0, split, sequence: value, path: ROOT };
        Marked { origin, value }
    }

    /// What comes out: each record with the watermark that was told before it, and the barriers.
    fn drain(inbox: &mut TestInbox, out: &mut Vec<(Timestamp, u64)>) -> Vec<Control> {
        let (mut batch, mut controls) = (Vec::new(), Vec::new());
        loop {
            match inbox.poll(&STEP, 5, &mut batch).unwrap() {
                Event::Empty => return controls,
                Event::Records => out.extend(batch.drain(..).map(|r| (inbox.clock, r.value))),
                Event::Control(Control::Watermark(_)) => {}
                Event::Control(control) => controls.push(control),
                Event::Unsorted | Event::Sorted | Event::LastOfKey => {
                    unreachable!("an inbox knows no keys")
                }
            }
        }
    }

    /// A channel's records, as far ahead of its watermark, and how far that rises behind each.
    fn scripts() -> impl Strategy<Value = Vec<Vec<(i64, i64)>>> {
        let script = prop::collection::vec((0..20_i64, 0..15_i64), 0..20);
        prop::collection::vec(script, CHANNELS)
    }

    proptest! {
        /// By place, channel and number, each behind the watermark just before its place.
        #[test]
        fn the_order_does_not_depend_on_when_records_come(
            scripts in scripts(),
            turns in prop::collection::vec((0..CHANNELS, any::<bool>()), 0..80),
        ) {
            let (mut senders, mut inbox) = inbox();
            let (mut out, mut expected) = (Vec::new(), Vec::new());
            let mut told = [0; CHANNELS];
            let mut scripts: Vec<_> = scripts.into_iter().map(Vec::into_iter).collect();
            let rest = (0..CHANNELS).flat_map(|channel| [(channel, false); 20]);
            for (number, (channel, drains)) in turns.into_iter().chain(rest).enumerate() {
                if let Some((ahead, rise)) = scripts[channel].next() {
                    let (place, value) = (told[channel] + 1 + ahead, number as u64);
                    senders[channel].send(Timestamp(0), marked(channel, place, value));
                    expected.push((place, channel, value));
                    told[channel] += rise;
                    senders[channel].control(Control::Watermark(Timestamp(told[channel])));
                    senders[channel].flush();
                }
                if drains {
                    drain(&mut inbox, &mut out);
                }
            }
            senders.iter_mut().for_each(|sender| sender.control(Control::End));
            prop_assert_eq!(drain(&mut inbox, &mut out), [Control::End]);
            prop_assert_eq!(inbox.clock, Timestamp::MAX);
            expected.sort_unstable();
            let behind = |(place, _, value)| (Timestamp(place - 1), value);
            let expected: Vec<_> = expected.into_iter().map(behind).collect();
            prop_assert_eq!(out, expected);
        }
    }

    #[test]
    fn a_barrier_waits_for_what_the_watermark_allows_and_for_no_more() {
        let (mut senders, mut inbox) = inbox();
        let barrier = Control::Barrier(Barrier { checkpoint: 1 });
        for (channel, sender) in senders.iter_mut().enumerate() {
            sender.send(Timestamp(0), marked(channel, 5 + 10 * channel as i64, channel as u64));
            sender.control(Control::Watermark(Timestamp(9)));
            sender.control(Control::Idle);
            sender.control(barrier);
            sender.flush();
        }
        let mut out = Vec::new();
        assert_eq!(inbox.poll_barrier(&STEP).unwrap(), None, "records are before it");
        let mut batch = Vec::new();
        while batch.is_empty() {
            inbox.poll(&STEP, 5, &mut batch).unwrap();
        }
        assert_eq!(inbox.poll_barrier(&STEP).unwrap(), None, "the watermark is before it");
        assert_eq!(drain(&mut inbox, &mut out), [barrier]);
        assert_eq!((inbox.clock, inbox.order.len(), out.len()), (Timestamp(9), 2, 0));
    }
}
