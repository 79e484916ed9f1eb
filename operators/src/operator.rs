//! The two traits that every chain is made of: an operator, and where its output goes.

use tailwater_core::{Counters, Error, Key, KeyGroups, Result, Stamped, Timestamp};
use tailwater_state::{Budget, Drain, SnapshotReader, SnapshotWriter, StateContext};

use crate::Waker;

/// One step of a chain. Each core has its own instance; the engine calls it from one thread only.
///
/// The life of an instance: `open`, perhaps `restore`, then records, watermarks and barriers in any
/// order, the watermark [`Timestamp::MAX`] at the end of the input, and `on_end`. At a barrier
/// `before_barrier` and `snapshot` are called, and `drain` in the rounds that follow, records in
/// between, until it says that it is done.
pub trait Operator: Send + 'static {
    /// What comes in.
    type In;
    /// What goes out.
    type Out;

    /// Whether it emits because of records and watermarks only, never at a barrier or by the clock.
    /// Pending work of the operator behind it need not be done at those then.
    const QUIET: bool = false;

    /// Called once, before anything else, on the core that the instance will run on.
    ///
    /// # Errors
    /// When the operator cannot run as configured.
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        let _ = context;
        Ok(())
    }

    /// One record.
    fn on_record(&mut self, at: Timestamp, value: Self::In, out: &mut impl Collect<Self::Out>);

    /// A batch of records in order; empties it. Keyed operators override this to look many keys up
    /// at once.
    #[inline]
    fn on_batch(&mut self, batch: &mut Vec<Stamped<Self::In>>, out: &mut impl Collect<Self::Out>) {
        for Stamped { at, value } in batch.drain(..) {
            self.on_record(at, value, out);
        }
    }

    /// In batch mode, before anything is sorted: a batch of records in any order. An operator for
    /// which the order makes no difference takes them out of it, as long as what it keeps of all
    /// keys fits into [`unsorted_memory`](OperatorContext::unsorted_memory). What it leaves in the
    /// batch is sorted: it may put records there that stand for all that it has taken so far. At
    /// the end of the input comes an empty batch; an operator that has taken records of a key of
    /// which others are sorted must put back what stands for them. Does not emit.
    #[inline]
    fn on_unsorted(
        &mut self,
        batch: &mut Vec<Stamped<Self::In>>,
        out: &mut impl Collect<Self::Out>,
    ) {
        let _ = (batch, out);
    }

    /// In batch mode: a batch of records of one key, by time; empties it. Behind the last batch of
    /// a key comes [`on_key_end`](Operator::on_key_end). Two keys of one hash, which does not
    /// happen to fewer than billions of keys, come as one (SEMANTICS 88).
    #[inline]
    fn on_sorted(&mut self, batch: &mut Vec<Stamped<Self::In>>, out: &mut impl Collect<Self::Out>) {
        self.on_batch(batch, out);
    }

    /// The watermark has risen to `watermark`. An operator finishes all its work for it, then hands
    /// it on with [`Collect::watermark`] (SEMANTICS 20). One whose work would overfill `out` stops,
    /// says so in [`is_pending`](Operator::is_pending), and goes on in
    /// [`resume`](Operator::resume).
    #[inline]
    fn on_watermark(&mut self, watermark: Timestamp, out: &mut impl Collect<Self::Out>) {
        out.watermark(watermark);
    }

    /// Whether work for the last watermark is left. Nothing else is called until it is done.
    #[inline]
    fn is_pending(&self) -> bool {
        false
    }

    /// Whether the pending work must be done before a barrier, and before the clock is told. One
    /// that has much of it, such as timers, and can go on with the rest after a restore, says that
    /// it need not.
    #[inline]
    fn must_finish(&self) -> bool {
        self.is_pending()
    }

    /// Goes on with pending work for as long as `out` has room.
    #[inline]
    fn resume(&mut self, out: &mut impl Collect<Self::Out>) {
        let _ = out;
    }

    /// In batch mode: the key whose records came last has no more. An operator that keeps something
    /// of each key does what the end of time asks for, as the watermark [`Timestamp::MAX`] would,
    /// but hands no watermark on, and is then as if none had come (SEMANTICS 88, 89). It may leave
    /// work pending, which is done before the next key. One that does not override this keeps what
    /// it has of all keys until the end of the input.
    #[inline]
    fn on_key_end(&mut self, out: &mut impl Collect<Self::Out>) {
        let _ = out;
    }

    /// The input has ended; the watermark [`Timestamp::MAX`] came before, and nothing is held back
    /// any more. Emits what is left.
    fn on_end(&mut self, out: &mut impl Collect<Self::Out>) {
        let _ = out;
    }

    /// Time has passed: `now` is the wall clock's, once a round, for operators that
    /// [want it](Operator::wants_clock). A bounded piece of work; what is left waits for the next
    /// round.
    #[inline]
    fn on_clock(&mut self, now: Timestamp, out: &mut impl Collect<Self::Out>) {
        let _ = (now, out);
    }

    /// Whether [`on_clock`](Operator::on_clock) is to be called. Asked once, after `open`.
    fn wants_clock(&self) -> bool {
        false
    }

    /// Whether it holds work back that waits for the world outside. A task asks in each step; where
    /// the answer is always the same, the compiler leaves the question out.
    #[inline(always)]
    fn backlog(&self) -> Backlog {
        Backlog::Empty
    }

    /// Goes on with what is held back, once a round, at `now` of the wall clock; whether there was
    /// something to do. Called where the [backlog](Operator::backlog) is not empty, between any two
    /// other calls, also while the operator before is in the middle of its work. A bounded piece of
    /// work, for as long as `out` has room. The operator must
    /// [want the clock](Operator::wants_clock).
    #[inline]
    fn go_on(&mut self, now: Timestamp, out: &mut impl Collect<Self::Out>) -> bool {
        let _ = (now, out);
        false
    }

    /// A barrier has come; the snapshot is taken next. An operator that may emit what it remembers
    /// instead of storing it does so here. May leave work pending; it is then called again when
    /// that is done, until it leaves none.
    #[inline]
    fn before_barrier(&mut self, out: &mut impl Collect<Self::Out>) {
        let _ = out;
    }

    /// Writes what the operator remembers: values whole, tracked states by cutting them here.
    /// Nothing that [must be finished](Operator::must_finish) is pending when it is called, and the
    /// snapshot before is drained.
    ///
    /// # Errors
    /// When a value cannot be archived.
    fn snapshot(&mut self, into: &mut SnapshotWriter) -> Result<()> {
        let _ = into;
        Ok(())
    }

    /// Hands on entries of the tracked states that the last snapshot cut, as many as `into` allows.
    /// `true` when nothing is left.
    ///
    /// # Errors
    /// When an entry cannot be archived.
    #[inline]
    fn drain(&mut self, into: &mut Drain) -> Result<bool> {
        let _ = into;
        Ok(true)
    }

    /// Reads back what [`snapshot`](Operator::snapshot) wrote; called after `open` and before any
    /// record.
    ///
    /// # Errors
    /// When the bytes are not what this operator wrote.
    fn restore(&mut self, from: &mut SnapshotReader) -> Result<()> {
        let _ = from;
        Ok(())
    }

    /// Appends a line for each operator inside, for `explain`.
    fn describe(&self, into: &mut Vec<Description>);
}

