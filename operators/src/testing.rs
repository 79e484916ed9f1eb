//! The operator harness: drives any operator by hand, and finds results that hang on chance.
//!
//! [`Harness`] is for tests of what an operator does, [`TwoInputHarness`] for one with two inputs,
//! and [`KeyedHarness`] for a keyed one on several cores. [`check_operator`] is for what it must
//! not do: its results may not change when it is snapshotted and restored after each element, when
//! its output has no room every other time that it asks, when records come in batches, or when it
//! fails and goes on from a checkpoint that was drained while records came. [`check_rescaling`] is
//! for keyed operators: they must go on with another number of cores.
//!
//! ```
//! use tailwater_core::{Control, Element, Stamped, Timestamp};
//! use tailwater_operators::stateless::Map;
//! use tailwater_operators::testing::{Order, check_operator};
//!
//! let script = [
//!     Element::Record(Stamped::new(Timestamp(7), 20)),
//!     Element::Control(Control::Watermark(Timestamp(7))),
//! ];
//! let output = check_operator(|| Map::new(|n: i64| n + 1), &script, Order::Exact);
//! assert_eq!(output.len(), 2);
//! ```

mod keyed;
mod recovery;
mod two_input;

use std::borrow::Borrow;
use std::cell::Cell;
use std::fmt::Debug;
use std::sync::Arc;

use tailwater_core::{Control, Element, Error, Result, Stamped, Timestamp};
use tailwater_state::{
    Chunk, Drain, MemorySnapshot, SnapshotKind, SnapshotParts, SnapshotReader, SnapshotWriter,
};

use crate::{Backlog, Collect, Operator, OperatorContext};

pub use keyed::KeyedHarness;
pub use recovery::check_rescaling;
pub use two_input::TwoInputHarness;

/// How an output answers operators that ask whether they may go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Room {
    /// There is always room.
    #[default]
    Always,
    /// There is none at the first call, the third, and so on.
    EveryOther,
}

/// Whether outputs must agree in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Element by element.
    Exact,
    /// Records between two control elements in any order, as where timers have the same time
    /// (SEMANTICS 44).
    AnyBetweenControls,
}

/// An output that keeps everything.
struct Output<T> {
    elements: Vec<Element<T>>,
    error: Option<Error>,
    room: Room,
    refused_last: Cell<bool>,
}

impl<T> Output<T> {
    /// Keeps an element; nothing counts that comes after the error that ends the job.
    fn push(&mut self, element: Element<T>) {
        if self.error.is_none() {
            self.elements.push(element);
        }
    }
}

impl<T> Collect<T> for Output<T> {
    fn record(&mut self, at: Timestamp, value: T) {
        self.push(Element::Record(Stamped::new(at, value)));
    }

    fn watermark(&mut self, watermark: Timestamp) {
        self.push(Element::Control(Control::Watermark(watermark)));
    }

    fn has_room(&self) -> bool {
        let refuse = self.room == Room::EveryOther && !self.refused_last.get();
        self.refused_last.set(refuse);
        !refuse
    }

    fn fail(&mut self, error: Error) {
        self.error.get_or_insert(error);
    }
}

/// How often an operator may be resumed without emitting. Timers that emit nothing are work too, so
/// this is far more than any script has of them; it ends the test of an operator that hangs.
const FRUITLESS_RESUMES_MAX: u32 = 1 << 20;

/// Drives one operator by hand, as a task would: pushes what comes in, keeps what goes out, and
/// brings it through failures. Time passes only where it is told.
///
/// ```
/// use tailwater_core::{Span, Timestamp};
/// use tailwater_operators::rolling::reduce;
/// use tailwater_operators::testing::Harness;
///
/// let sum = || reduce(|(key, _): &(u8, i64)| *key, |so_far: &(u8, i64), next: (u8, i64)| {
///     (so_far.0, so_far.1 + next.1)
/// });
/// let mut harness = Harness::new(sum())?;
/// harness.record(Timestamp(1), (b'a', 10));
/// harness.record(Timestamp(2), (b'a', 5));
/// // A failure, and recovery from a snapshot.
/// harness.replace(sum())?;
/// harness.record(Timestamp(3), (b'a', 1));
/// assert_eq!(harness.take_results(), [(b'a', 10), (b'a', 15), (b'a', 16)]);
/// # Ok::<(), tailwater_core::Error>(())
/// ```
pub struct Harness<O: Operator> {
    operator: O,
    context: OperatorContext,
    output: Output<O::Out>,
    /// All snapshots that were taken, chained as checkpoints are.
    snapshots: MemorySnapshot,
    /// Whether pending work that need not be finished is left for [`go_on`](Harness::go_on).
    in_pieces: bool,
    /// The clock as it was told last.
    now: Timestamp,
}

