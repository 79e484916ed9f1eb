//! Asynchronous I/O as whole jobs: barriers, crashes and the end while calls are under way.
//!
//! Method: a service that answers when the test says so, under the harness for whole jobs; then
//! real threads that answer, on every driver.

mod watchdog;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Poll, Waker};

use tailwater::prelude::*;
use tailwater::testing::{JobHarness, TestSink, TestSource};
use watchdog::within;

/// Answers each question with itself, when it is told to.
#[derive(Clone, Default)]
struct Service(Arc<Mutex<Desk>>);

#[derive(Default)]
struct Desk {
    asked: Vec<u32>,
    answered: BTreeSet<u32>,
    waiting: BTreeMap<u32, Vec<Waker>>,
}

impl Service {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.0.lock().unwrap()
    }

    fn ask(&self, question: u32) -> impl Future<Output = Result<u32, String>> + Send + use<> {
        self.desk().asked.push(question);
        let service = self.clone();
        std::future::poll_fn(move |context| {
            let mut desk = service.desk();
            if desk.answered.contains(&question) {
                return Poll::Ready(Ok(question));
            }
            desk.waiting.entry(question).or_default().push(context.waker().clone());
            Poll::Pending
        })
    }

    fn answer(&self, questions: impl IntoIterator<Item = u32>) {
        for question in questions {
            let waiting = {
                let mut desk = self.desk();
                desk.answered.insert(question);
                desk.waiting.remove(&question).unwrap_or_default()
            };
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    fn forget(&self) {
        *self.desk() = Desk::default();
    }
}

/// Where the calls are made: in the task of the source, or behind an exchange.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    AtTheSource,
    BehindAnExchange,
}

fn asking(
    source: &TestSource<u32>,
    service: &Service,
    options: Async<u32, u32, String>,
    place: Place,
) -> (Job, TestSink<u32>) {
    let (job, sink) = (Job::new("asking"), TestSink::new());
    let service = service.clone();
    let ask = move |question: &u32| service.ask(*question);
    let stream = job
        .source(source.clone())
        .event_time(|question: &u32| Timestamp(i64::from(*question)), Watermarks::by_source());
    match place {
        Place::AtTheSource => stream.async_map("ask", options, ask).sink(sink.clone()),
        Place::BehindAnExchange => {
            stream.rebalance().async_map("ask", options, ask).sink(sink.clone());
        }
    }
    (job, sink)
}

fn sorted<T: Ord>(mut results: Vec<T>) -> Vec<T> {
    results.sort();
    results
}

/// Small batches, so that what is not taken in stays in the source.
fn local(cores: u32, seed: u64) -> Local {
    Local { batch_max: 2, ring_capacity: 4, ..Local::seeded(cores, seed) }
}

/// At the source not all that is pushed can be asked for; behind an exchange, where a barrier waits
/// for the records before it, half of it on each of two cores, and no more.
fn ways() -> impl Iterator<Item = (u64, Place, Async<u32, u32, String>)> {
    (0..12).map(|seed| {
        let (place, capacity) = match seed % 2 {
            0 => (Place::AtTheSource, 4),
            _ => (Place::BehindAnExchange, PUSHED as usize / 2),
        };
        let options = if seed % 3 == 0 { Async::ordered() } else { Async::unordered() };
        (seed, place, options.capacity(capacity))
    })
}

const PUSHED: u32 = 30;

// SEMANTICS 71 and 72
#[test]
fn a_barrier_does_not_wait_for_calls_and_they_are_made_again() {
    for (seed, place, options) in ways() {
        let (source, service) = (TestSource::new(), Service::default());
        let (job, sink) = asking(&source, &service, options, place);
        let mut harness = JobHarness::new(job, local(2, seed)).unwrap();
        source.extend(1..=PUSHED);
        source.watermark(Timestamp(30));
        harness.run_until_idle().unwrap();
        // As many calls as may be under way, and the rest is back-pressure.
        let asked = service.desk().asked.len();
        assert_eq!(asked, if place == Place::AtTheSource { 4 } else { 30 }, "seed {seed}");
        // One after the other, though nothing can be read between them.
        harness.checkpoint().unwrap();
        harness.checkpoint().unwrap();
        assert!(sink.take().is_empty());
        assert_eq!(sink.watermark(), Timestamp::MIN);

        let under_way = sorted(service.desk().asked.clone());
        service.forget();
        harness.restart(3).unwrap();
        harness.run_until_idle().unwrap();
        let again = service.desk().asked.clone();
        let missing: Vec<_> = under_way.iter().filter(|call| !again.contains(call)).collect();
        assert!(missing.is_empty(), "seed {seed}: {missing:?} were not asked for again");
        service.answer(1..=PUSHED);
        harness.run_until_idle().unwrap();
        assert_eq!(sorted(sink.take()), (1..=PUSHED).collect::<Vec<_>>(), "seed {seed}");
        assert_eq!(sink.watermark(), Timestamp(30));
    }
}

