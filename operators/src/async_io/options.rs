//! How calls of an asynchronous function are made: how many at once, for how long, how often.

use std::fmt;

use tailwater_core::{Error, Result, Span};

/// Inputs whose results are owed at a time, unless told otherwise: as Flink's.
const CAPACITY: usize = 100;
/// How long an input may wait for its result, unless told otherwise: far longer than a service that
/// works takes, and short enough that a job that hangs says so.
const TIMEOUT: Span = Span(60_000_000_000);

/// In which order results go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultOrder {
    /// In the order of the inputs.
    Ordered,
    /// As they come, but none passes a watermark.
    Unordered,
}

/// How often a call is repeated that came to nothing, and how long it rests before each time.
///
/// ```
/// use tailwater_core::TimeUnits;
/// use tailwater_operators::async_io::Retries;
///
/// // Three more attempts, after 100, 200 and 400 ms.
/// let _ = Retries::exponential(3, 100.millis(), 1.secs());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    times: u32,
    first: Span,
    longest: Span,
}

impl Retries {
    /// A call is made once.
    pub const NONE: Self = Self { times: 0, first: Span::ZERO, longest: Span::ZERO };

    /// So many more attempts, each `delay` after the one before.
    pub fn fixed(times: u32, delay: Span) -> Self {
        Self { times, first: delay, longest: delay }
    }

    /// So many more attempts, the first one after `first`; each delay is twice the one before, and
    /// none is over `longest`.
    pub fn exponential(times: u32, first: Span, longest: Span) -> Self {
        Self { times, first: first.min(longest), longest }
    }

    /// How long to rest after so many attempts that failed; `None` when it is over.
    pub(super) fn delay(self, failed: u32) -> Option<Span> {
        let doublings = failed.saturating_sub(1).min(62);
        let delay = Span(self.first.0.saturating_mul(1 << doublings)).min(self.longest);
        (failed <= self.times).then_some(delay)
    }
}

/// How an asynchronous function is called: the order of its results, how many inputs may wait for
/// theirs, how long and how often it is tried.
///
/// ```
/// use tailwater_core::TimeUnits;
/// use tailwater_operators::async_io::{Async, Retries};
///
/// let calls: Async<u64, Option<String>, std::io::Error> = Async::unordered()
///     .capacity(50)
///     .timeout(2.secs())
///     .on_timeout(|_: &u64| None)
///     .retries(Retries::fixed(3, 100.millis()));
/// # let _ = calls;
/// ```
pub struct Async<I, U, E> {
    pub(super) order: ResultOrder,
    pub(super) capacity: usize,
    pub(super) timeout: Option<Span>,
    pub(super) retries: Retries,
    retry_if: Option<Callback<Result<U, E>, bool>>,
    on_timeout: Option<Callback<I, U>>,
}

impl<I, U, E> Async<I, U, E> {
    /// Results in the order of the inputs: one that is slow holds up those behind it (SEMANTICS
    /// 71).
    pub fn ordered() -> Self {
        Self::in_order(ResultOrder::Ordered)
    }

    /// Results as they come, but none before or behind a watermark that its input was not before or
    /// behind (SEMANTICS 71).
    pub fn unordered() -> Self {
        Self::in_order(ResultOrder::Unordered)
    }

    pub(super) fn in_order(order: ResultOrder) -> Self {
        Self {
            order,
            capacity: CAPACITY,
            timeout: Some(TIMEOUT),
            retries: Retries::NONE,
            retry_if: None,
            on_timeout: None,
        }
    }

    /// How many inputs may be owed a result at a time on each core: under way, or waiting for their
    /// turn to go out. Beyond it there is back-pressure (SEMANTICS 72). 100 unless told otherwise.
    #[must_use]
    pub fn capacity(mut self, inputs: usize) -> Self {
        self.capacity = inputs;
        self
    }

    /// How long an input may wait for its result, over all attempts, by the wall clock: a minute
    /// unless told otherwise. Then the call is dropped, and the job fails unless
    /// [`on_timeout`](Async::on_timeout) says what the result is.
    #[must_use]
    pub fn timeout(mut self, timeout: Span) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Inputs wait for their results as long as these take.
    #[must_use]
    pub fn without_timeout(mut self) -> Self {
        self.timeout = None;
        self
    }

