//! The operator that runs a [`Process`]: enters the key, calls, and hands on what came of it.

use std::collections::VecDeque;

use tailwater_core::{Key, Result, Span, Stamped, Timestamp, stable_hash};
use tailwater_state::keyed::{Domain, KeyedState, Now, Timer, Timers};
use tailwater_state::{Drain, SnapshotReader, SnapshotWriter, TrackedState};

use super::context::{Request, What};
use super::{Context, Process};
use crate::aggregate::short_type_name;
use crate::blame::blame;
use crate::{Collect, Description, Operator, OperatorContext, RuntimeMode};

/// Keys that are hashed and asked for before the first of them is worked on.
const GROUP: usize = 64;
/// Timers that fire between two looks of the task at what else there is to do, a barrier for
/// instance: some 50 us where a million wait and each costs several misses.
const TIMERS_MAX: usize = 32;
/// Entries that the sweep of expired state looks at in a round.
const SWEEP_MAX: usize = 128;

pub(super) type KeyOf<P> = <<P as Process>::State as KeyedState>::Key;

/// Runs a [`Process`] on the records of each key; `F` reads the key.
pub struct ProcessOperator<P: Process, F> {
    pub(super) name: String,
    /// The name that it has without one of the user's, and what it is.
    type_name: String,
    kind: &'static str,
    key_of: F,
    pub(super) process: P,
    pub(super) opened: Option<Opened<P>>,
    pub(super) watermark: Timestamp,
    pub(super) clock: Timestamp,
    /// The watermark whose timers are firing.
    pending: Option<Timestamp>,
    /// How far event time has come among the timers that are firing.
    reached: Timestamp,
    /// What comes does not depend on the number of cores, and a watermark's step does.
    deterministic: bool,
    /// In batch mode, how far the end of a key has come.
    key_end: Option<KeyEnd<KeyOf<P>>>,
    mode: RuntimeMode,
    context: Context<P::Out>,
    /// Empty between calls.
    group: Vec<(u64, KeyOf<P>, Stamped<P::In>)>,
}

/// The end of a key, in batch mode.
enum KeyEnd<K> {
    /// Event-time timers are firing.
    Events,
    /// Those of the wall clock are; what they set for it themselves is dropped, or a timer that
    /// sets itself anew would never end.
    Clock(VecDeque<Timer<K>>),
}

/// What needs the core's context.
pub(super) struct Opened<P: Process> {
    pub(super) state: P::State,
    timers: Timers<KeyOf<P>>,
}

impl<P: Process, F> ProcessOperator<P, F> {
    /// Runs `process` with the key that `key_of` gives. It is named for the type of the process.
    pub fn new(key_of: F, process: P) -> Self {
        Self::of_kind("process", short_type_name::<P>(), key_of, process)
    }

    /// The same of another kind, and named for another type.
    pub(super) fn of_kind(kind: &'static str, name: String, key_of: F, process: P) -> Self {
        Self {
            type_name: name.clone(),
            name,
            kind,
            key_of,
            process,
            opened: None,
            watermark: Timestamp::MIN,
            clock: Timestamp::MIN,
            pending: None,
            reached: Timestamp::MIN,
            deterministic: false,
            key_end: None,
            mode: RuntimeMode::Streaming,
            context: Context::default(),
            group: Vec::new(),
        }
    }

