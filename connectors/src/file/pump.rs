//! Drives a decoder over a stream of bytes: fills the buffer, counts places, reports bad input.

use std::path::{Path, PathBuf};

use tailwater_core::{Counters, Error, Result};

use super::decoder::{BadInput, Decoder, Rest, Restart, Step, Unit};

/// The buffer's size; grows only for a record that does not fit. Large enough that the calls to the
/// system do not show, small enough for a core's second-level cache.
const BLOCK_BYTES: usize = 256 << 10;

/// The longest record. What is longer is no record, and must not take all memory.
const RECORD_BYTES_MAX: usize = 32 << 20;

/// Where bytes come from: reads some into the slice, zero at the end.
pub(crate) type Input = Box<dyn FnMut(&mut [u8]) -> Result<usize> + Send>;

/// What is done about bad input: an error ends the reading.
pub(crate) type OnBad = Box<dyn FnMut(BadInput) -> Result<()> + Send>;

/// Counts the line breaks before the place where the reading began; asked when a place is told.
pub(crate) type LinesBefore = Box<dyn FnOnce() -> u64 + Send>;

/// Why [`Pump::fill`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    /// It has made as many records as were asked for, or an error is due.
    Full,
    /// It must read more bytes, which the next call does: a good moment to hand on what there is.
    Block,
    /// The input has ended.
    End,
}

/// A decoder with its input.
pub(crate) struct Pump<D> {
    decoder: D,
    file: PathBuf,
    input: Input,
    on_bad: OnBad,
    /// The unread bytes are `buffer[start..end]`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// The offset in the file of what has left the buffer.
    offset: u64,
    /// The line breaks in the file before `buffer[counted]`. They are counted in bulk, and when a
    /// place must be told.
    lines: u64,
    counted: usize,
    lines_before: Option<LinesBefore>,
    /// Bad input was told by an earlier run.
    silent: bool,
    rest: Rest,
    hungry: bool,
    failed: Option<Error>,
}

impl<D: Decoder> Pump<D> {
    pub(crate) fn new(
        mut decoder: D,
        file: &Path,
        counters: &Counters,
        head: &[u8],
        input: Input,
        on_bad: OnBad,
    ) -> Self {
        decoder.register(counters);
        let mut buffer = vec![0; BLOCK_BYTES.max(head.len())];
        buffer[..head.len()].copy_from_slice(head);
        Self {
            decoder,
            file: file.to_owned(),
            input,
            on_bad,
            buffer,
            start: 0,
            end: head.len(),
            offset: 0,
            lines: 0,
            counted: 0,
            lines_before: None,
            silent: false,
            rest: Rest::Unknown,
            hungry: false,
            failed: None,
        }
    }

