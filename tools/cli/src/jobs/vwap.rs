//! A line of the sliding volume-weighted average price.

use tailwater::operators::aggregates::Vwap;
use tailwater::prelude::*;

/// One line of the output; the order of the fields is part of the format.
#[record]
pub struct Line {
    pub symbol: Symbol,
    pub start: Timestamp,
    pub end: Timestamp,
    pub vwap: Price,
    pub volume: Volume,
    pub trades: u64,
}

impl From<WindowResult<Symbol, Vwap>> for Line {
    fn from(result: WindowResult<Symbol, Vwap>) -> Self {
        let WindowResult { key: symbol, window: Window { start, end }, value } = result;
        Self { symbol, start, end, vwap: value.vwap, volume: value.volume, trades: value.trades }
    }
}
