//! The operator of asynchronous calls: takes inputs in, has their results found, and hands them on
//! in order.

use std::future::Future;

use rkyv::{Archive, Deserialize, Serialize};
use tailwater_core::{Counter, Describe, Error, KeyGroups, Record, Result, Span, Timestamp};
use tailwater_state::snapshot::Spread;
use tailwater_state::{SnapshotReader, SnapshotWriter};

use super::Async;
use super::calls::{Calls, Due};
use super::queue::{Leaving, Queue};
use crate::blame::blame;
use crate::{Backlog, Collect, Description, Operator, OperatorContext, Waker};

/// How an input comes to its answer.
pub trait Ask<T>: Clone + Send + 'static {
    /// Whether inputs belong to the core that owns their key.
    const KEYED: bool;

    /// What is asked for.
    type Question;
    /// What a call answers.
    type Answer: Send + 'static;
    /// How a call fails.
    type Error: Into<Box<dyn std::error::Error + Send + Sync>> + 'static;
    /// A call under way.
    type Call: Future<Output = Result<Self::Answer, Self::Error>> + Send + 'static;
    /// What goes out for an input.
    type Out: 'static;

    /// How calls are made.
    fn options(&mut self) -> &mut Async<Self::Question, Self::Answer, Self::Error>;

    /// Called once, before anything else.
    fn open(&mut self, name: &str, context: &OperatorContext) {
        let _ = (name, context);
    }

    /// The answer for the input `number`, where it is known, or how to come by it.
    fn ask(&mut self, number: u64, input: &T, now: Timestamp) -> Asked<Self::Answer> {
        let _ = (number, input, now);
        Asked::Call
    }

    /// Makes the call for an input.
    fn call(&mut self, input: &T) -> Self::Call;

    /// The answer for an input whose time is up, if that is no error.
    fn fallback(&mut self, input: &T) -> Option<Self::Answer>;

    /// The input `number` has its answer, from a call or for the want of one: `each` is told of all
    /// inputs that have theirs by it.
    fn answered(
        &mut self,
        number: u64,
        input: &T,
        answer: Answered<Self::Answer>,
        now: Timestamp,
        each: impl FnMut(u64, Self::Answer),
    );

    /// What goes out for an input and its answer.
    fn result(&mut self, input: T, answer: Self::Answer) -> Self::Out;

    /// The hash of an input's key, where inputs belong to the core that owns it.
    fn hash(&mut self, input: &T) -> u64 {
        let _ = input;
        0
    }

    /// What `explain` shows of it.
    fn describe(&self) -> String;
}

/// How to come by an answer.
pub enum Asked<A> {
    /// It is this.
    Known(A),
    /// By a call.
    Call,
    /// By the call of another input, which is under way.
    Shared,
}

/// An answer, and where it is from.
pub enum Answered<A> {
    /// A call.
    Call(A),
    /// The time was up.
    Fallback(A),
}

/// What a checkpoint holds of an input or a watermark that waits, and of the core where it did.
#[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize, Describe)]
struct Waiting<T> {
    core: u32,
    cores: u32,
    at: Timestamp,
    /// None for a watermark at this time.
    input: Option<T>,
}

/// Asynchronous calls for records. Results have the event time of their inputs; watermarks stay
/// where they are among them (SEMANTICS 71). What waits is in checkpoints, and is asked for again
/// first after a restore (SEMANTICS 72).
///
/// Counts `NAME.retries` and `NAME.timeouts`.
pub struct AsyncIo<T, A: Ask<T>> {
    name: String,
    ask: A,
    capacity: usize,
    timeout: Option<Span>,
    queue: Queue<T, A::Answer>,
    calls: Calls<A::Call>,
    /// The last one that came.
    watermark: Timestamp,
    /// Answers on their way into the queue.
    answers: Vec<(u64, A::Answer)>,
    failure: Option<Error>,
    place: (u32, u32),
    key_groups: KeyGroups,
    retries: Counter,
    timeouts: Counter,
}