/// Where an operator's output goes: the next operator of the chain, or the end of the task.
pub trait Collect<T> {
    /// Takes one record.
    fn record(&mut self, at: Timestamp, value: T);

    /// Takes a batch of records in order; empties it.
    #[inline]
    fn batch(&mut self, batch: &mut Vec<Stamped<T>>) {
        for Stamped { at, value } in batch.drain(..) {
            self.record(at, value);
        }
    }

    /// Offers records in any order, in batch mode, to an operator: see
    /// [`Operator::on_unsorted`].
    #[inline]
    fn unsorted(&mut self, batch: &mut Vec<Stamped<T>>) {
        let _ = batch;
    }

    /// Takes records that are sorted, in batch mode: see [`Operator::on_sorted`].
    #[inline]
    fn sorted(&mut self, batch: &mut Vec<Stamped<T>>) {
        self.batch(batch);
    }

    /// Takes a watermark, after all the records that were emitted because of it.
    fn watermark(&mut self, watermark: Timestamp);

    /// What is emitted next comes from event time having reached `at` for `key`, and not from the
    /// record that was taken last. Keyed operators say so before each firing; only a deterministic
    /// merge wants to know.
    #[inline(always)]
    fn fires<K: Key>(&mut self, at: Timestamp, key: &K) {
        let _ = (at, key);
    }

