//! How close does the as-of join come to the merge that one would write by hand for trades and the
//! quotes in force, on 1,000 symbols?
//!
//! The answer is a ratio of records a second, the median of short pairs in the order A B B A in one
//! run, with its quartiles. The tape is a recording of two instruments where `TAILWATER_DATA` (or
//! `../shared/data`) has it, each copied to 500 symbols with its own delay, and a random walk
//! otherwise. Both sides read it from memory, and their matches must agree.
#![allow(missing_docs, clippy::print_stdout, clippy::disallowed_methods)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Instant;

use hashbrown::HashMap;
use tailwater_core::random::nth;
use tailwater_core::{Either, Error, Result, Stamped, Timestamp};
use tailwater_operators::join::{AsOf, AsOfJoin, Matched};
use tailwater_operators::{Collect, Operator, OperatorContext};

const SYMBOLS: u64 = 1_000;
const RECORDS: usize = 2_000_000;
const BATCH_LEN: usize = 256;
const PAIRS: usize = 15;
/// How far the copies of an instrument are apart at most.
const DELAY_NS_MAX: u64 = 1_000_000_000;
const RECORDINGS: [&str; 2] =
    ["binance-usdm-btcusdt-20240808.jsonl.gz", "binance-usdm-ethusdt-20240808.jsonl.gz"];

/// Symbol and price.
type Trade = (u32, i64);
/// Symbol, bid and ask.
type Quote = (u32, i64, i64);
type Tape = Vec<Stamped<Either<Trade, Quote>>>;

/// Counts matches and sums their effective half-spreads.
#[derive(Default, PartialEq, Debug)]
struct Spreads {
    trades: u64,
    matched: u64,
    sum: i64,
}

impl Collect<Matched<Trade, Quote>> for Spreads {
    #[inline(always)]
    fn record(&mut self, _: Timestamp, value: Matched<Trade, Quote>) {
        self.trades += 1;
        if let Some(Stamped { value: (_, bid, ask), .. }) = value.right {
            self.matched += 1;
            self.sum += (2 * value.left.1 - bid - ask).abs();
        }
    }

    fn watermark(&mut self, _: Timestamp) {}

    fn has_room(&self) -> bool {
        true
    }

    fn fail(&mut self, error: Error) {
        panic!("{error}");
    }
}

fn advance<O: Operator>(join: &mut O, to: Timestamp, out: &mut impl Collect<O::Out>) {
    join.on_watermark(to, out);
    while join.is_pending() {
        join.resume(out);
    }
}

fn join(tape: &Tape) -> Spreads {
    let mut join =
        AsOfJoin::new(|trade: &Trade| trade.0, |quote: &Quote| quote.0, AsOf::backward());
    join.open(&OperatorContext::single_core()).expect("the operator opens");
    let (mut batch, mut out) = (Vec::new(), Spreads::default());
    for records in tape.chunks(BATCH_LEN) {
        batch.extend(records.iter().copied());
        join.on_batch(&mut batch, &mut out);
        // The next record may have the time of the last.
        let last = records.last().map_or(Timestamp::MIN, |record| record.at);
        advance(&mut join, Timestamp(last.0 - 1), &mut out);
    }
    advance(&mut join, Timestamp::MAX, &mut out);
    out
}

/// As one would write it, for two streams that are each in order.
fn merge(trades: &[Stamped<Trade>], quotes: &[Stamped<Quote>]) -> Spreads {
    let (mut in_force, mut out) = (HashMap::<u32, Stamped<Quote>>::new(), Spreads::default());
    let mut quotes = quotes.iter().peekable();
    for trade in trades {
        while let Some(quote) = quotes.next_if(|quote| quote.at <= trade.at) {
            in_force.insert(quote.value.0, *quote);
        }
        let right = in_force.get(&trade.value.0).cloned();
        out.record(trade.at, Matched { left: trade.value, right });
    }
    out
}

/// A price as it is written, in hundredths.
fn price(text: &serde_json::Value) -> Option<i64> {
    let (whole, fraction) = text.as_str()?.split_once('.')?;
    Some(whole.parse::<i64>().ok()? * 100 + fraction.get(..2)?.parse::<i64>().ok()?)
}

