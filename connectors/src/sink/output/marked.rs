//! A file that grows under its name, and beside it a small one that says how much is committed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tailwater_core::{Error, Fault, Result, fault};

use super::{from_bytes, only_state, to_bytes};
use crate::sink::disk::{OutputDisk, OutputFile, directory_of};
use crate::sink::two_phase::RestoredState;

/// What `FILE.committed` says about `FILE`, as a line of JSON: readers read no further.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommittedLength {
    /// So many bytes from the start of the file are committed and will not change.
    pub committed_bytes: u64,
    /// By this checkpoint; zero before the first.
    pub checkpoint: u64,
}

impl CommittedLength {
    /// What is committed of an output file.
    ///
    /// # Errors
    /// When there is no such file beside it, or it cannot be read.
    pub fn of(output: &Path) -> Result<Self> {
        let sidecar = sidecar_of(output);
        let bytes = std::fs::read(&sidecar).map_err(|cause| {
            Error::io(format!("cannot read what is committed from `{}`", sidecar.display()), cause)
        })?;
        from_bytes(&bytes, output)
    }
}

pub(super) fn sidecar_of(output: &Path) -> PathBuf {
    let name = output.file_name().unwrap_or_default().to_string_lossy();
    output.with_file_name(format!("{name}.committed"))
}

/// The length of the file at a checkpoint.
#[derive(Serialize, Deserialize)]
struct Length {
    bytes: u64,
}

/// The open file. It is opened by the first `abort`: until then it is not known what of it stays.
pub(in crate::sink) struct Marked {
    path: PathBuf,
    sidecar: PathBuf,
    disk: Arc<dyn OutputDisk>,
    file: Option<Box<dyn OutputFile>>,
    bytes: u64,
    /// What the sidecar says.
    committed: Option<CommittedLength>,
}

impl Marked {
    pub(super) fn open(path: PathBuf, disk: Arc<dyn OutputDisk>) -> Result<Self> {
        let sidecar = sidecar_of(&path);
        let bytes = disk
            .read(&sidecar)
            .map_err(|cause| Error::io(format!("cannot read `{}`", sidecar.display()), cause))?;
        let committed = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Ok(Self { path, sidecar, disk, file: None, bytes: 0, committed })
    }

    fn failed(&self, what: &str, cause: std::io::Error) -> Error {
        Error::io(format!("cannot {what} `{}`", self.path.display()), cause)
    }

    pub(super) fn write(&mut self, text: &[u8]) -> Result<()> {
        let Some(file) = &mut self.file else {
            return Err(Error::internal("an output was written to before it was opened"));
        };
        self.bytes += text.len() as u64;
        file.append(text).map_err(|cause| self.failed("write", cause))
    }

    pub(super) fn pre_commit(&mut self) -> Result<Vec<u8>> {
        if let Some(file) = &mut self.file {
            file.sync().map_err(|cause| self.failed("flush", cause))?;
        }
        Ok(self.state())
    }

    pub(super) fn state(&self) -> Vec<u8> {
        to_bytes(&Length { bytes: self.bytes })
    }

    pub(super) fn commit(&mut self, checkpoint: u64, transaction: &[u8]) -> Result<()> {
        let Length { bytes } = from_bytes(transaction, &self.path)?;
        if self.file.is_none() {
            self.check_len(bytes)?;
        }
        // A restored checkpoint's older transactions must not take back what a younger one has
        // committed.
        if self.committed.is_some_and(|committed| committed.checkpoint >= checkpoint) {
            return Ok(());
        }
        self.mark(CommittedLength { committed_bytes: bytes, checkpoint })
    }

    /// The file must have what the checkpoint says was written and made durable.
    fn check_len(&self, bytes: u64) -> Result<()> {
        let found = self.disk.len(&self.path).map_err(|cause| self.failed("look at", cause))?;
        if found.is_some_and(|found| found >= bytes) || bytes == 0 {
            return Ok(());
        }
        let path = self.path.display();
        Err(Error::configuration(format!(
            "the checkpoint has written {bytes} bytes to `{path}`, but it has {}: put the file \
             back, or start afresh",
            found.map_or_else(|| "gone".to_owned(), |found| format!("only {found}"))
        )))
    }

    /// Replaces the sidecar.
    fn mark(&mut self, committed: CommittedLength) -> Result<()> {
        let name = self.sidecar.file_name().unwrap_or_default().to_string_lossy();
        let new = self.sidecar.with_file_name(format!(".{name}.new"));
        let mut line = to_bytes(&committed);
        line.push(b'\n');
        let replace = || {
            let mut file = self.disk.create(&new)?;
            file.append(&line)?;
            file.sync()?;
            self.disk.rename(&new, &self.sidecar)?;
            self.disk.sync_directory(directory_of(&self.sidecar))
        };
        replace().map_err(|cause| {
            Error::io(format!("cannot replace `{}`", self.sidecar.display()), cause)
        })?;
        self.committed = Some(committed);
        Ok(())
    }

    /// Cuts the file off where the checkpoint ends, or begins it anew; whether anything is left.
    pub(super) fn abort(&mut self, restored: Option<&RestoredState>) -> Result<bool> {
        let state: Option<Length> = only_state(restored, &self.path)?;
        let checkpoint = restored.map_or(0, |restored| restored.checkpoint);
        let bytes = state.map_or(0, |state| state.bytes);
        self.check_len(bytes)?;
        // Before the file is cut, so that nobody is told to read what is not there.
        let is_right = |committed: CommittedLength| {
            committed.committed_bytes == bytes && committed.checkpoint <= checkpoint
        };
        if !self.committed.is_some_and(is_right) {
            self.mark(CommittedLength { committed_bytes: bytes, checkpoint })?;
        }
        let file = if bytes == 0 {
            self.disk.create(&self.path).map_err(|cause| self.failed("create", cause))?
        } else {
            self.reopen(bytes)?
        };
        self.disk
            .sync_directory(directory_of(&self.path))
            .map_err(|cause| self.failed("create", cause))?;
        (self.file, self.bytes) = (Some(file), bytes);
        Ok(bytes > 0)
    }

    fn reopen(&self, bytes: u64) -> Result<Box<dyn OutputFile>> {
        if fault(Fault::SkipTruncation) {
            let len = self.disk.len(&self.path).ok().flatten().unwrap_or(bytes);
            return self.disk.reopen(&self.path, len).map_err(|cause| self.failed("open", cause));
        }
        self.disk.reopen(&self.path, bytes).map_err(|cause| self.failed("cut off", cause))
    }
}
