//! Which windows a record is put into: tumbling, sliding, sessions, global, or the user's rule.

use tailwater_core::{Error, Result, Span, Timestamp};

use crate::window::{Session, Sliding, Tumbling, Window};

/// Puts a record into windows.
pub trait Assigner<T>: Clone + Send + 'static {
    /// Whether windows of a key that overlap or touch grow into one, as sessions do (SEMANTICS 6).
    const MERGES: bool;

    /// Whether a record without an event time is refused (SEMANTICS 7).
    const NEEDS_TIME: bool = true;

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
