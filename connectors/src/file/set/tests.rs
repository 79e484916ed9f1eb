//! Files as sources, end to end: splits, archives, policies, threads, and their failures.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tailwater_core::Symbol;
use tailwater_operators::{Polled, Waker};
use tempfile::TempDir;

use super::*;
use crate::Files;
use crate::market::{Side, Trade, TradeFormat};
use crate::testing::{data, drain, read, source_context};

#[derive(
    Clone,
    Debug,
    PartialEq,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    tailwater_core::Describe,
    serde::Serialize,
    serde::Deserialize,
)]
struct Row {
    symbol: Symbol,
    n: u64,
}

fn row(n: u64) -> Row {
    Row { symbol: Symbol::new("X").unwrap(), n }
}

fn csv(rows: std::ops::Range<u64>) -> String {
    rows.fold("symbol,n\n".to_owned(), |text, n| format!("{text}X,{n}\n"))
}

fn file(directory: &TempDir, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = directory.path().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

fn gzip(content: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn files_are_splits_in_order_of_their_names_packed_or_not() {
    let directory = tempfile::tempdir().unwrap();
    file(&directory, "b.csv", gzip(&csv(10..20)));
    file(&directory, "a.csv", csv(0..10));
    file(&directory, "c.csv", "");
    let source = Files::csv::<Row>(directory.path().join("*.csv"));
    let names = source.splits(2).unwrap();
    assert!(names[0].ends_with("a.csv") && names[1].ends_with("b.csv"), "{names:?}");
    assert_eq!(read(&source).unwrap().0, (0..20).map(row).collect::<Vec<_>>());
    assert_eq!(read(&source.limit(3)).unwrap().0, [0, 1, 2, 10, 11, 12].map(row));
}

#[test]
fn the_thread_reads_what_the_calls_read_and_wakes_the_core() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory, "many.csv", csv(0..50_000));
    let woken = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&woken);
    let context = SourceContext {
        inline: false,
        waker: Waker::new(move || _ = counted.fetch_add(1, Relaxed)),
        ..source_context()
    };
    for limit in [1, 100, 10_000] {
        let source = Files::csv::<Row>(&path);
        source.splits(1).unwrap();
        let mut reader = source.open(0, &context).unwrap();
        let rows = drain(&mut *reader, limit).unwrap();
        assert_eq!(rows.len(), 50_000);
        assert!(rows.iter().enumerate().all(|(n, row)| row.n == n as u64));
        assert_eq!(reader.poll(1, &mut Vec::new()).unwrap(), Polled::Finished);
    }
    assert!(woken.load(Relaxed) >= 3 * 50_000 / 512);

    // A reader that is dropped in the middle, with its thread waiting for room, is joined.
    let source = Files::csv::<Row>(&path).limit(40_000);
    source.splits(1).unwrap();
    let mut reader = source.open(0, &context).unwrap();
    let mut rows = Vec::new();
    while rows.len() < 100 {
        reader.poll(100, &mut rows).unwrap();
    }
    drop(reader);
}

#[test]
fn a_bad_record_fails_after_the_records_before_it() {
    let directory = tempfile::tempdir().unwrap();
    let text = format!("{}X,none\nX,1001\n", csv(0..1000));
    let path = file(&directory, "t.csv", text);
    for inline in [true, false] {
        let source = Files::csv::<Row>(&path);
        source.splits(1).unwrap();
        let context = SourceContext { inline, ..source_context() };
        let mut reader = source.open(0, &context).unwrap();
        let mut rows = Vec::new();
        let error = loop {
            match reader.poll(300, &mut rows) {
                Ok(polled) => assert_ne!(polled, Polled::Finished),
                Err(error) => break error.to_string(),
            }
        };
        assert_eq!(rows.len(), 1000);
        assert!(error.contains("t.csv`, line 1002, offset 5899: column `n`: `none`"), "{error}");
        assert_eq!(context.counters.get("bad_records"), 1);
    }
}

