//! The output end that writes rings: routes each record to its core and publishes in batches.

use tailwater_core::{
    Control, Error, Key, Random, Result, Stamped, Timestamp, hash_code, stable_hash,
};
use tailwater_network::{Route, Sender, scatter};
use tailwater_operators::{Collect, blame};

use super::Output;
use super::marker::Marker;

/// Records that wait for a full ring, at which the task takes no more input: back-pressure.
const OVERFLOW_MAX: usize = 256;

/// Decides which of an edge's cores a record goes to.
pub trait Router<T>: 'static {
    /// Whether every core gets a copy; `route` is then not asked.
    const TO_ALL: bool = false;

    /// The index of the core among the senders.
    fn route(&mut self, at: Timestamp, value: &T) -> usize;

    /// As `route` for each record of a batch; empties `cores` first.
    #[inline]
    fn route_all(&mut self, batch: &[Stamped<T>], cores: &mut Vec<u32>) {
        cores.clear();
        cores.extend(batch.iter().map(|record| self.route(record.at, &record.value) as u32));
    }

    /// The core that all records go to, where there is only one.
    fn only(&self) -> Option<usize> {
        None
    }
}

/// To the core that owns the record's key.
pub struct ByKey<F> {
    key: F,
    route: Route,
}

impl<F> ByKey<F> {
    /// Routes by the key that `key` takes from a record.
    pub fn new(key: F, route: Route) -> Self {
        Self { key, route }
    }
}

impl<T, K: Key, F: FnMut(&T) -> K + 'static> Router<T> for ByKey<F> {
    #[inline]
    fn route(&mut self, at: Timestamp, value: &T) -> usize {
        let key = blame::blame("key_by", at, || (self.key)(value));
        self.route.core_of_hash(stable_hash(&key))
    }

    #[inline]
    fn route_all(&mut self, batch: &[Stamped<T>], cores: &mut Vec<u32>) {
        cores.clear();
        cores.extend(batch.iter().map(|Stamped { at, value }| {
            let key = blame::blame("key_by", *at, || (self.key)(value));
            hash_code(stable_hash(&key))
        }));
        self.route.cores_of_codes(cores);
    }

    #[inline]
    fn only(&self) -> Option<usize> {
        self.route.is_single().then_some(0)
    }
}

/// To one core always: the own one of a forward edge, or the first of a global one.
pub struct ToOne(pub usize);

impl<T> Router<T> for ToOne {
    #[inline]
    fn route(&mut self, _: Timestamp, _: &T) -> usize {
        self.0
    }

    #[inline]
    fn only(&self) -> Option<usize> {
        Some(self.0)
    }
}

/// To each core in turn.
#[derive(Default)]
pub struct InTurn {
    next: usize,
    cores: usize,
}

impl InTurn {
    /// Over so many cores, starting at `first`.
    pub fn new(first: usize, cores: usize) -> Self {
        Self { next: first, cores }
    }
}

impl<T> Router<T> for InTurn {
    #[inline]
    fn route(&mut self, _: Timestamp, _: &T) -> usize {
        let core = self.next;
        self.next = if core + 1 == self.cores { 0 } else { core + 1 };
        core
    }
}

/// To every core.
pub struct Everywhere;

impl<T> Router<T> for Everywhere {
    const TO_ALL: bool = true;

    fn route(&mut self, _: Timestamp, _: &T) -> usize {
        0
    }
}

/// To a core that is drawn.
pub struct Shuffled {
    random: Random,
    cores: u64,
}

impl Shuffled {
    /// Draws one of so many cores, the same ones from the same seed.
    pub fn new(seed: u64, cores: usize) -> Self {
        Self { random: Random::from_seed(seed), cores: cores as u64 }
    }
}

impl<T> Router<T> for Shuffled {
    #[inline]
    fn route(&mut self, _: Timestamp, _: &T) -> usize {
        self.random.below(self.cores) as usize
    }
}

/// To the core that the user names.
pub struct Chosen<F> {
    choose: F,
    cores: usize,
}

impl<F> Chosen<F> {
    /// Asks `choose` for one of so many cores.
    pub fn new(choose: F, cores: usize) -> Self {
        Self { choose, cores }
    }
}

impl<T, F: FnMut(&T, usize) -> usize + 'static> Router<T> for Chosen<F> {
    #[inline]
    fn route(&mut self, at: Timestamp, value: &T) -> usize {
        let cores = self.cores;
        blame::blame("partition_custom", at, || {
            let core = (self.choose)(value, cores);
            assert!(core < cores, "core {core} was chosen, and there are {cores}, from 0");
            core
        })
    }
}