impl<O: Operator> Harness<O> {
    /// Opens the operator on a core of its own.
    ///
    /// # Errors
    /// When the operator cannot run as configured.
    pub fn new(operator: O) -> Result<Self> {
        Self::with_room(operator, Room::Always)
    }

    /// The same with an output that may refuse.
    ///
    /// # Errors
    /// When the operator cannot run as configured.
    pub fn with_room(operator: O, room: Room) -> Result<Self> {
        Self::on_core(operator, OperatorContext::single_core(), room)
    }

    fn on_core(mut operator: O, context: OperatorContext, room: Room) -> Result<Self> {
        operator.open(&context)?;
        let output =
            Output { elements: Vec::new(), error: None, room, refused_last: Cell::new(false) };
        let snapshots = MemorySnapshot::new(1);
        let now = Timestamp::MIN;
        Ok(Self { operator, context, output, snapshots, in_pieces: false, now })
    }

    /// Pushes one record.
    pub fn record(&mut self, at: Timestamp, value: O::In) {
        if self.output.error.is_none() {
            self.operator.on_record(at, value, &mut self.output);
            self.finish_pending();
        }
    }

    /// Pushes records in one batch; an operator must empty it.
    pub fn batch(&mut self, records: impl IntoIterator<Item = Stamped<O::In>>) {
        if self.output.error.is_none() {
            let mut batch: Vec<_> = records.into_iter().collect();
            self.operator.on_batch(&mut batch, &mut self.output);
            assert!(batch.is_empty(), "the operator left {} records in its batch", batch.len());
            self.finish_pending();
        }
    }

    /// Raises the watermark and lets the operator finish its work for it.
    pub fn watermark(&mut self, watermark: Timestamp) {
        if self.output.error.is_none() {
            self.operator.on_watermark(watermark, &mut self.output);
            self.finish_pending();
        }
    }

    /// Says that the input will be silent for a while; idleness passes by the operator.
    pub fn idle(&mut self) {
        self.element(Element::Control(Control::Idle));
    }

    /// Takes back that the input is idle.
    pub fn active(&mut self) {
        self.element(Element::Control(Control::Active));
    }

    /// Tells the operator the wall clock's time, as a task does once a round: processing time. An
    /// operator with more to do than fits a round wants to hear it again; one that waits for the
    /// world outside sees what has come of it.
    pub fn clock(&mut self, now: Timestamp) {
        self.now = now;
        if self.output.error.is_none() && self.operator.wants_clock() {
            self.go_on_with_backlog();
            self.operator.on_clock(now, &mut self.output);
            self.finish_pending();
        }
    }

    fn go_on_with_backlog(&mut self) -> bool {
        let worked = self.operator.backlog() > Backlog::Empty
            && self.operator.go_on(self.now, &mut self.output);
        self.finish_pending();
        worked
    }

    /// Nothing that is held back is left at the end.
    fn finish_backlog(&mut self) {
        let mut fruitless = 0;
        while self.operator.backlog() > Backlog::Empty && self.output.error.is_none() {
            fruitless = if self.go_on_with_backlog() { 0 } else { fruitless + 1 };
            assert!(
                fruitless <= FRUITLESS_RESUMES_MAX,
                "the operator waits for something at the end of its input: let it happen, or move \
                 the clock, before the end"
            );
        }
    }

    /// Ends the input: the last watermark, then the end.
    pub fn end(&mut self) {
        self.watermark(Timestamp::MAX);
        self.element(Element::Control(Control::End));
    }

