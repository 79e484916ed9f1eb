//! Timers of keys: a set that checkpoints hold, and a queue in the order of time derived from it
//! (SEMANTICS 45-50).

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use rkyv::{Archive, Deserialize, Serialize};
use tailwater_core::{Describe, Fault, Key, Result, Timestamp, fault, stable_hash};

use crate::budget::Held;
use crate::{
    Changes, Declaration, Drain, Frame, SnapshotKind, StateContext, StateTable, TrackedState,
};

/// What a timer goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Archive, Serialize, Deserialize, Describe)]
pub enum Domain {
    /// The watermark.
    Event,
    /// The wall clock.
    Processing,
}

/// A timer. Two with equal fields are one (SEMANTICS 45).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Archive, Serialize, Deserialize, Describe)]
pub struct Timer<K> {
    /// Whose it is.
    pub key: K,
    /// A window or another part of the key's state that it is about; 0 where there is none.
    pub namespace: i64,
    /// When it is due.
    pub time: Timestamp,
    /// By which clock.
    pub domain: Domain,
}

/// Places in a queue that are left over from deleted timers, beyond those that are taken, before
/// it is made again.
const STALE_MAX: usize = 64;

/// All timers of an operator on one core.
pub struct Timers<K> {
    set: StateTable<Timer<K>, ()>,
    /// Derived from the set. May hold places of timers that were deleted.
    event: BinaryHeap<Reverse<Place<K>>>,
    processing: BinaryHeap<Reverse<Place<K>>>,
    /// The memory of the queues.
    held: Held,
}

/// A place in a queue: by time, then by the key's hash, so that the order hangs neither on when
/// timers were set nor on a restore.
#[derive(Debug)]
struct Place<K> {
    time: Timestamp,
    hash: u64,
    namespace: i64,
    key: K,
}

impl<K> Place<K> {
    fn rank(&self) -> (Timestamp, u64, i64) {
        (self.time, self.hash, self.namespace)
    }
}

impl<K> PartialEq for Place<K> {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl<K> Eq for Place<K> {}

impl<K> PartialOrd for Place<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> Ord for Place<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl<K: Key> Timers<K> {
    /// No timers.
    pub fn new(context: &StateContext) -> Self {
        Self {
            set: StateTable::new(context).grouped_by(|timer: &Timer<K>| stable_hash(&timer.key)),
            event: BinaryHeap::new(),
            processing: BinaryHeap::new(),
            held: Held::of(&context.budget),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.set.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    /// Sets a timer; one that is set already stays (SEMANTICS 45).
    pub fn register(&mut self, timer: Timer<K>) {
        let len = self.set.len();
        let place = timer.clone();
        self.set.get_or_insert_with(stable_hash(&timer), timer, || ());
        if self.set.len() > len {
            self.enqueue(place);
        }
    }

    /// Takes a timer back; that there is none is no error (SEMANTICS 45).
    pub fn delete(&mut self, timer: &Timer<K>) {
        if self.set.remove(stable_hash(timer), timer).is_some()
            && self.event.len() + self.processing.len() > 2 * self.set.len() + STALE_MAX
        {
            self.rebuild();
        }
    }

    /// Takes the first timer out that is due at `now` (SEMANTICS 46).
    pub fn pop_due(&mut self, domain: Domain, now: Timestamp) -> Option<Timer<K>> {
        let Self { set, event, processing, .. } = self;
        let queue = match domain {
            Domain::Event => event,
            Domain::Processing => processing,
        };
        loop {
            queue.peek().filter(|place| place.0.time <= now)?;
            let Place { time, namespace, key, .. } = queue.pop()?.0;
            let timer = Timer { key, namespace, time, domain };
            if set.remove(stable_hash(&timer), &timer).is_some() {
                return Some(timer);
            }
        }
    }

    /// Drops all timers that go by the wall clock (SEMANTICS 49).
    pub fn drop_processing(&mut self) {
        for Reverse(Place { time, namespace, key, .. }) in self.processing.drain() {
            let timer = Timer { key, namespace, time, domain: Domain::Processing };
            self.set.remove(stable_hash(&timer), &timer);
        }
    }

    #[cfg(test)]
    pub(super) fn queue_len(&self) -> usize {
        self.event.len() + self.processing.len()
    }

    fn enqueue(&mut self, timer: Timer<K>) {
        let Timer { key, namespace, time, domain } = timer;
        let place = Reverse(Place { time, hash: stable_hash(&key), namespace, key });
        match domain {
            Domain::Event => self.event.push(place),
            Domain::Processing => self.processing.push(place),
        }
        self.count();
    }

    /// Counts the memory of the queues, after one may have grown.
    #[inline]
    fn count(&mut self) {
        let places = self.event.capacity() + self.processing.capacity();
        self.held.set(places * size_of::<Place<K>>());
    }

    fn rebuild(&mut self) {
        let (mut event, mut processing) = (Vec::new(), Vec::new());
        for (_, Timer { key, namespace, time, domain }, ()) in self.set.iter() {
            let hash = stable_hash(key);
            let place =
                Reverse(Place { time: *time, hash, namespace: *namespace, key: key.clone() });
            match domain {
                Domain::Event => event.push(place),
                Domain::Processing => processing.push(place),
            }
        }
        if fault(Fault::ForgetTimer) {
            event.pop();
        }
        (self.event, self.processing) = (event.into(), processing.into());
        self.count();
    }
}

impl<K: Key> TrackedState for Timers<K> {
    fn declaration(&self) -> Declaration {
        self.set.declaration()
    }

    fn changes(&self) -> Changes {
        self.set.changes()
    }

    fn begin(&mut self, state: u16, kind: SnapshotKind) {
        self.set.begin(state, kind);
    }

    fn drain(&mut self, into: &mut Drain) -> Result<bool> {
        self.set.drain(into)
    }

    fn load(&mut self, frames: &[Frame<'_>]) -> Result<()> {
        self.set.load(frames)
    }

    fn loaded(&mut self) -> Result<()> {
        self.set.loaded()?;
        self.rebuild();
        Ok(())
    }
}
