//! A process without a key: what comes to a core, with what the operator remembers there.

use tailwater_core::{Error, Result, Stamped, Timestamp};
use tailwater_state::budget::Held;
use tailwater_state::{OperatorState, SnapshotReader, SnapshotWriter};

use super::UnkeyedContext;
use crate::aggregate::short_type_name;
use crate::blame::blame;
use crate::{Collect, Description, Operator, OperatorContext};

/// What happens to the records that come to a core, whatever their keys. Each core has a clone of
/// its own, with state of its own: what is to survive a failure belongs into the state, not into
/// fields.
pub trait UnkeyedProcess: Clone + Send + 'static {
    /// What comes in.
    type In;
    /// What is remembered on each core; `#[operator_state]` makes it, `()` is none.
    type State: OperatorState;
    /// What goes out.
    type Out;

    /// Called after a restore, before the first record, on core `core` of `cores`: the place to
    /// pick from a union list what is this core's (SEMANTICS 63).
    fn on_restore(&mut self, state: &mut Self::State, core: u32, cores: u32) {
        let _ = (state, core, cores);
    }

    /// A record. Late ones come like any other (SEMANTICS 21).
    fn on_record(
        &mut self,
        record: Self::In,
        state: &mut Self::State,
        context: &mut UnkeyedContext<Self::Out>,
    );

    /// The input of this core has ended: the place to emit what is left, before the last watermark
    /// goes on. What is emitted has the end of time, if it is given no other. The state is in the
    /// checkpoints that follow as it is left here.
    ///
    /// Not called again after a restore, unless records have come, or the number of cores has
    /// changed when it had been called on some of them only.
    fn on_end(&mut self, state: &mut Self::State, context: &mut UnkeyedContext<Self::Out>) {
        let _ = (state, context);
    }
}

/// Runs an [`UnkeyedProcess`].
pub struct UnkeyedProcessOperator<P: UnkeyedProcess> {
    name: String,
    process: P,
    state: P::State,
    /// The memory of the state.
    held: Held,
    /// The process has been told of the end of the input, and nothing came since.
    has_ended: bool,
    /// Which core this is, of how many.
    place: (u32, u32),
    watermark: Timestamp,
    clock: Timestamp,
    context: UnkeyedContext<P::Out>,
}

impl<P: UnkeyedProcess> UnkeyedProcessOperator<P> {
    /// Runs `process`. It is named for its type.
    pub fn new(process: P) -> Self {
        Self::under_name(short_type_name::<P>(), process)
    }

    fn under_name(name: String, process: P) -> Self {
        Self {
            name,
            process,
            state: P::State::default(),
            held: Held::default(),
            has_ended: false,
            place: (0, 1),
            watermark: Timestamp::MIN,
            clock: Timestamp::MIN,
            context: UnkeyedContext::default(),
        }
    }

    /// The same under a name of the user's.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// One record.
    #[inline]
    fn process(&mut self, Stamped { at, value }: Stamped<P::In>, out: &mut impl Collect<P::Out>) {
        let Self { name, process, state, watermark, clock, context, .. } = self;
        context.call(name, (at, *watermark, *clock), out, |context| {
            process.on_record(value, state, context);
        });
    }

    /// Tells the process of the end, once.
    fn end(&mut self, out: &mut impl Collect<P::Out>) {
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        let at = Timestamp::MAX;
        out.fires(at, &());
        let Self { name, process, state, held, clock, context, .. } = self;
        context.call(name, (at, at, *clock), out, |context| process.on_end(state, context));
        held.set(state.bytes());
    }
}

/// A prototype is cloned to each core: its process, not what it has seen.
impl<P: UnkeyedProcess> Clone for UnkeyedProcessOperator<P> {
    fn clone(&self) -> Self {
        Self::under_name(self.name.clone(), self.process.clone())
    }
}

impl<P> Operator for UnkeyedProcessOperator<P>
where
    P: UnkeyedProcess<In: 'static, Out: Send + 'static>,
{
    type In = P::In;
    type Out = P::Out;

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        let OperatorContext { core, cores, deterministic, .. } = *context;
        if deterministic && cores > 1 {
            return Err(Error::configuration(format!(
                "`{}` goes by what comes to its core, which hangs on the number of cores, and the \
                 merge is to be deterministic: bring the stream to one core with `gather()` before \
                 it, or partition it by a key",
                self.name
            )));
        }
        self.place = (core, cores);
        self.held = Held::of(&context.state.budget);
        Ok(())
    }

    #[inline]
    fn on_record(&mut self, at: Timestamp, value: P::In, out: &mut impl Collect<P::Out>) {
        self.has_ended = false;
        self.process(Stamped { at, value }, out);
        self.held.set(self.state.bytes());
    }

    fn on_batch(&mut self, batch: &mut Vec<Stamped<P::In>>, out: &mut impl Collect<P::Out>) {
        self.has_ended &= batch.is_empty();
        batch.drain(..).for_each(|record| self.process(record, out));
        self.held.set(self.state.bytes());
    }

    /// The last watermark comes before the end, and what is emitted at the end before it.
    fn on_watermark(&mut self, watermark: Timestamp, out: &mut impl Collect<P::Out>) {
        self.watermark = watermark;
        if watermark == Timestamp::MAX {
            self.end(out);
        }
        out.watermark(watermark);
    }

    fn on_end(&mut self, out: &mut impl Collect<P::Out>) {
        self.end(out);
    }

    fn wants_clock(&self) -> bool {
        true
    }

    fn on_clock(&mut self, now: Timestamp, _: &mut impl Collect<P::Out>) {
        self.clock = self.clock.max(now);
    }

    fn snapshot(&mut self, into: &mut SnapshotWriter) -> Result<()> {
        let Self { name, state, has_ended, .. } = self;
        into.operator(name, |into| {
            into.value("ended", has_ended)?;
            state.snapshot(into)
        })
    }

    fn restore(&mut self, from: &mut SnapshotReader) -> Result<()> {
        let Self { name, process, state, held, has_ended, place: (core, cores), .. } = self;
        from.operator(name, |from| {
            let ended: Vec<bool> = from.values("ended")?;
            // On another number of cores each goes on with a part of what all of them had.
            *has_ended = match ended.len() == *cores as usize {
                true => ended[*core as usize],
                false => !ended.is_empty() && ended.iter().all(|ended| *ended),
            };
            state.restore(from)
        })?;
        blame(name, Timestamp::NONE, || process.on_restore(state, *core, *cores));
        held.set(state.bytes());
        Ok(())
    }

    fn describe(&self, into: &mut Vec<Description>) {
        into.push(Description::stateful(&self.name, "unkeyed process"));
    }
}
