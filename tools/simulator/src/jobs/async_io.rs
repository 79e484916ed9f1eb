//! Asynchronous calls whose answers take their time, fail, or never come: each record has one
//! result, none passes a watermark, and those of a key keep their order where they must.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::task::Poll;

use tailwater::prelude::*;
use tailwater_core::Random;

use super::expected::Lines;
use super::windows::{fired_line, line};
use super::{Scenario, reference, ticks};
use crate::disk::SimDisk;
use crate::input::{Input, Keys, STEP, Tick};
use crate::ledger::LedgerSink;
use crate::probe::Probe;
use crate::world::World;

/// How often an answer may be asked for before it is there: some rounds of a core.
const POLLS_MAX: u64 = 24;
/// A call that fails as often in a row is not to be expected, at one failure in eight.
const ATTEMPTS_MAX: u32 = 100;

/// Which calls are made of the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Calls {
    Unordered,
    Ordered,
    /// Look-ups by key, in order, with a cache that is too small.
    LookUps {
        entries_max: usize,
    },
}

/// Records, and what they come to.
pub struct Asked {
    input: Arc<Input>,
    calls: Calls,
    capacity: usize,
    timeout: Option<Span>,
    size: i64,
    windows: Lines,
    running: Lines,
}

/// What the service has for a key.
fn worth(key: u32) -> i64 {
    i64::from(key) * 31 + 7
}

/// A question that is answered after a while, or fails.
fn answer<V: Send + 'static>(
    world: &World,
    value: V,
) -> impl Future<Output = Result<V, &'static str>> + Send + 'static + use<V> {
    let mut random = world.fork();
    let mut polls = random.below(POLLS_MAX);
    let mut outcome = Some(if random.chance(1, 8) { Err("busy") } else { Ok(value) });
    std::future::poll_fn(move |context| {
        if polls == 0
            && let Some(outcome) = outcome.take()
        {
            return Poll::Ready(outcome);
        }
        polls = polls.saturating_sub(1);
        context.waker().wake_by_ref();
        Poll::Pending
    })
}

fn running_line(key: u32, count: u32, amount: i64) -> String {
    format!("{key} {count} {amount}")
}

impl Asked {
    /// Draws an input, and how it is asked about.
    pub fn draw(random: &mut Random) -> Self {
        let input = Input::draw(random, Keys::OfOneSplit);
        let calls = match random.below(3) {
            0 => Calls::Unordered,
            1 => Calls::Ordered,
            _ => Calls::LookUps { entries_max: random.below(6) as usize },
        };
        let size = STEP * (1 + random.below(40) as i64);
        let windows = reference::sliding(&input, size, size);
        let mut of_keys: HashMap<u32, (u32, i64)> = HashMap::new();
        let running = input.ticks().map(|tick| {
            let (count, amount) = of_keys.entry(tick.key).or_default();
            (*count, *amount) = (*count + 1, *amount + tick.amount * worth(tick.key));
            running_line(tick.key, *count, *amount)
        });
        Self {
            running: running.collect(),
            windows: windows.into_iter().map(|(cell, sum)| line(cell, sum)).collect(),
            input: Arc::new(input),
            calls,
            capacity: 1 + random.below(40) as usize,
            // By the simulated clock: often before the answer.
            timeout: random.chance(1, 2).then(|| Span(1 << random.below(20))),
            size,
        }
    }

    fn options<I, V: Send + 'static>(
        &self,
        order: Async<I, V, &'static str>,
        fallback: fn(&I) -> V,
    ) -> Async<I, V, &'static str>
    where
        I: 'static,
    {
        let delay = Span(STEP);
        let options = order
            .capacity(self.capacity)
            .retries(Retries::exponential(ATTEMPTS_MAX, delay, delay * 8))
            .on_timeout(fallback);
        match self.timeout {
            Some(timeout) => options.timeout(timeout),
            None => options.without_timeout(),
        }
    }
}

impl Scenario for Asked {
    fn build(&self, job: &Job, world: &Arc<World>, _: &SimDisk) {
        let watermarks = Watermarks::bounded(self.input.disorder);
        let ticks = ticks(job, "ticks", &self.input, world, watermarks);
        let service = world.clone();
        let entries_max = match self.calls {
            Calls::LookUps { entries_max } => entries_max,
            Calls::Unordered | Calls::Ordered => {
                let order = match self.calls {
                    Calls::Unordered => Async::unordered(),
                    _ => Async::ordered(),
                };
                let options = self.options(order, |tick: &Tick| *tick);
                ticks
                    .rebalance()
                    .async_map("ask", options, move |tick| answer(&service, *tick))
                    .then(Probe::new("asked", world))
                    .key_by(|tick| tick.key)
                    .window(Tumbling::of(Span(self.size)))
                    .aggregate((count(), sum(|tick: &Tick| tick.amount)))
                    .map(fired_line)
                    .sink(LedgerSink::new("out", world));
                return;
            }
        };
        let options = self.options(Async::ordered(), |key: &u32| Some(worth(*key)));
        let look_ups = LookUp::cached(entries_max, Span(STEP * 20)).calls(options);
        ticks
            .key_by(|tick| tick.key)
            .look_up("worths", look_ups, move |key| answer(&service, Some(worth(*key))))
            .then(Probe::new("looked up", world))
            .map(|enriched: Enriched<Tick, i64>| {
                (enriched.record.key, enriched.record.amount * enriched.found.unwrap_or_default())
            })
            .key_by(|(key, _)| *key)
            .fold((0, 0, 0), |(own, count, amount): &mut (u32, u32, i64), (key, worth)| {
                (*own, *count, *amount) = (*key, *count + 1, *amount + worth);
            })
            .map(|(key, count, amount)| running_line(key, count, amount))
            .sink(LedgerSink::new("out", world));
    }

    fn check(&self, world: &World, _: &SimDisk, ended: bool) -> Result<(), String> {
        let due = match self.calls {
            Calls::LookUps { .. } => &self.running,
            Calls::Unordered | Calls::Ordered => &self.windows,
        };
        due.check(&world.ledger.committed("out"), ended)
    }

    fn records(&self) -> usize {
        self.input.count()
    }
}
