//! Drives a decoder over a stream of bytes: fills the buffer, counts places, reports bad input.

use std::path::{Path, PathBuf};

use tailwater_core::{Counters, Error, Result};

use super::decoder::{BadInput, Decoder, Rest, Step, Unit};

/// The buffer's size; grows only for a record that does not fit. Large enough that the calls to the
/// system do not show, small enough for a core's second-level cache.
const BLOCK_BYTES: usize = 256 << 10;

/// The longest record. What is longer is no record, and must not take all memory.
const RECORD_BYTES_MAX: usize = 64 << 20;

/// Where bytes come from: reads some into the slice, zero at the end.
pub(crate) type Input = Box<dyn FnMut(&mut [u8]) -> Result<usize> + Send>;

/// What is done about bad input: an error ends the reading.
pub(crate) type OnBad = Box<dyn FnMut(BadInput) -> Result<()> + Send>;

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
    /// The offset in the file, and the line breaks, of what has left the buffer.
    offset: u64,
    lines: u64,
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
            rest: Rest::Unknown,
            hungry: false,
            failed: None,
        }
    }

    /// Decodes up to `limit` records.
    ///
    /// # Errors
    /// When the input cannot be read on or the policy gives up; records before the bad place have
    /// been emitted by then.
    pub(crate) fn fill(&mut self, limit: usize, mut emit: impl FnMut(D::Out)) -> Result<Filled> {
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
                    emit(record);
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
        (self.start, self.end, self.rest) = (0, 0, Rest::None);
    }

    fn refill(&mut self) -> Result<()> {
        self.lines += newlines(&self.buffer[..self.start]);
        self.offset += self.start as u64;
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if self.end > self.buffer.len() / 2 {
            if self.buffer.len() >= RECORD_BYTES_MAX {
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
        let bad = self.bad_input(reason, used);
        self.start += used;
        (self.on_bad)(bad)
    }

    fn bad_input(&self, reason: String, used: usize) -> BadInput {
        let line = self.lines + newlines(&self.buffer[..self.start]) + 1;
        BadInput {
            offset: self.offset + self.start as u64,
            line: (self.decoder.unit() == Unit::Line).then_some(line),
            reason,
            bytes: self.buffer[self.start..self.start + used].to_vec(),
        }
    }

    #[cold]
    fn lost(&self, reason: &str) -> Error {
        let used = (self.end - self.start).min(super::policy::EXCERPT_BYTES);
        let bad = self.bad_input(format!("cannot read on: {reason}"), used);
        super::policy::error(&self.file, &bad)
    }
}

fn newlines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
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
        match pump.fill(usize::MAX, |record| records.push(record)) {
            Ok(Filled::End) => break Ok(()),
            Ok(_) => {}
            Err(error) => break Err(error),
        }
    };
    drop(pump);
    let bad = std::mem::take(&mut *bad.lock().unwrap_or_else(PoisonError::into_inner));
    (records, bad, outcome)
}
