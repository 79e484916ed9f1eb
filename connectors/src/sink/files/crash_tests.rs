//! Transactional files on a disk that crashes at each of its calls, and what their readers see.
//!
//! Method: a small job of one source and one sink writes rows, takes checkpoints and commits them.
//! The disk fails at the n-th call, for every n; then it crashes in one of several ways, and the
//! job goes on from the last checkpoint that had become durable. At each crash readers must see
//! nothing but a beginning of the undisturbed output, as far as a durable checkpoint covers it, and
//! no less than the crash before; at the end they must see all of it.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use tailwater_core::{Stamped, Timestamp};
use tailwater_operators::Restored;

use super::*;
use crate::file::{Files, Roll};
use crate::sink::{CommittedLength, Crash, MemoryDisk};
use crate::testing::sink_context;

#[derive(Clone, Serialize)]
struct Row {
    n: u64,
}

const ROWS: u64 = 24;
const BATCH: u64 = 3;

/// A kind of output.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    JsonlFile,
    CsvFile,
    JsonlParts,
    CsvParts,
}

const KINDS: [Kind; 4] = [Kind::JsonlFile, Kind::CsvFile, Kind::JsonlParts, Kind::CsvParts];

impl Kind {
    fn open(self, disk: &MemoryDisk, context: &SinkContext) -> Result<Box<dyn SinkWriter<Row>>> {
        let disk = Arc::new(disk.clone());
        let roll = Roll { bytes_max: 20, ..Roll::default() };
        match self {
            Self::JsonlFile => Files::jsonl("out/rows.jsonl").on_disk(disk).open(context),
            Self::CsvFile => Files::csv("out/rows.csv").on_disk(disk).open(context),
            Self::JsonlParts => Files::jsonl("out/").roll(roll).on_disk(disk).open(context),
            Self::CsvParts => Files::csv("out/").roll(roll).on_disk(disk).open(context),
        }
    }

    fn path(self) -> &'static Path {
        Path::new(if self == Self::JsonlFile { "out/rows.jsonl" } else { "out/rows.csv" })
    }

    /// The rows that readers see who read as they should; each line and header is checked.
    fn seen(self, disk: &MemoryDisk) -> Vec<u64> {
        let text = |path: &Path| {
            String::from_utf8(disk.read(path).unwrap().expect("a file to read")).unwrap()
        };
        let rows = |text: &str| -> Vec<u64> {
            let rows = match self {
                Self::JsonlFile | Self::JsonlParts => text,
                Self::CsvFile | Self::CsvParts if text.is_empty() => text,
                Self::CsvFile | Self::CsvParts => text.strip_prefix("n\n").expect("a header"),
            };
            assert!(rows.is_empty() || rows.ends_with('\n'), "half a line: {text:?}");
            let number = |line: &str| {
                line.trim_start_matches("{\"n\":").trim_end_matches('}').parse().expect("a row")
            };
            rows.lines().map(number).collect()
        };
        match self {
            Self::JsonlFile | Self::CsvFile => {
                let name = self.path().file_name().unwrap().to_str().unwrap();
                let sidecar = self.path().with_file_name(format!("{name}.committed"));
                let Some(bytes) = disk.read(&sidecar).unwrap() else { return Vec::new() };
                let committed: CommittedLength = serde_json::from_slice(&bytes).unwrap();
                let len = committed.committed_bytes as usize;
                if len == 0 { Vec::new() } else { rows(&text(self.path())[..len]) }
            }
            Self::JsonlParts | Self::CsvParts => {
                let mut names = disk.list(Path::new("out/")).unwrap().unwrap_or_default();
                names.retain(|name| name.starts_with("part-"));
                names.sort();
                let parts = names.iter().map(|name| rows(&text(&Path::new("out").join(name))));
                parts.flatten().collect()
            }
        }
    }
}

/// What is durable of the job.
#[derive(Clone, Default)]
struct Checkpoint {
    number: u64,
    rows: u64,
    transaction: Option<Vec<u8>>,
}

