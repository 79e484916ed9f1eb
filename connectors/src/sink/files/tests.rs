//! What lands in files, under which names, and when.

use std::path::Path;
use std::sync::Arc;

use tailwater_core::{ManualClock, Span, Stamped, Timestamp};

use super::*;
use crate::file::{Files, Roll};
use crate::testing::sink_context;

#[derive(Clone, serde::Serialize)]
struct Row {
    name: &'static str,
    n: u32,
}

fn batch(rows: std::ops::Range<u32>) -> Vec<Stamped<Row>> {
    rows.map(|n| Stamped::new(Timestamp(n.into()), Row { name: "a,b", n })).collect()
}

/// Offers a batch until it is taken, then closes.
fn write(sink: &impl Sink<Row>, batches: Vec<Vec<Stamped<Row>>>, context: &SinkContext) {
    let mut writer = sink.open(context).unwrap();
    for mut batch in batches {
        while !batch.is_empty() {
            writer.write(&mut batch).unwrap();
        }
    }
    while !writer.close().unwrap() {
        std::thread::yield_now();
    }
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn json_lines_and_csv_on_a_thread_and_without() {
    let directory = tempfile::tempdir().unwrap();
    for inline in [true, false] {
        let context = SinkContext { inline, ..sink_context() };
        let path = directory.path().join("rows.jsonl");
        write(&Files::jsonl(&path), vec![batch(0..1), batch(1..2)], &context);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "{\"name\":\"a,b\",\"n\":0}\n{\"name\":\"a,b\",\"n\":1}\n");

        let path = directory.path().join("rows.csv");
        write(&Files::csv(&path), vec![batch(0..1), batch(1..2)], &context);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "name,n\n\"a,b\",0\n\"a,b\",1\n");
        write(&Files::csv(&path).delimiter(b';'), vec![batch(0..1)], &context);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "name;n\na,b;0\n");
    }
    assert_eq!(names(directory.path()), ["rows.csv", "rows.jsonl"]);
}

#[test]
fn many_batches_arrive_in_order_on_a_thread() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows.jsonl");
    let batches = (0..2_000).map(|n| batch(10 * n..10 * n + 10)).collect();
    write(&Files::jsonl(&path), batches, &SinkContext { inline: false, ..sink_context() });
    let text = std::fs::read_to_string(&path).unwrap();
    let expected = (0..20_000).map(|n| format!("{{\"name\":\"a,b\",\"n\":{n}}}\n"));
    assert_eq!(text, expected.collect::<String>());
}

#[test]
fn a_file_has_its_name_only_when_it_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows.jsonl");
    let mut writer = Sink::<Row>::open(&Files::jsonl(&path), &sink_context()).unwrap();
    writer.write(&mut batch(0..3)).unwrap();
    assert_eq!(names(directory.path()), [".rows.jsonl.inprogress"]);
    drop(writer);
    assert_eq!(names(directory.path()), [".rows.jsonl.inprogress"]);
    write(&Files::jsonl(&path), vec![], &sink_context());
    assert_eq!(names(directory.path()), ["rows.jsonl"]);
}

#[test]
fn parts_are_rolled_by_size_at_the_same_records_whatever_the_batches() {
    for inline in [true, false] {
        for batches in [vec![batch(0..7)], (0..7).map(|n| batch(n..n + 1)).collect()] {
            let directory = tempfile::tempdir().unwrap();
            let path = format!("{}/out/", directory.path().display());
            let roll = Roll { bytes_max: 40, ..Roll::default() };
            let context = SinkContext { inline, ..sink_context() };
            write(&Files::jsonl(path.as_str()).roll(roll), batches, &context);
            let out = directory.path().join("out");
            let parts = ["part-000000.jsonl", "part-000001.jsonl", "part-000002.jsonl"];
            assert_eq!(names(&out)[..3], parts);
            let lines = |name| std::fs::read_to_string(out.join(name)).unwrap().lines().count();
            assert_eq!(names(&out).into_iter().map(lines).collect::<Vec<_>>(), [2, 2, 2, 1]);
        }
    }
}

