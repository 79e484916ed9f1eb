//! Chains: one operator after another, fused by the compiler as iterator adapters are.

use std::marker::PhantomData;

use tailwater_core::{Error, Key, Result, Stamped, Timestamp};
use tailwater_state::{Drain, SnapshotReader, SnapshotWriter};

use crate::{Backlog, Collect, Description, Operator, OperatorContext};

/// The empty chain: what comes in goes out.
pub struct Identity<T>(PhantomData<fn(T) -> T>);

impl<T> Default for Identity<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T> Clone for Identity<T> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<T: 'static> Operator for Identity<T> {
    type In = T;
    type Out = T;

    const QUIET: bool = true;

    #[inline(always)]
    fn on_record(&mut self, at: Timestamp, value: T, out: &mut impl Collect<T>) {
        out.record(at, value);
    }

    #[inline(always)]
    fn on_batch(&mut self, batch: &mut Vec<Stamped<T>>, out: &mut impl Collect<T>) {
        out.batch(batch);
    }

    #[inline]
    fn on_unsorted(&mut self, batch: &mut Vec<Stamped<T>>, out: &mut impl Collect<T>) {
        out.unsorted(batch);
    }

    #[inline]
    fn on_sorted(&mut self, batch: &mut Vec<Stamped<T>>, out: &mut impl Collect<T>) {
        out.sorted(batch);
    }

    fn describe(&self, _: &mut Vec<Description>) {}
}

/// `A`, then `B`.
#[derive(Clone)]
pub struct Then<A, B> {
    first: A,
    second: B,
    /// The second is to be told that the key has ended, when the first is done with that.
    key_ends: bool,
}

impl<A, B> Then<A, B> {
    /// `first`, then `second`.
    pub fn new(first: A, second: B) -> Self {
        Self { first, second, key_ends: false }
    }
}

/// The output of a chain's first operator: calls the second.
struct Link<'a, B, C> {
    next: &'a mut B,
    out: &'a mut C,
}

impl<B: Operator, C: Collect<B::Out>> Collect<B::In> for Link<'_, B, C> {
    #[inline(always)]
    fn record(&mut self, at: Timestamp, value: B::In) {
        self.next.on_record(at, value, self.out);
    }

    #[inline]
    fn batch(&mut self, batch: &mut Vec<Stamped<B::In>>) {
        self.next.on_batch(batch, self.out);
    }

    #[inline]
    fn unsorted(&mut self, batch: &mut Vec<Stamped<B::In>>) {
        self.next.on_unsorted(batch, self.out);
    }

    #[inline]
    fn sorted(&mut self, batch: &mut Vec<Stamped<B::In>>) {
        self.next.on_sorted(batch, self.out);
    }

    #[inline]
    fn watermark(&mut self, watermark: Timestamp) {
        self.next.on_watermark(watermark, self.out);
    }

    #[inline(always)]
    fn fires<K: Key>(&mut self, at: Timestamp, key: &K) {
        self.out.fires(at, key);
    }

    #[inline(always)]
    fn retimes(&mut self, passed: Timestamp) {
        self.out.retimes(passed);
    }

    #[inline]
    fn has_room(&self) -> bool {
        let takes_more = !self.next.is_pending() && self.next.backlog() < Backlog::Full;
        self.out.has_room() && takes_more
    }

    fn fail(&mut self, error: Error) {
        self.out.fail(error);
    }
}

