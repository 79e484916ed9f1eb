//! What pane windows remember at a barrier, and how they take it up again.
//!
//! ```text
//! windows    (size, slide, offset)          refused at restore when the job's are others
//! watermark  Timestamp                      fired and cleaned windows follow from it
//! panes      ordinal, key -> accumulator    tracked; the total follows from them
//! ```

use tailwater_core::{Error, Key, Record, Result, Span, Timestamp};
use tailwater_state::{SnapshotReader, SnapshotWriter};

use super::PaneWindows;
use crate::Aggregator;

impl<K, T, F, G> PaneWindows<K, T, F, G>
where
    K: Key,
    T: Record,
    F: FnMut(&T) -> K + Clone + Send + 'static,
    G: Aggregator<T>,
{
    pub(super) fn write(&mut self, into: &mut SnapshotWriter) -> Result<()> {
        assert!(self.firing.is_none(), "a barrier comes behind all firings");
        let Self { name, windows, watermark, panes, .. } = self;
        into.operator(name, |into| {
            into.value("windows", &(windows.size, windows.slide, windows.offset))?;
            into.value("watermark", watermark)?;
            into.tracked("panes", panes)
        })
    }

    /// The watermark becomes the least of all cores: what it has not passed fires here, and no
    /// window that another core has fired is in this core's panes. The total is summed when the
    /// next window fires.
    pub(super) fn read(&mut self, from: &mut SnapshotReader) -> Result<()> {
        let Self { name, windows, panes, .. } = self;
        let (stored, watermarks) = from.operator(name, |from| {
            let stored: Option<(Span, Span, Span)> = from.value("windows")?;
            from.tracked("panes", panes)?;
            Ok::<_, Error>((stored, from.values::<Timestamp>("watermark")?))
        })?;
        let windows = (windows.size, windows.slide, windows.offset);
        if let Some(stored) = stored.filter(|stored| *stored != windows) {
            return Err(Error::configuration(format!(
                "the snapshot of `{name}` has windows of {} every {} from {}, the job {} every {} \
                 from {}: restore with the same windows, or start without the snapshot",
                stored.0, stored.1, stored.2, windows.0, windows.1, windows.2
            )));
        }
        if let Some(least) = watermarks.into_iter().min() {
            self.set_watermark(least);
            self.is_restored = true;
        }
        Ok(())
    }
}
