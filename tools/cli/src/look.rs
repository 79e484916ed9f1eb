//! How things look on a terminal: colours, and numbers and times that people can read.

use std::fmt::{self, Display};

use anstyle::{AnsiColor, Style};
use tailwater::Timestamp;

/// Names of things.
pub const HEAD: Style = Style::new().bold();
/// What went as it should.
pub const GOOD: Style = AnsiColor::Green.on_default().bold();
/// What deserves a look.
pub const ODD: Style = AnsiColor::Yellow.on_default().bold();
/// What went wrong.
pub const BAD: Style = AnsiColor::Red.on_default().bold();

/// One line on standard error: `error: ..`.
pub fn tell(what: &str, style: Style, message: &impl Display) {
    anstream::eprintln!("{style}{what}:{style:#} {message}");
}

/// A whole number with its thousands apart: `5,000,000`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A rate in three figures or so: `12.1 M`, `950`.
pub fn rate(per_s: f64) -> String {
    match per_s {
        1e9.. => format!("{:.2} G", per_s / 1e9),
        1e6.. => format!("{:.2} M", per_s / 1e6),
        1e3.. => format!("{:.1} k", per_s / 1e3),
        _ => format!("{per_s:.0}"),
    }
}

/// Nanoseconds in the unit that leaves three figures or so: `870 ns`, `12.3 us`, `1.25 s`.
pub fn nanos(ns: u64) -> String {
    let whole = ns as f64;
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{:.1} us", whole / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", whole / 1e6),
        _ => format!("{:.2} s", whole / 1e9),
    }
}

/// An event time for people: date and time, or the time alone where the epoch is midnight.
pub struct Moment(pub Timestamp);

/// Times within this of the epoch count from midnight of an unnamed day, as ITCH does: three days.
const UNNAMED_DAY_NS: i64 = 3 * 86_400_000_000_000;

impl Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Timestamp::MIN => f.write_str("-"),
            Timestamp::MAX => f.write_str("end"),
            Timestamp(nanos) => match jiff::Timestamp::from_nanosecond(nanos.into()) {
                Ok(moment) if nanos.abs() < UNNAMED_DAY_NS => {
                    write!(f, "{}", moment.strftime("%H:%M:%S%.3f"))
                }
                Ok(moment) => write!(f, "{}", moment.strftime("%Y-%m-%d %H:%M:%S%.3f")),
                Err(_) => write!(f, "{nanos} ns"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(
            [0, 999, 1_000, 5_000_000].map(count),
            ["0", "999", "1,000", "5,000,000"].map(String::from)
        );
        assert_eq!(
            [999, 1_000, 1_250_000, 2_000_000_000].map(nanos),
            ["999 ns", "1.0 us", "1.2 ms", "2.00 s"].map(String::from)
        );
        assert_eq!([950.0, 12_100_000.0].map(rate), ["950", "12.10 M"].map(String::from));
    }

    #[test]
    fn moments_are_readable() {
        let text = |nanos| Moment(Timestamp(nanos)).to_string();
        assert_eq!(text(1_704_205_800_250_000_000), "2024-01-02 14:30:00.250");
        assert_eq!(text(34_200_000_000_000), "09:30:00.000");
        assert_eq!(Moment(Timestamp::MAX).to_string(), "end");
    }
}
