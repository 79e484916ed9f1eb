//! A line of the bars.

use tailwater::operators::aggregates::Ohlcv;
use tailwater::prelude::*;

/// One line of the output; the order of the fields is part of the format.
#[record]
pub struct Line {
    pub symbol: Symbol,
    pub start: Timestamp,
    pub end: Timestamp,
    pub open: Price,
    pub high: Price,
    pub low: Price,
    pub close: Price,
    pub volume: Volume,
    pub notional: Notional,
    pub vwap: Price,
    pub trades: u64,
}

impl From<WindowResult<Symbol, Ohlcv>> for Line {
    fn from(result: WindowResult<Symbol, Ohlcv>) -> Self {
        let WindowResult { key: symbol, window: Window { start, end }, value } = result;
        let Ohlcv { open, high, low, close, volume, notional, vwap, trades } = value;
        Self { symbol, start, end, open, high, low, close, volume, notional, vwap, trades }
    }
}
