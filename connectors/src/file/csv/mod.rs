//! CSV: a header line, any delimiter, columns mapped to the fields of any type that serde can read.

mod row;

use std::fmt;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use super::decoder::{Decoder, Format, Rest, Restart, Step};
use super::{Looks, sniff::BOM};
use row::{Refusal, Row};

/// CSV of `T`, to read or to write.
pub struct Csv<T> {
    pub(crate) dialect: Dialect,
    types: PhantomData<fn() -> T>,
}

/// How a CSV file is laid out.
#[derive(Clone, Debug)]
pub struct Dialect {
    /// What separates fields; a comma by default.
    pub delimiter: u8,
    /// Pairs of a column's name in the file and the field's name in the record.
    pub columns: Vec<(String, String)>,
}

impl Default for Dialect {
    fn default() -> Self {
        Self { delimiter: b',', columns: Vec::new() }
    }
}

impl<T> Csv<T> {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self { dialect, types: PhantomData }
    }
}

impl<T> Clone for Csv<T> {
    fn clone(&self) -> Self {
        Self::new(self.dialect.clone())
    }
}

impl<T> fmt::Debug for Csv<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Csv").field(&self.dialect).finish()
    }
}

impl<T: DeserializeOwned + Send + 'static> Format for Csv<T> {
    type Decoder = CsvDecoder<T>;

    fn name(&self) -> String {
        "CSV".to_owned()
    }

    fn decoder(&self, looks: Looks) -> Option<CsvDecoder<T>> {
        matches!(looks, Looks::Csv | Looks::Unknown | Looks::Empty)
            .then(|| CsvDecoder::new(self.dialect.clone()))
    }
}

/// Reads one row at a time; the first is the header.
pub struct CsvDecoder<T> {
    dialect: Dialect,
    reader: csv_core::Reader,
    /// The fields of a row with quotes, unquoted, one behind the other.
    text: Vec<u8>,
    /// Where each field of the current row ends: in `text`, or in its line if it has no quotes.
    ends: Vec<usize>,
    /// The names of the columns as the record knows them; empty until the header is read.
    names: Vec<String>,
    types: PhantomData<fn() -> T>,
}

/// A row that was split: `fields` of them, in its own line or in the decoder's `text`.
struct Split<'a> {
    line: Option<&'a [u8]>,
    fields: usize,
    used: usize,
}

/// A row has at least so much room before its buffers grow.
const ROW_BYTES: usize = 1 << 10;
const ROW_FIELDS: usize = 64;

impl<T> CsvDecoder<T> {
    /// A decoder at the start of a file.
    pub fn new(dialect: Dialect) -> Self {
        let reader = csv_core::ReaderBuilder::new().delimiter(dialect.delimiter).build();
        Self {
            dialect,
            reader,
            text: vec![0; ROW_BYTES],
            ends: vec![0; ROW_FIELDS],
            names: Vec::new(),
            types: PhantomData,
        }
    }

