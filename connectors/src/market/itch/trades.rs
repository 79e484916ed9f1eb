//! Trades out of ITCH: executions against the orders that they refer to, hidden trades, auctions.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use tailwater_core::{Counter, Counters, Price, Size, Symbol, Timestamp};

use super::{Frame, ItchBody, ItchMessage, ItchMessages, frame, is_plausible};
use crate::file::{Decoder, Format, Looks, Rest, Step, Unit};
use crate::market::{Side, Trade};

/// ITCH files read for their trades.
///
/// Trades are executions of displayed orders (`E`, and `C` where it is printable), trades against
/// hidden orders (`P`) and auctions (`Q`, unless nothing crossed). A trade's number is its match
/// number. A file is read as one market: the orders of one are unknown to another. A `B` that
/// breaks a trade comes after it and cannot take it back; it is counted under `itch_broken_trades`.
#[derive(Clone, Copy, Debug, Default)]
pub struct ItchTrades;

impl Format for ItchTrades {
    type Decoder = ItchTradeDecoder;

    fn name(&self) -> String {
        ItchMessages.name()
    }

    fn decoder(&self, looks: Looks) -> Option<ItchTradeDecoder> {
        is_plausible(looks).then(ItchTradeDecoder::default)
    }
}

/// An order in the book.
#[derive(Clone, Copy, Debug)]
struct Order {
    stock: Symbol,
    price: Price,
    left: Size,
    side: Side,
}

/// Reads trades, and remembers the orders in the book for it: about 60 bytes each.
///
/// References to orders that were never added (a file may begin in the middle of a day) are counted
/// under `itch_unknown_orders`.
#[derive(Debug, Default)]
pub struct ItchTradeDecoder {
    orders: HashMap<u64, Order>,
    unknown_orders: Counter,
    broken_trades: Counter,
}

impl Decoder for ItchTradeDecoder {
    type Out = Trade;

    fn unit(&self) -> Unit {
        Unit::Offset
    }

    fn register(&mut self, counters: &Counters) {
        self.unknown_orders = counters.register("itch_unknown_orders");
        self.broken_trades = counters.register("itch_broken_trades");
    }

    #[inline]
    fn next(&mut self, input: &[u8], rest: Rest) -> Step<Trade> {
        match frame(input, rest) {
            Frame::Message(bytes, used) => match ItchMessage::read(bytes) {
                Ok(message) => match self.trade(&message) {
                    Some(trade) => Step::Record(trade, used),
                    None => Step::Nothing(used),
                },
                Err(reason) => Step::Bad(reason, used),
            },
            Frame::End(used) => Step::Nothing(used),
            Frame::Bad(reason, used) => Step::Bad(reason, used),
            Frame::Lost(reason) => Step::Lost(reason),
            Frame::Incomplete => Step::Incomplete,
        }
    }
}

impl ItchTradeDecoder {
    /// Applies a message to the book; the trade that it is, if it is one.
    fn trade(&mut self, message: &ItchMessage) -> Option<Trade> {
        let at = message.at;
        match message.body {
            ItchBody::Add { reference, side, size, stock, price, .. } => {
                self.orders.insert(reference, Order { stock, price, left: size, side });
                None
            }
            ItchBody::Executed { reference, size, match_number } => {
                let order = self.take(reference, size)?;
                Some(execution(&order, order.price, size, at, match_number))
            }
            ItchBody::ExecutedAt { reference, size, match_number, printable, price } => {
                let order = self.take(reference, size)?;
                printable.then(|| execution(&order, price, size, at, match_number))
            }
            ItchBody::Cancelled { reference, size } => {
                self.take(reference, size);
                None
            }
            ItchBody::Deleted { reference } => {
                self.remove(reference);
                None
            }
            ItchBody::Replaced { reference, new_reference, size, price } => {
                let order = self.remove(reference)?;
                self.orders.insert(new_reference, Order { price, left: size, ..order });
                None
            }
            // The side in a `P` is that of the hidden order, and since 2014 always `B`: it says
            // nothing.
            ItchBody::Trade { size, stock: symbol, price, match_number: id, .. } => {
                Some(Trade { symbol, price, size, at, id, side: Side::Unknown })
            }
            ItchBody::Cross { size, stock: symbol, price, match_number: id, .. } => (!size
                .is_zero())
            .then_some(Trade { symbol, price, size, at, id, side: Side::Unknown }),
            ItchBody::Broken { .. } => {
                self.broken_trades.add(1);
                None
            }
            ItchBody::System { .. } | ItchBody::Other { .. } => None,
        }
    }

    /// Takes `size` off an order, and the order out of the book when nothing is left of it; the
    /// order as it was.
    fn take(&mut self, reference: u64, size: Size) -> Option<Order> {
        match self.orders.entry(reference) {
            Entry::Occupied(mut entry) => {
                let order = *entry.get();
                if order.left <= size {
                    entry.remove();
                } else {
                    entry.get_mut().left -= size;
                }
                Some(order)
            }
            Entry::Vacant(_) => {
                self.unknown_orders.add(1);
                None
            }
        }
    }

    fn remove(&mut self, reference: u64) -> Option<Order> {
        let order = self.orders.remove(&reference);
        if order.is_none() {
            self.unknown_orders.add(1);
        }
        order
    }
}

/// The trade between a resting order and somebody who came to it.
fn execution(order: &Order, price: Price, size: Size, at: Timestamp, id: u64) -> Trade {
    let side = match order.side {
        Side::Buy => Side::Sell,
        Side::Sell => Side::Buy,
        Side::Unknown => Side::Unknown,
    };
    Trade { symbol: order.stock, price, size, at, id, side }
}
