//! The fields of ITCH 5.0 messages.

use tailwater_core::{Price, Size, Symbol, Timestamp};

use super::DAY_NS;
use crate::market::Side;

/// A message.
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
)]
pub struct ItchMessage {
    /// NASDAQ's number of the stock for the day; zero where the message is about none.
    pub locate: u16,
    /// NASDAQ's own tracking number.
    pub tracking: u16,
    /// Since midnight in New York.
    pub at: Timestamp,
    /// What it says.
    pub body: ItchBody,
}

/// What a message says. Prices are exact; sizes are in shares. The side of an order is its own.
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
)]
#[expect(missing_docs, reason = "the fields are named as in the specification")]
pub enum ItchBody {
    /// `A`, `F`: an order joins the book; with `F` its owner is named.
    Add {
        reference: u64,
        side: Side,
        size: Size,
        stock: Symbol,
        price: Price,
        attribution: Option<[u8; 4]>,
    },
    /// `E`: part of an order trades at its price.
    Executed { reference: u64, size: Size, match_number: u64 },
    /// `C`: part of an order trades at another price; what is not printable is no trade of its own.
    ExecutedAt { reference: u64, size: Size, match_number: u64, printable: bool, price: Price },
    /// `X`: part of an order is cancelled.
    Cancelled { reference: u64, size: Size },
    /// `D`: an order is gone.
    Deleted { reference: u64 },
    /// `U`: an order gives way to a new one of the same side and stock.
    Replaced { reference: u64, new_reference: u64, size: Size, price: Price },
    /// `P`: a trade against an order that was not shown.
    Trade { side: Side, size: Size, stock: Symbol, price: Price, match_number: u64 },
    /// `Q`: an auction; of zero size where nothing crossed.
    Cross { size: Size, stock: Symbol, price: Price, match_number: u64, kind: u8 },
    /// `B`: an earlier trade did not count.
    Broken { match_number: u64 },
    /// `S`: the phase of the day: `O`, `S`, `Q`, `M`, `E`, `C`.
    System { event: u8 },
    /// Any other type: `R`, `H`, `Y`, `L`, `V`, `W`, `K`, `J`, `h`, `I`, `N`, `O`.
    Other { kind: u8 },
}

/// Units of a price with four decimals.
const PRICE4_UNITS: i64 = 10_000;

/// Units of a share.
const SHARE_UNITS: i64 = 100_000_000;

impl ItchMessage {
    /// Reads a message of its type's length.
    #[inline]
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut fields = Fields(bytes);
        let kind = fields.u8();
        let (locate, tracking) = (fields.u16(), fields.u16());
        let at = time_of(fields.take::<6>());
        if at.0 >= DAY_NS {
            return Err(format!("{} ns since midnight is no time of day", at.0));
        }
        Ok(Self { locate, tracking, at, body: ItchBody::read(kind, &mut fields)? })
    }
}

impl ItchBody {
    #[inline]
    fn read(kind: u8, fields: &mut Fields<'_>) -> Result<Self, String> {
        Ok(match kind {
            b'A' | b'F' => Self::Add {
                reference: fields.u64(),
                side: fields.side()?,
                size: fields.size(),
                stock: fields.stock()?,
                price: fields.price(),
                attribution: (kind == b'F').then(|| *fields.take::<4>()),
            },
            b'E' => Self::Executed {
                reference: fields.u64(),
                size: fields.size(),
                match_number: fields.u64(),
            },
            b'C' => Self::ExecutedAt {
                reference: fields.u64(),
                size: fields.size(),
                match_number: fields.u64(),
                printable: fields.printable()?,
                price: fields.price(),
            },
            b'X' => Self::Cancelled { reference: fields.u64(), size: fields.size() },
            b'D' => Self::Deleted { reference: fields.u64() },
            b'U' => Self::Replaced {
                reference: fields.u64(),
                new_reference: fields.u64(),
                size: fields.size(),
                price: fields.price(),
            },
            b'P' => {
                // The reference of an order that was never shown is always zero.
                fields.u64();
                Self::Trade {
                    side: fields.side()?,
                    size: fields.size(),
                    stock: fields.stock()?,
                    price: fields.price(),
                    match_number: fields.u64(),
                }
            }
            b'Q' => Self::Cross {
                size: fields.long_size()?,
                stock: fields.stock()?,
                price: fields.price(),
                match_number: fields.u64(),
                kind: fields.u8(),
            },
            b'B' => Self::Broken { match_number: fields.u64() },
            b'S' => Self::System { event: fields.u8() },
            kind => Self::Other { kind },
        })
    }
}

/// Six bytes of nanoseconds since midnight.
pub(super) fn time_of(bytes: &[u8]) -> Timestamp {
    Timestamp(bytes.iter().fold(0, |time, &byte| time << 8 | i64::from(byte)))
}

/// The unread fields of a message.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The next `N` bytes.
    ///
    /// A message has the length of its type before its fields are read, and no type's fields are
    /// longer: the test `lengths_hold_all_fields` walks through them all.
    #[inline(always)]
    fn take<const N: usize>(&mut self) -> &'a [u8; N] {
        let (field, rest) =
            self.0.split_first_chunk::<N>().expect("a message is as long as its type");
        self.0 = rest;
        field
    }

    #[inline(always)]
    fn u8(&mut self) -> u8 {
        self.take::<1>()[0]
    }

    #[inline(always)]
    fn u16(&mut self) -> u16 {
        u16::from_be_bytes(*self.take())
    }

    #[inline(always)]
    fn u64(&mut self) -> u64 {
        u64::from_be_bytes(*self.take())
    }

    #[inline(always)]
    fn u32(&mut self) -> i64 {
        u32::from_be_bytes(*self.take()).into()
    }

    /// A 32-bit number times 10^8 fits in 64 bits.
    #[inline(always)]
    fn size(&mut self) -> Size {
        Size::from_units(self.u32() * SHARE_UNITS)
    }

    fn long_size(&mut self) -> Result<Size, String> {
        let shares = self.u64();
        i64::try_from(shares)
            .ok()
            .and_then(|shares| shares.checked_mul(SHARE_UNITS))
            .map(Size::from_units)
            .ok_or_else(|| format!("{shares} shares are too many"))
    }

    #[inline(always)]
    fn price(&mut self) -> Price {
        Price::from_units(self.u32() * PRICE4_UNITS)
    }

    #[inline]
    fn side(&mut self) -> Result<Side, String> {
        match self.u8() {
            b'B' => Ok(Side::Buy),
            b'S' => Ok(Side::Sell),
            other => Err(format!("{} is no side: B or S", super::shown(other))),
        }
    }

    #[inline]
    fn printable(&mut self) -> Result<bool, String> {
        match self.u8() {
            b'Y' => Ok(true),
            b'N' => Ok(false),
            other => Err(format!("{} does not say whether to print: Y or N", super::shown(other))),
        }
    }

    /// Eight bytes, padded with spaces.
    #[inline]
    fn stock(&mut self) -> Result<Symbol, String> {
        let padded = self.take::<8>();
        let name = padded.trim_ascii_end();
        Symbol::from_bytes(name)
            .filter(|_| !name.is_empty())
            .ok_or_else(|| format!("`{}` is no stock", padded.escape_ascii()))
    }
}
