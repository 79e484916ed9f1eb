//! Fixed-point money: prices and sizes with eight decimals, their exact products and sums.
//!
//! Nothing here rounds in silence. Reading is exact or an error; a product is exact; a sum
//! saturates at the ends of its type (and has a `checked_` form that says so); the one rounding, a
//! division, is half to even at eight decimals.

mod text;

use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub, SubAssign};

use rkyv::{Archive, Deserialize, Serialize};

use crate::Describe;

/// The decimals of a [`Price`], [`Size`] or [`Volume`].
pub const DECIMALS: u32 = 8;

macro_rules! fixed_point {
    ($(#[$doc:meta])* $name:ident, $repr:ty, $decimals:expr) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default,
            Archive, Serialize, Deserialize, Describe,
        )]
        pub struct $name($repr);

        impl $name {
            /// Nothing.
            pub const ZERO: Self = Self(0);
            /// The greatest value; sums saturate here.
            pub const MAX: Self = Self(<$repr>::MAX);
            /// The least value; sums saturate here.
            pub const MIN: Self = Self(<$repr>::MIN);

            /// A value from its units in the last decimal.
            #[inline]
            pub const fn from_units(units: $repr) -> Self {
                Self(units)
            }

            /// The value in units of the last decimal.
            #[inline]
            pub const fn units(self) -> $repr {
                self.0
            }

            /// Whether it is nothing.
            #[inline]
            pub const fn is_zero(self) -> bool {
                self.0 == 0
            }

            /// The exact sum, or `None` where it does not fit.
            #[inline]
            pub const fn checked_add(self, other: Self) -> Option<Self> {
                match self.0.checked_add(other.0) {
                    Some(units) => Some(Self(units)),
                    None => None,
                }
            }

            /// The exact difference, or `None` where it does not fit.
            #[inline]
            pub const fn checked_sub(self, other: Self) -> Option<Self> {
                match self.0.checked_sub(other.0) {
                    Some(units) => Some(Self(units)),
                    None => None,
                }
            }
        }

        impl Add for $name {
            type Output = Self;
            #[inline]
            fn add(self, other: Self) -> Self {
                Self(self.0.saturating_add(other.0))
            }
        }

        impl Sub for $name {
            type Output = Self;
            #[inline]
            fn sub(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0))
            }
        }

        impl AddAssign for $name {
            #[inline]
            fn add_assign(&mut self, other: Self) {
                *self = *self + other;
            }
        }

        impl SubAssign for $name {
            #[inline]
            fn sub_assign(&mut self, other: Self) {
                *self = *self - other;
            }
        }

        impl Neg for $name {
            type Output = Self;
            #[inline]
            fn neg(self) -> Self {
                Self(self.0.saturating_neg())
            }
        }

        impl std::iter::Sum for $name {
            fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
                items.fold(Self::ZERO, Add::add)
            }
        }

        text::decimal_text!($name, $repr, $decimals);
    };
}

fixed_point! {
    /// A price with eight decimals: up to 92 billion. Sums saturate.
    Price, i64, DECIMALS
}
fixed_point! {
    /// The size of one order or trade with eight decimals: up to 92 billion. Sums saturate; add up
    /// many in a [`Volume`].
    Size, i64, DECIMALS
}
fixed_point! {
    /// A sum of sizes with eight decimals: up to 10^30, so a sum of trades does not saturate in
    /// practice.
    Volume, i128, DECIMALS
}
fixed_point! {
    /// Price times size, exact, with sixteen decimals: up to 10^22. Sums saturate.
    Notional, i128, 2 * DECIMALS
}

impl Mul<Size> for Price {
    type Output = Notional;
    /// Exact: a product of two 64-bit numbers always fits.
    #[inline]
    fn mul(self, size: Size) -> Notional {
        Notional(i128::from(self.0) * i128::from(size.0))
    }
}

impl Mul<Price> for Size {
    type Output = Notional;
    #[inline]
    fn mul(self, price: Price) -> Notional {
        price * self
    }
}

impl From<Size> for Volume {
    #[inline]
    fn from(size: Size) -> Volume {
        Volume(size.0.into())
    }
}

impl AddAssign<Size> for Volume {
    #[inline]
    fn add_assign(&mut self, size: Size) {
        *self += Volume::from(size);
    }
}

impl SubAssign<Size> for Volume {
    #[inline]
    fn sub_assign(&mut self, size: Size) {
        *self -= Volume::from(size);
    }
}

impl Notional {
    /// The average price of a volume, rounded half to even at eight decimals; `None` where the
    /// volume is zero or the price does not fit.
    #[inline]
    pub fn checked_div(self, volume: Volume) -> Option<Price> {
        if volume.0 == 0 {
            return None;
        }
        let (quotient, remainder) = (self.0.checked_div(volume.0)?, self.0.checked_rem(volume.0)?);
        let rounded = match (remainder.unsigned_abs() * 2).cmp(&volume.0.unsigned_abs()) {
            std::cmp::Ordering::Less => quotient,
            std::cmp::Ordering::Equal if quotient % 2 == 0 => quotient,
            _ => quotient + if (self.0 < 0) == (volume.0 < 0) { 1 } else { -1 },
        };
        i64::try_from(rounded).ok().map(Price)
    }
}

impl Div<Volume> for Notional {
    type Output = Price;
    /// As [`Notional::checked_div`]; a price that does not fit saturates.
    ///
    /// # Panics
    /// When the volume is zero, as division of integers does.
    #[inline]
    fn div(self, volume: Volume) -> Price {
        assert!(!volume.is_zero(), "a notional was divided by a volume of zero");
        let negative = (self.0 < 0) != (volume.0 < 0);
        self.checked_div(volume).unwrap_or(if negative { Price::MIN } else { Price::MAX })
    }
}

impl Div<Size> for Notional {
    type Output = Price;
    /// As division by a [`Volume`].
    #[inline]
    fn div(self, size: Size) -> Price {
        self / Volume::from(size)
    }
}

#[cfg(test)]
mod tests;
