//! Several outputs of one operator, each of its own type: a stream for each variant of an enum.

use std::convert::Infallible;

use tailwater_core::{Either, Record};
use tailwater_runtime::Partition;
use tailwater_runtime::graph::{Edge, OutboxPlan, routes};
use tailwater_runtime::task::OutputPlan;
use tailwater_runtime::task::fork::{ForkPlan, NowherePlan};

use crate::job::SharedPlan;
use crate::stream::{Fresh, fresh};

/// What an operator with side outputs emits; `#[derive(Outputs)]` on an enum whose variants hold
/// one record each makes it. [`Stream::outputs`](crate::Stream::outputs) gives the streams.
pub trait Outputs: Sized + 'static {
    /// The variants one behind the other.
    type Ways: Ways;
    /// A stream for each, as a tuple.
    type Streams;

    /// Which way a value goes.
    fn way(self) -> Self::Ways;

    /// The streams as a tuple.
    fn streams(streams: <Self::Ways as Ways>::Streams) -> Self::Streams;
}

/// Ways to tell apart: `Either<A, Either<B, Infallible>>`, for two.
pub trait Ways: Sized + 'static {
    /// The output end that leads to all of them.
    type Output: OutputPlan<Self>;
    /// A stream for each, nested as the ways are.
    type Streams;

    /// Makes an edge for each of the ways.
    fn open(plan: &SharedPlan) -> (Self::Output, Self::Streams);
}

impl Ways for Infallible {
    type Output = NowherePlan;
    type Streams = ();

    fn open(_: &SharedPlan) -> (NowherePlan, ()) {
        (NowherePlan, ())
    }
}

impl<A: Record, B: Ways> Ways for Either<A, B> {
    type Output = ForkPlan<OutboxPlan<A, routes::Only>, B::Output>;
    type Streams = (Fresh<A>, B::Streams);

    fn open(plan: &SharedPlan) -> (Self::Output, Self::Streams) {
        let edge: std::sync::Arc<Edge<A>> = plan.borrow_mut().graph.edge(Partition::Forward);
        let (second, others) = B::open(plan);
        let first = OutboxPlan::to_one(edge.clone());
        (ForkPlan { first, second }, (fresh(plan.clone(), vec![edge]), others))
    }
}

/// One of two: two streams.
impl<A: Record, B: Record> Outputs for Either<A, B> {
    type Ways = Either<A, Either<B, Infallible>>;
    type Streams = (Fresh<A>, Fresh<B>);

    fn way(self) -> Self::Ways {
        match self {
            Self::First(first) => Either::First(first),
            Self::Second(second) => Either::Second(Either::First(second)),
        }
    }

    fn streams((first, (second, ())): <Self::Ways as Ways>::Streams) -> Self::Streams {
        (first, second)
    }
}

/// What went well, and what did not: a stream of errors beside that of results.
impl<A: Record, B: Record> Outputs for Result<A, B> {
    type Ways = Either<A, Either<B, Infallible>>;
    type Streams = (Fresh<A>, Fresh<B>);

    fn way(self) -> Self::Ways {
        match self {
            Ok(value) => Either::First(value),
            Err(error) => Either::Second(Either::First(error)),
        }
    }

    fn streams((first, (second, ())): <Self::Ways as Ways>::Streams) -> Self::Streams {
        (first, second)
    }
}
