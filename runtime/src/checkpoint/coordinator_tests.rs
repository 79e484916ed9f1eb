//! The coordinator: its rules one by one, and its promises for any order of events.

use proptest::prelude::*;

use super::*;

const TIMING: Timing = Timing {
    interval_ns: Some(100),
    timeout_ns: 1000,
    min_pause_ns: 0,
    tolerable_failures: 0,
    retry_pause_ns: 0,
};

struct Driven {
    coordinator: Coordinator,
    actions: Vec<Action>,
}

impl Driven {
    fn new(timing: Timing, tasks: u32) -> Self {
        let tasks = (0..tasks).map(|task| format!("task-{task}")).collect();
        Self {
            coordinator: Coordinator::new(timing, tasks, (1, SnapshotKind::Full), 0),
            actions: Vec::new(),
        }
    }

    fn on(&mut self, event: Event, now_ns: u64) -> String {
        self.actions.clear();
        self.coordinator.on(event, now_ns, &mut self.actions);
        self.actions.iter().map(told).collect::<Vec<_>>().join(" ")
    }

    fn tick(&mut self, now_ns: u64) -> String {
        self.on(Event::Tick, now_ns)
    }

    fn acknowledge(&mut self, task: u32, checkpoint: u64, now_ns: u64) -> String {
        self.on(Event::Acknowledged { task, checkpoint }, now_ns)
    }
}

fn told(action: &Action) -> String {
    match action {
        Action::Begin { checkpoint, kind: SnapshotKind::Full } => {
            format!("begin-full-{checkpoint}")
        }
        Action::Begin { checkpoint, .. } => format!("begin-{checkpoint}"),
        Action::Store { checkpoint } => format!("store-{checkpoint}"),
        Action::Complete { checkpoint, last: true, .. } => format!("last-{checkpoint}"),
        Action::Complete { checkpoint, .. } => format!("complete-{checkpoint}"),
        Action::Abandon { checkpoint, .. } => format!("abandon-{checkpoint}"),
        Action::Fail(_) => "fail".to_owned(),
    }
}

fn failure() -> Error {
    Error::internal("the disk is full")
}

fn stored(checkpoint: u64) -> Event {
    Event::Stored { checkpoint, next: SnapshotKind::Incremental }
}

#[test]
fn one_after_the_other_by_the_interval() {
    let mut driven = Driven::new(TIMING, 2);
    assert_eq!(driven.tick(99), "");
    assert_eq!(driven.coordinator.wakes_ns(), 100);
    assert_eq!(driven.tick(100), "begin-full-1");
    assert_eq!(driven.tick(250), "", "one is in flight");
    assert_eq!(driven.acknowledge(0, 1, 260), "");
    assert_eq!(driven.acknowledge(0, 1, 260), "", "twice is once");
    assert_eq!(driven.acknowledge(1, 1, 270), "store-1");
    // Its interval has passed meanwhile.
    assert_eq!(driven.on(stored(1), 280), "complete-1 begin-2");
}

// SEMANTICS 81
#[test]
fn the_pause_is_counted_from_the_end() {
    let mut driven = Driven::new(Timing { min_pause_ns: 50, ..TIMING }, 1);
    assert_eq!(driven.tick(100), "begin-full-1");
    driven.acknowledge(0, 1, 190);
    assert_eq!(driven.on(stored(1), 190), "complete-1");
    assert_eq!(driven.tick(200), "");
    assert_eq!(driven.tick(240), "begin-2");
}

// SEMANTICS 80
#[test]
fn failures_are_counted_in_a_row() {
    let mut driven = Driven::new(Timing { tolerable_failures: 1, ..TIMING }, 1);
    driven.tick(100);
    let declined = Event::Declined { task: 0, checkpoint: 1, error: failure() };
    assert_eq!(driven.on(declined, 110), "abandon-1");
    assert_eq!(driven.tick(200), "begin-full-2");
    assert_eq!(driven.acknowledge(0, 1, 210), "", "of the one given up");
    driven.acknowledge(0, 2, 220);
    assert_eq!(driven.on(stored(2), 230), "complete-2");
    assert_eq!(driven.tick(300), "begin-3");
    driven.acknowledge(0, 3, 310);
    let not_stored = |checkpoint| Event::NotStored { checkpoint, error: failure() };
    assert_eq!(driven.on(not_stored(3), 320), "abandon-3", "a completed one lies between");
    assert_eq!(driven.tick(400), "begin-full-4");
    driven.acknowledge(0, 4, 410);
    assert_eq!(driven.on(not_stored(4), 420), "abandon-4 fail");
}

