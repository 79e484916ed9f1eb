//! What happens to a record on one core: chains of operators, windows, aggregates, sources and
//! sinks.
//!
//! Operators see clean callbacks (record, watermark, snapshot, end) and never the network, threads
//! or a clock. Chains are generic: an operator calls the next one directly, and nothing is `dyn` on
//! the way.
#![forbid(unsafe_code)]

pub mod aggregate;
pub mod aggregates;
pub mod async_io;
pub mod blame;
pub mod chain;
pub mod in_order;
pub mod join;
pub mod operator;
pub mod process;
pub mod rolling;
pub mod sink;
pub mod source;
pub mod stateless;
pub mod testing;
pub mod watermarks;
pub mod window;

pub use aggregate::{Aggregate, Aggregator, IntoAggregator};
pub use chain::{Identity, Then};
pub use operator::{Backlog, Collect, Description, Operator, OperatorContext, RuntimeMode};
pub use process::{
    BroadcastContext, BroadcastOperator, BroadcastProcess, CoProcess, Context, Process,
    ProcessEach, ProcessOperator, UnkeyedBroadcastOperator, UnkeyedBroadcastProcess,
    UnkeyedContext, UnkeyedProcess, UnkeyedProcessOperator,
};
pub use sink::{Prepared, Restored, Sink, SinkContext, SinkWriter};
pub use source::{Polled, Source, SourceContext, SplitPosition, SplitReader, Waker};
pub use watermarks::{Aligned, WatermarkGenerator, Watermarks};
pub use window::{
    Fired, LateRecords, PaneWindows, Session, Sliding, Tumbling, Window, WindowResult,
};
