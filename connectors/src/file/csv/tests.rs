//! Rows, headers and everything that can be wrong with them.

use proptest::prelude::*;
use tailwater_core::{Price, Size, Symbol, Timestamp};

use super::*;
use crate::file::{BadInput, decode_all};

#[derive(Debug, PartialEq, serde::Deserialize)]
struct Row {
    symbol: Symbol,
    price: Price,
    size: Option<Size>,
    at: Timestamp,
}

fn row(symbol: &str, price: &str, size: Option<&str>, at: i64) -> Row {
    let price = price.parse().unwrap();
    let size = size.map(|size| size.parse().unwrap());
    Row { symbol: symbol.parse().unwrap(), price, size, at: Timestamp(at) }
}

fn decode(dialect: Dialect, text: &str) -> (Vec<Row>, Vec<BadInput>, Result<(), String>) {
    let decoder = CsvDecoder::new(dialect);
    let (rows, bad, outcome) = decode_all(decoder, text.as_bytes(), usize::MAX);
    (rows, bad, outcome.map_err(|error| error.to_string()))
}

#[test]
fn decimals_are_exact_whatever_they_look_like() {
    let text = "symbol,price,size,at\n\
                X,61800.30,0.1,1\n\
                Y,90071992547.40993123,,2\n\
                Z,007,12345678901,3\n";
    let (rows, bad, outcome) = decode(Dialect::default(), text);
    assert_eq!((bad, outcome), (vec![], Ok(())));
    assert_eq!(rows[0], row("X", "61800.3", Some("0.1"), 1));
    assert_eq!(rows[1], row("Y", "90071992547.40993123", None, 2));
    assert_eq!(rows[1].price.units(), 9_007_199_254_740_993_123);
    assert_eq!(rows[2], row("Z", "7", Some("12345678901"), 3));
}

#[test]
fn columns_are_mapped_ordered_and_ignored() {
    let text = "\u{feff}at;px;note;sym;size\r\n5;1.5;\"a;\"\"b\"\"\nc\";X;2\r\n\r\n6;2;;Y;3";
    let columns = vec![("px".into(), "price".into()), ("sym".into(), "symbol".into())];
    let (rows, bad, outcome) = decode(Dialect { delimiter: b';', columns }, text);
    assert_eq!((bad, outcome), (vec![], Ok(())));
    assert_eq!(rows, [row("X", "1.5", Some("2"), 5), row("Y", "2", Some("3"), 6)]);
}

#[test]
fn a_bad_row_is_told_by_line_and_column_and_the_next_is_read() {
    let text = "symbol,price,size,at\nX,1,1,1\nX,none,1,2\nX,1\nX,1,1,4.5\nX,1,1,5\n";
    let (rows, bad, outcome) = decode(Dialect::default(), text);
    assert_eq!(outcome, Ok(()));
    assert_eq!(rows, [row("X", "1", Some("1"), 1), row("X", "1", Some("1"), 5)]);
    let told: Vec<_> = bad.iter().map(|bad| (bad.line.unwrap(), bad.reason.as_str())).collect();
    assert_eq!(
        told,
        [
            (3, "column `price`: `none` is not a decimal number"),
            (4, "2 fields, where the header has 4"),
            (5, "column `at`: `4.5` is not a whole number of its type"),
        ]
    );
    assert_eq!(bad[0].bytes, b"X,none,1,2\n");
    assert_eq!(bad[0].offset, 29);
}

#[test]
fn a_file_without_a_needed_column_cannot_be_read() {
    let (rows, bad, outcome) = decode(Dialect::default(), "symbol,px,size,at\nX,1,1,1\n");
    assert!(rows.is_empty() && bad.is_empty());
    let message = outcome.unwrap_err();
    assert!(message.contains("no column is named `price`"), "{message}");
    assert!(message.contains("symbol, px, size, at"), "{message}");

    let columns = vec![("last".into(), "price".into())];
    let dialect = Dialect { columns, ..Dialect::default() };
    let message = decode(dialect, "symbol,px\n").2.unwrap_err();
    assert!(message.contains("no column `last` to be read as `price`"), "{message}");
}

#[test]
fn a_quote_that_is_never_closed_is_told() {
    let text = "symbol,price,size,at\n\"X,1,1,1\nX,1,1,2\nX,1,1,3\n";
    let (rows, bad, outcome) = decode(Dialect::default(), text);
    assert!(rows.is_empty() && outcome.is_ok());
    assert_eq!((bad[0].line, bad[0].reason.as_str()), (Some(2), "a quoted field is never closed"));
}

proptest! {
    #[test]
    fn blocks_of_any_size_read_the_same(
        cells in proptest::collection::vec("[a\",;\r\n\u{feff}]{0,6}|[0-9.]{1,4}", 0..40),
        block in 1usize..30,
    ) {
        let mut text = "symbol,price\n".to_owned();
        for pair in cells.chunks(2) {
            text.push_str(&pair.join(","));
            text.push('\n');
        }
        type Pair = (String, String);
        let decoder = || CsvDecoder::<Pair>::new(Dialect::default());
        let whole = decode_all(decoder(), text.as_bytes(), usize::MAX);
        let parts = decode_all(decoder(), text.as_bytes(), block);
        prop_assert_eq!((whole.0, whole.1), (parts.0, parts.1));
    }

    #[test]
    fn rows_are_split_as_the_csv_crate_splits_them(
        text in proptest::collection::vec("[a\",\r\n]{0,8}|a,b\n|\"a\",b\r\n", 0..20),
    ) {
        let text = format!("one,two\n{}\n", text.concat());
        let decoder = CsvDecoder::<(String, String)>::new(Dialect::default());
        let (rows, bad, _) = decode_all(decoder, text.as_bytes(), usize::MAX);
        let mut expected: Vec<_> = ::csv::ReaderBuilder::new()
            .flexible(true)
            .from_reader(text.as_bytes())
            .into_records()
            .map(Result::unwrap)
            .filter(|row| row.len() == 2)
            .map(|row| (row[0].to_owned(), row[1].to_owned()))
            .collect();
        // A quote that is open at the end of a file is bad input here, and good enough there.
        if bad.iter().any(|bad| bad.reason.contains("never closed")) {
            expected.truncate(rows.len());
        }
        prop_assert_eq!(rows, expected);
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>, block in 1usize..30) {
        let _ = decode_all(CsvDecoder::<Row>::new(Dialect::default()), &bytes, block).2;
    }
}
