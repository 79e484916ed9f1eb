//! What do an append, a changed entry and a timer cost, and does it hang on what is there already?
//! Each line beside the plain collection of the standard library on the same keys.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tailwater_core::{KeyGroups, Timestamp, stable_hash};
use tailwater_state::keyed::{Domain, List, Map, Now, StatePart, Timer, Timers, Ttl};
use tailwater_state::{Budget, StateContext};

const KEYS: u32 = 1_000;
/// How much each key has already.
const FILLED: [u32; 2] = [10, 1_000];
const STEPS: u32 = 10_000;

fn state<S: StatePart<u32>>() -> S {
    S::new(&StateContext::new(KeyGroups::default_for(1), Budget::unlimited()), Ttl::never())
}

fn key_of(step: u32) -> u32 {
    step.wrapping_mul(0x9E37_79B9) % KEYS
}

fn enter<S: StatePart<u32>>(state: &mut S, key: u32) {
    state.enter(stable_hash(&key), &key, Now::UNKNOWN);
}

fn appends(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("list_append");
    group.throughput(Throughput::Elements(STEPS.into()));
    for filled in FILLED {
        let mut list: List<u32, u64> = state();
        let mut plain: HashMap<u32, Vec<u64>> = HashMap::new();
        for key in 0..KEYS {
            enter(&mut list, key);
            list.extend(0..filled.into());
            plain.entry(key).or_default().extend(0..u64::from(filled));
        }
        group.bench_function(BenchmarkId::new("state", filled), |bencher| {
            bencher.iter(|| {
                for step in 0..STEPS {
                    enter(&mut list, key_of(step));
                    list.push(step.into());
                }
            });
        });
        group.bench_function(BenchmarkId::new("plain", filled), |bencher| {
            bencher.iter(|| {
                for step in 0..STEPS {
                    plain.entry(key_of(step)).or_default().push(step.into());
                }
            });
        });
    }
    group.finish();
}

fn entries(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("map_entry");
    group.throughput(Throughput::Elements(STEPS.into()));
    for filled in FILLED {
        let mut map: Map<u32, u32, u64> = state();
        let mut plain: HashMap<u32, BTreeMap<u32, u64>> = HashMap::new();
        for key in 0..KEYS {
            enter(&mut map, key);
            for entry in 0..filled {
                map.insert(entry, 0);
                plain.entry(key).or_default().insert(entry, 0);
            }
        }
        group.bench_function(BenchmarkId::new("state", filled), |bencher| {
            bencher.iter(|| {
                for step in 0..STEPS {
                    enter(&mut map, key_of(step));
                    map.update(&(step % filled), |value| *value += 1);
                }
            });
        });
        group.bench_function(BenchmarkId::new("plain", filled), |bencher| {
            bencher.iter(|| {
                for step in 0..STEPS {
                    let map = plain.get_mut(&key_of(step));
                    let value = map.and_then(|map| map.get_mut(&(step % filled)));
                    black_box(value.map(|value| *value += 1));
                }
            });
        });
    }
    group.finish();
}

fn timers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("timer_set_and_fire");
    group.throughput(Throughput::Elements(STEPS.into()));
    let timer = |step: u32, time: i64| Timer {
        key: key_of(step),
        namespace: 0,
        time: Timestamp(time),
        domain: Domain::Event,
    };
    for waiting in [1_000i64, 100_000] {
        let context = StateContext::new(KeyGroups::default_for(1), Budget::unlimited());
        let mut timers = Timers::new(&context);
        let mut plain = BTreeSet::new();
        (0..waiting).for_each(|time| timers.register(timer(time as u32, time)));
        (0..waiting).for_each(|time| _ = plain.insert((time, key_of(time as u32))));
        let (mut now, mut plain_now) = (0, 0);
        group.bench_function(BenchmarkId::new("state", waiting), |bencher| {
            bencher.iter(|| {
                for step in 0..STEPS {
                    timers.register(timer(step, now + waiting));
                    black_box(timers.pop_due(Domain::Event, Timestamp(now)));
                    now += 1;
                }
            });
        });
        group.bench_function(BenchmarkId::new("plain", waiting), |bencher| {
            bencher.iter(|| {
                for step in 0..STEPS {
                    plain.insert((plain_now + waiting, key_of(step)));
                    black_box(plain.pop_first());
                    plain_now += 1;
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, appends, entries, timers);
criterion_main!(benches);
