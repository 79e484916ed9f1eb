//! What can be summed and averaged: integers and fixed-point money exactly, `f64` with its
//! rounding.

use tailwater_core::{Notional, Price, Record, Size, Volume};

/// A number that sums and means can be taken of.
pub trait Number {
    /// What is added up.
    type Total: Total;
    /// What a sum is.
    type Sum: Record;
    /// What a mean is.
    type Mean: Record;

    /// The number as it is added up.
    fn widen(self) -> Self::Total;

    /// The sum of a total.
    fn sum(total: Self::Total) -> Self::Sum;

    /// The mean of a total of `count` numbers; not called with a count of zero.
    fn mean(total: Self::Total, count: u64) -> Self::Mean;
}

/// A running total.
pub trait Total: Record + Copy + Default {
    /// The sum of both.
    fn plus(self, other: Self) -> Self;

    /// The exact difference, or `None` where that is not to be had.
    fn minus(self, other: Self) -> Option<Self>;
}

impl Total for i128 {
    /// Exact for 2^64 numbers of 64 bits; saturates beyond.
    #[inline]
    fn plus(self, other: Self) -> Self {
        self.saturating_add(other)
    }

    #[inline]
    fn minus(self, other: Self) -> Option<Self> {
        self.checked_sub(other)
    }
}

impl Total for f64 {
    #[inline]
    fn plus(self, other: Self) -> Self {
        self + other
    }

    /// Never: what was rounded away does not come back, and the error would grow with each pane.
    #[inline]
    fn minus(self, _: Self) -> Option<Self> {
        None
    }
}

macro_rules! integer {
    ($($integer:ty)*) => {$(
        /// The sum is exact; the mean is rounded once.
        impl Number for $integer {
            type Total = i128;
            type Sum = i128;
            type Mean = f64;

            #[inline]
            fn widen(self) -> i128 {
                self.into()
            }

            #[inline]
            fn sum(total: i128) -> i128 {
                total
            }

            #[inline]
            fn mean(total: i128, count: u64) -> f64 {
                total as f64 / count as f64
            }
        }
    )*};
}

integer!(i8 i16 i32 i64 u8 u16 u32 u64);

macro_rules! fixed_point {
    ($($money:ident -> $sum:ident($repr:ty)),*) => {$(
        /// Sums are exact until they saturate in their type; the mean is rounded half to even.
        impl Number for $money {
            type Total = i128;
            type Sum = $sum;
            type Mean = $money;

            #[inline]
            fn widen(self) -> i128 {
                self.units().into()
            }

            #[inline]
            fn sum(total: i128) -> $sum {
                let (least, most) = ($sum::MIN.units().into(), $sum::MAX.units().into());
                $sum::from_units(total.clamp(least, most) as _)
            }

            #[inline]
            fn mean(total: i128, count: u64) -> $money {
                // A mean lies between the numbers that it is of, so it fits their type.
                $money::from_units(divide_half_even(total, count) as $repr)
            }
        }
    )*};
}

fixed_point!(
    Price -> Price(i64),
    Size -> Volume(i64),
    Volume -> Volume(i128),
    Notional -> Notional(i128)
);

impl Number for f64 {
    type Total = f64;
    type Sum = f64;
    type Mean = f64;

    #[inline]
    fn widen(self) -> f64 {
        self
    }

    #[inline]
    fn sum(total: f64) -> f64 {
        total
    }

    #[inline]
    fn mean(total: f64, count: u64) -> f64 {
        total / count as f64
    }
}

/// The quotient rounded to the nearest integer, halves to the even one.
fn divide_half_even(total: i128, count: u64) -> i128 {
    let count = i128::from(count);
    let (below, rest) = (total.div_euclid(count), total.rem_euclid(count));
    match (rest * 2).cmp(&count) {
        std::cmp::Ordering::Less => below,
        std::cmp::Ordering::Equal => below + (below & 1),
        std::cmp::Ordering::Greater => below + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_of_money_round_half_to_even() {
        let quotients = [(5, 2), (7, 2), (-5, 2), (-7, 2), (8, 3), (-8, 3), (6, 3)]
            .map(|(total, count)| divide_half_even(total, count));
        assert_eq!(quotients, [2, 4, -2, -4, 3, -3, 2]);
    }
}
