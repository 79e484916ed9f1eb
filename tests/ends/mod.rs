//! Sources and sinks made of closures, for tests that need a certain behaviour at the ends of a
//! job.
#![allow(dead_code)] // Each test program uses what it needs.

use std::marker::PhantomData;

use tailwater::operators::{
    Polled, Sink, SinkContext, SinkWriter, Source, SourceContext, SplitPosition, SplitReader,
};
use tailwater::prelude::*;

/// A source of closures: `open` makes the reader of a split.
pub struct SourceFn<T, O> {
    splits: usize,
    open: O,
    types: PhantomData<fn() -> T>,
}

/// A source called `script` with so many splits; a reader appends up to the given number of
/// records.
pub fn source_fn<T, O, P>(splits: usize, open: O) -> SourceFn<T, O>
where
    O: Fn(usize) -> Result<P> + Send + Sync + 'static,
    P: FnMut(usize, &mut Vec<T>) -> Result<Polled> + Send + 'static,
{
    SourceFn { splits, open, types: PhantomData }
}

struct Reader<P>(P);

impl<T, O, P> Source for SourceFn<T, O>
where
    T: Record,
    O: Fn(usize) -> Result<P> + Send + Sync + 'static,
    P: FnMut(usize, &mut Vec<T>) -> Result<Polled> + Send + 'static,
{
    type Out = T;

    fn name(&self) -> String {
        "script".to_owned()
    }

    fn is_bounded(&self) -> bool {
        true
    }

    fn splits(&self, _: u32) -> Result<Vec<String>> {
        Ok((0..self.splits).map(|split| format!("split-{split}")).collect())
    }

    fn open(&self, split: usize, _: &SourceContext) -> Result<Box<dyn SplitReader<T>>> {
        Ok(Box::new(Reader((self.open)(split)?)))
    }
}

impl<T, P> SplitReader<T> for Reader<P>
where
    P: FnMut(usize, &mut Vec<T>) -> Result<Polled> + Send,
{
    fn poll(&mut self, limit: usize, out: &mut Vec<T>) -> Result<Polled> {
        (self.0)(limit, out)
    }

    fn position(&self) -> SplitPosition {
        SplitPosition::default()
    }
}

/// A sink of closures: `open` makes the writer of a core.
pub struct SinkFn<T, O> {
    open: O,
    types: PhantomData<fn(T)>,
}

/// A sink called `script-sink`; a writer takes what it likes from the front of the batch.
pub fn sink_fn<T, O, W>(open: O) -> SinkFn<T, O>
where
    O: Fn(&SinkContext) -> Result<W> + Send + Sync + 'static,
    W: FnMut(&mut Vec<Stamped<T>>) -> Result<()> + Send + 'static,
{
    SinkFn { open, types: PhantomData }
}

struct Writer<W>(W);

impl<T, O, W> Sink<T> for SinkFn<T, O>
where
    T: Record,
    O: Fn(&SinkContext) -> Result<W> + Send + Sync + 'static,
    W: FnMut(&mut Vec<Stamped<T>>) -> Result<()> + Send + 'static,
{
    fn name(&self) -> String {
        "script-sink".to_owned()
    }

    fn open(&self, context: &SinkContext) -> Result<Box<dyn SinkWriter<T>>> {
        Ok(Box::new(Writer((self.open)(context)?)))
    }
}

impl<T, W> SinkWriter<T> for Writer<W>
where
    W: FnMut(&mut Vec<Stamped<T>>) -> Result<()> + Send,
{
    fn write(&mut self, batch: &mut Vec<Stamped<T>>) -> Result<()> {
        (self.0)(batch)
    }

    fn close(&mut self) -> Result<bool> {
        Ok(true)
    }
}
