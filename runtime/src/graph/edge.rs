//! Edges of the graph with the type of their records: where the ends of the rings are kept until
//! the cores take them.

use std::sync::{Arc, Mutex, PoisonError};

use tailwater_core::{Record, Result};
use tailwater_network::{Ends, Receiver, Sender, mesh_of};
use tailwater_operators::RuntimeMode;

use super::routes::{CustomRouters, KeyRouters, MakeRouter, Only, Shuffles, ToAll, Turns};
use super::{Partition, Reach};
use crate::task::inbox::Inbox;
use crate::task::lineage::Lineage;
use crate::task::marker::Marker;
use crate::task::merging::{For, Marked, MergingInbox};
use crate::task::outbox::Outbox;
use crate::task::sorted::SortedInput;
use crate::task::{Input, InputPlan, OutputPlan, TaskContext, Undertaking};

/// An edge that carries records of type `T`.
pub struct Edge<T> {
    id: usize,
    partition: Partition,
    /// Which cores write and read it; settled while the graph is built.
    reach: Arc<Reach>,
    ends: MeshEnds<T>,
    /// The same where records say where they come from; one of the two is made.
    marked: MeshEnds<Marked<T>>,
}

/// The ends of an edge's rings: made when the first core asks; each core takes its own.
type MeshEnds<T> = Mutex<Option<Vec<Ends<T>>>>;

impl<T> Edge<T> {
    pub(super) fn new(id: usize, partition: Partition, reach: Arc<Reach>) -> Self {
        Self { id, partition, reach, ends: Mutex::new(None), marked: Mutex::new(None) }
    }

