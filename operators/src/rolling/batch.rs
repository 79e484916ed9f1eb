//! Rolling aggregates in batch mode: one output a key, at the end of time (SEMANTICS 87).
//!
//! ```text
//! sorted     the key at hand lies beside the table, and goes out when it ends
//! unsorted   where the order makes no difference: a table of all keys, with the time of each one's
//!            earliest record, goes out at the end
//!              too large for the caches: its states are sorted as records, and so are the records
//!              that come next, as many as fit into memory; then there is a table again, whose
//!              states are sorted at the end
//!              too large for memory: its states are sorted, and so is all that comes
//! ```

use std::mem::needs_drop;

use tailwater_core::{Error, Key, Record, Result, Stamped, Timestamp, record, stable_hash};
use tailwater_state::{Budget, StateContext, StateTable};

use super::{Rolling, RollingStep, stage};
use crate::Collect;
use crate::blame::{Blamed, blame};

/// A table of more bytes has left the caches: sorting, which goes through memory in order, is then
/// the faster as long as it needs no files.
const CACHED_BYTES: u64 = 4 << 20;
/// What sorting keeps of a record beside it.
const HEAD_BYTES: usize = 16;

/// What a rolling aggregate keeps in batch mode.
pub(super) struct Batch<K, S> {
    /// The key whose records are coming, and what it has come to.
    current: Option<(K, S)>,
    /// Those of its hash that came before it, if there are any: rare.
    parked: StateTable<K, S>,
    /// What keys have come to by records that came unsorted, at the time of the earliest of each.
    unsorted: StateTable<K, Stamped<S>>,
    /// The bytes that `unsorted` may take; none are left where all is sorted.
    memory: u64,
    /// Bytes that its states have elsewhere in memory, as far as was measured.
    elsewhere: u64,
    /// How many records may be sorted without need.
    sortable: usize,
    /// Whether some were.
    sorts: bool,
    /// At the end: where the walk over `unsorted` stands.
    emitting: Option<usize>,
}

impl<K, S> Default for Batch<K, S> {
    fn default() -> Self {
        Self {
            current: None,
            parked: StateTable::detached(),
            unsorted: StateTable::detached(),
            memory: 0,
            elsewhere: 0,
            sortable: 0,
            sorts: false,
            emitting: None,
        }
    }
}

impl<K: Key, S: Record> Batch<K, S> {
    /// One that takes records of type `T` unsorted as long as `memory` is enough, which is a third
    /// of what sorting has.
    pub(super) fn new<T>(memory: u64, state: &StateContext) -> Self {
        let mut state = state.clone();
        // What it takes is a part of the memory for sorting, not of that for state.
        state.budget = Budget::unlimited();
        // What lies elsewhere in memory would have to be measured.
        let sortable = if needs_drop::<T>() { 0 } else { 2 * memory };
        let sortable = sortable as usize / (size_of::<T>() + HEAD_BYTES);
        Self { memory, sortable, unsorted: StateTable::new(&state), ..Self::default() }
    }

    pub(super) fn is_emitting(&self) -> bool {
        self.emitting.is_some()
    }

    /// What the key at hand has come to, and those of its hash.
    fn emit_current(&mut self, out: &mut impl Collect<S>) {
        if let Some((_, state)) = self.current.take() {
            out.record(Timestamp::MAX, state);
        }
        if !self.parked.is_empty() {
            self.parked.iter().for_each(|(_, _, state)| out.record(Timestamp::MAX, state.clone()));
            self.parked.clear();
        }
    }

    /// Goes on emitting for as long as `out` has room; `true` when nothing is left.
    pub(super) fn emit(&mut self, out: &mut impl Collect<S>) -> bool {
        let Some(mut cursor) = self.emitting else { return true };
        while let Some((next, _, state)) = self.unsorted.next_from(cursor) {
            if !out.has_room() {
                self.emitting = Some(cursor);
                return false;
            }
            out.record(Timestamp::MAX, state.value.clone());
            cursor = next;
        }
        self.unsorted = StateTable::detached();
        self.emitting = None;
        true
    }
}

