//! A sink with transactions, kept by an outside world that survives crashes: the strictest reader
//! that a job can have.
//!
//! ```text
//! written -> prepared(checkpoint) -> committed          what is only written dies with the process
//!                     `-> discarded, by a run that goes on from an older checkpoint
//! ```
//!
//! It complains of what no sink should bear: a commit of what was never prepared, a transaction
//! that is prepared twice, a run that goes on and forgets to commit what its checkpoint holds.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tailwater::operators::{Prepared, Restored, Sink, SinkContext, SinkWriter};
use tailwater::{Result, Stamped};
use tailwater_core::Random;

use crate::world::World;

/// What one sink of a job has put out.
#[derive(Debug, Default)]
struct Account {
    /// Prepared and neither committed nor discarded: by number, the checkpoint and its lines.
    prepared: BTreeMap<u64, (u64, Vec<String>)>,
    committed: Vec<String>,
    /// The newest checkpoint that was committed.
    newest: u64,
}

/// The outside world of a run: all that its sinks have put out.
#[derive(Debug, Default)]
pub struct Ledger {
    accounts: Mutex<(BTreeMap<&'static str, Account>, u64)>,
    commits: AtomicU64,
}

impl Ledger {
    /// The committed lines of a sink, in the order in which they were committed.
    pub fn committed(&self, sink: &str) -> Vec<String> {
        self.lock().0.get(sink).map_or_else(Vec::new, |account| account.committed.clone())
    }

    /// How many transactions were committed.
    pub fn commits(&self) -> u64 {
        self.commits.load(Relaxed)
    }

    /// The newest checkpoint of which something was committed.
    pub fn newest(&self) -> u64 {
        self.lock().0.values().map(|account| account.newest).max().unwrap_or(0)
    }

    fn lock(&self) -> MutexGuard<'_, (BTreeMap<&'static str, Account>, u64)> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn prepare(&self, sink: &'static str, checkpoint: u64, lines: Vec<String>) -> u64 {
        let (accounts, last) = &mut *self.lock();
        *last += 1;
        accounts.entry(sink).or_default().prepared.insert(*last, (checkpoint, lines));
        *last
    }

    /// Commits a transaction; doing it again does no harm.
    fn commit(&self, sink: &'static str, transaction: u64) -> usize {
        let (accounts, _) = &mut *self.lock();
        let account = accounts.entry(sink).or_default();
        let Some((checkpoint, lines)) = account.prepared.remove(&transaction) else { return 0 };
        account.newest = account.newest.max(checkpoint);
        self.commits.fetch_add(1, Relaxed);
        let count = lines.len();
        account.committed.extend(lines);
        count
    }

    /// Discards what was prepared for checkpoints after this one.
    fn discard_after(&self, sink: &'static str, checkpoint: u64) -> usize {
        let (accounts, _) = &mut *self.lock();
        let account = accounts.entry(sink).or_default();
        let before = account.prepared.len();
        account.prepared.retain(|_, (of, _)| *of <= checkpoint);
        before - account.prepared.len()
    }
}

/// A sink of lines into the ledger.
pub struct LedgerSink {
    name: &'static str,
    world: Arc<World>,
}

impl LedgerSink {
    /// The sink of this name.
    pub fn new(name: &'static str, world: &Arc<World>) -> Self {
        Self { name, world: world.clone() }
    }
}

impl Sink<String> for LedgerSink {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn open(&self, context: &SinkContext) -> Result<Box<dyn SinkWriter<String>>> {
        let ledger = &self.world.ledger;
        match &context.restored {
            None => {
                // A job that starts afresh owns nothing of what was prepared before.
                ledger.discard_after(self.name, 0);
            }
            Some(Restored { checkpoint, transactions }) => {
                for bytes in transactions {
                    let Ok(bytes) = <[u8; 8]>::try_from(bytes.as_slice()) else {
                        self.world.violate("a transaction came back with other bytes".to_owned());
                        continue;
                    };
                    let transaction = u64::from_le_bytes(bytes);
                    let lines = ledger.commit(self.name, transaction);
                    self.world.trace.event("recommit", &[transaction, lines as u64]);
                }
                ledger.discard_after(self.name, *checkpoint);
            }
        }
        Ok(Box::new(Writer {
            name: self.name,
            world: self.world.clone(),
            transactional: context.checkpointing,
            lines: Vec::new(),
            outcome: None,
            prepared: BTreeMap::new(),
            random: self.world.fork(),
        }))
    }
}

struct Writer {
    name: &'static str,
    world: Arc<World>,
    transactional: bool,
    lines: Vec<String>,
    /// What `prepared` is to say, and after how many more questions.
    outcome: Option<(u64, Prepared)>,
    prepared: BTreeMap<u64, u64>,
    random: Random,
}

impl Writer {
    fn is_slow(&mut self) -> bool {
        self.world.slow_sink() && self.random.chance(1, 4)
    }
}

impl SinkWriter<String> for Writer {
    fn write(&mut self, batch: &mut Vec<Stamped<String>>) -> Result<()> {
        let mut room = batch.len();
        if self.is_slow() {
            room = self.random.below(room as u64 + 1) as usize;
        }
        for Stamped { value, .. } in batch.drain(..room) {
            self.world.trace.text("write", &value);
            self.lines.push(value);
        }
        Ok(())
    }

    fn is_transactional(&self) -> bool {
        self.transactional
    }

    fn prepare(&mut self, checkpoint: u64) -> Result<bool> {
        if self.outcome.is_some() || self.is_slow() {
            return Ok(false);
        }
        let lines = std::mem::take(&mut self.lines);
        let mut transaction = Vec::new();
        if !lines.is_empty() {
            let number = self.world.ledger.prepare(self.name, checkpoint, lines);
            self.world.trace.event("prepare", &[checkpoint, number]);
            if self.prepared.insert(checkpoint, number).is_some() {
                self.world.violate(format!("checkpoint {checkpoint} was prepared twice"));
            }
            transaction = number.to_le_bytes().to_vec();
        }
        let wait = if self.world.slow_sink() { self.random.below(8) } else { 0 };
        self.outcome = Some((wait, Prepared { checkpoint, transaction }));
        Ok(true)
    }

    fn prepared(&mut self) -> Result<Option<Prepared>> {
        match &mut self.outcome {
            Some((wait, _)) if *wait > 0 => {
                *wait -= 1;
                Ok(None)
            }
            _ => Ok(self.outcome.take().map(|(_, prepared)| prepared)),
        }
    }

    fn commit(&mut self, checkpoint: u64) -> Result<bool> {
        if self.is_slow() {
            return Ok(false);
        }
        let later = self.prepared.split_off(&(checkpoint + 1));
        for (_, transaction) in std::mem::replace(&mut self.prepared, later) {
            let lines = self.world.ledger.commit(self.name, transaction);
            self.world.trace.event("commit", &[checkpoint, transaction, lines as u64]);
        }
        Ok(true)
    }

    fn close(&mut self) -> Result<bool> {
        if !self.transactional {
            let lines = std::mem::take(&mut self.lines);
            let number = self.world.ledger.prepare(self.name, 0, lines);
            self.world.ledger.commit(self.name, number);
        } else if !self.lines.is_empty() || !self.prepared.is_empty() {
            self.world.violate(format!("sink `{}` was closed before its last commit", self.name));
        }
        Ok(true)
    }
}
