//! A keyed process beside a stream that every core gets whole: rules, limits, reference data.
//!
//! ```text
//! records   by key ----> on_record     reads the shared map, has the state of the key and timers
//! control   to all ----> on_broadcast  changes the shared map, which becomes the same everywhere
//! ```

use std::ops::{Deref, DerefMut};

use tailwater_core::{Either, Record, Result, Stamped, Timestamp};
use tailwater_state::keyed::KeyedState;
use tailwater_state::{BroadcastState, Drain, SnapshotReader, SnapshotWriter};

use super::operator::KeyOf;
use super::{Context, Process, ProcessOperator, UnkeyedContext};
use crate::aggregate::short_type_name;
use crate::{Collect, Description, Operator, OperatorContext};

/// The name of the shared map in checkpoints.
const SHARED: &str = "broadcast";

/// What happens to the records of a key, and to those that every core gets.
///
/// The broadcast side must act on its records and the shared map alone, the same on every core:
/// nothing is sent between cores, and records of several writers may come in another order on
/// another core (SEMANTICS 64). The keyed side reads the map only.
pub trait BroadcastProcess: Clone + Send + 'static {
    /// What comes by key.
    type In;
    /// What comes to every core.
    type Broadcast;
    /// What is shared: a [`BroadcastState`].
    type Shared: SharedState;
    /// What is remembered of each key.
    type State: KeyedState;
    /// What goes out.
    type Out;

    /// Called once before the first record.
    fn open(&mut self, state: &mut Self::State) {
        let _ = state;
    }

    /// A record of the current key.
    fn on_record(
        &mut self,
        record: Self::In,
        shared: &Self::Shared,
        state: &mut Self::State,
        context: &mut Context<Self::Out>,
    );

    /// A record that every core gets. What is emitted here is emitted by each of them.
    fn on_broadcast(
        &mut self,
        record: Self::Broadcast,
        shared: &mut Self::Shared,
        context: &mut BroadcastContext<'_, Self::State, Self::Out>,
    );

    /// A timer of the current key is due; it was set for `at`.
    fn on_timer(
        &mut self,
        at: Timestamp,
        shared: &Self::Shared,
        state: &mut Self::State,
        context: &mut Context<Self::Out>,
    ) {
        let _ = (at, shared, state, context);
    }
}

/// What [`on_broadcast`](BroadcastProcess::on_broadcast) may do: all that an [`UnkeyedContext`]
/// lets it, and look at the state of all keys.
pub struct BroadcastContext<'a, S, Out> {
    context: &'a mut UnkeyedContext<Out>,
    state: &'a mut S,
}

impl<S: KeyedState, Out> BroadcastContext<'_, S, Out> {
    /// Calls `apply` with the state of each key of this core that something is remembered of, in
    /// an order that hangs on the keys alone; all cores together come by every key. It may read
    /// and change the state, and emit.
    ///
    /// It takes as long as there are keys, and no barrier or record comes between two of them. In
    /// batch mode there is no key yet when a broadcast record comes (SEMANTICS 90).
    pub fn apply_to_all_keys(&mut self, mut apply: impl FnMut(&mut S, &mut UnkeyedContext<Out>)) {
        let now = self.context.now();
        for (hash, key) in self.state.keys() {
            self.state.enter(hash, &key, now);
            apply(self.state, self.context);
        }
    }
}

impl<S, Out> Deref for BroadcastContext<'_, S, Out> {
    type Target = UnkeyedContext<Out>;

    fn deref(&self) -> &UnkeyedContext<Out> {
        self.context
    }
}

impl<S, Out> DerefMut for BroadcastContext<'_, S, Out> {
    fn deref_mut(&mut self) -> &mut UnkeyedContext<Out> {
        self.context
    }
}

/// What the cores share by each having the same.
pub trait SharedState: Default + Send + 'static {
    /// Writes this core's copy.
    ///
    /// # Errors
    /// When it cannot be archived.
    fn write(&self, into: &mut SnapshotWriter) -> Result<()>;

    /// Reads the copy that this core goes on with (SEMANTICS 63).
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    fn read(&mut self, from: &mut SnapshotReader) -> Result<()>;
}

impl<K, V> SharedState for BroadcastState<K, V>
where
    K: Record + Ord,
    V: Record,
{
    fn write(&self, into: &mut SnapshotWriter) -> Result<()> {
        self.snapshot(SHARED, into)
    }

    fn read(&mut self, from: &mut SnapshotReader) -> Result<()> {
        self.restore(SHARED, from)
    }
}

/// The keyed side as a process that reads what it shares.
pub struct KeyedSide<P: BroadcastProcess> {
    process: P,
    shared: P::Shared,
}

/// A prototype is cloned to each core: its process, not what it has been told.
impl<P: BroadcastProcess> Clone for KeyedSide<P> {
    fn clone(&self) -> Self {
        Self { process: self.process.clone(), shared: P::Shared::default() }
    }
}

impl<P: BroadcastProcess> Process for KeyedSide<P> {
    type In = P::In;
    type State = P::State;
    type Out = P::Out;

