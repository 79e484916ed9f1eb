//! State of the current key: values, lists, maps, aggregates and timers, a table each.
//!
//! A struct of them is what `#[keyed_state]` makes. The engine says which key is the current one
//! ([`KeyedState::enter`]); the methods of each state then read and change what belongs to it.
//!
//! ```text
//! Value        key                    -> value
//! Map          (key, key of the map)  -> value     derived: the keys of the map, in order
//! List         (key, chunk number)    -> elements  derived: first and last chunk, length
//! Timers       (key, domain, ..)      -> nothing   derived: a queue in the order of time
//! ```
//!
//! What is derived is not in snapshots; it is built again when all entries are restored. Changing
//! one entry of a map or appending to a list costs, now and in the next checkpoint, what it
//! touches.

mod aggregating;
mod current;
mod list;
mod map;
mod reducing;
mod timers;
mod ttl;
mod value;

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use tailwater_core::{Key, Result, Timestamp, stable_hash};

use crate::{Drain, SnapshotReader, SnapshotWriter, StateContext, TrackedState};

pub use aggregating::Aggregating;
pub use current::{CurrentKey, Kept, NoState};
pub use list::List;
pub use map::Map;
pub use reducing::{Greatest, Least, Reducer, Reducing, Sum};
pub use timers::{Domain, Timer, Timers};
pub use ttl::{Expiring, Lasting, Refresh, Stamp, Ttl, TtlClock, Visibility};
pub use value::Value;

/// What the clocks show while a callback runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The wall clock's time.
    pub processing: Timestamp,
    /// Event time: of the record or timer that is worked on, or the watermark where that is later.
    pub event: Timestamp,
}

impl Now {
    /// Before any time was told.
    pub const UNKNOWN: Self = Self { processing: Timestamp::MIN, event: Timestamp::MIN };
}

/// The states of an operator as one struct; `#[keyed_state]` writes this.
pub trait KeyedState: Send + 'static {
    /// What the stream is partitioned by.
    type Key: Key;

    /// Empty states.
    fn new(context: &StateContext) -> Self;

    /// From here on `key`, whose stable hash is `hash`, is the current key.
    fn enter(&mut self, hash: u64, key: &Self::Key, now: Now);

    /// Asks for what the states hold of a key; never waits.
    fn prefetch(&self, hash: u64);

    /// Calls `visit` with the name and each of the states.
    ///
    /// # Errors
    /// The first error of `visit`.
    fn visit(&mut self, visit: &mut Visit<'_, Self::Key>) -> Visited;

    /// Cuts all states at a barrier.
    ///
    /// # Errors
    /// As [`SnapshotWriter::tracked`].
    fn snapshot(&mut self, into: &mut SnapshotWriter) -> Result<()> {
        self.visit(&mut |name, part| into.tracked(name, part.tracked()))
    }

    /// Hands out entries that wait; `true` when none does.
    ///
    /// # Errors
    /// When an entry cannot be archived.
    fn drain(&mut self, into: &mut Drain) -> Result<bool> {
        let mut is_done = true;
        self.visit(&mut |_, part| {
            if is_done {
                is_done = part.tracked().drain(into)?;
            }
            Ok(())
        })?;
        Ok(is_done)
    }

    /// Fills the states from a checkpoint.
    ///
    /// # Errors
    /// When entries cannot be read or are damaged.
    fn restore(&mut self, from: &mut SnapshotReader) -> Result<()> {
        self.visit(&mut |name, part| from.tracked(name, part.tracked()).map(|_| ()))
    }

    /// The keys that something is remembered of, each once, with their hashes and in the order of
    /// these: it does not hang on how the keys came to be. What has expired and was not swept away
    /// yet counts.
    fn keys(&mut self) -> Vec<(u64, Self::Key)> {
        let mut keys = HashSet::new();
        // The visitor never fails.
        let _ = self.visit(&mut |_, part| {
            part.each_key(&mut |key| {
                if !keys.contains(key) {
                    keys.insert(key.clone());
                }
            });
            Ok(())
        });
        let mut keys: Vec<_> = keys.into_iter().map(|key| (stable_hash(&key), key)).collect();
        keys.sort_unstable_by_key(|(hash, _)| *hash);
        keys
    }

    /// Drops what has expired, looking at no more than `entries`.
    fn sweep(&mut self, now: Now, entries: usize) {
        let mut left = entries;
        // The visitor never fails.
        let _ = self.visit(&mut |_, part| {
            left = part.sweep(now, left);
            Ok(())
        });
    }
}

/// What [`KeyedState::visit`] returns.
pub type Visited = Result<()>;

/// What [`KeyedState::visit`] calls.
pub type Visit<'a, K> = dyn FnMut(&'static str, &mut dyn StatePart<K>) -> Result<()> + 'a;

/// One state of a struct of states.
pub trait StatePart<K>: TrackedState {
    /// An empty state whose entries live as `ttl` says; nothing expires in a state that was
    /// declared without.
    fn new(context: &StateContext, ttl: Ttl) -> Self
    where
        Self: Sized;

    /// From here on `key` is the current key.
    fn enter(&mut self, hash: u64, key: &K, now: Now);

    /// Asks for what the state holds of a key; never waits.
    fn prefetch(&self, hash: u64);

    /// Calls `visit` with each key that the state has something of.
    fn each_key(&self, visit: &mut dyn FnMut(&K));

    /// The state as checkpoints see it.
    fn tracked(&mut self) -> &mut dyn TrackedState;

    /// Drops what has expired, looking at no more than `entries`; how many may still be looked at.
    fn sweep(&mut self, now: Now, entries: usize) -> usize;
}
