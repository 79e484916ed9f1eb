//! The rules of TTL, with the numbers of SEMANTICS 51-57.

use tailwater_core::{Span, Timestamp};

use super::{context, enter};
use crate::SnapshotKind;
use crate::keyed::{
    Aggregating, Expiring, List, Map, Now, Reducing, StatePart, Sum, Ttl, TtlClock, Value,
};
use crate::testing::Store;

const TTL: Ttl = Ttl::after(Span(100));

fn of<S: StatePart<u8>>(ttl: Ttl) -> S {
    S::new(&context(), ttl)
}

type Number = Value<u8, u32, Expiring>;

fn get(value: &mut Number, now: i64) -> Option<u32> {
    enter(value, 1, now);
    value.get().copied()
}

fn set_at_zero(ttl: Ttl) -> Number {
    let mut value: Number = of(ttl);
    enter(&mut value, 1, 0);
    value.set(7);
    value
}

// SEMANTICS 51
#[test]
fn a_value_is_seen_before_its_ttl_has_passed_and_not_when_it_has() {
    let mut value = set_at_zero(TTL);
    assert_eq!((get(&mut value, 99), get(&mut value, 100)), (Some(7), None));
    // The second state of affairs is final: the value was deleted.
    assert_eq!(get(&mut value, 99), None);
}

// SEMANTICS 51
#[test]
fn a_life_beyond_the_end_of_time_does_not_end() {
    for after in [Span::MAX, Span(i64::MAX - 10)] {
        let mut value: Number = of(Ttl::after(after));
        enter(&mut value, 1, 100);
        value.set(7);
        assert_eq!(get(&mut value, i64::MAX), Some(7));
        value.sweep(Now { processing: Timestamp(i64::MAX - 1), event: Timestamp::MIN }, 10);
        assert_eq!(get(&mut value, i64::MAX), Some(7));
    }
}

// SEMANTICS 52
#[test]
fn reads_refresh_only_where_they_are_said_to() {
    let mut value = set_at_zero(TTL);
    assert_eq!((get(&mut value, 60), get(&mut value, 120)), (Some(7), None));
    let mut value = set_at_zero(TTL.refreshed_by_reads());
    assert_eq!((get(&mut value, 60), get(&mut value, 159)), (Some(7), Some(7)));
    assert_eq!((get(&mut value, 258), get(&mut value, 358)), (Some(7), None));
    // What has expired is not refreshed by being looked at.
    let mut value = set_at_zero(TTL.refreshed_by_reads().returning_expired());
    assert_eq!((get(&mut value, 100), get(&mut value, 101)), (Some(7), None));
}

// SEMANTICS 52
#[test]
fn writes_refresh() {
    let mut value = set_at_zero(TTL);
    enter(&mut value, 1, 60);
    value.update(|value| *value += 1);
    assert_eq!((get(&mut value, 159), get(&mut value, 160)), (Some(8), None));
    *value.or_insert_with(|| 1) += 1;
    assert_eq!((get(&mut value, 259), get(&mut value, 260)), (Some(2), None));
}

// SEMANTICS 53
#[test]
fn what_has_expired_is_seen_once_or_never() {
    let mut value = set_at_zero(TTL.returning_expired());
    assert_eq!((get(&mut value, 100), get(&mut value, 100)), (Some(7), None));
    let mut value = set_at_zero(TTL);
    assert_eq!((get(&mut value, 100), get(&mut value, 100)), (None, None));
    // Seen within one callback or in two, and gone from the next checkpoint.
    let mut value = set_at_zero(TTL.returning_expired());
    enter(&mut value, 1, 100);
    assert_eq!((value.get().copied(), value.get().copied()), (Some(7), None));
    let mut value = set_at_zero(TTL.returning_expired());
    assert_eq!(get(&mut value, 100), Some(7));
    value.tracked();
    assert_eq!(value.table_len(), 0);
}

// SEMANTICS 54
#[test]
fn a_list_shows_its_live_elements() {
    let list = |ttl| {
        let mut list: List<u8, u32, Expiring> = of(ttl);
        enter(&mut list, 1, 0);
        list.push(1);
        enter(&mut list, 1, 50);
        list.push(2);
        list
    };
    let shown = |list: &mut List<u8, u32, Expiring>, now| {
        enter(list, 1, now);
        list.iter().copied().collect::<Vec<_>>()
    };
    let mut never = list(TTL);
    assert_eq!(shown(&mut never, 99), [1, 2]);
    assert_eq!(shown(&mut never, 100), [2]);
    assert_eq!(never.len(), 1);
    assert_eq!(shown(&mut never, 150), [0; 0]);
    let mut returning = list(TTL.returning_expired());
    assert_eq!(shown(&mut returning, 100), [1, 2], "readable until none is live");
    assert_eq!(shown(&mut returning, 149), [1, 2]);
    assert_eq!(shown(&mut returning, 150), [1, 2], "seen once more");
    assert_eq!(shown(&mut returning, 150), [0; 0]);
    let mut read = list(TTL.refreshed_by_reads());
    assert_eq!(shown(&mut read, 99), [1, 2]);
    assert_eq!(shown(&mut read, 198), [1, 2]);
}