    /// Forgets the rings of an earlier attempt of the job.
    fn reset(&self) {
        *self.ends.lock().unwrap_or_else(PoisonError::into_inner) = None;
        *self.marked.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn ends<M, R>(
        &self,
        ends: &MeshEnds<M>,
        context: &TaskContext,
        take: impl FnOnce(&mut Ends<M>) -> R,
    ) -> R {
        let mut ends = ends.lock().unwrap_or_else(PoisonError::into_inner);
        let ends = ends.get_or_insert_with(|| {
            // A ring that nobody writes would never end.
            let (writers, readers) = self.reach.of(context.cores);
            let joined = |writer, reader| self.partition.joins(writer, reader, (writers, readers));
            let mut ends = mesh_of(writers, readers, context.ring_capacity, joined);
            let cores = context.cores as usize;
            ends.resize_with(cores, || Ends { senders: Vec::new(), receivers: Vec::new() });
            ends
        });
        take(&mut ends[context.core as usize])
    }

    fn take_receivers<M>(&self, ends: &MeshEnds<M>, context: &TaskContext) -> Vec<Receiver<M>> {
        self.ends(ends, context, |ends| std::mem::take(&mut ends.receivers))
    }

    fn take_senders<M>(&self, ends: &MeshEnds<M>, context: &TaskContext) -> Vec<Sender<M>> {
        let mut senders = self.ends(ends, context, |ends| std::mem::take(&mut ends.senders));
        if context.parking {
            let (writers, readers) = self.reach.of(context.cores);
            let own = context.core as usize;
            let targets = (0..readers)
                .filter(|reader| self.partition.joins(own, *reader, (writers, readers)));
            for (core, sender) in targets.zip(&mut senders) {
                // A core need not wake itself.
                if core != own
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
        if let Some(lineage) = &context.lineage {
            return Ok(self.merging(context, lineage, |_| For::Any));
        }
        let receivers: Vec<_> =
            self.edges.iter().flat_map(|edge| edge.take_receivers(&edge.ends, context)).collect();
        if receivers.is_empty() {
            return Ok(None);
        }
        Ok(Some(Box::new(Inbox::new(receivers, context.guarantee))))
    }
}

impl<T: Record> InboxPlan<T> {
    /// The input end of a deterministic merge.
    fn merging(
        &self,
        context: &TaskContext,
        lineage: &Lineage,
        whom: impl FnMut(&T) -> For + 'static,
    ) -> Option<Box<dyn Input<T>>> {
        let edges: Vec<_> =
            self.edges.iter().map(|edge| edge.take_receivers(&edge.marked, context)).collect();
        if edges.iter().all(Vec::is_empty) {
            return None;
        }
        let (guarantee, lineage) = (context.guarantee, lineage.clone());
        Some(Box::new(MergingInbox::new(edges, whom, guarantee, lineage, &context.state)))
    }
}

/// Reads edges whose records belong to keys: as [`InboxPlan`], and in batch mode sorted by key and
/// time.
pub struct KeyedInboxPlan<T, F> {
    inbox: InboxPlan<T>,
    /// Behind a mutex because it is `Send` and is cloned from several threads.
    hash: Mutex<F>,
}

impl<T, F> KeyedInboxPlan<T, F> {
    /// Reads all of these; `hash` gives the hash of a record's key, or `None` where it has none and
    /// is for all keys.
    pub fn new(edges: Vec<Arc<Edge<T>>>, hash: F) -> Self {
        Self { inbox: InboxPlan::new(edges), hash: Mutex::new(hash) }
    }
}

impl<T, F> InputPlan<T> for KeyedInboxPlan<T, F>
where
    T: Record,
    F: FnMut(&T) -> Option<u64> + Clone + Send + 'static,
{
    fn edges(&self) -> Vec<usize> {
        self.inbox.edges()
    }

    fn prepare(&self, task: &str, undertaking: &Undertaking) -> Result<()> {
        self.inbox.prepare(task, undertaking)
    }

    fn open(&self, context: &TaskContext) -> Result<Option<Box<dyn Input<T>>>> {
        if let Some(lineage) = &context.lineage {
            let mut hash = self.hash.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let whom = move |record: &T| hash(record).map_or(For::All, For::Key);
            return Ok(self.inbox.merging(context, lineage, whom));
        }
        let inbox = self.inbox.open(context)?;
        if context.mode != RuntimeMode::Batch {
            return Ok(inbox);
        }
        let hash = self.hash.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sorted = |inbox| SortedInput::new(inbox, hash, context.sort.clone());
        Ok(inbox.map(|inbox| Box::new(sorted(inbox)) as Box<dyn Input<T>>))
    }
}

/// Writes one edge.
pub struct OutboxPlan<T, M> {
    edge: Arc<Edge<T>>,
    router: M,
}

impl<T, F> OutboxPlan<T, KeyRouters<F>> {
    /// Writes a by-key edge.
    pub fn by_key(edge: Arc<Edge<T>>, key: F) -> Self {
        assert_eq!(edge.partition, Partition::ByKey);
        Self { edge, router: KeyRouters::new(key) }
    }
}

impl<T> OutboxPlan<T, Only> {
    /// Writes a forward or a global edge.
    pub fn to_one(edge: Arc<Edge<T>>) -> Self {
        assert!(matches!(edge.partition, Partition::Forward | Partition::Global));
        Self { edge, router: Only }
    }
}

impl<T> OutboxPlan<T, Turns> {
    /// Writes an edge whose readers are served in turn: all of them, or those that a rescaling edge
    /// joins a writer with.
    pub fn in_turn(edge: Arc<Edge<T>>) -> Self {
        assert!(matches!(edge.partition, Partition::Rebalance | Partition::Rescale));
        Self { edge, router: Turns }
    }
}

impl<T> OutboxPlan<T, ToAll> {
    /// Writes a broadcasting edge.
    pub fn to_all(edge: Arc<Edge<T>>) -> Self {
        assert_eq!(edge.partition, Partition::Broadcast);
        Self { edge, router: ToAll }
    }
}

impl<T> OutboxPlan<T, Shuffles> {
    /// Writes a shuffling edge.
    pub fn shuffled(edge: Arc<Edge<T>>, seed: u64) -> Self {
        assert_eq!(edge.partition, Partition::Shuffle);
        Self { edge, router: Shuffles { seed } }
    }
}

impl<T, F> OutboxPlan<T, CustomRouters<F>> {
    /// Writes an edge whose cores `choose` chooses.
    pub fn custom(edge: Arc<Edge<T>>, choose: F) -> Self {
        assert_eq!(edge.partition, Partition::Custom);
        Self { edge, router: CustomRouters::new(choose) }
    }
}

impl<T: Record, M: MakeRouter<T>> OutputPlan<T> for OutboxPlan<T, M> {
    type Output = Outbox<T, M::Router>;

    fn edges(&self) -> Vec<usize> {
        vec![self.edge.id]
    }

    fn open(&self, _: &str, context: &TaskContext) -> Result<Self::Output> {
        if let Some(lineage) = &context.lineage {
            let senders = self.edge.take_senders(&self.edge.marked, context);
            let router = self.router.make(context, senders.len());
            return Ok(Outbox::marking(Marker::new(senders, lineage.clone()), router));
        }
        let senders = self.edge.take_senders(&self.edge.ends, context);
        let router = self.router.make(context, senders.len());
        Ok(Outbox::new(senders, router))
    }
}
