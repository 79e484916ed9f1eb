//! Decimal text of fixed-point numbers: exact both ways, without trailing zeros.

use std::fmt;

/// Why a decimal could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    NotDecimal,
    TooManyDecimals,
    TooLarge,
}

impl Refusal {
    pub(super) fn error(self, text: &[u8], decimals: u32) -> crate::Error {
        let text = String::from_utf8_lossy(text);
        match self {
            Self::NotDecimal => crate::Error::format(format!("`{text}` is not a decimal number")),
            Self::TooManyDecimals => crate::Error::format(format!(
                "`{text}` has more than {decimals} decimals and cannot be kept exactly"
            )),
            Self::TooLarge => crate::Error::overflow(format!("`{text}` is too large")),
        }
    }
}

/// The units of `[+-]digits[.digits]`: a digit on at least one side of the point, zeros beyond
/// `decimals` allowed, nothing else.
#[inline]
pub(super) fn parse_units(text: &[u8], decimals: u32) -> Result<i128, Refusal> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let mut units: i128 = 0;
    // 18 digits cannot overflow an i64, and 64-bit arithmetic is several times faster than 128-bit.
    let mut small: i64 = 0;
    let mut small_digits = 0;
    let mut places: Option<u32> = None;
    let mut any = false;
    for &byte in digits {
        match byte {
            b'0'..=b'9' => {
                any = true;
                if let Some(places) = &mut places {
                    if *places == decimals {
                        if byte != b'0' {
                            return Err(Refusal::TooManyDecimals);
                        }
                        continue;
                    }
                    *places += 1;
                }
                if small_digits == 18 {
                    units = join(units, small, small_digits)?;
                    (small, small_digits) = (0, 0);
                }
                small = small * 10 + i64::from(byte - b'0');
                small_digits += 1;
            }
            b'.' if places.is_none() => places = Some(0),
            _ => return Err(Refusal::NotDecimal),
        }
    }
    if !any {
        return Err(Refusal::NotDecimal);
    }
    let missing = decimals - places.unwrap_or(0);
    if units == 0
        && let Some(scaled) = small.checked_mul(POWERS[missing as usize])
    {
        return Ok(if negative { -scaled } else { scaled }.into());
    }
    let units = join(units, small, small_digits)?;
    let units = units.checked_mul(10i128.pow(missing)).ok_or(Refusal::TooLarge)?;
    Ok(if negative { -units } else { units })
}

/// Powers of ten up to the most decimals that a type has.
const POWERS: [i64; 17] = {
    let mut powers = [1; 17];
    let mut exponent = 1;
    while exponent < powers.len() {
        powers[exponent] = powers[exponent - 1] * 10;
        exponent += 1;
    }
    powers
};

/// `units` followed by the digits of `small`.
fn join(units: i128, small: i64, small_digits: u32) -> Result<i128, Refusal> {
    units
        .checked_mul(10i128.pow(small_digits))
        .and_then(|units| units.checked_add(small.into()))
        .ok_or(Refusal::TooLarge)
}

/// Writes units as a decimal without trailing zeros.
pub(super) fn write_units(f: &mut fmt::Formatter<'_>, units: i128, decimals: u32) -> fmt::Result {
    let scale = 10u128.pow(decimals);
    let magnitude = units.unsigned_abs();
    let (whole, mut fraction) = (magnitude / scale, magnitude % scale);
    let sign = if units < 0 { "-" } else { "" };
    if fraction == 0 {
        return write!(f, "{sign}{whole}");
    }
    let mut width = decimals as usize;
    while fraction.is_multiple_of(10) {
        fraction /= 10;
        width -= 1;
    }
    write!(f, "{sign}{whole}.{fraction:0width$}")
}

/// Text, serde and debug forms of one fixed-point type.
macro_rules! decimal_text {
    ($name:ident, $repr:ty, $decimals:expr) => {
        impl $name {
            /// Reads `[+-]digits[.digits]` exactly.
            ///
            /// # Errors
            /// When the text is no decimal, has a digit that the type cannot keep, or is too large.
            #[inline]
            pub fn from_decimal(text: &[u8]) -> crate::Result<Self> {
                text::parse_units(text, $decimals)
                    .and_then(|units| <$repr>::try_from(units).map_err(|_| text::Refusal::TooLarge))
                    .map(Self)
                    .map_err(|refusal| refusal.error(text, $decimals))
            }
        }

        impl std::fmt::Display for $name {
            /// The exact decimal without trailing zeros.
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                text::write_units(f, i128::from(self.0), $decimals)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::Error;
            fn from_str(text: &str) -> crate::Result<Self> {
                Self::from_decimal(text.as_bytes())
            }
        }

        impl serde::Serialize for $name {
            /// As a decimal string: a binary float would lose digits.
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            /// From a decimal string, or from an integer; a binary float is refused.
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl serde::de::Visitor<'_> for Visitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("a decimal string such as \"61800.30\", or an integer")
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        $name::from_decimal(text.as_bytes()).map_err(E::custom)
                    }
                    fn visit_bytes<E: serde::de::Error>(self, text: &[u8]) -> Result<$name, E> {
                        $name::from_decimal(text).map_err(E::custom)
                    }
                    fn visit_i64<E: serde::de::Error>(self, whole: i64) -> Result<$name, E> {
                        self.visit_str(&whole.to_string())
                    }
                    fn visit_u64<E: serde::de::Error>(self, whole: u64) -> Result<$name, E> {
                        self.visit_str(&whole.to_string())
                    }
                }
                deserializer.deserialize_any(Visitor)
            }
        }
    };
}
pub(super) use decimal_text;
