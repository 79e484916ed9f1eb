//! How records find their windows, windows merge, and timers make them fire.

use tailwater_core::{Key, Record, Span, Timestamp, stable_hash};
use tailwater_state::keyed::{Domain, KeyedState, Now};

use super::contents::Firing;
use super::timers::WakeUp;
use super::{Assigner, Contents, Evictor, GeneralWindows, Trigger, TriggerContext, Verdict};
use crate::Collect;
use crate::blame::blame;
use crate::window::{Fired, Window};

impl<K, T, F, A, R, E, C> GeneralWindows<K, T, F, A, R, E, C>
where
    K: Key,
    T: Record,
    A: Assigner<T>,
    R: Trigger<T>,
    E: Evictor<T>,
    C: Contents<K, T, E>,
{
    /// Whether anything goes by the wall clock.
    pub(super) const WANTS_CLOCK: bool = matches!(A::TIME, Domain::Processing) || R::WANTS_CLOCK;

    /// What a window of a key with this hash is found by: sessions change their bounds, so they are
    /// found by the key alone.
    #[inline]
    pub(super) fn hash(key_hash: u64, window: Window) -> u64 {
        if A::MERGES {
            return key_hash;
        }
        let (start, end) = (window.start.0 as u64, window.end.0 as u64);
        stable_hash(&(key_hash ^ start ^ end.rotate_left(32)))
    }

    /// The slot that a record in `window` goes to, found, made or merged; `None` where it is too
    /// late. `first` was the first with its hash a little while ago, or is none.
    #[inline]
    pub(super) fn slot_for(
        &mut self,
        (key_hash, key): (u64, &K),
        window: Window,
        first: u32,
        at: Timestamp,
    ) -> Option<u32> {
        let hash = Self::hash(key_hash, window);
        let found = match self.slots.get(first) {
            Some(slot) if !A::MERGES && slot.window == window && slot.key == *key => Some(first),
            // The only window of its key, as most often.
            Some(slot) if A::MERGES && slot.is_alone() && slot.key == *key => {
                let union = cover(slot.window, window);
                if !touch(slot.window, window) {
                    None
                } else {
                    if union != slot.window {
                        self.grow(first, union, at);
                    }
                    Some(first)
                }
            }
            _ if A::MERGES => self.find_merging(hash, key, window, at),
            _ => self.find(hash, key, window),
        };
        if found.is_some() {
            return found;
        }
        // Only a new window can be late: those that are over have been cleaned up.
        let late = match A::TIME {
            Domain::Event => window.cleanup(self.allowed_lateness) <= self.watermark,
            Domain::Processing => false,
        };
        (!late).then(|| self.slots.insert(hash, key.clone(), window))
    }

    #[inline(never)]
    fn find(&self, hash: u64, key: &K, window: Window) -> Option<u32> {
        let mut same_hash = self.slots.chain(hash);
        same_hash.find(|(_, slot)| slot.window == window && slot.key == *key).map(|(slot, _)| slot)
    }

    /// The window of the key that `window`, of a record at `at`, is part of after merging; `None`
    /// where there is nothing to merge with.
    #[inline(never)]
    fn find_merging(&mut self, hash: u64, key: &K, window: Window, at: Timestamp) -> Option<u32> {
        let mut touching = self.slots.touching(hash, key, window);
        let (mut first, found) = touching.next()?;
        let mut union = cover(found, window);
        if union == found {
            return Some(first);
        }
        for (slot, other) in touching {
            union = cover(union, other);
            self.merging.push(slot);
        }
        if !self.merging.is_empty() {
            first = self.merge_into_earliest(first, at);
        }
        self.grow(first, union, at);
        Some(first)
    }

    /// Gives a window new bounds, on behalf of a record at `at`.
    #[inline]
    fn grow(&mut self, slot: u32, union: Window, at: Timestamp) {
        let slot = self.slots.resize(slot, union);
        slot.timers[Domain::Event].clear();
        slot.timers[Domain::Processing].clear();
        let mut context = TriggerContext {
            window: union,
            watermark: self.watermark,
            clock: self.clock,
            domain: A::TIME,
            timers: &mut slot.timers,
        };
        blame(&self.name, at, || self.trigger.on_merged(&mut slot.state.0, &mut context));
    }

    /// Merges `slot` and those in `merging`, on behalf of a record at `at`, into the earliest of
    /// them: so what comes out does not depend on where windows lie.
    #[cold]
    fn merge_into_earliest(&mut self, slot: u32, at: Timestamp) -> u32 {
        self.merging.push(slot);
        self.merging.sort_unstable_by_key(|&slot| self.slots[slot].window.start);
        let earliest = self.merging[0];
        for other in self.merging.drain(..).skip(1) {
            let other = self.slots.remove(other);
            let slot = self.slots.touch(earliest);
            blame(&self.name, at, || {
                self.contents.merge(&mut slot.kept, other.kept);
                self.trigger.merge(&mut slot.state.0, other.state.0);
            });
        }
        earliest
    }

    /// Puts a record into a window and does what the trigger says.
    #[inline]
    pub(super) fn add(
        &mut self,
        slot: u32,
        at: Timestamp,
        record: &T,
        out: &mut impl Collect<Fired<C::Output, T>>,
    ) {
        let entry = self.slots.touch(slot);
        let mut context = TriggerContext {
            window: entry.window,
            watermark: self.watermark,
            clock: self.clock,
            domain: A::TIME,
            timers: &mut entry.timers,
        };
        let verdict = blame(&self.name, at, || {
            self.contents.add(&mut entry.kept, at, record);
            self.trigger.on_record(at, record, &mut entry.state.0, &mut context)
        });
        let sleeps = entry.sleeps(Domain::Event);
        if verdict != Verdict::Continue {
            self.obey(verdict, slot, at, out);
        }
        if !sleeps {
            self.set_alarm(slot, Domain::Event);
        }
        if Self::WANTS_CLOCK {
            self.set_alarm(slot, Domain::Processing);
        }
    }

    /// Emits and purges as the trigger says, on behalf of a record or timer at `at`.
    #[inline]
    fn obey(
        &mut self,
        verdict: Verdict,
        slot: u32,
        at: Timestamp,
        out: &mut impl Collect<Fired<C::Output, T>>,
    ) {
        let entry = self.slots.touch(slot);
        if verdict.fires() && entry.kept.is_some() {
            let key_state = self.key_state.as_mut().expect("an operator is opened first");
            enter::<K, C::KeyState>(key_state, &entry.key, self.clock, self.watermark);
            let firing = Firing {
                key: &entry.key,
                window: entry.window,
                watermark: self.watermark,
                clock: self.clock,
                window_state: &mut entry.state.1,
                key_state,
            };
            let Self { contents, evictor, results, .. } = self;
            blame(&self.name, at, || contents.fire(&mut entry.kept, firing, evictor, results));
            let last = entry.window.last();
            for result in self.results.drain(..) {
                out.record(last, Fired::Result(result));
            }
        }
        if verdict.purges() {
            entry.kept = None;
        }
    }

    /// When a window is dropped, where that goes by this clock; `None` where it is never
    /// (SEMANTICS 24).
    #[inline]
    fn cleanup(domain: Domain, window: Window, allowed_lateness: Span) -> Option<Timestamp> {
        let time = match (domain, A::TIME) {
            (Domain::Event, Domain::Event) => window.cleanup(allowed_lateness),
            (Domain::Processing, Domain::Processing) => window.last(),
            _ => return None,
        };
        (time < Timestamp::MAX).then_some(time)
    }

    /// Sees to it that the window is woken when its first timer of this clock is due.
    #[inline]
    pub(super) fn set_alarm(&mut self, slot: u32, domain: Domain) {
        let entry = self.slots.untracked(slot);
        let cleanup = Self::cleanup(domain, entry.window, self.allowed_lateness);
        let Some(time) = entry.earliest(domain, cleanup) else { return };
        if entry.wake_up[domain].is_none_or(|known| time < known) {
            entry.wake_up[domain] = Some(time);
            self.wake_ups[domain].push(WakeUp { time, number: entry.number, slot });
        }
    }

    /// Fires the timer of the first wake-up, which is due, and cleans the window up where it is
    /// time.
    pub(super) fn wake(
        &mut self,
        domain: Domain,
        wake_up: WakeUp,
        out: &mut impl Collect<Fired<C::Output, T>>,
    ) {
        let WakeUp { time, number, slot } = wake_up;
        let entry = self.slots.touch(slot);
        debug_assert_eq!(entry.number, number);
        entry.timers[domain].remove(time);
        let mut context = TriggerContext {
            window: entry.window,
            watermark: self.watermark,
            clock: self.clock,
            domain: A::TIME,
            timers: &mut entry.timers,
        };
        if domain == Domain::Event {
            out.fires(time, &entry.key);
        }
        let state = &mut entry.state.0;
        let verdict = blame(&self.name, time, || match domain {
            Domain::Event => self.trigger.on_event_time(time, state, &mut context),
            Domain::Processing => self.trigger.on_processing_time(time, state, &mut context),
        });
        if verdict != Verdict::Continue {
            self.obey(verdict, slot, time, out);
        }
        let entry = self.slots.untracked(slot);
        let cleanup = Self::cleanup(domain, entry.window, self.allowed_lateness);
        if cleanup == Some(time) {
            self.wake_ups[domain].replace_first(None);
            self.clean_up(slot, time);
            return;
        }
        entry.wake_up[domain] = entry.earliest(domain, cleanup);
        self.wake_ups[domain].replace_first(entry.wake_up[domain]);
        if Self::WANTS_CLOCK {
            // A timer of one clock may have set some of the other.
            self.set_alarm(slot, Domain::Event);
            self.set_alarm(slot, Domain::Processing);
        }
    }

    /// Drops a window, after its last firing.
    fn clean_up(&mut self, slot: u32, at: Timestamp) {
        let removed = self.slots.remove(slot);
        let key_state = self.key_state.as_mut().expect("an operator is opened first");
        enter::<K, C::KeyState>(key_state, &removed.key, self.clock, self.watermark);
        let (trigger, function) = removed.state;
        blame(&self.name, at, || {
            self.trigger.clear(trigger, removed.window);
            self.contents.clear(removed.window, function, key_state);
        });
    }

    /// The first wake-up that is due and whose window has something to do at just that time. Stale
    /// ones are dropped on the way, early ones are put off.
    pub(super) fn next_due(&mut self, domain: Domain, now: Timestamp) -> Option<WakeUp> {
        while let Some(wake_up) = self.wake_ups[domain].due(now) {
            let current = self.slots.get(wake_up.slot).filter(|slot| {
                slot.number == wake_up.number && slot.wake_up[domain] == Some(wake_up.time)
            });
            let earliest = match current {
                None => None,
                Some(slot) => {
                    let cleanup = Self::cleanup(domain, slot.window, self.allowed_lateness);
                    let earliest = slot.earliest(domain, cleanup);
                    self.slots.untracked(wake_up.slot).wake_up[domain] = earliest;
                    earliest
                }
            };
            if earliest == Some(wake_up.time) {
                return Some(wake_up);
            }
            self.wake_ups[domain].replace_first(earliest);
        }
        None
    }
}

/// Makes `key` the current one of the states, where there are any.
#[inline]
pub(super) fn enter<K: Key, S: KeyedState<Key = K>>(
    states: &mut S,
    key: &K,
    clock: Timestamp,
    watermark: Timestamp,
) {
    states.enter(stable_hash(key), key, Now { processing: clock, event: watermark });
}

/// Windows that share an instant, or where one begins when the other ends (SEMANTICS 6).
#[inline]
pub(super) fn touch(a: Window, b: Window) -> bool {
    a.start <= b.end && a.end >= b.start
}

/// The window from the start of the earlier to the end of the later.
#[inline]
pub(super) fn cover(a: Window, b: Window) -> Window {
    Window { start: a.start.min(b.start), end: a.end.max(b.end) }
}
