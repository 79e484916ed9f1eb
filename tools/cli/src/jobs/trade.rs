//! What the jobs need to know of a trade, wherever it comes from.

use tailwater::connectors::Trade;
use tailwater::{Price, Record, Size, Symbol, Timestamp};
use tailwater_market::Print;

/// A record that tells of a trade.
pub trait MarketTrade: Record {
    /// What was traded.
    fn symbol(&self) -> Symbol;
    /// At which price.
    fn price(&self) -> Price;
    /// How much.
    fn size(&self) -> Size;
    /// When.
    fn at(&self) -> Timestamp;
    /// Orders trades of the same instant.
    fn id(&self) -> u64;
}

macro_rules! market_trade {
    ($name:ty) => {
        impl MarketTrade for $name {
            #[inline]
            fn symbol(&self) -> Symbol {
                self.symbol
            }
            #[inline]
            fn price(&self) -> Price {
                self.price
            }
            #[inline]
            fn size(&self) -> Size {
                self.size
            }
            #[inline]
            fn at(&self) -> Timestamp {
                self.at
            }
            #[inline]
            fn id(&self) -> u64 {
                self.id
            }
        }
    };
}

market_trade!(Print);
market_trade!(Trade);
