//! The as-of join with late records, ties and silent keys, against a model that scans lists for
//! each record: the same output in the same order, watermarks included, and on any number of cores.

use proptest::prelude::*;
use tailwater_core::{Control, Element};
use tailwater_state::SnapshotKind;

use super::rule::apart;
use super::tests::{In, Join, Left, Right, join, kept, left, right, rules, watermark};
use super::*;
use crate::testing::{Harness, Order, check_operator, check_rescaling};

type Out = Element<Matched<Left, Right>>;

/// A record in a list of the model: time, key and id. Lists are in order of arrival.
type Listed = (Timestamp, u8, u32);

/// What a join says by scanning all that it keeps.
struct Model {
    rule: AsOf,
    watermark: Timestamp,
    told: Timestamp,
    lefts: Vec<Listed>,
    rights: Vec<Listed>,
    output: Vec<Out>,
}

impl Model {
    fn new(rule: AsOf) -> Self {
        let (lefts, rights, output) = (Vec::new(), Vec::new(), Vec::new());
        Self { rule, watermark: Timestamp::MIN, told: Timestamp::MIN, lefts, rights, output }
    }

    fn looks_ahead(&self) -> bool {
        matches!(self.rule.direction, Direction::Forward | Direction::Nearest)
    }

    /// The nearest, the earlier of two as near, of ties the one that the rule says.
    fn best(&self, at: Timestamp, of: u8) -> Option<Listed> {
        let rights = self.rights.iter().enumerate().filter(|(_, (time, key, _))| {
            let is_there = match self.rule.direction {
                Direction::Backward => *time <= at,
                Direction::Forward => *time >= at,
                Direction::Nearest | Direction::Arrived => true,
            };
            *key == of && is_there && self.rule.tolerates(apart(*time, at))
        });
        let best = rights.min_by_key(|(index, (time, ..))| {
            let arrival = *index as i64;
            let tie = if self.rule.ties == Ties::First { arrival } else { -arrival };
            (apart(*time, at), *time, tie)
        });
        best.map(|(_, right)| *right)
    }

    fn due(&self, (at, key, _): Listed) -> Timestamp {
        self.rule.due(at, self.best(at, key).map(|(time, ..)| time))
    }

    fn emit(&mut self, (at, key, id): Listed) {
        let right = self.best(at, key).map(|(at, key, id)| Stamped::new(at, (key, id)));
        self.output.push(Element::Record(Stamped::new(at, Matched { left: (key, id), right })));
    }

    /// Keeps what a left record after the watermark, or one that waits, can need.
    fn prune(&mut self) {
        let Self { rule, watermark, lefts, rights, .. } = self;
        let all = rights.clone();
        rights.retain(|(at, key, _)| {
            let waiting = lefts.iter().filter(|left| left.1 == *key).map(|left| left.0).min();
            let horizon = waiting.unwrap_or(Timestamp::MAX).min(*watermark + Span(1));
            let before = all.iter().filter(|right| right.1 == *key && right.0 < horizon);
            let in_force = before.map(|right| right.0).max();
            let is_near = in_force == Some(*at) && rule.tolerates(horizon - *at);
            *at >= horizon || (is_near && rule.direction != Direction::Forward)
        });
    }

    fn element(&mut self, element: &In) {
        match element {
            Element::Record(Stamped { at, value: Either::Second((key, id)) }) => {
                self.rights.push((*at, *key, *id));
                self.prune();
            }
            Element::Record(Stamped { at, value: Either::First((key, id)) }) => {
                let left = (*at, *key, *id);
                if self.due(left) > self.watermark {
                    self.lefts.push(left);
                } else if self.looks_ahead() {
                    self.emit(left);
                } else {
                    // Of all that the watermark has passed, the last is there.
                    let all = self.rights.clone();
                    let passed = all.iter().filter(|right| right.0 <= self.watermark);
                    let last = passed.filter(|right| right.1 == *key).map(|right| right.0).max();
                    self.rights.retain(|right| Some(right.0) == last && right.1 == *key);
                    self.emit(left);
                    self.rights = all;
                }
            }
            Element::Control(Control::Watermark(watermark)) => self.advance(*watermark),
            Element::Control(_) => {}
        }
    }

