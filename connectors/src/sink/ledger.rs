//! What sinks in memory keep of each epoch: waiting for its commit, or committed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tailwater_core::{Error, Result};

use super::two_phase::{Commit, RestoredState};

/// The epochs of all writers of a sink. It outlives a restart within the process.
pub(super) struct Ledger<E>(Arc<Mutex<Pages<E>>>);

struct Pages<E> {
    /// By the number that the transaction names.
    pending: BTreeMap<u64, Epoch<E>>,
    committed: BTreeMap<u64, Epoch<E>>,
    next: u64,
}

struct Epoch<E> {
    checkpoint: u64,
    content: E,
}

impl<E> Default for Ledger<E> {
    fn default() -> Self {
        let (pending, committed) = (BTreeMap::new(), BTreeMap::new());
        Self(Arc::new(Mutex::new(Pages { pending, committed, next: 0 })))
    }
}

impl<E> Clone for Ledger<E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<E> Ledger<E> {
    fn lock(&self) -> MutexGuard<'_, Pages<E>> {
        // Each change is one call to a map.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps an epoch until its commit; the transaction that names it.
    pub(super) fn prepare(&self, checkpoint: u64, content: E) -> Vec<u8> {
        let mut pages = self.lock();
        let number = pages.next;
        pages.next += 1;
        pages.pending.insert(number, Epoch { checkpoint, content });
        number.to_le_bytes().to_vec()
    }

    pub(super) fn commit(&self, transaction: &[u8]) -> Result<Commit> {
        let number = transaction.try_into().map(u64::from_le_bytes).map_err(|_| gone())?;
        let mut pages = self.lock();
        // What was committed may have been taken out since.
        if let Some(epoch) = pages.pending.remove(&number) {
            pages.committed.insert(number, epoch);
        } else if number >= pages.next {
            return Err(gone());
        }
        Ok(Commit::Done)
    }

    /// Removes what came after the restored checkpoint, or all that is not committed.
    pub(super) fn abort(&self, restored: Option<&RestoredState>) {
        let mut pages = self.lock();
        match restored {
            None => pages.pending.clear(),
            Some(RestoredState { checkpoint, .. }) => {
                pages.pending.retain(|_, epoch| epoch.checkpoint <= *checkpoint);
                pages.committed.retain(|_, epoch| epoch.checkpoint <= *checkpoint);
            }
        }
    }

    /// Looks at what is committed, in the order of preparation.
    pub(super) fn fold<S>(&self, start: S, mut add: impl FnMut(S, &E) -> S) -> S {
        self.lock().committed.values().fold(start, |sum, epoch| add(sum, &epoch.content))
    }

    /// Takes out what is committed, in the order of preparation.
    pub(super) fn take(&self) -> Vec<E> {
        let committed = std::mem::take(&mut self.lock().committed);
        committed.into_values().map(|epoch| epoch.content).collect()
    }
}

fn gone() -> Error {
    Error::configuration(
        "a sink in memory has lost the results that the checkpoint holds of it: such a job can be \
         restored only within the process that took the checkpoint",
    )
}

#[cfg(test)]
mod tests;