    /// What is emitted next has times of another scale than the record that it comes from, and
    /// those up to `passed` have passed. Only a deterministic merge wants to know.
    #[inline(always)]
    fn retimes(&mut self, passed: Timestamp) {
        let _ = passed;
    }

    /// Whether an operator that has much to emit may go on. Output is never refused: a single
    /// record's results always fit.
    fn has_room(&self) -> bool;

    /// Ends the job with an error of user code.
    fn fail(&mut self, error: Error);
}

/// How much an operator holds back that waits for the world outside. It goes into snapshots: a
/// barrier does not wait for it. The end of the input does, and so does a change to idleness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Backlog {
    /// Nothing.
    Empty,
    /// Something; more input may come.
    Open,
    /// So much that no more input is to come.
    Full,
}

/// What an instance is told when it is opened.
#[derive(Clone, Debug)]
pub struct OperatorContext {
    /// Which core this is, from zero.
    pub core: u32,
    /// How many cores run the job.
    pub cores: u32,
    /// How keys fall into key groups; the core owns `key_groups.range(core, cores)`.
    pub key_groups: KeyGroups,
    /// Where named counts are registered.
    pub counters: Counters,
    /// What the tables of the core share.
    pub state: StateContext,
    /// How the job is run: [`RuntimeMode::Streaming`] or [`RuntimeMode::Batch`].
    pub mode: RuntimeMode,
    /// Wakes the core when the world outside has something for an operator.
    pub waker: Waker,
    /// Whether records come in an order that does not depend on the number of cores: then nothing
    /// that an operator does may either.
    pub deterministic: bool,
    /// In batch mode, the bytes that an operator may take for what it keeps of records that are not
    /// sorted.
    pub unsorted_memory: u64,
}

/// How a job is run: as an endless stream, or as work on input that ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RuntimeMode {
    /// Results come as the watermark allows.
    #[default]
    Streaming,
    /// Each keyed operator reads all of its input first, sorted by key and then by time, and works
    /// off one key after the other: final results only, nothing late, no checkpoints
    /// (SEMANTICS 87-90). All sources must be bounded.
    Batch,
    /// Batch where all sources are bounded, and else streaming.
    Automatic,
}

impl std::str::FromStr for RuntimeMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "streaming" => Ok(Self::Streaming),
            "batch" => Ok(Self::Batch),
            "automatic" => Ok(Self::Automatic),
            _ => Err(Error::configuration(format!(
                "`{text}` is no runtime mode: write streaming, batch or automatic"
            ))),
        }
    }
}

impl OperatorContext {
    /// A single core with its own counters, for tests and harnesses.
    pub fn single_core() -> Self {
        Self {
            core: 0,
            cores: 1,
            key_groups: KeyGroups::default_for(1),
            counters: Counters::default(),
            state: StateContext::new(KeyGroups::default_for(1), Budget::unlimited()),
            mode: RuntimeMode::Streaming,
            waker: Waker::none(),
            deterministic: false,
            unsorted_memory: 0,
        }
    }
}

/// An operator as `explain` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The operator's name: its kind, or what the user called it.
    pub name: String,
    /// What it does in particular: `tumbling 1s`, for instance. May be empty.
    pub detail: String,
    /// Whether it remembers anything over a barrier: then its name must be its own, as its state is
    /// found by it.
    pub stateful: bool,
}

impl Description {
    /// The line of an operator that remembers nothing.
    pub fn new(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), detail: detail.into(), stateful: false }
    }

    /// The line of an operator whose [`snapshot`](Operator::snapshot) writes states under this
    /// name.
    pub fn stateful(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { stateful: true, ..Self::new(name, detail) }
    }
}
