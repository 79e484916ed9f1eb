//! Edges of the graph with the type of their records: where the ends of the rings are kept until
//! the cores take them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tailwater_core::{Key, Record, Result};
use tailwater_network::{Ends, Receiver, Route, Sender, mesh};

use super::Partition;
use crate::task::inbox::Inbox;
use crate::task::outbox::{ByKey, InTurn, Outbox, Router, ToOne};
use crate::task::{Input, InputPlan, OutputPlan, TaskContext, Undertaking};

/// An edge that carries records of type `T`.
pub struct Edge<T> {
    id: usize,
    partition: Partition,
    /// Set when its writer turns out to run on the first core only.
    one_writer: Arc<AtomicBool>,
    /// Made when the first core asks; each core takes its own.
    ends: Mutex<Option<Vec<Ends<T>>>>,
}

impl<T> Edge<T> {
    pub(super) fn new(id: usize, partition: Partition, one_writer: Arc<AtomicBool>) -> Self {
        Self { id, partition, one_writer, ends: Mutex::new(None) }
    }

    /// Forgets the rings of an earlier attempt of the job.
    fn reset(&self) {
        *self.ends.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn ends<R>(&self, context: &TaskContext, take: impl FnOnce(&mut Ends<T>) -> R) -> R {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let (cores, capacity) = (context.cores as usize, context.ring_capacity);
        // Settled while the graph was built, long before the threads of the cores were started. A
        // ring that nobody writes would never end.
        let writers = if self.one_writer.load(Ordering::Relaxed) { 1 } else { cores };
        let ends = ends.get_or_insert_with(|| {
            let mut ends: Vec<Ends<T>> = match self.partition {
                Partition::Forward => (0..writers).flat_map(|_| mesh(1, 1, capacity)).collect(),
                Partition::Global => mesh(writers, 1, capacity),
                Partition::ByKey | Partition::Rebalance => mesh(writers, cores, capacity),
            };
            ends.resize_with(cores, || Ends { senders: Vec::new(), receivers: Vec::new() });
            ends
        });
        take(&mut ends[context.core as usize])
    }

    fn take_receivers(&self, context: &TaskContext) -> Vec<Receiver<T>> {
        self.ends(context, |ends| std::mem::take(&mut ends.receivers))
    }

    fn take_senders(&self, context: &TaskContext) -> Vec<Sender<T>> {
        let mut senders = self.ends(context, |ends| std::mem::take(&mut ends.senders));
        if context.parking && self.partition != Partition::Forward {
            for (core, sender) in senders.iter_mut().enumerate() {
                // A core need not wake itself.
                if core as u32 != context.core
                    && let Some(parker) = context.control.parker(core as u32)
                {
                    sender.wake_with(parker);
                }
            }
        }
        senders
    }
}

/// Reads one edge, or the union of several.
pub struct InboxPlan<T> {
    edges: Vec<Arc<Edge<T>>>,
}

impl<T> InboxPlan<T> {
    /// Reads all of these.
    pub fn new(edges: Vec<Arc<Edge<T>>>) -> Self {
        Self { edges }
    }
}

impl<T: Record> InputPlan<T> for InboxPlan<T> {
    fn edges(&self) -> Vec<usize> {
        self.edges.iter().map(|edge| edge.id).collect()
    }

    fn prepare(&self, _: &str, _: &Undertaking) -> Result<()> {
        self.edges.iter().for_each(|edge| edge.reset());
        Ok(())
    }

    fn open(&self, context: &TaskContext) -> Result<Option<Box<dyn Input<T>>>> {
        let receivers: Vec<_> =
            self.edges.iter().flat_map(|edge| edge.take_receivers(context)).collect();
        if receivers.is_empty() {
            return Ok(None);
        }
        Ok(Some(Box::new(Inbox::new(receivers, context.guarantee))))
    }
}

/// Writes one edge.
pub struct OutboxPlan<T, M> {
    edge: Arc<Edge<T>>,
    router: M,
}

/// Makes an edge's router on each core.
pub trait MakeRouter<T>: Send + Sync + 'static {
    /// The router.
    type Router: Router<T>;

    /// The router for a core.
    fn make(&self, context: &TaskContext) -> Self::Router;
}

/// Makes [`ByKey`]. The closure is behind a mutex because it is `Send` and is cloned from several
/// threads.
pub struct KeyRouters<F>(Mutex<F>);

impl<T, K: Key, F> MakeRouter<T> for KeyRouters<F>
where
    F: FnMut(&T) -> K + Clone + Send + 'static,
{
    type Router = ByKey<F>;

    fn make(&self, context: &TaskContext) -> ByKey<F> {
        let key = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ByKey::new(key, Route::new(context.key_groups, context.cores))
    }
}

/// Makes [`ToOne`]: to the own core on a forward edge, to the first on a global one.
pub struct OneRouter;

impl<T> MakeRouter<T> for OneRouter {
    type Router = ToOne;

    fn make(&self, _: &TaskContext) -> ToOne {
        ToOne(0)
    }
}

/// Makes [`InTurn`].
pub struct TurnRouters;

impl<T> MakeRouter<T> for TurnRouters {
    type Router = InTurn;

    fn make(&self, context: &TaskContext) -> InTurn {
        InTurn::new(context.core as usize, context.cores as usize)
    }
}

impl<T, F> OutboxPlan<T, KeyRouters<F>> {
    /// Writes a by-key edge.
    pub fn by_key(edge: Arc<Edge<T>>, key: F) -> Self {
        assert_eq!(edge.partition, Partition::ByKey);
        Self { edge, router: KeyRouters(Mutex::new(key)) }
    }
}

impl<T> OutboxPlan<T, OneRouter> {
    /// Writes a forward or a global edge.
    pub fn to_one(edge: Arc<Edge<T>>) -> Self {
        assert!(matches!(edge.partition, Partition::Forward | Partition::Global));
        Self { edge, router: OneRouter }
    }
}

impl<T> OutboxPlan<T, TurnRouters> {
    /// Writes a rebalancing edge.
    pub fn in_turn(edge: Arc<Edge<T>>) -> Self {
        assert_eq!(edge.partition, Partition::Rebalance);
        Self { edge, router: TurnRouters }
    }
}

impl<T: Record, M: MakeRouter<T>> OutputPlan<T> for OutboxPlan<T, M> {
    type Output = Outbox<T, M::Router>;

    fn edges(&self) -> Vec<usize> {
        vec![self.edge.id]
    }

    fn open(&self, _: &str, context: &TaskContext) -> Result<Self::Output> {
        Ok(Outbox::new(self.edge.take_senders(context), self.router.make(context)))
    }
}