#[test]
fn parts_are_rolled_by_time_and_each_has_a_header() {
    let directory = tempfile::tempdir().unwrap();
    let path = format!("{}/", directory.path().display());
    let clock = ManualClock::default();
    let context = SinkContext { clock: Arc::new(clock.clone()), ..sink_context() };
    let roll = Roll { bytes_max: 0, span_max: Span(1_000) };
    let mut writer = Sink::<Row>::open(&Files::csv(path.as_str()).roll(roll), &context).unwrap();
    for n in 0..4 {
        writer.write(&mut batch(n..n + 1)).unwrap();
        clock.advance_ns(500);
    }
    assert!(writer.close().unwrap());
    assert_eq!(names(directory.path()), ["part-000000.csv", "part-000001.csv"]);
    let second = std::fs::read_to_string(directory.path().join("part-000001.csv")).unwrap();
    assert_eq!(second, "name,n\n\"a,b\",3\n");
}

#[test]
fn what_cannot_be_written_is_said_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| format!("{}/{name}", directory.path().display());
    std::fs::create_dir(path("old")).unwrap();
    std::fs::write(path("old/part-000000.jsonl"), "").unwrap();
    for (paths, message) in [
        (vec![path("none/rows.jsonl")], "cannot create"),
        (vec![path("none/at/all/")], "cannot create the directory"),
        (vec![path("old")], "is a directory: write"),
        (vec![path("old/")], "already holds `part-000000.jsonl`"),
        (vec![path("a"), path("b")], "an output is one file or directory, not 2"),
    ] {
        let sink = Files::jsonl::<Row>(paths);
        let error = sink.open(&sink_context()).err().unwrap().to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn a_panic_in_a_record_type_is_the_writers_error() {
    struct Panics;
    impl serde::Serialize for Panics {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            panic!("as the test wants it");
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let context = SinkContext { inline: false, ..sink_context() };
    let sink = Files::jsonl(directory.path().join("rows.jsonl"));
    let mut writer = sink.open(&context).unwrap();
    writer.write(&mut vec![Stamped::new(Timestamp(0), Panics)]).unwrap();
    let error = loop {
        match writer.close() {
            Ok(closed) => assert!(!closed),
            Err(error) => break error.to_string(),
        }
    };
    assert!(error.contains("panicked"), "{error}");
}

/// `/dev/full` refuses every write, as a full disk does.
#[test]
fn a_full_disk_is_the_writers_error() {
    if !Path::new("/dev/full").exists() {
        return crate::testing::skipped(Path::new("/dev/full"));
    }
    for inline in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rows.jsonl");
        let in_progress = directory.path().join(".rows.jsonl.inprogress");
        std::os::unix::fs::symlink("/dev/full", in_progress).unwrap();
        let context = SinkContext { inline, ..sink_context() };
        let mut writer = Sink::<Row>::open(&Files::jsonl(&path), &context).unwrap();
        let mut rows = batch(0..3);
        let error = loop {
            if let Err(error) = writer.write(&mut rows) {
                break error;
            }
            match writer.close() {
                Ok(closed) => assert!(!closed),
                Err(error) => break error,
            }
        };
        assert!(error.to_string().contains("rows.jsonl`: No space left"), "{error}");
    }
}

#[test]
fn a_record_that_csv_cannot_hold_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let sink = Files::csv(directory.path().join("rows.csv"));
    let mut writer = sink.open(&sink_context()).unwrap();
    let nested = Stamped::new(Timestamp(0), std::collections::BTreeMap::from([("a", 1)]));
    let error = writer.write(&mut vec![nested]).unwrap_err().to_string();
    assert!(error.contains("cannot be written as CSV (JSON lines can)"), "{error}");
}
