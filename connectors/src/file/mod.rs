//! Files as inputs and outputs: a set of files is a source where it is read, a sink where written.

mod archive;
mod csv;
mod decoder;
pub(crate) mod jsonl;
mod paths;
mod policy;
mod pump;
mod reader;
mod set;
mod sniff;

use crate::market::binance::{BinanceEvents, BinanceTrades};
use crate::market::itch::{ItchMessages, ItchTrades};
use crate::market::{TradeFormat, Trades};

pub use archive::Archive;
pub use csv::{Csv, CsvDecoder, Dialect};
pub(crate) use decoder::line_of;
pub use decoder::{BadInput, Decoder, Format, Rest, Restart, Step, Unit};
pub use jsonl::{Jsonl, JsonlDecoder};
pub use paths::Paths;
pub use policy::OnError;
pub use pump::decode_all;
pub use set::{FileSet, Roll};
pub use sniff::Looks;

/// Inputs and outputs that are files.
///
/// Inputs are one path or several, or patterns such as `tape/*.csv.gz`; each file is a split, read
/// in order, with a thread of its own. Files packed with gzip, zstd or xz are unpacked on the way,
/// whatever their names.
///
/// An output is one path; ending in `/`, it is a directory of parts. See [`FileSet::roll`].
pub struct Files;

impl Files {
    /// CSV with a header line.
    pub fn csv<T>(paths: impl Into<Paths>) -> FileSet<Csv<T>> {
        FileSet::new(Csv::new(Dialect::default()), paths)
    }

    /// JSON lines.
    pub fn jsonl<T>(paths: impl Into<Paths>) -> FileSet<Jsonl<T>> {
        FileSet::new(Jsonl::new(), paths)
    }

    /// The market trades of Binance USD-M captures.
    pub fn binance_trades(paths: impl Into<Paths>) -> FileSet<BinanceTrades> {
        FileSet::new(BinanceTrades, paths)
    }

    /// Everything in Binance USD-M captures, with its receive time.
    pub fn binance_events(paths: impl Into<Paths>) -> FileSet<BinanceEvents> {
        FileSet::new(BinanceEvents, paths)
    }

    /// The trades of NASDAQ ITCH 5.0 files.
    pub fn itch_trades(paths: impl Into<Paths>) -> FileSet<ItchTrades> {
        FileSet::new(ItchTrades, paths)
    }

    /// All messages of NASDAQ ITCH 5.0 files.
    pub fn itch_messages(paths: impl Into<Paths>) -> FileSet<ItchMessages> {
        FileSet::new(ItchMessages, paths)
    }

    /// Trades in any of the formats, told by the content of each file.
    pub fn trades(paths: impl Into<Paths>) -> FileSet<Trades> {
        Self::trades_as(TradeFormat::Auto, paths)
    }

    /// Trades in a format.
    pub fn trades_as(format: TradeFormat, paths: impl Into<Paths>) -> FileSet<Trades> {
        FileSet::new(Trades { format, dialect: Dialect::default() }, paths)
    }
}