    /// Pushes an element of a script. An end is the operator's end without the watermark before it;
    /// other control elements pass by the operator, as they do in a task.
    pub fn element(&mut self, element: Element<O::In>) {
        match element {
            Element::Record(Stamped { at, value }) => self.record(at, value),
            Element::Control(Control::Watermark(watermark)) => self.watermark(watermark),
            Element::Control(control) => {
                if self.output.error.is_some() {
                    return;
                }
                if control == Control::End {
                    self.finish_backlog();
                    self.operator.on_end(&mut self.output);
                    self.finish_pending();
                }
                self.output.elements.push(Element::Control(control));
            }
        }
    }

    /// Takes a snapshot, throws the operator away and restores `fresh` from it: a failure and
    /// recovery between two elements. Counts go on.
    ///
    /// # Errors
    /// When the snapshot cannot be taken, or `fresh` cannot be opened or restored.
    pub fn replace(&mut self, fresh: O) -> Result<()> {
        let source = Arc::new(self.snapshot()?.clone());
        self.restore(fresh, source)
    }

    /// Throws the operator away and restores `fresh` from what a snapshot has for its core.
    fn restore(&mut self, mut fresh: O, source: Arc<MemorySnapshot>) -> Result<()> {
        fresh.open(&self.context)?;
        let OperatorContext { core, cores, key_groups, .. } = self.context;
        let groups = key_groups.range(core, cores);
        let mut reader = SnapshotReader::new(source, "", (core, cores), groups);
        fresh.restore(&mut reader)?;
        let findings = reader.findings();
        assert!(findings.missing.is_empty(), "not in the snapshot: {:?}", findings.missing);
        assert!(findings.changed.is_empty(), "{:?}", findings.changed);
        self.operator = fresh;
        Ok(())
    }

    /// Takes a barrier as a task does, and drains what changed since the last one.
    ///
    /// # Errors
    /// When the snapshot cannot be taken.
    pub fn snapshot(&mut self) -> Result<&MemorySnapshot> {
        let parts = self.cut(SnapshotKind::Incremental)?;
        let chunks = drain_all(&mut self.operator)?;
        self.snapshots.begin();
        self.snapshots.add("", 0, parts, chunks);
        Ok(&self.snapshots)
    }

    /// The barrier's part of a snapshot.
    fn cut(&mut self, kind: SnapshotKind) -> Result<SnapshotParts> {
        loop {
            self.operator.before_barrier(&mut self.output);
            if !self.operator.must_finish() {
                break;
            }
            self.finish_pending();
        }
        let mut writer = SnapshotWriter::new(kind, "");
        self.operator.snapshot(&mut writer)?;
        Ok(writer.into_parts())
    }

    /// What came out since the last call.
    pub fn take_output(&mut self) -> Vec<Element<O::Out>> {
        std::mem::take(&mut self.output.elements)
    }

    /// The records that came out since the last call, without their times; the rest of the output
    /// is dropped.
    pub fn take_results(&mut self) -> Vec<O::Out> {
        results(self.take_output())
    }

    /// The error that the operator ended the job with, if it did. It is given nothing more after
    /// one.
    pub fn error(&self) -> Option<&Error> {
        self.output.error.as_ref()
    }

    /// The sum of the counts under `name`, over all restores.
    pub fn count(&self, name: &str) -> u64 {
        self.context.counters.get(name)
    }

    /// The operator itself.
    pub fn operator(&self) -> &O {
        &self.operator
    }

    /// Does a piece of what is left of pending work; whether there was something.
    fn go_on(&mut self) -> bool {
        let is_pending = self.operator.is_pending() && self.output.error.is_none();
        if is_pending {
            self.operator.resume(&mut self.output);
            self.finish_pending();
        }
        is_pending
    }

    fn finish_pending(&mut self) {
        let mut fruitless = 0;
        while self.operator.is_pending() && self.output.error.is_none() {
            if self.in_pieces && !self.operator.must_finish() {
                return;
            }
            let before = self.output.elements.len();
            self.operator.resume(&mut self.output);
            fruitless = if self.output.elements.len() > before { 0 } else { fruitless + 1 };
            assert!(
                fruitless <= FRUITLESS_RESUMES_MAX,
                "the operator stays pending, though it has room, and emits nothing"
            );
        }
    }
}

