//! Which files are kept: what a retained checkpoint, the chain or a merge needs, and nothing else.

use std::collections::BTreeSet;

use tailwater_core::{ErrorKind, Fault, Result, fault};

use super::checkpoints::Checkpoints;
use super::names::{self, Named};
use super::opened::{checkpoints_in, foreign};
use super::segment_reader::read_header;

impl Checkpoints {
    /// Deletes what no checkpoint that is kept refers to: manifests first.
    pub(super) fn sweep(&mut self) -> Result<()> {
        let surplus = self.completed.len().saturating_sub(self.settings.retain.max(1));
        self.completed.drain(..surplus);
        let newest = self.completed.last().map_or(0, |newest| newest.checkpoint);
        for number in checkpoints_in(&*self.store)? {
            let is_kept = self.completed.iter().any(|kept| kept.checkpoint == number);
            if !is_kept && number < newest {
                self.store.delete(&names::manifest(number))?;
            }
        }
        self.sweep_segments()
    }

    /// Deletes segments that nothing refers to.
    pub(super) fn sweep_segments(&mut self) -> Result<()> {
        let kept = self.completed.iter().flat_map(|manifest| &manifest.segments);
        let mut kept: BTreeSet<_> =
            kept.chain(&self.chain).map(|segment| segment.name.as_str()).collect();
        if let Some(merging) = &self.merging {
            kept.extend(merging.inputs.iter().map(String::as_str));
        }
        if fault(Fault::DeleteReferencedFile) {
            kept.pop_first();
        }
        for listed in self.store.list()? {
            let is_segment = names::parse(&listed.name) == Some(Named::Segment);
            if is_segment && !kept.contains(listed.name.as_str()) {
                self.store.delete(&listed.name)?;
            }
        }
        Ok(())
    }

    /// A store without manifests may still have been begun by another job.
    pub(super) fn refuse_foreign_segments(&self) -> Result<()> {
        for listed in self.store.list()? {
            if names::parse(&listed.name) != Some(Named::Segment) {
                continue;
            }
            let Some(file) = self.store.open(&listed.name)? else { continue };
            match read_header(&*file, &listed.name) {
                Ok(header) if header.job != self.settings.job => {
                    return Err(foreign(&*self.store, &header.job, &self.settings.job));
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Format => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
