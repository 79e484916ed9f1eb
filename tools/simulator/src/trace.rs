//! What happened in a run, boiled down to a number: equal for equal runs.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tailwater_core::random::mix;

/// Collects what happens. One thread at a time adds to it: the driver's or the simulator's own, so
/// relaxed order is order enough.
#[derive(Debug, Default)]
pub struct Trace {
    hash: AtomicU64,
    events: AtomicU64,
    /// The events as text, where somebody wants to read them.
    lines: Option<Mutex<Vec<String>>>,
}

impl Trace {
    /// A trace that also keeps its text.
    pub fn verbose() -> Self {
        Self { lines: Some(Mutex::default()), ..Self::default() }
    }

    /// Adds an event.
    pub fn event(&self, what: &'static str, numbers: &[u64]) {
        let mut hash = self.hash.load(Relaxed);
        for byte in what.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3);
        }
        for number in numbers {
            hash = mix(hash ^ number);
        }
        self.hash.store(hash, Relaxed);
        self.events.fetch_add(1, Relaxed);
        if let Some(lines) = &self.lines {
            let numbers: Vec<_> = numbers.iter().map(u64::to_string).collect();
            self.push(lines, format!("{what} {}", numbers.join(" ")));
        }
    }

    /// Adds an event with a text.
    pub fn text(&self, what: &'static str, text: &str) {
        let hash = text.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3)
        });
        let old = self.hash.load(Relaxed);
        let what_hash = what.bytes().fold(old, |hash, byte| mix(hash ^ u64::from(byte)));
        self.hash.store(mix(what_hash ^ hash), Relaxed);
        self.events.fetch_add(1, Relaxed);
        if let Some(lines) = &self.lines {
            self.push(lines, format!("{what} {text}"));
        }
    }

    fn push(&self, lines: &Mutex<Vec<String>>, line: String) {
        lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(line);
    }

    /// All events so far in one number.
    pub fn hash(&self) -> u64 {
        self.hash.load(Relaxed)
    }

    /// How many there were.
    pub fn events(&self) -> u64 {
        self.events.load(Relaxed)
    }

    /// The text of the events, where it is kept.
    pub fn lines(&self) -> Vec<String> {
        let lines = self.lines.as_ref();
        lines.map_or_else(Vec::new, |lines| {
            lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_numbers_and_words_count() {
        let hash = |events: &[(&'static str, u64)]| {
            let trace = Trace::default();
            events.iter().for_each(|(what, number)| trace.event(what, &[*number]));
            trace.hash()
        };
        let base = hash(&[("a", 1), ("b", 2)]);
        assert_eq!(base, hash(&[("a", 1), ("b", 2)]));
        for other in
            [&[("b", 2), ("a", 1)][..], &[("a", 1)], &[("a", 1), ("b", 3)], &[("a", 1), ("c", 2)]]
        {
            assert_ne!(base, hash(other));
        }
    }
}
