//! The order of the calls of two-phase sinks, as SEMANTICS 75 to 79 have it.

use std::sync::{Arc, Mutex};

use tailwater_core::Timestamp;
use tailwater_operators::{Restored, Sink, SinkWriter};

use super::*;
use crate::sink::two_phase::two_phase;
use crate::testing::sink_context;

/// Writes down what it is asked to do.
#[derive(Clone, Default)]
struct Script {
    calls: Arc<Mutex<Vec<String>>>,
    epoch: u32,
    /// So many commits are put off.
    put_off: Arc<Mutex<u32>>,
    refuse: bool,
}

impl Script {
    fn say(&self, call: impl Into<String>) {
        self.calls.lock().unwrap().push(call.into());
    }

    fn said(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }
}

impl TwoPhase<u32> for Script {
    fn begin(&mut self) -> Result<()> {
        self.say("begin");
        Ok(())
    }

    fn write(&mut self, batch: &mut Vec<Stamped<u32>>) -> Result<()> {
        for record in batch.drain(..) {
            self.epoch += record.value;
            self.say(format!("write {}", record.value));
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.say("flush");
        Ok(())
    }

    fn pre_commit(&mut self, checkpoint: u64) -> Result<Vec<u8>> {
        let sum = std::mem::take(&mut self.epoch);
        self.say(format!("pre_commit {checkpoint}: {sum}"));
        Ok(sum.to_string().into_bytes())
    }

    fn commit(&mut self, checkpoint: u64, transaction: &[u8], attempt: u32) -> Result<Commit> {
        let sum = String::from_utf8_lossy(transaction);
        self.say(format!("commit {checkpoint}: {sum}, attempt {attempt}"));
        if self.refuse {
            return Err(Error::configuration("the table is gone"));
        }
        let mut put_off = self.put_off.lock().unwrap();
        if *put_off == 0 {
            return Ok(Commit::Done);
        }
        *put_off -= 1;
        Ok(Commit::RetryLater)
    }

    fn abort(&mut self, restored: Option<&RestoredState>) -> Result<()> {
        self.say(format!("abort after {:?}", restored.map(|restored| restored.checkpoint)));
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        self.say("close");
        Ok(())
    }
}

fn open(script: &Script, context: &SinkContext) -> Result<Box<dyn SinkWriter<u32>>> {
    let script = script.clone();
    two_phase("script", move |_: &SinkContext| Ok(script.clone())).open(context)
}

fn checkpointing(inline: bool) -> SinkContext {
    SinkContext { inline, checkpointing: true, ..sink_context() }
}

fn write(writer: &mut dyn SinkWriter<u32>, value: u32) {
    let mut batch = vec![Stamped::new(Timestamp(0), value)];
    while !batch.is_empty() {
        writer.write(&mut batch).unwrap();
    }
}

fn prepare(writer: &mut dyn SinkWriter<u32>, checkpoint: u64) -> Vec<u8> {
    while !writer.prepare(checkpoint).unwrap() {}
    loop {
        if let Some(prepared) = writer.prepared().unwrap() {
            assert_eq!(prepared.checkpoint, checkpoint);
            return prepared.transaction;
        }
    }
}

fn until(mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    while !done()? {
        std::thread::yield_now();
    }
    Ok(())
}

// SEMANTICS 75, 78, 79
#[test]
fn an_epoch_is_flushed_prepared_and_committed_when_it_is_told() {
    for inline in [true, false] {
        let script = Script::default();
        let mut writer = open(&script, &checkpointing(inline)).unwrap();
        assert!(writer.is_transactional());
        write(&mut *writer, 1);
        write(&mut *writer, 2);
        assert!(!prepare(&mut *writer, 1).is_empty());
        write(&mut *writer, 4);
        until(|| writer.commit(1)).unwrap();
        until(|| writer.commit(1)).unwrap();
        assert!(!prepare(&mut *writer, 2).is_empty());
        // The completion of 2 was missed: that of 3 covers it. Nothing was written in 3.
        assert!(!prepare(&mut *writer, 3).is_empty());
        until(|| writer.commit(3)).unwrap();
        // An epoch without records, with nothing left to commit, has no transaction.
        assert!(prepare(&mut *writer, 4).is_empty());
        until(|| writer.commit(4)).unwrap();
        until(|| writer.close()).unwrap();
        assert_eq!(
            script.said(),
            [
                "abort after None",
                "begin",
                "write 1",
                "write 2",
                "flush",
                "pre_commit 1: 3",
                "begin",
                "write 4",
                "commit 1: 3, attempt 0",
                "flush",
                "pre_commit 2: 4",
                "commit 2: 4, attempt 0",
                "close",
            ]
        );
    }
}

// SEMANTICS 76
#[test]
fn a_restore_commits_again_before_it_aborts_and_writes() {
    for inline in [true, false] {
        let script = Script::default();
        let mut writer = open(&script, &checkpointing(inline)).unwrap();
        let mut transactions = Vec::new();
        for (checkpoint, value) in [(1, 1), (2, 2), (3, 4)] {
            write(&mut *writer, value);
            transactions.push(prepare(&mut *writer, checkpoint));
        }
        until(|| writer.commit(1)).unwrap();
        write(&mut *writer, 8);
        let fourth = prepare(&mut *writer, 4);
        drop(writer);
        script.said();

        // Checkpoint 3 was prepared before the commit of 1 was told, 4 after it: each holds what
        // was not known to be committed.
        for (checkpoint, transaction, expected) in [
            (3, &transactions[2], &["1: 1", "2: 2", "3: 4"][..]),
            (4, &fourth, &["2: 2", "3: 4", "4: 8"]),
        ] {
            let restored = Restored { checkpoint, transactions: vec![transaction.clone()] };
            let context = SinkContext { restored: Some(restored), ..checkpointing(inline) };
            let mut writer = open(&script, &context).unwrap();
            write(&mut *writer, 16);
            drop(prepare(&mut *writer, 9));
            let mut said: Vec<_> =
                expected.iter().map(|what| format!("commit {what}, attempt 0")).collect();
            said.push(format!("abort after Some({checkpoint})"));
            said.extend(["begin", "write 16", "flush", "pre_commit 9: 16"].map(String::from));
            assert_eq!(script.said(), said);
        }
    }
}

// SEMANTICS 77
#[test]
fn a_commit_is_tried_again_in_place_and_an_error_fails_the_job() {
    let script = Script::default();
    let context = checkpointing(true);
    let mut writer = open(&script, &context).unwrap();
    write(&mut *writer, 1);
    let transaction = prepare(&mut *writer, 1);
    *script.put_off.lock().unwrap() = 2;
    assert!(!writer.commit(1).unwrap());
    write(&mut *writer, 2);
    assert!(!writer.commit(1).unwrap());
    assert!(writer.commit(1).unwrap());
    assert_eq!(context.counters.get("sink_commit_retries"), 2);
    let attempts = |said: Vec<String>| {
        said.into_iter().filter(|call| call.starts_with("commit")).collect::<Vec<_>>()
    };
    let expected = [0, 1, 2].map(|attempt| format!("commit 1: 1, attempt {attempt}"));
    assert_eq!(attempts(script.said()), expected);

    // A restored writer takes nothing before its commits are through.
    *script.put_off.lock().unwrap() = 2;
    let restored = Some(Restored { checkpoint: 1, transactions: vec![transaction.clone()] });
    let context = SinkContext { restored, ..checkpointing(true) };
    let mut writer = open(&script, &context).unwrap();
    let mut batch = vec![Stamped::new(Timestamp(0), 1)];
    writer.write(&mut batch).unwrap();
    assert_eq!(batch.len(), 1);
    writer.write(&mut batch).unwrap();
    assert!(batch.is_empty());

    let refusing = Script { refuse: true, ..Script::default() };
    assert!(open(&refusing, &context).err().unwrap().to_string().contains("is gone"));
    for inline in [true, false] {
        let mut writer = open(&refusing, &checkpointing(inline)).unwrap();
        write(&mut *writer, 1);
        prepare(&mut *writer, 1);
        assert!(until(|| writer.commit(1)).unwrap_err().to_string().contains("is gone"));
    }
}

#[test]
fn without_checkpoints_the_end_commits() {
    for inline in [true, false] {
        let script = Script::default();
        let context = SinkContext { inline, ..sink_context() };
        let mut writer = open(&script, &context).unwrap();
        assert!(!writer.is_transactional());
        write(&mut *writer, 1);
        until(|| writer.close()).unwrap();
        let last = format!("pre_commit {}: 1", u64::MAX);
        let commit = format!("commit {}: 1, attempt 0", u64::MAX);
        assert_eq!(script.said(), ["begin", "write 1", "flush", &last, &commit, "close"]);
    }
}

#[test]
fn damaged_transactions_are_refused() {
    let pending = VecDeque::from([Pending { checkpoint: 7, transaction: vec![1, 2, 3] }]);
    let bytes = pack((1, 7), b"state", &pending);
    let packed = unpack(&bytes).unwrap();
    assert_eq!((packed.core, packed.checkpoint, &packed.state[..]), (1, 7, &b"state"[..]));
    assert_eq!(packed.pending, pending.into_iter().collect::<Vec<_>>());
    for len in (1..bytes.len()).filter(|len| *len != 12 + 4 + 5) {
        assert!(unpack(&bytes[..len]).is_err(), "{len}");
    }
    assert!(pack((1, 7), b"", &VecDeque::new()).is_empty());
}

#[test]
fn what_a_writer_said_last_counts() {
    let of = |checkpoint| Pending { checkpoint, transaction: vec![checkpoint as u8] };
    let said = [
        pack((0, 5), b"old", &VecDeque::from([of(5)])),
        pack((0, 6), b"new", &VecDeque::from([of(5), of(6)])),
        pack((1, 5), b"other", &VecDeque::from([of(5)])),
    ];
    let (states, pending) = unpack_newest(&said).unwrap();
    assert_eq!(states, [b"new".to_vec(), b"other".to_vec()]);
    assert_eq!(pending, [of(5), of(5), of(6)]);
}
