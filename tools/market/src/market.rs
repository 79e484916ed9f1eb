//! The whole market: the parts' events, merged in the order of exchange time.

use std::collections::VecDeque;

use tailwater_core::Result;

use crate::event::Event;
use crate::options::Options;
use crate::part::Part;

/// An iterator over the first [`Options::events`] events of the exchange, in the order of exchange
/// time; those at the same instant in the order of parts.
#[derive(Debug)]
pub struct Market {
    parts: Vec<(Part, VecDeque<Event>)>,
    left: u64,
}

impl Market {
    /// The market before the opening bell.
    ///
    /// # Errors
    /// When an option is outside its limits.
    pub fn new(options: &Options) -> Result<Self> {
        let parts = (0..options.checked_parts()?)
            .map(|part| Ok((Part::new(options, part)?, VecDeque::new())))
            .collect::<Result<_>>()?;
        Ok(Self { parts, left: options.events })
    }
}

impl Iterator for Market {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.left = self.left.checked_sub(1)?;
        for (part, ahead) in &mut self.parts {
            while ahead.is_empty() {
                part.turn(|event| ahead.push_back(event));
            }
        }
        let earliest =
            self.parts.iter_mut().min_by_key(|(_, ahead)| ahead.front().map(|e| e.at))?;
        earliest.1.pop_front()
    }
}
