//! The input end of a keyed task in batch mode: reads all that comes, then hands it on key by key,
//! each by time (SEMANTICS 88).
//!
//! ```text
//! inbox --records--> the chain, what it takes unsorted    the rest --sort--> sorter
//! end            --> key 1: records.. the last   key 2: records.. the last   watermark MAX, End
//! ```
//!
//! Watermarks, idleness and markers end here: until the end of a key there is no watermark, so that
//! nothing is late (SEMANTICS 89). Records without a key, of a side that is told to all, are not
//! kept: that side is read fully before the first keyed record (SEMANTICS 90).

use tailwater_core::{Control, Record, Result, Stamped, Timestamp};
use tailwater_operators::blame::blame;
use tailwater_state::SortOptions;
use tailwater_state::sort::{Sorted, Sorter, Taken};

use super::{Event, Input, Step};

/// Sorts what another input reads; `F` gives the hash of a record's key, or `None` where it has
/// none.
pub struct SortedInput<T, F> {
    input: Box<dyn Input<T>>,
    hash: F,
    phase: Phase<T>,
    /// All is read, and the chain was asked for what it has taken unsorted and wants to be sorted
    /// after all.
    has_asked: bool,
    /// Empty between calls.
    taken: Vec<Stamped<T>>,
}

enum Phase<T> {
    Reading(Sorter<T>),
    Replaying(Sorted<T>),
    /// The last watermark has gone out.
    Ending,
    Ended,
}

impl<T, F> SortedInput<T, F>
where
    T: Record,
    F: FnMut(&T) -> Option<u64>,
{
    /// Sorts what `input` reads.
    pub fn new(input: Box<dyn Input<T>>, hash: F, options: SortOptions) -> Self {
        let phase = Phase::Reading(Sorter::new(options));
        Self { input, hash, phase, has_asked: false, taken: Vec::new() }
    }

    /// Reads on; `End` when there is no more.
    fn read(&mut self, step: &Step, limit: usize, batch: &mut Vec<Stamped<T>>) -> Result<Event> {
        loop {
            match self.input.poll(step, limit, batch)? {
                Event::Records => return Ok(Event::Unsorted),
                Event::Control(control) if control != Control::End => {}
                event => return Ok(event),
            }
        }
    }
}

impl<T, F> Input<T> for SortedInput<T, F>
where
    T: Record,
    F: FnMut(&T) -> Option<u64>,
{
    fn poll(&mut self, step: &Step, limit: usize, batch: &mut Vec<Stamped<T>>) -> Result<Event> {
        if let Phase::Reading(_) = self.phase {
            if !self.has_asked {
                let event = self.read(step, limit, batch)?;
                if event != Event::Control(Control::End) {
                    return Ok(event);
                }
                self.has_asked = true;
                return Ok(Event::Unsorted);
            }
            if let Phase::Reading(sorter) = std::mem::replace(&mut self.phase, Phase::Ended) {
                self.phase = Phase::Replaying(sorter.finish()?);
            }
        }
        Ok(match &mut self.phase {
            Phase::Reading(_) | Phase::Ended => Event::Empty,
            Phase::Replaying(sorted) => match sorted.take(limit, batch)? {
                Taken::Records => Event::Sorted,
                Taken::LastOfKey => Event::LastOfKey,
                Taken::End => {
                    self.phase = Phase::Ending;
                    Event::Control(Control::Watermark(Timestamp::MAX))
                }
            },
            Phase::Ending => {
                self.phase = Phase::Ended;
                Event::Control(Control::End)
            }
        })
    }

    fn sort(&mut self, batch: &mut Vec<Stamped<T>>) -> Result<()> {
        let Phase::Reading(sorter) = &mut self.phase else { return Ok(()) };
        std::mem::swap(batch, &mut self.taken);
        for record in self.taken.drain(..) {
            match blame("key_by", record.at, || (self.hash)(&record.value)) {
                Some(hash) => sorter.push(hash, record.at, record.value)?,
                None => batch.push(record),
            }
        }
        Ok(())
    }

    fn on_blocked(&mut self, step: &Step) {
        self.input.on_blocked(step);
    }
}
