//! What an exchange tells: orders that come, change and go, and the prints that trading leaves.

use rkyv::{Archive, Deserialize, Serialize};
use tailwater_core::{Describe, Price, Size, Span, Symbol, Timestamp};

/// The side of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// A bid.
    Buy,
    /// An offer.
    Sell,
}

impl Side {
    /// The side that it trades with.
    #[inline]
    pub const fn opposite(self) -> Self {
        match self {
            Side::Buy => Side::Sell,
            Side::Sell => Side::Buy,
        }
    }
}

/// One event of the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Exchange time since the opening bell.
    pub at: Span,
    /// The symbol's index; its ITCH stock locate is one more.
    pub symbol: u16,
    /// What happened.
    pub kind: EventKind,
}

/// What can happen, one variant for each ITCH message about orders. Sizes are whole shares, prices
/// multiples of 0.0001, orders and matches have numbers that are unique over the tape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A new order rests in the book (`A`).
    Add {
        /// The order's number.
        order: u64,
        /// Its side.
        side: Side,
        /// Its size.
        shares: u32,
        /// Its limit.
        price: Price,
    },
    /// A resting order trades at its limit (`E`).
    Execute {
        /// The resting order.
        order: u64,
        /// How much of it trades.
        shares: u32,
        /// The match number.
        id: u64,
        /// The resting order's side; a reader of ITCH remembers it from `A`.
        side: Side,
        /// The resting order's limit; a reader of ITCH remembers it from `A` or `U`.
        price: Price,
    },
    /// A resting order trades at a price of its own (`C`).
    ExecuteWithPrice {
        /// The resting order.
        order: u64,
        /// How much of it trades.
        shares: u32,
        /// The match number.
        id: u64,
        /// The resting order's side; a reader of ITCH remembers it from `A`.
        side: Side,
        /// The price of the execution.
        price: Price,
        /// Whether it counts as a print.
        printable: bool,
    },
    /// A resting order shrinks (`X`).
    Cancel {
        /// The order.
        order: u64,
        /// By how much; some of it stays.
        shares: u32,
    },
    /// A resting order is withdrawn (`D`).
    Delete {
        /// The order.
        order: u64,
    },
    /// A resting order makes way for another on its side (`U`).
    Replace {
        /// The order that goes.
        order: u64,
        /// The order that comes, last in the queue at its limit.
        new_order: u64,
        /// The new order's size.
        shares: u32,
        /// The new order's limit.
        price: Price,
    },
    /// An order that was never shown trades (`P`).
    Trade {
        /// The side of the hidden order.
        side: Side,
        /// The size.
        shares: u32,
        /// The price.
        price: Price,
        /// The match number.
        id: u64,
    },
}

/// One trade as the tape shows it.
#[derive(
    Clone,
    Copy,
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
pub struct Print {
    /// What was traded.
    pub symbol: Symbol,
    /// At which price.
    pub price: Price,
    /// How much of it.
    pub size: Size,
    /// When, by the exchange's clock.
    pub at: Timestamp,
    /// The match number, unique over the tape and rising with time for a symbol.
    pub id: u64,
    /// Whether the order that rested was the buyer's.
    pub buyer_is_maker: bool,
}

impl Event {
    /// The print that it leaves, if it is a trade; `names` are the symbols, event time counts from
    /// `start`.
    #[inline]
    pub(crate) fn print(&self, names: &[Symbol], start: Timestamp) -> Option<Print> {
        let (id, shares, price, side) = match self.kind {
            EventKind::Execute { shares, id, side, price, .. }
            | EventKind::ExecuteWithPrice { shares, id, side, price, printable: true, .. }
            | EventKind::Trade { shares, id, side, price } => (id, shares, price, side),
            _ => return None,
        };
        Some(Print {
            symbol: names[usize::from(self.symbol)],
            price,
            size: Size::from_units(i64::from(shares) * SHARE_UNITS),
            at: start + self.at,
            id,
            buyer_is_maker: side == Side::Buy,
        })
    }
}

/// One share in units of a [`Size`].
const SHARE_UNITS: i64 = 10_i64.pow(tailwater_core::money::DECIMALS);
