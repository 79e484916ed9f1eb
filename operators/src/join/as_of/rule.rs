//! What an as-of join matches with what, and how long a record is of use to it.

use tailwater_core::{Span, Timestamp};

/// Which way a match is looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// The latest at or before the left record's time.
    #[default]
    Backward,
    /// The earliest at or after it.
    Forward,
    /// The nearer of the two; the earlier one where both are as near.
    Nearest,
    /// The one that came last, whatever its time: a match by processing time, which waits for
    /// nothing, and depends on how the two streams interleave.
    Arrived,
}

/// Which of several right records of one time is in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ties {
    /// The one that came last: it replaced the others.
    #[default]
    Last,
    /// The one that came first.
    First,
}

/// What is matched with what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AsOf {
    /// Which way.
    pub direction: Direction,
    /// The furthest that a match may be away in time; `None` for any distance.
    pub tolerance: Option<Span>,
    /// Which of several of one time.
    pub ties: Ties,
}

impl AsOf {
    /// The latest at or before.
    pub fn backward() -> Self {
        Self::default()
    }

    /// The earliest at or after.
    pub fn forward() -> Self {
        Self { direction: Direction::Forward, ..Self::default() }
    }

    /// The nearer of the two.
    pub fn nearest() -> Self {
        Self { direction: Direction::Nearest, ..Self::default() }
    }

    /// The one that has come last when the left record comes, at once. Neither side needs event
    /// time.
    pub fn arrived() -> Self {
        Self { direction: Direction::Arrived, ..Self::default() }
    }

    /// Matches no further away than this.
    #[must_use]
    pub fn within(self, tolerance: Span) -> Self {
        Self { tolerance: Some(tolerance), ..self }
    }

    /// Takes the first of several right records of one time.
    #[must_use]
    pub fn first_of_ties(self) -> Self {
        Self { ties: Ties::First, ..self }
    }

    /// Whether a match may be so far away.
    pub(super) fn tolerates(self, distance: Span) -> bool {
        self.tolerance.is_none_or(|tolerance| distance <= tolerance)
    }

    /// The watermark at which no right record that is still to come could be a better match for a
    /// left one at `at`, when the best so far is at `found`.
    pub(super) fn due(self, at: Timestamp, found: Option<Timestamp>) -> Timestamp {
        let furthest = self.tolerance.map_or(Timestamp::MAX, |tolerance| at + tolerance);
        match (self.direction, found) {
            (Direction::Backward | Direction::Arrived, _) => at,
            (Direction::Forward, Some(found)) => found,
            (Direction::Nearest, Some(found)) if found >= at => found,
            // As far behind as the one found is before; of two as near, the earlier is taken.
            (Direction::Nearest, Some(found)) => (at + (at - found)).min(furthest),
            (Direction::Forward | Direction::Nearest, None) => furthest,
        }
    }

    /// Whether a right record at `right` is a match for a left one at `at`, looking back only: the
    /// latest of these is in force.
    #[inline]
    pub(super) fn is_in_force(self, right: Timestamp, at: Timestamp) -> bool {
        match self.direction {
            Direction::Arrived => self.tolerates(apart(right, at)),
            _ => right <= at && self.tolerates(at - right),
        }
    }

    /// Whether a right record at `new`, which has come now, takes the place of one at `old`.
    #[inline]
    pub(super) fn replaces(self, new: Timestamp, old: Timestamp) -> bool {
        match (self.direction, self.ties) {
            (Direction::Arrived, _) => true,
            (_, Ties::Last) => new >= old,
            (_, Ties::First) => new > old,
        }
    }

    /// Whether no left record after `watermark` can be matched with a right one at `right` that is
    /// at or before it.
    #[inline]
    pub(super) fn has_ended(self, right: Timestamp, watermark: Timestamp) -> bool {
        self.direction != Direction::Arrived
            && self.tolerance.is_some_and(|tolerance| right + tolerance <= watermark)
    }

    /// Whether one right record of a key is enough: none has to be waited for beyond a left one.
    pub(super) fn looks_back(self) -> bool {
        matches!(self.direction, Direction::Backward | Direction::Arrived)
    }
}

/// How far two times are from each other.
pub(super) fn apart(one: Timestamp, other: Timestamp) -> Span {
    if one <= other { other - one } else { one - other }
}
