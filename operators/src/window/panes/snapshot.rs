//! What pane windows remember at a barrier, and how they take it up again.
//!
//! ```text
//! windows    (size, slide, offset)          refused at restore when the job's are others
//! watermark  Timestamp                      fired and cleaned windows follow from it
//! total      (first pane, last pane)        the sum itself follows from the panes
//! panes      [ordinal]                      and for each: pane <ordinal> = [(key, accumulator)]
//! ```

use tailwater_core::{Error, Key, Record, Result, Span, Timestamp, stable_hash};
use tailwater_state::{SnapshotReader, SnapshotWriter};

use super::{HotPane, PaneWindows};
use crate::Aggregator;

impl<K, T, F, G> PaneWindows<K, T, F, G>
where
    K: Key,
    T: Record,
    F: FnMut(&T) -> K + Clone + Send + 'static,
    G: Aggregator<T>,
{
    pub(super) fn write(&self, into: &mut SnapshotWriter) -> Result<()> {
        if self.firing.is_some() {
            return Err(Error::internal(format!(
                "`{}` was asked for a snapshot while windows were firing",
                self.name
            )));
        }
        let windows: (Span, Span, Span) =
            (self.windows.size, self.windows.slide, self.windows.offset);
        into.value("windows", &windows)?;
        into.value("watermark", &self.watermark)?;
        into.value("total", &(self.total.first, self.total.last))?;
        let ordinals: Vec<i64> = self.panes.all().iter().map(|pane| pane.ordinal).collect();
        into.value("panes", &ordinals)?;
        for pane in self.panes.all() {
            let entries: Vec<(K, G::Accumulator)> = pane
                .table
                .iter()
                .map(|(_, key, accumulator)| (key.clone(), accumulator.clone()))
                .collect();
            into.value(&pane_name(pane.ordinal), &entries)?;
        }
        Ok(())
    }

    pub(super) fn read(&mut self, from: &mut SnapshotReader) -> Result<()> {
        let windows = (self.windows.size, self.windows.slide, self.windows.offset);
        let Some(stored) = from.value::<(Span, Span, Span)>("windows")? else { return Ok(()) };
        if stored != windows {
            return Err(Error::configuration(format!(
                "the snapshot of `{}` has windows of {} every {} from {}, the job {} every {} from {}: \
                 restore with the same windows, or start without the snapshot",
                self.name, stored.0, stored.1, stored.2, windows.0, windows.1, windows.2
            )));
        }
        let watermark = self.expect::<Timestamp>("watermark", from)?;
        self.set_watermark(watermark);
        self.hot = HotPane::NONE;
        for ordinal in self.expect::<Vec<i64>>("panes", from)? {
            let entries = self.expect::<Vec<(K, G::Accumulator)>>(&pane_name(ordinal), from)?;
            let index = self.panes.get_or_create(ordinal);
            let table = self.panes.table_mut(index);
            for (key, accumulator) in entries {
                table.get_or_insert_with(stable_hash(&key), key, || accumulator);
            }
        }
        let (first, last) = self.expect::<(i64, i64)>("total", from)?;
        if first <= last {
            self.total.move_to((first, last), &self.panes, &self.aggregator);
        }
        Ok(())
    }

    fn expect<V: Record>(&self, state: &str, from: &mut SnapshotReader) -> Result<V> {
        from.value(state)?.ok_or_else(|| {
            Error::format(format!("the snapshot of `{}` has no `{state}`", self.name))
        })
    }
}

fn pane_name(ordinal: i64) -> String {
    format!("pane {ordinal}")
}