    fn advance(&mut self, watermark: Timestamp) {
        self.watermark = watermark;
        let lefts = std::mem::take(&mut self.lefts);
        let (mut due, wait): (Vec<_>, Vec<_>) =
            lefts.into_iter().partition(|left| self.due(*left) <= watermark);
        due.sort_by_key(|left| (self.due(*left), left.0));
        due.into_iter().for_each(|left| self.emit(left));
        self.lefts = wait;
        self.prune();
        let waits = self.lefts.iter().map(|left| left.0 - Span(1)).min();
        let told = if self.looks_ahead() { waits.unwrap_or(watermark) } else { watermark };
        let told = told.min(watermark);
        if told > self.told {
            self.told = told;
            self.output.push(Element::Control(Control::Watermark(told)));
        }
    }
}

fn model(rule: AsOf, script: &[In]) -> Vec<Out> {
    let mut model = Model::new(rule);
    script.iter().for_each(|element| model.element(element));
    model.output
}

/// Many records are late, and many are of one time.
fn scripts() -> impl Strategy<Value = Vec<In>> {
    let record = (any::<bool>(), 0u8..3, 0i64..16);
    proptest::collection::vec((record, any::<bool>()), 0..60).prop_map(|steps| {
        let mut script = Vec::new();
        let mut highest = i64::MIN;
        for (step, ((is_left, key, ahead), advances)) in steps.into_iter().enumerate() {
            let (base, id) = (step as i64, step as u32);
            let value = if is_left { Either::First((key, id)) } else { Either::Second((key, id)) };
            script.push(Element::Record(Stamped::new(Timestamp(base + ahead), value)));
            if advances && base + ahead - 3 > highest {
                highest = base + ahead - 3;
                script.push(watermark(highest));
            }
        }
        script.push(watermark(i64::MAX));
        script
    })
}

/// A join behind which nobody hears of the watermark: each core tells its own where records wait
/// beyond it.
struct Untold(Join);

struct Records<'a, C>(&'a mut C);

impl<T, C: Collect<T>> Collect<T> for Records<'_, C> {
    fn record(&mut self, at: Timestamp, value: T) {
        self.0.record(at, value);
    }

    fn watermark(&mut self, _: Timestamp) {}

    fn has_room(&self) -> bool {
        self.0.has_room()
    }

    fn fail(&mut self, error: Error) {
        self.0.fail(error);
    }
}

impl Operator for Untold {
    type In = Either<Left, Right>;
    type Out = Matched<Left, Right>;

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.0.open(context)
    }

    fn on_record(&mut self, at: Timestamp, value: Self::In, out: &mut impl Collect<Self::Out>) {
        self.0.on_record(at, value, out);
    }

    fn on_watermark(&mut self, watermark: Timestamp, out: &mut impl Collect<Self::Out>) {
        self.0.on_watermark(watermark, &mut Records(out));
    }

    fn is_pending(&self) -> bool {
        self.0.is_pending()
    }

    fn resume(&mut self, out: &mut impl Collect<Self::Out>) {
        self.0.resume(&mut Records(out));
    }

    fn snapshot(&mut self, into: &mut SnapshotWriter) -> Result<()> {
        self.0.snapshot(into)
    }

    fn drain(&mut self, into: &mut Drain) -> Result<bool> {
        self.0.drain(into)
    }

    fn restore(&mut self, from: &mut SnapshotReader) -> Result<()> {
        self.0.restore(from)
    }

    fn describe(&self, into: &mut Vec<Description>) {
        self.0.describe(into);
    }
}