    fn open(&mut self, state: &mut P::State) {
        self.process.open(state);
    }

    #[inline]
    fn on_record(&mut self, record: P::In, state: &mut P::State, context: &mut Context<P::Out>) {
        self.process.on_record(record, &self.shared, state, context);
    }

    fn on_timer(&mut self, at: Timestamp, state: &mut P::State, context: &mut Context<P::Out>) {
        self.process.on_timer(at, &self.shared, state, context);
    }
}

/// Runs a [`BroadcastProcess`]; `F` reads the key of a record of the keyed side.
pub struct BroadcastOperator<P: BroadcastProcess, F> {
    keyed: ProcessOperator<KeyedSide<P>, F>,
    context: UnkeyedContext<P::Out>,
    /// Records of the keyed side between two of the other; empty between calls.
    run: Vec<Stamped<P::In>>,
}

impl<P: BroadcastProcess, F> BroadcastOperator<P, F> {
    /// Runs `process` with the key that `key_of` gives. It is named for the type of the process.
    pub fn new(key_of: F, process: P) -> Self {
        let side = KeyedSide { process, shared: P::Shared::default() };
        let name = short_type_name::<P>();
        Self::of(ProcessOperator::of_kind("broadcast process", name, key_of, side))
    }

    fn of(keyed: ProcessOperator<KeyedSide<P>, F>) -> Self {
        Self { keyed, context: UnkeyedContext::default(), run: Vec::new() }
    }

    /// The same under a name of the user's.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self::of(self.keyed.named(name))
    }

    fn on_broadcast(&mut self, at: Timestamp, value: P::Broadcast, out: &mut impl Collect<P::Out>) {
        let ProcessOperator { name, process, opened, watermark, clock, .. } = &mut self.keyed;
        let KeyedSide { process, shared } = process;
        let state = &mut opened.as_mut().expect("an operator is opened first").state;
        self.context.call(name, (at, *watermark, *clock), out, |context| {
            process.on_broadcast(value, shared, &mut BroadcastContext { context, state });
        });
    }
}

impl<P: BroadcastProcess, F: Clone> Clone for BroadcastOperator<P, F> {
    fn clone(&self) -> Self {
        Self::of(self.keyed.clone())
    }
}

impl<P, F> Operator for BroadcastOperator<P, F>
where
    P: BroadcastProcess<In: Send + 'static, Broadcast: 'static, Out: Send + 'static>,
    F: FnMut(&P::In) -> KeyOf<KeyedSide<P>> + Send + 'static,
{
    type In = Either<P::In, P::Broadcast>;
    type Out = P::Out;

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.keyed.open(context)
    }

    #[inline]
    fn on_record(&mut self, at: Timestamp, value: Self::In, out: &mut impl Collect<P::Out>) {
        match value {
            Either::First(record) => self.keyed.on_record(at, record, out),
            Either::Second(record) => self.on_broadcast(at, record, out),
        }
    }

    fn on_batch(&mut self, batch: &mut Vec<Stamped<Self::In>>, out: &mut impl Collect<P::Out>) {
        for Stamped { at, value } in batch.drain(..) {
            match value {
                Either::First(value) => self.run.push(Stamped { at, value }),
                Either::Second(value) => {
                    self.keyed.on_batch(&mut self.run, out);
                    self.on_broadcast(at, value, out);
                }
            }
        }
        self.keyed.on_batch(&mut self.run, out);
    }

    fn on_watermark(&mut self, watermark: Timestamp, out: &mut impl Collect<P::Out>) {
        self.keyed.on_watermark(watermark, out);
    }

    fn is_pending(&self) -> bool {
        self.keyed.is_pending()
    }

    fn must_finish(&self) -> bool {
        self.keyed.must_finish()
    }

    fn resume(&mut self, out: &mut impl Collect<P::Out>) {
        self.keyed.resume(out);
    }

    fn on_key_end(&mut self, out: &mut impl Collect<P::Out>) {
        self.keyed.on_key_end(out);
    }

    fn wants_clock(&self) -> bool {
        true
    }

    fn on_clock(&mut self, now: Timestamp, out: &mut impl Collect<P::Out>) {
        self.keyed.on_clock(now, out);
    }

    fn on_end(&mut self, out: &mut impl Collect<P::Out>) {
        self.keyed.on_end(out);
    }

    fn snapshot(&mut self, into: &mut SnapshotWriter) -> Result<()> {
        self.keyed.snapshot(into)?;
        let ProcessOperator { name, process, .. } = &self.keyed;
        into.operator(name, |into| process.shared.write(into))
    }

    fn drain(&mut self, into: &mut Drain) -> Result<bool> {
        self.keyed.drain(into)
    }

    fn restore(&mut self, from: &mut SnapshotReader) -> Result<()> {
        self.keyed.restore(from)?;
        let ProcessOperator { name, process, .. } = &mut self.keyed;
        from.operator(name, |from| process.shared.read(from))
    }

    fn describe(&self, into: &mut Vec<Description>) {
        self.keyed.describe(into);
    }
}
