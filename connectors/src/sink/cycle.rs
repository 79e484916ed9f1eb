//! The life cycle of a sink that commits in two phases: which call comes when, and what is kept of
//! the transactions between them.
//!
//! A checkpoint holds every transaction that was prepared and is not known to be committed, not
//! only its own: the one before may have failed, or have become durable without anybody having been
//! told before the crash.

use std::collections::VecDeque;
use std::marker::PhantomData;

use tailwater_core::{Counter, Error, Fault, Result, Stamped, fault};
use tailwater_operators::{Prepared, SinkContext};

use super::two_phase::{Commit, RestoredState, TwoPhase};

/// So many times a commit may answer that it is not the moment. With the pauses between them that
/// is some twenty minutes on a thread; an outside that has not come back by then will not.
const ATTEMPTS_MAX: u32 = 60_000;

/// A transaction that waits for its commit.
#[derive(Debug, PartialEq, Eq)]
struct Pending {
    checkpoint: u64,
    transaction: Vec<u8>,
}

/// A two-phase output and where it stands.
pub(super) struct Cycle<T, P> {
    pub(super) phases: P,
    core: u32,
    checkpointing: bool,
    /// A transaction has begun.
    open: bool,
    /// Those of the checkpoint that the job goes on from are committed first; then the rest is
    /// aborted.
    restoring: Option<Option<RestoredState>>,
    pending: VecDeque<Pending>,
    /// Those up to this checkpoint may be committed.
    committed: u64,
    attempt: u32,
    retries: Counter,
    types: PhantomData<fn(T)>,
}

impl<T, P: TwoPhase<T>> Cycle<T, P> {
    /// A cycle at its beginning; what was restored is committed as far as it goes at once.
    pub(super) fn new(phases: P, context: &SinkContext) -> Result<Self> {
        let mut cycle = Self {
            phases,
            core: context.core,
            checkpointing: context.checkpointing,
            open: false,
            restoring: None,
            pending: VecDeque::new(),
            committed: 0,
            attempt: 0,
            retries: context.counters.register("sink_commit_retries"),
            types: PhantomData,
        };
        if let Some(restored) = &context.restored {
            let (states, pending) = unpack_newest(&restored.transactions)?;
            cycle.pending = pending;
            cycle.committed = restored.checkpoint;
            cycle.restoring = Some(Some(RestoredState { checkpoint: restored.checkpoint, states }));
            if fault(Fault::ForgetCommitOnRestore) {
                cycle.pending.clear();
            }
        } else if context.checkpointing {
            cycle.restoring = Some(None);
        }
        cycle.advance()?;
        Ok(cycle)
    }

    pub(super) fn is_transactional(&self) -> bool {
        self.checkpointing
    }

    /// Does what is due of commits; `false` while some of it must be tried again.
    pub(super) fn advance(&mut self) -> Result<bool> {
        while let Some(first) = self.pending.front()
            && first.checkpoint <= self.committed
        {
            match self.phases.commit(first.checkpoint, &first.transaction, self.attempt)? {
                Commit::Done => {
                    self.attempt = 0;
                    self.pending.pop_front();
                }
                Commit::RetryLater if self.attempt == ATTEMPTS_MAX => {
                    return Err(Error::internal(format!(
                        "the commit of checkpoint {} was put off {ATTEMPTS_MAX} times: see that \
                         what the sink writes to is there, and restart the job",
                        first.checkpoint
                    )));
                }
                Commit::RetryLater => {
                    self.attempt += 1;
                    self.retries.add(1);
                    return Ok(false);
                }
            }
        }
        if let Some(restored) = &self.restoring {
            self.phases.abort(restored.as_ref())?;
            self.restoring = None;
        }
        Ok(true)
    }

    /// Whether records can be written: not before a restored checkpoint's transactions are
    /// committed.
    pub(super) fn is_ready(&self) -> bool {
        self.restoring.is_none()
    }

