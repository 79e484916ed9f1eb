//! JSON lines: one value a line, of any type that serde can read.

use std::fmt;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use super::decoder::{Decoder, Format, Rest, Restart, Step, line_of};
use super::{Looks, sniff::BOM};

/// JSON lines of `T`, to read or to write.
pub struct Jsonl<T>(PhantomData<fn() -> T>);

impl<T> Jsonl<T> {
    pub(super) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T> Clone for Jsonl<T> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Jsonl<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Jsonl")
    }
}

impl<T: DeserializeOwned + Send + 'static> Format for Jsonl<T> {
    type Decoder = JsonlDecoder<T>;

    fn name(&self) -> String {
        "JSON lines".to_owned()
    }

    fn decoder(&self, looks: Looks) -> Option<JsonlDecoder<T>> {
        matches!(looks, Looks::JsonLines | Looks::Unknown | Looks::Empty)
            .then(JsonlDecoder::default)
    }
}

/// Reads one JSON value a line; blank lines are allowed.
pub struct JsonlDecoder<T>(PhantomData<fn() -> T>);

impl<T> Default for JsonlDecoder<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: DeserializeOwned + Send + 'static> Decoder for JsonlDecoder<T> {
    type Out = T;

    fn restart(&self) -> Restart {
        Restart::Anywhere
    }

    fn next(&mut self, input: &[u8], rest: Rest) -> Step<T> {
        let Some((line, used)) = line_of(input, rest) else { return Step::Incomplete };
        let text = line.strip_prefix(BOM).unwrap_or(line);
        if text.trim_ascii().is_empty() {
            return Step::Nothing(used);
        }
        match serde_json::from_slice(text) {
            Ok(value) => Step::Record(value, used),
            Err(cause) => Step::Bad(reason_of(&cause), used),
        }
    }
}

/// The message without serde_json's "at line 1", which would contradict the line in the file.
pub(crate) fn reason_of(cause: &serde_json::Error) -> String {
    let message = cause.to_string();
    match message.rsplit_once(" at line 1 column ") {
        Some((what, column)) => format!("{what} at column {column}"),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::decode_all;
    use proptest::prelude::*;
    use tailwater_core::Price;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Row {
        price: Price,
        n: u32,
    }

    #[test]
    fn lines_become_records_and_bad_ones_are_told() {
        let text =
            b"{\"price\":\"1.50\",\"n\":1}\r\n\n{\"price\":1.5,\"n\":2}\n{\"price\":2,\"n\":3}";
        let (rows, bad, outcome) = decode_all(JsonlDecoder::<Row>::default(), text, 1 << 20);
        assert!(outcome.is_ok());
        let row = |price: &str, n| Row { price: price.parse().unwrap(), n };
        assert_eq!(rows, [row("1.5", 1), row("2", 3)]);
        assert_eq!(bad.len(), 1);
        assert_eq!((bad[0].line, bad[0].offset), (Some(3), 25));
        assert!(bad[0].reason.contains("floating point"), "{}", bad[0].reason);
        assert!(bad[0].reason.contains("at column"), "{}", bad[0].reason);
    }

    proptest! {
        #[test]
        fn blocks_of_any_size_read_the_same(
            lines in proptest::collection::vec(
                "[\\PC\n]{0,20}|\\{\"price\":\"[0-9]\",\"n\":1\\}", 0..20),
            block in 1usize..40,
        ) {
            let text = lines.join("\n").into_bytes();
            let whole = decode_all(JsonlDecoder::<Row>::default(), &text, usize::MAX);
            let parts = decode_all(JsonlDecoder::<Row>::default(), &text, block);
            prop_assert_eq!((whole.0, whole.1), (parts.0, parts.1));
        }
    }
}
