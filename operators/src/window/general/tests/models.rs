//! Property tests against models that keep lists and look at everything: too simple to be wrong.

use proptest::prelude::*;

use super::*;
use crate::window::WindowResult;

/// What the model's windows are.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Tumbling(i64),
    Sliding(i64, i64),
    Session(i64),
    /// The gap is the record's value modulo five, plus one.
    Dynamic,
    Global,
}

/// When they fire.
#[derive(Clone, Copy, Debug)]
enum Rule {
    EventTime,
    Count(u64),
    Continuous(i64),
}

/// What is taken out of them.
#[derive(Clone, Copy, Debug)]
enum Eviction {
    None,
    Count(usize, Evict),
    Time(i64, Evict),
    Delta(i64, Evict),
}

#[derive(Clone, Copy, Debug)]
struct Case {
    shape: Shape,
    rule: Rule,
    purging: bool,
    eviction: Eviction,
    lateness: i64,
}

/// How far a record is below another one, by what looks like chance.
fn below(record: &Event, other: &Event) -> i64 {
    let height = |event: &Event| event.1 * 7 % 13;
    height(other) - height(record)
}

fn gap(event: &Event) -> i64 {
    event.1.rem_euclid(5) + 1
}

/// A window of the model, with all its records.
#[derive(Debug)]
struct ModelWindow {
    key: u8,
    start: i64,
    end: i64,
    /// With their times, in order of arrival; where sessions merged, those of the earlier first.
    records: Vec<(i64, Event)>,
    count: u64,
    /// The continuous trigger's next mark; the end when all marks are over.
    mark: i64,
}

/// The last instant of a window.
fn last(window: &ModelWindow) -> i64 {
    if window.end == i64::MAX { i64::MAX } else { window.end - 1 }
}

#[derive(Debug)]
struct Model {
    case: Case,
    windows: Vec<ModelWindow>,
    watermark: i64,
    output: Vec<String>,
}

impl Model {
    fn assign(&self, event: &Event, at: i64) -> Vec<(i64, i64)> {
        let grid = |size: i64, slide: i64| {
            let all = (at - size + 1)..=at;
            all.filter(|start| start % slide == 0).map(|start| (start, start + size)).collect()
        };
        match self.case.shape {
            Shape::Tumbling(size) => grid(size, size),
            Shape::Sliding(size, slide) => grid(size, slide),
            Shape::Session(gap) => vec![(at, at + gap)],
            Shape::Dynamic => vec![(at, at + gap(event))],
            Shape::Global => vec![(Window::GLOBAL.start.0, Window::GLOBAL.end.0)],
        }
    }

    fn record(&mut self, event: Event, at: i64) {
        let merges = matches!(self.case.shape, Shape::Session(_) | Shape::Dynamic);
        let mut taken = false;
        for (start, end) in self.assign(&event, at) {
            let mut new =
                ModelWindow { key: event.0, start, end, records: vec![], count: 0, mark: i64::MAX };
            let (mine, others) = std::mem::take(&mut self.windows).into_iter().partition(|old| {
                let same = (old.start, old.end) == (start, end);
                old.key == event.0 && (same || merges && old.start <= end && old.end >= start)
            });
            let mut mine: Vec<ModelWindow> = mine;
            mine.sort_by_key(|old| old.start);
            self.windows = others;
            if mine.is_empty() && self.cleanup(&new) <= self.watermark {
                continue;
            }
            taken = true;
            for old in mine {
                new.start = new.start.min(old.start);
                new.end = new.end.max(old.end);
                new.records.extend(old.records);
                new.count += old.count;
                new.mark = new.mark.min(old.mark);
            }
            new.records.push((at, event));
            new.count += 1;
            let over = last(&new) <= self.watermark;
            let fires = match self.case.rule {
                Rule::EventTime => over,
                Rule::Count(n) => new.count >= n,
                Rule::Continuous(every) => {
                    if !over && new.mark == i64::MAX {
                        new.mark = (at - at % every + every).min(last(&new));
                    }
                    over
                }
            };
            if fires {
                self.fire(&mut new);
            }
            self.windows.push(new);
        }
        let can_be_late = !matches!(self.case.shape, Shape::Global);
        if !taken && can_be_late && at + self.case.lateness <= self.watermark {
            self.output.push(format!("late {event:?} @{at}"));
        }
    }

    fn fire(&mut self, window: &mut ModelWindow) {
        if matches!(self.case.rule, Rule::Count(_)) {
            window.count = 0;
        }
        if !window.records.is_empty() {
            self.evict(Evict::Before, &mut window.records);
            let mut values: Vec<_> = window.records.iter().map(|(_, event)| event.1).collect();
            values.sort_unstable();
            let ModelWindow { key, start, end, .. } = &*window;
            let at = Timestamp(last(window));
            self.output.push(format!("{key} [{start},{end}) {values:?} @{at}"));
            self.evict(Evict::After, &mut window.records);
        }
        if self.case.purging {
            window.records.clear();
        }
    }

