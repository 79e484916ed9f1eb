//! Two keyed streams brought together: the records of a key meet on the core that owns it.

use tailwater_core::{Either, Key, Record};
use tailwater_operators::join::{AsOf, AsOfJoin, Matched};
use tailwater_operators::stateless::Map;
use tailwater_operators::{Identity, Operator, Then};
use tailwater_runtime::Partition;
use tailwater_runtime::graph::OutboxPlan;

use crate::stream::{Fresh, fresh_by_key};
use crate::{Keyed, Stream};

/// A stream of what an as-of join emits.
pub type AsOfStream<K, L, R, FL, FR> =
    Stream<Matched<L, R>, Then<Identity<Either<L, R>>, AsOfJoin<K, L, R, FL, FR>>>;

impl<K, T, F, C> Keyed<K, T, F, C>
where
    K: Key,
    T: Record,
    F: FnMut(&T) -> K + Clone + Send + 'static,
    C: Operator<Out = T> + Clone,
{
    /// For each record of this stream the record of `right` that was in force for its key at its
    /// time: for each trade the latest quote at or before it, with [`AsOf::backward`]. A match
    /// leaves when the watermark proves it.
    ///
    /// ```
    /// use tailwater::prelude::*;
    ///
    /// #[record]
    /// struct Quote { symbol: u32, bid: i64, at: Timestamp }
    /// #[record]
    /// struct Trade { symbol: u32, price: i64, at: Timestamp }
    ///
    /// # fn main() -> Result<()> {
    /// let quote = |bid, at| Quote { symbol: 1, bid, at: Timestamp(at) };
    /// let trade = |price, at| Trade { symbol: 1, price, at: Timestamp(at) };
    /// let job = Job::new("spread");
    /// let quotes = job
    ///     .source(from_vec(vec![quote(100, 1), quote(101, 5)]))
    ///     .named("quotes")
    ///     .event_time(|quote: &Quote| quote.at, Watermarks::monotonous())
    ///     .key_by(|quote| quote.symbol);
    /// let results = collect();
    /// job.source(from_vec(vec![trade(102, 4), trade(103, 5)]))
    ///     .named("trades")
    ///     .event_time(|trade: &Trade| trade.at, Watermarks::monotonous())
    ///     .key_by(|trade| trade.symbol)
    ///     .as_of(quotes, AsOf::backward())
    ///     .map(|m: Matched<Trade, Quote>| m.right.map(|quote| m.left.price - quote.value.bid))
    ///     .sink(results.clone());
    /// job.run(Local::cores(1))?;
    /// assert_eq!(results.take(), [Some(2), Some(2)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn as_of<R, G, D>(self, right: Keyed<K, R, G, D>, rule: AsOf) -> AsOfStream<K, T, R, F, G>
    where
        R: Record,
        G: FnMut(&R) -> K + Clone + Send + 'static,
        D: Operator<Out = R> + Clone,
    {
        let (key_of_left, key_of_right) = (self.key.clone(), right.key.clone());
        connect(self, right).then(AsOfJoin::new(key_of_left, key_of_right, rule))
    }
}

/// The records of both streams, each on the core that owns its key.
pub(crate) fn connect<K, L, R, F, G, C, D>(
    left: Keyed<K, L, F, C>,
    right: Keyed<K, R, G, D>,
) -> Fresh<Either<L, R>>
where
    K: Key,
    L: Record,
    R: Record,
    F: FnMut(&L) -> K + Clone + Send + 'static,
    G: FnMut(&R) -> K + Clone + Send + 'static,
    C: Operator<Out = L> + Clone,
    D: Operator<Out = R> + Clone,
{
    let edges = {
        let graph = &mut left.stream.plan.borrow_mut().graph;
        vec![graph.edge(Partition::ByKey), graph.edge(Partition::ByKey)]
    };
    let (mut key_of_left, mut key_of_right) = (left.key, right.key);
    let key = move |record: &Either<L, R>| match record {
        Either::First(left) => key_of_left(left),
        Either::Second(right) => key_of_right(right),
    };
    let second = right.stream.then(Map::new(Either::Second).hidden());
    second.end(OutboxPlan::by_key(edges[1].clone(), key.clone()));
    let first = left.stream.then(Map::new(Either::First).hidden());
    let plan = first.end(OutboxPlan::by_key(edges[0].clone(), key.clone()));
    let mut key = key;
    fresh_by_key(plan, edges, move |record: &Either<L, R>| Some(key(record)))
}