    /// The same under a name of the user's.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    fn opened(&mut self) -> &mut Opened<P> {
        self.opened.as_mut().expect("an operator is opened first")
    }

    /// One record, whose key is known.
    #[inline]
    fn process(
        &mut self,
        (hash, key): (u64, &KeyOf<P>),
        Stamped { at, value }: Stamped<P::In>,
        out: &mut impl Collect<P::Out>,
    ) {
        // Event time stands at the record, or at the watermark for a late one: what had expired
        // by then may be swept away already.
        let now = Now { processing: self.clock, event: at.max(self.watermark) };
        let Self { name, process, opened, context, watermark, .. } = self;
        let Opened { state, timers } = opened.as_mut().expect("an operator is opened first");
        (context.at, context.domain, context.namespace) = (at, None, 0);
        (context.watermark, context.now) = (*watermark, now);
        state.enter(hash, key, now);
        blame(name, at, || process.on_record(value, state, context));
        hand_on(name, context, timers, key, out);
    }

    /// At the end of a key, the next timer of the wall clock, whatever it says.
    fn next_of_clock(&mut self) -> Option<Timer<KeyOf<P>>> {
        match self.key_end.as_mut()? {
            KeyEnd::Clock(left) => left.pop_front(),
            KeyEnd::Events => {
                let timers = &mut self.opened().timers;
                let next = || timers.pop_due(Domain::Processing, Timestamp::MAX);
                let mut left: VecDeque<_> = std::iter::from_fn(next).collect();
                let first = left.pop_front();
                self.key_end = Some(KeyEnd::Clock(left));
                first
            }
        }
    }

    fn fire(&mut self, timer: Timer<KeyOf<P>>, out: &mut impl Collect<P::Out>) {
        let Timer { key, namespace, time, domain } = timer;
        // A timer sees event time as it was when it was due, however far the watermark jumped.
        let (at, event) = match domain {
            Domain::Event => (time, time.max(self.watermark)),
            Domain::Processing => (Timestamp::NONE, self.watermark),
        };
        let now = Now { processing: self.clock, event };
        if domain == Domain::Event {
            // One that was set behind the watermark, or behind the timer that set it, fires at the
            // next instant, or at the same.
            self.reached = self.reached.max(time).max(self.watermark + Span(1));
        }
        let current = match self.pending {
            Some(_) if self.deterministic => self.reached,
            pending => pending.unwrap_or(self.watermark),
        };
        out.fires(self.reached, &key);
        let Self { name, process, opened, context, .. } = self;
        let Opened { state, timers } = opened.as_mut().expect("an operator is opened first");
        (context.at, context.domain, context.namespace) = (at, Some(domain), namespace);
        (context.watermark, context.now) = (current, now);
        state.enter(stable_hash(&key), &key, now);
        blame(name, at, || process.on_timer(time, state, context));
        hand_on(name, context, timers, &key, out);
    }
}

/// Hands on what a callback left in its context.
#[inline]
fn hand_on<K: Key, T>(
    name: &str,
    context: &mut Context<T>,
    timers: &mut Timers<K>,
    key: &K,
    out: &mut impl Collect<T>,
) {
    for Request { what, namespace, time, domain } in context.requests.drain(..) {
        let timer = Timer { key: key.clone(), namespace, time, domain };
        match what {
            What::Register => timers.register(timer),
            What::Delete => timers.delete(&timer),
        }
    }
    context.hand_on(name, out);
}

/// A prototype is cloned to each core: its functions, not what it has seen.
impl<P: Process, F: Clone> Clone for ProcessOperator<P, F> {
    fn clone(&self) -> Self {
        let (type_name, key_of) = (self.type_name.clone(), self.key_of.clone());
        Self::of_kind(self.kind, type_name, key_of, self.process.clone()).named(&self.name)
    }
}

