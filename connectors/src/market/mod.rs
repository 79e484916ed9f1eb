//! Market data: the records that every feed is read into, and the feeds.

pub mod binance;
mod events;
pub mod itch;
mod trade;

pub use events::{Captured, Depth, Level, MarketEvent, Quote, Snapshot};
pub use trade::{Side, Trade, TradeFormat, Trades, TradesDecoder};
