//! How records become text.

use std::cell::RefCell;
use std::io;

use serde::Serialize;
use tailwater_core::{Error, Result};

use crate::file::Dialect;

/// Turns records into text, one file at a time.
pub(super) trait Encoder<T>: Send + 'static {
    /// A new file begins.
    fn begin(&mut self);

    /// The file that is written has text already: what stands at its head is not written again.
    fn go_on(&mut self);

    /// Appends a record.
    ///
    /// # Errors
    /// When the record's type cannot be written in this format.
    fn encode(&mut self, record: &T, into: &mut Vec<u8>) -> Result<()>;
}

/// One JSON value a line.
pub(super) struct JsonlEncoder;

impl<T: Serialize> Encoder<T> for JsonlEncoder {
    fn begin(&mut self) {}

    fn go_on(&mut self) {}

    fn encode(&mut self, record: &T, into: &mut Vec<u8>) -> Result<()> {
        serde_json::to_writer(&mut *into, record)
            .map_err(|cause| refused("JSON", std::any::type_name::<T>()).caused_by(cause))?;
        into.push(b'\n');
        Ok(())
    }
}

/// A header and one row a record.
pub(super) struct CsvEncoder {
    dialect: Dialect,
    writer: csv::Writer<Rows>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Header {
    Written,
    ThereAlready,
}

/// Where the CSV writer leaves its rows until they are taken.
struct Rows(RefCell<Vec<u8>>);

impl io::Write for Rows {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.get_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl CsvEncoder {
    pub(super) fn new(dialect: Dialect) -> Self {
        let writer = Self::writer(&dialect, Header::Written);
        Self { dialect, writer }
    }

    fn writer(dialect: &Dialect, header: Header) -> csv::Writer<Rows> {
        csv::WriterBuilder::new()
            .delimiter(dialect.delimiter)
            .has_headers(header == Header::Written)
            .from_writer(Rows(RefCell::new(Vec::new())))
    }
}

impl<T: Serialize> Encoder<T> for CsvEncoder {
    fn begin(&mut self) {
        self.writer = Self::writer(&self.dialect, Header::Written);
    }

    fn go_on(&mut self) {
        self.writer = Self::writer(&self.dialect, Header::ThereAlready);
    }

    fn encode(&mut self, record: &T, into: &mut Vec<u8>) -> Result<()> {
        let refused = || refused("CSV (JSON lines can)", std::any::type_name::<T>());
        self.writer.serialize(record).map_err(|cause| refused().caused_by(cause))?;
        self.writer.flush().map_err(|cause| refused().caused_by(cause))?;
        into.append(&mut self.writer.get_ref().0.borrow_mut());
        Ok(())
    }
}

fn refused(format: &str, what: &str) -> Error {
    Error::format(format!("a `{what}` cannot be written as {format}"))
}
