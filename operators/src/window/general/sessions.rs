//! Windows by the sessions of a trading day: whole sessions, and bars that start at the open.

use std::sync::Arc;

use tailwater_core::{Error, Result, Span, Timestamp};

use super::Assigner;
use crate::window::Window;

/// When a market is open: sessions in order, and the time that they are known for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sessions {
    covers: Window,
    sessions: Arc<[Window]>,
}

impl Sessions {
    /// The sessions of the time that `covers` holds; outside of it nothing is known.
    ///
    /// # Errors
    /// When sessions are empty, overlap, are out of order, or lie outside.
    pub fn new(covers: Window, sessions: Vec<Window>) -> Result<Self> {
        let mut free = covers.start;
        for session in &sessions {
            if session.start < free || session.end <= session.start || session.end > covers.end {
                return Err(Error::configuration(format!(
                    "the session from {} to {} is empty, overlaps the one before, or lies outside \
                     of the calendar: list sessions in order",
                    session.start, session.end
                )));
            }
            free = session.end;
        }
        Ok(Self { covers, sessions: sessions.into() })
    }

    /// The time for which sessions are known.
    pub fn covers(&self) -> Window {
        self.covers
    }

    /// All sessions in order.
    pub fn all(&self) -> &[Window] {
        &self.sessions
    }
}

/// Finds the session of a time; the one that was found last is tried first.
#[derive(Clone, Debug)]
struct Finder {
    sessions: Sessions,
    last: usize,
}

impl Finder {
    #[inline]
    fn find(&mut self, at: Timestamp) -> Result<Option<Window>> {
        let Self { sessions: Sessions { covers, sessions }, last } = self;
        let holds = |session: &Window| session.start <= at && at < session.end;
        if let Some(&session) = sessions.get(*last).filter(|session| holds(session)) {
            return Ok(Some(session));
        }
        if at < covers.start || at >= covers.end {
            return Err(Error::configuration(format!(
                "the calendar knows the sessions from {} to {} only: let it cover more days",
                covers.start, covers.end
            )));
        }
        *last = sessions.partition_point(|session| session.end <= at);
        Ok(sessions.get(*last).copied().filter(holds))
    }
}

/// A window for each session of a calendar. Records between sessions belong to none: they are
/// counted as `records_outside_windows`, or go where late ones go if that is asked for. A record
/// that the calendar does not cover fails the job.
#[derive(Clone, Debug)]
pub struct TradingSessions(Finder);

impl TradingSessions {
    /// The sessions of a calendar.
    pub fn of(sessions: impl Into<Sessions>) -> Self {
        Self(Finder { sessions: sessions.into(), last: 0 })
    }
}

impl<T> Assigner<T> for TradingSessions {
    const MERGES: bool = false;
    const TELLS_GAPS: bool = true;

    #[inline]
    fn assign(&mut self, at: Timestamp, _: &T, into: &mut Vec<Window>) -> Result<()> {
        into.extend(self.0.find(at)?);
        Ok(())
    }

    fn name(&self) -> String {
        "trading sessions".to_owned()
    }
}

/// The length of bars that start at the open; say which with [`calendar`](Bars::calendar).
#[derive(Clone, Copy, Debug)]
pub struct Bars {
    size: Span,
}

impl Bars {
    /// Bars of `size`; the last of a session ends with it, and may be shorter.
    pub const fn of(size: Span) -> Self {
        Self { size }
    }

    /// The bars of each session of a calendar.
    pub fn calendar(self, sessions: impl Into<Sessions>) -> SessionBars {
        SessionBars { size: self.size, finder: Finder { sessions: sessions.into(), last: 0 } }
    }
}

/// Windows of one length from the open of each session on. Records between sessions are told as by
/// [`TradingSessions`].
#[derive(Clone, Debug)]
pub struct SessionBars {
    size: Span,
    finder: Finder,
}

impl<T> Assigner<T> for SessionBars {
    const MERGES: bool = false;
    const TELLS_GAPS: bool = true;

    #[inline]
    fn assign(&mut self, at: Timestamp, _: &T, into: &mut Vec<Window>) -> Result<()> {
        if let Some(session) = self.finder.find(at)? {
            let bars = (at.0 - session.start.0) / self.size.0;
            let start = session.start + self.size * bars;
            into.push(Window { start, end: (start + self.size).min(session.end) });
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        if self.size.0 > 0 {
            return Ok(());
        }
        Err(Error::configuration(format!("bars need a positive size, not {}", self.size)))
    }

    fn name(&self) -> String {
        format!("bars of {} from the open", self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(start: i64, end: i64) -> Window {
        Window { start: Timestamp(start), end: Timestamp(end) }
    }

    fn sessions() -> Sessions {
        Sessions::new(window(0, 300), vec![window(100, 125), window(200, 210)]).unwrap()
    }

    fn assigned<A: Assigner<()>>(assigner: &mut A, at: i64) -> Option<Vec<(i64, i64)>> {
        let mut into = Vec::new();
        assigner.assign(Timestamp(at), &(), &mut into).ok()?;
        Some(into.into_iter().map(|window| (window.start.0, window.end.0)).collect())
    }

    #[test]
    fn bars_start_at_the_open_and_end_with_the_session() {
        let mut bars = Bars::of(Span(10)).calendar(sessions());
        let cases = [
            (99, vec![]),
            (100, vec![(100, 110)]),
            (124, vec![(120, 125)]),
            (125, vec![]),
            (205, vec![(200, 210)]),
            (109, vec![(100, 110)]),
            (299, vec![]),
        ];
        for (at, expected) in cases {
            assert_eq!(assigned(&mut bars, at), Some(expected), "{at}");
        }
        assert_eq!(assigned(&mut bars, 300), None);
        assert_eq!(assigned(&mut bars, -1), None);
        let mut whole = TradingSessions::of(sessions());
        assert_eq!(assigned(&mut whole, 124), Some(vec![(100, 125)]));
        assert!(Assigner::<()>::check(&Bars::of(Span(0)).calendar(sessions())).is_err());
    }

    #[test]
    fn sessions_out_of_order_are_refused() {
        for bad in [
            vec![window(100, 100)],
            vec![window(100, 120), window(119, 130)],
            vec![window(200, 210), window(100, 120)],
            vec![window(290, 301)],
            vec![window(-1, 5)],
        ] {
            assert!(Sessions::new(window(0, 300), bad).is_err());
        }
    }
}
