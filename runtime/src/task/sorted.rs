//! The input end of a keyed task in batch mode: reads all that comes, then hands it on key by key,
//! each by time (SEMANTICS 88).
//!
//! ```text
//! inbox --records--> sorter
//! end            --> key 1: records.. KeyEnd   key 2: records.. KeyEnd   watermark MAX, End
//! ```
//!
//! Watermarks, idleness and markers end here: until the end of a key there is no watermark, so that
//! nothing is late (SEMANTICS 89). Records without a key, of a side that is told to all, go on
//! as they come: that side is read fully before the first keyed record (SEMANTICS 90).

use tailwater_core::{Control, Record, Result, Stamped, Timestamp};
use tailwater_operators::blame::blame;
use tailwater_state::SortOptions;
use tailwater_state::sort::{Sorted, Sorter, Taken};

use super::{Event, Input, Step};

/// Records that are taken off the rings before the task looks at what else there is to do.
const TAKEN_MAX: usize = 4096;

/// Sorts what another input reads; `F` gives the hash of a record's key, or `None` where it has
/// none.
pub struct SortedInput<T, F> {
    input: Box<dyn Input<T>>,
    hash: F,
    phase: Phase<T>,
    batch: Vec<Stamped<T>>,
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
        Self { input, hash, phase, batch: Vec::new() }
    }

    /// Takes in what there is; `true` at its end.
    fn read(&mut self, step: &Step, limit: usize, out: &mut Vec<Stamped<T>>) -> Result<Event> {
        let Phase::Reading(sorter) = &mut self.phase else { return Ok(Event::Empty) };
        let mut taken = 0;
        while taken < TAKEN_MAX && out.is_empty() {
            match self.input.poll(step, limit, &mut self.batch)? {
                Event::Empty if taken == 0 => return Ok(Event::Empty),
                Event::Empty => break,
                Event::Records => {
                    taken += self.batch.len();
                    for record in self.batch.drain(..) {
                        match blame("key_by", record.at, || (self.hash)(&record.value)) {
                            Some(hash) => sorter.push(hash, record.at, record.value)?,
                            None => out.push(record),
                        }
                    }
                }
                Event::Control(Control::End) => return Ok(Event::Control(Control::End)),
                Event::Control(_) | Event::KeyEnd => {}
            }
        }
        Ok(Event::Records)
    }
}

impl<T, F> Input<T> for SortedInput<T, F>
where
    T: Record,
    F: FnMut(&T) -> Option<u64>,
{
    fn poll(&mut self, step: &Step, limit: usize, batch: &mut Vec<Stamped<T>>) -> Result<Event> {
        if matches!(self.phase, Phase::Reading(_)) {
            let event = self.read(step, limit, batch)?;
            if event != Event::Control(Control::End) {
                return Ok(event);
            }
            if let Phase::Reading(sorter) = std::mem::replace(&mut self.phase, Phase::Ended) {
                self.phase = Phase::Replaying(sorter.finish()?);
            }
        }
        Ok(match &mut self.phase {
            Phase::Reading(_) | Phase::Ended => Event::Empty,
            Phase::Replaying(sorted) => match sorted.take(limit, batch)? {
                Taken::Records => Event::Records,
                Taken::KeyEnd => Event::KeyEnd,
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

    fn on_blocked(&mut self, step: &Step) {
        self.input.on_blocked(step);
    }
}