/// The trades and quotes of a recording, whose lines are a time of arrival and a message.
fn recorded(path: &Path) -> Result<Vec<Stamped<Either<i64, (i64, i64)>>>> {
    let file = std::fs::File::open(path)
        .map_err(|cause| Error::io(format!("cannot open {}", path.display()), cause))?;
    let lines = BufReader::new(flate2::read::MultiGzDecoder::new(file)).lines();
    let event = |line: String| {
        let (at, message) = line.split_once(' ')?;
        let message: serde_json::Value = serde_json::from_str(message).ok()?;
        let data = &message["data"];
        let value = match data["e"].as_str()? {
            "trade" => Either::First(price(&data["p"])?),
            "bookTicker" => Either::Second((price(&data["b"])?, price(&data["a"])?)),
            _ => return None,
        };
        Some(Stamped::new(Timestamp(at.parse().ok()?), value))
    };
    Ok(lines.map_while(std::io::Result::ok).filter_map(event).collect())
}

fn data() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = std::env::var_os("TAILWATER_DATA").map_or(beside, PathBuf::from);
    RECORDINGS.iter().all(|name| folder.join(name).exists()).then_some(folder)
}

fn replicated(folder: &Path) -> Result<Tape> {
    let copies = SYMBOLS / RECORDINGS.len() as u64;
    let each = RECORDS / SYMBOLS as usize;
    let mut tape = Tape::new();
    for (instrument, name) in RECORDINGS.iter().enumerate() {
        let events = recorded(&folder.join(name))?;
        let start = events.first().map_or(0, |event| event.at.0);
        for copy in 0..copies {
            let symbol = (copy * RECORDINGS.len() as u64) as u32 + instrument as u32;
            let delay = (nth(3, u64::from(symbol)) % DELAY_NS_MAX) as i64;
            tape.extend(events.iter().take(each).map(|event| {
                let value = match event.value {
                    Either::First(price) => Either::First((symbol, price)),
                    Either::Second((bid, ask)) => Either::Second((symbol, bid, ask)),
                };
                Stamped::new(Timestamp(event.at.0 - start + delay), value)
            }));
        }
    }
    tape.sort_by_key(|record| record.at);
    Ok(tape)
}

/// Three quotes to a trade, as recorded.
fn walk() -> Tape {
    let event = |index: usize| {
        let random = nth(7, index as u64);
        let symbol = (((random >> 32) * SYMBOLS) >> 32) as u32;
        let price = 100_000 + (random & 0xFF) as i64;
        let trade = random & 0x300 == 0;
        let value = if trade {
            Either::First((symbol, price))
        } else {
            Either::Second((symbol, price - 1, price + 1))
        };
        Stamped::new(Timestamp(index as i64 * 1_000), value)
    };
    (0..RECORDS).map(event).collect()
}

fn compare(what: &str, tape: &Tape) {
    let (mut trades, mut quotes) = (Vec::new(), Vec::new());
    for Stamped { at, value } in tape {
        match value {
            Either::First(trade) => trades.push(Stamped::new(*at, *trade)),
            Either::Second(quote) => quotes.push(Stamped::new(*at, *quote)),
        }
    }
    let timed = |run: &dyn Fn() -> Spreads| {
        let began = Instant::now();
        let spreads = run();
        (began.elapsed().as_secs_f64(), spreads)
    };
    let (a, b) = (|| join(tape), || merge(&trades, &quotes));
    let (mut ratios, mut seconds) = (Vec::new(), (0.0, 0.0));
    for _ in 0..PAIRS {
        let ((a1, given), (b1, due)) = (timed(&a), timed(&b));
        assert_eq!(given, due, "both sides find the same matches");
        let ((b2, _), (a2, _)) = (timed(&b), timed(&a));
        ratios.push((b1 + b2) / (a1 + a2));
        seconds = (seconds.0 + a1 + a2, seconds.1 + b1 + b2);
    }
    ratios.sort_by(f64::total_cmp);
    let nanos = |seconds: f64| seconds * 1e9 / (2 * PAIRS * tape.len()) as f64;
    println!(
        "as-of join to a merge by hand, {what}, {SYMBOLS} symbols: {:.2} of the records a second \
         (at least 0.4), quartiles {:.2} to {:.2}; {:.1} and {:.1} ns a record, {} trades of {} \
         records",
        ratios[PAIRS / 2],
        ratios[PAIRS / 4],
        ratios[PAIRS * 3 / 4],
        nanos(seconds.0),
        nanos(seconds.1),
        trades.len(),
        tape.len(),
    );
}

fn main() {
    match data() {
        Some(folder) => {
            compare("recorded", &replicated(&folder).expect("the recordings are readable"));
        }
        None => println!("no recordings: set TAILWATER_DATA to a folder with {RECORDINGS:?}"),
    }
    compare("random walk", &walk());
}
