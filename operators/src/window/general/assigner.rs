//! Which windows a record is put into: tumbling, sliding, sessions, global, or the user's rule.

use tailwater_core::{Error, Result, Span, Timestamp};
use tailwater_state::keyed::Domain;

use crate::window::{Session, Sliding, Tumbling, Window};

/// Puts a record into windows.
pub trait Assigner<T>: Clone + Send + 'static {
    /// Whether windows of a key that overlap or touch grow into one, as sessions do (SEMANTICS 6).
    const MERGES: bool;

    /// Whether each record has one window, which starts at its time: one that lies before a record
    /// of its key then never grows again, where records come in order.
    const STARTS_AT_RECORD: bool = false;

    /// The clock that windows go by: records are assigned by their event time, or by the wall
    /// clock's at their arrival (SEMANTICS 8). It decides too when a window is dropped.
    const TIME: Domain = Domain::Event;

    /// Whether a record without an event time is refused (SEMANTICS 7).
    const NEEDS_TIME: bool = matches!(Self::TIME, Domain::Event);

    /// Whether a record that no window holds is told: counted as `records_outside_windows`, or
    /// emitted as late ones are. Otherwise it vanishes unless it is late (SEMANTICS 5).
    const TELLS_GAPS: bool = false;

    /// Whether each instant lies in exactly one window, whatever the record: then it is not asked
    /// again while records stay in the window of the one before.
    const BY_TIME: bool = false;

    /// Appends the windows that hold `record` at `at`; none where it falls into a gap.
    ///
    /// # Errors
    /// When the record makes no window, as a session with a gap that is not positive. The job fails
    /// with it.
    fn assign(&mut self, at: Timestamp, record: &T, into: &mut Vec<Window>) -> Result<()>;

    /// Refuses what makes no windows, before the job runs.
    ///
    /// # Errors
    /// When the windows cannot be as configured.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// A short name for `explain`: `session gap 30s`.
    fn name(&self) -> String;
}

impl<T> Assigner<T> for Tumbling {
    const MERGES: bool = false;
    const BY_TIME: bool = true;

    #[inline]
    fn assign(&mut self, at: Timestamp, _: &T, into: &mut Vec<Window>) -> Result<()> {
        let start = self.start(at);
        into.push(Window { start, end: start + self.size });
        Ok(())
    }

    fn check(&self) -> Result<()> {
        self.as_sliding().check()
    }

    fn name(&self) -> String {
        with_offset(format!("tumbling {}", self.size), self.offset)
    }
}

impl<T> Assigner<T> for Sliding {
    const MERGES: bool = false;

    #[inline]
    fn assign(&mut self, at: Timestamp, _: &T, into: &mut Vec<Window>) -> Result<()> {
        into.extend(self.windows(at));
        Ok(())
    }

    fn check(&self) -> Result<()> {
        Sliding::check(self)
    }

    fn name(&self) -> String {
        with_offset(format!("sliding {} every {}", self.size, self.slide), self.offset)
    }
}

fn with_offset(name: String, offset: Span) -> String {
    if offset == Span::ZERO { name } else { format!("{name} offset {offset}") }
}

impl<T> Assigner<T> for Session {
    const MERGES: bool = true;
    const STARTS_AT_RECORD: bool = true;

    #[inline]
    fn assign(&mut self, at: Timestamp, _: &T, into: &mut Vec<Window>) -> Result<()> {
        into.push(Window { start: at, end: at + self.gap });
        Ok(())
    }

    fn check(&self) -> Result<()> {
        check_gap(self.gap)
    }

    fn name(&self) -> String {
        format!("session gap {}", self.gap)
    }
}

/// Sessions whose gap each record brings along: a session ends at the greatest end of its records.
#[derive(Clone, Copy, Debug)]
pub struct DynamicSession<G> {
    gap_of: G,
}

impl<G> DynamicSession<G> {
    /// Sessions with the gap that `gap_of` reads from a record; one that is not positive fails the
    /// job.
    pub const fn new(gap_of: G) -> Self {
        Self { gap_of }
    }
}