/// The records of an output, without their times.
fn results<T>(elements: Vec<Element<T>>) -> Vec<T> {
    let record = |element| match element {
        Element::Record(record) => Some(record),
        Element::Control(_) => None,
    };
    elements.into_iter().filter_map(record).map(|Stamped { value, .. }| value).collect()
}

/// What `from` remembers, in `to`: a barrier, a drain and a restore, with no job around them.
///
/// # Errors
/// When the snapshot cannot be taken or read.
pub fn carry_over<O: Operator>(from: &mut O, to: &mut O) -> Result<()> {
    let mut snapshots = MemorySnapshot::new(1);
    let mut writer = SnapshotWriter::new(SnapshotKind::Full, "");
    from.snapshot(&mut writer)?;
    snapshots.add("", 0, writer.into_parts(), drain_all(from)?);
    let groups = 0..OperatorContext::single_core().key_groups.count();
    to.restore(&mut SnapshotReader::new(Arc::new(snapshots), "", (0, 1), groups))
}

/// All that is left of the last snapshot's tracked states.
fn drain_all<O: Operator>(operator: &mut O) -> Result<Vec<Chunk>> {
    let mut drain = Drain::new();
    let mut chunks = Vec::new();
    loop {
        drain.allow(usize::MAX);
        let done = operator.drain(&mut drain)?;
        chunks.extend(drain.take());
        if done {
            return Ok(chunks);
        }
    }
}

/// After which elements of a script a run restores.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Restores {
    Never,
    AfterEach,
    /// After the element at this position only.
    After(usize),
    /// After each element and before each piece of pending work.
    BetweenPieces,
}

/// What a run came to, for comparing.
struct Outcome<T> {
    elements: Vec<Element<T>>,
    error: Option<String>,
    /// Absent where a run counted things twice.
    counts: Option<Vec<(String, u64)>>,
}

impl<T> Outcome<T> {
    fn of<O: Operator<Out = T>>(mut harness: Harness<O>) -> Self {
        Self {
            elements: harness.take_output(),
            error: harness.error().map(Error::to_string),
            counts: Some(harness.context.counters.all()),
        }
    }
}

/// Runs a script and returns its output, after running it in more ways that must come to the same:
/// with a snapshot restored into a fresh operator after each element, with an output that refuses
/// every other call, with both, also between pieces of pending work, with successive records in one
/// batch, and with failures after checkpoints that are drained while more elements come. Counts and
/// a failure's message must agree too.
///
/// # Panics
/// When an operator cannot be opened, snapshotted or restored, or when a run differs: the message
/// says which and where.
pub fn check_operator<O>(
    make: impl Fn() -> O,
    script: &[Element<O::In>],
    order: Order,
) -> Vec<Element<O::Out>>
where
    O: Operator<In: Clone, Out: Debug + PartialEq>,
{
    let plain = run(&make, script, Room::Always, Restores::Never);
    for (way, room, restores) in [
        ("with a snapshot and restore after each element", Room::Always, Restores::AfterEach),
        ("with an output that refuses every other call", Room::EveryOther, Restores::Never),
        ("with restores and refusals", Room::EveryOther, Restores::AfterEach),
        ("with restores amid pending work", Room::EveryOther, Restores::BetweenPieces),
    ] {
        assert_same(&plain, run(&make, script, room, restores), order, way);
    }
    assert_same(&plain, run_in_batches(&make, script), order, "with records in batches");
    for (every, entries) in [(2, 1), (5, 2)] {
        let way =
            format!("with failures, checkpoints every {every} elements, drained by {entries}");
        assert_same(&plain, recovery::run(&make, script, every, entries), order, &way);
    }
    plain.elements
}

