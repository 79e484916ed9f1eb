//! A directory of numbered parts, each a whole file once it has its name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tailwater_core::{Clock, Error, Fault, Result, fault};

use super::{Visible, from_bytes, only_state, to_bytes};
use crate::file::Roll;
use crate::sink::disk::{OutputDisk, OutputFile, directory_of};
use crate::sink::two_phase::RestoredState;

/// An open directory.
pub(in crate::sink) struct Parts {
    directory: PathBuf,
    extension: &'static str,
    roll: Roll,
    visible: Visible,
    disk: Arc<dyn OutputDisk>,
    clock: Arc<dyn Clock>,
    part: Option<Part>,
    /// The number of the next part.
    next: u64,
    /// Those that were closed since the last `pre_commit`.
    closed: Vec<ClosedPart>,
}

struct Part {
    file: Box<dyn OutputFile>,
    number: u64,
    bytes: u64,
    opened_ns: u64,
}

/// A part that waits for its commit, as a checkpoint keeps it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct ClosedPart {
    number: u64,
    bytes: u64,
}

/// What a checkpoint keeps besides.
#[derive(Serialize, Deserialize)]
struct Next {
    next: u64,
}

impl Parts {
    /// Opens a directory, and its first part where there is nothing to be restored before.
    pub(super) fn open(
        directory: PathBuf,
        extension: &'static str,
        roll: Roll,
        visible: Visible,
        disk: Arc<dyn OutputDisk>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let (part, next, closed) = (None, 0, Vec::new());
        let mut parts =
            Self { directory, extension, roll, visible, disk, clock, part, next, closed };
        if parts.list()?.is_none() {
            parts.disk.create_directory(&parts.directory).map_err(|cause| {
                let shown = parts.directory.display();
                Error::io(format!("cannot create the directory `{shown}`"), cause)
            })?;
        }
        // Also where it was there: a run that crashed may have made it just before.
        parts.disk.sync_directory(directory_of(&parts.directory)).map_err(|cause| {
            let shown = parts.directory.display();
            Error::io(format!("cannot make the directory `{shown}` durable"), cause)
        })?;
        if visible == Visible::WhenWritten {
            parts.check_empty()?;
            parts.begin()?;
        }
        Ok(parts)
    }

    fn list(&self) -> Result<Option<Vec<String>>> {
        let shown = self.directory.display();
        let listed = self.disk.list(&self.directory);
        listed.map_err(|cause| Error::io(format!("cannot list `{shown}`"), cause))
    }

    fn check_empty(&self) -> Result<()> {
        let names = self.list()?.unwrap_or_default();
        match names.into_iter().find(|name| name.starts_with("part-")) {
            None => Ok(()),
            Some(name) => Err(Error::configuration(format!(
                "`{}` already holds `{name}`: name an empty directory, or remove its parts",
                self.directory.display()
            ))),
        }
    }

    /// Six digits sort in order up to a million parts, and after that no worse than not at all.
    fn name(&self, number: u64) -> String {
        format!("part-{number:06}.{}", self.extension)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.directory.join(self.name(number))
    }

    fn in_progress(&self, number: u64) -> PathBuf {
        self.directory.join(format!(".{}.inprogress", self.name(number)))
    }

    fn pending(&self, number: u64) -> PathBuf {
        self.directory.join(format!(".{}.pending", self.name(number)))
    }

    fn begin(&mut self) -> Result<()> {
        let number = self.next;
        let file = self.disk.create(&self.in_progress(number)).map_err(|cause| {
            Error::io(format!("cannot create `{}`", self.path(number).display()), cause)
        })?;
        self.part = Some(Part { file, number, bytes: 0, opened_ns: self.clock.monotonic_ns() });
        self.next += 1;
        Ok(())
    }

    pub(super) fn write(&mut self, text: &[u8]) -> Result<()> {
        if self.part.is_none() {
            self.begin()?;
        }
        let Some(part) = &mut self.part else {
            return Err(Error::internal("an output has no open file"));
        };
        part.bytes += text.len() as u64;
        let number = part.number;
        part.file.append(text).map_err(|cause| {
            Error::io(format!("cannot write `{}`", self.path(number).display()), cause)
        })
    }

    pub(super) fn is_due(&self, waiting: usize) -> bool {
        let bytes = self.part.as_ref().map_or(0, |part| part.bytes) + waiting as u64;
        self.roll.bytes_max > 0 && bytes >= self.roll.bytes_max
    }

    pub(super) fn is_due_by_time(&self) -> bool {
        let span_ns = self.roll.span_max.nanos();
        span_ns > 0
            && self.part.as_ref().is_some_and(|part| {
                self.clock.monotonic_ns().saturating_sub(part.opened_ns) >= span_ns.unsigned_abs()
            })
    }

