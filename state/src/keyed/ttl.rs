//! Time to live: when an entry has expired, who sees it then, and how it is swept away
//! (SEMANTICS 51-57).

use rkyv::{Archive, Deserialize, Serialize};
use tailwater_core::{Describe, Record, Span, Timestamp};

use super::{Kept, Now};
use crate::table::{Lives, Trim};

/// How long entries of a state live, counted from when they were last touched.
///
/// ```
/// use tailwater_core::TimeUnits;
/// use tailwater_state::keyed::Ttl;
///
/// let ttl = Ttl::after(10.minutes()).refreshed_by_reads().in_event_time();
/// # let _ = ttl;
/// ```
///
/// It is no part of a snapshot: a job may go on with another (SEMANTICS 56). A longer one shows
/// entries again that had expired and were not yet swept away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ttl {
    /// An entry that was touched at `t` is expired at `t` + `after`.
    pub after: Span,
    /// What counts as touching.
    pub refresh: Refresh,
    /// Whether an expired entry is seen.
    pub visibility: Visibility,
    /// By which clock.
    pub clock: TtlClock,
}

/// What counts as touching an entry (SEMANTICS 52).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresh {
    /// Creating and changing.
    OnCreateAndWrite,
    /// Reading what has not expired as well.
    OnReadAndWrite,
}

/// Whether an expired entry is seen (SEMANTICS 53).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// It is gone at once.
    NeverReturnExpired,
    /// It is seen once more, if it was not swept away before.
    ReturnExpiredIfNotCleanedUp,
}

/// By which clock entries age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TtlClock {
    /// The wall clock.
    Processing,
    /// The time of the record or timer that looks, or the watermark where that is later.
    Event,
}

impl Ttl {
    /// Entries expire so long after they were created or changed, by the wall clock, and are gone
    /// then.
    pub const fn after(after: Span) -> Self {
        Self {
            after,
            refresh: Refresh::OnCreateAndWrite,
            visibility: Visibility::NeverReturnExpired,
            clock: TtlClock::Processing,
        }
    }

    /// Nothing expires. For a state that is declared with a TTL whose length is known later.
    pub const fn never() -> Self {
        Self::after(Span::MAX)
    }

    /// Reading an entry counts as touching it.
    #[must_use]
    pub const fn refreshed_by_reads(self) -> Self {
        Self { refresh: Refresh::OnReadAndWrite, ..self }
    }

    /// An expired entry is seen once more if it was not swept away.
    #[must_use]
    pub const fn returning_expired(self) -> Self {
        Self { visibility: Visibility::ReturnExpiredIfNotCleanedUp, ..self }
    }

    /// Entries age by event time.
    #[must_use]
    pub const fn in_event_time(self) -> Self {
        Self { clock: TtlClock::Event, ..self }
    }

    pub(super) fn time(&self, now: Now) -> Timestamp {
        match self.clock {
            TtlClock::Processing => now.processing,
            TtlClock::Event => now.event,
        }
    }
}

/// What is kept beside a value: nothing, or when it was touched.
pub trait Stamp: Record + Copy {
    /// Whether nothing ever expires.
    const IS_LASTING: bool;

    /// A stamp of this time.
    fn at(time: Timestamp) -> Self;

    /// The time of the stamp.
    fn time(self) -> Timestamp;
}

/// The stamp of what does not expire: nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize, Describe)]
pub struct Lasting;

/// The stamp of what expires: when it was last touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize, Describe)]
pub struct Expiring(Timestamp);

impl Stamp for Lasting {
    const IS_LASTING: bool = true;

    #[inline(always)]
    fn at(_: Timestamp) -> Self {
        Self
    }

    #[inline(always)]
    fn time(self) -> Timestamp {
        Timestamp::MAX
    }
}

impl Stamp for Expiring {
    const IS_LASTING: bool = false;

    #[inline]
    fn at(time: Timestamp) -> Self {
        Self(time)
    }

    #[inline]
    fn time(self) -> Timestamp {
        self.0
    }
}

/// What a state knows of time.
#[derive(Debug)]
pub(super) struct Life {
    pub ttl: Ttl,
    now: Timestamp,
    /// The latest time that a sweep was told.
    latest: Timestamp,
    /// Where the sweep stands.
    pub cursor: usize,
    /// When the next pass of the sweep begins.
    next_pass: Timestamp,
}

