//! The arithmetic of panes: which one a timestamp falls into, and which windows it is part of.
//!
//! Panes are cut where windows start and where they end, and nowhere else, so that there are at
//! most two in a slide whatever the spans are (their greatest common divisor would give a pane a
//! nanosecond for a window of 1 s every 999,999,999 ns):
//!
//! ```text
//! size 50, slide 20       |0        |20       |40       |60        starts
//! size mod slide = 10     |    |10  |    |30  |    |50  |          ends
//! pane                    |  0 |  1 |  2 |  3 |  4 |  5 |          window 0 = panes 0..=4
//!
//! size 10, slide 20       |0        |20                   pane 0 = window 0; pane 1 is a gap
//! ```

use tailwater_core::{Error, Result, Timestamp};

use super::HotPane;
use crate::window::{Sliding, Window};

/// The most windows that one record may fall into. Beyond it, late records and firings would take
/// so long that the job is surely a mistake of units.
const WINDOWS_OF_A_RECORD_MAX: i64 = 1 << 20;

/// Windows and panes by number. Window `w` starts `w` slides after the offset.
#[derive(Clone, Copy, Debug)]
pub(in crate::window) struct Grid {
    windows: Sliding,
    /// How many whole slides a window is long.
    whole: i64,
    /// How far into a slide windows end; zero where they end as others start: then a slide is one
    /// pane.
    cut: i64,
}

impl Grid {
    pub(in crate::window) fn new(windows: Sliding) -> Result<Self> {
        windows.check()?;
        let (size, slide) = (windows.size.0, windows.slide.0);
        let (whole, cut) = (size / slide, size % slide);
        if whole >= WINDOWS_OF_A_RECORD_MAX {
            return Err(Error::configuration(format!(
                "windows of {} every {} put each record into {whole} windows; \
                 at most {WINDOWS_OF_A_RECORD_MAX} are supported: lengthen the slide",
                windows.size, windows.slide
            )));
        }
        Ok(Self { windows, whole, cut })
    }

    /// Whether each window is a single pane.
    pub(in crate::window) fn is_single(&self) -> bool {
        self.panes_of_a_window() == 1
    }

    /// How many panes a window has.
    pub(in crate::window) fn panes_of_a_window(&self) -> i64 {
        let (first, last) = self.panes(0);
        last - first + 1
    }

    /// The pane that holds `at`.
    #[inline]
    pub(in crate::window) fn pane(&self, at: Timestamp) -> i64 {
        let (offset, slide) = (self.windows.offset.0, self.windows.slide.0);
        let (slides, rest) = match at.0.checked_sub(offset) {
            Some(past) => (past.div_euclid(slide), past.rem_euclid(slide)),
            None => {
                let past = i128::from(at.0) - i128::from(offset);
                let slide = i128::from(slide);
                (past.div_euclid(slide) as i64, past.rem_euclid(slide) as i64)
            }
        };
        if self.cut == 0 {
            slides
        } else {
            slides.saturating_mul(2).saturating_add(i64::from(rest >= self.cut))
        }
    }

    /// The first and the last instant of a pane.
    pub(in crate::window) fn bounds(&self, pane: i64) -> (Timestamp, Timestamp) {
        if self.cut == 0 {
            let start = self.start(pane);
            return (clamp(start), clamp(start + i128::from(self.windows.slide.0) - 1));
        }
        let start = self.start(pane >> 1);
        let cut = start + i128::from(self.cut);
        let end = start + i128::from(self.windows.slide.0);
        if pane & 1 == 0 { (clamp(start), clamp(cut - 1)) } else { (clamp(cut), clamp(end - 1)) }
    }

    /// The instants from the start of pane `first` to the end of pane `last`, which may not lie
    /// before it.
    pub(in crate::window) fn span(&self, first: i64, last: i64) -> HotPane {
        // No record has the timestamp that stands for none.
        let start = self.bounds(first).0.max(Timestamp(i64::MIN + 1));
        let end = self.bounds(last).1.max(start);
        HotPane { first: start.0, len: end.0.abs_diff(start.0) + 1, index: 0 }
    }

    /// The first of the windows that a pane is part of; above the last one for a gap between
    /// windows.
    #[inline]
    pub(in crate::window) fn first_window(&self, pane: i64) -> i64 {
        if self.cut == 0 {
            pane.saturating_sub(self.whole - 1)
        } else {
            // Window w covers the panes 2w to 2(w + whole): the least w with 2(w + whole) >= pane.
            (pane >> 1).saturating_add(pane & 1).saturating_sub(self.whole)
        }
    }

    /// The last of the windows that a pane is part of.
    #[inline]
    pub(in crate::window) fn last_window(&self, pane: i64) -> i64 {
        if self.cut == 0 { pane } else { pane >> 1 }
    }