#[test]
fn bad_records_can_be_skipped_or_kept_aside() {
    let directory = tempfile::tempdir().unwrap();
    let path =
        file(&directory, "t.jsonl", "{\"symbol\":\"X\",\"n\":1}\n{}\n{\"symbol\":\"X\",\"n\":2}\n");
    let (rows, counters) = read(&Files::jsonl::<Row>(&path).on_error(OnError::Skip)).unwrap();
    assert_eq!((rows, counters.get("bad_records")), (vec![row(1), row(2)], 1));

    let letters = directory.path().join("bad.jsonl");
    let source = Files::jsonl::<Row>(&path).on_error(OnError::DeadLetter(letters.clone()));
    assert_eq!(read(&source).unwrap().1.get("bad_records"), 1);
    let letter: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(letters).unwrap()).unwrap();
    assert_eq!(letter["file"], path.to_str().unwrap());
    assert_eq!((&letter["line"], &letter["offset"]), (&2.into(), &21.into()));
    assert_eq!((&letter["bytes"], letter["reason"].is_string()), (&"{}\n".into(), true));
}

#[test]
fn the_wrong_format_is_told_before_the_first_record() {
    let directory = tempfile::tempdir().unwrap();
    let json = file(&directory, "x.csv", gzip("{\"symbol\":\"X\",\"n\":1}\n"));
    let table = file(&directory, "y.jsonl", csv(0..2));
    let zip = file(&directory, "z.csv", b"PK\x03\x04....");
    let noise = file(&directory, "noise", b"\x00\x01\x02\x03");
    let told = |outcome: Result<Vec<String>>, looks: &str| {
        let message = outcome.unwrap_err().to_string();
        assert!(message.contains(&format!("looks like {looks}")), "{message}");
    };
    told(Files::csv::<Row>(&json).splits(1), "JSON lines");
    told(Files::jsonl::<Row>(&table).splits(1), "CSV");
    told(Files::csv::<Row>(&zip).splits(1), "a zip archive");
    told(Files::binance_trades(&table).splits(1), "CSV");
    told(Files::itch_trades(&json).splits(1), "JSON lines");
    told(Files::trades(&noise).splits(1), "no format that Tailwater knows");
    told(Files::trades_as(TradeFormat::Csv, &json).splits(1), "JSON lines");
    assert!(Files::csv::<Row>(directory.path().join("gone.csv")).splits(1).is_err());
}

#[test]
fn a_truncated_archive_is_an_error_whatever_the_policy() {
    let directory = tempfile::tempdir().unwrap();
    let packed = gzip(&csv(0..100_000));
    let path = file(&directory, "t.csv.gz", &packed[..packed.len() / 2]);
    let error = read(&Files::csv::<Row>(&path).on_error(OnError::Skip)).unwrap_err().to_string();
    assert!(error.contains("t.csv.gz` is truncated: it ends at byte"), "{error}");
}

#[test]
fn trades_are_read_from_files_of_several_formats_at_once() {
    let directory = tempfile::tempdir().unwrap();
    file(&directory, "1.t", "sym;price;size;at\nX;1.5;2;10\n");
    file(&directory, "2.t", "{\"symbol\":\"X\",\"price\":\"1.5\",\"size\":\"2\",\"at\":10}\n");
    let source =
        Files::trades(directory.path().join("*.t")).delimiter(b';').columns(&[("sym", "symbol")]);
    let symbol = Symbol::new("X").unwrap();
    let price = "1.5".parse().unwrap();
    let size = "2".parse().unwrap();
    let at = tailwater_core::Timestamp(10);
    let trade = Trade { symbol, price, size, at, id: 0, side: Side::Unknown };
    assert_eq!(read(&source).unwrap().0, [trade, trade]);
}

