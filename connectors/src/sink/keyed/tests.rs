//! A table by key holds the last row of each key, however often a job is restored.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tailwater_core::Timestamp;
use tailwater_operators::Restored;

use super::*;
use crate::testing::sink_context;

#[derive(Clone, Debug, PartialEq, Serialize, serde::Deserialize)]
struct Row {
    name: String,
    n: u64,
}

fn write(writer: &mut dyn SinkWriter<Row>, rows: &[Row]) {
    let mut batch: Vec<_> =
        rows.iter().map(|row| Stamped::new(Timestamp(0), row.clone())).collect();
    while !batch.is_empty() {
        writer.write(&mut batch).unwrap();
    }
}

fn last_of_each(rows: &[Row]) -> Vec<(String, Row)> {
    let last: BTreeMap<_, _> = rows.iter().map(|row| (row.name.clone(), row.clone())).collect();
    last.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn replays_end_where_an_undisturbed_run_ends(
        names in proptest::collection::vec("[a-f]", 1..60),
        crashes in proptest::collection::vec((0usize..60, 0usize..60), 0..4),
        inline: bool,
        versioned: bool,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rows.redb");
        let rows: Vec<_> = names.into_iter().zip(0..).map(|(name, n)| Row { name, n }).collect();
        let open = |restored| {
            let context = SinkContext { checkpointing: true, inline, restored, ..sink_context() };
            let table = keyed_table(&path, |row: &Row| row.name.clone());
            if versioned { table.version(|row| row.n).open(&context) } else { table.open(&context) }
        };
        let (mut writer, mut next) = (open(None).unwrap(), 0);
        for (number, (written, replayed)) in (1..).zip(crashes) {
            let checkpoint = rows.len().min(next + written);
            write(&mut *writer, &rows[next..checkpoint]);
            while !writer.prepare(number).unwrap() {}
            let prepared = loop {
                if let Some(prepared) = writer.prepared().unwrap() {
                    break prepared;
                }
            };
            // Every result that the checkpoint covers is there before the checkpoint is.
            // Later on there may also be some that a run before wrote ahead of its crash.
            if number == 1 {
                let all = KeyedRows::open(&path).unwrap().all::<Row>().unwrap();
                prop_assert_eq!(all, last_of_each(&rows[..checkpoint]));
            }
            write(&mut *writer, &rows[checkpoint..rows.len().min(checkpoint + replayed)]);
            drop(writer);
            let transactions = vec![prepared.transaction];
            writer = open(Some(Restored { checkpoint: number, transactions })).unwrap();
            next = checkpoint;
        }
        write(&mut *writer, &rows[next..]);
        while !writer.close().unwrap() {}
        drop(writer);
        let read = KeyedRows::open(&path).unwrap();
        prop_assert_eq!(read.all::<Row>().unwrap(), last_of_each(&rows));
        prop_assert_eq!(read.get::<Row>("g").unwrap(), None);
        let last = rows.last().unwrap();
        let row: Option<Row> = read.get(&last.name).unwrap();
        prop_assert_eq!(row.as_ref(), Some(last));
    }
}

#[test]
fn a_row_of_a_lower_version_does_not_overwrite() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows.redb");
    let sink = keyed_table(&path, |row: &Row| row.name.clone()).version(|row| row.n);
    let mut writer = sink.open(&sink_context()).unwrap();
    let row = |n| Row { name: "a".to_owned(), n };
    write(&mut *writer, &[row(2), row(1)]);
    assert!(writer.close().unwrap());
    drop(writer);
    assert_eq!(KeyedRows::open(&path).unwrap().get("a").unwrap(), Some(row(2)));
}

#[test]
fn what_is_no_table_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let error = KeyedRows::open(directory.path().join("none")).unwrap_err().to_string();
    assert!(error.contains("cannot open the table"), "{error}");
    let path = directory.path().join("text");
    std::fs::write(&path, "no database").unwrap();
    let sink = keyed_table(&path, |row: &Row| row.name.clone());
    assert!(sink.open(&sink_context()).err().unwrap().to_string().contains("cannot open"));
}