    /// What the result of an input is whose time is up.
    #[must_use]
    pub fn on_timeout<F>(mut self, fallback: F) -> Self
    where
        F: FnMut(&I) -> U + Clone + Send + 'static,
    {
        self.on_timeout = Some(Callback(Box::new(fallback)));
        self
    }

    /// How often a call that failed is repeated; never unless told otherwise. The last error fails
    /// the job.
    #[must_use]
    pub fn retries(mut self, retries: Retries) -> Self {
        self.retries = retries;
        self
    }

    /// What is a failure, in place of every error: an empty answer may be one, and an error may be
    /// final. A result that is a failure still when all attempts are made counts as it is.
    #[must_use]
    pub fn retry_if<F>(mut self, is_failure: F) -> Self
    where
        F: FnMut(&Result<U, E>) -> bool + Clone + Send + 'static,
    {
        self.retry_if = Some(Callback(Box::new(is_failure)));
        self
    }

    /// Whether these options can be followed.
    ///
    /// # Errors
    /// With the first one that cannot.
    pub(super) fn check(&self, name: &str) -> Result<()> {
        let refuse = |what: &str| {
            Err(Error::configuration(format!("the asynchronous calls of `{name}` {what}")))
        };
        if self.capacity == 0 {
            return refuse("have a capacity of none: give them at least `.capacity(1)`");
        }
        if self.timeout.is_some_and(|timeout| timeout <= Span::ZERO) {
            return refuse("have no time at all: give them a `.timeout(..)` above zero");
        }
        if self.retries.first < Span::ZERO {
            return refuse("have a negative delay between attempts: make it zero or more");
        }
        Ok(())
    }

    /// For how long a call rests that came to `result` at its attempt number `attempts`; `None`
    /// where that is its result.
    pub(super) fn rests(&mut self, result: &Result<U, E>, attempts: u32) -> Option<Span> {
        let delay = self.retries.delay(attempts)?;
        let failed = match &mut self.retry_if {
            Some(is_failure) => is_failure.0.call(result),
            None => result.is_err(),
        };
        failed.then_some(delay)
    }

    /// The result of an input whose time is up, if that is not an error.
    pub(super) fn fallback(&mut self, input: &I) -> Option<U> {
        self.on_timeout.as_mut().map(|fallback| fallback.0.call(input))
    }

    /// What `describe` says of it.
    pub(super) fn describe(&self) -> String {
        let order = match self.order {
            ResultOrder::Ordered => "ordered",
            ResultOrder::Unordered => "unordered",
        };
        let timeout = self.timeout.map_or("for ever".to_owned(), |timeout| format!("{timeout}"));
        format!("{order}, at most {} for {timeout}", self.capacity)
    }
}

impl<I, U, E> Clone for Async<I, U, E> {
    fn clone(&self) -> Self {
        let (retry_if, on_timeout) = (self.retry_if.clone(), self.on_timeout.clone());
        Self { retry_if, on_timeout, ..*self }
    }
}

impl<I, U, E> fmt::Debug for Async<I, U, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let retries = &self.retries;
        f.debug_tuple("Async").field(&self.describe()).field(retries).finish()
    }
}

/// A function of the user's that is seldom called; each core has its own clone.
struct Callback<A, R>(Box<dyn CloneableFn<A, R>>);

trait CloneableFn<A, R>: Send {
    fn call(&mut self, argument: &A) -> R;
    fn boxed(&self) -> Box<dyn CloneableFn<A, R>>;
}

impl<A, R, F: FnMut(&A) -> R + Clone + Send + 'static> CloneableFn<A, R> for F {
    fn call(&mut self, argument: &A) -> R {
        self(argument)
    }

    fn boxed(&self) -> Box<dyn CloneableFn<A, R>> {
        Box::new(self.clone())
    }
}

impl<A, R> Clone for Callback<A, R> {
    fn clone(&self) -> Self {
        Self(self.0.boxed())
    }
}
