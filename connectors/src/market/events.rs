//! What a venue says about its book beside trades: best quotes, changes by level, whole books.

use tailwater_core::{Price, Size, Symbol, Timestamp};

use super::Trade;

/// A message of a venue, with the time at which the recording machine received it.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    tailwater_core::Describe,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Captured {
    /// By the receiver's clock, which may be wrong; never goes back within a capture.
    pub received: Timestamp,
    /// The message.
    pub event: MarketEvent,
}

/// A message about one instrument.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    tailwater_core::Describe,
    serde::Serialize,
    serde::Deserialize,
)]
pub enum MarketEvent {
    /// A trade happened.
    Trade(Trade),
    /// The best bid or ask changed.
    Quote(Quote),
    /// Some levels of the book changed.
    Depth(Depth),
    /// The whole book.
    Snapshot(Snapshot),
}

/// The best bid and ask.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    tailwater_core::Describe,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Quote {
    /// The instrument.
    pub symbol: Symbol,
    /// The highest price that somebody buys at.
    pub bid: Price,
    /// How much is bought there.
    pub bid_size: Size,
    /// The lowest price that somebody sells at.
    pub ask: Price,
    /// How much is sold there.
    pub ask_size: Size,
    /// When it changed, by the venue's clock.
    pub at: Timestamp,
    /// The venue's number of the change.
    pub id: u64,
}

/// A price level of a book; a size of zero means that it is gone.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    tailwater_core::Describe,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Level {
    /// The price.
    pub price: Price,
    /// All that is bought or sold there.
    pub size: Size,
}

/// Changed levels.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    tailwater_core::Describe,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Depth {
    /// The instrument.
    pub symbol: Symbol,
    /// When it changed, by the venue's clock.
    pub at: Timestamp,
    /// The number of the first change in this message.
    pub first_id: u64,
    /// The number of the last one.
    pub last_id: u64,
    /// The last number of the message before; a gap means that one was lost.
    pub previous_id: u64,
    /// Levels where there is buying.
    pub bids: Vec<Level>,
    /// Levels where there is selling.
    pub asks: Vec<Level>,
}

/// All levels.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    tailwater_core::Describe,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Snapshot {
    /// The instrument: that of the message before, because a snapshot does not say; empty where
    /// there was none.
    pub symbol: Symbol,
    /// When it was taken, by the venue's clock.
    pub at: Timestamp,
    /// The number of the last change that it contains.
    pub last_id: u64,
    /// Levels where there is buying, best first.
    pub bids: Vec<Level>,
    /// Levels where there is selling, best first.
    pub asks: Vec<Level>,
}

impl MarketEvent {
    /// When it happened, by the venue's clock.
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Trade(trade) => trade.at,
            Self::Quote(quote) => quote.at,
            Self::Depth(depth) => depth.at,
            Self::Snapshot(snapshot) => snapshot.at,
        }
    }

    /// The instrument.
    pub fn symbol(&self) -> Symbol {
        match self {
            Self::Trade(trade) => trade.symbol,
            Self::Quote(quote) => quote.symbol,
            Self::Depth(depth) => depth.symbol,
            Self::Snapshot(snapshot) => snapshot.symbol,
        }
    }
}
