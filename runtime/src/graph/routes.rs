//! How edges are spread over cores: which writer is joined with which reader, and the routers that
//! choose between them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use tailwater_core::Key;
use tailwater_network::Route;

use crate::task::TaskContext;
use crate::task::outbox::{ByKey, Chosen, Everywhere, InTurn, Router, Shuffled, ToOne};

/// How the records of an edge are spread over the cores that read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Partition {
    /// Each core reads its own.
    Forward,
    /// To the core that owns the key.
    ByKey,
    /// All to the first core.
    Global,
    /// To each core in turn.
    Rebalance,
    /// To those cores in turn that share a writer, or from those that share a reader: as few rings
    /// as the numbers of cores on both sides allow.
    Rescale,
    /// To a core that a seed draws.
    Shuffle,
    /// Each record to every core.
    Broadcast,
    /// To the core that the user names.
    Custom,
}

impl Partition {
    /// Whether `writer` has a ring to `reader`, where there are so many of both.
    pub(super) fn joins(
        self,
        writer: usize,
        reader: usize,
        (writers, readers): (usize, usize),
    ) -> bool {
        match self {
            Self::Forward => writer == reader,
            Self::Rescale if writers <= readers => reader * writers / readers == writer,
            Self::Rescale => writer * readers / writers == reader,
            _ => true,
        }
    }

    /// As `explain` says it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::ByKey => "by key",
            Self::Global => "to core 0",
            Self::Rebalance => "in turn",
            Self::Rescale => "rescaled",
            Self::Shuffle => "shuffled",
            Self::Broadcast => "to all",
            Self::Custom => "as told",
        }
    }
}

/// On the first how many cores the two ends of an edge run; all, where nothing was said.
#[derive(Debug)]
pub struct Reach {
    pub(super) writers: AtomicU32,
    pub(super) readers: AtomicU32,
}

impl Reach {
    /// An edge from every core.
    pub(super) fn new(partition: Partition) -> Self {
        let readers = if partition == Partition::Global { 1 } else { u32::MAX };
        Self { writers: AtomicU32::new(u32::MAX), readers: AtomicU32::new(readers) }
    }

    /// How many of `cores` cores write, and how many read.
    pub(super) fn of(&self, cores: u32) -> (usize, usize) {
        let on = |side: &AtomicU32| side.load(Ordering::Relaxed).min(cores) as usize;
        (on(&self.writers), on(&self.readers))
    }
}

/// Makes an edge's router on each core.
pub trait MakeRouter<T>: Send + Sync + 'static {
    /// The router.
    type Router: Router<T>;

    /// The router for a core that writes `rings` rings.
    fn make(&self, context: &TaskContext, rings: usize) -> Self::Router;
}

/// Makes [`ByKey`]. The closure is behind a mutex because it is `Send` and is cloned from several
/// threads.
pub struct KeyRouters<F>(Mutex<F>);

impl<F> KeyRouters<F> {
    /// Takes keys with `key`.
    pub(super) fn new(key: F) -> Self {
        Self(Mutex::new(key))
    }
}

impl<T, K: Key, F> MakeRouter<T> for KeyRouters<F>
where
    F: FnMut(&T) -> K + Clone + Send + 'static,
{
    type Router = ByKey<F>;

    fn make(&self, context: &TaskContext, rings: usize) -> ByKey<F> {
        let key = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ByKey::new(key, Route::new(context.key_groups, rings as u32))
    }
}

/// Makes [`ToOne`]: to the own core on a forward edge, to the first on a global one.
pub struct Only;

impl<T> MakeRouter<T> for Only {
    type Router = ToOne;

    fn make(&self, _: &TaskContext, _: usize) -> ToOne {
        ToOne(0)
    }
}

/// Makes [`InTurn`].
pub struct Turns;

impl<T> MakeRouter<T> for Turns {
    type Router = InTurn;

    fn make(&self, context: &TaskContext, rings: usize) -> InTurn {
        InTurn::new(context.core as usize % rings.max(1), rings)
    }
}

/// Makes [`Everywhere`].
pub struct ToAll;

impl<T> MakeRouter<T> for ToAll {
    type Router = Everywhere;

    fn make(&self, _: &TaskContext, _: usize) -> Everywhere {
        Everywhere
    }
}

/// Makes [`Shuffled`], with a seed of its own for each core.
pub struct Shuffles {
    /// The seed of the edge.
    pub(super) seed: u64,
}

impl<T> MakeRouter<T> for Shuffles {
    type Router = Shuffled;

    fn make(&self, context: &TaskContext, rings: usize) -> Shuffled {
        let seed = tailwater_core::random::nth(self.seed, u64::from(context.core));
        Shuffled::new(seed, rings)
    }
}

/// Makes [`Chosen`]; the closure is behind a mutex as that of [`KeyRouters`] is.
pub struct CustomRouters<F>(Mutex<F>);

impl<F> CustomRouters<F> {
    /// Chooses cores with `choose`.
    pub(super) fn new(choose: F) -> Self {
        Self(Mutex::new(choose))
    }
}

impl<T, F> MakeRouter<T> for CustomRouters<F>
where
    F: FnMut(&T, usize) -> usize + Clone + Send + 'static,
{
    type Router = Chosen<F>;

    fn make(&self, _: &TaskContext, rings: usize) -> Chosen<F> {
        let choose = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Chosen::new(choose, rings)
    }
}

#[cfg(test)]
mod tests {
    use super::Partition;

    #[test]
    fn rescaling_joins_everybody_with_as_few_rings_as_can_be() {
        for writers in 1..8 {
            for readers in 1..8 {
                let joins = |w, r| Partition::Rescale.joins(w, r, (writers, readers));
                assert!((0..writers).all(|w| (0..readers).any(|r| joins(w, r))));
                assert!((0..readers).all(|r| (0..writers).any(|w| joins(w, r))));
                let rings = (0..writers).map(|w| (0..readers).filter(|r| joins(w, *r)).count());
                assert_eq!(rings.sum::<usize>(), writers.max(readers));
            }
        }
    }
}