// SEMANTICS 54
#[test]
fn each_entry_of_a_map_lives_for_itself() {
    let map = |ttl| {
        let mut map: Map<u8, u8, u32, Expiring> = of(ttl);
        enter(&mut map, 1, 0);
        map.insert(10, 1);
        enter(&mut map, 1, 50);
        map.insert(20, 2);
        map
    };
    let shown = |map: &mut Map<u8, u8, u32, Expiring>, now| {
        enter(map, 1, now);
        map.iter().map(|(entry, _)| *entry).collect::<Vec<_>>()
    };
    let mut never = map(TTL);
    enter(&mut never, 1, 100);
    assert_eq!((never.get(&10).copied(), never.get(&20).copied()), (None, Some(2)));
    assert_eq!((never.len(), shown(&mut never, 100)), (1, vec![20]));
    let mut returning = map(TTL.returning_expired());
    enter(&mut returning, 1, 100);
    assert!(!returning.contains(&10), "even where expired entries are returned");
    assert_eq!(shown(&mut returning, 100), [10, 20], "while iteration shows it");
    assert_eq!(shown(&mut returning, 100), [20], "once");
    let mut returning = map(TTL.returning_expired());
    enter(&mut returning, 1, 100);
    assert_eq!((returning.get(&10).copied(), returning.get(&10).copied()), (Some(1), None));
    let mut read = map(TTL.refreshed_by_reads());
    enter(&mut read, 1, 99);
    read.get(&10);
    assert!(!read.contains(&30), "asking does not count as reading");
    assert_eq!(shown(&mut read, 150), [10]);
    assert_eq!(shown(&mut read, 249), [10]);
}

#[derive(
    Clone, Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize, tailwater_core::Describe,
)]
struct Total(u32);

impl tailwater_core::Aggregate<u32> for Total {
    type Output = u32;

    fn add(&mut self, record: &u32) {
        self.0 += record;
    }

    fn merge(&mut self, other: &Self) {
        self.0 += other.0;
    }

    fn finish(&self) -> u32 {
        self.0
    }
}

// SEMANTICS 55
#[test]
fn an_expired_accumulator_is_replaced_or_added_to() {
    for (ttl, expected) in [(TTL, 2), (TTL.returning_expired(), 3)] {
        let mut sum: Reducing<u8, u32, Sum, Expiring> = of(ttl);
        let mut total: Aggregating<u8, u32, Total, Expiring> = of(ttl);
        for (now, number) in [(0, 1), (100, 2)] {
            enter(&mut sum, 1, now);
            sum.add(number);
            enter(&mut total, 1, now);
            total.add(&number);
        }
        assert_eq!((sum.get().copied(), total.get()), (Some(expected), Some(expected)));
    }
}

// SEMANTICS 56
#[test]
fn a_ttl_may_change_and_a_longer_one_shows_what_had_expired() {
    let mut value = set_at_zero(TTL);
    value.set_ttl(Ttl::after(Span(200)));
    assert_eq!((get(&mut value, 199), get(&mut value, 200)), (Some(7), None));
}

// SEMANTICS 57: there are no default values; what was never set, or has expired, is absent.
#[test]
fn nothing_stands_in_for_what_has_expired() {
    let mut value = set_at_zero(TTL);
    enter(&mut value, 1, 100);
    assert_eq!((value.take(), *value.or_default()), (None, 0));
}

// Beyond SEMANTICS 57: by event time as well.
#[test]
fn event_time_is_a_clock_too() {
    assert_eq!(TTL.in_event_time().clock, TtlClock::Event);
    let mut value = set_at_zero(TTL.in_event_time());
    // `enter` lets event time run at half the speed.
    assert_eq!((get(&mut value, 199), get(&mut value, 200)), (Some(7), None));
    // An older record does not make a value older.
    let mut value = set_at_zero(TTL.in_event_time());
    for now in [100, 40] {
        enter(&mut value, 1, now);
        value.update(|value| *value += 1);
    }
    assert_eq!((get(&mut value, 298), get(&mut value, 300)), (Some(9), None));
}

