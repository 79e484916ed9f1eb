//! What the tests of this crate share: contexts, and a reader drained to its end.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tailwater_core::{Counters, ManualClock, Result};
use tailwater_operators::{Polled, SinkContext, Source, SourceContext, SplitReader, Waker};

/// A context that asks for no thread.
pub(crate) fn source_context() -> SourceContext {
    SourceContext {
        core: 0,
        cores: 1,
        counters: Counters::default(),
        clock: Arc::new(ManualClock::default()),
        waker: Waker::none(),
        inline: true,
        start: None,
    }
}

pub(crate) fn sink_context() -> SinkContext {
    SinkContext {
        core: 0,
        cores: 1,
        counters: Counters::default(),
        clock: Arc::new(ManualClock::default()),
        waker: Waker::none(),
        inline: true,
        checkpointing: false,
        restored: None,
    }
}

/// Everything that a reader has, `limit` at a time.
pub(crate) fn drain<T>(reader: &mut dyn SplitReader<T>, limit: usize) -> Result<Vec<T>> {
    drain_from(reader, limit, 0)
}

/// Everything that a reader has that went on behind `start` records.
pub(crate) fn drain_from<T>(
    reader: &mut dyn SplitReader<T>,
    limit: usize,
    start: u64,
) -> Result<Vec<T>> {
    let mut out = Vec::new();
    loop {
        match reader.poll(limit, &mut out)? {
            Polled::Ready => {}
            Polled::Pending => std::thread::yield_now(),
            Polled::Finished => break,
        }
    }
    assert_eq!(reader.position().records, start + out.len() as u64);
    Ok(out)
}

/// All records of a source, split by split, with the counts.
pub(crate) fn read<S: Source>(source: &S) -> Result<(Vec<S::Out>, Counters)> {
    let context = source_context();
    let mut all = Vec::new();
    for split in 0..source.splits(1)?.len() {
        let mut reader = source.open(split, &context)?;
        all.extend(drain(&mut *reader, 100)?);
    }
    Ok((all, context.counters))
}

/// A file of real data, where there is one.
pub(crate) fn data(name: &str) -> Option<PathBuf> {
    let fallback = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data");
    let directory = std::env::var_os("TAILWATER_DATA").unwrap_or_else(|| fallback.into());
    let path = PathBuf::from(directory).join(name);
    if !path.exists() {
        skipped(&path);
        return None;
    }
    Some(path)
}

/// Says that a test has nothing to do here.
#[expect(clippy::print_stderr, reason = "the one place where tests say that they were skipped")]
pub(crate) fn skipped(path: &Path) {
    eprintln!("skipped: {} is absent", path.display());
}