    /// Splits the first row of `input` into fields; `None` while its end is not visible.
    #[inline]
    fn split<'a>(&mut self, input: &'a [u8], rest: Rest) -> Option<Split<'a>> {
        if let Some(end) = memchr::memchr(b'\n', input) {
            let line = &input[..end];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if memchr::memchr2(b'"', b'\r', line).is_none() {
                return Some(self.split_plain(line, end + 1));
            }
        }
        let (fields, mut used) = self.split_quoted(input, rest)?;
        // A line feed behind a carriage return belongs to it.
        if input[used - 1] == b'\r' {
            match input.get(used) {
                Some(b'\n') => used += 1,
                None if rest == Rest::Unknown => return None,
                _ => {}
            }
        }
        Some(Split { line: None, fields, used })
    }

    /// A row without quotes, on a line of its own: its delimiters are all there is to find.
    #[inline]
    fn split_plain<'a>(&mut self, line: &'a [u8], used: usize) -> Split<'a> {
        let mut fields = 0;
        for end in memchr::memchr_iter(self.dialect.delimiter, line).chain([line.len()]) {
            if fields == self.ends.len() {
                self.ends.resize(fields * 2, 0);
            }
            self.ends[fields] = end;
            fields += 1;
        }
        Split { line: Some(line), fields, used }
    }

    /// Any row: the number of its fields, now in `text`, and its bytes.
    fn split_quoted(&mut self, input: &[u8], rest: Rest) -> Option<(usize, usize)> {
        use csv_core::ReadRecordResult as Outcome;

        // Each row is split from a fresh start, so that one whose end is not visible yet can be
        // left and tried again. The line break makes the reader take a byte order mark for what it
        // is in the middle of a file: text.
        self.reader.reset();
        self.reader.read_record(b"\n", &mut self.text, &mut self.ends);
        let (mut used, mut text_len, mut fields) = (0, 0, 0);
        loop {
            let (outcome, read, written, ended) = self.reader.read_record(
                &input[used..],
                &mut self.text[text_len..],
                &mut self.ends[fields..],
            );
            used += read;
            text_len += written;
            fields += ended;
            match outcome {
                Outcome::InputEmpty if rest == Rest::Unknown => return None,
                // Asked once more with nothing to read, the reader ends the row.
                Outcome::InputEmpty => {}
                Outcome::OutputFull => self.text.resize(self.text.len() * 2, 0),
                Outcome::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                Outcome::Record => return Some((fields, used)),
                Outcome::End => return Some((0, input.len())),
            }
        }
    }

    /// The fields of a row that was just split.
    fn row<'a>(&'a self, split: &Split<'a>) -> Row<'a> {
        Row {
            names: &self.names,
            text: split.line.unwrap_or(&self.text),
            ends: &self.ends[..split.fields],
            gap: usize::from(split.line.is_some()),
        }
    }

    fn read_header(&mut self, split: &Split<'_>) -> Result<(), String> {
        let mut names = Vec::with_capacity(split.fields);
        for field in self.row(split).fields() {
            let name = std::str::from_utf8(field)
                .map_err(|_| "the header is not UTF-8: is this a CSV file?".to_owned())?;
            names.push(name.trim().to_owned());
        }
        for (column, field) in &self.dialect.columns {
            let Some(index) = names.iter().position(|name| name == column) else {
                return Err(format!(
                    "there is no column `{column}` to be read as `{field}`; the header has {}",
                    names.join(", ")
                ));
            };
            // A column of the same name as the field gives way to the one that was mapped.
            if let Some(other) = names.iter().position(|name| name == field)
                && other != index
            {
                names[other] = String::new();
            }
            names[index].clone_from(field);
        }
        self.names = names;
        Ok(())
    }
}

impl<T: DeserializeOwned + Send + 'static> Decoder for CsvDecoder<T> {
    type Out = T;

    fn restart(&self) -> Restart {
        if self.names.is_empty() { Restart::BehindHeader } else { Restart::Anywhere }
    }

    fn next(&mut self, input: &[u8], rest: Rest) -> Step<T> {
        let breaks = input.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
        if breaks > 0 {
            return Step::Nothing(breaks);
        }
        let is_header = self.names.is_empty();
        if is_header && input.len() < BOM.len() && BOM.starts_with(input) && rest == Rest::Unknown {
            return Step::Incomplete;
        }
        if is_header && input.starts_with(BOM) {
            return Step::Nothing(BOM.len());
        }
        let Some(split) = self.split(input, rest) else { return Step::Incomplete };
        let used = split.used;
        if is_header {
            return match self.read_header(&split) {
                Ok(()) => Step::Nothing(used),
                Err(reason) => Step::Lost(reason),
            };
        }
        let raw = &input[..used];
        if used == input.len() && rest == Rest::None && never_closed(raw) {
            return Step::Bad("a quoted field is never closed".to_owned(), used);
        }
        if split.fields != self.names.len() {
            let (fields, columns) = (split.fields, self.names.len());
            return Step::Bad(format!("{fields} fields, where the header has {columns}"), used);
        }
        match T::deserialize(self.row(&split)) {
            Ok(record) => Step::Record(record, used),
            Err(Refusal::Value(reason)) => Step::Bad(reason, used),
            Err(Refusal::MissingColumn(field)) => Step::Lost(format!(
                "no column is named `{field}`; the header has {}: map one with `columns`",
                self.names.join(", ")
            )),
        }
    }
}

/// Whether the last row has swallowed lines behind a quote that nothing closes.
fn never_closed(raw: &[u8]) -> bool {
    raw.trim_ascii_end().contains(&b'\n')
        && raw.iter().filter(|&&byte| byte == b'"').count() % 2 == 1
}

#[cfg(test)]
mod tests;
