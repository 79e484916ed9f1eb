//! Keys that come and go: a process with every sort of state, timers that clear it, and an output
//! for each sort of result.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tailwater::prelude::*;
use tailwater::state::keyed::Domain;
use tailwater_core::Random;

use super::expected::Lines;
use super::{Scenario, ticks};
use crate::disk::SimDisk;
use crate::input::{Input, Keys, STEP, Tick};
use crate::ledger::LedgerSink;
use crate::probe::Probe;
use crate::world::World;

/// From a record to the timer that tells of it.
const DELAY: i64 = 7 * STEP;
/// After so long a count begins anew.
const TTL: i64 = 9 * STEP;
/// Each amount names two of so many entries of a map: one that is put there afresh, and one that is
/// taken out.
const PLACES: i64 = 16;
/// Amounts that are remembered in order.
const RECENT_MAX: usize = 4;
/// The namespace of the timers that close accounts; those that tell of records are in 0.
const CLOSING: i64 = 1;

/// What is remembered of a key: it is closed when it has been quiet for a while.
#[keyed_state(key = u32)]
pub struct Account {
    closes: Value<Timestamp>,
    total: Value<i64>,
    places: Map<i64, u32>,
    recent: List<i64>,
    due: Map<i64, i64>,
    #[ttl(Ttl::after(Span(TTL)).in_event_time())]
    busy: Value<u32>,
}

/// What is put out, each sort by an output of its own.
#[derive(Outputs)]
pub enum Told {
    Record(String),
    Timer(String),
    Closed(String),
}

/// The process.
#[derive(Clone)]
struct Accounts {
    quiet: Span,
}

impl Accounts {
    fn close(at: Timestamp, account: &mut Account, context: &mut Context<Told>) {
        let places = account.places.iter().map(|(place, by)| (*place, *by)).collect();
        let total = account.total.take().unwrap_or(0);
        context.emit(Told::Closed(closed_line(*account.key(), at.0, total, &places)));
        account.closes.clear();
        account.places.clear();
        account.recent.clear();
    }
}

impl Process for Accounts {
    type In = Tick;
    type State = Account;
    type Out = Told;

    fn on_record(&mut self, tick: Tick, account: &mut Account, context: &mut Context<Told>) {
        if let Some(closes) = account.closes.get().copied() {
            context.delete(Domain::Event, CLOSING, closes);
            // When the timer comes hangs on the other splits; what it does must not.
            if closes < tick.at {
                Self::close(closes, account, context);
            }
        }
        let closes = tick.at + self.quiet;
        account.closes.set(closes);
        context.register(Domain::Event, CLOSING, closes);
        // What is taken out and put back between two checkpoints leaves both in the second.
        let total = account.total.take().unwrap_or(0) + tick.amount;
        account.total.set(total);
        let (put, taken) = places_of(tick.amount);
        account.places.remove(&put);
        account.places.insert(put, tick.index);
        account.places.remove(&taken);
        account.recent.push(tick.amount);
        account.recent.keep_last(RECENT_MAX);
        let recent: Vec<i64> = account.recent.iter().copied().collect();
        let busy = account.busy.get().copied().unwrap_or(0) + 1;
        account.busy.set(busy);
        let due = tick.at.0 + DELAY;
        *account.due.or_insert_with(due, || 0) += tick.amount;
        context.event_timer(Timestamp(due));
        context.emit(Told::Record(record_line(tick.key, total, &recent, busy)));
    }

    fn on_timer(&mut self, at: Timestamp, account: &mut Account, context: &mut Context<Told>) {
        if context.namespace() == CLOSING {
            Self::close(at, account, context);
        } else {
            let amount = account.due.remove(&at.0);
            context.emit(Told::Timer(timer_line(*account.key(), at.0, amount)));
        }
    }
}

fn places_of(amount: i64) -> (i64, i64) {
    (amount.rem_euclid(PLACES), amount.div_euclid(PLACES).rem_euclid(PLACES))
}

fn record_line(key: u32, total: i64, recent: &[i64], busy: u32) -> String {
    format!("{key} {total} {recent:?} {busy}")
}

fn timer_line(key: u32, at: i64, amount: Option<i64>) -> String {
    format!("{key} at {at}: {amount:?}")
}

fn closed_line(key: u32, at: i64, total: i64, places: &BTreeMap<i64, u32>) -> String {
    format!("{key} closed at {at}: {total} {places:?}")
}

