//! A file that gets its name when it is whole.

use std::path::PathBuf;
use std::sync::Arc;

use tailwater_core::{Error, Result};

use super::marked::sidecar_of;
use crate::sink::disk::{OutputDisk, OutputFile, directory_of};

/// A file under way under another name.
pub(in crate::sink) struct Whole {
    file: Option<Box<dyn OutputFile>>,
    path: PathBuf,
    in_progress: PathBuf,
    disk: Arc<dyn OutputDisk>,
}

impl Whole {
    pub(super) fn open(path: PathBuf, disk: Arc<dyn OutputDisk>) -> Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let in_progress = path.with_file_name(format!(".{name}.inprogress"));
        let file = disk
            .create(&in_progress)
            .map_err(|cause| Error::io(format!("cannot create `{}`", path.display()), cause))?;
        Ok(Self { file: Some(file), path, in_progress, disk })
    }

    pub(super) fn write(&mut self, text: &[u8]) -> Result<()> {
        let Some(file) = &mut self.file else {
            return Err(Error::internal("a finished file was written to"));
        };
        file.append(text)
            .map_err(|cause| Error::io(format!("cannot write `{}`", self.path.display()), cause))
    }

    pub(super) fn close(&mut self) -> Result<()> {
        let Some(mut file) = self.file.take() else { return Ok(()) };
        // What an earlier run with checkpoints said of a file of this name is not true of this one.
        let sidecar = sidecar_of(&self.path);
        let forget = || match self.disk.len(&sidecar)? {
            Some(_) => self.disk.remove(&sidecar),
            None => Ok(()),
        };
        file.sync()
            .and_then(|()| forget())
            .and_then(|()| self.disk.rename(&self.in_progress, &self.path))
            // The name is on disk once its directory is.
            .and_then(|()| self.disk.sync_directory(directory_of(&self.path)))
            .map_err(|cause| Error::io(format!("cannot finish `{}`", self.path.display()), cause))
    }
}
