//! A set of files of one format with its options, and what makes it a source.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tailwater_core::{Counters, Error, Fault, Record, Result, Span, fault};
use tailwater_operators::{Source, SourceContext, SplitPosition, SplitReader};

use super::archive::Archive;
use super::decoder::{Decoder, Format};
use super::policy::{Letters, Policy};
use super::pump::Pump;
use super::reader::{self, Extent, Inline, Open, Threaded};
use super::sniff::HEAD_BYTES;
use super::{Csv, Dialect, Looks, OnError, Paths, Unit};
use crate::market::Trades;
use crate::sink::{Machine, OutputDisk};

/// Files of one format, to read or to write.
#[derive(Debug)]
pub struct FileSet<F> {
    format: F,
    paths: Paths,
    on_error: OnError,
    limit: Option<u64>,
    roll: Roll,
    disk: Arc<dyn OutputDisk>,
    /// What `splits` found; `open` reads it.
    opened: Mutex<Option<Opened>>,
}

/// When a directory's current part is closed and the next one begun. Zero or less means never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roll {
    /// After the record that makes the part this long.
    pub bytes_max: u64,
    /// When the part has been open for so long.
    pub span_max: Span,
}

impl Default for Roll {
    /// 128 MiB, and no time.
    fn default() -> Self {
        Self { bytes_max: 128 << 20, span_max: Span::ZERO }
    }
}

#[derive(Clone)]
struct Opened {
    files: Arc<[PathBuf]>,
    policy: Arc<Policy>,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("files", &self.files).finish_non_exhaustive()
    }
}

impl<F> FileSet<F> {
    pub(super) fn new(format: F, paths: impl Into<Paths>) -> Self {
        Self {
            format,
            paths: paths.into(),
            on_error: OnError::default(),
            limit: None,
            roll: Roll::default(),
            disk: Arc::new(Machine),
            opened: Mutex::new(None),
        }
    }

    /// What to do about malformed input; by default the job fails.
    #[must_use]
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.on_error = on_error;
        self
    }

    /// Reads only the first `records` of each file.
    #[must_use]
    pub fn limit(mut self, records: u64) -> Self {
        self.limit = Some(records);
        self
    }

    /// When the parts of an output directory are closed.
    #[must_use]
    pub fn roll(mut self, roll: Roll) -> Self {
        self.roll = roll;
        self
    }

    /// Writes to another disk than the machine's: one that a test crashes, for instance.
    #[must_use]
    pub fn on_disk(mut self, disk: Arc<dyn OutputDisk>) -> Self {
        self.disk = disk;
        self
    }

    pub(crate) fn disk(&self) -> Arc<dyn OutputDisk> {
        self.disk.clone()
    }

    pub(crate) fn format(&self) -> &F {
        &self.format
    }

    pub(crate) fn roll_of(&self) -> Roll {
        self.roll
    }

    /// The one path of an output.
    ///
    /// # Errors
    /// When there are several, or none.
    pub(crate) fn output(&self) -> Result<&Path> {
        match self.paths.given() {
            [path] => Ok(path),
            paths => Err(Error::configuration(format!(
                "an output is one file or directory, not {}: name one path",
                paths.len()
            ))),
        }
    }

    /// The output's name for messages.
    pub(crate) fn output_shown(&self) -> String {
        self.paths_shown()
    }

    fn paths_shown(&self) -> String {
        let shown: Vec<_> = self.paths.given().iter().map(|p| p.display().to_string()).collect();
        shown.join(" ")
    }
}

impl<T> FileSet<Csv<T>> {
    /// What separates the fields; by default a comma.
    #[must_use]
    pub fn delimiter(mut self, delimiter: u8) -> Self {
        self.format.dialect.delimiter = delimiter;
        self
    }

    /// Reads columns as fields of other names: pairs of the column's name in the file and the
    /// field's name in the record.
    #[must_use]
    pub fn columns(mut self, columns: &[(&str, &str)]) -> Self {
        self.format.dialect.map(columns);
        self
    }
}

impl FileSet<Trades> {
    /// As [`FileSet::delimiter`] of CSV, for those files that are CSV.
    #[must_use]
    pub fn delimiter(mut self, delimiter: u8) -> Self {
        self.format.dialect.delimiter = delimiter;
        self
    }

    /// As [`FileSet::columns`] of CSV, for those files that are CSV.
    #[must_use]
    pub fn columns(mut self, columns: &[(&str, &str)]) -> Self {
        self.format.dialect.map(columns);
        self
    }
}

impl Dialect {
    fn map(&mut self, columns: &[(&str, &str)]) {
        let owned = |&(column, field): &(&str, &str)| (column.to_owned(), field.to_owned());
        self.columns = columns.iter().map(owned).collect();
    }
}

impl<F: Format> FileSet<F> {
    /// Finds the files, and looks into each, so that what cannot work fails before the first
    /// record.
    fn list(&self, letters: Letters) -> Result<Vec<String>> {
        let files = self.paths.resolve()?;
        // What is read from a pipe to look at it would be lost to its reader, who looks for
        // himself.
        for file in files.iter().filter(|file| file.is_file()) {
            let (_, head) = open_archive(file)?;
            decoder_for(&self.format, file, &head)?;
        }
        let names = files.iter().map(|file| file.display().to_string()).collect();
        let policy = Arc::new(Policy::open(&self.on_error, letters)?);
        let opened = Opened { files: files.into(), policy };
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = Some(opened);
        Ok(names)
    }
}

