//! Output ends that lead to several streams: one of two, both, or none; one of many is a fork whose
//! second way is a fork.

use std::convert::Infallible;

use tailwater_core::{Control, Either, Error, Key, Result, Timestamp};
use tailwater_operators::{Collect, Fired};
use tailwater_state::SnapshotWriter;

use super::{Output, OutputPlan, TaskContext};

/// What can be told apart into two streams.
pub trait TwoWays {
    /// What goes to the first stream.
    type First;
    /// What goes to the second stream.
    type Second;
    /// To which one this goes.
    fn way(self) -> Either<Self::First, Self::Second>;
}

impl<A, B> TwoWays for Either<A, B> {
    type First = A;
    type Second = B;
    #[inline]
    fn way(self) -> Either<A, B> {
        self
    }
}

impl<R, T> TwoWays for Fired<R, T> {
    type First = R;
    type Second = T;
    #[inline]
    fn way(self) -> Either<R, T> {
        match self {
            Fired::Result(result) => Either::First(result),
            Fired::Late(record) => Either::Second(record),
        }
    }
}

/// Sends each value to one of two outputs, control elements to both.
pub struct Fork<A, B> {
    first: A,
    second: B,
}

/// How a [`Fork`] is made.
pub struct ForkPlan<A, B> {
    /// Where the first stream goes.
    pub first: A,
    /// Where the second stream goes.
    pub second: B,
}

impl<T: TwoWays, A: Collect<T::First>, B: Collect<T::Second>> Collect<T> for Fork<A, B> {
    #[inline]
    fn record(&mut self, at: Timestamp, value: T) {
        match value.way() {
            Either::First(value) => self.first.record(at, value),
            Either::Second(value) => self.second.record(at, value),
        }
    }

    fn watermark(&mut self, watermark: Timestamp) {
        self.first.watermark(watermark);
        self.second.watermark(watermark);
    }

    #[inline]
    fn fires<K: Key>(&mut self, at: Timestamp, key: &K) {
        self.first.fires(at, key);
        self.second.fires(at, key);
    }

    #[inline]
    fn retimes(&mut self, passed: Timestamp) {
        self.first.retimes(passed);
        self.second.retimes(passed);
    }

    #[inline]
    fn has_room(&self) -> bool {
        self.first.has_room() && self.second.has_room()
    }

    fn fail(&mut self, error: Error) {
        self.first.fail(error);
    }
}

impl<T: TwoWays, A: Output<T::First>, B: Output<T::Second>> Output<T> for Fork<A, B> {
    fn control(&mut self, control: Control) -> Result<()> {
        self.first.control(control)?;
        self.second.control(control)
    }

    fn flush(&mut self) -> Result<bool> {
        Ok(self.first.flush()? & self.second.flush()?)
    }

    fn is_prepared(&mut self) -> Result<bool> {
        Ok(self.first.is_prepared()? & self.second.is_prepared()?)
    }

    fn snapshot(&mut self, into: &mut SnapshotWriter) -> Result<()> {
        self.first.snapshot(into)?;
        self.second.snapshot(into)
    }

    fn commit(&mut self, checkpoint: u64) -> Result<bool> {
        Ok(self.first.commit(checkpoint)? & self.second.commit(checkpoint)?)
    }

    fn close(&mut self) -> Result<bool> {
        Ok(self.first.close()? & self.second.close()?)
    }

    fn take_failure(&mut self) -> Option<Error> {
        self.first.take_failure().or_else(|| self.second.take_failure())
    }
}

impl<T, A, B> OutputPlan<T> for ForkPlan<A, B>
where
    T: TwoWays + 'static,
    A: OutputPlan<T::First>,
    B: OutputPlan<T::Second>,
{
    type Output = Fork<A::Output, B::Output>;

    fn edges(&self) -> Vec<usize> {
        [self.first.edges(), self.second.edges()].concat()
    }

    fn open(&self, task: &str, context: &TaskContext) -> Result<Self::Output> {
        let (first, second) = (self.first.open(task, context)?, self.second.open(task, context)?);
        Ok(Fork { first, second })
    }
}