impl<P, F> Operator for ProcessOperator<P, F>
where
    P: Process<In: Send + 'static, Out: Send + 'static>,
    F: FnMut(&P::In) -> KeyOf<P> + Send + 'static,
{
    type In = P::In;
    type Out = P::Out;

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        let mut state = P::State::new(&context.state);
        let Self { name, process, .. } = self;
        blame(name, Timestamp::NONE, || process.open(&mut state));
        self.opened = Some(Opened { state, timers: Timers::new(&context.state) });
        self.mode = context.mode;
        self.deterministic = context.deterministic;
        Ok(())
    }

    #[inline]
    fn on_record(&mut self, at: Timestamp, value: P::In, out: &mut impl Collect<P::Out>) {
        let Self { name, key_of, .. } = self;
        let key = blame(name, at, || key_of(&value));
        self.process((stable_hash(&key), &key), Stamped { at, value }, out);
    }

    fn on_batch(&mut self, batch: &mut Vec<Stamped<P::In>>, out: &mut impl Collect<P::Out>) {
        let mut group = std::mem::take(&mut self.group);
        let mut records = batch.drain(..);
        loop {
            let Self { name, key_of, opened, .. } = self;
            let state = &opened.as_ref().expect("an operator is opened first").state;
            for record in records.by_ref().take(GROUP) {
                let key = blame(name, record.at, || key_of(&record.value));
                let hash = stable_hash(&key);
                state.prefetch(hash);
                group.push((hash, key, record));
            }
            if group.is_empty() {
                break;
            }
            for (hash, key, record) in group.drain(..) {
                self.process((hash, &key), record, out);
            }
        }
        drop(records);
        self.group = group;
    }

    fn on_watermark(&mut self, watermark: Timestamp, out: &mut impl Collect<P::Out>) {
        if self.pending.is_none() && watermark <= self.watermark {
            // Told again after a restore. It is no advance, so a timer that was set behind it goes
            // on waiting for the next one (SEMANTICS 47).
            return out.watermark(watermark);
        }
        self.pending = Some(watermark);
        self.resume(out);
    }

    fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// The rest of the timers fires after a restore.
    fn must_finish(&self) -> bool {
        false
    }

    fn resume(&mut self, out: &mut impl Collect<P::Out>) {
        let Some(watermark) = self.pending else { return };
        for _ in 0..TIMERS_MAX {
            let due = self.opened().timers.pop_due(Domain::Event, watermark);
            let Some(timer) = due.or_else(|| self.next_of_clock()) else {
                self.pending = None;
                self.reached = Timestamp::MIN;
                if self.key_end.take().is_some() {
                    self.opened().timers.drop_processing();
                    return;
                }
                self.watermark = watermark;
                let now = Now { processing: self.clock, event: watermark };
                self.opened().state.sweep(now, SWEEP_MAX);
                out.watermark(watermark);
                return;
            };
            self.fire(timer, out);
            if !out.has_room() {
                return;
            }
        }
    }

    // SEMANTICS 89
    fn on_key_end(&mut self, out: &mut impl Collect<P::Out>) {
        self.key_end = Some(KeyEnd::Events);
        self.on_watermark(Timestamp::MAX, out);
    }

    fn wants_clock(&self) -> bool {
        true
    }

    fn on_clock(&mut self, now: Timestamp, out: &mut impl Collect<P::Out>) {
        self.clock = self.clock.max(now);
        let clock = self.clock;
        if self.mode == RuntimeMode::Batch {
            // Timers of the wall clock fire at the end of their key.
            return;
        }
        for _ in 0..TIMERS_MAX {
            let due = self.opened().timers.pop_due(Domain::Processing, clock);
            let Some(timer) = due else { break };
            self.fire(timer, out);
            if !out.has_room() {
                break;
            }
        }
        let now = Now { processing: clock, event: self.watermark };
        self.opened().state.sweep(now, SWEEP_MAX);
    }

    // SEMANTICS 49: what waits for the wall clock is dropped, what waited for the watermark fired.
    fn on_end(&mut self, _: &mut impl Collect<P::Out>) {
        self.opened().timers.drop_processing();
    }

    fn snapshot(&mut self, into: &mut SnapshotWriter) -> Result<()> {
        let Self { name, opened, watermark, clock, pending, .. } = self;
        let Opened { state, timers } = opened.as_mut().expect("an operator is opened first");
        into.operator(name, |into| {
            into.value("watermark", watermark)?;
            into.value("firing", &pending.unwrap_or(*watermark))?;
            into.value("clock", clock)?;
            into.tracked("timers", timers)?;
            state.snapshot(into)
        })
    }

    fn drain(&mut self, into: &mut Drain) -> Result<bool> {
        let Opened { state, timers } = self.opened();
        Ok(timers.drain(into)? && state.drain(into)?)
    }

    fn restore(&mut self, from: &mut SnapshotReader) -> Result<()> {
        let Self { name, opened, watermark, clock, pending, .. } = self;
        let Opened { state, timers } = opened.as_mut().expect("an operator is opened first");
        from.operator(name, |from| {
            // On another number of cores the least of all is what all of them have promised.
            let least = |times: Vec<Timestamp>| times.into_iter().min();
            *watermark = least(from.values("watermark")?).unwrap_or(Timestamp::MIN);
            let firing = least(from.values("firing")?).unwrap_or(Timestamp::MIN);
            // The barrier came between timers of this watermark: the rest of them fires now.
            *pending = (firing > *watermark).then_some(firing);
            *clock = least(from.values("clock")?).unwrap_or(Timestamp::MIN);
            from.tracked("timers", timers)?;
            state.restore(from)
        })
    }

    fn describe(&self, into: &mut Vec<Description>) {
        let detail = if self.name == self.type_name {
            self.kind.to_owned()
        } else {
            format!("{} {}", self.kind, self.type_name)
        };
        into.push(Description::stateful(&self.name, detail));
    }
}
