//! What the general window operator writes at a barrier: its watermark and all its windows.

use tailwater_core::{Key, Record, Result, Timestamp};
use tailwater_state::{SnapshotReader, SnapshotWriter};

use super::{Assigner, Contents, Evictor, GeneralWindows, Trigger};
use crate::window::Window;

/// A window in a snapshot: key, bounds, contents, trigger state, timers and number.
type Saved<K, C, S> = (K, Window, Option<C>, S, Vec<Timestamp>, u64);

impl<K, T, F, A, R, E, C> GeneralWindows<K, T, F, A, R, E, C>
where
    K: Key,
    T: Record,
    A: Assigner<T>,
    R: Trigger<T>,
    E: Evictor<T>,
    C: Contents<K, T, E>,
{
    /// The same windows make the same bytes, whatever slots they are in.
    pub(super) fn write(&self, into: &mut SnapshotWriter) -> Result<()> {
        let mut windows: Vec<Saved<K, C::Kept, R::State>> = self
            .slots
            .iter()
            .map(|slot| {
                (
                    slot.key.clone(),
                    slot.window,
                    slot.kept.clone(),
                    slot.state.clone(),
                    slot.timers.to_vec(),
                    slot.number,
                )
            })
            .collect();
        windows.sort_unstable_by_key(|window| window.5);
        into.operator(&self.name, |into| {
            into.value("watermark", &self.watermark)?;
            into.value("windows", &windows)
        })
    }

    pub(super) fn read(&mut self, from: &mut SnapshotReader) -> Result<()> {
        let (watermark, windows) = from.operator(&self.name, |from| {
            let windows: Option<Vec<Saved<K, C::Kept, R::State>>> = from.value("windows")?;
            Ok::<_, tailwater_core::Error>((from.value("watermark")?, windows))
        })?;
        if let Some(watermark) = watermark {
            self.watermark = watermark;
        }
        for (key, window, kept, state, timers, number) in windows.into_iter().flatten() {
            let hash = Self::hash(&key, window);
            let slot = self.slots.insert_numbered(hash, key, window, number);
            let entry = &mut self.slots[slot];
            entry.kept = kept;
            entry.state = state;
            entry.timers = timers.into_iter().collect();
            self.set_alarm(slot);
        }
        Ok(())
    }
}