/// A pipe gives its bytes once: nothing may be lost by looking at them first.
#[test]
fn a_pipe_is_read_from_its_first_byte() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    if !made.is_ok_and(|status| status.success()) {
        return crate::testing::skipped(Path::new("mkfifo"));
    }
    let rows = std::thread::scope(|scope| {
        scope.spawn(|| std::fs::write(&path, csv(0..1000)).unwrap());
        read(&Files::csv::<Row>(&path)).unwrap().0
    });
    assert_eq!(rows, (0..1000).map(row).collect::<Vec<_>>());
}

#[test]
fn the_real_orders_are_read_from_packed_csv() {
    #[derive(
        Clone,
        Copy,
        Debug,
        PartialEq,
        serde::Deserialize,
        rkyv::Archive,
        rkyv::Serialize,
        rkyv::Deserialize,
        tailwater_core::Describe,
    )]
    #[serde(rename_all = "lowercase")]
    enum Action {
        Created,
        Changed,
        Deleted,
    }
    #[derive(
        Clone,
        serde::Deserialize,
        rkyv::Archive,
        rkyv::Serialize,
        rkyv::Deserialize,
        tailwater_core::Describe,
    )]
    struct Order {
        id: u64,
        placed_ms: i64,
        price: tailwater_core::Price,
        action: Action,
    }
    let Some(path) = data("bitstamp-btcusd-orders-20150501.csv.xz") else { return };
    let source = Files::csv::<Order>(path).columns(&[("exchange.timestamp", "placed_ms")]);
    let (orders, _) = read(&source).unwrap();
    assert_eq!(orders.len(), 50_414);
    let first = &orders[0];
    assert_eq!((first.id, first.placed_ms), (65_595_247, 1_430_438_404_000));
    assert_eq!((first.price.to_string(), first.action), ("236.47".into(), Action::Created));
}

#[test]
fn a_panic_in_a_record_type_is_an_error_of_the_reader() {
    #[derive(
        Clone, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize, tailwater_core::Describe,
    )]
    struct Panics;
    impl<'de> serde::Deserialize<'de> for Panics {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            panic!("as the test wants it");
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory, "t.jsonl", "{}\n");
    let source = Files::jsonl::<Panics>(&path);
    source.splits(1).unwrap();
    let waiting = std::thread::current();
    let waker = Waker::new(move || waiting.unpark());
    let context = SourceContext { inline: false, waker, ..source_context() };
    let mut reader = source.open(0, &context).unwrap();
    // A core that sleeps is woken for it: without that, this never ends.
    std::thread::park();
    let error = drain(&mut *reader, 1).err().unwrap().to_string();
    assert!(error.contains("panicked"), "{error}");
}

/// The shape of the API: a source's type from the closure behind it, a sink's from the stream
/// before it.
mod inference {
    use super::*;
    use tailwater_operators::Sink;

    struct Stream<T>(std::marker::PhantomData<T>);

    struct Job;

    impl Job {
        fn source<S: Source>(&self, _: S) -> Stream<S::Out> {
            Stream(std::marker::PhantomData)
        }
    }

    impl<T> Stream<T> {
        fn event_time(self, _: impl Fn(&T) -> u64) -> Self {
            self
        }
        fn filter(self, _: impl Fn(&T) -> bool) -> Self {
            self
        }
        fn sink(self, sink: impl Sink<T>) -> String {
            sink.name()
        }
    }

    #[test]
    fn types_follow_from_the_job() {
        let name = Job
            .source(Files::csv("trades.csv"))
            .event_time(|row: &Row| row.n)
            .filter(|row| row.n > 1)
            .sink(Files::jsonl("out/rows.jsonl"));
        assert_eq!(name, "jsonl out/rows.jsonl");
        let name = Job
            .source(Files::jsonl("trades.jsonl").limit(7))
            .event_time(|row: &Row| row.n)
            .sink(Files::csv("rows.csv").delimiter(b';'));
        assert_eq!(name, "csv rows.csv");
        let name = Job.source(Files::trades(["a", "b"])).filter(|t| t.id > 0).sink(crate::stdout());
        assert_eq!(name, "stdout");
    }
}
