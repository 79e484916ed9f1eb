//! Decimals of any bytes: no panic, and what is read is written as the same number.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tailwater_core::{Notional, Price, Volume};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(price) = Price::from_decimal(bytes) {
        let text = price.to_string();
        assert_eq!(text.parse::<Price>().unwrap(), price);
        assert_eq!(Volume::from_decimal(bytes).unwrap().to_string(), text);
        assert_eq!(plain(bytes), text);
    }
    if let Ok(notional) = Notional::from_decimal(bytes) {
        assert_eq!(notional.to_string().parse::<Notional>().unwrap(), notional);
        assert_eq!(plain(bytes), notional.to_string());
    }
});

/// The same decimal as text: without plus, leading zeros, zeros behind the last decimal, or `-0`.
fn plain(bytes: &[u8]) -> String {
    let text = std::str::from_utf8(bytes).unwrap();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let (whole, decimals) = (whole.trim_start_matches('0'), decimals.trim_end_matches('0'));
    match (whole, decimals) {
        ("", "") => "0".to_owned(),
        (whole, "") => format!("{sign}{whole}"),
        ("", decimals) => format!("{sign}0.{decimals}"),
        (whole, decimals) => format!("{sign}{whole}.{decimals}"),
    }
}