#[test]
fn one_that_takes_too_long_is_abandoned_and_says_who_was_missing() {
    let mut driven = Driven::new(TIMING, 2);
    driven.tick(100);
    driven.acknowledge(0, 1, 150);
    assert_eq!(driven.coordinator.wakes_ns(), 1100);
    driven.actions.clear();
    driven.coordinator.on(Event::Tick, 1100, &mut driven.actions);
    let Some(Action::Abandon { why, .. }) = driven.actions.first() else { unreachable!() };
    assert!(why.contains("`task-1`") && !why.contains("`task-0`"), "{why}");
    // What is being stored is waited for.
    let mut driven = Driven::new(TIMING, 1);
    driven.tick(100);
    driven.acknowledge(0, 1, 150);
    assert_eq!(driven.tick(5000), "");
}

// SEMANTICS 79
#[test]
fn a_bounded_job_ends_with_one_last_checkpoint() {
    let mut driven = Driven::new(TIMING, 2);
    assert_eq!(driven.on(Event::Ended { task: 0 }, 10), "");
    driven.tick(100);
    assert_eq!(driven.on(Event::Ended { task: 1 }, 110), "", "the one in flight is no last one");
    driven.acknowledge(0, 1, 120);
    driven.acknowledge(1, 1, 120);
    assert_eq!(driven.on(stored(1), 130), "complete-1 begin-2");
    driven.acknowledge(0, 2, 140);
    driven.acknowledge(1, 2, 140);
    assert_eq!(driven.on(stored(2), 150), "last-2");
    assert_eq!(driven.on(Event::Requested, 1000), "");
    assert_eq!(driven.coordinator.wakes_ns(), u64::MAX);
}

fn cut(checkpoint: u64, operator: &str, has_ended: bool) -> Event {
    Event::Cut { checkpoint, unions: vec![UnionPart { operator: operator.to_owned(), has_ended }] }
}

// SEMANTICS 65
#[test]
fn an_operator_with_a_union_list_has_ended_on_all_cores_or_on_none() {
    let mut driven = Driven::new(TIMING, 2);
    driven.tick(100);
    assert_eq!(driven.on(cut(1, "a", false), 110), "");
    assert_eq!(driven.on(cut(1, "b", true), 110), "", "each operator for itself");
    assert_eq!(driven.on(cut(1, "a", false), 110), "");
    assert_eq!(driven.on(cut(1, "a", true), 120), "abandon-1");
    let Some(Action::Abandon { why, .. }) = driven.actions.first() else { unreachable!() };
    assert!(why.contains("`a` has a union list"), "{why}");
    // However often, it is no failure: none is tolerated here.
    assert_eq!(driven.tick(200), "begin-full-2");
    assert_eq!(driven.on(cut(1, "b", false), 210), "", "of the one given up");
    assert_eq!(driven.on(cut(2, "a", true), 210), "");
    assert_eq!(driven.on(cut(2, "a", false), 220), "abandon-2");
    assert_eq!(driven.tick(300), "begin-full-3");
    assert_eq!(driven.on(cut(3, "a", true), 310), "");
    assert_eq!(driven.on(cut(3, "a", true), 310), "");
    driven.acknowledge(0, 3, 320);
    assert_eq!(driven.acknowledge(1, 3, 320), "store-3");
    assert_eq!(driven.on(stored(3), 330), "complete-3");
}

// SEMANTICS 65, 80
#[test]
fn what_ends_on_its_cores_one_by_one_neither_adds_to_failures_nor_ends_their_row() {
    let mut driven = Driven::new(Timing { tolerable_failures: 1, ..TIMING }, 1);
    let refused = |checkpoint| Event::NotStored { checkpoint, error: failure() };
    driven.tick(100);
    assert_eq!(driven.on(refused(1), 110), "abandon-1");
    driven.tick(200);
    driven.on(cut(2, "a", true), 210);
    assert_eq!(driven.on(cut(2, "a", false), 210), "abandon-2");
    driven.tick(300);
    assert_eq!(driven.on(refused(3), 310), "abandon-3 fail");
}

#[test]
fn one_that_is_asked_for_begins_at_once() {
    let mut driven = Driven::new(Timing { interval_ns: None, min_pause_ns: 50, ..TIMING }, 1);
    assert_eq!(driven.coordinator.wakes_ns(), u64::MAX);
    assert_eq!(driven.on(Event::Requested, 10), "begin-full-1");
    assert_eq!(driven.on(Event::Requested, 11), "");
    driven.acknowledge(0, 1, 12);
    assert_eq!(driven.on(stored(1), 13), "complete-1 begin-2");
}

