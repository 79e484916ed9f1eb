//! Asynchronous calls against a service that answers when the test says so.
//!
//! Method: the service holds every call until it is told to answer; the property test draws which
//! call is answered when, where watermarks stand, and where the operator is restored, and looks at
//! what comes out, at how many calls are under way, and at which are made again.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use proptest::collection::vec;
use proptest::prelude::*;
use tailwater_core::{Control, Element, Stamped, TimeUnits, Timestamp};

use super::*;
use crate::testing::{Harness, Order, check_operator};
use crate::{Backlog, Operator, OperatorContext, Waker, blame};

type Reply = Result<u32, String>;

/// What the calls and the test share.
#[derive(Default)]
struct Ledger {
    /// The questions of all calls, as they were made.
    asked: Vec<u32>,
    /// Calls under way, and who to wake.
    open: BTreeMap<usize, Option<std::task::Waker>>,
    replies: BTreeMap<usize, Reply>,
    most: usize,
}

/// A service that answers when it is told to.
#[derive(Clone, Default)]
struct Service(Arc<Mutex<Ledger>>);

struct Call {
    service: Service,
    number: usize,
}

impl Service {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap()
    }

    fn call(&self, question: u32) -> Call {
        let mut ledger = self.ledger();
        let number = ledger.asked.len();
        ledger.asked.push(question);
        ledger.open.insert(number, None);
        ledger.most = ledger.most.max(ledger.open.len());
        Call { service: self.clone(), number }
    }

    /// Answers a call; one that nobody waits for any more is not minded.
    fn reply(&self, number: usize, reply: Reply) {
        let waker = {
            let mut ledger = self.ledger();
            ledger.replies.insert(number, reply);
            ledger.open.get_mut(&number).and_then(Option::take)
        };
        waker.into_iter().for_each(std::task::Waker::wake);
    }

    /// Answers the call that is `nth` among those under way, with its question.
    fn answer(&self, nth: usize) -> bool {
        let found = {
            let ledger = self.ledger();
            let unanswered = ledger.open.keys().filter(|call| !ledger.replies.contains_key(call));
            let unanswered: Vec<_> = unanswered.copied().collect();
            let call = unanswered.get(nth % unanswered.len().max(1)).copied();
            call.map(|call| (call, ledger.asked[call]))
        };
        found.into_iter().for_each(|(call, question)| self.reply(call, Ok(question)));
        found.is_some()
    }

    fn take_asked(&self) -> Vec<u32> {
        self.ledger().asked.clone()
    }
}

impl Future for Call {
    type Output = Reply;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Reply> {
        let mut ledger = self.service.ledger();
        if let Some(reply) = ledger.replies.remove(&self.number) {
            return Poll::Ready(reply);
        }
        ledger.open.insert(self.number, Some(context.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.service.ledger().open.remove(&self.number);
    }
}

fn each(
    service: &Service,
    options: Async<u32, u32, String>,
) -> AsyncIo<u32, Each<u32, u32, String, impl FnMut(&u32) -> Call + Clone + Send + 'static>> {
    let service = service.clone();
    AsyncIo::new("ask", Each::new(options, move |question: &u32| service.call(*question)))
}

fn record(value: u32) -> Element<u32> {
    Element::Record(Stamped::new(Timestamp(value.into()), value))
}

fn watermark(at: i64) -> Element<u32> {
    Element::Control(Control::Watermark(Timestamp(at)))
}

/// What the test does next.
#[derive(Clone, Debug)]
enum Move {
    Record,
    /// A watermark, if a record came since the last one.
    Watermark,
    Answer(usize),
    Round,
    Restore,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        4 => Just(Move::Record),
        2 => Just(Move::Watermark),
        4 => (0..8_usize).prop_map(Move::Answer),
        3 => Just(Move::Round),
        1 => Just(Move::Restore),
    ];
    vec(one, 1..60)
}

