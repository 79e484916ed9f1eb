//! What the general window operator remembers at a barrier: its watermark, and all its windows, of
//! which those are written that have changed.
//!
//! A window is written whole: one that keeps a list of its records costs its whole list at each
//! checkpoint before which it changed.

use tailwater_core::{Key, Record, Result, Timestamp};
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
        let Self { name, watermark, slots, .. } = self;
        into.operator(name, |into| {
            into.value("watermark", watermark)?;
            into.tracked("windows", &mut slots.entries)
        })
    }

    pub(super) fn read(&mut self, from: &mut SnapshotReader) -> Result<()> {
        let Self { name, slots, .. } = self;
        let watermarks: Vec<Timestamp> = from.operator(name, |from| {
            from.tracked("windows", &mut slots.entries)?;
            from.values("watermark")
        })?;
        self.watermark = watermarks.into_iter().min().unwrap_or(Timestamp::MIN);
        self.slots.link_restored(Self::hash);
        let restored: Vec<u32> = self.slots.entries.iter().map(|(slot, _)| slot).collect();
        restored.into_iter().for_each(|slot| self.set_alarm(slot));
        Ok(())
    }
}
