//! What a callback may do beside reading and changing state: emit, set timers, ask for the time.

use tailwater_core::{Error, Stamped, Timestamp};
use tailwater_state::keyed::{Domain, Now};

use crate::Collect;

/// Output, timers and clocks for one callback.
///
/// Records and timers are collected here and handed on when the callback returns.
pub struct Context<Out> {
    pub(super) at: Timestamp,
    pub(super) domain: Option<Domain>,
    pub(super) namespace: i64,
    pub(super) watermark: Timestamp,
    pub(super) now: Now,
    pub(super) output: Vec<Stamped<Out>>,
    pub(super) requests: Vec<Request>,
    pub(super) error: Option<Cause>,
}

/// An error of the user's.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A timer to set or to take back, for the current key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub what: What,
    pub namespace: i64,
    pub time: Timestamp,
    pub domain: Domain,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    Register,
    Delete,
}

impl<Out> Default for Context<Out> {
    fn default() -> Self {
        Self {
            at: Timestamp::NONE,
            domain: None,
            namespace: 0,
            watermark: Timestamp::MIN,
            now: Now::UNKNOWN,
            output: Vec::new(),
            requests: Vec::new(),
            error: None,
        }
    }
}

impl<Out> Context<Out> {
    /// The event time of the record, or of the event-time timer; [`Timestamp::NONE`] where there is
    /// none (SEMANTICS 48).
    #[inline]
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// The watermark. In `on_timer` it is the one that made the timer due (SEMANTICS 22).
    #[inline]
    pub fn watermark(&self) -> Timestamp {
        self.watermark
    }

    /// The wall clock, as of this round of the core.
    #[inline]
    pub fn processing_time(&self) -> Timestamp {
        self.now.processing
    }

    /// In `on_timer`, what the timer goes by.
    #[inline]
    pub fn domain(&self) -> Option<Domain> {
        self.domain
    }

    /// In `on_timer`, the timer's namespace.
    #[inline]
    pub fn namespace(&self) -> i64 {
        self.namespace
    }

    /// Emits a record at the time of the callback's record or timer.
    #[inline]
    pub fn emit(&mut self, value: Out) {
        self.emit_at(self.at, value);
    }

    /// Emits a record at a time of its own.
    #[inline]
    pub fn emit_at(&mut self, at: Timestamp, value: Out) {
        self.output.push(Stamped::new(at, value));
    }

    /// Calls `on_timer` for this key when the watermark reaches `time`. Setting it twice is setting
    /// it once. One at or below the watermark waits for the next watermark (SEMANTICS 45, 47).
    pub fn event_timer(&mut self, time: Timestamp) {
        self.register(Domain::Event, 0, time);
    }

    /// Takes an event-time timer back; that there is none is no error.
    pub fn delete_event_timer(&mut self, time: Timestamp) {
        self.delete(Domain::Event, 0, time);
    }

    /// Calls `on_timer` for this key when the wall clock reaches `time`. Those that wait at the end
    /// of the input are dropped (SEMANTICS 49).
    pub fn processing_timer(&mut self, time: Timestamp) {
        self.register(Domain::Processing, 0, time);
    }

    /// Takes a timer of the wall clock back; that there is none is no error.
    pub fn delete_processing_timer(&mut self, time: Timestamp) {
        self.delete(Domain::Processing, 0, time);
    }

    /// Sets a timer in a namespace: a window, or another part of the key's state. Timers of
    /// different namespaces are different ones.
    pub fn register(&mut self, domain: Domain, namespace: i64, time: Timestamp) {
        self.requests.push(Request { what: What::Register, namespace, time, domain });
    }

    /// Takes a timer of a namespace back.
    pub fn delete(&mut self, domain: Domain, namespace: i64, time: Timestamp) {
        self.requests.push(Request { what: What::Delete, namespace, time, domain });
    }

    /// Hands on what a callback of the operator `name` emitted, and how it failed.
    #[inline]
    pub(super) fn hand_on(&mut self, name: &str, out: &mut impl Collect<Out>) {
        if !self.output.is_empty() {
            out.batch(&mut self.output);
        }
        if let Some(cause) = self.error.take() {
            out.fail(Error::user(name, self.at, cause));
        }
    }

    /// Ends the job with an error.
    pub fn fail(&mut self, error: impl Into<Cause>) {
        self.error.get_or_insert_with(|| error.into());
    }
}