/// The output as sets of results between watermarks.
fn sets(output: &[Element<u32>]) -> Vec<Vec<u32>> {
    let mut sets = vec![Vec::new()];
    for element in output {
        match element {
            Element::Record(record) => sets.last_mut().unwrap().push(record.value),
            Element::Control(_) => sets.push(Vec::new()),
        }
    }
    sets
}

fn check_moves(order: ResultOrder, capacity: usize, moves: &[Move]) {
    let service = Service::default();
    let make = || each(&service, Async::in_order(order).capacity(capacity));
    let mut harness = Harness::new(make()).unwrap();
    let (mut input, mut output, mut next) = (Vec::new(), Vec::new(), 0);
    for step in moves {
        match step {
            Move::Record => {
                next += 1;
                harness.record(Timestamp(next.into()), next);
                input.push(record(next));
            }
            Move::Watermark if matches!(input.last(), Some(Element::Record(_))) => {
                harness.watermark(Timestamp(next.into()));
                input.push(watermark(next.into()));
            }
            Move::Watermark => {}
            Move::Answer(nth) => _ = service.answer(*nth),
            Move::Round => harness.clock(Timestamp(1)),
            Move::Restore => {
                let before = service.take_asked().len();
                harness.replace(make()).unwrap();
                harness.clock(Timestamp(1));
                // What waited is asked for first, in the order in which it came.
                let again = service.take_asked().split_off(before);
                assert!(again.is_sorted() && again.len() <= capacity, "{again:?}");
            }
        }
        output.extend(harness.take_output());
        let waiting = input.len() - output.len();
        match harness.operator().backlog() {
            Backlog::Empty => assert_eq!(waiting, 0),
            Backlog::Open => assert!(waiting > 0),
            Backlog::Full => assert!(waiting >= capacity),
        }
    }
    while harness.operator().backlog() > Backlog::Empty {
        service.answer(0);
        harness.clock(Timestamp(1));
    }
    output.extend(harness.take_output());
    assert!(service.ledger().most <= capacity, "{} calls at a time", service.ledger().most);
    match order {
        ResultOrder::Ordered => assert_eq!(output, input),
        ResultOrder::Unordered => {
            let mut came = sets(&output);
            came.iter_mut().for_each(|set| set.sort_unstable());
            assert_eq!(came, sets(&input));
        }
    }
}

proptest! {
    // SEMANTICS 71 and 72
    #[test]
    fn each_input_has_its_result_in_its_place(
        capacity in 1..6_usize,
        moves in moves(),
    ) {
        check_moves(ResultOrder::Ordered, capacity, &moves);
        check_moves(ResultOrder::Unordered, capacity, &moves);
    }
}

/// Flink's example: answers after 200 ms and 20 ms, a watermark, an answer after 1 ms.
// SEMANTICS 71
#[test]
fn results_change_places_between_watermarks_only() {
    for (order, due) in [
        (ResultOrder::Unordered, [record(2), record(1), watermark(2), record(3)]),
        (ResultOrder::Ordered, [record(1), record(2), watermark(2), record(3)]),
    ] {
        let service = Service::default();
        let mut harness = Harness::new(each(&service, Async::in_order(order))).unwrap();
        for element in [record(1), record(2), watermark(2), record(3)] {
            harness.element(element);
        }
        let mut output = Vec::new();
        for (call, question) in [(2, 3), (1, 2), (0, 1)] {
            service.reply(call, Ok(question));
            harness.clock(Timestamp(1));
            output.push(harness.take_output());
        }
        assert!(output[0].is_empty(), "a result passed a watermark");
        assert_eq!(output[1].is_empty(), order == ResultOrder::Ordered);
        assert_eq!(output.concat(), due);
    }
}

