//! Processes through the harness, and the rules of timers.

use proptest::prelude::*;
use rkyv::{Archive, Deserialize, Serialize};
use tailwater_core::{Control, Describe, Element, Span, Stamped, Timestamp};
use tailwater_derive::keyed_state;
use tailwater_state::keyed::{Domain, NoState, Sum, Ttl};

use super::{Context, Process, ProcessOperator};
use crate::testing::{Harness, Order, check_each_restore, check_operator};

fn record<T>(at: i64, value: T) -> Element<T> {
    Element::Record(Stamped::new(Timestamp(at), value))
}

fn watermark<T>(at: i64) -> Element<T> {
    Element::Control(Control::Watermark(Timestamp(at)))
}

/// What a record asks of its key.
#[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize, Describe)]
enum Ask {
    Add(u32),
    Put(u8, u32),
    Take(u8),
    Say,
    Forget,
    Wake(i64),
    Sleep(i64),
}

#[keyed_state(key = u8, crate = tailwater_state)]
struct Everything {
    last: Value<(Timestamp, String)>,
    #[ttl(Ttl::after(Span(20)).in_event_time())]
    fresh: Value<u32>,
    all: List<u32>,
    #[ttl(Ttl::after(Span(30)).in_event_time().refreshed_by_reads())]
    recent: List<u32>,
    named: Map<u8, u32>,
    #[ttl(Ttl::after(Span(25)).in_event_time())]
    passing: Map<u8, u32>,
    sum: Reducing<u32, Sum>,
}

/// Does all that a process can do, and says all that it knows.
#[derive(Clone)]
struct Teller;

impl Teller {
    fn tell(state: &mut Everything, context: &mut Context<String>) {
        let key = *state.key();
        let passing: Vec<_> = state.passing.iter().map(|(name, n)| (*name, *n)).collect();
        let told = format!(
            "{key} {:?} {:?} {:?} {:?} {:?} {passing:?} {:?} {:?} {}",
            state.last.get(),
            state.fresh.get(),
            state.all.iter().collect::<Vec<_>>(),
            state.recent.iter().collect::<Vec<_>>(),
            state.named.iter().collect::<Vec<_>>(),
            state.sum.get(),
            context.domain(),
            context.namespace(),
        );
        context.emit(told);
    }
}

impl Process for Teller {
    type In = (u8, Ask);
    type State = Everything;
    type Out = String;

    fn on_record(
        &mut self,
        (_, ask): (u8, Ask),
        state: &mut Everything,
        context: &mut Context<String>,
    ) {
        let at = context.at();
        match ask {
            Ask::Add(number) => {
                state.last.set((at, number.to_string()));
                *state.fresh.or_default() += number;
                state.all.push(number);
                state.recent.push(number);
                state.sum.add(number % 100);
            }
            Ask::Put(name, number) => {
                state.named.insert(name, number);
                state.passing.insert(name, number);
                state.last.update(|(_, text)| text.push('+'));
            }
            Ask::Take(name) => {
                let taken = (state.named.remove(&name), state.passing.remove(&name));
                context.emit(format!("{taken:?}"));
            }
            Ask::Say => Self::tell(state, context),
            Ask::Forget => {
                state.last.clear();
                state.all.keep_last(2);
                state.named.clear();
            }
            Ask::Wake(after) => {
                context.event_timer(at + Span(after));
                context.register(Domain::Event, 1, at + Span(after));
                context.processing_timer(Timestamp(after));
            }
            Ask::Sleep(after) => context.delete_event_timer(at + Span(after)),
        }
    }

    fn on_timer(&mut self, at: Timestamp, state: &mut Everything, context: &mut Context<String>) {
        Self::tell(state, context);
        if at.0 % 3 == 0 {
            // One before the one that fires, and one after it (SEMANTICS 46).
            context.event_timer(at - Span(1));
            context.event_timer(at + Span(2));
        }
        state.all.push(7);
    }
}

fn teller() -> ProcessOperator<Teller, impl FnMut(&(u8, Ask)) -> u8 + Clone + Send + 'static> {
    ProcessOperator::new(|(key, _): &(u8, Ask)| *key, Teller)
}

