//! One value for each key.

use tailwater_core::{Key, Record, Result, stable_hash};

use super::ttl::Life;
use super::{CurrentKey, Kept, Lasting, Now, Stamp, StatePart, Ttl};
use crate::{
    Changes, Declaration, Drain, Frame, SnapshotKind, StateContext, StateTable, TrackedState,
};

/// One value for each key, or none.
///
/// Declared with a TTL it may expire; reading then counts as the TTL says, which is why reading
/// takes `&mut self`.
pub struct Value<K, V, S = Lasting> {
    table: StateTable<K, Kept<V, S>>,
    current: CurrentKey<K>,
    life: Life,
    /// The value of the current key has expired, was seen, and goes before anything else.
    is_doomed: bool,
}

impl<K: Key, V: Record, S: Stamp> Value<K, V, S> {
    /// The value.
    #[inline]
    pub fn get(&mut self) -> Option<&V> {
        if !S::IS_LASTING {
            self.look();
        }
        let kept = self.table.get(self.current.hash(), self.current.key());
        kept.map(|kept| &kept.value)
    }

    /// The value, to change in place. Counts as a change.
    #[inline]
    pub fn get_mut(&mut self) -> Option<&mut V> {
        self.drop_hidden();
        let kept = self.table.get_mut(self.current.hash(), self.current.key())?;
        self.life.touch(&mut kept.stamp);
        Some(&mut kept.value)
    }

    /// Changes the value in place, where there is one.
    #[inline]
    pub fn update<R>(&mut self, change: impl FnOnce(&mut V) -> R) -> Option<R> {
        self.get_mut().map(change)
    }

    /// The value, made by `make` where there is none. Counts as a change.
    #[inline]
    pub fn or_insert_with(&mut self, make: impl FnOnce() -> V) -> &mut V {
        self.drop_hidden();
        let Self { table, current, life, .. } = self;
        let (hash, key) = (current.hash(), current.key());
        // A key that owns memory is copied only when it is new.
        if std::mem::needs_drop::<K>() && table.get(hash, key).is_some() {
            let kept = table.get_mut(hash, key).expect("it was just there");
            life.touch(&mut kept.stamp);
            return &mut kept.value;
        }
        let new = || Kept { value: make(), stamp: life.stamp() };
        let kept = table.get_or_insert_with(hash, key.clone(), new);
        life.touch(&mut kept.stamp);
        &mut kept.value
    }

    /// The value, the type's default where there is none.
    #[inline]
    pub fn or_default(&mut self) -> &mut V
    where
        V: Default,
    {
        self.or_insert_with(V::default)
    }

    /// Replaces the value.
    #[inline]
    pub fn set(&mut self, value: V) {
        self.is_doomed = false;
        let Self { table, current, life, .. } = self;
        let (hash, key) = (current.hash(), current.key());
        match table.get_mut(hash, key) {
            Some(kept) => {
                kept.value = value;
                life.touch(&mut kept.stamp);
            }
            None => {
                let stamp = life.stamp();
                table.get_or_insert_with(hash, key.clone(), || Kept { value, stamp });
            }
        }
    }

    /// Takes the value out.
    pub fn take(&mut self) -> Option<V> {
        self.drop_hidden();
        self.remove()
    }

    /// Forgets the value.
    pub fn clear(&mut self) {
        self.is_doomed = false;
        self.remove();
    }

    #[cfg(test)]
    pub(super) fn table_len(&self) -> usize {
        self.table.len()
    }

    fn remove(&mut self) -> Option<V> {
        let kept = self.table.remove(self.current.hash(), self.current.key());
        kept.map(|kept| kept.value)
    }

    /// Another TTL than the declared one, from here on.
    pub fn set_ttl(&mut self, ttl: Ttl) {
        self.life = Life::new(ttl);
    }

    /// What reading does to a value that may expire (SEMANTICS 52, 53).
    fn look(&mut self) {
        self.drop_hidden();
        let Self { table, current, life, .. } = self;
        let (hash, key) = (current.hash(), current.key());
        let Some(kept) = table.get(hash, key) else { return };
        if life.is_expired(kept.stamp) {
            self.is_doomed = true;
        } else if life.is_refreshed_by_reads()
            && let Some(kept) = table.get_mut(hash, key)
        {
            life.touch(&mut kept.stamp);
        }
    }

    /// Drops a value that nobody may see any more.
    #[inline]
    fn drop_hidden(&mut self) {
        if S::IS_LASTING {
            return;
        }
        let Self { table, current, life, .. } = self;
        let (hash, key) = (current.hash(), current.key());
        let is_hidden = || {
            let kept = table.get(hash, key);
            life.hides_expired() && kept.is_some_and(|kept| life.is_expired(kept.stamp))
        };
        if self.is_doomed || is_hidden() {
            self.is_doomed = false;
            self.remove();
        }
    }
}

impl<K: Key, V: Record, S: Stamp> StatePart<K> for Value<K, V, S> {
    fn new(context: &StateContext, ttl: Ttl) -> Self {
        Self {
            table: StateTable::new(context),
            current: CurrentKey::default(),
            life: Life::new(ttl),
            is_doomed: false,
        }
    }

    #[inline]
    fn enter(&mut self, hash: u64, key: &K, now: Now) {
        if self.is_doomed {
            self.drop_hidden();
        }
        self.current.enter(hash, key);
        self.life.enter(now);
    }

    #[inline]
    fn prefetch(&self, hash: u64) {
        self.table.prefetch(hash);
    }

    fn each_key(&self, visit: &mut dyn FnMut(&K)) {
        self.table.iter().for_each(|(_, key, _)| visit(key));
    }

    fn tracked(&mut self) -> &mut dyn TrackedState {
        if self.is_doomed {
            self.drop_hidden();
        }
        self
    }

    fn sweep(&mut self, now: Now, entries: usize) -> usize {
        let Some(time) = self.life.sweep_time::<S>(now) else { return entries };
        let mut left = entries;
        while left > 0 {
            let Some((next, key, kept)) = self.table.next_from(self.life.cursor) else {
                self.life.end_pass(time);
                break;
            };
            left -= 1;
            self.life.cursor = next;
            if self.life.is_expired_at(kept.stamp, time) {
                let key = key.clone();
                self.table.remove(stable_hash(&key), &key);
                // What lay behind may have moved into the gap.
                self.life.cursor = next - 1;
            }
        }
        left
    }
}

impl<K: Key, V: Record, S: Stamp> TrackedState for Value<K, V, S> {
    fn declaration(&self) -> Declaration {
        self.table.declaration()
    }

    fn changes(&self) -> Changes {
        self.table.changes()
    }

    fn begin(&mut self, state: u16, kind: SnapshotKind) {
        self.table.begin_trimmed(state, kind, self.life.trim_value());
    }

    fn drain(&mut self, into: &mut Drain) -> Result<bool> {
        self.table.drain(into)
    }

    fn load(&mut self, frames: &[Frame<'_>]) -> Result<()> {
        self.table.load(frames)
    }

    fn loaded(&mut self) -> Result<()> {
        self.table.loaded()
    }
}
