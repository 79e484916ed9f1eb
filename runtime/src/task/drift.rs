//! Groups of sources whose fast splits wait for the slow ones (SEMANTICS 18): a board with the
//! least watermark of each source on each core.
//!
//! ```text
//! source a, core 0:  least of its splits --publish--> [ 70 ]
//! source a, core 1:                      --publish--> [ 90 ]  --every REFRESH_NS--> least 40
//! source b, core 0:                      --publish--> [ 40 ]
//!                                  a split whose watermark is above least + drift is not read
//! ```
//!
//! The split that holds the least watermark is never above it, so somebody can always go on: there
//! is no deadlock among the splits of a group.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tailwater_core::{Gauge, Span, Timestamp};
use tailwater_operators::Aligned;

/// How often a source looks how far its group is: a fraction of the delays that alignment is for,
/// and so seldom that reading the others' cache lines costs nothing.
const REFRESH_NS: u64 = 100_000;

type Board = Arc<Mutex<Vec<Gauge>>>;

/// The groups of one attempt of a job, by name.
#[derive(Clone, Debug, Default)]
pub struct DriftGroups(Arc<Mutex<BTreeMap<String, Board>>>);

impl DriftGroups {
    /// A place on the board of a group. All places are taken before the first record is read.
    pub(super) fn join(&self, aligned: &Aligned) -> DriftMember {
        let own = Gauge::new(i64::MIN);
        let mut groups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let board = groups.entry(aligned.group.clone()).or_default().clone();
        let mut members = board.lock().unwrap_or_else(PoisonError::into_inner);
        let place = members.len();
        members.push(own.clone());
        drop(members);
        DriftMember {
            own,
            place,
            board,
            others: Vec::new(),
            max_drift: aligned.max_drift.max(Span::ZERO),
            others_least: i64::MIN,
            due_ns: 0,
        }
    }
}

/// A source's place in its group, on one core.
#[derive(Debug)]
pub(super) struct DriftMember {
    own: Gauge,
    /// Where that is on the board.
    place: usize,
    board: Board,
    /// The rest of the board, since the first look at it.
    others: Vec<Gauge>,
    max_drift: Span,
    /// What the others showed when they were last looked at.
    others_least: i64,
    due_ns: u64,
}

impl DriftMember {
    /// Shows the least watermark of the splits here that hold the group back; MAX where none does.
    #[inline]
    pub(super) fn publish(&mut self, least: Timestamp) {
        self.own.set(least.0);
    }

    /// The highest watermark with which a split may be read. A group of which somebody has said
    /// nothing yet lets those be read that have said nothing either.
    #[inline]
    pub(super) fn limit(&mut self, now_ns: u64) -> Timestamp {
        if now_ns >= self.due_ns {
            self.look(now_ns);
        }
        match Timestamp(self.others_least.min(self.own.get())) {
            // Not a time to which a drift could be added.
            least @ (Timestamp::MIN | Timestamp::MAX) => least,
            least => least + self.max_drift,
        }
    }

    #[cold]
    fn look(&mut self, now_ns: u64) {
        if self.due_ns == 0 {
            let board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
            self.others.clone_from(&board);
            self.others.remove(self.place);
        }
        self.due_ns = now_ns + REFRESH_NS;
        self.others_least = self.others.iter().map(Gauge::get).min().unwrap_or(i64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aligned(group: &str) -> Aligned {
        Aligned { group: group.to_owned(), max_drift: Span(10) }
    }

    // SEMANTICS 18
    #[test]
    fn the_limit_is_the_least_of_the_group_and_the_drift() {
        let groups = DriftGroups::default();
        let (mut slow, mut fast) = (groups.join(&aligned("a")), groups.join(&aligned("a")));
        let mut other = groups.join(&aligned("b"));
        assert_eq!(fast.limit(0), Timestamp::MIN, "somebody has said nothing yet");
        slow.publish(Timestamp(40));
        fast.publish(Timestamp(90));
        assert_eq!(fast.limit(1), Timestamp::MIN, "it is not looked up again so soon");
        assert_eq!(fast.limit(REFRESH_NS), Timestamp(50));
        assert_eq!(slow.limit(REFRESH_NS), Timestamp(50));
        slow.publish(Timestamp::MAX);
        assert_eq!(fast.limit(REFRESH_NS + 1), Timestamp(50), "nor this");
        assert_eq!(fast.limit(2 * REFRESH_NS), Timestamp(100), "one that ended does not hold back");
        fast.publish(Timestamp(95));
        assert_eq!(fast.limit(2 * REFRESH_NS), Timestamp(105), "its own it knows at once");
        fast.publish(Timestamp::MAX);
        assert_eq!(fast.limit(3 * REFRESH_NS), Timestamp::MAX);
        assert_eq!(other.limit(0), Timestamp::MIN, "another group");
    }
}