    fn evict(&self, now: Evict, records: &mut Vec<(i64, Event)>) {
        let Some(&(_, newest)) = records.last() else { return };
        let latest = records.iter().map(|(at, _)| *at).max().unwrap();
        let len = records.len();
        let mut position = 0;
        records.retain(|(at, event)| {
            position += 1;
            match self.case.eviction {
                Eviction::Count(keep, side) if side == now => len - position < keep,
                Eviction::Time(span, side) if side == now => latest - at < span,
                Eviction::Delta(threshold, side) if side == now => {
                    below(event, &newest) < threshold
                }
                _ => true,
            }
        });
    }

    /// When a window is dropped.
    fn cleanup(&self, window: &ModelWindow) -> i64 {
        last(window).saturating_add(self.case.lateness)
    }

    fn watermark(&mut self, watermark: i64) {
        let before = std::mem::replace(&mut self.watermark, watermark);
        for mut window in std::mem::take(&mut self.windows) {
            let last = last(&window);
            if let Rule::Continuous(every) = self.case.rule {
                while window.mark < last && window.mark <= watermark {
                    self.fire(&mut window);
                    window.mark = (window.mark + every).min(last);
                }
            }
            let ends = before < last && last <= watermark;
            if ends && !matches!(self.case.rule, Rule::Count(_)) {
                self.fire(&mut window);
            }
            if self.cleanup(&window) > watermark {
                self.windows.push(window);
            }
        }
        self.output.push(format!("W {watermark}"));
    }

    fn run(case: Case, script: &[Element<Event>]) -> Vec<String> {
        let mut model = Self { case, windows: vec![], watermark: i64::MIN, output: vec![] };
        for element in script {
            match element {
                Element::Record(record) => model.record(record.value, record.at.0),
                Element::Control(Control::Watermark(at)) => model.watermark(at.0),
                Element::Control(_) => {}
            }
        }
        model.output
    }
}

fn print(output: Vec<Element<Fired<Shown, Event>>>) -> Vec<String> {
    let lines = output.into_iter().map(|element| match element {
        Element::Control(Control::Watermark(at)) => format!("W {}", at.0),
        Element::Control(other) => panic!("{other:?} is in no script"),
        Element::Record(Stamped { at, value: Fired::Late(event) }) => {
            format!("late {event:?} @{at}")
        }
        Element::Record(Stamped { at, value: Fired::Result((key, start, end, values)) }) => {
            format!("{key} [{start},{end}) {values:?} @{at}")
        }
    });
    lines.collect()
}

fn in_order(mut lines: Vec<String>) -> Vec<String> {
    for run in lines.chunk_by_mut(|a, b| !a.starts_with('W') && !b.starts_with('W')) {
        run.sort();
    }
    lines
}

fn run_case(case: Case, script: &[Element<Event>]) -> Vec<String> {
    match case.shape {
        Shape::Tumbling(size) => with_rule(case, tumbling(size), script),
        Shape::Sliding(size, slide) => {
            with_rule(case, Sliding::of(Span(size)).every(Span(slide)), script)
        }
        Shape::Session(gap) => with_rule(case, session(gap), script),
        Shape::Dynamic => with_rule(case, DynamicSession::new(|e: &Event| Span(gap(e))), script),
        Shape::Global => with_rule(case, Global, script),
    }
}

fn with_rule<A: Assigner<Event>>(
    case: Case,
    assigner: A,
    script: &[Element<Event>],
) -> Vec<String> {
    match case.rule {
        Rule::EventTime => with_trigger(case, assigner, EventTime, script),
        Rule::Count(n) => with_trigger(case, assigner, Count(n), script),
        Rule::Continuous(every) => with_trigger(case, assigner, Continuous(Span(every)), script),
    }
}

fn with_trigger<A, R>(case: Case, assigner: A, trigger: R, script: &[Element<Event>]) -> Vec<String>
where
    A: Assigner<Event>,
    R: Trigger<Event>,
{
    fn check<A, R>(windows: Windows<A, R, AnyEvictor>, script: &[Element<Event>]) -> Vec<String>
    where
        A: Assigner<Event>,
        R: Trigger<Event>,
    {
        check_rescaling(|| windows.clone(), |event| stable_hash(&key_of(event)), script);
        print(check_operator(|| windows.clone(), script, Order::Exact))
    }
    let (evictor, lateness) = (AnyEvictor::of(case.eviction), Span(case.lateness));
    if case.purging {
        let trigger = Purging(trigger);
        check(windows(assigner, trigger, evictor).allowed_lateness(lateness), script)
    } else {
        check(windows(assigner, trigger, evictor).allowed_lateness(lateness), script)
    }
}

