//! A replayable source without an end and a transactional sink in memory, for tests of checkpoints.
#![allow(dead_code)] // Each test program uses what it needs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use tailwater::operators::{
    Polled, Prepared, Sink, SinkContext, SinkWriter, Source, SourceContext, SplitPosition,
    SplitReader,
};
use tailwater::prelude::*;

/// Numbers in so many splits: `split << 32 | index`, in uneven portions, without an end or with
/// `limit` in each split.
pub struct Numbers {
    pub splits: u64,
    pub limit: u64,
}

struct NumberReader {
    split: u64,
    next: u64,
    limit: u64,
    portion: usize,
}

impl Source for Numbers {
    type Out = u64;

    fn name(&self) -> String {
        "numbers".to_owned()
    }

    fn splits(&self, _: u32) -> Result<Vec<String>> {
        Ok((0..self.splits).map(|split| format!("split-{split}")).collect())
    }

    fn open(&self, split: usize, context: &SourceContext) -> Result<Box<dyn SplitReader<u64>>> {
        // Opened somewhat earlier than asked for, as a compressed file is.
        let next = context.records_before();
        Ok(Box::new(NumberReader { split: split as u64, next, limit: self.limit, portion: 0 }))
    }
}

impl SplitReader<u64> for NumberReader {
    fn poll(&mut self, limit: usize, out: &mut Vec<u64>) -> Result<Polled> {
        self.portion = (self.portion + 7) % 23;
        for _ in 0..self.portion.min(limit) {
            if self.next == self.limit {
                return Ok(Polled::Finished);
            }
            out.push(self.split << 32 | self.next);
            self.next += 1;
        }
        Ok(if self.portion == 0 { Polled::Pending } else { Polled::Ready })
    }

    fn position(&self) -> SplitPosition {
        // Only every 64th place is one at which the split can be opened again.
        SplitPosition { records: self.next / 64 * 64, offset: self.next / 64 * 64 }
    }
}

/// What reached the outside for good.
#[derive(Clone, Default)]
pub struct Committed {
    /// By the core and checkpoint of their transaction.
    transactions: Arc<Mutex<BTreeMap<(u64, u64), Vec<u64>>>>,
    pub commits: Arc<AtomicU64>,
}

impl Committed {
    /// All values, each transaction counted once.
    pub fn values(&self) -> Vec<u64> {
        self.transactions.lock().unwrap().values().flatten().copied().collect()
    }

    /// No number is there twice. What a run that was killed had not yet committed may be missing.
    pub fn assert_none_twice(&self, how: &str) {
        let mut values = self.values();
        values.sort_unstable();
        values.windows(2).for_each(|two| assert_ne!(two[0], two[1], "twice: {how}"));
    }

    /// The numbers of each split must be there from the first to some last one, each once.
    pub fn assert_each_once(&self, splits: u64, how: &str) -> u64 {
        self.assert_none_twice(how);
        let mut values = self.values();
        let count = values.len() as u64;
        values.sort_unstable();
        for split in 0..splits {
            let of_split: Vec<_> = values.iter().filter(|value| *value >> 32 == split).collect();
            for (index, value) in of_split.iter().enumerate() {
                assert_eq!(**value & 0xFFFF_FFFF, index as u64, "missing in split {split}: {how}");
            }
        }
        count
    }

    fn commit(&self, transaction: &[u8]) {
        let words: Vec<_> = transaction
            .chunks(8)
            .map(|word| u64::from_le_bytes(word.try_into().unwrap()))
            .collect();
        let mut transactions = self.transactions.lock().unwrap();
        transactions.insert((words[0], words[1]), words[2..].to_vec());
        self.commits.fetch_add(1, Relaxed);
    }
}

impl Sink<u64> for Committed {
    fn name(&self) -> String {
        "committed".to_owned()
    }

    fn open(&self, context: &SinkContext) -> Result<Box<dyn SinkWriter<u64>>> {
        for transaction in context.restored.iter().flat_map(|restored| &restored.transactions) {
            self.commit(transaction);
        }
        Ok(Box::new(Writer {
            committed: self.clone(),
            core: context.core.into(),
            open: Vec::new(),
            answer: None,
            prepared: Vec::new(),
            refusals: 0,
        }))
    }
}

struct Writer {
    committed: Committed,
    core: u64,
    open: Vec<u64>,
    answer: Option<Prepared>,
    prepared: Vec<Prepared>,
    /// Every call is refused some times before it is obeyed.
    refusals: u32,
}

impl Writer {
    fn refuses(&mut self) -> bool {
        self.refusals = (self.refusals + 1) % 3;
        self.refusals != 0
    }
}

impl SinkWriter<u64> for Writer {
    fn write(&mut self, batch: &mut Vec<Stamped<u64>>) -> Result<()> {
        let taken = batch.len().min(40);
        self.open.extend(batch.drain(..taken).map(|record| record.value));
        Ok(())
    }

    fn is_transactional(&self) -> bool {
        true
    }

    fn prepare(&mut self, checkpoint: u64) -> Result<bool> {
        if self.refuses() {
            return Ok(false);
        }
        let mut transaction = Vec::new();
        if !self.open.is_empty() {
            let head = [self.core, checkpoint];
            let words = head.into_iter().chain(self.open.drain(..));
            transaction.extend(words.flat_map(u64::to_le_bytes));
        }
        self.answer = Some(Prepared { checkpoint, transaction });
        Ok(true)
    }

    fn prepared(&mut self) -> Result<Option<Prepared>> {
        if self.refuses() {
            return Ok(None);
        }
        let answer = self.answer.take();
        self.prepared.extend(answer.clone());
        Ok(answer)
    }

    fn commit(&mut self, checkpoint: u64) -> Result<bool> {
        if self.refuses() {
            return Ok(false);
        }
        let all = std::mem::take(&mut self.prepared);
        let (due, later): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|prepared| prepared.checkpoint <= checkpoint);
        self.prepared = later;
        for prepared in due.iter().filter(|prepared| !prepared.transaction.is_empty()) {
            self.committed.commit(&prepared.transaction);
        }
        Ok(true)
    }

    fn close(&mut self) -> Result<bool> {
        assert!(self.open.is_empty() && self.prepared.is_empty(), "closed before the last commit");
        Ok(true)
    }
}