/// The way that no value goes: the last one of a fork of forks.
pub struct Nowhere;

impl Collect<Infallible> for Nowhere {
    fn record(&mut self, _: Timestamp, value: Infallible) {
        match value {}
    }

    fn watermark(&mut self, _: Timestamp) {}

    #[inline]
    fn has_room(&self) -> bool {
        true
    }

    /// Nothing is emitted here, so nothing fails here.
    fn fail(&mut self, _: Error) {}
}

impl Output<Infallible> for Nowhere {
    fn control(&mut self, _: Control) -> Result<()> {
        Ok(())
    }

    fn flush(&mut self) -> Result<bool> {
        Ok(true)
    }

    fn take_failure(&mut self) -> Option<Error> {
        None
    }
}

/// How [`Nowhere`] is made.
pub struct NowherePlan;

impl OutputPlan<Infallible> for NowherePlan {
    type Output = Nowhere;

    fn edges(&self) -> Vec<usize> {
        Vec::new()
    }

    fn open(&self, _: &str, _: &TaskContext) -> Result<Nowhere> {
        Ok(Nowhere)
    }
}

/// Sends each value to both outputs.
pub struct Both<A, B> {
    first: A,
    second: B,
}

/// How a [`Both`] is made.
pub struct BothPlan<A, B> {
    /// Where the first copy goes.
    pub first: A,
    /// Where the second copy goes.
    pub second: B,
}

impl<T: Clone, A: Collect<T>, B: Collect<T>> Collect<T> for Both<A, B> {
    #[inline]
    fn record(&mut self, at: Timestamp, value: T) {
        self.first.record(at, value.clone());
        self.second.record(at, value);
    }

    fn watermark(&mut self, watermark: Timestamp) {
        self.first.watermark(watermark);
        self.second.watermark(watermark);
    }

    #[inline]
    fn fires<K: Key>(&mut self, at: Timestamp, key: &K) {
        self.first.fires(at, key);
        self.second.fires(at, key);
    }

    #[inline]
    fn retimes(&mut self, passed: Timestamp) {
        self.first.retimes(passed);
        self.second.retimes(passed);
    }

    #[inline]
    fn has_room(&self) -> bool {
        self.first.has_room() && self.second.has_room()
    }

    fn fail(&mut self, error: Error) {
        self.first.fail(error);
    }
}

impl<T: Clone, A: Output<T>, B: Output<T>> Output<T> for Both<A, B> {
    fn control(&mut self, control: Control) -> Result<()> {
        self.first.control(control)?;
        self.second.control(control)
    }

    fn flush(&mut self) -> Result<bool> {
        Ok(self.first.flush()? & self.second.flush()?)
    }

    fn is_prepared(&mut self) -> Result<bool> {
        Ok(self.first.is_prepared()? & self.second.is_prepared()?)
    }

    fn snapshot(&mut self, into: &mut SnapshotWriter) -> Result<()> {
        self.first.snapshot(into)?;
        self.second.snapshot(into)
    }

    fn commit(&mut self, checkpoint: u64) -> Result<bool> {
        Ok(self.first.commit(checkpoint)? & self.second.commit(checkpoint)?)
    }

    fn close(&mut self) -> Result<bool> {
        Ok(self.first.close()? & self.second.close()?)
    }

    fn take_failure(&mut self) -> Option<Error> {
        self.first.take_failure().or_else(|| self.second.take_failure())
    }
}

impl<T: Clone + 'static, A: OutputPlan<T>, B: OutputPlan<T>> OutputPlan<T> for BothPlan<A, B> {
    type Output = Both<A::Output, B::Output>;

    fn edges(&self) -> Vec<usize> {
        [self.first.edges(), self.second.edges()].concat()
    }

    fn open(&self, task: &str, context: &TaskContext) -> Result<Self::Output> {
        let (first, second) = (self.first.open(task, context)?, self.second.open(task, context)?);
        Ok(Both { first, second })
    }
}