/// As [`check_operator`], with one restore a run, at each position of the script in turn: finds
/// state that a second restore would put right again. Takes time in the square of the script's
/// length.
///
/// # Panics
/// As [`check_operator`].
pub fn check_each_restore<O>(make: impl Fn() -> O, script: &[Element<O::In>], order: Order)
where
    O: Operator<In: Clone, Out: Debug + PartialEq>,
{
    let plain = run(&make, script, Room::Always, Restores::Never);
    for position in 0..script.len() {
        let restored = run(&make, script, Room::Always, Restores::After(position));
        let way = format!("with a snapshot and restore after element {position}");
        assert_same(&plain, restored, order, &way);
    }
}

fn run<O: Operator<In: Clone>>(
    make: &impl Fn() -> O,
    script: &[Element<O::In>],
    room: Room,
    restores: Restores,
) -> Outcome<O::Out> {
    let mut harness =
        Harness::with_room(make(), room).unwrap_or_else(|error| panic!("cannot open: {error}"));
    harness.in_pieces = restores == Restores::BetweenPieces;
    for (index, element) in script.iter().enumerate() {
        harness.element(element.clone());
        let restores = match restores {
            Restores::Never => false,
            Restores::AfterEach | Restores::BetweenPieces => true,
            Restores::After(position) => position == index,
        };
        if !restores {
            continue;
        }
        loop {
            harness
                .replace(make())
                .unwrap_or_else(|error| panic!("cannot restore after element {index}: {error}"));
            if !harness.go_on() {
                break;
            }
        }
    }
    Outcome::of(harness)
}

/// All records up to a control element make one batch.
fn run_in_batches<O: Operator<In: Clone>>(
    make: &impl Fn() -> O,
    script: &[Element<O::In>],
) -> Outcome<O::Out> {
    let mut harness = Harness::new(make()).unwrap_or_else(|error| panic!("cannot open: {error}"));
    let mut batch = Vec::new();
    for element in script {
        match element {
            Element::Record(record) => batch.push(record.clone()),
            Element::Control(control) => {
                harness.batch(batch.drain(..));
                harness.element(Element::Control(*control));
            }
        }
    }
    harness.batch(batch);
    Outcome::of(harness)
}

fn assert_same<T: Debug + PartialEq>(
    plain: &Outcome<T>,
    mut other: Outcome<T>,
    order: Order,
    way: &str,
) {
    assert_eq!(plain.error, other.error, "the operator fails differently {way}");
    // After a failure nobody reads the counts, and the rest of a batch may have gone into them.
    if plain.error.is_none() && other.counts.is_some() {
        assert_eq!(plain.counts, other.counts, "the operator counts differently {way}");
    }
    let mut expected: Vec<&Element<T>> = plain.elements.iter().collect();
    drop_repeated(&mut expected);
    drop_repeated(&mut other.elements);
    if order == Order::AnyBetweenControls {
        sort_between_controls(&mut expected);
        sort_between_controls(&mut other.elements);
    }
    for (position, (expected, got)) in expected.iter().zip(&other.elements).enumerate() {
        assert!(
            *expected == got,
            "output element {position} differs {way}:\n   plainly: {expected:?}\n  \
             this way: {got:?}"
        );
    }
    assert_eq!(expected.len(), other.elements.len(), "the output's length differs {way}");
}

/// Drops watermarks that say nothing new, as tasks do (SEMANTICS 11): restored operators may say
/// again how far they are.
fn drop_repeated<T, E: Borrow<Element<T>>>(elements: &mut Vec<E>) {
    let mut last = Timestamp::MIN;
    elements.retain(|element| match element.borrow() {
        Element::Control(Control::Watermark(at)) => {
            let is_news = *at > last;
            last = last.max(*at);
            is_news
        }
        _ => true,
    });
}

/// Sorts each run of records by how they print: records need no order of their own for it.
fn sort_between_controls<T: Debug, E: Borrow<Element<T>>>(elements: &mut [E]) {
    let is_record = |element: &E| matches!(element.borrow(), Element::Record(_));
    for run in elements.chunk_by_mut(|a, b| is_record(a) && is_record(b)) {
        run.sort_by_cached_key(|element| format!("{:?}", element.borrow()));
    }
}

#[cfg(test)]
mod tests;
