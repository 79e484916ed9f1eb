//! Records in memory as a source: for tests, examples and benchmarks.

use std::sync::{Mutex, PoisonError};

use tailwater_core::{Error, Record, Result};
use tailwater_operators::{Polled, Source, SourceContext, SplitPosition, SplitReader};

/// A source of these records, in their order, read by one core.
pub fn from_vec<T: Record>(records: Vec<T>) -> Memory<T> {
    from_splits(vec![records])
}

/// A source of several splits, each in its order.
pub fn from_splits<T: Record>(splits: Vec<Vec<T>>) -> Memory<T> {
    Memory { splits: Mutex::new(splits) }
}

/// A source of records in memory. Each time it is opened it gives the same records.
#[derive(Debug)]
pub struct Memory<T> {
    // A record need not be `Sync`; the lock is taken once a split.
    splits: Mutex<Vec<Vec<T>>>,
}

impl<T: Record> Source for Memory<T> {
    type Out = T;

    fn name(&self) -> String {
        "memory".to_owned()
    }

    fn is_bounded(&self) -> bool {
        true
    }

    fn splits(&self, _cores: u32) -> Result<Vec<String>> {
        let splits = self.splits.lock().unwrap_or_else(PoisonError::into_inner).len();
        Ok((0..splits).map(|split| format!("memory-{split}")).collect())
    }

    fn open(&self, split: usize, context: &SourceContext) -> Result<Box<dyn SplitReader<T>>> {
        let splits = self.splits.lock().unwrap_or_else(PoisonError::into_inner);
        let records = splits
            .get(split)
            .ok_or_else(|| Error::internal(format!("there is no split {split} in memory")))?;
        let position = context.records_before();
        let first = usize::try_from(position).ok().filter(|&first| first <= records.len());
        let rest = first.and_then(|first| records.get(first..)).ok_or_else(|| {
            let len = records.len();
            Error::configuration(format!(
                "the checkpoint has read {position} records, but there are only {len} in memory: \
                 restore with the same records"
            ))
        })?;
        let records = rest.to_vec();
        Ok(Box::new(Reader { records: records.into_iter(), position }))
    }
}

struct Reader<T> {
    records: std::vec::IntoIter<T>,
    position: u64,
}

impl<T: Record> SplitReader<T> for Reader<T> {
    fn poll(&mut self, limit: usize, out: &mut Vec<T>) -> Result<Polled> {
        let before = out.len();
        out.extend(self.records.by_ref().take(limit));
        self.position += (out.len() - before) as u64;
        Ok(if self.records.len() == 0 { Polled::Finished } else { Polled::Ready })
    }

    fn position(&self) -> SplitPosition {
        SplitPosition::after(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::source_context as context;

    #[test]
    fn splits_are_read_in_order_and_as_often_as_one_likes() {
        let source = from_splits(vec![vec![1, 2, 3], vec![4]]);
        assert_eq!(source.splits(2).unwrap(), ["memory-0", "memory-1"]);
        for _ in 0..2 {
            let mut reader = source.open(0, &context()).unwrap();
            let mut out = Vec::new();
            assert_eq!(reader.poll(2, &mut out).unwrap(), Polled::Ready);
            assert_eq!((out.as_slice(), reader.position().records), (&[1, 2][..], 2));
            assert_eq!(reader.poll(2, &mut out).unwrap(), Polled::Finished);
            assert_eq!((out.as_slice(), reader.position().records), (&[1, 2, 3][..], 3));
        }
        assert!(source.open(2, &context()).is_err());
    }
}
