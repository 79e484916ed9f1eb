//! Where the records of a stream go next: the ways to spread them over the cores.

use tailwater_core::Record;
use tailwater_operators::Operator;
use tailwater_runtime::Partition;
use tailwater_runtime::graph::OutboxPlan;

use crate::Stream;
use crate::stream::{Fresh, fresh};

impl<T, C> Stream<T, C>
where
    T: Record,
    C: Operator<Out = T> + Clone,
{
    /// Ends the task here; the next one takes the records on the core where they are.
    pub fn forward(self) -> Fresh<T> {
        let edge = self.edge(Partition::Forward);
        fresh(self.end(OutboxPlan::to_one(edge.clone())), vec![edge])
    }

    /// Spreads the records over the cores in turn.
    pub fn rebalance(self) -> Fresh<T> {
        let edge = self.edge(Partition::Rebalance);
        fresh(self.end(OutboxPlan::in_turn(edge.clone())), vec![edge])
    }

    /// Spreads the records over other cores with as few rings as can be: each core writes to some
    /// of its own, or shares one with some. Between two tasks that run on equally many cores the
    /// records stay where they are.
    ///
    /// ```text
    /// 2 cores onto 4    0 -> 0, 1   1 -> 2, 3        4 onto 2    0, 1 -> 0   2, 3 -> 1
    /// ```
    pub fn rescale(self) -> Fresh<T> {
        let edge = self.edge(Partition::Rescale);
        fresh(self.end(OutboxPlan::in_turn(edge.clone())), vec![edge])
    }

    /// Spreads the records over the cores by chance. The same seed draws the same cores.
    pub fn shuffle(self, seed: u64) -> Fresh<T> {
        let edge = self.edge(Partition::Shuffle);
        fresh(self.end(OutboxPlan::shuffled(edge.clone(), seed)), vec![edge])
    }

    /// Brings each record to every core. Beside another stream see
    /// [`connect_broadcast`](crate::Keyed::connect_broadcast).
    pub fn broadcast(self) -> Fresh<T> {
        let edge = self.edge(Partition::Broadcast);
        fresh(self.end(OutboxPlan::to_all(edge.clone())), vec![edge])
    }

    /// Brings all records to the first core.
    pub fn gather(self) -> Fresh<T> {
        let edge = self.edge(Partition::Global);
        fresh(self.end(OutboxPlan::to_one(edge.clone())), vec![edge])
    }

    /// Brings each record to the core that `choose` names, of as many as it is told. A number that
    /// is not below that ends the job.
    ///
    /// ```
    /// use tailwater::prelude::*;
    ///
    /// # fn main() -> Result<()> {
    /// let job = Job::new("halves");
    /// let results = collect();
    /// job.source(from_vec(vec![1u64, 2, 3]))
    ///     .unstamped()
    ///     .partition_custom(|n, cores| if *n < 3 { 0 } else { cores - 1 })
    ///     .map(|n| n * 10)
    ///     .sink(results.clone());
    /// job.run(Local::cores(2))?;
    /// assert_eq!(results.take().len(), 3);
    /// # Ok(())
    /// # }
    /// ```
    pub fn partition_custom<F>(self, choose: F) -> Fresh<T>
    where
        F: FnMut(&T, usize) -> usize + Clone + Send + 'static,
    {
        let edge = self.edge(Partition::Custom);
        fresh(self.end(OutboxPlan::custom(edge.clone(), choose)), vec![edge])
    }
}