    /// Reads what a decoder must have seen before it can go on behind a record: a header.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn read_header(&mut self) -> Result<()> {
        while self.decoder.restart() == Restart::BehindHeader {
            if self.start == self.end && self.rest == Rest::Unknown {
                self.refill()?;
                continue;
            }
            let input = &self.buffer[self.start..self.end];
            let step =
                if input.is_empty() { None } else { Some(self.decoder.next(input, self.rest)) };
            match step {
                Some(Step::Nothing(used)) => self.start += used,
                Some(Step::Incomplete) if self.rest == Rest::Unknown => self.refill()?,
                Some(Step::Lost(reason)) => return Err(self.lost(&reason)),
                _ => {
                    return Err(Error::configuration(format!(
                        "a checkpoint has read records of `{}`, but it has no header: restore \
                         with the same file",
                        self.file.display()
                    )));
                }
            }
        }
        Ok(())
    }

    /// Goes on behind `records` records, with an input that begins at `offset`.
    pub(crate) fn go_on_at(
        &mut self,
        records: u64,
        offset: u64,
        input: Input,
        lines_before: LinesBefore,
    ) {
        self.decoder.skipped(records);
        (self.start, self.end, self.counted, self.lines) = (0, 0, 0, 0);
        (self.offset, self.input) = (offset, input);
        (self.rest, self.hungry) = (Rest::Unknown, true);
        self.lines_before = Some(lines_before);
    }

    /// Reads `records` records again and drops them, and what is bad between them with them: an
    /// earlier run has told it. The counts of the format are kept under `counters` from there on.
    ///
    /// # Errors
    /// When there are not so many, or the input cannot be read.
    pub(crate) fn skip(&mut self, records: u64, counters: &Counters) -> Result<()> {
        self.decoder.register(&Counters::default());
        self.silent = true;
        let mut left = records;
        while left > 0 {
            let limit = usize::try_from(left).unwrap_or(usize::MAX);
            let filled = self.fill(limit, |_, _| left -= 1)?;
            if left > 0 && filled == Filled::End {
                return Err(Error::configuration(format!(
                    "the checkpoint has read {records} records of `{}`, but there are only {}: \
                     restore with the same file",
                    self.file.display(),
                    records - left
                )));
            }
        }
        self.silent = false;
        self.decoder.register(counters);
        Ok(())
    }

    /// Where it is in the file.
    pub(crate) fn offset(&self) -> u64 {
        self.offset + self.start as u64
    }

    /// How its places are told.
    pub(crate) fn unit(&self) -> Unit {
        self.decoder.unit()
    }

    /// Whether its decoder can begin behind any record.
    pub(crate) fn restarts(&self) -> bool {
        self.decoder.restart() != Restart::AtStart
    }

    /// Decodes up to `limit` records; `emit` gets each with the offset behind it.
    ///
    /// # Errors
    /// When the input cannot be read on or the policy gives up; records before the bad place have
    /// been emitted by then.
    pub(crate) fn fill(
        &mut self,
        limit: usize,
        mut emit: impl FnMut(D::Out, u64),
    ) -> Result<Filled> {
        if let Some(error) = self.failed.take() {
            self.stop();
            return Err(error);
        }
        if std::mem::take(&mut self.hungry) {
            self.refill()?;
        }
        let mut room = limit;
        while room > 0 {
            if self.start == self.end {
                self.hungry = self.rest == Rest::Unknown;
                return Ok(if self.hungry { Filled::Block } else { Filled::End });
            }
            match self.decoder.next(&self.buffer[self.start..self.end], self.rest) {
                Step::Record(record, used) => {
                    self.start += used;
                    emit(record, self.offset + self.start as u64);
                    room -= 1;
                }
                Step::Nothing(used) => self.start += used,
                Step::Bad(reason, used) => {
                    if let Err(error) = self.bad(reason, used) {
                        return self.fail(error, room < limit);
                    }
                }
                Step::Lost(reason) => {
                    let error = self.lost(&reason);
                    return self.fail(error, room < limit);
                }
                Step::Incomplete if self.rest == Rest::None => {
                    let used = self.end - self.start;
                    let reason = "the file ends in the middle of it".to_owned();
                    if let Err(error) = self.bad(reason, used) {
                        return self.fail(error, room < limit);
                    }
                }
                Step::Incomplete => {
                    self.hungry = true;
                    return Ok(Filled::Block);
                }
            }
        }
        Ok(Filled::Full)
    }

    /// An error is told after the records before it: now if there are none, else at the next call.
    fn fail(&mut self, error: Error, emitted: bool) -> Result<Filled> {
        if emitted {
            self.failed = Some(error);
            return Ok(Filled::Full);
        }
        self.stop();
        Err(error)
    }

    fn stop(&mut self) {
        (self.start, self.end, self.counted, self.rest) = (0, 0, 0, Rest::None);
    }

    fn refill(&mut self) -> Result<()> {
        self.count_lines();
        self.offset += self.start as u64;
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end, self.counted) = (0, self.end - self.start, 0);
        if self.end > self.buffer.len() / 2 {
            if self.end > RECORD_BYTES_MAX {
                let reason = format!("no record is longer than {} MiB", RECORD_BYTES_MAX >> 20);
                return Err(self.lost(&reason));
            }
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let read = (self.input)(&mut self.buffer[self.end..])?;
        self.end += read;
        if read == 0 {
            self.rest = Rest::None;
        }
        Ok(())
    }

    #[cold]
    fn bad(&mut self, reason: String, used: usize) -> Result<()> {
        if self.silent {
            self.start += used;
            return Ok(());
        }
        let bad = self.bad_input(reason, used);
        self.start += used;
        (self.on_bad)(bad)
    }

    fn bad_input(&mut self, reason: String, used: usize) -> BadInput {
        self.count_lines();
        self.lines += self.lines_before.take().map_or(0, |count| count());
        BadInput {
            offset: self.offset(),
            line: (self.decoder.unit() == Unit::Line).then_some(self.lines + 1),
            reason,
            bytes: self.buffer[self.start..self.start + used].to_vec(),
        }
    }

    /// Counts the line breaks up to the current place; each once, however many places are told.
    fn count_lines(&mut self) {
        let passed = &self.buffer[self.counted..self.start];
        self.lines += memchr::memchr_iter(b'\n', passed).count() as u64;
        self.counted = self.start;
    }

    #[cold]
    fn lost(&mut self, reason: &str) -> Error {
        let used = (self.end - self.start).min(super::policy::EXCERPT_BYTES);
        let bad = self.bad_input(format!("cannot read on: {reason}"), used);
        super::policy::error(&self.file, &bad)
    }
}

