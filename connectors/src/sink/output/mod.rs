//! Where text goes: a file that is named when it is whole, a directory of parts, standard output.
//!
//! ```text
//! without checkpoints
//!   bars.jsonl   .bars.jsonl.inprogress --fsync, rename--> bars.jsonl
//!   bars/        .part-000000.jsonl.inprogress --> part-000000.jsonl, then part-000001.jsonl, ..
//! with checkpoints
//!   bars.jsonl   grows under its name; bars.jsonl.committed says how much of it is committed
//!   bars/        .part-000000.jsonl.inprogress --prepare--> .part-000000.jsonl.pending
//!                                              --commit--> part-000000.jsonl
//! ```

mod marked;
mod parts;
mod whole;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tailwater_core::{Clock, Error, Result};

use super::disk::OutputDisk;
use super::two_phase::RestoredState;
use crate::file::Roll;
use marked::Marked;
use parts::Parts;
use whole::Whole;

pub use marked::CommittedLength;

/// What an output is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Stdout,
    File(PathBuf),
    Parts { directory: PathBuf, extension: &'static str, roll: Roll },
}

impl Target {
    /// A path that ends in `/` is a directory of parts.
    pub(super) fn of(path: &Path, extension: &'static str, roll: Roll) -> Result<Self> {
        let named = path.to_string_lossy();
        if named.ends_with('/') {
            return Ok(Self::Parts { directory: path.to_owned(), extension, roll });
        }
        if path.is_dir() {
            return Err(Error::configuration(format!(
                "`{named}` is a directory: write `{named}/` for parts in it, or name a file"
            )));
        }
        if path.file_name().is_none() {
            return Err(Error::configuration(format!("`{named}` does not name a file")));
        }
        Ok(Self::File(path.to_owned()))
    }

    pub(super) fn is_stdout(&self) -> bool {
        *self == Self::Stdout
    }
}

/// Whether results become visible with checkpoints, or as they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Visible {
    WhenWritten,
    WhenCommitted,
}

/// An open output.
pub(super) enum Output {
    Stdout,
    Whole(Whole),
    Marked(Marked),
    Parts(Parts),
}

impl Output {
    /// Opens the output, so that what is not permitted fails now.
    ///
    /// # Errors
    /// When the directory is missing or holds parts of an earlier run, or a file cannot be created.
    pub(super) fn open(
        target: Target,
        visible: Visible,
        disk: Arc<dyn OutputDisk>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        Ok(match (target, visible) {
            (Target::Stdout, _) => Self::Stdout,
            (Target::File(path), Visible::WhenWritten) => Self::Whole(Whole::open(path, disk)?),
            (Target::File(path), Visible::WhenCommitted) => Self::Marked(Marked::open(path, disk)?),
            (Target::Parts { directory, extension, roll }, visible) => {
                Self::Parts(Parts::open(directory, extension, roll, visible, disk, clock)?)
            }
        })
    }

    /// Writes text. Whole records only, so that a part never ends within one.
    pub(super) fn write(&mut self, text: &[u8]) -> Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        match self {
            Self::Stdout => write_stdout(text),
            Self::Whole(whole) => whole.write(text),
            Self::Marked(marked) => marked.write(text),
            Self::Parts(parts) => parts.write(text),
        }
    }

    /// Whether the current part should be closed, once `waiting` more bytes are written to it.
    pub(super) fn is_due(&self, waiting: usize) -> bool {
        matches!(self, Self::Parts(parts) if parts.is_due(waiting))
    }

    /// Whether the current part has been open for long enough.
    pub(super) fn is_due_by_time(&self) -> bool {
        matches!(self, Self::Parts(parts) if parts.is_due_by_time())
    }

    pub(super) fn has_parts(&self) -> bool {
        matches!(self, Self::Parts(_))
    }

    /// Closes the current part, if there are parts.
    pub(super) fn finish_part(&mut self) -> Result<()> {
        if let Self::Parts(parts) = self { parts.finish_part() } else { Ok(()) }
    }

    /// Makes what was written durable, and says how to commit it.
    pub(super) fn pre_commit(&mut self) -> Result<Vec<u8>> {
        match self {
            Self::Stdout | Self::Whole(_) => Ok(Vec::new()),
            Self::Marked(marked) => marked.pre_commit(),
            Self::Parts(parts) => parts.pre_commit(),
        }
    }

    pub(super) fn commit(&mut self, checkpoint: u64, transaction: &[u8]) -> Result<()> {
        match self {
            Self::Stdout | Self::Whole(_) => Ok(()),
            Self::Marked(marked) => marked.commit(checkpoint, transaction),
            Self::Parts(parts) => parts.commit(transaction),
        }
    }

    /// Discards what was not committed; whether there is text before what is written next.
    pub(super) fn abort(&mut self, restored: Option<&RestoredState>) -> Result<bool> {
        match self {
            Self::Stdout | Self::Whole(_) => Ok(false),
            Self::Marked(marked) => marked.abort(restored),
            Self::Parts(parts) => parts.abort(restored).map(|()| false),
        }
    }

    pub(super) fn state(&self) -> Vec<u8> {
        match self {
            Self::Stdout | Self::Whole(_) => Vec::new(),
            Self::Marked(marked) => marked.state(),
            Self::Parts(parts) => parts.state(),
        }
    }

    pub(super) fn close(&mut self) -> Result<()> {
        match self {
            Self::Stdout | Self::Marked(_) => Ok(()),
            Self::Whole(whole) => whole.close(),
            Self::Parts(parts) => parts.close(),
        }
    }
}

fn write_stdout(text: &[u8]) -> Result<()> {
    use std::io::Write;

    let mut out = std::io::stdout().lock();
    out.write_all(text)
        .and_then(|()| out.flush())
        .map_err(|cause| Error::io("cannot write to standard output", cause))
}

/// What a checkpoint keeps of an output is JSON: small, and people can read it.
fn to_bytes(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

fn from_bytes<T: DeserializeOwned>(bytes: &[u8], what: &Path) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|cause| {
        let what = what.display();
        Error::format(format!("what the checkpoint says of the output `{what}` is damaged"))
            .caused_by(cause)
    })
}

/// The state of the one writer that there was. There is none in a checkpoint of a job that did not
/// have this sink yet.
fn only_state<T: DeserializeOwned>(
    restored: Option<&RestoredState>,
    what: &Path,
) -> Result<Option<T>> {
    match restored.map_or(&[][..], |restored| &restored.states) {
        [] => Ok(None),
        [state] => from_bytes(state, what).map(Some),
        _ => Err(Error::internal(format!("several writers wrote `{}`", what.display()))),
    }
}
