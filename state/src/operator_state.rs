//! State of an operator that belongs to no key: lists that are dealt out or copied when the number
//! of cores changes, and a map that is the same on all of them (SEMANTICS 62-65).
//!
//! A struct of them is what `#[operator_state]` makes: fields say what is kept, and their names are
//! the names in checkpoints. An operator calls the struct's `snapshot` and `restore` in its own.
//!
//! ```
//! use tailwater_derive::operator_state;
//! use tailwater_state::OperatorState;
//!
//! #[operator_state(crate = tailwater_state)]
//! struct Offsets { partitions: ListState<(u32, u64)> }
//!
//! let mut offsets = Offsets::default();
//! offsets.partitions.push((0, 17));
//! assert_eq!(offsets.partitions.len(), 1);
//! assert!(offsets.bytes() >= size_of::<(u32, u64)>());
//! ```

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

use tailwater_core::{Record, Result};

use crate::{SnapshotReader, SnapshotWriter, Spread};

/// What an operator on a core remembers, as one struct; `#[operator_state]` writes this. `()` is
/// nothing.
pub trait OperatorState: Default + Send + 'static {
    /// Writes all states, each under the name of its field.
    ///
    /// # Errors
    /// When an item cannot be archived, or a name is taken in this operator.
    fn snapshot(&self, into: &mut SnapshotWriter) -> Outcome;

    /// Reads what this core is to have of each state; nothing where it was never written.
    ///
    /// # Errors
    /// When items cannot be read or are damaged.
    fn restore(&mut self, from: &mut SnapshotReader) -> Outcome;

    /// The memory that the states take, without what their items own elsewhere.
    fn bytes(&self) -> usize;
}

/// What the methods of an [`OperatorState`] return.
pub type Outcome = Result<()>;

impl OperatorState for () {
    fn snapshot(&self, _: &mut SnapshotWriter) -> Outcome {
        Ok(())
    }

    fn restore(&mut self, _: &mut SnapshotReader) -> Outcome {
        Ok(())
    }

    fn bytes(&self) -> usize {
        0
    }
}

