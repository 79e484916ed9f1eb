//! The byte layouts of NASDAQ TotalView-ITCH 5.0 messages that the synthetic exchange sends.
//!
//! ```text
//! all       0 type 1 | 1 locate 2 | 3 tracking 2 | 5 nanoseconds since midnight 6 | then
//! S  12    11 event code 1
//! R  39    11 stock 8 | 19 market category 1 | 20 financial status 1 | 21 round lot size 4
//!          25 round lots only 1 | 26 issue classification 1 | 27 issue sub-type 2
//!          29 authenticity 1 | 30 short sale threshold 1 | 31 IPO flag 1 | 32 LULD tier 1
//!          33 ETP flag 1 | 34 ETP leverage factor 4 | 38 inverse 1
//! A  36    11 order 8 | 19 side 1 | 20 shares 4 | 24 stock 8 | 32 price 4
//! E  31    11 order 8 | 19 shares 4 | 23 match 8
//! C  36    11 order 8 | 19 shares 4 | 23 match 8 | 31 printable 1 | 32 price 4
//! X  23    11 order 8 | 19 shares 4
//! D  19    11 order 8
//! U  35    11 order 8 | 19 new order 8 | 27 shares 4 | 31 price 4
//! P  44    11 order 8 (zero) | 19 side 1 | 20 shares 4 | 24 stock 8 | 32 price 4 | 36 match 8
//! ```
//! Numbers are big-endian, stocks padded with spaces; prices have four decimals. In a
//! file each message follows its length in two bytes.

use tailwater_core::{Error, Price, Result, Symbol, Timestamp};

use crate::event::{Event, EventKind, Side};
use crate::options::Options;

/// The longest message with its length before it.
const FRAME_LEN_MAX: usize = 2 + 44;
/// Timestamps have six bytes: 78 hours.
const NANOS_END: i64 = 1 << 48;
/// Units of a [`Price`] in one of ITCH's.
const PRICE_UNITS: i64 = 10_i64.pow(tailwater_core::money::DECIMALS - 4);

/// The length of a message, which follows from its type.
const fn len(kind: u8) -> u16 {
    match kind {
        b'S' => 12,
        b'R' => 39,
        b'A' | b'C' => 36,
        b'E' => 31,
        b'X' => 23,
        b'D' => 19,
        b'U' => 35,
        _ => 44,
    }
}

/// What a system event message says of the day.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SystemEvent {
    MessagesStart = b'O' as isize,
    SystemStart = b'S' as isize,
    MarketStart = b'Q' as isize,
    MarketEnd = b'M' as isize,
    SystemEnd = b'E' as isize,
    MessagesEnd = b'C' as isize,
}

/// One message as it stands in a file, after its length.
pub(crate) struct Frame {
    bytes: [u8; FRAME_LEN_MAX],
    len: usize,
}

impl Frame {
    /// A message of type `kind` with the fields that all have.
    fn new(kind: u8, locate: u16, at: Timestamp) -> Result<Self> {
        if !(0..NANOS_END).contains(&at.nanos()) {
            return Err(Error::overflow(format!(
                "an event {at} ns after midnight has no place in an ITCH file, whose times end \
                 after 78 hours; ask for fewer events or more events a second"
            )));
        }
        let frame = Self { bytes: [0; FRAME_LEN_MAX], len: 0 };
        let nanos = at.nanos().to_be_bytes();
        let tracking = [0; 2];
        Ok(frame
            .put(&len(kind).to_be_bytes())
            .put(&[kind])
            .put(&locate.to_be_bytes())
            .put(&tracking)
            .put(&nanos[2..]))
    }

    fn put(mut self, field: &[u8]) -> Self {
        self.bytes[self.len..self.len + field.len()].copy_from_slice(field);
        self.len += field.len();
        self
    }

    fn number(self, field: u64) -> Self {
        self.put(&field.to_be_bytes())
    }

    fn shares(self, field: u32) -> Self {
        self.put(&field.to_be_bytes())
    }

    fn side(self, side: Side) -> Self {
        self.put(match side {
            Side::Buy => b"B",
            Side::Sell => b"S",
        })
    }

    /// The market's prices are multiples of half a cent below 10,000: always exact and in range.
    fn price(self, price: Price) -> Self {
        self.put(&((price.units() / PRICE_UNITS) as u32).to_be_bytes())
    }

    /// The market's symbols have at most six letters.
    fn stock(self, symbol: Symbol) -> Self {
        let mut stock = [b' '; 8];
        let name = symbol.as_str().as_bytes();
        stock[..name.len()].copy_from_slice(name);
        self.put(&stock)
    }

    /// The bytes to write.
    pub(crate) fn bytes(&self) -> &[u8] {
        debug_assert_eq!(self.len, 2 + usize::from(len(self.bytes[2])));
        &self.bytes[..self.len]
    }
}

/// A system event message.
pub(crate) fn system(event: SystemEvent, at: Timestamp) -> Result<Frame> {
    Ok(Frame::new(b'S', 0, at)?.put(&[event as u8]))
}

/// The directory entry of the `index`-th symbol: common stock on the Global Select market.
pub(crate) fn directory(index: u16, symbol: Symbol, at: Timestamp) -> Result<Frame> {
    Ok(Frame::new(b'R', index + 1, at)?
        .stock(symbol)
        .put(b"QN") // Global Select; financial status normal
        .put(&100_u32.to_be_bytes())
        .put(b"NCZ P") // not round lots only; common stock, no sub-type; live
        .put(b"NN1N") // no short sale threshold; no IPO; LULD tier 1; no ETP
        .put(&0_u32.to_be_bytes())
        .put(b"N"))
}

/// The message of an event of the exchange.
pub(crate) fn message(event: &Event, names: &[Symbol]) -> Result<Frame> {
    let symbol = names[usize::from(event.symbol)];
    let frame = |kind| Frame::new(kind, event.symbol + 1, Options::OPEN + event.at);
    Ok(match event.kind {
        EventKind::Add { order, side, shares, price } => {
            frame(b'A')?.number(order).side(side).shares(shares).stock(symbol).price(price)
        }
        EventKind::Execute { order, shares, id, .. } => {
            frame(b'E')?.number(order).shares(shares).number(id)
        }
        EventKind::ExecuteWithPrice { order, shares, id, price, printable, .. } => frame(b'C')?
            .number(order)
            .shares(shares)
            .number(id)
            .put(if printable { b"Y" } else { b"N" })
            .price(price),
        EventKind::Cancel { order, shares } => frame(b'X')?.number(order).shares(shares),
        EventKind::Delete { order } => frame(b'D')?.number(order),
        EventKind::Replace { order, new_order, shares, price } => {
            frame(b'U')?.number(order).number(new_order).shares(shares).price(price)
        }
        EventKind::Trade { side, shares, price, id } => {
            frame(b'P')?.number(0).side(side).shares(shares).stock(symbol).price(price).number(id)
        }
    })
}