// SEMANTICS 72
#[test]
fn a_full_operator_takes_no_more() {
    let service = Service::default();
    let mut harness = Harness::new(each(&service, Async::ordered().capacity(2))).unwrap();
    assert_eq!(harness.operator().backlog(), Backlog::Empty);
    harness.record(Timestamp(1), 1);
    assert_eq!(harness.operator().backlog(), Backlog::Open);
    // The rest of a batch that has been taken waits, and is not asked for.
    harness.batch((2..6).map(|n| Stamped::new(Timestamp(n.into()), n)));
    assert_eq!(harness.operator().backlog(), Backlog::Full);
    assert_eq!(service.take_asked(), [1, 2]);
    // A result that waits for its turn counts.
    service.reply(1, Ok(2));
    harness.clock(Timestamp(1));
    assert_eq!(service.take_asked(), [1, 2]);
    service.reply(0, Ok(1));
    harness.clock(Timestamp(2));
    assert_eq!(harness.take_results(), [1, 2]);
    assert_eq!(service.take_asked(), [1, 2, 3, 4]);
}

// SEMANTICS 72
#[test]
fn an_input_whose_time_is_up_fails_the_job_or_has_another_result() {
    let service = Service::default();
    let options = || Async::ordered().timeout(10.nanos());
    let mut harness = Harness::new(each(&service, options())).unwrap();
    harness.clock(Timestamp(100));
    harness.record(Timestamp(7), 1);
    harness.clock(Timestamp(109));
    assert!(harness.error().is_none());
    harness.clock(Timestamp(110));
    let error = harness.error().unwrap().to_string();
    assert!(error.contains("`ask`") && error.contains("record at 7"), "{error}");
    assert!(error.contains("no answer within 10ns: allow more"), "{error}");

    let service = Service::default();
    let options = options().on_timeout(|question: &u32| 1_000 + question);
    let mut harness = Harness::new(each(&service, options)).unwrap();
    harness.clock(Timestamp(100));
    harness.record(Timestamp(7), 1);
    harness.record(Timestamp(8), 2);
    service.reply(1, Ok(2));
    harness.clock(Timestamp(110));
    // Only the first completion counts: this one comes too late.
    service.reply(0, Ok(1));
    harness.record(Timestamp(9), 3);
    harness.clock(Timestamp(111));
    service.reply(2, Ok(3));
    harness.clock(Timestamp(112));
    assert_eq!(harness.take_results(), [1_001, 1_002, 3]);
    assert_eq!(harness.count("ask.timeouts"), 2);
}

#[test]
fn a_call_that_failed_is_made_again_after_a_rest() {
    let service = Service::default();
    let retries = Retries::exponential(3, 10.nanos(), 25.nanos());
    let mut harness = Harness::new(each(&service, Async::ordered().retries(retries))).unwrap();
    harness.clock(Timestamp(0));
    harness.record(Timestamp(7), 1);
    // Rests of 10, 20 and 25.
    for (call, due) in [(0, 10), (1, 30), (2, 55)] {
        service.reply(call, Err("busy".to_owned()));
        harness.clock(Timestamp(due - [10, 20, 25][call]));
        harness.clock(Timestamp(due - 1));
        assert_eq!(service.take_asked().len(), call + 1);
        harness.clock(Timestamp(due));
        assert_eq!(service.take_asked().len(), call + 2);
    }
    assert_eq!(harness.count("ask.retries"), 3);
    service.reply(3, Err("busy".to_owned()));
    harness.clock(Timestamp(60));
    let error = harness.error().unwrap().to_string();
    assert!(error.contains("operator `ask` failed on the record at 7: busy"), "{error}");
}

#[test]
fn the_user_says_what_a_failure_is() {
    let service = Service::default();
    let options = Async::ordered()
        .retries(Retries::fixed(1, 5.nanos()))
        .retry_if(|reply: &Reply| *reply == Ok(0));
    let mut harness = Harness::new(each(&service, options)).unwrap();
    harness.clock(Timestamp(0));
    harness.record(Timestamp(7), 1);
    service.reply(0, Ok(0));
    harness.clock(Timestamp(1));
    assert!(harness.take_results().is_empty());
    harness.clock(Timestamp(6));
    // The last attempt counts as it is.
    service.reply(1, Ok(0));
    harness.clock(Timestamp(7));
    assert_eq!(harness.take_results(), [0]);
    // This error is final.
    harness.record(Timestamp(8), 2);
    service.reply(2, Err("unknown".to_owned()));
    harness.clock(Timestamp(8));
    assert!(harness.error().unwrap().to_string().ends_with("unknown"));
}