impl<A, B> Operator for Then<A, B>
where
    A: Operator,
    B: Operator<In = A::Out>,
{
    type In = A::In;
    type Out = B::Out;

    const QUIET: bool = A::QUIET && B::QUIET;

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.first.open(context)?;
        self.second.open(context)
    }

    #[inline(always)]
    fn on_record(&mut self, at: Timestamp, value: A::In, out: &mut impl Collect<B::Out>) {
        self.first.on_record(at, value, &mut Link { next: &mut self.second, out });
    }

    #[inline]
    fn on_batch(&mut self, batch: &mut Vec<Stamped<A::In>>, out: &mut impl Collect<B::Out>) {
        self.first.on_batch(batch, &mut Link { next: &mut self.second, out });
    }

    #[inline]
    fn on_unsorted(&mut self, batch: &mut Vec<Stamped<A::In>>, out: &mut impl Collect<B::Out>) {
        self.first.on_unsorted(batch, &mut Link { next: &mut self.second, out });
    }

    #[inline]
    fn on_sorted(&mut self, batch: &mut Vec<Stamped<A::In>>, out: &mut impl Collect<B::Out>) {
        self.first.on_sorted(batch, &mut Link { next: &mut self.second, out });
    }

    #[inline]
    fn on_watermark(&mut self, watermark: Timestamp, out: &mut impl Collect<B::Out>) {
        self.first.on_watermark(watermark, &mut Link { next: &mut self.second, out });
    }

    #[inline]
    fn is_pending(&self) -> bool {
        self.first.is_pending() || self.second.is_pending()
    }

    /// What the first emits must not come to the second in the middle of its work.
    #[inline]
    fn must_finish(&self) -> bool {
        self.first.must_finish()
            || (self.second.is_pending() && (!A::QUIET || self.second.must_finish()))
    }

    fn resume(&mut self, out: &mut impl Collect<B::Out>) {
        // What is further down came first.
        if self.second.is_pending() {
            self.second.resume(out);
        }
        if self.first.is_pending() && !self.second.is_pending() {
            self.first.resume(&mut Link { next: &mut self.second, out });
        }
        if self.key_ends && !self.first.is_pending() {
            self.key_ends = false;
            self.second.on_key_end(out);
        }
    }

    /// The second is told when the first has nothing left to emit.
    fn on_key_end(&mut self, out: &mut impl Collect<B::Out>) {
        self.first.on_key_end(&mut Link { next: &mut self.second, out });
        if self.first.is_pending() {
            self.key_ends = true;
        } else {
            self.second.on_key_end(out);
        }
    }

    fn on_end(&mut self, out: &mut impl Collect<B::Out>) {
        self.first.on_end(&mut Link { next: &mut self.second, out });
        self.second.on_end(out);
    }

    fn on_clock(&mut self, now: Timestamp, out: &mut impl Collect<B::Out>) {
        self.first.on_clock(now, &mut Link { next: &mut self.second, out });
        self.second.on_clock(now, out);
    }

    fn wants_clock(&self) -> bool {
        self.first.wants_clock() || self.second.wants_clock()
    }

    #[inline(always)]
    fn backlog(&self) -> Backlog {
        self.first.backlog().max(self.second.backlog())
    }

    /// What the first emits must not come to the second in the middle of its work.
    fn go_on(&mut self, now: Timestamp, out: &mut impl Collect<B::Out>) -> bool {
        let mut worked = self.second.backlog() > Backlog::Empty && self.second.go_on(now, out);
        if self.first.backlog() > Backlog::Empty && !self.second.is_pending() {
            worked |= self.first.go_on(now, &mut Link { next: &mut self.second, out });
        }
        worked
    }

    /// The second is asked when the first, and what it emitted, is done.
    fn before_barrier(&mut self, out: &mut impl Collect<B::Out>) {
        self.first.before_barrier(&mut Link { next: &mut self.second, out });
        if !self.must_finish() {
            self.second.before_barrier(out);
        }
    }

    fn snapshot(&mut self, into: &mut SnapshotWriter) -> Result<()> {
        self.first.snapshot(into)?;
        self.second.snapshot(into)
    }

    fn drain(&mut self, into: &mut Drain) -> Result<bool> {
        Ok(self.first.drain(into)? && self.second.drain(into)?)
    }

    fn restore(&mut self, from: &mut SnapshotReader) -> Result<()> {
        self.first.restore(from)?;
        self.second.restore(from)
    }

    fn describe(&self, into: &mut Vec<Description>) {
        self.first.describe(into);
        self.second.describe(into);
    }
}