    /// The first and the last pane of a window.
    #[inline]
    pub(in crate::window) fn panes(&self, window: i64) -> (i64, i64) {
        if self.cut == 0 {
            (window, window.saturating_add(self.whole - 1))
        } else {
            (window.saturating_mul(2), window.saturating_add(self.whole).saturating_mul(2))
        }
    }

    /// The bounds of a window, cut off at the ends of time.
    pub(in crate::window) fn window(&self, window: i64) -> Window {
        let start = self.start(window);
        Window { start: clamp(start), end: clamp(start + i128::from(self.windows.size.0)) }
    }

    /// The last window whose results are due, `delay` after its last instant, when the watermark is
    /// at `watermark`: it and all before it are due.
    pub(in crate::window) fn last_due(&self, watermark: Timestamp, delay: i64) -> i64 {
        // An end beyond the end of time is cut off there, and a sum of times saturates there.
        if watermark == Timestamp::MAX || (watermark.0 == i64::MAX - 1 && delay == 0) {
            return i64::MAX;
        }
        let reached = i128::from(watermark.0) + 1
            - i128::from(delay)
            - i128::from(self.windows.size.0)
            - i128::from(self.windows.offset.0);
        reached.div_euclid(i128::from(self.windows.slide.0)).clamp(i64::MIN.into(), i64::MAX.into())
            as i64
    }

    fn start(&self, window: i64) -> i128 {
        i128::from(window) * i128::from(self.windows.slide.0) + i128::from(self.windows.offset.0)
    }
}

fn clamp(instant: i128) -> Timestamp {
    Timestamp(instant.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tailwater_core::Span;

    use super::*;

    fn grid(size: i64, slide: i64, offset: i64) -> Grid {
        Grid::new(Sliding::of(Span(size)).every(Span(slide)).offset(Span(offset))).unwrap()
    }

    #[test]
    fn a_window_in_too_many_pieces_is_refused() {
        let fine = Sliding::of(Span(i64::MAX)).every(Span(1));
        assert!(Grid::new(fine).unwrap_err().to_string().contains("lengthen the slide"));
    }

    proptest! {
        #[test]
        fn panes_cover_the_windows_that_assignment_gives(
            size in 1i64..60, slide in 1i64..60, shift in -59i64..60, at in -1_000i64..1_000,
        ) {
            let offset = shift % slide;
            let grid = grid(size, slide, offset);
            let at = Timestamp(at);
            let pane = grid.pane(at);
            let (first, last) = grid.bounds(pane);
            prop_assert!(first <= at && at <= last);
            for end in [first, last] {
                prop_assert_eq!(grid.pane(end), pane);
            }
            let windows: Vec<Window> = (grid.first_window(pane)..=grid.last_window(pane))
                .rev()
                .map(|window| grid.window(window))
                .collect();
            let assigned = Sliding::of(Span(size)).every(Span(slide)).offset(Span(offset));
            prop_assert_eq!(windows, assigned.windows(at).collect::<Vec<_>>());
            for window in grid.first_window(pane)..=grid.last_window(pane) {
                let (first, last) = grid.panes(window);
                prop_assert!(first <= pane && pane <= last);
                prop_assert_eq!(grid.bounds(first).0, grid.window(window).start);
                prop_assert_eq!(grid.bounds(last).1, grid.window(window).last());
                prop_assert_eq!(grid.is_single(), first == last);
            }
        }

        #[test]
        fn due_windows_are_those_whose_end_was_reached(
            size in 1i64..60, slide in 1i64..60, watermark in -500i64..500, delay in 0i64..90,
        ) {
            let grid = grid(size, slide, 0);
            let due = grid.last_due(Timestamp(watermark), delay);
            prop_assert!(grid.window(due).cleanup(Span(delay)) <= Timestamp(watermark));
            prop_assert!(grid.window(due + 1).cleanup(Span(delay)) > Timestamp(watermark));
        }

        #[test]
        fn the_ends_of_time_do_not_overflow(
            size in 1i64.., slide in 1i64.., shift: i64, back in 0u32..3, delay in 0i64..,
        ) {
            let windows = Sliding::of(Span(size)).every(Span(slide)).offset(Span(shift % slide));
            let Ok(grid) = Grid::new(windows) else { return Ok(()) };
            for at in [i64::MIN + i64::from(back), i64::MAX - i64::from(back), shift] {
                let pane = grid.pane(Timestamp(at));
                let (first, last) = grid.bounds(pane);
                prop_assert!(first.0 <= at && at <= last.0);
                grid.last_due(Timestamp(at), delay);
                grid.panes(grid.last_window(pane));
            }
        }
    }
}
