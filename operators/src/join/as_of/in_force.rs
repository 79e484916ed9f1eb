//! The right record of each key that is in force: all that an as-of join which looks back remembers
//! of the past.

use tailwater_core::{Key, Record, Stamped, Timestamp, stable_hash};
use tailwater_state::{StateContext, StateTable};

use super::AsOf;

/// One right record for each key.
pub(super) struct InForce<K, R> {
    pub(super) table: StateTable<K, Stamped<R>>,
    /// Where looking for those that have ended goes on.
    cursor: usize,
}

impl<K, R> Default for InForce<K, R> {
    fn default() -> Self {
        Self { table: StateTable::detached(), cursor: 0 }
    }
}

impl<K: Key, R: Record> InForce<K, R> {
    pub(super) fn new(context: &StateContext) -> Self {
        Self { table: StateTable::new(context), cursor: 0 }
    }

    /// Takes a right record in, if it is to replace the one that is there.
    #[inline(always)]
    pub(super) fn put(&mut self, (hash, key): (u64, K), at: Timestamp, right: R, rule: AsOf) {
        let Some(kept) = self.table.get_mut(hash, &key) else {
            return self.add((hash, key), Stamped::new(at, right));
        };
        if rule.replaces(at, kept.at) {
            // In parts: what was written so cannot be read as a whole before it is in the cache.
            kept.at = at;
            kept.value = right;
        }
    }

    #[cold]
    #[inline(never)]
    fn add(&mut self, (hash, key): (u64, K), right: Stamped<R>) {
        self.table.get_or_insert_with(hash, key, || right);
    }

    /// The match for a left record at `at`.
    #[inline(always)]
    pub(super) fn find(
        &self,
        (hash, key): (u64, &K),
        at: Timestamp,
        rule: AsOf,
    ) -> Option<&Stamped<R>> {
        self.table.get(hash, key).filter(|right| rule.is_in_force(right.at, at))
    }

    /// Looks at some keys, in turn, and drops what `has_ended`. Keys may have fallen silent, so
    /// that nothing else would look at them.
    pub(super) fn sweep(&mut self, keys: usize, has_ended: impl Fn(Timestamp) -> bool) {
        for _ in 0..keys {
            let Some((next, key, right)) = self.table.next_from(self.cursor) else {
                self.cursor = 0;
                return;
            };
            self.cursor = next;
            if has_ended(right.at) {
                let key = key.clone();
                self.table.remove(stable_hash(&key), &key);
                // What lay behind may have moved into the gap.
                self.cursor = next - 1;
            }
        }
    }
}
