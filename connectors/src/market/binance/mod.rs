//! Binance USD-M futures captures: lines of a receive time in nanoseconds and one JSON message.
//!
//! ```text
//! 1723161255088176367 {"stream":"btcusdt@trade","data":{"e":"trade",..}}
//! ```
//!
//! Messages come in a fixed layout, which `scan` reads at the speed of a few comparisons a field.
//! Whatever deviates is read again as general JSON by `wire`, which decides whether it is only
//! unusual or malformed.
//!
//! Only messages of event `trade` whose kind `X` is `MARKET` are trades of the book. The same
//! stream carries transfers at made-up prices: liquidations taken over by the insurance fund
//! (`INSURANCE_FUND`), auto-deleveraging (`ADL`) and messages without a kind (`NA`). They would
//! bend every bar and VWAP, so they are left out, and counted under `binance_other_trades`.

mod scan;
mod wire;

use tailwater_core::{Counter, Counters, Symbol, Timestamp};

use super::{Captured, MarketEvent, Trade};
use crate::file::{Decoder, Format, Looks, Rest, Restart, Step, line_of};

/// A line's message.
enum Message {
    Event(MarketEvent),
    /// A trade that is none of the book's.
    OtherTrade,
    /// Recognised, and not wanted.
    Unwanted,
}

/// Captures read for everything in them.
#[derive(Clone, Copy, Debug, Default)]
pub struct BinanceEvents;

/// Captures read for their trades.
#[derive(Clone, Copy, Debug, Default)]
pub struct BinanceTrades;

impl Format for BinanceEvents {
    type Decoder = BinanceEventDecoder;

    fn name(&self) -> String {
        "a Binance USD-M capture".to_owned()
    }

    fn decoder(&self, looks: Looks) -> Option<Self::Decoder> {
        is_plausible(looks).then(BinanceEventDecoder::default)
    }
}

impl Format for BinanceTrades {
    type Decoder = BinanceTradeDecoder;

    fn name(&self) -> String {
        BinanceEvents.name()
    }

    fn decoder(&self, looks: Looks) -> Option<Self::Decoder> {
        is_plausible(looks).then(BinanceTradeDecoder::default)
    }
}

fn is_plausible(looks: Looks) -> bool {
    matches!(looks, Looks::Binance | Looks::Unknown | Looks::Empty)
}

/// Reads every message of a capture.
#[derive(Debug, Default)]
pub struct BinanceEventDecoder {
    /// The symbol of the line before, for the snapshot, which names none.
    symbol: Symbol,
    other_trades: Counter,
}

impl Decoder for BinanceEventDecoder {
    type Out = Captured;

    fn register(&mut self, counters: &Counters) {
        self.other_trades = counters.register("binance_other_trades");
    }

    #[inline]
    fn next(&mut self, input: &[u8], rest: Rest) -> Step<Captured> {
        let Some((line, used)) = line_of(input, rest) else { return Step::Incomplete };
        let message = match scan::event(line, self.symbol) {
            Some(message) => Ok(message),
            None if line.trim_ascii().is_empty() => return Step::Nothing(used),
            None => wire::event(line, self.symbol),
        };
        match message {
            Ok((received, Message::Event(event))) => {
                self.symbol = event.symbol();
                Step::Record(Captured { received, event }, used)
            }
            Ok((_, Message::OtherTrade)) => {
                self.other_trades.add(1);
                Step::Nothing(used)
            }
            Ok((_, Message::Unwanted)) => Step::Nothing(used),
            Err(reason) => Step::Bad(reason, used),
        }
    }
}

/// Reads the market trades of a capture. Other messages are recognised by their beginning and end
/// and not decoded.
#[derive(Debug, Default)]
pub struct BinanceTradeDecoder {
    other_trades: Counter,
}

impl Decoder for BinanceTradeDecoder {
    type Out = Trade;

    fn restart(&self) -> Restart {
        Restart::Anywhere
    }

    fn register(&mut self, counters: &Counters) {
        self.other_trades = counters.register("binance_other_trades");
    }

    #[inline]
    fn next(&mut self, input: &[u8], rest: Rest) -> Step<Trade> {
        let Some((line, used)) = line_of(input, rest) else { return Step::Incomplete };
        let message = match scan::trade(line) {
            Some(message) => Ok(message),
            None if line.trim_ascii().is_empty() => return Step::Nothing(used),
            None => wire::event(line, Symbol::default()),
        };
        match message {
            Ok((_, Message::Event(MarketEvent::Trade(trade)))) => Step::Record(trade, used),
            Ok((_, Message::OtherTrade)) => {
                self.other_trades.add(1);
                Step::Nothing(used)
            }
            Ok(_) => Step::Nothing(used),
            Err(reason) => Step::Bad(reason, used),
        }
    }
}

/// A time in milliseconds as a timestamp; `None` beyond the year 2262.
fn millis(at: u64) -> Option<Timestamp> {
    i64::try_from(at).ok()?.checked_mul(1_000_000).map(Timestamp)
}

#[cfg(test)]
mod tests;