/// The evictor of a case as one type.
#[derive(Clone)]
enum AnyEvictor {
    None,
    Count(CountEvictor),
    Time(TimeEvictor),
    Delta(DeltaEvictor<i64, fn(&Event, &Event) -> i64>),
}

impl AnyEvictor {
    fn of(eviction: Eviction) -> Self {
        match eviction {
            Eviction::None => Self::None,
            Eviction::Count(keep, side) => Self::Count(CountEvictor::new(keep, side)),
            Eviction::Time(span, side) => Self::Time(TimeEvictor::new(Span(span), side)),
            Eviction::Delta(threshold, side) => {
                Self::Delta(DeltaEvictor::new(threshold, below, side))
            }
        }
    }
}

impl Evictor<Event> for AnyEvictor {
    fn before(&mut self, records: &mut Vec<Stamped<Event>>, window: Window) {
        match self {
            Self::None => {}
            Self::Count(evictor) => evictor.before(records, window),
            Self::Time(evictor) => evictor.before(records, window),
            Self::Delta(evictor) => evictor.before(records, window),
        }
    }

    fn after(&mut self, records: &mut Vec<Stamped<Event>>, window: Window) {
        match self {
            Self::None => {}
            Self::Count(evictor) => evictor.after(records, window),
            Self::Time(evictor) => evictor.after(records, window),
            Self::Delta(evictor) => evictor.after(records, window),
        }
    }

    fn name(&self) -> String {
        String::new()
    }
}

fn case() -> impl Strategy<Value = Case> {
    let shape = prop_oneof![
        (1i64..20).prop_map(Shape::Tumbling),
        (1i64..20, 1i64..20).prop_map(|(size, slide)| Shape::Sliding(size, slide)),
        (1i64..12).prop_map(Shape::Session),
        Just(Shape::Dynamic),
        Just(Shape::Global),
    ];
    let rule = prop_oneof![
        2 => Just(Rule::EventTime),
        1 => (1u64..4).prop_map(Rule::Count),
        1 => (1i64..9).prop_map(Rule::Continuous),
    ];
    let lateness = prop_oneof![Just(0i64), 0i64..20];
    (shape, rule, any::<bool>(), lateness)
        .prop_map(|(shape, rule, purging, lateness)| Case {
            shape,
            rule,
            purging,
            eviction: Eviction::None,
            lateness,
        })
        // Flink's continuous trigger carries marks of merged sessions on in a way of its own: that
        // is what the conformance scripts are for. In a global window it has no last mark.
        .prop_filter("continuous sessions have no simple model", |case| {
            let has_end = matches!(case.shape, Shape::Tumbling(_) | Shape::Sliding(..));
            has_end || !matches!(case.rule, Rule::Continuous(_))
        })
}

fn evicting_case() -> impl Strategy<Value = Case> {
    let side = prop_oneof![Just(Evict::Before), Just(Evict::After)];
    let eviction = (0i64..12, side, 0..3).prop_map(|(bound, side, which)| match which {
        0 => Eviction::Count(bound as usize / 2, side),
        1 => Eviction::Time(bound, side),
        _ => Eviction::Delta(bound, side),
    });
    (case(), eviction).prop_map(|(case, eviction)| Case { eviction, ..case })
}

/// Records around a rising watermark: early, in time, late and far too late.
pub(super) fn script(records_max: usize) -> impl Strategy<Value = Vec<Element<Event>>> {
    let step = prop_oneof![
        4 => (0u8..3, -25i64..25).prop_map(|(key, ahead)| (0, Some((key, ahead)))),
        1 => (1i64..25).prop_map(|rise| (rise, None)),
    ];
    prop::collection::vec(step, 0..records_max).prop_map(|steps| {
        let mut watermark = -20;
        let mut script = Vec::new();
        for (rise, record) in steps {
            watermark += rise;
            script.push(match record {
                Some((key, ahead)) => {
                    let event = (key, script.len() as i64);
                    Element::Record(Stamped::new(Timestamp(watermark + ahead), event))
                }
                None => w(watermark),
            });
        }
        script.push(w(i64::MAX));
        script
    })
}

