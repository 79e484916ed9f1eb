//! Where trades come from: the synthetic tape or files, cut off at a limit.

use std::sync::atomic::{AtomicU64, Ordering};

use tailwater::connectors::Files;
use tailwater::connectors::file::FileSet;
use tailwater::connectors::market::{TradeFormat, Trades};
use tailwater::operators::{Polled, Source, SourceContext, SplitPosition, SplitReader};
use tailwater::{Error, Pace, Result};
use tailwater_market::{Options, Tape};

use crate::arguments::{InputFormat, RunArgs};

/// How many trades the synthetic tape has where nobody says: enough for a second or so.
const SYNTHETIC_TRADES: u64 = 5_000_000;

/// An input, and how many trades it has if that is known.
pub struct Input {
    /// What is read.
    pub kind: InputKind,
    /// The most trades that come of it.
    pub trades_max: Option<u64>,
}

/// What is read.
pub enum InputKind {
    /// The synthetic tape.
    Synthetic(Tape),
    /// Files.
    Files(Limited<FileSet<Trades>>),
}

impl Input {
    /// The input that the command line names.
    ///
    /// # Errors
    /// When the options do not go together, or name no possible market.
    pub fn of(arguments: &RunArgs) -> Result<Self> {
        match (arguments.input.is_empty(), arguments.format) {
            (true, InputFormat::Auto | InputFormat::Synthetic) => Self::synthetic(arguments),
            (true, _) => Err(Error::configuration(
                "there is nothing to read: name a file with --input, or leave out --format",
            )),
            (false, InputFormat::Synthetic) => Err(Error::configuration(
                "a synthetic tape reads no file: leave out --input, or name the format of the file",
            )),
            (false, InputFormat::Auto) => Ok(Self::files(arguments, TradeFormat::Auto)),
            (false, InputFormat::Binance) => Ok(Self::files(arguments, TradeFormat::Binance)),
            (false, InputFormat::Itch50) => Ok(Self::files(arguments, TradeFormat::Itch50)),
            (false, InputFormat::Csv) => Ok(Self::files(arguments, TradeFormat::Csv)),
            (false, InputFormat::Jsonl) => Ok(Self::files(arguments, TradeFormat::Jsonl)),
        }
    }

    fn files(arguments: &RunArgs, format: TradeFormat) -> Self {
        let files = Files::trades_as(format, &arguments.input[..]);
        let files = files.on_error(arguments.on_error.clone());
        let trades_max = arguments.limit;
        Self { kind: InputKind::Files(Limited::new(files, trades_max)), trades_max }
    }

    fn synthetic(arguments: &RunArgs) -> Result<Self> {
        // At a pace the tape is one to watch, until somebody stops it.
        let default = (arguments.rate == Pace::Max).then_some(SYNTHETIC_TRADES);
        let trades_max = arguments.limit.or(default);
        let options =
            Options { seed: arguments.seed, symbols: arguments.symbols, ..Options::default() };
        let tape = Tape::new(options, trades_max.unwrap_or(u64::MAX))?;
        Ok(Self { kind: InputKind::Synthetic(tape), trades_max })
    }
}

/// A source of at most so many records. The limit is dealt over the splits in equal shares, the
/// first ones getting one more where it does not come out even: what is read must not depend on
/// which core is the faster.
pub struct Limited<S> {
    source: S,
    limit: Option<u64>,
    splits: AtomicU64,
}

impl<S> Limited<S> {
    /// At most `limit` records of `source`, or all.
    pub fn new(source: S, limit: Option<u64>) -> Self {
        Self { source, limit, splits: AtomicU64::new(1) }
    }

    fn dealt(&self, splits: Vec<String>) -> Vec<String> {
        // Written once, before any thread starts that reads it.
        self.splits.store(splits.len().max(1) as u64, Ordering::Relaxed);
        splits
    }
}

impl<S: Source> Source for Limited<S> {
    type Out = S::Out;

    fn name(&self) -> String {
        self.source.name()
    }

    fn is_bounded(&self) -> bool {
        self.limit.is_some() || self.source.is_bounded()
    }

    fn splits(&self, cores: u32) -> Result<Vec<String>> {
        Ok(self.dealt(self.source.splits(cores)?))
    }

    fn resume(&self, stored: &[String], cores: u32) -> Result<Vec<String>> {
        Ok(self.dealt(self.source.resume(stored, cores)?))
    }

    fn open(&self, split: usize, context: &SourceContext) -> Result<Box<dyn SplitReader<S::Out>>> {
        let reader = self.source.open(split, context)?;
        let splits = self.splits.load(Ordering::Relaxed);
        Ok(match self.limit {
            None => reader,
            Some(limit) => {
                let share = limit / splits + u64::from((split as u64) < limit % splits);
                let left = share.saturating_sub(context.records_before());
                Box::new(LimitedReader { reader, left })
            }
        })
    }
}

struct LimitedReader<T> {
    reader: Box<dyn SplitReader<T>>,
    left: u64,
}

impl<T: Send> SplitReader<T> for LimitedReader<T> {
    fn poll(&mut self, limit: usize, out: &mut Vec<T>) -> Result<Polled> {
        let limit = usize::try_from(self.left).map_or(limit, |left| left.min(limit));
        if limit == 0 {
            return Ok(Polled::Finished);
        }
        let before = out.len();
        let polled = self.reader.poll(limit, out)?;
        self.left -= (out.len() - before) as u64;
        Ok(if self.left == 0 { Polled::Finished } else { polled })
    }

    fn position(&self) -> SplitPosition {
        self.reader.position()
    }
}

#[cfg(test)]
mod tests {
    use tailwater::prelude::*;

    use super::Limited;

    #[test]
    fn a_limit_is_dealt_over_the_splits() {
        for (limit, expected) in [(None, 30), (Some(7), 7), (Some(0), 0), (Some(100), 30)] {
            let splits = vec![vec![0u64; 10], vec![1; 2], vec![2; 10], vec![3; 8]];
            let job = Job::new("limited");
            let results = counting(|stamped: &Stamped<u64>| stamped.value);
            job.source(Limited::new(from_splits(splits), limit)).unstamped().sink(results.clone());
            job.run(Local::seeded(2, 1)).unwrap();
            assert_eq!(results.count(), expected, "{limit:?}");
        }
    }
}
