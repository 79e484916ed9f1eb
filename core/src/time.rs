//! Event time: instants and spans as 64-bit nanoseconds, with arithmetic that saturates.

use std::fmt;
use std::ops::{Add, Mul, Neg, Sub};

use rkyv::{Archive, Deserialize, Serialize};

use crate::Describe;

/// An instant: nanoseconds since an epoch that the data defines (usually 1970-01-01 UTC; for NASDAQ
/// ITCH midnight of the trading day). May be negative.
///
/// Arithmetic saturates at [`Timestamp::MIN`] and [`Timestamp::MAX`], so that a lateness added near
/// the end of time cannot wrap around and clean state early (SEMANTICS 24).
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Archive,
    Serialize,
    Deserialize,
    Describe,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// A length of time in nanoseconds; may be negative (an offset). Arithmetic saturates.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Archive,
    Serialize,
    Deserialize,
    Describe,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct Span(pub i64);

impl Timestamp {
    /// Before all records: the watermark that nothing has been promised by. As the timestamp of a
    /// record it means that none was assigned.
    pub const MIN: Self = Self(i64::MIN);
    /// After all records: the watermark of ended input.
    pub const MAX: Self = Self(i64::MAX);
    /// The timestamp of a record that no event-time strategy has stamped.
    pub const NONE: Self = Self::MIN;

    /// Nanoseconds since the epoch.
    #[inline]
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Whether an event time was assigned.
    #[inline]
    pub const fn is_some(self) -> bool {
        self.0 != i64::MIN
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    /// The longest span; as a lateness or time-to-live it means "for ever".
    pub const MAX: Self = Self(i64::MAX);

    /// The span in nanoseconds.
    #[inline]
    pub const fn nanos(self) -> i64 {
        self.0
    }
}

impl Add<Span> for Timestamp {
    type Output = Timestamp;
    #[inline]
    fn add(self, span: Span) -> Timestamp {
        Timestamp(self.0.saturating_add(span.0))
    }
}

impl Sub<Span> for Timestamp {
    type Output = Timestamp;
    #[inline]
    fn sub(self, span: Span) -> Timestamp {
        Timestamp(self.0.saturating_sub(span.0))
    }
}

impl Sub for Timestamp {
    type Output = Span;
    #[inline]
    fn sub(self, other: Timestamp) -> Span {
        Span(self.0.saturating_sub(other.0))
    }
}

impl Add for Span {
    type Output = Span;
    #[inline]
    fn add(self, other: Span) -> Span {
        Span(self.0.saturating_add(other.0))
    }
}

impl Sub for Span {
    type Output = Span;
    #[inline]
    fn sub(self, other: Span) -> Span {
        Span(self.0.saturating_sub(other.0))
    }
}

impl Mul<i64> for Span {
    type Output = Span;
    #[inline]
    fn mul(self, times: i64) -> Span {
        Span(self.0.saturating_mul(times))
    }
}

impl Neg for Span {
    type Output = Span;
    #[inline]
    fn neg(self) -> Span {
        Span(self.0.saturating_neg())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Timestamp::MIN => f.write_str("MIN"),
            Timestamp::MAX => f.write_str("MAX"),
            Timestamp(nanos) => write!(f, "{nanos}"),
        }
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The units that a span prints in, coarsest first.
const UNITS: [(i64, &str); 7] = [
    (86_400_000_000_000, "d"),
    (3_600_000_000_000, "h"),
    (60_000_000_000, "min"),
    (1_000_000_000, "s"),
    (1_000_000, "ms"),
    (1_000, "us"),
    (1, "ns"),
];

impl fmt::Display for Span {
    /// In the coarsest unit that divides it: `1500ms`, `1s`, `0s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let (nanos, unit) = UNITS.iter().find(|(n, _)| self.0 % n == 0).unwrap_or(&(1, "ns"));
        write!(f, "{}{unit}", self.0 / nanos)
    }
}

impl std::str::FromStr for Span {
    type Err = crate::Error;

    /// Reads a whole number and a unit: `110ms`, `1s`, `10min`, `-3h`. A bare `0` needs no unit.
    fn from_str(text: &str) -> Result<Span, crate::Error> {
        let refuse = || {
            crate::Error::configuration(format!(
                "`{text}` is not a span: write a whole number and one of ns, us, ms, s, min, h, d, as in `110ms`"
            ))
        };
        let text_trimmed = text.trim();
        if text_trimmed == "0" {
            return Ok(Span::ZERO);
        }
        let split = text_trimmed.find(|c: char| c.is_alphabetic()).ok_or_else(refuse)?;
        let (number, unit) = text_trimmed.split_at(split);
        let number: i64 = number.trim().parse().map_err(|_| refuse())?;
        let unit = if unit == "m" { "min" } else { unit };
        let (nanos, _) = UNITS.iter().find(|(_, name)| *name == unit).ok_or_else(refuse)?;
        number.checked_mul(*nanos).map(Span).ok_or_else(refuse)
    }
}

/// Readable spans: `5.millis()`, `1.secs()`. A product outside an i64 of nanoseconds (292 years)
/// saturates.
pub trait TimeUnits: Sized {
    /// The number itself.
    fn count(self) -> i64;

    /// So many nanoseconds.
    fn nanos(self) -> Span {
        Span(self.count())
    }
    /// So many microseconds.
    fn micros(self) -> Span {
        Span(1_000) * self.count()
    }
    /// So many milliseconds.
    fn millis(self) -> Span {
        Span(1_000_000) * self.count()
    }
    /// So many seconds.
    fn secs(self) -> Span {
        Span(1_000_000_000) * self.count()
    }
    /// So many minutes.
    fn minutes(self) -> Span {
        Span(60_000_000_000) * self.count()
    }
    /// So many hours.
    fn hours(self) -> Span {
        Span(3_600_000_000_000) * self.count()
    }
    /// So many days of 24 hours.
    fn days(self) -> Span {
        Span(86_400_000_000_000) * self.count()
    }
}

impl TimeUnits for i32 {
    fn count(self) -> i64 {
        self.into()
    }
}

impl TimeUnits for i64 {
    fn count(self) -> i64 {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp(i64::MAX - 1) + 5.secs(), Timestamp::MAX);
        assert_eq!(Timestamp::MIN - 1.nanos(), Timestamp::MIN);
        assert_eq!(i64::MAX.days(), Span::MAX);
    }

    #[test]
    fn spans_print_and_parse() {
        for (span, text) in [(1500.millis(), "1500ms"), (1.secs(), "1s"), (Span(-7), "-7ns")] {
            assert_eq!(span.to_string(), text);
            assert_eq!(text.parse::<Span>().unwrap(), span);
        }
        assert_eq!("10min".parse::<Span>().unwrap(), 10.minutes());
        assert_eq!("2m".parse::<Span>().unwrap(), 2.minutes());
        for bad in ["", "5", "ms", "1.5s", "5 parsecs", "9999999999999d"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }
}
