//! The jobs of the command line: a tape of trades into bars, or into sliding VWAP.

mod bars;
mod trade;
mod vwap;

use clap::ValueEnum;
use tailwater::operators::Source;
use tailwater::operators::aggregates::{Tick, ohlcv};
use tailwater::prelude::*;

use crate::output::Lines;
pub use trade::MarketTrade;

/// Which job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Volume-weighted average price of each symbol, in sliding windows
    Vwap,
    /// Open, high, low, close, volume and VWAP of each symbol, in tumbling windows
    Bars,
}

impl Kind {
    /// The job's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vwap => "vwap",
            Self::Bars => "bars",
        }
    }
}

/// In which order results leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By window end, then symbol, on one core: the same whatever the number of cores.
    ByWindow,
    /// As they come from the cores.
    Any,
}

/// What a job computes.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Which job.
    pub kind: Kind,
    /// The length of a window.
    pub window: Span,
    /// From the start of one window to the start of the next; the window itself where they tumble.
    pub slide: Span,
    /// How much later than the newest a trade may come.
    pub out_of_orderness: Span,
    /// For how long a closed window still takes trades.
    pub allowed_lateness: Span,
    /// In which order results leave.
    pub order: Order,
}

/// Adds to `job` the stream from `source` to `output`.
pub fn add<S>(job: &Job, shape: &Shape, source: S, pace: Pace, output: Lines)
where
    S: Source,
    S::Out: MarketTrade,
{
    let watermarks = Watermarks::bounded(shape.out_of_orderness);
    let trades =
        job.source(source).pace(pace).event_time(S::Out::at, watermarks).key_by(S::Out::symbol);
    match shape.kind {
        Kind::Bars => {
            let bars = trades
                .window(Tumbling::of(shape.window))
                .allowed_lateness(shape.allowed_lateness)
                .aggregate(ohlcv(|trade: &S::Out| Tick {
                    at: trade.at(),
                    id: trade.id(),
                    price: trade.price(),
                    size: trade.size(),
                }))
                .map(bars::Line::from);
            match shape.order {
                Order::ByWindow => bars.in_order(|line| line.symbol).sink(output),
                Order::Any => bars.sink(output),
            }
        }
        Kind::Vwap => {
            let prices = trades
                .window(Sliding::of(shape.window).every(shape.slide))
                .allowed_lateness(shape.allowed_lateness)
                .aggregate(tailwater::operators::aggregates::vwap(S::Out::price, S::Out::size))
                .map(vwap::Line::from);
            match shape.order {
                Order::ByWindow => prices.in_order(|line| line.symbol).sink(output),
                Order::Any => prices.sink(output),
            }
        }
    }
}
