//! Asynchronous I/O: calls for records, and look-ups by key, while the core goes on.

use std::error::Error as StdError;
use std::future::Future;

use tailwater_core::{Key, Record};
use tailwater_operators::async_io::{Async, AsyncIo, ByKey, Each, LookUp};
use tailwater_operators::{Operator, Then};

use crate::keyed::AfterKey;
use crate::{Keyed, Stream};

impl<T, C> Stream<T, C>
where
    T: Record,
    C: Operator<Out = T> + Clone,
{
    /// Calls `function` for each record, whose answer takes its time; what it answers goes out at
    /// the record's event time. Up to a capacity of calls are under way at a time on each core,
    /// which goes on with other work meanwhile (SEMANTICS 71, 72). Records that wait are in
    /// checkpoints under `name`, and their calls are made again after a restore: a call must bear
    /// being made twice.
    ///
    /// The future is polled by the core whenever it has been woken, so that it may not block; it
    /// may be of any runtime, if that has threads of its own that drive it. For a client that
    /// blocks there is [`Pool`](crate::prelude::Pool). An error ends the job when all
    /// [retries](Async::retries) are used up.
    ///
    /// ```
    /// use std::convert::Infallible;
    /// use tailwater::prelude::*;
    ///
    /// async fn reserve(order: u64) -> Result<u64, Infallible> { Ok(order * 100) }
    ///
    /// # fn main() -> Result<()> {
    /// let job = Job::new("reserve");
    /// let results = collect();
    /// job.source(from_vec(vec![1_u64, 2, 3]))
    ///     .unstamped()
    ///     .async_map("reserve", Async::ordered().timeout(2.secs()), |order| reserve(*order))
    ///     .sink(results.clone());
    /// job.run(Local::cores(1))?;
    /// assert_eq!(results.take(), [100, 200, 300]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn async_map<U, E, F, A>(
        self,
        name: impl Into<String>,
        options: Async<T, U, E>,
        function: F,
    ) -> Stream<U, Then<C, AsyncIo<T, Each<T, U, E, F>>>>
    where
        T: 'static,
        U: Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>> + 'static,
        F: FnMut(&T) -> A + Clone + Send + 'static,
        A: Future<Output = Result<U, E>> + Send + 'static,
    {
        self.then(AsyncIo::new(name, Each::new(options, function)))
    }
}

impl<K, T, F, C> Keyed<K, T, F, C>
where
    K: Key + 'static,
    T: Record,
    F: FnMut(&T) -> K + Clone + Send + 'static,
    C: Operator<Out = T> + Clone,
{
    /// Looks up what is under the key of each record: a join with something that is no stream.
    /// Answers are remembered as [`LookUp`] says; records of a key for which a call is under way
    /// share it. Where nothing is found the record goes on without.
    ///
    /// As for [`async_map`](Stream::async_map) with what goes wrong, and with checkpoints; what is
    /// remembered is no state, and is lost in a restart.
    ///
    /// ```
    /// use std::convert::Infallible;
    /// use tailwater::prelude::*;
    ///
    /// #[record]
    /// struct Trade { account: u32, size: u32 }
    ///
    /// async fn desk(account: u32) -> Result<Option<String>, Infallible> {
    ///     Ok((account < 10).then(|| format!("desk {}", account % 2)))
    /// }
    ///
    /// # fn main() -> Result<()> {
    /// let trades = vec![Trade { account: 3, size: 7 }, Trade { account: 12, size: 8 }];
    /// let job = Job::new("desks");
    /// let results = collect();
    /// job.source(from_vec(trades))
    ///     .unstamped()
    ///     .key_by(|trade: &Trade| trade.account)
    ///     .look_up("desks", LookUp::cached(10_000, 60.secs()), |account| desk(*account))
    ///     .map(|enriched| (enriched.record.size, enriched.found))
    ///     .sink(results.clone());
    /// job.run(Local::cores(1))?;
    /// let mut results = results.take();
    /// results.sort();
    /// assert_eq!(results, [(7, Some("desk 1".to_owned())), (8, None)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn look_up<V, E, G, A>(
        self,
        name: impl Into<String>,
        options: LookUp<K, V, E>,
        function: G,
    ) -> AfterKey<T, AsyncIo<T, ByKey<T, K, V, E, F, G>>>
    where
        V: Clone + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>> + 'static,
        G: FnMut(&K) -> A + Clone + Send + 'static,
        A: Future<Output = Result<Option<V>, E>> + Send + 'static,
    {
        let name = name.into();
        self.then(|key| AsyncIo::new(name, ByKey::new(options, key, function)))
    }
}
