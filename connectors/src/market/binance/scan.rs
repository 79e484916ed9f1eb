//! The fast way: reads the exact layout that Binance sends, and gives up at the first surprise.

use tailwater_core::{Price, Size, Symbol, Timestamp};

use super::{Message, millis};
use crate::market::{Depth, Level, MarketEvent, Quote, Side, Snapshot, Trade};

/// A message of any kind, or `None` where the line is not exactly as usual.
#[inline]
pub(super) fn event(line: &[u8], symbol: Symbol) -> Option<(Timestamp, Message)> {
    let mut cursor = Cursor(line);
    let received = cursor.receive_time()?;
    let message = match cursor.head()? {
        Head::BookTicker => Message::Event(MarketEvent::Quote(quote(&mut cursor)?)),
        Head::Trade => trade_message(&mut cursor)?,
        Head::Depth => Message::Event(MarketEvent::Depth(depth(&mut cursor)?)),
        Head::Snapshot => Message::Event(MarketEvent::Snapshot(snapshot(&mut cursor, symbol)?)),
    };
    cursor.0.is_empty().then_some((received, message))
}

/// A trade; other kinds are only recognised.
#[inline]
pub(super) fn trade(line: &[u8]) -> Option<(Timestamp, Message)> {
    let mut cursor = Cursor(line);
    let received = cursor.receive_time()?;
    let (message, whole) = match cursor.head()? {
        Head::Trade => (trade_message(&mut cursor)?, cursor.0.is_empty()),
        Head::BookTicker | Head::Depth => (Message::Unwanted, line.ends_with(b"}}")),
        Head::Snapshot => (Message::Unwanted, line.ends_with(b"]}")),
    };
    whole.then_some((received, message))
}

enum Head {
    BookTicker,
    Trade,
    Depth,
    Snapshot,
}

fn trade_message(cursor: &mut Cursor<'_>) -> Option<Message> {
    cursor.skip(b",\"E\":")?;
    cursor.number()?;
    cursor.skip(b",\"T\":")?;
    let at = millis(cursor.number()?)?;
    cursor.skip(b",\"s\":\"")?;
    let symbol = Symbol::from_bytes(cursor.text()?)?;
    cursor.skip(b",\"t\":")?;
    let id = cursor.number()?;
    cursor.skip(b",\"p\":\"")?;
    let price = cursor.price()?;
    cursor.skip(b",\"q\":\"")?;
    let size = cursor.size()?;
    cursor.skip(b",\"X\":\"")?;
    let kind = cursor.text()?;
    cursor.skip(b",\"m\":")?;
    let side = if cursor.skip(b"true}}").is_some() {
        Side::Sell
    } else {
        cursor.skip(b"false}}")?;
        Side::Buy
    };
    Some(match kind {
        b"MARKET" => {
            Message::Event(MarketEvent::Trade(Trade { symbol, price, size, at, id, side }))
        }
        b"INSURANCE_FUND" | b"ADL" | b"NA" => Message::OtherTrade,
        _ => return None,
    })
}

fn quote(cursor: &mut Cursor<'_>) -> Option<Quote> {
    cursor.skip(b",\"u\":")?;
    let id = cursor.number()?;
    cursor.skip(b",\"s\":\"")?;
    let symbol = Symbol::from_bytes(cursor.text()?)?;
    cursor.skip(b",\"b\":\"")?;
    let bid = cursor.price()?;
    cursor.skip(b",\"B\":\"")?;
    let bid_size = cursor.size()?;
    cursor.skip(b",\"a\":\"")?;
    let ask = cursor.price()?;
    cursor.skip(b",\"A\":\"")?;
    let ask_size = cursor.size()?;
    cursor.skip(b",\"T\":")?;
    let at = millis(cursor.number()?)?;
    cursor.skip(b",\"E\":")?;
    cursor.number()?;
    cursor.skip(b"}}")?;
    Some(Quote { symbol, bid, bid_size, ask, ask_size, at, id })
}

fn depth(cursor: &mut Cursor<'_>) -> Option<Depth> {
    cursor.skip(b",\"E\":")?;
    cursor.number()?;
    cursor.skip(b",\"T\":")?;
    let at = millis(cursor.number()?)?;
    cursor.skip(b",\"s\":\"")?;
    let symbol = Symbol::from_bytes(cursor.text()?)?;
    cursor.skip(b",\"U\":")?;
    let first_id = cursor.number()?;
    cursor.skip(b",\"u\":")?;
    let last_id = cursor.number()?;
    cursor.skip(b",\"pu\":")?;
    let previous_id = cursor.number()?;
    cursor.skip(b",\"b\":[")?;
    let bids = cursor.levels()?;
    cursor.skip(b",\"a\":[")?;
    let asks = cursor.levels()?;
    cursor.skip(b"}}")?;
    Some(Depth { symbol, at, first_id, last_id, previous_id, bids, asks })
}