fn script() -> impl Strategy<Value = Vec<Element<(u8, Ask)>>> {
    let ask = prop_oneof![
        4 => any::<u32>().prop_map(|number| Ask::Add(number % 1000)),
        2 => (0u8..5, 0u32..100).prop_map(|(name, number)| Ask::Put(name, number)),
        1 => (0u8..5).prop_map(Ask::Take),
        2 => Just(Ask::Say),
        1 => Just(Ask::Forget),
        3 => (-5i64..25).prop_map(Ask::Wake),
        1 => (-5i64..25).prop_map(Ask::Sleep),
    ];
    let step = prop_oneof![
        6 => (-10i64..30, 0u8..3, ask).prop_map(|(ahead, key, ask)| (0, Some((ahead, key, ask)))),
        2 => (1i64..20).prop_map(|rise| (rise, None)),
    ];
    prop::collection::vec(step, 0..50).prop_map(|steps| {
        let mut now = 0;
        let mut script = Vec::new();
        for (rise, asked) in steps {
            now += rise;
            script.push(match asked {
                Some((ahead, key, ask)) => record(now + ahead, (key, ask)),
                None => watermark(now),
            });
        }
        script.push(watermark(i64::MAX));
        script.push(Element::Control(Control::End));
        script
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_process_passes_the_harness(script in script()) {
        check_operator(teller, &script, Order::Exact);
        check_each_restore(teller, &script, Order::Exact);
    }
}

// SEMANTICS 11, 47
#[test]
fn a_watermark_that_is_told_again_after_a_restore_fires_nothing() {
    let mut harness = Harness::new(teller()).unwrap();
    harness.watermark(Timestamp(20));
    harness.element(record(10, (1, Ask::Wake(6))));
    harness.replace(teller()).unwrap();
    // As sources do, before any record.
    harness.watermark(Timestamp(20));
    assert_eq!(harness.take_results(), [""; 0]);
    harness.watermark(Timestamp(21));
    // Of both namespaces.
    assert_eq!(harness.take_results().len(), 2);
}

/// Sets the timers that a record names and tells which fired.
#[derive(Clone)]
struct Timed;

/// Key, event-time timers, timers to take back, timers of the wall clock.
type Wish = (u8, Vec<i64>, Vec<i64>, Vec<i64>);

impl Process for Timed {
    type In = Wish;
    type State = NoState<u8>;
    type Out = (u8, i64, i64);

    fn on_record(
        &mut self,
        (_, set, delete, processing): Wish,
        _: &mut NoState<u8>,
        context: &mut Context<Self::Out>,
    ) {
        set.into_iter().for_each(|time| context.event_timer(Timestamp(time)));
        delete.into_iter().for_each(|time| context.delete_event_timer(Timestamp(time)));
        processing.into_iter().for_each(|time| context.processing_timer(Timestamp(time)));
    }

    fn on_timer(
        &mut self,
        at: Timestamp,
        state: &mut NoState<u8>,
        context: &mut Context<Self::Out>,
    ) {
        context.emit((*state.key(), at.0, context.watermark().0));
        // The timer at 30 sets one that is due already and one that is not.
        if at == Timestamp(30) {
            context.event_timer(Timestamp(5));
            context.event_timer(Timestamp(300));
        }
    }
}

fn key_of(wish: &Wish) -> u8 {
    wish.0
}

fn timed() -> Harness<ProcessOperator<Timed, fn(&Wish) -> u8>> {
    Harness::new(ProcessOperator::new(key_of as fn(&Wish) -> u8, Timed)).unwrap()
}

// SEMANTICS 45
#[test]
fn a_timer_that_is_set_twice_fires_once_and_one_that_is_taken_back_never() {
    let mut harness = timed();
    harness.record(Timestamp(0), (1, vec![10, 10, 20], vec![20, 77], vec![]));
    harness.record(Timestamp(0), (1, vec![10], vec![], vec![]));
    harness.record(Timestamp(0), (2, vec![20], vec![], vec![]));
    harness.watermark(Timestamp(25));
    assert_eq!(harness.take_results(), [(1, 10, 25), (2, 20, 25)]);
}

// SEMANTICS 46, 22, 48
#[test]
fn timers_fire_in_the_order_of_time_over_all_keys_and_may_set_more() {
    let mut harness = timed();
    harness.record(Timestamp(0), (1, vec![40, 30], vec![], vec![]));
    harness.record(Timestamp(0), (2, vec![35, 10], vec![], vec![]));
    harness.watermark(Timestamp(100));
    assert_eq!(
        harness.take_output(),
        [
            record(10, (2, 10, 100)),
            record(30, (1, 30, 100)),
            record(5, (1, 5, 100)),
            record(35, (2, 35, 100)),
            record(40, (1, 40, 100)),
            watermark(100),
        ]
    );
    harness.watermark(Timestamp(299));
    assert_eq!(harness.take_results(), []);
    harness.watermark(Timestamp(300));
    assert_eq!(harness.take_results(), [(1, 300, 300)]);
}

// SEMANTICS 47
#[test]
fn a_timer_behind_the_watermark_waits_for_the_next() {
    let mut harness = timed();
    harness.watermark(Timestamp(50));
    harness.record(Timestamp(0), (1, vec![20, 50], vec![], vec![]));
    assert_eq!(harness.take_results(), []);
    harness.watermark(Timestamp(51));
    assert_eq!(
        harness.take_output(),
        [record(20, (1, 20, 51)), record(50, (1, 50, 51)), watermark(51),]
    );
}

// SEMANTICS 48
#[test]
fn what_a_timer_of_the_wall_clock_emits_has_no_time() {
    let mut harness = timed();
    harness.record(Timestamp(0), (1, vec![], vec![], vec![100]));
    harness.clock(Timestamp(99));
    assert_eq!(harness.take_output(), []);
    harness.clock(Timestamp(100));
    let none = Timestamp::NONE.0;
    assert_eq!(harness.take_output(), [record(none, (1, 100, i64::MIN))]);
}

// SEMANTICS 49
#[test]
fn at_the_end_timers_of_the_watermark_fire_and_those_of_the_wall_clock_are_dropped() {
    let mut harness = timed();
    harness.record(Timestamp(0), (1, vec![10], vec![], vec![100]));
    harness.end();
    assert_eq!(harness.take_results(), [(1, 10, i64::MAX)]);
    harness.clock(Timestamp(1000));
    assert_eq!(harness.take_results(), []);
}

// SEMANTICS 50
#[test]
fn restored_timers_of_the_wall_clock_that_are_past_fire_at_once() {
    let mut harness = timed();
    harness.clock(Timestamp(50));
    harness.record(Timestamp(0), (1, vec![10], vec![], vec![100]));
    harness.replace(ProcessOperator::new(key_of as fn(&Wish) -> u8, Timed)).unwrap();
    harness.clock(Timestamp(1_000_000));
    assert_eq!(harness.take_results(), [(1, 100, i64::MIN)]);
    harness.watermark(Timestamp(10));
    assert_eq!(harness.take_results(), [(1, 10, 10)]);
}

/// A burst of timers gives way to what else there is to do, even where nothing is emitted.
#[test]
fn a_burst_of_timers_is_worked_off_in_pieces() {
    use crate::{Operator, OperatorContext};

    struct Full(usize);

    impl crate::Collect<(u8, i64, i64)> for Full {
        fn record(&mut self, _: Timestamp, _: (u8, i64, i64)) {
            self.0 += 1;
        }

        fn watermark(&mut self, _: Timestamp) {}

        fn has_room(&self) -> bool {
            true
        }

        fn fail(&mut self, error: tailwater_core::Error) {
            panic!("{error}");
        }
    }

    let mut operator = ProcessOperator::new(key_of as fn(&Wish) -> u8, Timed);
    operator.open(&OperatorContext::single_core()).unwrap();
    let mut out = Full(0);
    operator.on_record(Timestamp(0), (1, (1000..3000).collect(), vec![], vec![]), &mut out);
    operator.on_watermark(Timestamp(5000), &mut out);
    assert!(operator.is_pending() && out.0 < 1000, "{} fired at once", out.0);
    let mut resumed = 0;
    while operator.is_pending() {
        operator.resume(&mut out);
        resumed += 1;
    }
    assert!(out.0 == 2000 && resumed > 3, "{} fired, {resumed} times resumed", out.0);
}

/// A barrier in the middle of a burst: what has fired does not fire again, the rest does, and the
/// watermark follows it.
#[test]
fn a_burst_of_timers_goes_on_after_a_restore() {
    let make = || ProcessOperator::new(key_of as fn(&Wish) -> u8, Timed);
    let script: Vec<_> = (0..3)
        .map(|key| record(0, (key, (1000..1700).collect(), vec![], vec![])))
        .chain([watermark(1650), record(1700, (1, vec![1600], vec![], vec![])), watermark(1800)])
        .collect();
    let output = check_operator(make, &script, Order::Exact);
    assert_eq!(output.len(), 3 * 700 + 1 + 2);
}

/// Fails on purpose.
#[derive(Clone)]
struct Failing;

impl Process for Failing {
    type In = u8;
    type State = NoState<u8>;
    type Out = u8;

    fn on_record(&mut self, n: u8, _: &mut NoState<u8>, context: &mut Context<u8>) {
        match n {
            13 => context.fail("unlucky"),
            n => context.emit(n),
        }
    }
}

#[test]
fn an_error_of_a_process_ends_the_job_with_its_name() {
    let mut harness = Harness::new(ProcessOperator::new(|n: &u8| *n, Failing)).unwrap();
    harness.record(Timestamp(1), 12);
    harness.record(Timestamp(2), 13);
    let error = harness.error().unwrap().to_string();
    assert_eq!(error, "operator `Failing` failed on the record at 2: unlucky");
    assert_eq!(harness.take_results(), [12]);
}