    /// Closes the current part: it gets its name, or the one under which it waits for its commit. A
    /// part that nothing was written to is not kept.
    pub(super) fn finish_part(&mut self) -> Result<()> {
        let Some(mut part) = self.part.take() else { return Ok(()) };
        let number = part.number;
        let mut finish = || {
            if part.bytes == 0 {
                return self.disk.remove(&self.in_progress(number));
            }
            part.file.sync()?;
            let named = match self.visible {
                Visible::WhenWritten => self.path(number),
                Visible::WhenCommitted => self.pending(number),
            };
            self.disk.rename(&self.in_progress(number), &named)?;
            // The name is on disk once its directory is.
            self.disk.sync_directory(&self.directory)
        };
        finish().map_err(|cause| {
            Error::io(format!("cannot finish `{}`", self.path(number).display()), cause)
        })?;
        if part.bytes == 0 {
            self.next = number;
        } else if self.visible == Visible::WhenCommitted {
            self.closed.push(ClosedPart { number, bytes: part.bytes });
        }
        Ok(())
    }

    pub(super) fn pre_commit(&mut self) -> Result<Vec<u8>> {
        self.finish_part()?;
        if self.closed.is_empty() {
            return Ok(Vec::new());
        }
        Ok(to_bytes(&std::mem::take(&mut self.closed)))
    }

    /// A part that is open at a checkpoint belongs to the epoch after it, so its number is free to
    /// one that goes on from there.
    pub(super) fn state(&self) -> Vec<u8> {
        to_bytes(&Next { next: self.part.as_ref().map_or(self.next, |part| part.number) })
    }

    pub(super) fn commit(&mut self, transaction: &[u8]) -> Result<()> {
        let parts: Vec<ClosedPart> = from_bytes(transaction, &self.directory)?;
        for part in parts {
            self.commit_part(part)?;
        }
        self.disk.sync_directory(&self.directory).map_err(|cause| {
            Error::io(format!("cannot commit parts in `{}`", self.directory.display()), cause)
        })
    }

    fn commit_part(&self, ClosedPart { number, bytes }: ClosedPart) -> Result<()> {
        let (pending, path) = (self.pending(number), self.path(number));
        let failed = |cause| Error::io(format!("cannot commit `{}`", path.display()), cause);
        let len_of = |path: &Path| self.disk.len(path).map_err(failed);
        let (found, is_pending) = match len_of(&pending)? {
            Some(found) => (found, true),
            None => match len_of(&path)? {
                Some(found) => (found, false),
                None => {
                    return Err(Error::configuration(format!(
                        "the checkpoint has written `{}`, which is there neither under this name \
                         nor as `{}`: put it back, or start afresh",
                        path.display(),
                        pending.display()
                    )));
                }
            },
        };
        if found != bytes {
            return Err(Error::format(format!(
                "the checkpoint has written {bytes} bytes to `{}`, but there are {found}: put the \
                 file back, or start afresh",
                path.display()
            )));
        }
        if is_pending { self.disk.rename(&pending, &path).map_err(failed) } else { Ok(()) }
    }

    /// Removes what no checkpoint has committed; goes on behind the parts that one has.
    pub(super) fn abort(&mut self, restored: Option<&RestoredState>) -> Result<()> {
        let state: Option<Next> = only_state(restored, &self.directory)?;
        self.next = match state {
            Some(Next { next }) => next,
            None => {
                self.check_empty()?;
                0
            }
        };
        for name in self.list()?.unwrap_or_default() {
            if self.is_left_over(&name) {
                let path = self.directory.join(&name);
                self.disk.remove(&path).map_err(|cause| {
                    Error::io(format!("cannot remove `{}`", path.display()), cause)
                })?;
            }
        }
        self.disk.sync_directory(&self.directory).map_err(|cause| {
            Error::io(format!("cannot clear `{}`", self.directory.display()), cause)
        })?;
        self.begin()
    }

    /// Whether a file is one of ours that is not committed: one under way, or one that a later
    /// checkpoint than the restored one has committed and whose records come again.
    fn is_left_over(&self, name: &str) -> bool {
        if fault(Fault::SkipTruncation) {
            return false;
        }
        let hidden = name.strip_prefix('.').and_then(|name| {
            name.strip_suffix(".inprogress").or_else(|| name.strip_suffix(".pending"))
        });
        let visible = hidden.unwrap_or(name);
        let number = visible
            .strip_prefix("part-")
            .and_then(|name| name.strip_suffix(self.extension))
            .and_then(|name| name.strip_suffix('.'))
            .and_then(|digits| digits.parse::<u64>().ok());
        number.is_some_and(|number| hidden.is_some() || number >= self.next)
    }

    /// What is not committed stays under its hidden name, and is removed by the next run.
    pub(super) fn close(&mut self) -> Result<()> {
        match (&self.part, self.visible) {
            (Some(part), Visible::WhenCommitted) if part.bytes > 0 => Ok(()),
            _ => self.finish_part(),
        }
    }
}
