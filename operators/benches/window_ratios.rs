//! What do sliding windows cost beside tumbling ones, sessions beside a loop written by hand, a
//! thousand open sessions of each key beside one, and the general operator beside panes?
//!
//! Each answer is a ratio of records a second, the median of short pairs in the order A B B A in
//! one run. Both sides of a pair form the same records; their numbers of results are printed, too.
//!
//! Sliding windows are measured in their steady state: both operators have seen each key in each
//! pane of a whole window before the first pair, and each pair goes on where the one before ended.
//! So a slide takes a pane in, gives a result for each key and lets a pane go, as it does all day;
//! firing the 600 windows that are open at the end of the input is no part of it.
//!
//! An argument is a part of the name of those that are run; `--records n` sets how many records a
//! run has.
#![allow(missing_docs, clippy::print_stdout, clippy::disallowed_methods)]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hint::black_box;
use std::time::Instant;

use hashbrown::HashMap;
use tailwater_core::random::nth;
use tailwater_core::{Error, Span, Stamped, Timestamp};
use tailwater_operators::aggregates::{count, max, sum};
use tailwater_operators::window::general::{
    EventTime, GeneralWindows, Incremental, NoEvictor, Trigger, TriggerContext, Verdict,
};
use tailwater_operators::{
    Aggregator, Collect, Operator, OperatorContext, PaneWindows, Session, Sliding, Tumbling,
};

const RECORDS: u64 = 4_000_000;
const BATCH_LEN: u64 = 256;
const PAIRS: usize = 5;
/// From one record to the next: a million a second of event time.
const STEP_NS: i64 = 1_000;
const SECOND_NS: i64 = 1_000_000_000;

type Event = (u32, u32);

#[derive(Default)]
struct Tally(u64);

impl<T> Collect<T> for Tally {
    fn record(&mut self, _: Timestamp, value: T) {
        black_box(value);
        self.0 += 1;
    }

    fn watermark(&mut self, _: Timestamp) {}

    fn has_room(&self) -> bool {
        true
    }

    fn fail(&mut self, error: Error) {
        panic!("{error}");
    }
}

#[inline(always)]
fn event(index: u64, step: i64, keys: u64) -> Stamped<Event> {
    let random = nth(7, index);
    let key = ((random >> 32) * keys) >> 32;
    Stamped::new(Timestamp(index as i64 * step), (key as u32, random as u32 & 0xFFFF))
}

fn key_of(event: &Event) -> u32 {
    event.0
}

fn bytes(event: &Event) -> u32 {
    event.1
}

/// Runs all records through an operator; the results that it gave.
fn drive<O: Operator<In = Event>>(operator: O, keys: u64) -> u64 {
    let mut running = Running::new(operator, STEP_NS, keys);
    running.go_on();
    running.operator.on_watermark(Timestamp::MAX, &mut running.out);
    running.out.0
}

/// An operator in the middle of its input.
struct Running<O> {
    operator: O,
    batch: Vec<Stamped<Event>>,
    out: Tally,
    next: u64,
    step: i64,
    keys: u64,
    /// How far the watermark is behind the records.
    lag: i64,
}

impl<O: Operator<In = Event>> Running<O> {
    fn new(mut operator: O, step: i64, keys: u64) -> Self {
        operator.open(&OperatorContext::single_core()).expect("the operator opens");
        let (batch, out) = (Vec::new(), Tally::default());
        Self { operator, batch, out, next: 0, step, keys, lag: 0 }
    }

    /// The same after `seconds` of event time, with a record of each key in each of them.
    fn after(mut self, seconds: u64) -> Self {
        for second in 0..seconds as i64 {
            for key in 0..self.keys {
                let at = second * SECOND_NS + key as i64 * (SECOND_NS / self.keys as i64);
                self.batch.push(Stamped::new(Timestamp(at), (key as u32, 1)));
            }
            self.operator.on_batch(&mut self.batch, &mut self.out);
            let watermark = Timestamp((second + 1) * SECOND_NS - 1);
            self.operator.on_watermark(watermark, &mut self.out);
        }
        self.next = seconds * (SECOND_NS / self.step) as u64;
        self
    }

