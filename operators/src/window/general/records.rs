//! How records come in: keys and windows of a group of them first, then where those windows lie,
//! then one record after the other. So the misses of a group are waited for together.

use tailwater_core::{Error, Key, Record, Result, Stamped, Timestamp, stable_hash};
use tailwater_state::keyed::Domain;

use super::slots::NONE;
use super::{Assigner, Contents, Evictor, GeneralWindows, Trigger};
use crate::Collect;
use crate::blame::blame;
use crate::window::panes::GROUP_LEN;
use crate::window::{Fired, LateRecords, Window};

/// The keys and windows of a group of records; empty between groups, kept for its allocations.
pub(super) struct Group<K> {
    /// Of each record the key and its hash, and where its windows end among all.
    keys: Vec<(u64, K, usize)>,
    pub(super) windows: Vec<Window>,
    /// For each window the first slot with its hash, as of when the group began.
    slots: Vec<u32>,
}

impl<K> Default for Group<K> {
    fn default() -> Self {
        Self { keys: Vec::new(), windows: Vec::new(), slots: Vec::new() }
    }
}

/// A window that holds no instant.
pub(super) const EMPTY: Window = Window { start: Timestamp::MAX, end: Timestamp::MIN };

impl<K, T, F, A, R, E, C> GeneralWindows<K, T, F, A, R, E, C>
where
    K: Key,
    T: Record,
    F: FnMut(&T) -> K + Send + 'static,
    A: Assigner<T>,
    R: Trigger<T>,
    E: Evictor<T>,
    C: Contents<K, T, E>,
{
    /// Takes records in, in order.
    pub(super) fn take_in(
        &mut self,
        mut records: &[Stamped<T>],
        out: &mut impl Collect<Fired<C::Output, T>>,
    ) {
        while !records.is_empty() {
            let outcome = self.stage(records);
            let mut group = std::mem::take(&mut self.group);
            let (now, mut later) = records.split_at(group.keys.len());
            let mut windows = group.windows.iter().copied().zip(group.slots.iter().copied());
            let mut before = 0;
            for (record, (hash, key, end)) in now.iter().zip(group.keys.drain(..)) {
                self.put((hash, &key), windows.by_ref().take(end - before), record, out);
                before = end;
            }
            if let Err(error) = outcome {
                out.fail(error);
                later = &later[1..];
            }
            group.windows.clear();
            group.slots.clear();
            self.group = group;
            records = later;
        }
    }

    /// Finds keys and windows of the first records, as many as make a group, and asks for the slots
    /// of the windows.
    ///
    /// # Errors
    /// When the record after those of the group has no time or makes no windows.
    fn stage(&mut self, records: &[Stamped<T>]) -> Result<()> {
        let Self { name, key_of, assigner, slots, group, last_window, clock, .. } = self;
        let mut outcome = Ok(());
        for Stamped { at, value } in records.iter().take(GROUP_LEN) {
            if A::NEEDS_TIME && !at.is_some() {
                outcome = Err(without_time(name));
                break;
            }
            let time = match A::TIME {
                Domain::Event => *at,
                Domain::Processing => *clock,
            };
            let before = group.windows.len();
            let key = blame(name, *at, || key_of(value));
            if A::BY_TIME && last_window.start <= time && time < last_window.end {
                group.windows.push(*last_window);
            } else {
                let assigned = &mut group.windows;
                if let Err(error) = blame(name, *at, || assigner.assign(time, value, assigned)) {
                    outcome = Err(Error::user(name, *at, error));
                    break;
                }
                if A::BY_TIME {
                    *last_window = assigned.last().copied().unwrap_or(EMPTY);
                }
            }
            let hash = stable_hash(&key);
            for &window in &group.windows[before..] {
                slots.prefetch(Self::hash(hash, window));
            }
            group.keys.push((hash, key, group.windows.len()));
            if group.windows.len() >= GROUP_LEN {
                break;
            }
        }
        let mut windows = group.windows.iter();
        let mut before = 0;
        for (hash, _, end) in &group.keys {
            for &window in windows.by_ref().take(end - before) {
                let first = slots.first(Self::hash(*hash, window)).unwrap_or(NONE);
                slots.entries.prefetch(first);
                group.slots.push(first);
            }
            before = *end;
        }
        outcome
    }

    /// Puts a record into its windows, each with the slot that may be its own.
    #[inline]
    fn put(
        &mut self,
        hashed: (u64, &K),
        windows: impl Iterator<Item = (Window, u32)>,
        record: &Stamped<T>,
        out: &mut impl Collect<Fired<C::Output, T>>,
    ) {
        let Stamped { at, ref value } = *record;
        let (mut assigned, mut taken) = (false, false);
        for (window, first) in windows {
            assigned = true;
            if let Some(slot) = self.slot_for(hashed, window, first, at) {
                taken = true;
                self.add(slot, at, value, out);
            }
        }
        if !taken {
            self.leave_out(assigned, at, value, out);
        }
    }

    /// A record that came into no window: those it was `assigned` to, if any, are over.
    #[cold]
    fn leave_out(
        &mut self,
        assigned: bool,
        at: Timestamp,
        value: &T,
        out: &mut impl Collect<Fired<C::Output, T>>,
    ) {
        let is_told = A::TELLS_GAPS && !assigned;
        // A record that falls between windows is not late for that alone (SEMANTICS 28).
        let can_be_late = A::TIME == Domain::Event && A::NEEDS_TIME;
        let is_late = can_be_late && at + self.allowed_lateness <= self.watermark;
        match self.late_records {
            LateRecords::Emit if is_told || is_late => out.record(at, Fired::Late(value.clone())),
            LateRecords::Drop if is_told => self.outside.add(1),
            LateRecords::Drop if is_late => self.late_dropped.add(1),
            _ => {}
        }
    }
}

/// What to do about a record that windows cannot be found for.
#[cold]
pub(super) fn without_time(name: &str) -> Error {
    Error::configuration(format!(
        "operator `{name}` got a record without a timestamp: give the source an \
         `.event_time(..)`, or use windows that need no time"
    ))
}
