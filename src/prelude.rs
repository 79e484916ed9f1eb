//! What a job needs in one line: `use tailwater::prelude::*;`.

pub use crate::{
    Checkpoints, Cores, Counted, Driver, Error, Idle, Job, Key, Local, Notional, OpenStore,
    Outputs, Pace, Price, Record, Report, Restart, Restore, Result, RuntimeMode, Size, Span,
    Stamped, Stream, Symbol, TimeUnits, Timestamp, Volume, egress, groups, ingress, keyed_state,
    operator_state, pairs, record,
};
pub use tailwater_connectors::{
    Calendar, Files, OnError, Pool, Roll, collect, counting, from_splits, from_vec, stdout,
};
pub use tailwater_operators::aggregates::{
    count, distinct, max, mean, min, ohlcv, quantile, sum, top_n, vwap,
};
pub use tailwater_operators::async_io::{Async, Enriched, LookUp, Retries};
pub use tailwater_operators::join::{AsOf, Interval, Joined, Matched};
pub use tailwater_operators::window::general::{
    Bars, Continuous, ContinuousProcessing, Count, CountEvictor, Cumulative, Delta, DeltaEvictor,
    DynamicSession, EndOfStream, Evict, Global, Never, Purging, TimeEvictor, Timeout,
    TradingSessions, Trigger, TriggerContext, Verdict, WindowContext, WindowProcess,
};
pub use tailwater_operators::{
    Aggregate, BroadcastContext, BroadcastProcess, CoProcess, Context, Process, Session, Sliding,
    Tumbling, UnkeyedBroadcastProcess, UnkeyedContext, UnkeyedProcess, Watermarks, Window,
    WindowResult,
};
pub use tailwater_state::keyed::{NoState, Ttl};
pub use tailwater_state::{BroadcastState, ListState, UnionState};
