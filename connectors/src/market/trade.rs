//! Trades: one record whatever the venue and the format, and the choice of the format by content.

use std::fmt;

use tailwater_core::{Counters, Error, Price, Result, Size, Symbol, Timestamp};

use super::binance::BinanceTradeDecoder;
use super::itch::ItchTradeDecoder;
use crate::file::{
    CsvDecoder, Decoder, Dialect, Format, JsonlDecoder, Looks, Rest, Restart, Step, Unit,
};

/// A trade. Written as
/// `{"symbol":"BTCUSDT","price":"61800.3","size":"0.006","at":<ns>,"id":7,"side":"buy"}`.
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
#[serde(from = "Row")]
pub struct Trade {
    /// The instrument.
    pub symbol: Symbol,
    /// The price of one unit.
    pub price: Price,
    /// How many units.
    pub size: Size,
    /// When, by the venue's clock.
    pub at: Timestamp,
    /// The venue's number of the trade; where it gives none, the trade's place in its file, from
    /// zero.
    pub id: u64,
    /// Who came to the book and took.
    pub side: Side,
}

/// The side that took, and so the direction of a trade.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    tailwater_core::Describe,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Somebody bought what was offered.
    Buy,
    /// Somebody sold to who was bidding.
    Sell,
    /// The venue does not say, or nobody did: an auction.
    #[default]
    Unknown,
}

/// A trade as files of other makers have it.
#[derive(serde::Deserialize)]
struct Row {
    symbol: Symbol,
    price: Price,
    size: Size,
    at: Timestamp,
    #[serde(default)]
    id: Option<u64>,
    #[serde(default)]
    side: Side,
}

impl From<Row> for Trade {
    fn from(row: Row) -> Self {
        let Row { symbol, price, size, at, id, side } = row;
        Self { symbol, price, size, at, id: id.unwrap_or(0), side }
    }
}

/// The format of a file of trades.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TradeFormat {
    /// Told by the content of each file.
    #[default]
    Auto,
    /// A Binance USD-M capture.
    Binance,
    /// NASDAQ ITCH 5.0.
    Itch50,
    /// CSV with columns `symbol`, `price`, `size`, `at` and perhaps `id` and `side`.
    Csv,
    /// JSON lines with the same fields.
    Jsonl,
}

impl std::str::FromStr for TradeFormat {
    type Err = Error;

    /// Reads `auto`, `binance`, `itch50`, `csv` or `jsonl`.
    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "auto" => Self::Auto,
            "binance" => Self::Binance,
            "itch50" => Self::Itch50,
            "csv" => Self::Csv,
            "jsonl" => Self::Jsonl,
            _ => {
                return Err(Error::configuration(format!(
                    "`{text}` is no format of trades: write auto, binance, itch50, csv or jsonl"
                )));
            }
        })
    }
}

impl fmt::Display for TradeFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "trades",
            Self::Binance => "a Binance USD-M capture",
            Self::Itch50 => "NASDAQ ITCH 5.0",
            Self::Csv => "CSV",
            Self::Jsonl => "JSON lines",
        })
    }
}

/// Files of trades in any of the formats.
#[derive(Clone, Debug, Default)]
pub struct Trades {
    pub(crate) format: TradeFormat,
    pub(crate) dialect: Dialect,
}

impl Format for Trades {
    type Decoder = TradesDecoder;

    fn name(&self) -> String {
        self.format.to_string()
    }

    fn decoder(&self, looks: Looks) -> Option<TradesDecoder> {
        let content = match looks {
            Looks::Csv => Some(TradeFormat::Csv),
            Looks::JsonLines => Some(TradeFormat::Jsonl),
            Looks::Binance => Some(TradeFormat::Binance),
            Looks::Itch50 => Some(TradeFormat::Itch50),
            Looks::Empty => Some(TradeFormat::Jsonl),
            Looks::Foreign(_) => return None,
            Looks::Unknown => None,
        };
        let format = match (self.format, content) {
            (TradeFormat::Auto, content) => content?,
            (asked, Some(content)) if asked != content && looks != Looks::Empty => return None,
            (asked, _) => asked,
        };
        Some(TradesDecoder(match format {
            TradeFormat::Binance => Reads::Binance(BinanceTradeDecoder::default()),
            TradeFormat::Itch50 => Reads::Itch(ItchTradeDecoder::default()),
            TradeFormat::Csv => {
                let decoder = CsvDecoder::new(self.dialect.clone());
                Reads::Csv(Box::new(Numbered::new(decoder)))
            }
            // Nothing is left of `Auto` here.
            TradeFormat::Jsonl | TradeFormat::Auto => {
                Reads::Jsonl(Numbered::new(JsonlDecoder::default()))
            }
        }))
    }
}