impl<T, A: Ask<T>> AsyncIo<T, A> {
    /// Calls under a name of the user's, by which what waits is found in checkpoints.
    pub fn new(name: impl Into<String>, mut ask: A) -> Self {
        let options = ask.options();
        Self {
            name: name.into(),
            capacity: options.capacity,
            timeout: options.timeout,
            queue: Queue::new(options.order),
            ask,
            calls: Calls::new(Waker::none()),
            watermark: Timestamp::MIN,
            answers: Vec::new(),
            failure: None,
            place: (0, 1),
            key_groups: KeyGroups::default_for(1),
            retries: Counter::default(),
            timeouts: Counter::default(),
        }
    }

    /// Asks for the results of as many inputs as may be under way; whether there was one.
    fn ask(&mut self) -> bool {
        let mut asked = false;
        while self.failure.is_none()
            && self.queue.asked() < self.capacity
            && let Some(number) = self.queue.ask_next()
        {
            asked = true;
            let Self { name, ask, queue, calls, .. } = self;
            let (at, input) = queue.input(number);
            let now = calls.now();
            match blame(name, at, || ask.ask(number, input, now)) {
                Asked::Known(answer) => queue.complete(number, answer),
                Asked::Shared => {}
                Asked::Call => {
                    let call = blame(name, at, || ask.call(input));
                    let slot = calls.start(number, at, self.timeout, call);
                    self.poll(slot);
                }
            }
        }
        asked
    }

    /// Lets a call go on; whether it came to something.
    fn poll(&mut self, slot: usize) -> bool {
        let Self { name, ask, queue, calls, .. } = self;
        let Some(answer) = calls.poll(slot, name) else { return false };
        let (number, attempts) = calls.owner(slot);
        let (at, _) = queue.input(number);
        if let Some(delay) = blame(name, at, || ask.options().rests(&answer, attempts)) {
            calls.rest(slot, delay);
            self.retries.add(1);
            return true;
        }
        calls.end(slot);
        match answer {
            Ok(answer) => self.answered(number, Answered::Call(answer)),
            Err(cause) => self.failure = Some(Error::user(name, at, cause)),
        }
        true
    }

    fn answered(&mut self, number: u64, answer: Answered<A::Answer>) {
        let Self { name, ask, queue, calls, answers, .. } = self;
        let (at, input) = queue.input(number);
        let each = |number, answer| answers.push((number, answer));
        blame(name, at, || ask.answered(number, input, answer, calls.now(), each));
        answers.drain(..).for_each(|(number, answer)| queue.complete(number, answer));
    }

    /// Ends calls whose time is up, and repeats those that have rested; whether there was one.
    fn do_what_is_due(&mut self) -> bool {
        let mut worked = false;
        while self.failure.is_none()
            && let Some((slot, due)) = self.calls.next_due()
        {
            worked = true;
            let Self { name, ask, queue, calls, .. } = self;
            let (number, _) = calls.owner(slot);
            let (at, input) = queue.input(number);
            match due {
                Due::Repeat => {
                    let again = blame(name, at, || ask.call(input));
                    calls.repeat(slot, again);
                    self.poll(slot);
                }
                Due::End => {
                    calls.end(slot);
                    self.timeouts.add(1);
                    match blame(name, at, || ask.fallback(input)) {
                        Some(answer) => self.answered(number, Answered::Fallback(answer)),
                        None => self.failure = Some(self.timed_out(at)),
                    }
                }
            }
        }
        worked
    }

    fn timed_out(&self, at: Timestamp) -> Error {
        let timeout = self.timeout.unwrap_or(Span::ZERO);
        let cause = format!(
            "there was no answer within {timeout}: allow more with `.timeout(..)`, or say with \
             `.on_timeout(..)` what the result is then"
        );
        Error::user(&self.name, at, cause)
    }

    /// Hands on what may go out, as long as there is room; whether there was something.
    fn deliver(&mut self, out: &mut impl Collect<A::Out>) -> bool {
        let mut worked = false;
        while out.has_room()
            && let Some(leaving) = self.queue.pop()
        {
            worked = true;
            match leaving {
                Leaving::Watermark(watermark) => out.watermark(watermark),
                Leaving::Result { at, input, answer } => {
                    let result = blame(&self.name, at, || self.ask.result(input, answer));
                    out.record(at, result);
                }
            }
        }
        if let Some(failure) = self.failure.take() {
            out.fail(failure);
        }
        worked
    }
}

