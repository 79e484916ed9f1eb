//! The harness for keyed operators on several cores, which may become more and fewer.

use std::sync::Arc;

use tailwater_core::{Control, Element, Error, Key, Result, Stamped, Timestamp, stable_hash};
use tailwater_state::{MemorySnapshot, SnapshotKind};

use super::{Harness, Room, drain_all};
use crate::{Operator, OperatorContext};

/// Drives the instances of a keyed operator on several cores: each record goes to the core that
/// owns its key, everything else to all.
///
/// ```
/// use tailwater_core::Timestamp;
/// use tailwater_operators::rolling::reduce;
/// use tailwater_operators::testing::KeyedHarness;
///
/// type Trade = (u8, i64);
/// let key = |(symbol, _): &Trade| *symbol;
/// let sum = move || reduce(key, |so_far: &Trade, next: Trade| (next.0, so_far.1 + next.1));
/// let mut harness = KeyedHarness::new(sum, key, 1)?;
/// harness.record(Timestamp(1), (b'a', 10));
/// harness.record(Timestamp(2), (b'b', 20));
/// harness.rescale(3)?;
/// harness.record(Timestamp(3), (b'a', 1));
/// harness.record(Timestamp(4), (b'b', 2));
/// assert_eq!(harness.take_results(), [(b'a', 10), (b'b', 20), (b'a', 11), (b'b', 22)]);
/// # Ok::<(), tailwater_core::Error>(())
/// ```
pub struct KeyedHarness<O: Operator, M, H> {
    make: M,
    hash_of: H,
    pub(super) context: OperatorContext,
    instances: Vec<Harness<O>>,
    /// All snapshots that were taken, chained as checkpoints are.
    chain: MemorySnapshot,
    elements: Vec<Element<O::Out>>,
}

impl<O: Operator, M: Fn() -> O> KeyedHarness<O, M, ()> {
    /// Opens what `make` makes on so many cores; `key` reads the key of a record.
    ///
    /// # Errors
    /// When the operator cannot run as configured, or with no cores.
    pub fn new<K: Key>(
        make: M,
        key: impl Fn(&O::In) -> K,
        cores: u32,
    ) -> Result<KeyedHarness<O, M, impl Fn(&O::In) -> u64>> {
        KeyedHarness::by_hash(make, move |record| stable_hash(&key(record)), cores)
    }
}

impl<O, M, H> KeyedHarness<O, M, H>
where
    O: Operator,
    M: Fn() -> O,
    H: Fn(&O::In) -> u64,
{
    /// The same with a function that gives the stable hash of the key.
    ///
    /// # Errors
    /// As [`new`](KeyedHarness::new).
    pub fn by_hash(make: M, hash_of: H, cores: u32) -> Result<Self> {
        let context = OperatorContext::single_core();
        let mut harness = Self {
            make,
            hash_of,
            context,
            instances: Vec::new(),
            chain: MemorySnapshot::new(1),
            elements: Vec::new(),
        };
        harness.open(cores)?;
        Ok(harness)
    }

    fn open(&mut self, cores: u32) -> Result<()> {
        if cores == 0 || cores > self.context.key_groups.count() {
            return Err(Error::configuration(format!(
                "a keyed operator runs on 1 to {} cores, not on {cores}",
                self.context.key_groups.count()
            )));
        }
        let instance = |core| {
            let context = OperatorContext { core, cores, ..self.context.clone() };
            Harness::on_core((self.make)(), context, Room::Always)
        };
        self.instances = (0..cores).map(instance).collect::<Result<_>>()?;
        Ok(())
    }

    /// Pushes one record to the core that owns its key.
    pub fn record(&mut self, at: Timestamp, value: O::In) {
        let group = self.context.key_groups.of_hash((self.hash_of)(&value));
        let owner = self.context.key_groups.owner(group, self.instances.len() as u32);
        self.instances[owner as usize].record(at, value);
        self.collect();
    }

    /// Pushes one record to this core, as it comes to an operator without a key.
    ///
    /// # Panics
    /// When there is no such core.
    pub fn record_on(&mut self, core: u32, at: Timestamp, value: O::In) {
        let cores = self.cores();
        assert!(core < cores, "there is no core {core} of {cores}");
        self.instances[core as usize].record(at, value);
        self.collect();
    }

    /// Raises the watermark on all cores.
    pub fn watermark(&mut self, watermark: Timestamp) {
        self.element(Element::Control(Control::Watermark(watermark)));
    }

    /// Tells all cores the wall clock's time.
    pub fn clock(&mut self, now: Timestamp) {
        self.instances.iter_mut().for_each(|instance| instance.clock(now));
        self.collect();
    }

    /// Ends the input: the last watermark, then the end.
    pub fn end(&mut self) {
        self.watermark(Timestamp::MAX);
        self.element(Element::Control(Control::End));
    }

    /// Pushes an element of a script.
    pub fn element(&mut self, element: Element<O::In>) {
        match element {
            Element::Record(Stamped { at, value }) => self.record(at, value),
            Element::Control(control) => {
                let instances = self.instances.iter_mut();
                instances.for_each(|instance| instance.element(Element::Control(control)));
                self.collect();
            }
        }
    }

    /// Takes a snapshot of all cores, and goes on from it with `cores` fresh ones.
    ///
    /// # Errors
    /// When the snapshot cannot be taken or restored, or with no cores.
    pub fn rescale(&mut self, cores: u32) -> Result<()> {
        self.chain.begin_on(self.instances.len() as u32);
        for instance in &mut self.instances {
            let parts = instance.cut(SnapshotKind::Incremental)?;
            let chunks = drain_all(&mut instance.operator)?;
            self.chain.add("", instance.context.core, parts, chunks);
        }
        self.collect();
        self.open(cores)?;
        let source = Arc::new(self.chain.clone());
        for instance in &mut self.instances {
            instance.restore((self.make)(), source.clone())?;
        }
        Ok(())
    }

    /// How many cores there are now.
    pub fn cores(&self) -> u32 {
        self.instances.len() as u32
    }

    /// What came out since the last call. What one call brought out of several cores is in the
    /// order of their numbers, and control elements, which all cores hand on, are there once.
    pub fn take_output(&mut self) -> Vec<Element<O::Out>> {
        std::mem::take(&mut self.elements)
    }

    /// The records that came out since the last call, without their times.
    pub fn take_results(&mut self) -> Vec<O::Out> {
        super::results(self.take_output())
    }

    /// The first error that a core ended the job with.
    pub fn error(&self) -> Option<&Error> {
        self.instances.iter().find_map(Harness::error)
    }

    /// The sum of the counts under `name`, over all cores and restores.
    pub fn count(&self, name: &str) -> u64 {
        self.context.counters.get(name)
    }

    /// Takes what came out of all instances in one step: the records of all, and one of the control
    /// elements, which all must have emitted.
    fn collect(&mut self) {
        let mut controls: Option<Vec<Control>> = None;
        let all_went_well = self.error().is_none();
        for instance in &mut self.instances {
            let mut own = Vec::new();
            for element in instance.take_output() {
                match element {
                    Element::Record(_) => self.elements.push(element),
                    Element::Control(control) => own.push(control),
                }
            }
            let first = controls.get_or_insert_with(|| own.clone());
            if all_went_well {
                assert_eq!(*first, own, "cores hand on other control elements");
            }
        }
        self.elements.extend(controls.into_iter().flatten().map(Element::Control));
    }
}
