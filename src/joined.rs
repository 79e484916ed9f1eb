//! Joins by time: pairs whose times lie within an interval, and two streams cut into the same
//! windows.

use std::convert::Infallible;

use tailwater_core::{Either, Key, Record, Stamped};
use tailwater_operators::join::{Interval, IntervalJoin, IntervalJoined, Joined};
use tailwater_operators::stateless::{FlatMap, Map};
use tailwater_operators::{Identity, LateRecords, Operator, Window};

use crate::connected::connect;
use crate::outputs::Outputs;
use crate::stream::Fresh;
use crate::{Keyed, Stream};

impl<K, T, F, C> Keyed<K, T, F, C>
where
    K: Key,
    T: Record,
    F: FnMut(&T) -> K + Clone + Send + 'static,
    C: Operator<Out = T> + Clone,
{
    /// All pairs of a record of this stream and one of `right` with the same key, whose times are
    /// no further apart than `interval` allows, counted from this one's (SEMANTICS 67-69). A pair
    /// leaves at once, at the later of its two times. Records behind the watermark are dropped and
    /// counted.
    ///
    /// ```
    /// use tailwater::prelude::*;
    ///
    /// #[record]
    /// struct Order { id: u64, at: Timestamp }
    /// #[record]
    /// struct Fill { order: u64, size: u32, at: Timestamp }
    ///
    /// # fn main() -> Result<()> {
    /// let (order, fill) = (|id, at| Order { id, at: Timestamp(at) },
    ///     |order, size, at| Fill { order, size, at: Timestamp(at) });
    /// let job = Job::new("fills");
    /// let fills = job
    ///     .source(from_vec(vec![fill(1, 10, 5), fill(1, 20, 90), fill(2, 30, 9)]))
    ///     .named("fills")
    ///     .event_time(|fill: &Fill| fill.at, Watermarks::monotonous())
    ///     .key_by(|fill| fill.order);
    /// let results = collect();
    /// job.source(from_vec(vec![order(1, 4), order(2, 8)]))
    ///     .named("orders")
    ///     .event_time(|order: &Order| order.at, Watermarks::monotonous())
    ///     .key_by(|order| order.id)
    ///     .interval_join(fills, Interval::between(Span::ZERO, 50.nanos()))
    ///     .map(|joined: Joined<Order, Fill>| (joined.left.id, joined.right.size))
    ///     .sink(results.clone());
    /// job.run(Local::cores(1))?;
    /// let mut results = results.take();
    /// results.sort();
    /// assert_eq!(results, [(1, 10), (2, 30)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn interval_join<R, G, D>(
        self,
        right: Keyed<K, R, G, D>,
        interval: Interval,
    ) -> Stream<Joined<T, R>, impl Operator<Out = Joined<T, R>> + Clone + use<K, T, F, C, R, G, D>>
    where
        R: Record,
        G: FnMut(&R) -> K + Clone + Send + 'static,
        D: Operator<Out = R> + Clone,
    {
        let pairs: fn(IntervalJoined<T, R>) -> Option<Joined<T, R>> = |joined| match joined {
            IntervalJoined::Pair(pair) => Some(pair),
            IntervalJoined::LateLeft(_) | IntervalJoined::LateRight(_) => None,
        };
        self.interval_joined(right, interval, LateRecords::Drop).then(FlatMap::new(pairs).hidden())
    }

    /// As [`interval_join`](Keyed::interval_join), with two more streams: of the records of either
    /// side that came behind the watermark.
    #[allow(clippy::type_complexity)] // A name would hide what comes out.
    pub fn interval_join_with_late<R, G, D>(
        self,
        right: Keyed<K, R, G, D>,
        interval: Interval,
    ) -> (Fresh<Joined<T, R>>, Fresh<T>, Fresh<R>)
    where
        R: Record,
        G: FnMut(&R) -> K + Clone + Send + 'static,
        D: Operator<Out = R> + Clone,
    {
        self.interval_joined(right, interval, LateRecords::Emit).outputs()
    }

    #[allow(clippy::type_complexity)] // Named once, here.
    fn interval_joined<R, G, D>(
        self,
        right: Keyed<K, R, G, D>,
        interval: Interval,
        late_records: LateRecords,
    ) -> Stream<
        IntervalJoined<T, R>,
        impl Operator<Out = IntervalJoined<T, R>> + Clone + use<K, T, F, C, R, G, D>,
    >
    where
        R: Record,
        G: FnMut(&R) -> K + Clone + Send + 'static,
        D: Operator<Out = R> + Clone,
    {
        if let Err(defect) = interval.check() {
            self.stream.plan.borrow_mut().defect.get_or_insert(defect);
        }
        let join = IntervalJoin::new(self.key.clone(), right.key.clone(), interval);
        connect(self, right).then(join.late_records(late_records))
    }

    /// The records of this stream and of `right` as one stream by their common key, to be cut into
    /// windows together: then [`groups`] makes a function of the records of both sides into one for
    /// [`apply`](crate::Windowed::apply), and [`pairs`] one of each pair (SEMANTICS 70).
    ///
    /// ```
    /// use tailwater::prelude::*;
    ///
    /// # fn main() -> Result<()> {
    /// let job = Job::new("both");
    /// let bids = vec![(1u32, 10i64, Timestamp(1)), (1, 11, Timestamp(2)), (2, 5, Timestamp(3))];
    /// let asks = vec![(1u32, 12i64, Timestamp(2)), (1, 13, Timestamp(12))];
    /// let asks = job
    ///     .source(from_vec(asks))
    ///     .named("asks")
    ///     .event_time(|ask: &(u32, i64, Timestamp)| ask.2, Watermarks::monotonous())
    ///     .key_by(|ask| ask.0);
    /// let results = collect();
    /// job.source(from_vec(bids))
    ///     .named("bids")
    ///     .event_time(|bid: &(u32, i64, Timestamp)| bid.2, Watermarks::monotonous())
    ///     .key_by(|bid| bid.0)
    ///     .co_group(asks)
    ///     .window(Tumbling::of(10.nanos()))
    ///     .apply(groups(|symbol: &u32, _, bids: &[&(u32, i64, Timestamp)], asks: &[&_]| {
    ///         [(*symbol, bids.len() as u32, asks.len() as u32)]
    ///     }))
    ///     .sink(results.clone());
    /// job.run(Local::cores(1))?;
    /// let mut results = results.take();
    /// results.sort();
    /// assert_eq!(results, [(1, 0, 1), (1, 2, 1), (2, 1, 0)]);
    /// # Ok(())
    /// # }
    /// ```
    #[allow(clippy::type_complexity)] // A name would hide what comes out.
    pub fn co_group<R, G, D>(
        self,
        right: Keyed<K, R, G, D>,
    ) -> Keyed<
        K,
        Either<T, R>,
        impl FnMut(&Either<T, R>) -> K + Clone + Send + 'static + use<K, T, F, C, R, G, D>,
        Identity<Either<T, R>>,
    >
    where
        R: Record,
        G: FnMut(&R) -> K + Clone + Send + 'static,
        D: Operator<Out = R> + Clone,
    {
        let (mut key_of_left, mut key_of_right) = (self.key, right.key);
        let first = self.stream.then(Map::new(Either::First).hidden());
        let second = right.stream.then(Map::new(Either::Second).hidden());
        first.union(second).key_by(move |record: &Either<T, R>| match record {
            Either::First(left) => key_of_left(left),
            Either::Second(right) => key_of_right(right),
        })
    }
}

