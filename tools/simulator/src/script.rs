//! A source that can be read again: splits of records, with silences.

use std::sync::Arc;

use tailwater::operators::{Polled, Source, SourceContext, SplitPosition, SplitReader};
use tailwater::{Error, Result};
use tailwater_core::Random;

use crate::input::{Input, Tick};
use crate::world::World;

/// The input of a run as a source.
pub struct Script {
    input: Arc<Input>,
    world: Arc<World>,
}

impl Script {
    /// This input.
    pub fn new(input: &Arc<Input>, world: &Arc<World>) -> Self {
        Self { input: input.clone(), world: world.clone() }
    }
}

impl Source for Script {
    type Out = Tick;

    fn name(&self) -> String {
        "script".to_owned()
    }

    fn splits(&self, _: u32) -> Result<Vec<String>> {
        Ok((0..self.input.splits.len()).map(|split| format!("split-{split}")).collect())
    }

    fn open(&self, split: usize, context: &SourceContext) -> Result<Box<dyn SplitReader<Tick>>> {
        let position = context.records_before();
        let known = self.input.splits.get(split).is_some_and(|all| position <= all.len() as u64);
        if !known {
            return Err(Error::internal(format!("split {split} has no record {position}")));
        }
        self.world.trace.event("open split", &[split as u64, position]);
        Ok(Box::new(Reader {
            input: self.input.clone(),
            split,
            position: position as usize,
            silence: 0,
            slow: self.world.slow_source(),
            random: self.world.fork(),
        }))
    }
}

struct Reader {
    input: Arc<Input>,
    split: usize,
    position: usize,
    /// How many more polls give nothing.
    silence: u64,
    slow: bool,
    random: Random,
}

impl SplitReader<Tick> for Reader {
    fn poll(&mut self, limit: usize, out: &mut Vec<Tick>) -> Result<Polled> {
        let records = &self.input.splits[self.split];
        if self.silence > 0 {
            self.silence -= 1;
            return Ok(Polled::Pending);
        }
        let mut count = limit.min(records.len() - self.position);
        if self.slow {
            count = count.min(1 + self.random.below(8) as usize);
            if self.random.chance(1, 8) {
                self.silence = self.random.below(20);
            }
        }
        out.extend_from_slice(&records[self.position..self.position + count]);
        self.position += count;
        Ok(if self.position == records.len() { Polled::Finished } else { Polled::Ready })
    }

    fn position(&self) -> SplitPosition {
        SplitPosition::after(self.position as u64)
    }
}
