//! What travels between operators: records with their event time, and the control elements among
//! them.

use rkyv::{Archive, Deserialize, Serialize};

use crate::{Describe, Timestamp};

/// A record with its event time ([`Timestamp::NONE`] where none was assigned).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize, Describe)]
pub struct Stamped<T> {
    /// Event time.
    pub at: Timestamp,
    /// The record.
    pub value: T,
}

/// The mark that separates what a checkpoint contains from what comes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Barrier {
    /// The checkpoint's number; grows over a job's life, restarts included.
    pub checkpoint: u64,
}

/// A probe that a source sends in-band, so that a sink can tell how long the way took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Which source node of the job sent it.
    pub source: u16,
    /// Which core it started on.
    pub core: u16,
    /// When it was due, in monotonic nanoseconds of the job's [`Clock`](crate::Clock).
    pub sent_ns: u64,
}

/// An element that is not a record: it keeps its place among the records of its channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// No later record of this channel has a timestamp at or below this one (SEMANTICS 9).
    Watermark(Timestamp),
    /// The channel will be silent for a while and must not hold back the watermark.
    Idle,
    /// The channel takes part again.
    Active,
    /// A checkpoint's barrier.
    Barrier(Barrier),
    /// A latency probe.
    Marker(Marker),
    /// Nothing follows on this channel.
    End,
}

/// A record or a control element: a stream as a script or a test sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Element<T> {
    /// A record with its event time.
    Record(Stamped<T>),
    /// Anything else.
    Control(Control),
}

impl<T> Stamped<T> {
    /// A record at an event time.
    #[inline]
    pub const fn new(at: Timestamp, value: T) -> Self {
        Self { at, value }
    }
}
