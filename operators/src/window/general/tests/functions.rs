//! Window functions with states, aggregates over lists, and windows that grow by steps.

use tailwater_derive::keyed_state;
use tailwater_state::keyed::NoState;

use super::models::Sum;
use super::*;

#[keyed_state(key = u8, crate = tailwater_state)]
struct Totals {
    windows_over: Value<u64>,
    best: Value<i64>,
}

/// Emits the sum, its best so far for the key, the windows of the key that are over, and how often
/// the window fired before.
#[derive(Clone)]
struct Compare;

impl WindowProcess for Compare {
    type In = i64;
    type WindowState = u32;
    type State = Totals;
    type Out = (u8, i64, i64, u64, u32);

    fn on_fire(
        &mut self,
        sum: &i64,
        fired: &mut u32,
        totals: &mut Totals,
        context: &mut WindowContext<Self::Out>,
    ) {
        let best = totals.best.get().copied().unwrap_or(i64::MIN).max(*sum);
        totals.best.set(best);
        let over = totals.windows_over.get().copied().unwrap_or(0);
        assert!(context.window().start <= context.window().last());
        context.emit((*totals.key(), *sum, best, over, *fired));
        *fired += 1;
    }

    fn on_clear(&mut self, _: Window, fired: u32, totals: &mut Totals) {
        assert!(fired > 0);
        *totals.windows_over.or_insert_with(|| 0) += 1;
    }
}

fn processed<M, P>(keep: M, process: P) -> Processed<M, P>
where
    P: WindowProcess,
{
    Processed::new(keep, process)
}

// SEMANTICS 25, 26, 30
#[test]
fn a_window_function_has_states_of_the_window_and_of_the_key() {
    let key_of: fn(&Event) -> u8 = key_of;
    let make = || {
        let contents = processed(Incremental::new(Sum), Compare);
        GeneralWindows::new(key_of, tumbling(10), Purging(EventTime), NoEvictor, contents)
            .allowed_lateness(Span(5))
    };
    let script = [e(3, 1), e(4, 2), w(9), e(5, 3), w(20), e(2, 19), w(40), e(9, 45), w(99)];
    check_each_restore(make, &script, Order::Exact);
    check_rescaling(make, |event| stable_hash(&key_of(event)), &script);
    let output = check_operator(make, &script, Order::Exact);
    let results: Vec<_> = output
        .into_iter()
        .filter_map(|element| match element {
            Element::Record(Stamped { value: Fired::Result(result), .. }) => Some(result),
            _ => None,
        })
        .collect();
    // The purge left what the window knew: the second firing is its second.
    assert_eq!(results, [(0, 7, 7, 0, 0), (0, 5, 7, 0, 1), (0, 2, 7, 1, 0), (0, 9, 9, 2, 0)]);
}

/// Sees all records.
#[derive(Clone)]
struct Span1;

impl WindowProcess for Span1 {
    type In = [Stamped<Event>];
    type WindowState = ();
    type State = NoState<u8>;
    type Out = i64;

    fn on_fire(
        &mut self,
        events: &[Stamped<Event>],
        (): &mut (),
        _: &mut NoState<u8>,
        context: &mut WindowContext<i64>,
    ) {
        events.iter().for_each(|event| context.emit(event.at.0));
    }
}

#[test]
fn a_window_function_sees_all_records_and_windows_that_merge_have_no_state() {
    let key_of: fn(&Event) -> u8 = key_of;
    let contents = processed(List, Span1);
    let last_two = CountEvictor::new(2, Evict::Before);
    let windows = GeneralWindows::new(key_of, session(10), EventTime, last_two, contents);
    let script = [e(1, 5), e(2, 7), e(3, 9), w(50)];
    let output = check_operator(|| windows.clone(), &script, Order::Exact);
    assert_eq!(output.len(), 3);

    let stateful = processed(Incremental::new(Sum), Compare);
    let refused = GeneralWindows::new(key_of, session(10), EventTime, NoEvictor, stateful);
    let error = Harness::new(refused).err().unwrap().to_string();
    assert!(error.contains("merge"), "{error}");
}

// SEMANTICS 33
#[test]
fn an_aggregate_over_a_list_leaves_out_what_was_evicted() {
    let key_of: fn(&Event) -> u8 = key_of;
    let last_three = CountEvictor::new(3, Evict::Before);
    let contents = Folded::new(Sum);
    let windows = GeneralWindows::new(key_of, Global, Count(2), last_three, contents);
    let script: Vec<_> = (1..=6).map(|n| e(n, i64::MIN)).collect();
    let output = check_operator(|| windows.clone(), &script, Order::Exact);
    let sums: Vec<_> = output
        .into_iter()
        .filter_map(|element| match element {
            Element::Record(Stamped { value: Fired::Result(result), .. }) => Some(result.value),
            _ => None,
        })
        .collect();
    assert_eq!(sums, [3, 9, 15]);
}

// SEMANTICS 1, 3
#[test]
fn cumulative_windows_grow_by_steps() {
    let day = Cumulative::of(Span(30)).every(Span(10)).offset(Span(-5));
    let lines = run(windows(day, EventTime, NoEvictor), &[e(1, -6), e(2, 0), e(3, 7), w(99)]);
    assert_eq!(
        lines,
        ["[-35,-5) [1] @-6", "[-5,5) [2] @4", "[-5,15) [2, 3] @14", "[-5,25) [2, 3] @24",]
    );
    for (size, step) in [(30, 0), (30, 7), (0, 1), (30, 40)] {
        let grow = Cumulative::of(Span(size)).every(Span(step));
        assert!(Harness::new(windows(grow, EventTime, NoEvictor)).is_err(), "{size} {step}");
    }
}