/// The same without the engine.
#[derive(Default)]
struct Naive {
    open: Option<Open>,
    busy: Option<(i64, u32)>,
}

#[derive(Default)]
struct Open {
    closes: i64,
    total: i64,
    places: BTreeMap<i64, u32>,
    recent: Vec<i64>,
}

impl Naive {
    fn on_record(&mut self, tick: &Tick, quiet: Span) -> String {
        let open = self.open.get_or_insert_default();
        open.closes = (tick.at + quiet).0;
        open.total += tick.amount;
        let (put, taken) = places_of(tick.amount);
        open.places.insert(put, tick.index);
        open.places.remove(&taken);
        open.recent.push(tick.amount);
        let surplus = open.recent.len().saturating_sub(RECENT_MAX);
        open.recent.drain(..surplus);
        let live = self.busy.filter(|(touched, _)| tick.at.0 < touched + TTL);
        let busy = live.map_or(0, |(_, busy)| busy) + 1;
        self.busy = Some((tick.at.0, busy));
        record_line(tick.key, open.total, &open.recent, busy)
    }

    fn close_before(&mut self, key: u32, at: i64) -> Option<String> {
        let Open { closes, total, places, .. } = self.open.take_if(|open| open.closes < at)?;
        Some(closed_line(key, closes, total, &places))
    }
}

/// Accounts that are opened and closed.
pub struct Keyed {
    input: Arc<Input>,
    quiet: Span,
    /// How far the watermark is behind.
    delay: Span,
    records: Lines,
    timers: Lines,
    closed: Lines,
    /// Whether the newest checkpoint may rot.
    may_repeat: bool,
}

impl Keyed {
    /// Draws an input whose splits are in order, so that what has expired is the same in each run.
    pub fn draw(random: &mut Random) -> Self {
        let mut input = Input::draw(random, Keys::OfOneSplit);
        input.splits.iter_mut().for_each(|split| split.sort_by_key(|tick| tick.at));
        let quiet = Span(STEP * (1 + random.below(30) as i64));
        let delay = if random.chance(1, 2) { Span(0) } else { input.disorder };
        let mut accounts: HashMap<u32, Naive> = HashMap::new();
        let (mut records, mut closed, mut due) = (Vec::new(), Vec::new(), BTreeMap::new());
        for tick in input.ticks() {
            let account = accounts.entry(tick.key).or_default();
            closed.extend(account.close_before(tick.key, tick.at.0));
            records.push(account.on_record(tick, quiet));
            *due.entry((tick.key, tick.at.0 + DELAY)).or_default() += tick.amount;
        }
        for (key, account) in &mut accounts {
            closed.extend(account.close_before(*key, i64::MAX));
        }
        let timers = due.into_iter().map(|((key, at), amount)| timer_line(key, at, Some(amount)));
        Self {
            records: records.into_iter().collect(),
            timers: timers.collect(),
            closed: closed.into_iter().collect(),
            input: Arc::new(input),
            quiet,
            delay,
            may_repeat: random.chance(1, 2),
        }
    }
}

impl Scenario for Keyed {
    fn build(&self, job: &Job, world: &Arc<World>, _: &SimDisk) {
        let (records, timers, closed) =
            ticks(job, "ticks", &self.input, world, Watermarks::bounded(self.delay))
                .key_by(|tick| tick.key)
                .process(Accounts { quiet: self.quiet })
                .outputs();
        records.then(Probe::new("records", world)).sink(LedgerSink::new("records", world));
        timers.sink(LedgerSink::new("timers", world));
        closed.then(Probe::new("closed", world)).sink(LedgerSink::new("closed", world));
    }

    fn check(&self, world: &World, _: &SimDisk, ended: bool) -> Result<(), String> {
        let sinks =
            [("records", &self.records), ("timers", &self.timers), ("closed", &self.closed)];
        for (sink, due) in sinks {
            let output = world.ledger.committed(sink);
            let checked = match self.may_repeat {
                true => due.check_at_least(&output, ended),
                false => due.check(&output, ended),
            };
            checked.map_err(|what| format!("sink {sink}: {what}"))?;
        }
        Ok(())
    }

    fn records(&self) -> usize {
        self.input.count()
    }

    fn may_repeat(&self) -> bool {
        self.may_repeat
    }
}