#[test]
fn a_panic_is_blamed_on_the_operator_and_the_record() {
    let options: Async<u32, u32, String> = Async::ordered();
    let ask = |question: &u32| {
        let question = *question;
        async move { if question == 2 { panic!("no") } else { Ok(question) } }
    };
    let mut harness = Harness::new(AsyncIo::new("ask", Each::new(options, ask))).unwrap();
    harness.record(Timestamp(1), 1);
    let panicked = std::panic::AssertUnwindSafe(|| harness.record(Timestamp(2), 2));
    assert!(std::panic::catch_unwind(panicked).is_err());
    assert_eq!(blame::take(), Some(("ask".to_owned(), Timestamp(2))));
}

#[test]
fn options_that_cannot_be_followed_are_refused() {
    let service = Service::default();
    for (options, told) in [
        (Async::ordered().capacity(0), "capacity"),
        (Async::ordered().timeout(0.nanos()), "timeout"),
        (Async::ordered().retries(Retries::fixed(1, (-5).nanos())), "delay"),
    ] {
        let error = Harness::new(each(&service, options)).err().unwrap().to_string();
        assert!(error.contains(told) && error.contains("`ask`"), "{error}");
    }
}

/// Gives its value after being polled so often.
async fn after(polls: u32, value: u32) -> Reply {
    for _ in 0..polls {
        let mut is_first = true;
        std::future::poll_fn(|context| {
            context.waker().wake_by_ref();
            if std::mem::take(&mut is_first) { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }
    Ok(value)
}

/// With restores, refusals and failures at any place.
// SEMANTICS 71 and 72
#[test]
fn nothing_hangs_on_chance() {
    let mut script = Vec::new();
    for n in 0..40 {
        script.push(record(n));
        if n % 3 == 0 {
            script.push(watermark(n.into()));
        }
    }
    script.extend([Element::Control(Control::End)]);
    for (order, compared) in
        [(ResultOrder::Ordered, Order::Exact), (ResultOrder::Unordered, Order::AnyBetweenControls)]
    {
        let make = || {
            let options = Async::in_order(order).capacity(3);
            AsyncIo::new("ask", Each::new(options, |n: &u32| after(*n * 7 % 5, *n)))
        };
        let output = check_operator(make, &script, compared);
        if order == ResultOrder::Ordered {
            assert_eq!(output, script);
        }
    }
}

#[test]
fn an_answer_from_another_thread_wakes_the_core() {
    let woken = Arc::new(Mutex::new(0));
    let waker = Waker::new({
        let woken = woken.clone();
        move || *woken.lock().unwrap() += 1
    });
    let service = Service::default();
    let mut operator = each(&service, Async::ordered());
    operator.open(&OperatorContext { waker, ..OperatorContext::single_core() }).unwrap();
    let mut out = Discard;
    operator.on_record(Timestamp(1), 1, &mut out);
    assert_eq!(*woken.lock().unwrap(), 0);
    service.answer(0);
    assert_eq!(*woken.lock().unwrap(), 1);
    assert!(operator.go_on(Timestamp(1), &mut out));
    assert!(!operator.go_on(Timestamp(1), &mut out));
}

struct Discard;

impl crate::Collect<u32> for Discard {
    fn record(&mut self, _: Timestamp, _: u32) {}

    fn watermark(&mut self, _: Timestamp) {}

    fn has_room(&self) -> bool {
        true
    }

    fn fail(&mut self, error: tailwater_core::Error) {
        panic!("{error}");
    }
}

mod look_ups {
    use super::*;

    type Found = Enriched<u32, u32>;

    /// A look-up by the last digit, where 9 is under nothing.
    fn by_digit(
        service: &Service,
        options: LookUp<u32, u32, String>,
    ) -> AsyncIo<u32, impl Ask<u32, Out = Found> + use<>> {
        let service = service.clone();
        let ask = move |key: &u32| {
            let call = service.call(*key);
            async move { call.await.map(|found| (found != 9).then_some(found)) }
        };
        AsyncIo::new("digits", ByKey::new(options, |record: &u32| record % 10, ask))
    }

    fn found(record: u32, found: Option<u32>) -> Found {
        Enriched { record, found }
    }

    #[test]
    fn records_of_a_key_share_a_call_and_what_it_found() {
        let service = Service::default();
        let options = LookUp::cached(10, 100.nanos());
        let mut harness = Harness::new(by_digit(&service, options)).unwrap();
        harness.clock(Timestamp(0));
        for record in [11, 22, 21, 31] {
            harness.record(Timestamp(record.into()), record);
        }
        assert_eq!(service.take_asked(), [1, 2]);
        service.answer(0);
        service.answer(0);
        harness.clock(Timestamp(1));
        let one = |record| found(record, Some(1));
        assert_eq!(harness.take_results(), [one(11), found(22, Some(2)), one(21), one(31)]);
        // From memory, at once.
        harness.record(Timestamp(41), 41);
        assert_eq!(harness.take_results(), [one(41)]);
        let counts = ["hits", "misses", "shared"];
        let counts = counts.map(|count| harness.count(&format!("digits.{count}")));
        assert_eq!(counts, [1, 2, 2]);
        // What was found is forgotten in time.
        harness.clock(Timestamp(101));
        harness.record(Timestamp(51), 51);
        assert_eq!(service.take_asked(), [1, 2, 1]);
    }

    #[test]
    fn that_there_is_nothing_is_remembered_where_asked_for() {
        for (options, calls) in [
            (LookUp::cached(10, 100.nanos()), 2),
            (LookUp::cached(10, 100.nanos()).remember_absent(5.nanos()), 1),
            (LookUp::uncached(), 2),
        ] {
            let service = Service::default();
            let mut harness = Harness::new(by_digit(&service, options)).unwrap();
            harness.clock(Timestamp(0));
            for record in [9, 19] {
                harness.record(Timestamp(record.into()), record);
                service.answer(0);
                harness.clock(Timestamp(1));
                assert_eq!(harness.take_results(), [found(record, None)]);
            }
            assert_eq!(service.take_asked().len(), calls);
        }
    }

    /// All that wait for a call have its fallback, which is not remembered.
    #[test]
    fn a_look_up_whose_time_is_up_is_no_answer() {
        let service = Service::default();
        let calls = Async::unordered().timeout(10.nanos()).on_timeout(|_: &u32| None);
        let options = LookUp::cached(10, 100.nanos()).remember_absent(100.nanos()).calls(calls);
        let mut harness = Harness::new(by_digit(&service, options)).unwrap();
        harness.clock(Timestamp(0));
        harness.record(Timestamp(1), 11);
        harness.record(Timestamp(2), 21);
        harness.clock(Timestamp(10));
        assert_eq!(harness.take_results(), [found(11, None), found(21, None)]);
        harness.record(Timestamp(3), 31);
        assert_eq!(service.take_asked(), [1, 1]);
    }

    /// The cache is lost with the core, what waits is not.
    // SEMANTICS 72
    #[test]
    fn what_waits_is_looked_up_again_after_a_restore() {
        let service = Service::default();
        let make = || by_digit(&service, LookUp::cached(10, 100.nanos()));
        let mut harness = Harness::new(make()).unwrap();
        for record in [11, 22, 21] {
            harness.record(Timestamp(record.into()), record);
        }
        service.answer(1);
        harness.clock(Timestamp(1));
        harness.replace(make()).unwrap();
        harness.clock(Timestamp(2));
        assert_eq!(service.take_asked(), [1, 2, 1, 2]);
        while service.answer(0) {
            harness.clock(Timestamp(3));
        }
        let due = [found(11, Some(1)), found(22, Some(2)), found(21, Some(1))];
        assert_eq!(harness.take_results(), due);
    }
}
