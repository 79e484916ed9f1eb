//! Which windows a timestamp falls into.

use tailwater_core::{Error, Result, Span, Timestamp};

use super::Window;

/// Windows of one size, end to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tumbling {
    /// The length of a window.
    pub size: Span,
    /// How far the starts lie behind multiples of the size; less than the size either way
    /// (SEMANTICS 2).
    pub offset: Span,
}

/// Windows of one size that start at regular steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sliding {
    /// The length of a window.
    pub size: Span,
    /// The distance from one start to the next; may be longer than the size (SEMANTICS 5).
    pub slide: Span,
    /// How far the starts lie behind multiples of the slide; less than the slide either way.
    pub offset: Span,
}

/// Windows that grow as long as records of a key follow each other within a gap (SEMANTICS 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// A session ends when its key has been silent for so long.
    pub gap: Span,
}

impl Tumbling {
    /// Windows of `size`, aligned to the epoch.
    pub const fn of(size: Span) -> Self {
        Self { size, offset: Span::ZERO }
    }

    /// The same windows, starting `offset` after multiples of the size.
    #[must_use]
    pub const fn offset(mut self, offset: Span) -> Self {
        self.offset = offset;
        self
    }

    /// The same windows as sliding ones whose step is their size.
    pub const fn as_sliding(self) -> Sliding {
        Sliding { size: self.size, slide: self.size, offset: self.offset }
    }

    /// The start of the window that holds `at`.
    #[inline]
    pub fn start(&self, at: Timestamp) -> Timestamp {
        last_start(at, self.offset, self.size)
    }
}

impl Sliding {
    /// Windows of `size`; say how often with [`every`](Sliding::every), else they are end to end.
    pub const fn of(size: Span) -> Self {
        Self { size, slide: size, offset: Span::ZERO }
    }

    /// The same windows, one every `slide`.
    #[must_use]
    pub const fn every(mut self, slide: Span) -> Self {
        self.slide = slide;
        self
    }

    /// The same windows, starting `offset` after multiples of the slide.
    #[must_use]
    pub const fn offset(mut self, offset: Span) -> Self {
        self.offset = offset;
        self
    }

    /// Refuses spans that make no windows (SEMANTICS 2).
    ///
    /// # Errors
    /// When size or slide is not positive, or the offset is not less than the slide either way.
    pub fn check(&self) -> Result<()> {
        if self.size.0 <= 0 || self.slide.0 <= 0 {
            return Err(Error::configuration(format!(
                "a window needs a positive size and slide, not {} every {}",
                self.size, self.slide
            )));
        }
        if self.offset.0.unsigned_abs() >= self.slide.0.unsigned_abs() {
            return Err(Error::configuration(format!(
                "a window's offset must be shorter than its slide: {} is not within {}",
                self.offset, self.slide
            )));
        }
        Ok(())
    }

    /// The windows as panes keep them in words, for `explain`.
    pub(super) fn describe(&self) -> String {
        let Self { size, slide, offset } = self;
        let mut detail = if size == slide {
            format!("tumbling {size}")
        } else {
            format!("sliding {size} every {slide}")
        };
        if *offset != Span::ZERO {
            detail += &format!(" from {offset}");
        }
        detail + " in panes"
    }

    /// The windows that hold `at`, latest first (SEMANTICS 4); none where it falls into a gap.
    pub fn windows(self, at: Timestamp) -> impl Iterator<Item = Window> {
        let first = last_start(at, self.offset, self.slide);
        std::iter::successors(Some(first), move |&start| {
            start.0.checked_sub(self.slide.0).map(Timestamp)
        })
        .take_while(move |start| start.0 > at.0.saturating_sub(self.size.0))
        .map(move |start| Window { start, end: start + self.size })
    }
}

impl Session {
    /// Sessions that end when their key has been silent for `gap`.
    pub const fn with_gap(gap: Span) -> Self {
        Self { gap }
    }
}

/// The greatest start at or before `at` on the grid of `step`s from `offset` (SEMANTICS 1): rounds
/// towards the past, negative times included.
#[inline]
pub fn last_start(at: Timestamp, offset: Span, step: Span) -> Timestamp {
    Timestamp(at.0.saturating_sub(at.0.wrapping_sub(offset.0).rem_euclid(step.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(windows: Sliding, at: i64) -> Vec<i64> {
        windows.windows(Timestamp(at)).map(|window| window.start.0).collect()
    }

    // SEMANTICS 1, 2
    #[test]
    fn negative_times_round_towards_the_past() {
        let minute = Tumbling::of(Span(60));
        assert_eq!([-1, -60, -61].map(|at| minute.start(Timestamp(at)).0), [-60, -60, -120]);
        assert_eq!(minute.offset(Span(-10)).start(Timestamp(0)), Timestamp(-10));
        assert!(minute.offset(Span(60)).as_sliding().check().is_err());
        assert!(minute.offset(Span(-59)).as_sliding().check().is_ok());
        assert!(Sliding::of(Span(0)).check().is_err());
    }

    // SEMANTICS 4, 5
    #[test]
    fn sliding_windows_come_latest_first_and_may_leave_gaps() {
        let sliding = Sliding::of(Span(50)).every(Span(20));
        assert_eq!(starts(sliding, 0), [0, -20, -40]);
        assert_eq!(starts(sliding, 55), [40, 20]);
        let gaps = Sliding::of(Span(10)).every(Span(30));
        assert_eq!(starts(gaps, 9), [0]);
        assert_eq!(starts(gaps, 10), [0; 0]);
    }
}