impl<K: Key, T, F, S: RollingStep<T>> Rolling<K, T, F, S> {
    /// Takes one record in, which has no output of its own.
    #[inline]
    pub(super) fn take_in(
        &mut self,
        at: Timestamp,
        key: K,
        value: T,
        out: &mut impl Collect<S::State>,
    ) {
        let Self { name, step, batch: Batch { current, parked, .. }, .. } = self;
        if let Some((known, state)) = current
            && *known == key
        {
            if let Err(error) = blame(name, at, || step.next(state, value)) {
                out.fail(Error::user(name, at, error));
            }
            return;
        }
        if let Some((known, state)) = current.take() {
            parked.get_or_insert_with(stable_hash(&known), known, || state);
        }
        let found = match parked.is_empty() {
            true => None,
            false => parked.remove(stable_hash(&key), &key),
        };
        let outcome = blame(name, at, || match found {
            None => Ok(step.first(value)),
            Some(mut state) => step.next(&mut state, value).map(|()| state),
        });
        match outcome {
            Ok(state) => *current = Some((key, state)),
            Err(error) => out.fail(Error::user(name, at, error)),
        }
    }

    /// The key whose records came last has no more.
    pub(super) fn end_key(&mut self, out: &mut impl Collect<S::State>) {
        self.batch.emit_current(out);
    }

    /// All keys have ended; those whose records came unsorted are emitted next.
    pub(super) fn end_all(&mut self, out: &mut impl Collect<S::State>) {
        self.batch.emit_current(out);
        self.batch.emitting = Some(0);
    }
}

impl<K: Key, T: Record + 'static, F: FnMut(&T) -> K, S: RollingStep<T>> Rolling<K, T, F, S> {
    /// Takes in a batch of records in any order, as long as there is memory; an empty one is the
    /// last.
    pub(super) fn take_unsorted(
        &mut self,
        records: &mut Vec<Stamped<T>>,
        out: &mut impl Collect<S::State>,
    ) {
        if records.is_empty() {
            if self.batch.sorts {
                self.put_back(records);
            }
            return;
        }
        if self.batch.sorts
            && let Some(left) = self.batch.sortable.checked_sub(records.len())
        {
            self.batch.sortable = left;
            return;
        }
        let Self { name, key_of, step, staged, batch, .. } = self;
        // An archive is about as large as what it is of.
        let measured = records.first().filter(|_| const { needs_drop::<T>() });
        let measured = measured.and_then(|first| record::to_archive(&first.value).ok());
        let keys_before = batch.unsorted.len();
        let table = &mut batch.unsorted;
        stage((name, key_of), records, table, staged);
        let blamed = Blamed::new(name);
        for (Stamped { at, value }, key) in records.drain(..).zip(staged.drain(..)) {
            blamed.at(at);
            if let Err(error) = combine(step, table, key, Stamped { at, value }) {
                out.fail(Error::user(name, at, error));
            }
        }
        blamed.acquit();
        let new_keys = table.len() - keys_before;
        batch.elsewhere += (measured.map_or(0, |archive| archive.len()) * new_keys) as u64;
        let bytes = table.slot_bytes() as u64 + batch.elsewhere;
        if bytes > batch.memory {
            batch.memory = 0;
            self.put_back(records);
        } else if bytes > CACHED_BYTES.min(batch.memory / 4) && !batch.sorts && batch.sortable > 0 {
            batch.sorts = true;
            self.put_back(records);
        }
    }

    /// Empties the table into records that stand for all that it has taken.
    fn put_back(&mut self, records: &mut Vec<Stamped<T>>) {
        let Batch { unsorted, elsewhere, .. } = &mut self.batch;
        records.extend(unsorted.iter().filter_map(|(_, _, Stamped { at, value })| {
            Some(Stamped { at: *at, value: S::as_record(value.clone())? })
        }));
        *elsewhere = 0;
        *unsorted = StateTable::detached();
    }

    /// Whether records need not be sorted.
    pub(super) fn takes_unsorted(&self) -> bool {
        S::COMBINES && self.batch.memory > 0
    }
}

/// Takes one record in, wherever it lies among those of its key.
#[inline(always)]
fn combine<K: Key, T, S: RollingStep<T>>(
    step: &mut S,
    states: &mut StateTable<K, Stamped<S::State>>,
    (hash, key): (u64, K),
    Stamped { at, value }: Stamped<T>,
) -> Result<()> {
    let mut value = Some(value);
    let state = states.get_or_insert_with(hash, key, || {
        let first = value.take().expect("a record is taken in once");
        Stamped { at, value: step.first(first) }
    });
    let Some(value) = value else { return Ok(()) };
    if state.at <= at {
        return step.next(&mut state.value, value);
    }
    let first = Stamped { at, value: step.first(value) };
    let later = S::as_record(std::mem::replace(state, first).value);
    later.map_or(Ok(()), |later| step.next(&mut state.value, later))
}
