//! How close does the as-of join come to the merge that one would write by hand for trades and the
//! quotes in force, on 1,000 symbols? And the interval join to two buffers a symbol, for trades and
//! the quotes around them?
//!
//! Each answer is a ratio of records a second, the median of short pairs in the order A B B A in
//! one run, with its quartiles. The tape is a recording of two instruments where `TAILWATER_DATA`
//! (or `../shared/data`) has it, each copied to 500 symbols with its own delay, and a random walk
//! otherwise. Both sides read it from memory, and their matches must agree.
#![allow(missing_docs, clippy::print_stdout, clippy::disallowed_methods)]

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Instant;

use hashbrown::HashMap;
use tailwater_core::random::nth;
use tailwater_core::{Either, Error, Result, Span, Stamped, Timestamp};
use tailwater_operators::join::{
    AsOf, AsOfJoin, Interval, IntervalJoin, IntervalJoined, Joined, Matched,
};
use tailwater_operators::{Collect, Operator, OperatorContext};

const SYMBOLS: u64 = 1_000;
const RECORDS: usize = 2_000_000;
const BATCH_LEN: usize = 256;
const PAIRS: usize = 15;
/// How far trades and quotes that belong together are apart at most, on either side.
const WITHIN: Span = Span(2_000_000);
/// How far the copies of an instrument are apart at most.
const DELAY_NS_MAX: u64 = 1_000_000_000;
const RECORDINGS: [&str; 2] =
    ["binance-usdm-btcusdt-20240808.jsonl.gz", "binance-usdm-ethusdt-20240808.jsonl.gz"];

/// Symbol and price.
type Trade = (u32, i64);
/// Symbol, bid and ask.
type Quote = (u32, i64, i64);
type Tape = Vec<Stamped<Either<Trade, Quote>>>;

/// Counts results and pairs, and sums the effective half-spreads of these.
#[derive(Default, PartialEq, Debug)]
struct Spreads {
    results: u64,
    pairs: u64,
    sum: i64,
}

impl Spreads {
    #[inline(always)]
    fn add(&mut self, (_, price): Trade, (_, bid, ask): Quote) {
        self.pairs += 1;
        self.sum += (2 * price - bid - ask).abs();
    }
}

impl Collect<Matched<Trade, Quote>> for Spreads {
    #[inline(always)]
    fn record(&mut self, _: Timestamp, value: Matched<Trade, Quote>) {
        self.results += 1;
        if let Some(right) = value.right {
            self.add(value.left, right.value);
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

impl Collect<IntervalJoined<Trade, Quote>> for Spreads {
    #[inline(always)]
    fn record(&mut self, at: Timestamp, value: IntervalJoined<Trade, Quote>) {
        let IntervalJoined::Pair(pair) = value else { panic!("late at {at}") };
        self.results += 1;
        self.add(pair.left, pair.right);
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

fn drive<O>(mut join: O, tape: &Tape) -> Spreads
where
    O: Operator<In = Either<Trade, Quote>>,
    Spreads: Collect<O::Out>,
{
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

fn as_of(tape: &Tape) -> Spreads {
    drive(AsOfJoin::new(|trade: &Trade| trade.0, |quote: &Quote| quote.0, AsOf::backward()), tape)
}

fn interval(tape: &Tape) -> Spreads {
    let interval = Interval::between(-WITHIN, WITHIN);
    drive(IntervalJoin::new(|trade: &Trade| trade.0, |quote: &Quote| quote.0, interval), tape)
}

/// The as-of join as one would write it, for two streams that are each in order.
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

/// What a symbol has that may still find partners.
#[derive(Default)]
struct Recent {
    trades: VecDeque<Stamped<Trade>>,
    quotes: VecDeque<Stamped<Quote>>,
}

impl Recent {
    #[inline(always)]
    fn forget(&mut self, before: Timestamp) {
        while self.trades.front().is_some_and(|trade| trade.at < before) {
            self.trades.pop_front();
        }
        while self.quotes.front().is_some_and(|quote| quote.at < before) {
            self.quotes.pop_front();
        }
    }
}

/// The interval join as one would write it, for two streams that are each in order.
fn buffers(trades: &[Stamped<Trade>], quotes: &[Stamped<Quote>]) -> Spreads {
    let (mut recent, mut out) = (HashMap::<u32, Recent>::new(), Spreads::default());
    let mut pair = |at: Timestamp, left: Trade, right: Quote| {
        out.record(at, IntervalJoined::Pair(Joined { left, right }));
    };
    let mut trades = trades.iter().peekable();
    for quote in quotes {
        while let Some(trade) = trades.next_if(|trade| trade.at <= quote.at) {
            let recent = recent.entry(trade.value.0).or_default();
            recent.forget(trade.at - WITHIN);
            recent.quotes.iter().for_each(|quote| pair(trade.at, trade.value, quote.value));
            recent.trades.push_back(*trade);
        }
        let recent = recent.entry(quote.value.0).or_default();
        recent.forget(quote.at - WITHIN);
        recent.trades.iter().for_each(|trade| pair(quote.at, trade.value, quote.value));
        recent.quotes.push_back(*quote);
    }
    for trade in trades {
        let recent = recent.entry(trade.value.0).or_default();
        recent.forget(trade.at - WITHIN);
        recent.quotes.iter().for_each(|quote| pair(trade.at, trade.value, quote.value));
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

/// A join and what one would write in its place.
struct Rivals {
    names: &'static str,
    to_reach: f64,
    join: fn(&Tape) -> Spreads,
    by_hand: fn(&[Stamped<Trade>], &[Stamped<Quote>]) -> Spreads,
}

const RIVALS: [Rivals; 2] = [
    Rivals { names: "as-of join to a merge by hand", to_reach: 0.4, join: as_of, by_hand: merge },
    Rivals {
        names: "interval join to two buffers a symbol",
        to_reach: 0.3,
        join: interval,
        by_hand: buffers,
    },
];

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
    for Rivals { names, to_reach, join, by_hand } in RIVALS {
        let (a, b) = (|| join(tape), || by_hand(&trades, &quotes));
        let (mut ratios, mut seconds, mut pairs) = (Vec::new(), (0.0, 0.0), 0);
        for _ in 0..PAIRS {
            let ((a1, given), (b1, due)) = (timed(&a), timed(&b));
            assert_eq!(given, due, "both sides find the same pairs");
            let ((b2, _), (a2, _)) = (timed(&b), timed(&a));
            ratios.push((b1 + b2) / (a1 + a2));
            seconds = (seconds.0 + a1 + a2, seconds.1 + b1 + b2);
            pairs = given.pairs;
        }
        ratios.sort_by(f64::total_cmp);
        let nanos = |seconds: f64| seconds * 1e9 / (2 * PAIRS * tape.len()) as f64;
        println!(
            "{names}, {what}, {SYMBOLS} symbols: {:.2} of the records a second (at least \
             {to_reach}), quartiles {:.2} to {:.2}; {:.1} and {:.1} ns a record, {pairs} pairs of \
             {} trades among {} records",
            ratios[PAIRS / 2],
            ratios[PAIRS / 4],
            ratios[PAIRS * 3 / 4],
            nanos(seconds.0),
            nanos(seconds.1),
            trades.len(),
            tape.len(),
        );
    }
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