/// A prototype is cloned to each core: how it asks, not what it was asked.
impl<T, A: Ask<T>> Clone for AsyncIo<T, A> {
    fn clone(&self) -> Self {
        Self::new(self.name.clone(), self.ask.clone())
    }
}

impl<T: Record + 'static, A: Ask<T>> Operator for AsyncIo<T, A> {
    type In = T;
    type Out = A::Out;

    const QUIET: bool = true;

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.ask.options().check(&self.name)?;
        self.ask.open(&self.name, context);
        self.calls = Calls::new(context.waker.clone());
        (self.place, self.key_groups) = ((context.core, context.cores), context.key_groups);
        self.retries = context.counters.register(&format!("{}.retries", self.name));
        self.timeouts = context.counters.register(&format!("{}.timeouts", self.name));
        Ok(())
    }

    fn on_record(&mut self, at: Timestamp, input: T, out: &mut impl Collect<A::Out>) {
        self.queue.push(at, input);
        self.ask();
        self.deliver(out);
    }

    fn on_watermark(&mut self, watermark: Timestamp, out: &mut impl Collect<A::Out>) {
        // After a restore the one that waits here may come again.
        if watermark > self.watermark {
            self.watermark = watermark;
            self.queue.push_watermark(watermark);
            self.deliver(out);
        }
    }

    fn wants_clock(&self) -> bool {
        true
    }

    fn on_clock(&mut self, now: Timestamp, _: &mut impl Collect<A::Out>) {
        self.calls.set_wall(now);
    }

    #[inline]
    fn backlog(&self) -> Backlog {
        match self.queue.inputs() {
            inputs if inputs >= self.capacity => Backlog::Full,
            _ if self.queue.is_empty() => Backlog::Empty,
            _ => Backlog::Open,
        }
    }

    fn go_on(&mut self, now: Timestamp, out: &mut impl Collect<A::Out>) -> bool {
        self.calls.set_wall(now);
        let mut worked = self.do_what_is_due();
        let turn = self.calls.take_turn();
        for slot in &turn {
            worked |= self.failure.is_none() && self.poll(*slot);
        }
        self.calls.give_back(turn);
        worked |= self.deliver(out);
        if self.ask() {
            worked = true;
            self.deliver(out);
        }
        worked
    }

    fn snapshot(&mut self, into: &mut SnapshotWriter) -> Result<()> {
        let (core, cores) = self.place;
        let waiting =
            |(at, input): (_, Option<&T>)| Waiting { core, cores, at, input: input.cloned() };
        let waiting: Vec<_> = self.queue.waiting().map(waiting).collect();
        let spread = if A::KEYED { Spread::Union } else { Spread::Split };
        into.operator(&self.name, |into| into.list("waiting", spread, &waiting))
    }

    /// Order is kept among the inputs of a core; on another number of cores, among those of a key
    /// where the stream is partitioned by one.
    fn restore(&mut self, from: &mut SnapshotReader) -> Result<()> {
        let waiting = from.operator(&self.name, |from| from.list::<Waiting<T>>("waiting"))?;
        let (core, cores) = self.place;
        let own = self.key_groups.range(core, cores);
        for Waiting { core, cores, at, input } in waiting {
            match input {
                Some(input) => {
                    let belongs = !A::KEYED || {
                        let hash = blame(&self.name, at, || self.ask.hash(&input));
                        own.contains(&self.key_groups.of_hash(hash))
                    };
                    if belongs {
                        self.queue.push(at, input);
                    }
                }
                // Elsewhere it would pass inputs that it was not before; the sources send theirs
                // again.
                None if (core, cores) == self.place => {
                    self.watermark = at;
                    self.queue.push_watermark(at);
                }
                None => {}
            }
        }
        Ok(())
    }

    fn describe(&self, into: &mut Vec<Description>) {
        into.push(Description::stateful(&self.name, self.ask.describe()));
    }
}