impl<F> Source for FileSet<F>
where
    F: Format + Clone,
    <F::Decoder as Decoder>::Out: Record,
{
    type Out = <F::Decoder as Decoder>::Out;

    fn name(&self) -> String {
        format!("files {}", self.paths_shown())
    }

    fn is_bounded(&self) -> bool {
        true
    }

    fn splits(&self, _cores: u32) -> Result<Vec<String>> {
        self.list(Letters::Anew)
    }

    fn resume(&self, stored: &[String], _cores: u32) -> Result<Vec<String>> {
        let files = self.list(Letters::Kept)?;
        match stored.iter().find(|file| !files.contains(file)) {
            None => Ok(files),
            Some(file) => Err(Error::configuration(format!(
                "the checkpoint has read from `{file}`, which is not among the files of the \
                 source any more: put it back, or start afresh"
            ))),
        }
    }

    fn open(
        &self,
        split: usize,
        context: &SourceContext,
    ) -> Result<Box<dyn SplitReader<Self::Out>>> {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let opened = opened.ok_or_else(|| Error::internal("files were opened before listed"))?;
        let Some(file) = opened.files.get(split).cloned() else {
            return Err(Error::internal(format!("there is no split {split} of files")));
        };
        let name = format!("read-{split}");
        let (format, policy) = (self.format.clone(), opened.policy);
        let counters = context.counters.clone();
        let start = context.start.unwrap_or_default();
        let open: Open<F::Decoder> = Box::new(move || {
            let (mut archive, head) = open_archive(&file)?;
            let decoder = decoder_for(&format, &file, &head)?;
            let is_plain = archive.is_plain();
            let bad_records = counters.register("bad_records");
            let input = Box::new(move |into: &mut [u8]| archive.read(into));
            let on_bad = {
                let file = file.clone();
                Box::new(move |bad| {
                    bad_records.add(1);
                    policy.treat(&file, &bad)
                })
            };
            let mut pump = Pump::new(decoder, &file, &counters, &head, input, on_bad);
            let by_offset = is_plain && pump.restarts();
            go_on(&mut pump, &file, start, &counters)?;
            Ok(reader::Opened { pump, by_offset })
        });
        let extent = Extent { start, limit: self.limit.unwrap_or(u64::MAX) };
        Ok(if context.inline {
            Box::new(Inline::open(open, extent)?)
        } else {
            Box::new(Threaded::open(open, extent, &name, context.waker.clone())?)
        })
    }
}

/// Brings a pump at the start of its file to where an earlier run was.
fn go_on<D: Decoder>(
    pump: &mut Pump<D>,
    file: &Path,
    start: SplitPosition,
    counters: &Counters,
) -> Result<()> {
    if start.records == 0 {
        return Ok(());
    }
    if fault(Fault::RestoreSplitOneLate) {
        return pump.skip(start.records + 1, counters);
    }
    if !file.is_file() {
        return Err(Error::configuration(format!(
            "`{}` is no file that can be read again, so the job cannot go on from a checkpoint",
            file.display()
        )));
    }
    if start.offset == 0 {
        pump.skip(start.records, counters)?;
    } else {
        pump.read_header()?;
        let mut archive = Archive::open_at(file, start.offset)?;
        if pump.unit() == Unit::Line {
            check_line_start(file, start.offset)?;
        }
        let path = file.to_owned();
        pump.go_on_at(
            start.records,
            start.offset,
            Box::new(move |into: &mut [u8]| archive.read(into)),
            Box::new(move || lines_before(&path, start.offset)),
        );
    }
    Ok(())
}

/// Records of lines end with a line break, or with the file: where that is not so, the file is
/// another one.
fn check_line_start(file: &Path, offset: u64) -> Result<()> {
    let mut around = [0; 2];
    let mut archive = Archive::open_at(file, offset - 1)?;
    let read = archive.read(&mut around)?;
    if read < 2 || matches!(around[0], b'\n' | b'\r') {
        return Ok(());
    }
    Err(Error::configuration(format!(
        "the checkpoint has read `{}` up to offset {offset}, where no line ends: the file has \
         changed; restore with the same file",
        file.display()
    )))
}

/// The line breaks before an offset; what cannot be read any more counts as none, for a message is
/// no place to fail.
fn lines_before(file: &Path, offset: u64) -> u64 {
    let Ok(mut archive) = Archive::open(file) else { return 0 };
    let mut block = vec![0; HEAD_BYTES];
    let (mut left, mut lines) = (offset, 0);
    while left > 0 {
        let room = usize::try_from(left).map_or(block.len(), |left| left.min(block.len()));
        let Ok(read @ 1..) = archive.read(&mut block[..room]) else { break };
        lines += memchr::memchr_iter(b'\n', &block[..read]).count() as u64;
        left -= read as u64;
    }
    lines
}

/// Opens a file and reads enough of it to tell its format.
fn open_archive(file: &Path) -> Result<(Archive, Vec<u8>)> {
    let mut archive = Archive::open(file)?;
    let mut head = vec![0; HEAD_BYTES];
    let mut len = 0;
    while len < head.len() {
        match archive.read(&mut head[len..])? {
            0 => break,
            read => len += read,
        }
    }
    head.truncate(len);
    Ok((archive, head))
}

fn decoder_for<F: Format>(format: &F, file: &Path, head: &[u8]) -> Result<F::Decoder> {
    let looks = Looks::of(head);
    format.decoder(looks).ok_or_else(|| {
        Error::format(format!(
            "`{}` was to be read as {}, but looks like {looks}: name its format, or another file",
            file.display(),
            format.name()
        ))
    })
}

#[cfg(test)]
mod resume_tests;
#[cfg(test)]
mod tests;