    pub(super) fn write(&mut self, batch: &mut Vec<Stamped<T>>) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        if !self.open {
            self.phases.begin()?;
            self.open = true;
        }
        self.phases.write(batch)
    }

    /// The transaction of a checkpoint: all that is prepared and not yet committed.
    pub(super) fn prepare(&mut self, checkpoint: u64) -> Result<Prepared> {
        self.close_transaction(checkpoint)?;
        let transaction = pack((self.core, checkpoint), &self.phases.state(), &self.pending);
        if fault(Fault::CommitBeforeTold) {
            self.commit(checkpoint)?;
        }
        Ok(Prepared { checkpoint, transaction })
    }

    fn close_transaction(&mut self, checkpoint: u64) -> Result<()> {
        if std::mem::take(&mut self.open) {
            self.phases.flush()?;
            let transaction = self.phases.pre_commit(checkpoint)?;
            if !transaction.is_empty() {
                self.pending.push_back(Pending { checkpoint, transaction });
            }
        }
        Ok(())
    }

    /// Whether all up to `checkpoint` is committed now.
    pub(super) fn commit(&mut self, checkpoint: u64) -> Result<bool> {
        self.committed = self.committed.max(checkpoint);
        self.advance()
    }

    pub(super) fn idle(&mut self) -> Result<()> {
        if self.is_ready() { self.phases.idle() } else { Ok(()) }
    }

    /// Without checkpoints the end of the job is the one commit there is. With them, what no
    /// checkpoint covers stays uncommitted.
    pub(super) fn close(&mut self) -> Result<bool> {
        if !self.checkpointing {
            self.close_transaction(u64::MAX)?;
            self.committed = u64::MAX;
        }
        if !self.advance()? {
            return Ok(false);
        }
        self.phases.close()?;
        Ok(true)
    }
}

/// `state` and `pending` as bytes; none at all where there is nothing to say.
///
/// ```text
/// core u32 | checkpoint u64 | state_len u32 | state
/// then for each transaction: checkpoint u64 | len u32 | transaction
/// ```
fn pack((core, checkpoint): (u32, u64), state: &[u8], pending: &VecDeque<Pending>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if state.is_empty() && pending.is_empty() {
        return bytes;
    }
    bytes.extend(core.to_le_bytes());
    bytes.extend(checkpoint.to_le_bytes());
    bytes.extend((state.len() as u32).to_le_bytes());
    bytes.extend(state);
    for Pending { checkpoint, transaction } in pending {
        bytes.extend(checkpoint.to_le_bytes());
        bytes.extend((transaction.len() as u32).to_le_bytes());
        bytes.extend(transaction);
    }
    bytes
}

/// What one writer said at one checkpoint.
struct Packed {
    core: u32,
    checkpoint: u64,
    state: Vec<u8>,
    pending: Vec<Pending>,
}

fn unpack(mut bytes: &[u8]) -> Result<Packed> {
    let core = u32::from_le_bytes(take(&mut bytes)?);
    let checkpoint = u64::from_le_bytes(take(&mut bytes)?);
    let (state, mut pending) = (take_sized(&mut bytes)?.to_vec(), Vec::new());
    while !bytes.is_empty() {
        let checkpoint = u64::from_le_bytes(take(&mut bytes)?);
        let transaction = take_sized(&mut bytes)?.to_vec();
        pending.push(Pending { checkpoint, transaction });
    }
    Ok(Packed { core, checkpoint, state, pending })
}

/// The states and transactions that count: what each writer said last. The job keeps what it was
/// told at earlier checkpoints too, as long as it is not committed.
fn unpack_newest(transactions: &[Vec<u8>]) -> Result<(Vec<Vec<u8>>, VecDeque<Pending>)> {
    let mut newest: Vec<Packed> = Vec::new();
    for bytes in transactions.iter().filter(|bytes| !bytes.is_empty()) {
        let packed = unpack(bytes)?;
        match newest.iter_mut().find(|other| other.core == packed.core) {
            Some(other) if other.checkpoint < packed.checkpoint => *other = packed,
            Some(_) => {}
            None => newest.push(packed),
        }
    }
    let (mut states, mut pending) = (Vec::new(), Vec::new());
    for packed in newest {
        states.extend((!packed.state.is_empty()).then_some(packed.state));
        pending.extend(packed.pending);
    }
    // Those of several writers are committed in the order of their checkpoints.
    pending.sort_by_key(|pending: &Pending| pending.checkpoint);
    Ok((states, pending.into()))
}

fn take_sized<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8]> {
    let len = u32::from_le_bytes(take(bytes)?) as usize;
    let (taken, rest) = bytes.split_at_checked(len).ok_or_else(damaged)?;
    *bytes = rest;
    Ok(taken)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk::<N>().ok_or_else(damaged)?;
    *bytes = rest;
    Ok(*taken)
}

fn damaged() -> Error {
    Error::format("a sink's transaction in the checkpoint is damaged: restore an older one")
}

#[cfg(test)]
mod tests;