/// Everything that a decoder makes of an input in memory, with the bad pieces; for tests, fuzzers
/// and benchmarks. `block_bytes` is how much it gets to see at a time.
///
/// # Errors
/// When a place is reached behind which nothing can be found; what came before it is in the first
/// part.
pub fn decode_all<D: Decoder>(
    decoder: D,
    bytes: &[u8],
    block_bytes: usize,
) -> (Vec<D::Out>, Vec<BadInput>, Result<()>) {
    use std::sync::{Arc, Mutex, PoisonError};

    let bad = Arc::new(Mutex::new(Vec::new()));
    let bad_into = Arc::clone(&bad);
    let mut rest = std::collections::VecDeque::from(bytes.to_vec());
    let input = move |into: &mut [u8]| {
        let read = into.len().min(block_bytes.max(1)).min(rest.len());
        for (to, from) in into.iter_mut().zip(rest.drain(..read)) {
            *to = from;
        }
        Ok(read)
    };
    let on_bad = move |piece| {
        bad_into.lock().unwrap_or_else(PoisonError::into_inner).push(piece);
        Ok(())
    };
    let counters = Counters::default();
    let path = Path::new("memory");
    let mut pump = Pump::new(decoder, path, &counters, &[], Box::new(input), Box::new(on_bad));
    let mut records = Vec::new();
    let outcome = loop {
        match pump.fill(usize::MAX, |record, _| records.push(record)) {
            Ok(Filled::End) => break Ok(()),
            Ok(_) => {}
            Err(error) => break Err(error),
        }
    };
    drop(pump);
    let bad = std::mem::take(&mut *bad.lock().unwrap_or_else(PoisonError::into_inner));
    (records, bad, outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::JsonlDecoder;

    #[test]
    fn a_record_may_be_longer_than_the_buffer_but_not_endless() {
        let long = format!("\"{}\"", "x".repeat(3 * BLOCK_BYTES));
        let text = format!("1\n{long}\n2\n");
        let decoder = JsonlDecoder::<serde_json::Value>::default();
        let (values, bad, outcome) = decode_all(decoder, text.as_bytes(), usize::MAX);
        assert!(bad.is_empty() && outcome.is_ok());
        assert_eq!(values.len(), 3);

        let endless = vec![b'x'; 2 * RECORD_BYTES_MAX + 1];
        let decoder = JsonlDecoder::<serde_json::Value>::default();
        let error = decode_all(decoder, &endless, usize::MAX).2.unwrap_err().to_string();
        assert!(error.contains("line 1, offset 0: cannot read on: no record is longer"), "{error}");
    }

    #[test]
    fn lines_are_counted_over_many_blocks_and_bad_places() {
        let text = "1\nx\n".repeat(100);
        let decoder = JsonlDecoder::<u32>::default();
        let (_, bad, _) = decode_all(decoder, text.as_bytes(), 7);
        let lines: Vec<_> = bad.iter().filter_map(|bad| bad.line).collect();
        assert_eq!(lines, (1..=100).map(|n| 2 * n).collect::<Vec<_>>());
    }
}