proptest! {
    #[test]
    fn agrees_with_the_model_whatever_is_late(rule in rules(), script in scripts()) {
        let output = check_operator(|| join(rule), &script, Order::Exact);
        prop_assert_eq!(output, model(rule, &script));
    }

    #[test]
    fn agrees_with_the_model_on_any_number_of_cores(rule in rules(), script in scripts()) {
        let hash_of = |record: &Either<Left, Right>| match record {
            Either::First(left) => stable_hash(&left.0),
            Either::Second(right) => stable_hash(&right.0),
        };
        let output = check_rescaling(|| Untold(join(rule)), hash_of, &script);
        let due = model(rule, &script).into_iter();
        let due: Vec<_> = due.filter(|element| matches!(element, Element::Record(_))).collect();
        prop_assert_eq!(output, due);
    }
}

/// So many silent keys are met in a pass of the sweep, at a watermark each.
const KEYS: u8 = 200;

/// Has each key say something once, then time pass with one key only; how many records are kept.
fn kept_of_silent_keys(rule: AsOf) -> usize {
    let mut harness = Harness::new(join(rule)).unwrap();
    for key in 0..KEYS {
        harness.record(Timestamp(i64::from(key)), Either::Second((key, 1)));
    }
    for at in 1_000..1_050 {
        harness.element(right(at, 2));
        harness.element(watermark(at - 3));
    }
    kept(&harness)
}

#[test]
fn of_keys_that_fall_silent_only_what_is_of_use_is_kept() {
    // One right record of key 0 is in force, three are after the watermark, and one may be of no
    // use since the last watermark only.
    let check = |rule: AsOf, due: usize| {
        let kept = kept_of_silent_keys(rule);
        assert!((due..=due + 1).contains(&kept), "{kept} records for {rule:?}");
    };
    let silent = usize::from(KEYS) - 1;
    check(AsOf::backward(), silent + 4);
    check(AsOf::nearest(), silent + 4);
    check(AsOf::backward().within(Span(100)), 4);
    check(AsOf::nearest().within(Span(100)), 4);
    check(AsOf::forward(), 3);
    check(AsOf::forward().within(Span(100)), 3);
}

#[test]
fn a_late_left_record_is_matched_with_what_is_still_in_force() {
    let script = [right(10, 1), right(20, 2), watermark(25), left(22, 7), left(15, 8)];
    let output = check_operator(|| join(AsOf::backward()), &script, Order::Exact);
    let matched = |element| match element {
        Element::Record(record) => {
            let Matched { left, right }: Matched<Left, Right> = record.value;
            Some((left.1, right.map(|right| right.value.1)))
        }
        Element::Control(_) => None,
    };
    let matches: Vec<_> = output.into_iter().filter_map(matched).collect();
    assert_eq!(matches, [(7, Some(2)), (8, None)]);
}

struct Nowhere;

impl<T> Collect<T> for Nowhere {
    fn record(&mut self, _: Timestamp, _: T) {}

    fn watermark(&mut self, _: Timestamp) {}

    fn has_room(&self) -> bool {
        true
    }

    fn fail(&mut self, error: Error) {
        panic!("{error}");
    }
}

#[test]
fn a_checkpoint_costs_what_changed() {
    let mut join = join(AsOf::backward());
    join.open(&OperatorContext::single_core()).unwrap();
    for at in 0..1_000 {
        join.on_record(Timestamp(at), Either::Second(((at % 100) as u8, 1)), &mut Nowhere);
    }
    join.on_watermark(Timestamp(500), &mut Nowhere);
    let frames = |join: &mut Join| {
        let mut writer = SnapshotWriter::new(SnapshotKind::Incremental, "");
        join.snapshot(&mut writer).unwrap();
        let mut drain = Drain::new();
        drain.allow(usize::MAX);
        assert!(join.drain(&mut drain).unwrap());
        drain.take().map(|chunk| chunk.frames).sum::<u32>()
    };
    // Before the first checkpoint all is new: 100 that are in force, 499 that are held.
    assert_eq!(frames(&mut join), 599);
    assert_eq!(frames(&mut join), 0);
    join.on_record(Timestamp(1_000), Either::Second((7, 2)), &mut Nowhere);
    assert_eq!(frames(&mut join), 1);
    // One that was stored goes, and comes into force.
    join.on_watermark(Timestamp(501), &mut Nowhere);
    assert_eq!(frames(&mut join), 2);
}
