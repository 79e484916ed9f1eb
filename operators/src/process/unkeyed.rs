//! Callbacks that are about no key: what they may do, and the operator that calls a function of the
//! user's with each record.

use std::marker::PhantomData;

use tailwater_core::{Stamped, Timestamp};
use tailwater_state::keyed::Now;

use super::Context;
use crate::blame::blame;
use crate::{Collect, Description, Operator};

/// Output and clocks for a callback without a key, and so without timers.
pub struct UnkeyedContext<Out>(Context<Out>);

impl<Out> Default for UnkeyedContext<Out> {
    fn default() -> Self {
        Self(Context::default())
    }
}

impl<Out> UnkeyedContext<Out> {
    /// The event time of the record; [`Timestamp::NONE`] where there is none.
    #[inline]
    pub fn at(&self) -> Timestamp {
        self.0.at
    }

    /// The watermark; [`Timestamp::MIN`] until one came.
    #[inline]
    pub fn watermark(&self) -> Timestamp {
        self.0.watermark
    }

    /// The wall clock, as of this round of the core.
    #[inline]
    pub fn processing_time(&self) -> Timestamp {
        self.0.now.processing
    }

    /// Emits a record at the time of the callback's record.
    #[inline]
    pub fn emit(&mut self, value: Out) {
        self.0.emit(value);
    }

    /// Emits a record at a time of its own.
    #[inline]
    pub fn emit_at(&mut self, at: Timestamp, value: Out) {
        self.0.emit_at(at, value);
    }

    /// What the clocks show.
    pub(super) fn now(&self) -> Now {
        self.0.now
    }

    /// Ends the job with an error.
    pub fn fail(&mut self, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) {
        self.0.fail(error);
    }

    /// Calls `callback` for a record, under the name of its operator, and hands on what it emits.
    #[inline]
    pub(super) fn call(
        &mut self,
        name: &str,
        (at, watermark, processing): (Timestamp, Timestamp, Timestamp),
        out: &mut impl Collect<Out>,
        callback: impl FnOnce(&mut Self),
    ) {
        let now = Now { processing, event: at.max(watermark) };
        (self.0.at, self.0.watermark, self.0.now) = (at, watermark, now);
        blame(name, at, || callback(self));
        self.0.hand_on(name, out);
    }
}

/// Calls a function with each record, which emits what it likes.
pub struct ProcessEach<T, U, F> {
    name: String,
    function: F,
    watermark: Timestamp,
    clock: Timestamp,
    context: UnkeyedContext<U>,
    types: PhantomData<fn(T)>,
}

impl<T, U, F> ProcessEach<T, U, F> {
    /// The operator with the user's function.
    pub fn new(function: F) -> Self {
        Self::under_name("process".to_owned(), function)
    }

    fn under_name(name: String, function: F) -> Self {
        let context = UnkeyedContext::default();
        let (watermark, clock) = (Timestamp::MIN, Timestamp::MIN);
        Self { name, function, watermark, clock, context, types: PhantomData }
    }

    /// The same under a name of the user's.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }
}

/// A prototype is cloned to each core: its function, not what it has seen.
impl<T, U, F: Clone> Clone for ProcessEach<T, U, F> {
    fn clone(&self) -> Self {
        Self::under_name(self.name.clone(), self.function.clone())
    }
}

impl<T, U, F> Operator for ProcessEach<T, U, F>
where
    T: 'static,
    U: Send + 'static,
    F: FnMut(T, &mut UnkeyedContext<U>) + Send + 'static,
{
    type In = T;
    type Out = U;

    #[inline]
    fn on_record(&mut self, at: Timestamp, value: T, out: &mut impl Collect<U>) {
        let Self { name, function, watermark, clock, context, .. } = self;
        context.call(name, (at, *watermark, *clock), out, |context| function(value, context));
    }

    fn on_batch(&mut self, batch: &mut Vec<Stamped<T>>, out: &mut impl Collect<U>) {
        batch.drain(..).for_each(|Stamped { at, value }| self.on_record(at, value, out));
    }

    fn on_watermark(&mut self, watermark: Timestamp, out: &mut impl Collect<U>) {
        self.watermark = watermark;
        out.watermark(watermark);
    }

    fn wants_clock(&self) -> bool {
        true
    }

    fn on_clock(&mut self, now: Timestamp, _: &mut impl Collect<U>) {
        self.clock = self.clock.max(now);
    }

    fn describe(&self, into: &mut Vec<Description>) {
        into.push(Description::new(&self.name, ""));
    }
}
