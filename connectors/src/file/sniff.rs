//! What a file looks like, from its first bytes: to choose a decoder, or to refuse a wrong one.

use std::fmt;

use crate::market::itch;

/// So many bytes are enough to tell.
pub(crate) const HEAD_BYTES: usize = 4 << 10;

/// The mark that some programs put at the head of UTF-8 text.
pub(crate) const BOM: &[u8] = b"\xEF\xBB\xBF";

/// What the content of a file looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looks {
    /// Text with a line of column names.
    Csv,
    /// One JSON value a line.
    JsonLines,
    /// A receive time and a JSON message a line.
    Binance,
    /// NASDAQ ITCH 5.0 messages behind length fields.
    Itch50,
    /// Something that Tailwater does not read, by name.
    Foreign(&'static str),
    /// Nothing at all, or only white space.
    Empty,
    /// Nothing to tell by.
    Unknown,
}

impl Looks {
    /// What a file with these first bytes (unpacked) looks like.
    pub fn of(head: &[u8]) -> Self {
        let head = head.strip_prefix(BOM).unwrap_or(head);
        for (magic, name) in FOREIGN {
            if head.starts_with(magic) {
                return Self::Foreign(name);
            }
        }
        if itch::looks_like(head) {
            return Self::Itch50;
        }
        let text = head.trim_ascii_start();
        let Some(first) = text.first() else { return Self::Empty };
        let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits >= 10 && text[digits..].starts_with(b" {") {
            return Self::Binance;
        }
        if *first == b'{' {
            return Self::JsonLines;
        }
        let line = text.split(|&byte| byte == b'\n').next().unwrap_or(text);
        // A line such as `"a, b"` or `[1, 2]` could be either, and is left to the decoder.
        if matches!(first, b'"' | b'[')
            && serde_json::from_slice::<serde::de::IgnoredAny>(line).is_ok()
        {
            return Self::Unknown;
        }
        let printable = |byte: &u8| *byte >= b' ' || matches!(byte, b'\t' | b'\r');
        if line.iter().all(printable) && line.iter().any(|byte| b",;\t|".contains(byte)) {
            return Self::Csv;
        }
        Self::Unknown
    }
}

/// Formats that people try, by their magic bytes.
const FOREIGN: [(&[u8], &str); 9] = [
    (b"PK\x03\x04", "a zip archive (unpack it first)"),
    (b"BZh", "a bzip2 archive (unpack it, or pack it with gzip, zstd or xz)"),
    (b"\x04\x22\x4D\x18", "an lz4 archive (unpack it, or pack it with gzip, zstd or xz)"),
    (b"7z\xBC\xAF\x27\x1C", "a 7z archive (unpack it first)"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"DBN", "a Databento DBN file"),
    (b"\xD4\xC3\xB2\xA1", "a packet capture"),
    (b"\x0A\x0D\x0D\x0A", "a packet capture"),
];

impl fmt::Display for Looks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Csv => "CSV",
            Self::JsonLines => "JSON lines",
            Self::Binance => "a Binance USD-M capture",
            Self::Itch50 => "NASDAQ ITCH 5.0",
            Self::Foreign(name) => name,
            Self::Empty => "an empty file",
            Self::Unknown => "no format that Tailwater knows",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_apart() {
        let system_event = [0, 12, b'S', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, b'O'];
        for (head, looks) in [
            (&b"symbol,price\nX,1\n"[..], Looks::Csv),
            (b"\xEF\xBB\xBFsymbol;price\n", Looks::Csv),
            (b"\n {\"symbol\":\"X\"}\n", Looks::JsonLines),
            (b"1723161255030314667 {\"stream\":", Looks::Binance),
            (&system_event, Looks::Itch50),
            (b"PK\x03\x04rest", Looks::Foreign("a zip archive (unpack it first)")),
            (b"", Looks::Empty),
            (b"\x00\x01\x02\x03", Looks::Unknown),
        ] {
            assert_eq!(Looks::of(head), looks, "{head:?}");
        }
    }
}