fn snapshot(cursor: &mut Cursor<'_>, symbol: Symbol) -> Option<Snapshot> {
    let last_id = cursor.number()?;
    cursor.skip(b",\"E\":")?;
    cursor.number()?;
    cursor.skip(b",\"T\":")?;
    let at = millis(cursor.number()?)?;
    cursor.skip(b",\"bids\":[")?;
    let bids = cursor.levels()?;
    cursor.skip(b",\"asks\":[")?;
    let asks = cursor.levels()?;
    cursor.skip(b"}")?;
    Some(Snapshot { symbol, at, last_id, bids, asks })
}

/// The rest of a line.
struct Cursor<'a>(&'a [u8]);

/// Every level takes at least this much text: `["1","2"],`. Bounds the memory that a line can ask
/// for.
const LEVEL_TEXT_BYTES: usize = 10;

impl<'a> Cursor<'a> {
    #[inline(always)]
    fn skip<const N: usize>(&mut self, expected: &[u8; N]) -> Option<()> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        (head == expected).then(|| self.0 = rest)
    }

    /// The receive time and the space behind it.
    #[inline]
    fn receive_time(&mut self) -> Option<Timestamp> {
        let received = self.number()?;
        self.skip(b" ")?;
        i64::try_from(received).ok().map(Timestamp)
    }

    /// The beginning of a message, up to and with the value of `e`; for a snapshot its first key.
    #[inline]
    fn head(&mut self) -> Option<Head> {
        if self.skip(b"{\"lastUpdateId\":").is_some() {
            return Some(Head::Snapshot);
        }
        self.skip(b"{\"stream\":\"")?;
        self.text()?;
        self.skip(b",\"data\":{\"e\":\"")?;
        match self.text()? {
            b"bookTicker" => Some(Head::BookTicker),
            b"trade" => Some(Head::Trade),
            b"depthUpdate" => Some(Head::Depth),
            _ => None,
        }
    }

    /// A whole number of up to 19 digits, as JSON writes it.
    #[inline(always)]
    fn number(&mut self) -> Option<u64> {
        let mut value = 0u64;
        let mut digits = 0;
        for &byte in self.0 {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            // Nineteen digits fit; a twentieth is refused below, whatever this became.
            value = value.wrapping_mul(10).wrapping_add(digit.into());
            digits += 1;
        }
        let plain = digits == 1 || (digits <= 19 && self.0.first() != Some(&b'0'));
        self.0 = &self.0[digits..];
        (plain && digits > 0).then_some(value)
    }

    /// The text up to a quote, without the quote; nothing that JSON would escape.
    #[inline(always)]
    fn text(&mut self) -> Option<&'a [u8]> {
        for (index, &byte) in self.0.iter().enumerate() {
            match byte {
                b'"' => {
                    let text = &self.0[..index];
                    self.0 = &self.0[index + 1..];
                    return Some(text);
                }
                b'\\' | 0..0x20 | 0x80.. => return None,
                _ => {}
            }
        }
        None
    }

    #[inline(always)]
    fn price(&mut self) -> Option<Price> {
        self.units().map(Price::from_units)
    }

    #[inline(always)]
    fn size(&mut self) -> Option<Size> {
        self.units().map(Size::from_units)
    }

    /// A decimal up to a quote, in units of its eighth decimal. At most 18 digits in all, and at
    /// most eight behind the point: what is longer may still be exact, and is left to the general
    /// way.
    #[inline(always)]
    fn units(&mut self) -> Option<i64> {
        let mut value = 0i64;
        let mut digits = 0;
        let mut point = None;
        for (index, &byte) in self.0.iter().enumerate() {
            let digit = byte.wrapping_sub(b'0');
            if digit <= 9 {
                value = value.wrapping_mul(10).wrapping_add(digit.into());
                digits += 1;
            } else if byte == b'.' && point.is_none() {
                point = Some(digits);
            } else if byte == b'"' {
                self.0 = &self.0[index + 1..];
                let places = point.map_or(0, |whole| digits - whole);
                let scale = SCALES.get(places)?;
                let written = (1..=18).contains(&digits);
                return if written { value.checked_mul(*scale) } else { None };
            } else {
                return None;
            }
        }
        None
    }

    /// The levels of a list behind its opening bracket, up to and with the closing one.
    #[inline]
    fn levels(&mut self) -> Option<Vec<Level>> {
        if self.skip(b"]").is_some() {
            return Some(Vec::new());
        }
        // The list ends at the first `]]`: this counts its levels without a second look at each.
        let list = memchr::memmem::find(self.0, b"]]")?;
        let mut levels = Vec::with_capacity(list / LEVEL_TEXT_BYTES / 2 + 1);
        loop {
            self.skip(b"[\"")?;
            let price = self.price()?;
            self.skip(b",\"")?;
            let size = self.size()?;
            levels.push(Level { price, size });
            if self.skip(b"],").is_none() {
                self.skip(b"]]")?;
                return Some(levels);
            }
        }
    }
}

/// What a decimal with so many places is multiplied with to have eight.
const SCALES: [i64; 9] = [100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10, 1];