/// Runs the job from the last checkpoint until it ends or the disk fails.
fn run(kind: Kind, disk: &MemoryDisk, durable: &mut Checkpoint, taken: &mut u64) -> Result<()> {
    let restored = durable.transaction.clone().map(|transaction| Restored {
        checkpoint: durable.number,
        transactions: vec![transaction],
    });
    let context = SinkContext { checkpointing: true, restored, ..sink_context() };
    let mut writer = kind.open(disk, &context)?;
    assert!(writer.is_transactional());
    let (mut next, mut batches) = (durable.rows, 0);
    loop {
        let mut batch: Vec<_> = (next..ROWS.min(next + BATCH))
            .map(|n| Stamped::new(Timestamp(n as i64), Row { n }))
            .collect();
        next += batch.len() as u64;
        writer.write(&mut batch)?;
        batches += 1;
        let ended = next == ROWS;
        if !ended && batches % 2 != 0 {
            continue;
        }
        *taken += 1;
        assert!(writer.prepare(*taken)?);
        let transaction = writer.prepared()?.expect("an answer").transaction;
        // Some checkpoints fail, some become durable without the sink being told.
        if !ended && taken.is_multiple_of(4) {
            continue;
        }
        *durable = Checkpoint { number: *taken, rows: next, transaction: Some(transaction) };
        if !ended && taken.is_multiple_of(3) {
            continue;
        }
        assert!(writer.commit(*taken)?);
        if ended {
            assert!(writer.close()?);
            return Ok(());
        }
    }
}

/// Runs the job with a crash at each of `calls`, one after the other.
fn crash_and_go_on(kind: Kind, calls: &[u64], crash: Crash) -> u64 {
    let disk = MemoryDisk::with_directories(&["out", "."]);
    let (mut durable, mut taken, mut seen_before) = (Checkpoint::default(), 0, 0);
    let mut crashes = calls.iter();
    loop {
        let next = crashes.next();
        if let Some(call) = next {
            disk.fail_at(disk.calls() + call);
        }
        let outcome = run(kind, &disk, &mut durable, &mut taken);
        assert!(outcome.is_ok() || next.is_some(), "{kind:?} {outcome:?}");
        disk.crash(crash);
        let seen = kind.seen(&disk);
        let count = seen.len() as u64;
        assert_eq!(seen, (0..count).collect::<Vec<_>>(), "{kind:?} {calls:?} {crash:?}");
        assert!(count <= durable.rows, "{kind:?} {calls:?} {crash:?}: {count} are visible");
        assert!(count >= seen_before, "{kind:?} {calls:?} {crash:?}: {count} are left");
        seen_before = count;
        if outcome.is_ok() {
            assert_eq!(count, ROWS, "{kind:?} {calls:?} {crash:?}");
            return disk.calls();
        }
    }
}

#[test]
fn a_crash_at_any_call_leaves_the_output_exactly_once() {
    for kind in KINDS {
        let calls = crash_and_go_on(kind, &[], Crash::LosesAll);
        assert!(calls > 20);
        for call in 0..calls {
            for crash in [Crash::LosesAll, Crash::KeepsAll, Crash::Tears(call), Crash::Tears(!call)]
            {
                crash_and_go_on(kind, &[call], crash);
                for again in [0, 3, 11, 23] {
                    crash_and_go_on(kind, &[call, again, call / 2], crash);
                }
            }
        }
    }
}

#[test]
fn going_back_to_an_older_checkpoint_takes_back_what_came_after_it() {
    for kind in KINDS {
        let disk = MemoryDisk::with_directories(&["out"]);
        let (mut durable, mut taken) = (Checkpoint::default(), 0);
        disk.fail_at(disk.calls() + 30);
        run(kind, &disk, &mut durable, &mut taken).unwrap_err();
        disk.crash(Crash::KeepsAll);
        let older = durable.clone();
        assert!(older.rows > 0);
        run(kind, &disk, &mut durable, &mut taken).unwrap();
        assert_eq!(kind.seen(&disk), (0..ROWS).collect::<Vec<_>>());
        // The newer checkpoints turn out to be damaged.
        run(kind, &disk, &mut older.clone(), &mut taken).unwrap();
        assert_eq!(kind.seen(&disk), (0..ROWS).collect::<Vec<_>>());
    }
}