impl<T, G: FnMut(&T) -> Span + Clone + Send + 'static> Assigner<T> for DynamicSession<G> {
    const MERGES: bool = true;
    const STARTS_AT_RECORD: bool = true;

    #[inline]
    fn assign(&mut self, at: Timestamp, record: &T, into: &mut Vec<Window>) -> Result<()> {
        let gap = (self.gap_of)(record);
        check_gap(gap)?;
        into.push(Window { start: at, end: at + gap });
        Ok(())
    }

    fn name(&self) -> String {
        "session gap by record".to_owned()
    }
}

#[inline]
fn check_gap(gap: Span) -> Result<()> {
    if gap.0 > 0 {
        return Ok(());
    }
    Err(Error::configuration(format!("a session needs a positive gap, not {gap}")))
}

/// One window for all the records of a key; records need no event time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Global;

impl<T> Assigner<T> for Global {
    const MERGES: bool = false;
    const NEEDS_TIME: bool = false;

    #[inline]
    fn assign(&mut self, _: Timestamp, _: &T, into: &mut Vec<Window>) -> Result<()> {
        into.push(Window::GLOBAL);
        Ok(())
    }

    fn name(&self) -> String {
        "global".to_owned()
    }
}

/// Windows of the wall clock: a record belongs to those of its arrival, whatever its event time
/// (SEMANTICS 8). None is ever late; what waits for the wall clock when the input ends is dropped
/// (SEMANTICS 49).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByClock<A>(pub A);

impl<T, A: Assigner<T>> Assigner<T> for ByClock<A> {
    const MERGES: bool = A::MERGES;
    const BY_TIME: bool = A::BY_TIME;
    const TIME: Domain = Domain::Processing;

    #[inline]
    fn assign(&mut self, at: Timestamp, record: &T, into: &mut Vec<Window>) -> Result<()> {
        self.0.assign(at, record, into)
    }

    fn check(&self) -> Result<()> {
        self.0.check()
    }

    fn name(&self) -> String {
        format!("{} by the wall clock", self.0.name())
    }
}

/// Writes `processing_time` for a kind of windows.
macro_rules! by_the_clock {
    ($($kind:ty)*) => {$(
        impl $kind {
            /// The same windows by the wall clock: see [`ByClock`].
            pub const fn processing_time(self) -> ByClock<Self> {
                ByClock(self)
            }
        }
    )*};
}

by_the_clock!(Tumbling Sliding Session Cumulative);

impl<G> DynamicSession<G> {
    /// The same sessions by the wall clock: see [`ByClock`].
    pub fn processing_time(self) -> ByClock<Self> {
        ByClock(self)
    }
}

/// Windows that grow by steps up to a size, then start anew: totals since midnight, every minute. A
/// record is part of all that end after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cumulative {
    /// The length of the longest window.
    pub size: Span,
    /// By how much each is longer than the one before; divides the size.
    pub step: Span,
    /// How far the starts lie behind multiples of the size; less than the size either way.
    pub offset: Span,
}

impl Cumulative {
    /// Windows up to `size`; say how often they end with [`every`](Cumulative::every).
    pub const fn of(size: Span) -> Self {
        Self { size, step: size, offset: Span::ZERO }
    }

    /// The same windows, each longer by `step` than the one before.
    #[must_use]
    pub const fn every(mut self, step: Span) -> Self {
        self.step = step;
        self
    }

    /// The same windows, starting `offset` after multiples of the size.
    #[must_use]
    pub const fn offset(mut self, offset: Span) -> Self {
        self.offset = offset;
        self
    }
}

impl<T> Assigner<T> for Cumulative {
    const MERGES: bool = false;

    #[inline]
    fn assign(&mut self, at: Timestamp, _: &T, into: &mut Vec<Window>) -> Result<()> {
        let start = Tumbling::of(self.size).offset(self.offset).start(at);
        let passed = at.0.saturating_sub(start.0) / self.step.0;
        let ends = (passed + 1)..=(self.size.0 / self.step.0);
        into.extend(ends.map(|steps| Window { start, end: start + Span(steps * self.step.0) }));
        Ok(())
    }

    fn check(&self) -> Result<()> {
        Tumbling::of(self.size).offset(self.offset).as_sliding().check()?;
        if self.step.0 > 0 && self.size.0 % self.step.0 == 0 {
            return Ok(());
        }
        Err(Error::configuration(format!(
            "windows that grow up to {} need a positive step that divides it, not {}",
            self.size, self.step
        )))
    }

    fn name(&self) -> String {
        with_offset(format!("cumulative {} every {}", self.size, self.step), self.offset)
    }
}