/// A function of the records of both sides of a window, for `apply` behind
/// [`co_group`](Keyed::co_group). It is called for windows that only one side has records in, too.
pub fn groups<K, L, R, F, I>(
    mut function: F,
) -> impl FnMut(&K, Window, &[Stamped<Either<L, R>>]) -> I + Clone + Send + 'static
where
    L: 'static,
    R: 'static,
    F: FnMut(&K, Window, &[&L], &[&R]) -> I + Clone + Send + 'static,
    I: IntoIterator + 'static,
{
    move |key, window, records| {
        let (lefts, rights) = sides(records);
        function(key, window, &lefts, &rights)
    }
}

/// A function of each pair of a left and a right record of a window, for `apply` behind
/// [`co_group`](Keyed::co_group): the inner join of the two sides. A window with records of only
/// one side has no pairs.
pub fn pairs<K, L, R, F, O>(
    mut function: F,
) -> impl FnMut(&K, Window, &[Stamped<Either<L, R>>]) -> Vec<O> + Clone + Send + 'static
where
    L: 'static,
    R: 'static,
    O: 'static,
    F: FnMut(&L, &R) -> O + Clone + Send + 'static,
{
    move |_, _, records| {
        let (lefts, rights) = sides(records);
        let mut pairs = Vec::with_capacity(lefts.len() * rights.len());
        for left in lefts {
            pairs.extend(rights.iter().map(|right| function(left, right)));
        }
        pairs
    }
}

fn sides<L, R>(records: &[Stamped<Either<L, R>>]) -> (Vec<&L>, Vec<&R>) {
    let (mut lefts, mut rights) = (Vec::new(), Vec::new());
    for record in records {
        match &record.value {
            Either::First(left) => lefts.push(left),
            Either::Second(right) => rights.push(right),
        }
    }
    (lefts, rights)
}

impl<L: Record, R: Record> Outputs for IntervalJoined<L, R> {
    type Ways = Either<Joined<L, R>, Either<L, Either<R, Infallible>>>;
    type Streams = (Fresh<Joined<L, R>>, Fresh<L>, Fresh<R>);

    fn way(self) -> Self::Ways {
        match self {
            Self::Pair(pair) => Either::First(pair),
            Self::LateLeft(left) => Either::Second(Either::First(left)),
            Self::LateRight(right) => Either::Second(Either::Second(Either::First(right))),
        }
    }

    fn streams(
        (pairs, (lefts, (rights, ()))): <Self::Ways as crate::outputs::Ways>::Streams,
    ) -> Self::Streams {
        (pairs, lefts, rights)
    }
}
