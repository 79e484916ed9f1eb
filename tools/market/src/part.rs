//! One part of the market: some of the symbols with their books, and the clock that they share.

use tailwater_core::{Random, Result, Span};

use crate::book::Book;
use crate::event::Event;
use crate::options::{Options, Sequence};
use crate::pace::Pace;
use crate::pick::{Pick, zipf};
use crate::turn::{Numbers, Turn, opening_book};

/// Plays the events of its symbols, which no other part has. Symbols are dealt like cards: the
/// `i`-th goes to part `i % parts`.
#[derive(Debug)]
pub(crate) struct Part {
    random: Random,
    pick: Pick,
    books: Vec<Book>,
    numbers: Numbers,
    pace: Pace,
    /// The symbol, by its place in this part, that a burst is about.
    hot: usize,
    /// Since the opening bell.
    now: Span,
    part: u32,
    parts: u32,
}

impl Part {
    /// A part before its first event.
    pub(crate) fn new(options: &Options, part: u32) -> Result<Self> {
        let parts = options.checked_parts()?;
        let mut random = Random::from_seed(options.seed_of(Sequence::Events, part));
        let weights: Vec<u64> = (part..options.symbols).step_by(parts as usize).map(zipf).collect();
        let first = u64::from(part) + 1;
        Ok(Self {
            books: weights.iter().map(|_| opening_book(&mut random)).collect(),
            pick: Pick::new(&weights),
            numbers: Numbers { order: first, matched: first, step: parts.into() },
            pace: Pace::new(options, parts),
            hot: 0,
            now: Span::ZERO,
            random,
            part,
            parts,
        })
    }

    /// Plays one turn at one symbol and tells what happened: nothing, one event or several, all at
    /// the same instant, none before those of the turns before.
    #[inline]
    pub(crate) fn turn(&mut self, mut tell: impl FnMut(Event)) {
        let picked = self.pick.index(self.random.next_u64());
        let random = self.random.next_u64();
        // Half of a burst's turns are about one symbol; the top bit is not used by a turn.
        let hot = self.pace.is_bursting() && random >> 63 == 1;
        let place = if hot { self.hot } else { picked };
        let at = self.now;
        let symbol = (place as u32 * self.parts + self.part) as u16;
        let mut events = 0;
        Turn {
            book: &mut self.books[place],
            numbers: &mut self.numbers,
            tell: |kind| {
                events += 1;
                tell(Event { at, symbol, kind });
            },
        }
        .play(random & (u64::MAX >> 1));
        let (gap, burst_began) = self.pace.gap(events, &mut self.random);
        self.now = self.now + gap;
        if burst_began {
            self.hot = picked;
        }
    }
}
