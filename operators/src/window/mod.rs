//! Windows of event time: what they are, what they emit, and the operators that keep them.

pub mod assign;
pub mod general;
pub mod local;
pub mod panes;
pub mod reduce;

use rkyv::{Archive, Deserialize, Serialize};
use tailwater_core::{Describe, Span, Timestamp};

pub use assign::{Session, Sliding, Tumbling};
pub use general::GeneralWindows;
pub use local::{LocalPanes, Merging, Partial};
pub use panes::PaneWindows;

/// A span of event time; `end` is exclusive (SEMANTICS 3).
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Archive,
    Serialize,
    Deserialize,
    Describe,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Window {
    /// The first instant inside.
    pub start: Timestamp,
    /// The first instant after it.
    pub end: Timestamp,
}

impl Window {
    /// The one window that holds all time (SEMANTICS 43).
    pub const GLOBAL: Self = Self { start: Timestamp::MIN, end: Timestamp::MAX };

    /// The last instant inside, which its results are stamped with: a window fires when the
    /// watermark reaches it (SEMANTICS 9). A window up to the end of time includes it: its last
    /// instant is [`Timestamp::MAX`].
    #[inline]
    pub fn last(self) -> Timestamp {
        if self.end == Timestamp::MAX { self.end } else { self.end - Span(1) }
    }

    /// When its state is dropped: records are late from here on (SEMANTICS 23, 24).
    #[inline]
    pub fn cleanup(self, allowed_lateness: Span) -> Timestamp {
        self.last() + allowed_lateness
    }
}

/// What a keyed window emits: its key and bounds with the result.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    Archive,
    Serialize,
    Deserialize,
    Describe,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct WindowResult<K, V> {
    /// The key.
    pub key: K,
    /// The window's bounds.
    pub window: Window,
    /// What the aggregate gave.
    pub value: V,
}

/// The output of a window operator: a result, or a record that came too late for all its windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fired<R, T> {
    /// A window's result.
    Result(R),
    /// A late record, where the job asked for them (SEMANTICS 28).
    Late(T),
}

/// What happens to records that come too late for all their windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LateRecords {
    /// Dropped and counted as `late_records_dropped`.
    #[default]
    Drop,
    /// Emitted as [`Fired::Late`], and not counted.
    Emit,
}