/// Passes over a table in the time that an entry lives: what has expired is kept for a quarter of
/// its life longer at most, and tables in which nothing expires are not walked all the time.
const PASSES: i64 = 4;

impl Life {
    pub fn new(ttl: Ttl) -> Self {
        let unknown = Timestamp::MIN;
        Self { ttl, now: unknown, latest: unknown, cursor: 0, next_pass: unknown }
    }

    #[inline]
    pub fn enter(&mut self, now: Now) {
        self.now = self.ttl.time(now);
    }

    /// A stamp of now; an older record does not make an entry older.
    #[inline]
    pub fn stamp<S: Stamp>(&self) -> S {
        S::at(self.now)
    }

    #[inline]
    pub fn touch<S: Stamp>(&self, stamp: &mut S) {
        if !S::IS_LASTING && stamp.time() < self.now {
            *stamp = S::at(self.now);
        }
    }

    /// Whether what was touched then has expired (SEMANTICS 51). A life beyond the end of time does
    /// not end.
    #[inline]
    pub fn is_expired<S: Stamp>(&self, stamp: S) -> bool {
        !S::IS_LASTING && self.is_expired_at(stamp, self.now)
    }

    pub fn is_expired_at<S: Stamp>(&self, stamp: S, now: Timestamp) -> bool {
        is_expired_after(self.ttl.after, stamp, now)
    }

    /// Leaves what has expired by now out of a full checkpoint, whoever could still see it.
    pub fn trim_value<V: Record, S: Stamp>(&self) -> Option<Trim<Kept<V, S>>> {
        let (after, now) = self.trim_time::<S>()?;
        Some(Box::new(move |kept| match is_expired_after(after, kept.stamp, now) {
            true => Lives::Not,
            false => Lives::Whole,
        }))
    }

    /// The same for values that are lists, of which each element lives for itself.
    pub fn trim_list<V: Record, S: Stamp>(&self) -> Option<Trim<Vec<Kept<V, S>>>> {
        let (after, now) = self.trim_time::<S>()?;
        Some(Box::new(move |list| {
            let lives = |kept: &&Kept<V, S>| !is_expired_after(after, kept.stamp, now);
            match list.iter().filter(lives).count() {
                0 => Lives::Not,
                all if all == list.len() => Lives::Whole,
                _ => Lives::Partly(list.iter().filter(lives).cloned().collect()),
            }
        }))
    }

    /// How long entries live, and the time to judge them by: that of the sweep. The record that was
    /// looked at last may be ahead of the watermark, and one that follows may come before it.
    fn trim_time<S: Stamp>(&self) -> Option<(Span, Timestamp)> {
        let is_off = S::IS_LASTING || self.ttl.after == Span::MAX;
        (!is_off && self.latest != Timestamp::MIN).then_some((self.ttl.after, self.latest))
    }

    #[inline]
    pub fn hides_expired(&self) -> bool {
        self.ttl.visibility == Visibility::NeverReturnExpired
    }

    #[inline]
    pub fn is_refreshed_by_reads(&self) -> bool {
        self.ttl.refresh == Refresh::OnReadAndWrite
    }

    /// The time to sweep by, where a pass is under way or due.
    pub fn sweep_time<S: Stamp>(&mut self, now: Now) -> Option<Timestamp> {
        let time = self.ttl.time(now);
        if time < Timestamp::MAX {
            self.latest = self.latest.max(time);
        }
        let is_off = S::IS_LASTING || self.ttl.after == Span::MAX || time == Timestamp::MAX;
        (!is_off && (self.cursor > 0 || time >= self.next_pass)).then_some(time)
    }

    /// A pass of the sweep has ended.
    pub fn end_pass(&mut self, time: Timestamp) {
        self.cursor = 0;
        self.next_pass = time + Span((self.ttl.after.0 / PASSES).max(1));
    }
}

/// A life beyond the end of time does not end.
fn is_expired_after<S: Stamp>(after: Span, stamp: S, now: Timestamp) -> bool {
    stamp.time().0.checked_add(after.0).is_some_and(|end| end <= now.0)
}