/// The rings that a task writes on one core.
pub struct Outbox<T, R> {
    /// None in a deterministic merge: what is then done with a record is where a ring that is not
    /// there would be an error, so that a job without one does not ask.
    senders: Vec<Sender<T>>,
    /// The rings of a deterministic merge.
    marker: Option<Marker<T>>,
    router: R,
    /// The cores of the records of a batch, and its records by core; empty between batches.
    cores: Vec<u32>,
    sorted: Vec<Vec<Stamped<T>>>,
    /// Nothing follows an end: it counts as having delivered every later barrier.
    has_ended: bool,
    failure: Option<Error>,
}

impl<T, R> Outbox<T, R> {
    /// Writes these rings.
    pub fn new(senders: Vec<Sender<T>>, router: R) -> Self {
        let sorted = senders.iter().map(|_| Vec::new()).collect();
        let (cores, marker) = (Vec::new(), None);
        Self { senders, marker, router, cores, sorted, has_ended: false, failure: None }
    }

    /// Writes these rings, with where each record comes from.
    pub fn marking(marker: Marker<T>, router: R) -> Self {
        Self { marker: Some(marker), ..Self::new(Vec::new(), router) }
    }
}

impl<T: Clone, R: Router<T>> Outbox<T, R> {
    #[cold]
    #[inline(never)]
    fn mark(&mut self, core: usize, at: Timestamp, value: T) {
        let marker = self.marker.as_mut().expect("a router names a ring that there is");
        let sent = match R::TO_ALL {
            true => marker.send_to_all(at, value),
            false => marker.send(core, at, value),
        };
        sent.unwrap_or_else(|error| self.fail(error));
    }
}

impl<T: Clone, R: Router<T>> Collect<T> for Outbox<T, R> {
    #[inline]
    fn record(&mut self, at: Timestamp, value: T) {
        if R::TO_ALL {
            if let Some((last, others)) = self.senders.split_last_mut() {
                others.iter_mut().for_each(|sender| sender.send(at, value.clone()));
                last.send(at, value);
                return;
            }
            return self.mark(0, at, value);
        }
        let core = self.router.route(at, &value);
        match self.senders.get_mut(core) {
            Some(sender) => sender.send(at, value),
            None => self.mark(core, at, value),
        }
    }

    #[inline]
    fn batch(&mut self, batch: &mut Vec<Stamped<T>>) {
        if R::TO_ALL {
            let records = batch.drain(..);
            return records.for_each(|Stamped { at, value }| self.record(at, value));
        }
        if self.senders.is_empty() {
            return batch.drain(..).for_each(|Stamped { at, value }| self.record(at, value));
        }
        if let Some(core) = self.router.only() {
            return self.senders[core].send_all(batch);
        }
        // Short loops: each keeps more in flight than one long loop does.
        self.router.route_all(batch, &mut self.cores);
        if let Some(&core) = self.cores.first()
            && self.cores.iter().all(|other| *other == core)
        {
            return self.senders[core as usize].send_all(batch);
        }
        scatter(batch, &self.cores, &mut self.sorted);
        for (sender, records) in self.senders.iter_mut().zip(&mut self.sorted) {
            sender.send_all(records);
        }
    }

    fn watermark(&mut self, watermark: Timestamp) {
        for sender in &mut self.senders {
            sender.control(Control::Watermark(watermark));
        }
        if let Some(marker) = &mut self.marker {
            marker.watermark(watermark);
        }
    }

    #[inline]
    fn fires<K: Key>(&mut self, at: Timestamp, key: &K) {
        if let Some(marker) = &self.marker {
            marker.lineage().on_firing(at, stable_hash(key));
        }
    }

    #[inline]
    fn retimes(&mut self, passed: Timestamp) {
        if let Some(marker) = &self.marker {
            marker.lineage().on_other_times(passed);
        }
    }

    #[inline]
    fn has_room(&self) -> bool {
        match &*self.senders {
            [] => self.marker.as_ref().is_none_or(|marker| marker.has_room(OVERFLOW_MAX)),
            senders => senders.iter().all(|sender| sender.has_room(OVERFLOW_MAX)),
        }
    }

    #[cold]
    fn fail(&mut self, error: Error) {
        self.failure.get_or_insert(error);
    }
}

impl<T: Clone, R: Router<T>> Output<T> for Outbox<T, R> {
    fn control(&mut self, control: Control) -> Result<()> {
        if self.has_ended {
            return Ok(());
        }
        self.has_ended = control == Control::End;
        for sender in &mut self.senders {
            sender.control(control);
        }
        if let Some(marker) = &mut self.marker {
            marker.control(control);
        }
        Ok(())
    }

    #[inline]
    fn flush(&mut self) -> Result<bool> {
        let mut all = true;
        for sender in &mut self.senders {
            all &= sender.flush();
        }
        if let Some(marker) = &mut self.marker {
            all &= marker.flush();
        }
        Ok(all)
    }

    fn take_failure(&mut self) -> Option<Error> {
        self.failure.take()
    }
}