macro_rules! lists {
    ($($(#[$doc:meta])* $name:ident => $write:ident($($spread:expr)?);)+) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq, Eq)]
            pub struct $name<T>(Vec<T>);

            impl<T> Default for $name<T> {
                fn default() -> Self {
                    Self(Vec::new())
                }
            }

            impl<T> Deref for $name<T> {
                type Target = Vec<T>;

                fn deref(&self) -> &Vec<T> {
                    &self.0
                }
            }

            impl<T> DerefMut for $name<T> {
                fn deref_mut(&mut self) -> &mut Vec<T> {
                    &mut self.0
                }
            }

            impl<T: Record> $name<T> {
                /// Writes the items under `state`.
                ///
                /// # Errors
                /// When an item cannot be archived, or the name is taken in this operator.
                pub fn snapshot(&self, state: &str, into: &mut SnapshotWriter) -> Result<()> {
                    into.$write(state, $($spread,)? &self.0)
                }

                /// Reads what this core is to have of `state`; nothing where it was never written.
                ///
                /// # Errors
                /// When the items cannot be read or are damaged.
                pub fn restore(&mut self, state: &str, from: &mut SnapshotReader) -> Result<()> {
                    self.0 = from.list(state)?;
                    Ok(())
                }

                /// The memory that the list takes, without what its items own elsewhere.
                #[inline]
                pub fn bytes(&self) -> usize {
                    self.0.capacity() * size_of::<T>()
                }
            }
        )+
    };
}

lists! {
    /// A list whose items are dealt out in contiguous blocks when the number of cores changes, and
    /// stay where they are when it does not (SEMANTICS 62). Order means nothing between cores.
    ListState => list(Spread::Split);
    /// A list of which every core gets the items of all (SEMANTICS 63), to pick its own from: what
    /// every core kept would be there as often as there are cores after the next restore.
    ///
    /// No checkpoint is taken while the operator has ended on some cores and not on others: those
    /// that have would add nothing more (SEMANTICS 65).
    UnionState => union();
}

/// A map that is the same on every core (SEMANTICS 63, 64).
///
/// Nothing is sent between cores: each applies the same changes, which come to all of them, so what
/// changes it must act on them alone, not on the core, a clock or records of its own. They may come
/// in another order on another core. What reads it has `&self` and cannot change it. It is kept
/// in memory and written by every core; with another number of cores core `i` goes on with the copy
/// of core `i` mod the old number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BroadcastState<K, V>(BTreeMap<K, V>);

impl<K, V> Default for BroadcastState<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Record + Ord, V: Record> BroadcastState<K, V> {
    /// The value of `key`.
    #[inline]
    pub fn get(&self, key: &K) -> Option<&V> {
        self.0.get(key)
    }

    /// All entries, in the order of their keys.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.0.iter()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts a value for `key`; gives the old one.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.0.insert(key, value)
    }

    /// Takes the value of `key` out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.0.remove(key)
    }

    /// Forgets all entries.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Writes this core's copy under `state`.
    ///
    /// # Errors
    /// When an entry cannot be archived, or the name is taken in this operator.
    pub fn snapshot(&self, state: &str, into: &mut SnapshotWriter) -> Result<()> {
        let entries: Vec<(K, V)> =
            self.0.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        into.list(state, Spread::Broadcast, &entries)
    }

    /// Reads the copy that this core goes on with; nothing where it was never written.
    ///
    /// # Errors
    /// When the entries cannot be read or are damaged.
    pub fn restore(&mut self, state: &str, from: &mut SnapshotReader) -> Result<()> {
        self.0 = from.list::<(K, V)>(state)?.into_iter().collect();
        Ok(())
    }

    /// The memory that the entries take, about, without what they own elsewhere.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.0.len() * size_of::<(K, V)>()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{MemorySnapshot, SnapshotKind};

    /// A snapshot that each core of `states` wrote with `write`.
    fn written<S>(
        states: &[S],
        write: impl Fn(&S, &mut SnapshotWriter) -> Result<()>,
    ) -> Arc<MemorySnapshot> {
        let mut memory = MemorySnapshot::new(states.len() as u32);
        for (core, state) in states.iter().enumerate() {
            let mut writer = SnapshotWriter::new(SnapshotKind::Incremental, "task");
            write(state, &mut writer).unwrap();
            memory.add("task", core as u32, writer.into_parts(), Vec::new());
        }
        Arc::new(memory)
    }

    /// What each of `cores` cores reads with `read`.
    fn restored<S: Default>(
        memory: &Arc<MemorySnapshot>,
        cores: u32,
        read: impl Fn(&mut S, &mut SnapshotReader) -> Result<()>,
    ) -> Vec<S> {
        let of_core = |core| {
            let mut reader = SnapshotReader::new(memory.clone(), "task", (core, cores), 0..128);
            let mut state = S::default();
            read(&mut state, &mut reader).unwrap();
            state
        };
        (0..cores).map(of_core).collect()
    }

    fn numbers(lens: &[u32]) -> Vec<Vec<u32>> {
        let mut next = 0..;
        lens.iter().map(|len| next.by_ref().take(*len as usize).collect()).collect()
    }

    // SEMANTICS 62
    #[test]
    fn lists_are_dealt_in_blocks_and_stay_on_as_many_cores() {
        for (old, new) in [
            (&[3, 2][..], &[2, 2, 1][..]),
            (&[3, 1], &[3, 1]),
            (&[1, 1], &[1, 1, 0, 0]),
            (&[0, 5], &[0, 5]),
            (&[0, 5], &[5]),
        ] {
            let lists: Vec<_> = numbers(old).into_iter().map(ListState).collect();
            let memory = written(&lists, |list, into| list.snapshot("list", into));
            let cores = new.len() as u32;
            let dealt = restored(&memory, cores, |list: &mut ListState<u32>, from| {
                list.restore("list", from)
            });
            let dealt: Vec<Vec<u32>> = dealt.into_iter().map(|list| list.0).collect();
            assert_eq!(dealt, numbers(new), "{old:?} onto {cores}");
        }
    }

    // SEMANTICS 63
    #[test]
    fn a_union_goes_to_every_core() {
        let lists: Vec<_> = numbers(&[1, 0, 2]).into_iter().map(UnionState).collect();
        let memory = written(&lists, |list, into| list.snapshot("list", into));
        for cores in [1, 3, 4] {
            let all = restored(&memory, cores, |list: &mut UnionState<u32>, from| {
                list.restore("list", from)
            });
            assert!(all.iter().all(|list| **list == [0, 1, 2]), "{cores} cores: {all:?}");
        }
    }

    // SEMANTICS 63, 64
    #[test]
    fn a_broadcast_copy_goes_on_where_its_number_says() {
        let copy = |core: u8| {
            let mut state = BroadcastState::default();
            state.insert("limit".to_owned(), core);
            state.insert("gone".to_owned(), core);
            assert_eq!(state.remove(&"gone".to_owned()), Some(core));
            state
        };
        let memory = written(&[copy(0), copy(1)], |state, into| state.snapshot("rules", into));
        for (cores, expected) in [(1, &[0][..]), (2, &[0, 1]), (5, &[0, 1, 0, 1, 0])] {
            let copies =
                restored(&memory, cores, |state: &mut BroadcastState<String, u8>, from| {
                    state.restore("rules", from)
                });
            assert_eq!(copies, expected.iter().copied().map(copy).collect::<Vec<_>>());
            assert_eq!(copies[0].get(&"limit".to_owned()), Some(&expected[0]));
            assert_eq!((copies[0].len(), copies[0].iter().count()), (1, 1));
        }
    }
}
