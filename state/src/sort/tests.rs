//! The order of everything that was pushed, with and without files.

use std::fs::File;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use tailwater_core::ErrorKind;

type Value = (u32, String);

fn sorter(memory: u64) -> Sorter<Value> {
    Sorter::new(SortOptions { memory, directory: None })
}

/// All that is handed out: a list of each key's records.
fn drain(mut sorted: Sorted<Value>, limit: usize) -> Vec<Vec<(i64, Value)>> {
    let mut keys = vec![Vec::new()];
    let mut batch = Vec::new();
    loop {
        let taken = sorted.take(limit, &mut batch).unwrap();
        assert!(batch.is_empty() == (taken == Taken::End) && batch.len() <= limit);
        let of_key = keys.last_mut().unwrap();
        of_key.extend(batch.drain(..).map(|record| (record.at.0, record.value)));
        match taken {
            Taken::Records => {}
            Taken::LastOfKey => keys.push(Vec::new()),
            Taken::End => break,
        }
    }
    assert_eq!(sorted.take(limit, &mut batch).unwrap(), Taken::End, "and stays there");
    assert_eq!(keys.pop().unwrap(), [], "the last key ends too");
    keys
}

proptest! {
    // SEMANTICS 88
    #[test]
    fn keys_come_one_after_the_other_each_by_time_and_arrival(
        records in prop::collection::vec((0u64..6, -4i64..4), 0..400),
        memory in prop_oneof![Just(1u64), 200u64..20_000, Just(1 << 30)],
        limit in 1usize..9,
    ) {
        let mut sorter = sorter(memory);
        for (arrival, (hash, at)) in records.iter().enumerate() {
            let value = (arrival as u32, "x".repeat(arrival % 5));
            sorter.push(*hash, Timestamp(*at), value).unwrap();
            prop_assert!(sorter.runs() < RUNS_MAX);
        }
        let mut expected: Vec<_> = records.iter().enumerate().collect();
        expected.sort_by_key(|(arrival, (hash, at))| (*hash, *at, *arrival));
        let expected: Vec<Vec<_>> = expected
            .chunk_by(|(_, (one, _)), (_, (next, _))| one == next)
            .map(|of_key| of_key.iter().map(|(arrival, (_, at))| (*at, *arrival as u32)).collect())
            .collect();
        let sorted: Vec<Vec<_>> = drain(sorter.finish().unwrap(), limit)
            .into_iter()
            .map(|of_key| of_key.into_iter().map(|(at, (arrival, _))| (at, arrival)).collect())
            .collect();
        prop_assert_eq!(sorted, expected);
    }
}

#[test]
fn a_limit_of_memory_makes_files_and_none_makes_none() {
    let fill = |memory| {
        let mut sorter = sorter(memory);
        for n in 0..10_000u32 {
            sorter.push(u64::from(n % 7), Timestamp(0), (n, "y".repeat(100))).unwrap();
        }
        sorter
    };
    assert_eq!(fill(64 << 20).runs(), 0);
    let spilled = fill(300_000);
    assert!((3..RUNS_MAX).contains(&spilled.runs()), "{} runs", spilled.runs());
    assert_eq!(drain(spilled.finish().unwrap(), 64), drain(fill(64 << 20).finish().unwrap(), 64));
}

#[test]
fn a_directory_that_is_missing_or_full_is_named() {
    let directory = Some("/no/such/directory".into());
    let mut nowhere = Sorter::<u64>::new(SortOptions { memory: 1, directory });
    let error = nowhere.push(1, Timestamp(1), 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains("`/no/such/directory`"), "{error}");

    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut writer = RunWriter::over(full, Path::new("/dev"));
    let outcome = (0..100_000u64).try_for_each(|n| writer.write(n, Timestamp(0), &n));
    let error = outcome.unwrap_err();
    assert!(error.to_string().contains("make room there"), "{error}");
}