/// A decoder that gives trades without a number their place in the file.
struct Numbered<D> {
    decoder: D,
    next: u64,
}

impl<D: Decoder<Out = Row>> Numbered<D> {
    fn new(decoder: D) -> Self {
        Self { decoder, next: 0 }
    }

    fn next(&mut self, input: &[u8], rest: Rest) -> Step<Trade> {
        match self.decoder.next(input, rest) {
            Step::Record(row, used) => {
                let id = row.id.unwrap_or(self.next);
                self.next += 1;
                Step::Record(Trade { id, ..row.into() }, used)
            }
            Step::Nothing(used) => Step::Nothing(used),
            Step::Bad(reason, used) => Step::Bad(reason, used),
            Step::Lost(reason) => Step::Lost(reason),
            Step::Incomplete => Step::Incomplete,
        }
    }
}

/// Reads trades in the format of one file.
pub struct TradesDecoder(Reads);

enum Reads {
    Binance(BinanceTradeDecoder),
    Itch(ItchTradeDecoder),
    Csv(Box<Numbered<CsvDecoder<Row>>>),
    Jsonl(Numbered<JsonlDecoder<Row>>),
}

impl Decoder for TradesDecoder {
    type Out = Trade;

    fn unit(&self) -> Unit {
        match &self.0 {
            Reads::Itch(decoder) => decoder.unit(),
            Reads::Binance(_) | Reads::Csv(_) | Reads::Jsonl(_) => Unit::Line,
        }
    }

    fn register(&mut self, counters: &Counters) {
        match &mut self.0 {
            Reads::Binance(decoder) => decoder.register(counters),
            Reads::Itch(decoder) => decoder.register(counters),
            Reads::Csv(_) | Reads::Jsonl(_) => {}
        }
    }

    fn restart(&self) -> Restart {
        match &self.0 {
            Reads::Binance(decoder) => decoder.restart(),
            Reads::Itch(decoder) => decoder.restart(),
            Reads::Csv(numbered) => numbered.decoder.restart(),
            Reads::Jsonl(numbered) => numbered.decoder.restart(),
        }
    }

    fn skipped(&mut self, records: u64) {
        match &mut self.0 {
            Reads::Csv(numbered) => numbered.next = records,
            Reads::Jsonl(numbered) => numbered.next = records,
            Reads::Binance(_) | Reads::Itch(_) => {}
        }
    }

    #[inline]
    fn next(&mut self, input: &[u8], rest: Rest) -> Step<Trade> {
        match &mut self.0 {
            Reads::Binance(decoder) => decoder.next(input, rest),
            Reads::Itch(decoder) => decoder.next(input, rest),
            Reads::Csv(decoder) => decoder.next(input, rest),
            Reads::Jsonl(decoder) => decoder.next(input, rest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::decode_all;

    fn read(looks: Looks, text: &str) -> Vec<Trade> {
        let decoder = Trades::default().decoder(looks).unwrap();
        let (trades, bad, outcome) = decode_all(decoder, text.as_bytes(), 7);
        assert!(bad.is_empty() && outcome.is_ok(), "{bad:?} {outcome:?}");
        trades
    }

    #[test]
    fn what_has_no_number_gets_its_place_in_the_file() {
        let csv = read(Looks::Csv, "symbol,price,size,at\nX,1.5,2,10\nX,1.5,2,10\n");
        assert_eq!(csv.iter().map(|trade| trade.id).collect::<Vec<_>>(), [0, 1]);
        let json = r#"{"symbol":"X","price":"1.5","size":"2","at":10,"id":7,"side":"sell"}"#;
        let trades = read(Looks::JsonLines, json);
        assert_eq!(trades, [Trade { id: 7, side: Side::Sell, ..csv[0] }]);
        assert_eq!(serde_json::to_string(&trades[0]).unwrap(), json);
    }

    #[test]
    fn a_format_that_was_asked_for_is_not_guessed() {
        let asked = Trades { format: TradeFormat::Binance, dialect: Dialect::default() };
        assert!(asked.decoder(Looks::Csv).is_none());
        assert!(matches!(asked.decoder(Looks::Binance), Some(TradesDecoder(Reads::Binance(_)))));
        assert!(Trades::default().decoder(Looks::Unknown).is_none());
        assert!("parquet".parse::<TradeFormat>().is_err());
    }
}
