//! Where text goes: a file that is named when it is whole, a directory of parts, standard output.
//!
//! ```text
//! bars.jsonl   .bars.jsonl.inprogress --fsync, rename--> bars.jsonl
//! bars/        .part-000000.jsonl.inprogress -> part-000000.jsonl, then part-000001.jsonl, ..
//! ```

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tailwater_core::{Clock, Error, Result};

use crate::file::Roll;

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
}

/// An open output.
pub(super) struct Output {
    target: Target,
    clock: Arc<dyn Clock>,
    part: Option<Part>,
    parts: u64,
}

struct Part {
    file: File,
    path: PathBuf,
    in_progress: PathBuf,
    bytes: u64,
    opened_ns: u64,
}

impl Output {
    /// Opens the output and its first file, so that what is not permitted fails now.
    ///
    /// # Errors
    /// When the directory is missing or holds parts of an earlier run, or a file cannot be created.
    pub(super) fn open(target: Target, clock: Arc<dyn Clock>) -> Result<Self> {
        if let Target::Parts { directory, .. } = &target {
            prepare_directory(directory)?;
        }
        let mut output = Self { target, clock, part: None, parts: 0 };
        output.begin()?;
        Ok(output)
    }

    fn begin(&mut self) -> Result<()> {
        let path = match &self.target {
            Target::Stdout => return Ok(()),
            Target::File(path) => path.clone(),
            // Six digits sort in order up to a million parts, and after that no worse than not at
            // all.
            Target::Parts { directory, extension, .. } => {
                directory.join(format!("part-{:06}.{extension}", self.parts))
            }
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let in_progress = path.with_file_name(format!(".{name}.inprogress"));
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&in_progress)
            .map_err(|cause| Error::io(format!("cannot create `{}`", path.display()), cause))?;
        let opened_ns = self.clock.monotonic_ns();
        self.part = Some(Part { file, path, in_progress, bytes: 0, opened_ns });
        self.parts += 1;
        Ok(())
    }

    /// Writes text. Whole records only, so that a part never ends within one.
    pub(super) fn write(&mut self, text: &[u8]) -> Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        if self.target == Target::Stdout {
            let mut out = std::io::stdout().lock();
            return out
                .write_all(text)
                .and_then(|()| out.flush())
                .map_err(|cause| Error::io("cannot write to standard output", cause));
        }
        if self.part.is_none() {
            self.begin()?;
        }
        let Some(part) = &mut self.part else {
            return Err(Error::internal("an output has no open file"));
        };
        part.bytes += text.len() as u64;
        part.file
            .write_all(text)
            .map_err(|cause| Error::io(format!("cannot write `{}`", part.path.display()), cause))
    }

    /// Whether the current part should be closed, once `waiting` more bytes are written to it.
    pub(super) fn is_due(&self, waiting: usize) -> bool {
        let Target::Parts { roll, .. } = &self.target else { return false };
        let bytes = self.part.as_ref().map_or(0, |part| part.bytes) + waiting as u64;
        roll.bytes_max > 0 && bytes >= roll.bytes_max
    }

    /// Whether the current part has been open for long enough.
    pub(super) fn is_due_by_time(&self) -> bool {
        let (Target::Parts { roll, .. }, Some(part)) = (&self.target, &self.part) else {
            return false;
        };
        let open_ns = self.clock.monotonic_ns().saturating_sub(part.opened_ns);
        roll.span_max.nanos() > 0 && open_ns >= roll.span_max.nanos().unsigned_abs()
    }

    /// Gives the current file its name. A part that nothing was written to is not kept.
    pub(super) fn finish_part(&mut self) -> Result<()> {
        let Some(part) = self.part.take() else { return Ok(()) };
        let finish = || -> std::io::Result<()> {
            if part.bytes == 0 && matches!(self.target, Target::Parts { .. }) {
                return std::fs::remove_file(&part.in_progress);
            }
            part.file.sync_all()?;
            std::fs::rename(&part.in_progress, &part.path)?;
            // The name is on disk once its directory is.
            let directory = part.path.parent().filter(|path| !path.as_os_str().is_empty());
            File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
        };
        finish()
            .map_err(|cause| Error::io(format!("cannot finish `{}`", part.path.display()), cause))
    }
}

fn prepare_directory(directory: &Path) -> Result<()> {
    let shown = directory.display();
    if !directory.is_dir() {
        return std::fs::create_dir(directory)
            .map_err(|cause| Error::io(format!("cannot create the directory `{shown}`"), cause));
    }
    let entries = std::fs::read_dir(directory)
        .map_err(|cause| Error::io(format!("cannot list `{shown}`"), cause))?;
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with("part-") {
            return Err(Error::configuration(format!(
                "`{shown}` already holds `{}`: name an empty directory, or remove its parts",
                entry.file_name().display()
            )));
        }
    }
    Ok(())
}
