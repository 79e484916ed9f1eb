//! How fast is text decoded? Bytes or messages a second, on one thread, from memory.
//!
//! `benches/decode_python.py` times Python's `json` on the same file. The real files are looked for
//! as the tests do; without them two Binance messages are repeated, and ITCH is left out.

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tailwater_connectors::Files;
use tailwater_connectors::file::{Archive, CsvDecoder, Decoder, Dialect, JsonlDecoder, Rest, Step};
use tailwater_connectors::market::Trade;
use tailwater_connectors::market::binance::{BinanceEventDecoder, BinanceTradeDecoder};
use tailwater_connectors::market::itch::{ItchMessageDecoder, ItchTradeDecoder};
use tailwater_core::{Counters, ManualClock};
use tailwater_operators::{Polled, Source, SourceContext, Waker};

/// How much of the input a decoder sees at a time, as in a job.
const BLOCK_BYTES: usize = 256 << 10;

fn decode<D: Decoder>(mut decoder: D, bytes: &[u8]) -> usize {
    let (mut start, mut records) = (0, 0);
    while start < bytes.len() {
        let end = bytes.len().min(start + BLOCK_BYTES);
        let rest = if end == bytes.len() { Rest::None } else { Rest::Unknown };
        let mut block = &bytes[start..end];
        loop {
            if block.is_empty() {
                break;
            }
            let used = match decoder.next(block, rest) {
                Step::Record(record, used) => {
                    black_box(record);
                    records += 1;
                    used
                }
                Step::Nothing(used) => used,
                Step::Incomplete if rest == Rest::Unknown => break,
                Step::Bad(reason, _) | Step::Lost(reason) => panic!("{reason}"),
                Step::Incomplete => panic!("the input ends in the middle"),
            };
            block = &block[used..];
            start += used;
        }
    }
    records
}

fn data_path(name: &str) -> PathBuf {
    let fallback = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data");
    let directory = std::env::var_os("TAILWATER_DATA").unwrap_or_else(|| fallback.into());
    PathBuf::from(directory).join(name)
}

/// The unpacked content of a data file.
fn data(name: &str) -> Option<Vec<u8>> {
    let mut archive = Archive::open(&data_path(name)).ok()?;
    let mut bytes = vec![0; 64 << 20];
    let mut len = 0;
    loop {
        match archive.read(&mut bytes[len..]).ok()? {
            0 => break,
            read => len += read,
        }
    }
    bytes.truncate(len);
    Some(bytes)
}

const MADE_UP: &str = concat!(
    r#"1723161255088176367 {"stream":"btcusdt@trade","data":{"e":"trade","E":1723161256322,"T":1723161256322,"s":"BTCUSDT","t":5266583935,"p":"61800.30","q":"0.006","X":"MARKET","m":false}}"#,
    "\n",
    r#"1723161255088169167 {"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":5123107839020,"s":"BTCUSDT","b":"61800.20","B":"2.507","a":"61800.30","A":"2.510","T":1723161256313,"E":1723161256313}}"#,
    "\n",
);

fn text(criterion: &mut Criterion) {
    let capture = data("binance-usdm-btcusdt-20240808.jsonl.gz")
        .unwrap_or_else(|| MADE_UP.repeat(50_000).into_bytes());
    let mut group = criterion.benchmark_group("decode");
    group.sample_size(20);
    group.throughput(Throughput::Bytes(capture.len() as u64));
    group.bench_function("binance-events", |bencher| {
        bencher.iter(|| decode(BinanceEventDecoder::default(), &capture));
    });
    group.bench_function("binance-trades", |bencher| {
        bencher.iter(|| decode(BinanceTradeDecoder::default(), &capture));
    });

    let (mut csv, mut jsonl) = ("symbol,price,size,at,id,side\n".to_owned(), String::new());
    for n in 0..200_000 {
        let (cents, milli) = (n % 100, n % 1000);
        csv += &format!("BTCUSDT,61800.{cents:02},0.{milli:03},17231612560{n:08},{n},buy\n");
        jsonl += &format!(
            "{{\"symbol\":\"BTCUSDT\",\"price\":\"61800.{cents:02}\",\"size\":\"0.{milli:03}\",\
             \"at\":17231612560{n:08},\"id\":{n},\"side\":\"buy\"}}\n"
        );
    }
    group.throughput(Throughput::Bytes(csv.len() as u64));
    group.bench_function("csv-trades", |bencher| {
        bencher.iter(|| decode(CsvDecoder::<Trade>::new(Dialect::default()), csv.as_bytes()));
    });
    group.throughput(Throughput::Bytes(jsonl.len() as u64));
    group.bench_function("jsonl-trades", |bencher| {
        bencher.iter(|| decode(JsonlDecoder::<Trade>::default(), jsonl.as_bytes()));
    });
    group.finish();
}

fn messages(criterion: &mut Criterion) {
    let Some(itch) = data("nasdaq-itch50-sample-20101224.gz") else { return };
    let mut group = criterion.benchmark_group("decode");
    group.sample_size(20);
    group.throughput(Throughput::Elements(decode(ItchMessageDecoder, &itch) as u64));
    group.bench_function("itch-messages", |bencher| {
        bencher.iter(|| decode(ItchMessageDecoder, &itch));
    });
    group.bench_function("itch-trades", |bencher| {
        bencher.iter(|| decode(ItchTradeDecoder::default(), &itch));
    });
    group.finish();
}

/// From the file to the core that polls: reading and unpacking included, on the reader's thread.
fn files(criterion: &mut Criterion) {
    let name = "binance-usdm-btcusdt-20240808.jsonl.gz";
    let Some(capture) = data(name) else { return };
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let plain = directory.path().join("capture");
    std::fs::write(&plain, &capture).expect("a temporary file can be written");
    let mut group = criterion.benchmark_group("file");
    group.sample_size(20);
    group.throughput(Throughput::Bytes(capture.len() as u64));
    for (name, path) in [("plain", plain), ("gzip", data_path(name))] {
        group.bench_function(format!("binance-events-{name}"), |bencher| {
            bencher.iter(|| poll_all(&Files::binance_events(&path)));
        });
    }
    group.finish();
}

/// Reads the one split of a source; the number of its records.
fn poll_all<S: Source>(source: &S) -> u64 {
    let waiting = std::thread::current();
    let context = SourceContext {
        core: 0,
        cores: 1,
        counters: Counters::default(),
        clock: Arc::new(ManualClock::default()),
        waker: Waker::new(move || waiting.unpark()),
        inline: false,
        start: None,
    };
    source.splits(1).expect("the file is there");
    let mut reader = source.open(0, &context).expect("the file can be opened");
    let mut out = Vec::new();
    loop {
        out.clear();
        match reader.poll(1024, &mut out).expect("the file is in order") {
            Polled::Ready => _ = black_box(&out),
            Polled::Pending => std::thread::park(),
            Polled::Finished => return reader.position().records,
        }
    }
}

criterion_group!(benches, text, messages, files);
criterion_main!(benches);