proptest! {
    // Long scripts: each is run with a restore after each of its elements, too.
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Where the watermark lags by many gaps a key has many sessions open, which come, grow, merge
    /// and go in any order.
    // SEMANTICS 39
    #[test]
    fn sessions_agree_with_a_model_where_the_watermark_lags(
        records in prop::collection::vec((0u8..2, 0i64..200, prop::bool::weighted(0.05)), 0..150),
        gap in 1i64..4,
        lateness in prop_oneof![Just(0i64), 0i64..50],
    ) {
        let mut script = Vec::new();
        let mut watermark = -1;
        for (id, (key, at, rises)) in (0i64..).zip(records) {
            script.push(Element::Record(Stamped::new(Timestamp(at), (key, id))));
            if rises {
                watermark += at / 4;
                script.push(w(watermark));
            }
        }
        script.push(w(i64::MAX));
        let (shape, eviction) = (Shape::Session(gap), Eviction::None);
        let case = Case { shape, rule: Rule::EventTime, purging: false, eviction, lateness };
        prop_assert_eq!(in_order(run_case(case, &script)), in_order(Model::run(case, &script)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn windows_agree_with_a_model(case in case(), script in script(50)) {
        prop_assert_eq!(in_order(run_case(case, &script)), in_order(Model::run(case, &script)));
    }

    // SEMANTICS 33, 36-38
    #[test]
    fn evictors_agree_with_a_model(case in evicting_case(), script in script(50)) {
        prop_assert_eq!(in_order(run_case(case, &script)), in_order(Model::run(case, &script)));
    }

    /// With nothing late, sessions are what one gets by sorting records by time and cutting at the
    /// gaps, whatever order they came in.
    // SEMANTICS 39
    #[test]
    fn sessions_do_not_depend_on_the_order_of_arrival(
        times in prop::collection::vec((0u8..3, -100i64..100), 0..60),
        gap in 1i64..20,
    ) {
        let mut script: Vec<_> = times
            .iter()
            .map(|&(key, at)| Element::Record(Stamped::new(Timestamp(at), (key, at))))
            .collect();
        script.push(w(i64::MAX));
        let mut sorted = times.clone();
        sorted.sort_unstable();
        let cut = |a: &(u8, i64), b: &(u8, i64)| a.0 == b.0 && b.1 - a.1 <= gap;
        let mut expected: Vec<Shown> = sorted
            .chunk_by(cut)
            .map(|run| {
                let end = run[run.len() - 1].1 + gap;
                (run[0].0, run[0].1, end, run.iter().map(|record| record.1).collect())
            })
            .collect();
        let mut harness = Harness::new(windows(session(gap), EventTime, NoEvictor)).unwrap();
        script.into_iter().for_each(|element| harness.element(element));
        let mut got: Vec<Shown> = harness
            .take_results()
            .into_iter()
            .map(|fired| match fired {
                Fired::Result(shown) => shown,
                Fired::Late(event) => panic!("{event:?} is not late"),
            })
            .collect();
        expected.sort();
        got.sort();
        prop_assert_eq!(got, expected);
    }

    /// Accumulators come to the same as lists.
    #[test]
    fn an_accumulator_agrees_with_a_list(
        script in script(50),
        gap in 1i64..12,
        lateness in 0i64..20,
    ) {
        let listed = windows(session(gap), EventTime, NoEvictor).allowed_lateness(Span(lateness));
        let summed = GeneralWindows::sessions(key_of, session(gap), Sum)
            .allowed_lateness(Span(lateness))
            .late_records(LateRecords::Emit);
        let listed = check_operator(|| listed.clone(), &script, Order::Exact);
        let summed = check_operator(|| summed.clone(), &script, Order::Exact);
        prop_assert_eq!(listed.len(), summed.len());
        for (list, sum) in listed.into_iter().zip(summed) {
            let list = match list {
                Element::Control(control) => Element::Control(control),
                Element::Record(Stamped { at, value }) => {
                    Element::Record(Stamped::new(at, match value {
                        Fired::Late(event) => Fired::Late(event),
                        Fired::Result((key, start, end, values)) => Fired::Result(WindowResult {
                            key,
                            window: Window { start: Timestamp(start), end: Timestamp(end) },
                            value: values.iter().sum(),
                        }),
                    }))
                }
            };
            prop_assert_eq!(list, sum);
        }
    }
}

#[derive(Clone)]
pub(super) struct Sum;

impl Aggregator<Event> for Sum {
    type Accumulator = i64;
    type Output = i64;

    fn create(&self) -> i64 {
        0
    }

    fn add(&self, sum: &mut i64, event: &Event) {
        *sum += event.1;
    }

    fn merge(&self, sum: &mut i64, other: &i64) {
        *sum += other;
    }

    fn finish(&self, sum: &i64) -> i64 {
        *sum
    }

    fn name(&self) -> String {
        "sum".to_owned()
    }
}
