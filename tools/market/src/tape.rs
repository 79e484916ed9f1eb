//! The tape as a source: each part of the market is a split.

use std::sync::Arc;

use tailwater_core::{Error, Result, Symbol, Timestamp};
use tailwater_operators::{Polled, Source, SourceContext, SplitPosition, SplitReader};

use crate::arrivals::Arrivals;
use crate::event::Print;
use crate::options::{Options, Sequence};
use crate::part::Part;

/// A source of prints, as fast as they are asked for. Its splits and what is in them do not depend
/// on the number of cores.
#[derive(Clone, Debug)]
pub struct Tape {
    options: Options,
    parts: u32,
    names: Arc<[Symbol]>,
    prints: u64,
}

impl Tape {
    /// The tape of a market with `prints` prints in all, in equal shares of the splits, the first
    /// ones having one more where it does not come out even; `u64::MAX` is as good as endless.
    ///
    /// # Errors
    /// When an option is outside its limits.
    pub fn new(options: Options, prints: u64) -> Result<Self> {
        let parts = options.checked_parts()?;
        let names = options.names()?;
        Ok(Self { options, parts, names, prints })
    }

    /// The options that name the tape.
    pub fn options(&self) -> &Options {
        &self.options
    }
}

impl Source for Tape {
    type Out = Print;

    fn name(&self) -> String {
        "synthetic".to_owned()
    }

    fn is_bounded(&self) -> bool {
        self.prints != u64::MAX
    }

    fn splits(&self, _cores: u32) -> Result<Vec<String>> {
        Ok((0..self.parts).map(|part| format!("synthetic-{part}")).collect())
    }

    fn open(&self, split: usize, context: &SourceContext) -> Result<Box<dyn SplitReader<Print>>> {
        let part =
            u32::try_from(split).ok().filter(|&part| part < self.parts).ok_or_else(|| {
                Error::internal(format!("the tape has {} splits, and no split {split}", self.parts))
            })?;
        let (share, rest) =
            (self.prints / u64::from(self.parts), self.prints % u64::from(self.parts));
        let mut reader = Reader {
            part: Part::new(&self.options, part)?,
            arrivals: Arrivals::new(
                self.options.seed_of(Sequence::Arrivals, part),
                self.options.out_of_order,
            ),
            names: Arc::clone(&self.names),
            start: self.options.start,
            left: share + u64::from(u64::from(part) < rest),
            surplus: Vec::new(),
            position: 0,
        };
        reader.skip(context.records_before())?;
        Ok(Box::new(reader))
    }
}

struct Reader {
    part: Part,
    arrivals: Arrivals,
    names: Arc<[Symbol]>,
    start: Timestamp,
    /// Prints that have yet to happen.
    left: u64,
    /// Prints that arrived together with the last one that was asked for, newest first.
    surplus: Vec<Print>,
    position: u64,
}

/// Prints that are played at a time on the way to where an earlier run was.
const SKIPPED_LEN: u64 = 1 << 12;

impl Reader {
    /// Plays the first `records` prints for nobody: each follows from those before, so there is no
    /// shorter way to a later one.
    fn skip(&mut self, records: u64) -> Result<()> {
        let mut prints = Vec::new();
        while self.position < records {
            prints.clear();
            let limit = (records - self.position).min(SKIPPED_LEN) as usize;
            if self.poll(limit, &mut prints)? == Polled::Finished && self.position < records {
                return Err(Error::configuration(format!(
                    "the checkpoint has read {records} prints of a split of the tape, which has \
                     only {}: restore with the same options",
                    self.position
                )));
            }
        }
        Ok(())
    }
}

impl SplitReader<Print> for Reader {
    fn poll(&mut self, limit: usize, out: &mut Vec<Print>) -> Result<Polled> {
        let start = out.len();
        let end = start.saturating_add(limit);
        while out.len() < end
            && let Some(print) = self.surplus.pop()
        {
            out.push(print);
        }
        let Self { part, arrivals, names, left, .. } = self;
        while out.len() < end && *left > 0 {
            part.turn(|event| {
                if let Some(print) = event.print(names, self.start)
                    && *left > 0
                {
                    *left -= 1;
                    arrivals.happened(print, out);
                }
            });
        }
        if *left == 0 {
            arrivals.finish(out);
        }
        if out.len() > end {
            self.surplus.extend(out.drain(end..).rev());
        }
        self.position += (out.len() - start) as u64;
        let finished = self.left == 0 && self.surplus.is_empty();
        Ok(if finished { Polled::Finished } else { Polled::Ready })
    }

    fn position(&self) -> SplitPosition {
        SplitPosition::after(self.position)
    }
}