    /// The next records; the results that they gave.
    fn go_on(&mut self) -> u64 {
        let before = self.out.0;
        for _ in 0..records() / BATCH_LEN {
            let next = self.next + BATCH_LEN;
            let indices = self.next..next;
            self.batch.extend(indices.map(|index| event(index, self.step, self.keys)));
            self.operator.on_batch(&mut self.batch, &mut self.out);
            let watermark = Timestamp(next as i64 * self.step - 1 - self.lag);
            self.operator.on_watermark(watermark, &mut self.out);
            self.next = next;
        }
        self.out.0 - before
    }
}

/// How many records a run has.
fn records() -> u64 {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--records").skip(1);
    let asked = arguments.next().and_then(|number| number.parse().ok());
    asked.unwrap_or(RECORDS) / BATCH_LEN * BATCH_LEN
}

/// Sessions as one would write them: a map by key, and a heap of the times at which to look.
fn sessions_by_hand(keys: u64, gap: i64) -> u64 {
    struct Open {
        start: i64,
        end: i64,
        count: u64,
        sum: u64,
    }
    let mut open: HashMap<u32, Open> = HashMap::new();
    let mut due: BinaryHeap<Reverse<(i64, u32)>> = BinaryHeap::new();
    let mut out = Tally::default();
    let mut fire = |open: &mut HashMap<u32, Open>, due: &mut BinaryHeap<_>, watermark: i64| {
        while let Some(&Reverse((at, key))) = due.peek() {
            if at > watermark {
                break;
            }
            due.pop();
            let end = open[&key].end;
            if end - 1 > watermark {
                due.push(Reverse((end - 1, key)));
            } else if let Some(Open { start, end, count, sum }) = open.remove(&key) {
                out.record(Timestamp(end - 1), (key, start, end, count, sum));
            }
        }
    };
    let mut batch: Vec<Stamped<Event>> = Vec::new();
    for first in (0..records()).step_by(BATCH_LEN as usize) {
        let indices = first..first + BATCH_LEN;
        batch.extend(indices.map(|index| event(index, STEP_NS, keys)));
        for Stamped { at, value: (key, bytes) } in batch.drain(..) {
            let session = open.entry(key).or_insert_with(|| {
                due.push(Reverse((at.0 + gap - 1, key)));
                Open { start: at.0, end: at.0 + gap, count: 0, sum: 0 }
            });
            if at.0 > session.end {
                // Over, though the watermark has not said so.
                let Open { start, end, count, sum } = std::mem::replace(
                    session,
                    Open { start: at.0, end: at.0 + gap, count: 0, sum: 0 },
                );
                black_box((key, start, end, count, sum));
            }
            session.end = session.end.max(at.0 + gap);
            session.count += 1;
            session.sum += u64::from(bytes);
        }
        fire(&mut open, &mut due, (first + BATCH_LEN) as i64 * STEP_NS - 1);
    }
    fire(&mut open, &mut due, i64::MAX);
    out.0
}

/// Sessions of a few records each, with a watermark that lags behind the records by so much.
fn lagging_sessions(keys: u64, gap: i64, lag: i64) -> u64 {
    let session = Session::with_gap(Span(gap));
    let sessions = GeneralWindows::sessions(key_of, session, (count(), sum(bytes)));
    let mut running = Running { lag, ..Running::new(sessions, STEP_NS, keys) };
    running.go_on();
    running.operator.on_watermark(Timestamp::MAX, &mut running.out);
    running.out.0
}

/// The default trigger as a user would write it.
#[derive(Clone)]
struct Own;

impl Trigger<Event> for Own {
    type State = ();

    fn on_record(
        &mut self,
        _: Timestamp,
        _: &Event,
        (): &mut (),
        context: &mut TriggerContext<'_>,
    ) -> Verdict {
        let last = context.window().last();
        context.register_timer(last);
        Verdict::Continue
    }

    fn on_event_time(
        &mut self,
        time: Timestamp,
        (): &mut (),
        context: &mut TriggerContext<'_>,
    ) -> Verdict {
        if time == context.window().last() { Verdict::Fire } else { Verdict::Continue }
    }

    fn merge(&mut self, (): &mut (), (): ()) {}

    fn name(&self) -> String {
        "own".to_owned()
    }
}

/// Whether an argument asks for this comparison, or none asks for any.
fn wanted(what: &str) -> bool {
    let arguments = std::env::args().skip(1);
    let names: Vec<String> =
        arguments.filter(|name| !name.starts_with('-') && name.parse::<u64>().is_err()).collect();
    names.is_empty() || names.iter().any(|name| what.contains(name.as_str()))
}