// SEMANTICS 72
#[test]
fn the_end_waits_for_all_and_checkpoints_do_not_wait_for_the_end() {
    for (seed, place, options) in ways() {
        let (source, service) = (TestSource::new(), Service::default());
        let (job, sink) = asking(&source, &service, options, place);
        let mut harness = JobHarness::new(job, local(2, seed)).unwrap();
        source.extend([1, 2, 3]);
        source.end();
        harness.run_until_idle().unwrap();
        service.answer([2]);
        harness.run_until_idle().unwrap();
        assert!(!harness.is_finished());
        harness.checkpoint().unwrap();
        let mut results = sink.take();
        harness.restart(1).unwrap();
        harness.run_until_idle().unwrap();
        assert!(!harness.is_finished());
        service.answer([1, 3]);
        harness.run_until_idle().unwrap();
        assert!(harness.is_finished());
        results.extend(sink.take());
        assert_eq!(sorted(results), [1, 2, 3], "seed {seed}");
    }
}

#[test]
fn what_an_idle_input_sent_before_is_not_late() {
    for seed in 0..10 {
        let service = Service::default();
        let (slow, fast, sink) = (TestSource::new(), TestSource::new(), TestSink::new());
        let job = Job::new("idle");
        let stream = |name: &str, source: &TestSource<u32>| {
            job.source(source.clone())
                .named(name)
                .event_time(|at: &u32| Timestamp(i64::from(*at)), Watermarks::by_source())
        };
        let ask = service.clone();
        let options: Async<u32, u32, String> = Async::unordered();
        stream("slow", &slow)
            .async_map("ask", options, move |question| ask.ask(*question))
            .union(stream("fast", &fast))
            .key_by(|_| 0_u32)
            .window(Tumbling::of(100.nanos()))
            .aggregate(count())
            .map(|fired| fired.value)
            .sink(sink.clone());
        let mut harness = JobHarness::new(job, Local::seeded(2, seed)).unwrap();
        slow.push(50);
        slow.idle();
        fast.watermark(Timestamp(500));
        harness.run_until_idle().unwrap();
        service.answer([50]);
        harness.run_until_idle().unwrap();
        assert_eq!((sink.take(), sink.watermark()), (vec![1], Timestamp(500)));
        assert_eq!(harness.count("late_records_dropped"), 0);
        // Active again, it holds the others back.
        slow.push(550);
        slow.watermark(Timestamp(560));
        service.answer([550]);
        harness.run_until_idle().unwrap();
        fast.watermark(Timestamp(700));
        harness.run_until_idle().unwrap();
        assert_eq!(sink.watermark(), Timestamp(560));
    }
}

// SEMANTICS 72
#[test]
fn time_that_is_up_goes_by_the_jobs_clock() {
    let (source, service) = (TestSource::new(), Service::default());
    let options = Async::ordered().timeout(2.secs()).on_timeout(|question: &u32| 100 + question);
    let (job, sink) = asking(&source, &service, options, Place::AtTheSource);
    let mut harness = JobHarness::new(job, local(1, 3)).unwrap();
    source.extend([1, 2]);
    harness.run_until_idle().unwrap();
    harness.advance_processing_time(1999.millis()).unwrap();
    assert!(sink.take().is_empty());
    harness.advance_processing_time(1.millis()).unwrap();
    assert_eq!(sink.take(), [101, 102]);
    assert_eq!(harness.count("ask.timeouts"), 2);
}

