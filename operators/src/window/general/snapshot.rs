//! What the general window operator remembers at a barrier: its clocks, the states of keys, and all
//! its windows, of which those are written that have changed.
//!
//! A window is written whole: one that keeps a list of its records costs its whole list at each
//! checkpoint before which it changed.

use tailwater_core::{Key, Record, Result, Timestamp, stable_hash};
use tailwater_state::keyed::{Domain, KeyedState as _};
use tailwater_state::{SnapshotReader, SnapshotWriter};

use super::{Assigner, Contents, Evictor, GeneralWindows, Trigger};

impl<K, T, F, A, R, E, C> GeneralWindows<K, T, F, A, R, E, C>
where
    K: Key,
    T: Record,
    A: Assigner<T>,
    R: Trigger<T>,
    E: Evictor<T>,
    C: Contents<K, T, E>,
{
    pub(super) fn write(&mut self, into: &mut SnapshotWriter) -> Result<()> {
        assert!(self.pending.is_none(), "a barrier comes behind all firings");
        let Self { name, watermark, clock, slots, key_state, .. } = self;
        let key_state = key_state.as_mut().expect("an operator is opened first");
        into.operator(name, |into| {
            into.value("watermark", watermark)?;
            into.value("clock", clock)?;
            into.tracked("windows", &mut slots.entries)?;
            key_state.snapshot(into)
        })
    }

    pub(super) fn read(&mut self, from: &mut SnapshotReader) -> Result<()> {
        let Self { name, slots, watermark, clock, key_state, .. } = self;
        let key_state = key_state.as_mut().expect("an operator is opened first");
        from.operator(name, |from| {
            // On another number of cores the least of all is what all of them have promised.
            let least = |times: Vec<Timestamp>| times.into_iter().min();
            *watermark = least(from.values("watermark")?).unwrap_or(Timestamp::MIN);
            *clock = least(from.values("clock")?).unwrap_or(super::EPOCH);
            from.tracked("windows", &mut slots.entries)?;
            key_state.restore(from)
        })?;
        self.slots.link_restored(|key, window| Self::hash(stable_hash(key), window));
        let restored: Vec<u32> = self.slots.entries.iter().map(|(slot, _)| slot).collect();
        for slot in restored {
            self.set_alarm(slot, Domain::Event);
            self.set_alarm(slot, Domain::Processing);
        }
        Ok(())
    }
}