#[test]
fn the_sweep_drops_what_has_expired_a_bounded_piece_at_a_time() {
    let mut value: Value<u8, u32, Expiring> = of(TTL);
    let mut list: List<u8, u32, Expiring> = of(TTL);
    let mut map: Map<u8, u32, u32, Expiring> = of(TTL);
    for key in 0..50u8 {
        for (now, number) in [(0, 1), (60, 2)] {
            enter(&mut list, key, now);
            list.push(number);
            enter(&mut map, key, now);
            map.insert(number, number);
        }
        enter(&mut value, key, i64::from(key));
        value.set(1);
    }
    let now = |time| Now { processing: Timestamp(time), event: Timestamp::MIN };
    assert_eq!(value.sweep(now(120), 10), 0, "ten looked at, and no more");
    assert!(value.table_len() >= 40);
    for _ in 0..20 {
        value.sweep(now(120), 10);
        list.sweep(now(120), 10);
        map.sweep(now(120), 10);
    }
    assert_eq!(value.table_len(), 50 - 21);
    for key in 0..50u8 {
        enter(&mut list, key, 0);
        enter(&mut map, key, 0);
        assert_eq!(list.iter().copied().collect::<Vec<_>>(), [2]);
        assert_eq!(map.iter().map(|(entry, _)| *entry).collect::<Vec<_>>(), [2]);
    }
    // A pass is over; the next begins when a quarter of a life has passed.
    assert_eq!(map.sweep(now(121), 10), 10);
    assert_eq!(map.sweep(now(160), 10), 0);
    for _ in 0..20 {
        list.sweep(now(160), 10);
        map.sweep(now(160), 10);
    }
    enter(&mut list, 3, 0);
    enter(&mut map, 3, 0);
    assert!(list.is_empty() && map.is_empty());
}

/// A checkpoint of a state at this time, and what restores from it.
fn checkpoint<S: StatePart<u8>>(
    store: &mut Store<()>,
    kind: SnapshotKind,
    state: &mut S,
    now: i64,
    meanwhile: impl FnOnce(&mut S),
) -> S {
    let now = Now { processing: Timestamp(now), event: Timestamp::MIN };
    // Tells the time, and looks at nothing.
    state.sweep(now, 0);
    store.barrier(kind, state, &());
    meanwhile(state);
    store.drain(usize::MAX, state);
    let mut restored = of(TTL.returning_expired());
    store.restore(3, &mut restored);
    restored
}

// SEMANTICS 51, 56
#[test]
fn a_full_checkpoint_has_nothing_that_has_expired() {
    let mut value: Number = of(TTL);
    let mut list: List<u8, u32, Expiring> = of(TTL);
    let mut map: Map<u8, u32, u32, Expiring> = of(TTL);
    for key in 0..50 {
        for (now, number) in [(0, 1), (60, 2)] {
            enter(&mut list, key, now);
            list.push(number);
            enter(&mut map, key, now);
            map.insert(number, number);
        }
        enter(&mut value, key, key.into());
        value.set(1);
    }
    let full = SnapshotKind::Full;
    let (mut of_value, mut of_list, mut of_map) = Default::default();
    let values = checkpoint(&mut of_value, full, &mut value, 120, |_| {});
    let mut lists = checkpoint(&mut of_list, full, &mut list, 120, |_| {});
    let mut maps = checkpoint(&mut of_map, full, &mut map, 120, |_| {});
    assert_eq!((values.table_len(), value.table_len()), (50 - 21, 50));
    for key in 0..50 {
        enter(&mut lists, key, 0);
        enter(&mut maps, key, 0);
        assert_eq!(lists.iter().copied().collect::<Vec<_>>(), [2]);
        assert_eq!(maps.iter().map(|(entry, _)| *entry).collect::<Vec<_>>(), [2]);
    }
    let lists = checkpoint(&mut of_list, full, &mut list, 160, |_| {});
    let maps = checkpoint(&mut of_map, full, &mut map, 160, |_| {});
    let keys = |state: &dyn StatePart<u8>| {
        let mut keys = 0;
        state.each_key(&mut |_| keys += 1);
        keys
    };
    assert_eq!((keys(&lists), keys(&maps)), (0, 0));
}

// SEMANTICS 51
#[test]
fn what_expired_before_a_full_checkpoint_and_is_set_after_it_is_in_the_next() {
    let (mut store, mut value) = (Store::<()>::default(), set_at_zero(TTL));
    let mut restored = checkpoint(&mut store, SnapshotKind::Full, &mut value, 120, |value| {
        // Before the drain has come to it.
        enter(value, 1, 130);
        value.set(9);
    });
    assert_eq!(get(&mut restored, 130), None);
    let mut restored = checkpoint(&mut store, SnapshotKind::Incremental, &mut value, 140, |_| {});
    assert_eq!(get(&mut restored, 140), Some(9));
    // A delta that left it out would bring back what is in the checkpoint before.
    value.update(|value| *value += 1);
    let mut restored = checkpoint(&mut store, SnapshotKind::Incremental, &mut value, 300, |_| {});
    assert_eq!(get(&mut restored, 140), Some(10));
}