#[test]
fn an_output_that_lost_what_was_committed_is_refused() {
    for kind in KINDS {
        let disk = MemoryDisk::with_directories(&["out"]);
        let (mut durable, mut taken) = (Checkpoint::default(), 0);
        disk.fail_at(disk.calls() + 30);
        run(kind, &disk, &mut durable, &mut taken).unwrap_err();
        disk.crash(Crash::KeepsAll);
        for name in disk.list(Path::new("out")).unwrap().unwrap() {
            if !name.ends_with(".committed") {
                disk.remove(&Path::new("out").join(name)).unwrap();
            }
        }
        let outcome = run(kind, &disk, &mut durable, &mut taken);
        if matches!(kind, Kind::JsonlFile | Kind::CsvFile) {
            let error = outcome.unwrap_err().to_string();
            assert!(error.contains("bytes to `out/rows.") && error.contains("it has gone"));
        }
    }
    let disk = MemoryDisk::with_directories(&["out"]);
    let transaction = {
        let context = SinkContext { checkpointing: true, ..sink_context() };
        let mut writer = Kind::JsonlParts.open(&disk, &context).unwrap();
        writer.write(&mut vec![Stamped::new(Timestamp(0), Row { n: 0 })]).unwrap();
        assert!(writer.prepare(1).unwrap());
        writer.prepared().unwrap().unwrap().transaction
    };
    disk.remove(Path::new("out/.part-000000.jsonl.pending")).unwrap();
    let restored = Some(Restored { checkpoint: 1, transactions: vec![transaction] });
    let context = SinkContext { checkpointing: true, restored, ..sink_context() };
    let error = Kind::JsonlParts.open(&disk, &context).err().unwrap().to_string();
    assert!(error.contains("neither under this name nor as"), "{error}");
}

#[test]
fn the_same_on_real_files_and_a_thread() {
    for inline in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        for output in ["rows.csv", "parts/"] {
            let path = format!("{}/{output}", directory.path().display());
            let sink = Files::csv::<Row>(path.as_str());
            let mut restored = None;
            for (checkpoint, first) in [(1, 0), (2, 10), (3, 20)] {
                let context =
                    SinkContext { checkpointing: true, inline, restored, ..sink_context() };
                let mut writer = sink.open(&context).unwrap();
                let write = |writer: &mut dyn SinkWriter<Row>, rows: std::ops::Range<u64>| {
                    let mut batch: Vec<_> =
                        rows.map(|n| Stamped::new(Timestamp(0), Row { n })).collect();
                    while !batch.is_empty() {
                        writer.write(&mut batch).unwrap();
                    }
                };
                write(&mut *writer, first..first + 10);
                while !writer.prepare(checkpoint).unwrap() {}
                let prepared = loop {
                    if let Some(prepared) = writer.prepared().unwrap() {
                        break prepared;
                    }
                };
                restored = Some(Restored { checkpoint, transactions: vec![prepared.transaction] });
                // Every other time it is committed only by the run that goes on.
                while checkpoint != 2 && !writer.commit(checkpoint).unwrap() {}
                // What no checkpoint covers is dropped with the writer, as in a crash.
                write(&mut *writer, 90..95);
                if checkpoint == 3 {
                    while !writer.close().unwrap() {}
                }
            }
            let expected: String = (0..30).map(|n| format!("{n}\n")).collect();
            if output == "rows.csv" {
                let committed = CommittedLength::of(Path::new(&path)).unwrap();
                let text = std::fs::read_to_string(&path).unwrap();
                assert_eq!(text[..committed.committed_bytes as usize], format!("n\n{expected}"));
                assert_eq!(committed.checkpoint, 3);
            } else {
                let mut names: Vec<_> = std::fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                    .filter(|name| !name.starts_with('.'))
                    .collect();
                names.sort();
                let text: String = names
                    .iter()
                    .map(|name| std::fs::read_to_string(format!("{path}{name}")).unwrap())
                    .collect();
                assert_eq!(text.replace("n\n", ""), expected);
            }
        }
    }
}