#[record]
#[derive(Copy, PartialEq)]
struct Order {
    account: u32,
    number: u32,
}

/// Records of an account keep their order, though they wait on one core and go on on another.
// SEMANTICS 71
#[test]
fn look_ups_share_calls_and_keep_a_keys_order_over_a_change_of_cores() {
    for seed in 0..10 {
        let (source, service, sink) = (TestSource::new(), Service::default(), TestSink::new());
        let job = Job::new("accounts");
        let ask = service.clone();
        job.source(source.clone())
            .unstamped()
            .key_by(|order: &Order| order.account)
            .look_up("owners", LookUp::cached(10, 60.secs()), move |account: &u32| {
                let owner = ask.ask(*account);
                async move { owner.await.map(|owner| (owner < 5).then_some(owner)) }
            })
            .map(|enriched: Enriched<Order, u32>| (enriched.record, enriched.found))
            .sink(sink.clone());
        let mut harness = JobHarness::new(job, Local::seeded(2, seed)).unwrap();
        let orders =
            |from: u32, to: u32| (from..to).map(|number| Order { account: number % 6, number });
        source.extend(orders(0, 60));
        harness.run_until_idle().unwrap();
        assert_eq!(sorted(service.desk().asked.clone()), (0..6).collect::<Vec<_>>());
        assert_eq!((harness.count("owners.misses"), harness.count("owners.shared")), (6, 54));
        harness.checkpoint().unwrap();
        harness.restart(3).unwrap();
        source.extend(orders(60, 90));
        harness.run_until_idle().unwrap();
        service.answer(0..6);
        harness.run_until_idle().unwrap();
        source.extend(orders(90, 96));
        harness.run_until_idle().unwrap();
        // That there is nothing is not remembered.
        assert_eq!(harness.count("owners.hits"), 5);
        let results = sink.take();
        for account in 0..6 {
            let own = results.iter().filter(|(order, _)| order.account == account);
            let own: Vec<_> = own.map(|(order, found)| (order.number, *found)).collect();
            let found = (account < 5).then_some(account);
            let due: Vec<_> = (0..96).filter(|n| n % 6 == account).map(|n| (n, found)).collect();
            assert_eq!(own, due, "seed {seed}, account {account}");
        }
    }
}

fn drivers() -> [Local; 3] {
    [
        Local { driver: Driver::Threads, idle: Idle::Park, ..Local::cores(2) },
        Local { driver: Driver::Glommio, idle: Idle::Park, ..Local::cores(2) },
        Local { driver: Driver::Threads, idle: Idle::Yield, ..Local::cores(1) },
    ]
}

#[test]
fn threads_that_block_wake_the_cores() {
    within(60, "calls on threads", || {
        for local in drivers() {
            let pool = Pool::new("ask", 3).unwrap();
            let results = collect();
            let job = Job::new("pool");
            let options: Async<u32, u32, String> = Async::ordered().capacity(8);
            job.source(from_vec((0..500_u32).collect()))
                .unstamped()
                .async_map("ask", options, move |question| {
                    let question = *question;
                    pool.run(move || Ok(question * 2))
                })
                .sink(results.clone());
            job.run(local).unwrap();
            assert_eq!(results.take(), (0..500).map(|n| n * 2).collect::<Vec<_>>());
        }
    });
}

#[test]
fn a_call_that_fails_or_panics_ends_the_job_with_its_story() {
    for local in drivers() {
        for (bad, told) in [(7, "no such rate"), (8, "a panic in a call")] {
            let options: Async<u32, u32, String> = Async::unordered();
            let job = Job::new("failing");
            job.source(from_vec((0..50_u32).collect()))
                .event_time(|n: &u32| Timestamp(i64::from(*n)), Watermarks::monotonous())
                .async_map("rates", options, move |n| {
                    let n = *n;
                    async move {
                        match n {
                            _ if n != bad => Ok(n),
                            7 => Err("no such rate".to_owned()),
                            _ => panic!("a panic in a call"),
                        }
                    }
                })
                .sink(collect());
            let error = job.run(local.clone()).unwrap_err().to_string();
            assert!(error.contains("`rates`"), "{error}");
            assert!(error.contains(&format!("record at {bad}")), "{error}");
            assert!(error.contains(told), "{error}");
        }
    }
}
