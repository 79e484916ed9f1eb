//! Fixed point against exact integer arithmetic.

use proptest::prelude::*;

use super::*;

#[test]
fn decimals_are_read_exactly_or_refused() {
    for (text, units) in [
        ("61800.30", 6_180_030_000_000),
        ("0.006", 600_000),
        ("-1.5", -150_000_000),
        ("+2", 200_000_000),
        (".5", 50_000_000),
        ("5.", 500_000_000),
        ("0.123456780000", 12_345_678),
        ("92233720368.54775807", i64::MAX),
        ("-92233720368.54775808", i64::MIN),
        ("00000000000000000000000000001", 100_000_000),
    ] {
        assert_eq!(Price::from_decimal(text.as_bytes()).unwrap().units(), units, "{text}");
    }
    for text in ["", ".", "-", "1e5", "1,5", "0x1", "1.2.3", " 1", "NaN", "0.123456789"] {
        let error = Price::from_decimal(text.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Format, "{text}");
    }
    let error = Price::from_decimal(b"92233720368.54775808").unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Overflow);
}

#[test]
fn text_has_no_trailing_zeros() {
    for (units, text) in [(0, "0"), (-50_000_000, "-0.5"), (100, "0.000001"), (1_200_000_000, "12")]
    {
        assert_eq!(Size::from_units(units).to_string(), text);
    }
    assert_eq!((Price::from_units(1) * Size::from_units(3)).to_string(), "0.0000000000000003");
}

#[test]
fn division_rounds_half_to_even() {
    let divide = |notional: i128, volume: i128| {
        Notional::from_units(notional).checked_div(Volume::from_units(volume)).unwrap().units()
    };
    assert_eq!([divide(5, 2), divide(7, 2), divide(-5, 2), divide(-7, 2)], [2, 4, -2, -4]);
    assert_eq!([divide(8, 3), divide(7, 3), divide(-8, 3), divide(8, -3)], [3, 2, -3, -3]);
    assert_eq!(Notional::ZERO.checked_div(Volume::ZERO), None);
    assert_eq!(Notional::MAX.checked_div(Volume::from_units(1)), None);
    assert_eq!(Notional::MAX / Volume::from_units(1), Price::MAX);
    assert_eq!(Notional::MIN / Volume::from_units(1), Price::MIN);
}

#[test]
fn sums_saturate_and_their_checked_form_says_so() {
    assert_eq!(Price::MAX + Price::from_units(1), Price::MAX);
    assert_eq!(Price::MIN - Price::from_units(1), Price::MIN);
    assert_eq!(Price::MAX.checked_add(Price::from_units(1)), None);
    let mut volume = Volume::ZERO;
    volume += Size::MAX;
    volume += Size::MAX;
    assert_eq!(volume.units(), 2 * i128::from(i64::MAX));
}

#[test]
fn json_keeps_every_digit() {
    let price: Price = serde_json::from_str("\"61800.30\"").unwrap();
    assert_eq!(serde_json::to_string(&price).unwrap(), "\"61800.3\"");
    assert_eq!(serde_json::from_str::<Size>("7").unwrap(), Size::from_units(700_000_000));
    assert!(serde_json::from_str::<Price>("61800.3").is_err());
}

proptest! {
    #[test]
    fn text_survives_a_round_trip(units: i64, wide: i128) {
        let price = Price::from_units(units);
        prop_assert_eq!(price.to_string().parse::<Price>().unwrap(), price);
        let notional = Notional::from_units(wide / 2);
        prop_assert_eq!(notional.to_string().parse::<Notional>().unwrap(), notional);
    }

    #[test]
    fn products_are_exact(price: i64, size: i64) {
        let notional = Price::from_units(price) * Size::from_units(size);
        prop_assert_eq!(notional.units(), i128::from(price) * i128::from(size));
    }

    #[test]
    fn division_is_the_nearest(
        notional in -(1i128 << 100)..(1i128 << 100),
        volume in 1i128..(1 << 62),
    ) {
        let quotient = Notional::from_units(notional).checked_div(Volume::from_units(volume));
        if let Some(price) = quotient {
            let error = (i128::from(price.units()) * volume - notional).unsigned_abs();
            prop_assert!(error * 2 <= volume.unsigned_abs());
        }
    }
}
