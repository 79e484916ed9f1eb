//! Files read on from a position: whatever was handed out when it was taken, nothing is missing,
//! doubled or told twice.

use std::io::Write;
use std::path::Path;

use proptest::prelude::*;
use tailwater_core::Symbol;
use tailwater_operators::Polled;
use tempfile::TempDir;

use super::*;
use crate::Files;
use crate::market::Trade;
use crate::testing::{drain_from, source_context};

#[derive(
    Clone,
    Debug,
    PartialEq,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    tailwater_core::Describe,
    serde::Deserialize,
)]
struct Row {
    name: String,
    n: u64,
}

fn file(directory: &TempDir, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = directory.path().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn xz(content: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// Reads `first` records, drops the reader as a crash does, and reads the rest from its position.
/// Returns all records, the second position and the bad records that the second reader told.
fn interrupted<S: Source>(
    source: impl Fn() -> S,
    first: usize,
    limit: usize,
    inline: bool,
) -> Result<(Vec<S::Out>, SplitPosition, u64)> {
    let context = SourceContext { inline, ..source_context() };
    let before = source();
    let splits = before.splits(1)?;
    let mut reader = before.open(0, &context)?;
    let mut out = Vec::new();
    while out.len() < first {
        let left = (first - out.len()).min(limit);
        match reader.poll(left, &mut out)? {
            Polled::Ready => {}
            Polled::Pending => std::thread::yield_now(),
            Polled::Finished => break,
        }
    }
    let start = reader.position();
    assert_eq!(start.records, out.len() as u64);
    drop(reader);

    let context = SourceContext { inline, start: Some(start), ..source_context() };
    let after = source();
    assert_eq!(after.resume(&splits, 2)?, splits);
    let mut reader = after.open(0, &context)?;
    out.extend(drain_from(&mut *reader, limit, start.records)?);
    Ok((out, start, context.counters.get("bad_records")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_cut_of_any_file_gives_the_whole(
        names in proptest::collection::vec("[a-z\",\n]{0,12}", 0..200),
        cut in 0usize..220,
        limit in 1usize..70,
        inline: bool,
        bad_every in 2usize..9,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let rows: Vec<_> =
            names.into_iter().zip(0..).map(|(name, n)| Row { name, n }).collect();
        let mut text = "name,n\r\n".to_owned();
        let mut lines = String::new();
        for (index, row) in rows.iter().enumerate() {
            let quoted = row.name.replace('"', "\"\"");
            text += &format!("\"{quoted}\",{}\n\n", row.n);
            lines += &serde_json::json!({"name": row.name, "n": row.n}).to_string();
            lines += "\r\n";
            if index % bad_every == 0 {
                text += "only one\n";
                lines += "no json\n";
            }
        }
        let zstd = zstd::encode_all(text.as_bytes(), 1).unwrap();
        let total = rows.len().div_ceil(bad_every) as u64;
        let told = rows[cut.min(rows.len())..].iter()
            .filter(|row| (row.n as usize).is_multiple_of(bad_every)).count() as u64;
        for (name, content) in [
            ("t.csv", text.clone().into_bytes()),
            ("t.csv.gz", gzip(text.as_bytes())),
            ("t.csv.xz", xz(text.as_bytes())),
            ("t.csv.zst", zstd),
        ] {
            let path = file(&directory, name, content);
            let source = || Files::csv::<Row>(&path).on_error(OnError::Skip);
            let (read, start, bad) = interrupted(source, cut, limit, inline).unwrap();
            prop_assert_eq!(&read, &rows);
            prop_assert_eq!(start.offset > 0, name == "t.csv" && start.records > 0);
            // The bad record right behind the cut may have been told with the record before it.
            prop_assert!(bad <= told + 1 && bad + 1 >= told && bad <= total, "{bad} of {told}");
            let limited = || source().limit(cut as u64 / 2 + 5);
            let expected = &rows[..rows.len().min(cut / 2 + 5)];
            prop_assert_eq!(interrupted(limited, cut / 3, limit, inline).unwrap().0, expected);
        }
        let path = file(&directory, "t.jsonl", &lines);
        let source = || Files::jsonl::<Row>(&path).on_error(OnError::Skip);
        prop_assert_eq!(interrupted(source, cut, limit, inline).unwrap().0, rows);
    }
}

#[test]
fn places_are_told_from_the_start_of_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let rows: String = (0..2_000).map(|n| format!("x,{n}\n")).collect();
    for name in ["t.csv", "t.csv.gz"] {
        let text = format!("name,n\n{rows}x,none\n");
        let content = if name == "t.csv" { text.into_bytes() } else { gzip(text.as_bytes()) };
        let path = file(&directory, name, content);
        for cut in [1, 700, 2_000] {
            let source = || Files::csv::<Row>(&path);
            let error = interrupted(source, cut, 100, false).unwrap_err().to_string();
            assert!(error.contains(", line 2002, offset 12897: column `n`: `none`"), "{error}");
        }
    }
}

#[test]
fn dead_letters_of_the_earlier_run_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory, "t.csv.gz", gzip(b"name,n\nx,bad\nx,1\nx,2\nx,worse\nx,3\n"));
    let letters = directory.path().join("bad.jsonl");
    let source = || Files::csv::<Row>(&path).on_error(OnError::DeadLetter(letters.clone()));
    // Inline, the second bad record is not reached by the first reader.
    let (rows, _, bad) = interrupted(source, 1, 1, true).unwrap();
    assert_eq!((rows.len(), bad), (3, 1));
    let text = std::fs::read_to_string(&letters).unwrap();
    let lines: Vec<_> = text.lines().map(|line| line.contains("worse")).collect();
    assert_eq!(lines, [false, true]);
}

#[test]
fn a_file_that_is_not_what_it_was_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory, "t.csv", "name,n\nx,1\nx,2\n");
    let packed = file(&directory, "t.csv.gz", gzip(b"name,n\nx,1\nx,2\n"));
    let open = |path: &Path, start: SplitPosition| {
        let source = Files::csv::<Row>(path);
        source.splits(1).unwrap();
        let context = SourceContext { start: Some(start), ..source_context() };
        source.open(0, &context).err().map_or_else(String::new, |error| error.to_string())
    };
    let at = |records, offset| SplitPosition { records, offset };
    assert_eq!(open(&path, at(1, 11)), "");
    assert_eq!(open(&path, at(2, 15)), "");
    assert_eq!(open(&packed, at(2, 0)), "");
    assert!(open(&path, at(3, 16)).contains("up to offset 16, but it has only 15 bytes"));
    assert!(open(&path, at(1, 10)).contains("offset 10, where no line ends"));
    assert!(open(&packed, at(3, 0)).contains("has read 3 records"));
    assert!(open(&packed, at(1, 11)).contains("was not packed when"));
    let empty = file(&directory, "empty.csv", "\n\n\n\n");
    assert!(open(&empty, at(1, 2)).contains("it has no header"));

    let source = Files::csv::<Row>(&path);
    let error = source.resume(&["gone.csv".to_owned()], 1).unwrap_err().to_string();
    assert!(error.contains("has read from `gone.csv`"), "{error}");
}

#[test]
fn trades_without_a_number_keep_their_place() {
    let directory = tempfile::tempdir().unwrap();
    let text: String = (0..50)
        .map(|n| format!("{{\"symbol\":\"X\",\"price\":\"{n}\",\"size\":\"1\",\"at\":{n}}}\n"))
        .collect();
    let path = file(&directory, "t.jsonl", text);
    let symbol = Symbol::new("X").unwrap();
    for inline in [true, false] {
        let (trades, ..) = interrupted(|| Files::trades(&path), 20, 7, inline).unwrap();
        let ids: Vec<_> = trades.iter().map(|trade: &Trade| (trade.symbol, trade.id)).collect();
        assert_eq!(ids, (0..50).map(|id| (symbol, id)).collect::<Vec<_>>());
    }
}
