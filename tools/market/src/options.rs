//! The options that name a tape: two tapes with the same options are the same.

use std::sync::Arc;

use tailwater_core::random::nth;
use tailwater_core::{Error, Result, Span, Symbol, TimeUnits, Timestamp};

/// What a synthetic market is like. Every field is part of the tape's identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many symbols are traded, `S0001` being the busiest: 1 to [`Options::SYMBOLS_MAX`].
    /// Each takes about 3 KB of memory.
    pub symbols: u32,
    /// The seed of everything that happens.
    pub seed: u64,
    /// How many exchange events a [`Market`](crate::Market) and the files play; of no meaning to a
    /// [`Tape`](crate::Tape), which is limited in prints.
    pub events: u64,
    /// The mean number of exchange events in a second of event time, over all symbols: 1 to
    /// [`Options::RATE_MAX`]. A little more than a third of them are prints.
    pub rate: u64,
    /// How many times faster events follow each other in a burst than outside: 1 (no bursts) to
    /// 1,000.
    pub burstiness: u32,
    /// The longest delay between a print and its arrival, for a [`Tape`](crate::Tape): with a
    /// watermark bound of the same span no record is late. The files are in the order of exchange
    /// time.
    pub out_of_order: Span,
    /// Into how many parts the symbols are dealt, each a split of the source: 1 to
    /// [`Options::PARTS_MAX`], and no more than there are symbols. Not the number of cores: the
    /// tape must not depend on it.
    pub parts: u32,
    /// The instant of the opening bell, which event time counts from. [`Options::OPEN`] gives the
    /// times that the same tape has as an ITCH file.
    pub start: Timestamp,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            symbols: 100,
            seed: 1,
            events: 1_000_000,
            rate: 100_000,
            burstiness: 10,
            out_of_order: 5.millis(),
            parts: 8,
            // 2024-01-02 14:30:00 UTC, 9:30 in New York.
            start: Timestamp(1_704_205_800_000_000_000),
        }
    }
}

impl Options {
    /// An ITCH stock locate is a 16-bit number, and zero is no stock.
    pub const SYMBOLS_MAX: u32 = 65_535;
    /// Merging looks at every part for every event.
    pub const PARTS_MAX: u32 = 256;
    /// Above this the gaps in a burst would be a few nanoseconds, which is as fine as time gets.
    pub const RATE_MAX: u64 = 100_000_000;
    /// The opening bell in nanoseconds since midnight, as ITCH tells the time: 09:30:00.
    pub const OPEN: Timestamp = Timestamp(34_200_000_000_000);

    /// Checks every limit, and returns how many parts there really are.
    pub(crate) fn checked_parts(&self) -> Result<u32> {
        let refuse = |what: String| Err(Error::configuration(format!("no such market: {what}")));
        if !(1..=Self::SYMBOLS_MAX).contains(&self.symbols) {
            return refuse(format!("symbols must be 1 to {}", Self::SYMBOLS_MAX));
        }
        if !(1..=Self::PARTS_MAX).contains(&self.parts) {
            return refuse(format!("parts must be 1 to {}", Self::PARTS_MAX));
        }
        if !(1..=Self::RATE_MAX).contains(&self.rate) {
            return refuse(format!("the rate must be 1 to {} events a second", Self::RATE_MAX));
        }
        if !(1..=1_000).contains(&self.burstiness) {
            return refuse("burstiness must be 1 to 1000".to_owned());
        }
        if self.out_of_order < Span::ZERO {
            return refuse("prints cannot arrive before they happen".to_owned());
        }
        Ok(self.parts.min(self.symbols))
    }

    /// The symbols' names, by index.
    pub(crate) fn names(&self) -> Result<Arc<[Symbol]>> {
        (1..=self.symbols).map(|number| Symbol::new(&format!("S{number:04}"))).collect()
    }

    /// The seed of one of the independent sequences of random numbers.
    pub(crate) fn seed_of(&self, sequence: Sequence, part: u32) -> u64 {
        nth(nth(self.seed, sequence as u64), u64::from(part))
    }
}

/// The uses of randomness; each is a sequence of its own, so that one does not disturb another.
#[derive(Clone, Copy)]
pub(crate) enum Sequence {
    /// What happens on the exchange.
    Events = 0,
    /// How late prints arrive.
    Arrivals = 1,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_markets_are_refused() {
        let fine = Options::default();
        assert_eq!(fine.checked_parts().unwrap(), 8);
        assert_eq!(Options { symbols: 3, ..fine.clone() }.checked_parts().unwrap(), 3);
        for wrong in [
            Options { symbols: 0, ..fine.clone() },
            Options { symbols: 65_536, ..fine.clone() },
            Options { parts: 0, ..fine.clone() },
            Options { parts: 257, ..fine.clone() },
            Options { rate: 0, ..fine.clone() },
            Options { burstiness: 0, ..fine.clone() },
            Options { out_of_order: Span(-1), ..fine },
        ] {
            let error = wrong.checked_parts().unwrap_err();
            assert!(error.to_string().starts_with("no such market"), "{error}");
        }
    }

    #[test]
    fn names_fit_eight_letters() {
        let names =
            Options { symbols: Options::SYMBOLS_MAX, ..Options::default() }.names().unwrap();
        assert_eq!((names[0].as_str(), names[65_534].as_str()), ("S0001", "S65535"));
    }
}