#[test]
fn what_failed_is_not_tried_again_at_once() {
    let mut driven = Driven::new(Timing { tolerable_failures: 9, retry_pause_ns: 40, ..TIMING }, 1);
    assert_eq!(driven.on(Event::Ended { task: 0 }, 10), "begin-full-1");
    let refused = Event::NotStored { checkpoint: 1, error: failure() };
    assert_eq!(driven.on(refused, 20), "abandon-1");
    assert_eq!(driven.coordinator.wakes_ns(), 60);
    assert_eq!(driven.tick(59), "");
    assert_eq!(driven.tick(60), "begin-full-2");
}

#[derive(Clone, Debug)]
enum Doing {
    Pass(u64),
    Request,
    Acknowledge(u32, u64),
    Decline(u32, u64),
    End(u32),
    Cut(bool, u64),
    Store(u64),
    Refuse(u64),
}

fn doing() -> impl Strategy<Value = Doing> {
    // Numbers are meant relative to the newest checkpoint: the current one or one before.
    prop_oneof![
        4 => (0u64..400).prop_map(Doing::Pass),
        1 => Just(Doing::Request),
        8 => (0u32..3, 0u64..3).prop_map(|(task, back)| Doing::Acknowledge(task, back / 2)),
        1 => (0u32..3, 0u64..2).prop_map(|(task, back)| Doing::Decline(task, back)),
        1 => (0u32..3).prop_map(Doing::End),
        2 => (prop::bool::weighted(0.9), 0u64..2)
            .prop_map(|(has_ended, back)| Doing::Cut(has_ended, back)),
        4 => (0u64..2).prop_map(Doing::Store),
        1 => (0u64..2).prop_map(Doing::Refuse),
    ]
}

proptest! {
    /// No completion without all acknowledgements and the store's word, never two in flight,
    /// numbers grow, what follows one that was abandoned is full, and the job fails exactly when
    /// more in a row have failed than may, to which union lists do not count.
    #[test]
    fn promises_hold(all in prop::collection::vec(doing(), 0..200), tolerable in 0u32..3) {
        let timing = Timing { tolerable_failures: tolerable, min_pause_ns: 30, ..TIMING };
        let mut driven = Driven::new(timing, 3);
        let (mut now_ns, mut newest, mut in_row) = (0, 0, 0);
        let mut in_flight: Option<(u64, [bool; 3], bool)> = None;
        let mut next_is_full = true;
        let mut over = false;
        for one in all {
            let number = |back: u64| newest - back.min(newest);
            let event = match one {
                Doing::Pass(ns) => { now_ns += ns; Event::Tick }
                Doing::Request => Event::Requested,
                Doing::Acknowledge(task, back) => {
                    if let Some((of, by, _)) = &mut in_flight && *of == number(back) {
                        by[task as usize] = true;
                    }
                    Event::Acknowledged { task, checkpoint: number(back) }
                }
                Doing::Decline(task, back) => {
                    Event::Declined { task, checkpoint: number(back), error: failure() }
                }
                Doing::End(task) => Event::Ended { task },
                Doing::Cut(has_ended, back) => cut(number(back), "a", has_ended),
                Doing::Store(back) => stored(number(back)),
                Doing::Refuse(back) => {
                    Event::NotStored { checkpoint: number(back), error: failure() }
                }
            };
            let is_cut = matches!(event, Event::Cut { .. });
            driven.on(event, now_ns);
            for action in &driven.actions {
                match action {
                    Action::Begin { checkpoint, kind } => {
                        prop_assert!(in_flight.is_none() && !over);
                        prop_assert!(*checkpoint > newest);
                        prop_assert_eq!(*kind == SnapshotKind::Full, next_is_full);
                        newest = *checkpoint;
                        in_flight = Some((newest, [false; 3], false));
                    }
                    Action::Store { checkpoint } => {
                        let (of, by, storing) = in_flight.as_mut().unwrap();
                        prop_assert_eq!(*of, *checkpoint);
                        prop_assert!(*by == [true; 3] && !*storing);
                        *storing = true;
                    }
                    Action::Complete { checkpoint, last, .. } => {
                        let (of, _, storing) = in_flight.take().unwrap();
                        prop_assert!(of == *checkpoint && storing);
                        (next_is_full, in_row, over) = (false, 0, *last);
                    }
                    Action::Abandon { checkpoint, .. } => {
                        let (of, ..) = in_flight.take().unwrap();
                        prop_assert_eq!(of, *checkpoint);
                        next_is_full = true;
                        in_row += u32::from(!is_cut);
                    }
                    Action::Fail(_) => prop_assert!(in_row > tolerable),
                }
            }
            let failed = driven.actions.iter().any(|action| matches!(action, Action::Fail(_)));
            let gave_up =
                driven.actions.iter().any(|action| matches!(action, Action::Abandon { .. }));
            prop_assert_eq!(failed, gave_up && !is_cut && in_row > tolerable);
        }
    }
}
