//! A process without a key beside a stream that every core gets whole.

use tailwater_core::{Either, Result, Stamped, Timestamp};
use tailwater_state::{SnapshotReader, SnapshotWriter};

use super::{SharedState, UnkeyedContext};
use crate::aggregate::short_type_name;
use crate::{Collect, Description, Operator};

/// What happens to records of a stream without a key, and to those that every core gets.
///
/// The rules are those of a [`BroadcastProcess`](super::BroadcastProcess): the broadcast side must
/// act on its records and the shared map alone, the same on every core, and the other side only
/// reads the map (SEMANTICS 64). There is no other state, and there are no timers.
pub trait UnkeyedBroadcastProcess: Clone + Send + 'static {
    /// What comes to one core each.
    type In;
    /// What comes to every core.
    type Broadcast;
    /// What is shared: a [`BroadcastState`](tailwater_state::BroadcastState).
    type Shared: SharedState;
    /// What goes out.
    type Out;

    /// A record of the stream.
    fn on_record(
        &mut self,
        record: Self::In,
        shared: &Self::Shared,
        context: &mut UnkeyedContext<Self::Out>,
    );

    /// A record that every core gets. What is emitted here is emitted by each of them.
    fn on_broadcast(
        &mut self,
        record: Self::Broadcast,
        shared: &mut Self::Shared,
        context: &mut UnkeyedContext<Self::Out>,
    );
}

/// Runs an [`UnkeyedBroadcastProcess`].
pub struct UnkeyedBroadcastOperator<P: UnkeyedBroadcastProcess> {
    name: String,
    process: P,
    shared: P::Shared,
    watermark: Timestamp,
    clock: Timestamp,
    context: UnkeyedContext<P::Out>,
}

impl<P: UnkeyedBroadcastProcess> UnkeyedBroadcastOperator<P> {
    /// Runs `process`. It is named for its type.
    pub fn new(process: P) -> Self {
        Self::under_name(short_type_name::<P>(), process)
    }

    fn under_name(name: String, process: P) -> Self {
        Self {
            name,
            process,
            shared: P::Shared::default(),
            watermark: Timestamp::MIN,
            clock: Timestamp::MIN,
            context: UnkeyedContext::default(),
        }
    }
}

/// A prototype is cloned to each core: its process, not what it has been told.
impl<P: UnkeyedBroadcastProcess> Clone for UnkeyedBroadcastOperator<P> {
    fn clone(&self) -> Self {
        Self::under_name(self.name.clone(), self.process.clone())
    }
}

impl<P> Operator for UnkeyedBroadcastOperator<P>
where
    P: UnkeyedBroadcastProcess<In: 'static, Broadcast: 'static, Out: Send + 'static>,
{
    type In = Either<P::In, P::Broadcast>;
    type Out = P::Out;

    #[inline]
    fn on_record(&mut self, at: Timestamp, value: Self::In, out: &mut impl Collect<P::Out>) {
        let Self { name, process, shared, watermark, clock, context } = self;
        context.call(name, (at, *watermark, *clock), out, |context| match value {
            Either::First(record) => process.on_record(record, shared, context),
            Either::Second(record) => process.on_broadcast(record, shared, context),
        });
    }

    fn on_batch(&mut self, batch: &mut Vec<Stamped<Self::In>>, out: &mut impl Collect<P::Out>) {
        batch.drain(..).for_each(|Stamped { at, value }| self.on_record(at, value, out));
    }

    fn on_watermark(&mut self, watermark: Timestamp, out: &mut impl Collect<P::Out>) {
        self.watermark = watermark;
        out.watermark(watermark);
    }

    fn wants_clock(&self) -> bool {
        true
    }

    fn on_clock(&mut self, now: Timestamp, _: &mut impl Collect<P::Out>) {
        self.clock = self.clock.max(now);
    }

    fn snapshot(&mut self, into: &mut SnapshotWriter) -> Result<()> {
        let Self { name, shared, .. } = self;
        into.operator(name, |into| shared.write(into))
    }

    fn restore(&mut self, from: &mut SnapshotReader) -> Result<()> {
        let Self { name, shared, .. } = self;
        from.operator(name, |from| shared.read(from))
    }

    fn describe(&self, into: &mut Vec<Description>) {
        into.push(Description::stateful(&self.name, "broadcast process"));
    }
}