/// Prints the median ratio of the speed of `a` to that of `b`.
fn compare(what: &str, to_reach: f64, mut a: impl FnMut() -> u64, mut b: impl FnMut() -> u64) {
    if !wanted(what) {
        return;
    }
    let timed = |run: &mut dyn FnMut() -> u64| {
        let began = Instant::now();
        let results = run();
        (began.elapsed().as_secs_f64(), results)
    };
    let mut ratios = Vec::new();
    let (mut speed, mut results) = (0.0, (0, 0));
    for _ in 0..PAIRS {
        let ((a1, given), (b1, other)) = (timed(&mut a), timed(&mut b));
        let ((b2, _), (a2, _)) = (timed(&mut b), timed(&mut a));
        ratios.push((b1 + b2) / (a1 + a2));
        speed = 2.0 * records() as f64 / (a1 + a2) / 1e6;
        results = (given, other);
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "{what}: {:.2} of the records a second (at least {to_reach}), quartiles {:.2} to {:.2}; \
         {speed:.1} M records/s, {} and {} results",
        ratios[PAIRS / 2],
        ratios[PAIRS / 4],
        ratios[PAIRS * 3 / 4],
        results.0,
        results.1
    );
}

/// Sliding windows of ten minutes every second against tumbling ones of a second, both going on.
fn sliding<G>(what: &str, aggregator: G, step: i64)
where
    G: Aggregator<Event>,
{
    if !wanted(what) {
        return;
    }
    let (keys, second) = (10_000, Span(SECOND_NS));
    let running = |windows: Sliding| {
        let panes = PaneWindows::new(key_of, windows, aggregator.clone());
        Running::new(panes.expect("windows that are well formed"), step, keys).after(600)
    };
    let mut sliding = running(Sliding::of(second * 600).every(second));
    let mut tumbling = running(Sliding::of(second));
    compare(what, 0.5, || sliding.go_on(), || tumbling.go_on());
}

fn main() {
    let second = Span(SECOND_NS);
    let panes = |windows: Sliding, keys| {
        let panes = PaneWindows::new(key_of, windows, (count(), sum(bytes)));
        drive(panes.expect("windows that are well formed"), keys)
    };
    let counted = (count(), sum(bytes));
    sliding("sliding count and sum, 1 M records a second of event time", counted, STEP_NS);
    let counted = (count(), sum(bytes));
    sliding("sliding count and sum, 100 k records a second", counted, STEP_NS * 10);
    sliding("sliding max, 1 M records a second", max(bytes), STEP_NS);
    let gap = 100_000_000;
    compare(
        "sessions to a map and a heap, 100,000 keys",
        0.4,
        || {
            let aggregate = (count(), sum(bytes));
            let session = Session::with_gap(Span(gap));
            drive(GeneralWindows::sessions(key_of, session, aggregate), 100_000)
        },
        || sessions_by_hand(100_000, gap),
    );
    // A session of a key takes 2.7 gaps with the pause behind it: 1,000 of each are open.
    let (keys, gap) = (100, 100 * STEP_NS);
    compare(
        "sessions, 1,000 open of each of 100 keys to one",
        0.2,
        || lagging_sessions(keys, gap, 2_700 * gap),
        || lagging_sessions(keys, gap, 0),
    );
    let general = |keys| {
        let contents = Incremental::new((count(), sum(bytes)));
        let tumbling = Tumbling::of(second);
        drive(GeneralWindows::new(key_of, tumbling, Own, NoEvictor, contents), keys)
    };
    compare(
        "general with a custom trigger to panes, tumbling 1 s, 10,000 keys",
        0.2,
        || general(10_000),
        || panes(Sliding::of(second), 10_000),
    );
    let by_default = |keys| {
        let contents = Incremental::new((count(), sum(bytes)));
        let tumbling = Tumbling::of(second);
        drive(GeneralWindows::new(key_of, tumbling, EventTime, NoEvictor, contents), keys)
    };
    compare(
        "general with the default trigger to panes, tumbling 1 s, 10,000 keys",
        0.2,
        || by_default(10_000),
        || panes(Sliding::of(second), 10_000),
    );
}
