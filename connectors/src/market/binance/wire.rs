//! The general way: the messages as JSON in any layout, and the reasons why a line is none.

use serde::Deserialize;
use serde_json::value::RawValue;
use tailwater_core::{Price, Size, Symbol, Timestamp};

use super::{Message, millis};
use crate::file::jsonl::reason_of;
use crate::market::{Depth, Level, MarketEvent, Quote, Side, Snapshot, Trade};

/// The message of a line, or what is wrong with it.
#[cold]
pub(super) fn event(line: &[u8], symbol: Symbol) -> Result<(Timestamp, Message), String> {
    let text = std::str::from_utf8(line).map_err(|_| "the line is not UTF-8".to_owned())?;
    let (received, json) = text
        .split_once(' ')
        .ok_or_else(|| "no receive time and space before the message".to_owned())?;
    let received = received
        .parse()
        .map(Timestamp)
        .map_err(|_| format!("`{received}` is not a receive time in nanoseconds"))?;
    let frame: Frame = parse(json)?;
    let message = match frame.data {
        Some(data) => {
            let Kind { e: kind } = parse(data.get())?;
            match kind.as_str() {
                "trade" => parse::<WireTrade>(data.get())?.message()?,
                "bookTicker" => parse::<WireQuote>(data.get())?.message()?,
                "depthUpdate" => parse::<WireDepth>(data.get())?.message()?,
                other => return Err(format!("unknown event `{other}`")),
            }
        }
        None => parse::<WireSnapshot>(json)?.message(symbol)?,
    };
    Ok((received, message))
}

fn parse<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, String> {
    serde_json::from_str(json).map_err(|cause| reason_of(&cause))
}

fn at(ms: u64) -> Result<Timestamp, String> {
    millis(ms).ok_or_else(|| format!("the time {ms} ms is out of range"))
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Kind {
    e: String,
}

#[derive(Deserialize)]
struct WireTrade {
    #[serde(rename = "T")]
    at: u64,
    s: Symbol,
    t: u64,
    p: Price,
    q: Size,
    #[serde(rename = "X")]
    kind: String,
    m: bool,
}

impl WireTrade {
    fn message(self) -> Result<Message, String> {
        match self.kind.as_str() {
            "MARKET" => {}
            "INSURANCE_FUND" | "ADL" | "NA" => return Ok(Message::OtherTrade),
            other => return Err(format!("unknown kind of trade `{other}`")),
        }
        let side = if self.m { Side::Sell } else { Side::Buy };
        let (symbol, price, size, id) = (self.s, self.p, self.q, self.t);
        let trade = Trade { symbol, price, size, at: at(self.at)?, id, side };
        Ok(Message::Event(MarketEvent::Trade(trade)))
    }
}

#[derive(Deserialize)]
struct WireQuote {
    u: u64,
    s: Symbol,
    b: Price,
    #[serde(rename = "B")]
    bid_size: Size,
    a: Price,
    #[serde(rename = "A")]
    ask_size: Size,
    #[serde(rename = "T")]
    at: u64,
}

impl WireQuote {
    fn message(self) -> Result<Message, String> {
        Ok(Message::Event(MarketEvent::Quote(Quote {
            symbol: self.s,
            bid: self.b,
            bid_size: self.bid_size,
            ask: self.a,
            ask_size: self.ask_size,
            at: at(self.at)?,
            id: self.u,
        })))
    }
}

type WireLevels = Vec<(Price, Size)>;

fn levels(wire: WireLevels) -> Vec<Level> {
    wire.into_iter().map(|(price, size)| Level { price, size }).collect()
}

#[derive(Deserialize)]
struct WireDepth {
    #[serde(rename = "T")]
    at: u64,
    s: Symbol,
    #[serde(rename = "U")]
    first_id: u64,
    u: u64,
    pu: u64,
    b: WireLevels,
    a: WireLevels,
}

impl WireDepth {
    fn message(self) -> Result<Message, String> {
        Ok(Message::Event(MarketEvent::Depth(Depth {
            symbol: self.s,
            at: at(self.at)?,
            first_id: self.first_id,
            last_id: self.u,
            previous_id: self.pu,
            bids: levels(self.b),
            asks: levels(self.a),
        })))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireSnapshot {
    last_update_id: u64,
    #[serde(rename = "T")]
    at: u64,
    bids: WireLevels,
    asks: WireLevels,
}

impl WireSnapshot {
    fn message(self, symbol: Symbol) -> Result<Message, String> {
        Ok(Message::Event(MarketEvent::Snapshot(Snapshot {
            symbol,
            at: at(self.at)?,
            last_id: self.last_update_id,
            bids: levels(self.bids),
            asks: levels(self.asks),
        })))
    }
}
