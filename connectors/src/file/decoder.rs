//! What a format is to the reader: a function from the bytes at hand to the next record.

use tailwater_core::Counters;

use super::Looks;

/// Takes records out of bytes. It sees the unread part of the input and says what its beginning is.
///
/// The answer must not depend on how much of the input is visible, other than by
/// [`Step::Incomplete`]: reading in blocks of any size gives the same records.
pub trait Decoder: Send + 'static {
    /// What it reads.
    type Out: Send + 'static;

    /// How places in this format are told to people.
    fn unit(&self) -> Unit {
        Unit::Line
    }

    /// Called once, to register the counts that the format has of its own.
    fn register(&mut self, counters: &Counters) {
        let _ = counters;
    }

    /// Where the reading of a file that is not packed can begin, besides at its start.
    fn restart(&self) -> Restart {
        Restart::AtStart
    }

    /// The next record is the one behind `records` others, wherever the reading began.
    fn skipped(&mut self, records: u64) {
        let _ = records;
    }

    /// What the beginning of `input` is; `input` is not empty.
    fn next(&mut self, input: &[u8], rest: Rest) -> Step<Self::Out>;
}

/// Whether the visible input is all there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// More may follow.
    Unknown,
    /// Nothing follows.
    None,
}

/// Where a decoder can begin in a file; it may say more once it has seen the first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// At the start only: what a record is hangs on all those before it.
    AtStart,
    /// Behind any record, once it has read the header.
    BehindHeader,
    /// Behind any record.
    Anywhere,
}

/// How a place in a file is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// By line and byte offset.
    Line,
    /// By byte offset alone.
    Offset,
}

/// What a decoder found at the beginning of its input; numbers are bytes used up, never zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<T> {
    /// A record.
    Record(T, usize),
    /// Something that is in order and makes no record: a header, a message of another kind.
    Nothing(usize),
    /// A malformed record; the input goes on behind it.
    Bad(String, usize),
    /// Something behind which no record can be found: the file cannot be read on, whatever the
    /// policy.
    Lost(String),
    /// The beginning of something whose end is not visible yet.
    Incomplete,
}

/// A kind of file: makes the decoder for one file of it.
pub trait Format: Send + Sync + 'static {
    /// Its decoder.
    type Decoder: Decoder;

    /// Its name in messages: `CSV`.
    fn name(&self) -> String;

    /// A decoder for a file that looks so, or `None` where it is certainly of another format.
    fn decoder(&self, looks: Looks) -> Option<Self::Decoder>;
}

/// A malformed piece of input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadInput {
    /// Where it begins: bytes from the start of the (unpacked) file.
    pub offset: u64,
    /// Its line, from one, in formats that have lines.
    pub line: Option<u64>,
    /// What is wrong with it.
    pub reason: String,
    /// The piece itself.
    pub bytes: Vec<u8>,
}

/// The first line of `input` without its line break, and how many bytes it takes with it; `None`
/// while its end is not visible.
#[inline]
pub(crate) fn line_of(input: &[u8], rest: Rest) -> Option<(&[u8], usize)> {
    match (memchr::memchr(b'\n', input), rest) {
        (Some(end), _) => {
            let line = &input[..end];
            Some((line.strip_suffix(b"\r").unwrap_or(line), end + 1))
        }
        (None, Rest::None) => Some((input, input.len())),
        (None, Rest::Unknown) => None,
    }
}
