//! The as-of join with more records and keys than fit what is fresh, the piece of work at a
//! watermark, and a table that stays in the cache; restored while they wait.

use std::collections::HashMap;

use tailwater_core::random::nth;

use super::tests::best;
use super::*;
use crate::testing::Harness;

/// Key and id.
type Left = (u32, u32);
type Right = (u32, u32);
type In = Stamped<Either<Left, Right>>;

const KEYS: u32 = 20_000;
const WAITING: u32 = 6_000;

/// A right record of each key, before all that comes later.
fn quotes() -> Vec<In> {
    let quote = |key| Stamped::new(Timestamp(i64::from(key % 50)), Either::Second((key, key)));
    (0..KEYS).map(quote).collect()
}

/// Left records with ids from `first` on, every other of one key, and a right one for each third of
/// them, in no order of time from `from` on.
fn shuffled(first: u32, count: u32, from: i64) -> Vec<In> {
    let record = |id: u32| {
        let random = nth(11, u64::from(id));
        let key = if id.is_multiple_of(2) { 0 } else { (random % u64::from(KEYS)) as u32 };
        let at = Timestamp(from + (random >> 32) as i64 % 1_000);
        let left = Stamped::new(at, Either::First((key, id)));
        let right = Stamped::new(at + Span(id.into()), Either::Second((key, KEYS + id)));
        [Some(left), id.is_multiple_of(3).then_some(right)]
    };
    (first..first + count).flat_map(record).flatten().collect()
}

/// Left ids with those of their matches, by looking through all right records of the key.
fn model(rule: AsOf, input: &[In]) -> Vec<(u32, Option<u32>)> {
    let mut rights: HashMap<u32, Vec<(i64, u32)>> = HashMap::new();
    for record in input {
        if let Either::Second((key, id)) = record.value {
            rights.entry(key).or_default().push((record.at.0, id));
        }
    }
    let matched = |record: &In| match record.value {
        Either::First((key, id)) => {
            Some((id, best(rule, rights[&key].iter().copied(), record.at.0)))
        }
        Either::Second(_) => None,
    };
    input.iter().filter_map(matched).collect()
}

#[test]
fn thousands_wait_for_the_watermark_over_restores() {
    for rule in [
        AsOf::backward(),
        AsOf::backward().within(Span(700)).first_of_ties(),
        AsOf::forward().within(Span(300)),
        AsOf::nearest(),
    ] {
        let make = || AsOfJoin::new(|left: &Left| left.0, |right: &Right| right.0, rule);
        let mut harness = Harness::new(make()).unwrap();
        let mut input = Vec::new();
        let mut send = |harness: &mut Harness<_>, records: Vec<In>| {
            input.extend(records.iter().cloned());
            records.chunks(256).for_each(|batch| harness.batch(batch.iter().cloned()));
        };
        send(&mut harness, quotes());
        harness.watermark(Timestamp(50));
        send(&mut harness, shuffled(0, 500, 60));
        harness.watermark(Timestamp(3_000));
        if rule == AsOf::backward() {
            let table = &harness.operator().in_force.table;
            assert!(table.slot_bytes() > CACHED_BYTES, "{} keys", table.len());
        }
        send(&mut harness, shuffled(500, WAITING / 2, 3_001));
        harness.replace(make()).unwrap();
        send(&mut harness, shuffled(500 + WAITING / 2, WAITING / 2, 3_001));
        let join = harness.operator();
        let waiting = join.held.iter().filter(|(_, held)| held.side() == Side::Left).count();
        assert!(waiting + join.fresh.len() >= WAITING as usize, "{waiting} wait");
        harness.watermark(Timestamp(3_500));
        harness.replace(make()).unwrap();
        harness.watermark(Timestamp::MAX);
        let results = harness.take_results().into_iter();
        let mut matches: Vec<_> =
            results.map(|m| (m.left.1, m.right.map(|right| right.value.1))).collect();
        matches.sort_unstable();
        assert_eq!(matches, model(rule, &input), "{rule:?}");
    }
}
