//! Sinks in memory: at once without checkpoints, exactly once with them.

use tailwater_core::{Stamped, Timestamp};
use tailwater_operators::{Restored, Sink, SinkContext, SinkWriter};

use crate::testing::sink_context;

fn batch(values: std::ops::Range<u64>) -> Vec<Stamped<u64>> {
    values.map(|n| Stamped::new(Timestamp(n as i64), n)).collect()
}

fn prepare(writer: &mut dyn SinkWriter<u64>, checkpoint: u64) -> Vec<u8> {
    assert!(writer.prepare(checkpoint).unwrap());
    writer.prepared().unwrap().unwrap().transaction
}

#[test]
fn without_checkpoints_counting_adds_up_over_writers_and_collecting_keeps_the_order() {
    let counting = crate::counting(|n: &Stamped<u64>| n.value);
    let collected = crate::collect();
    for values in [0..3, 10..12] {
        let mut writer = Sink::<u64>::open(&counting, &sink_context()).unwrap();
        writer.write(&mut batch(values.clone())).unwrap();
        assert!(!writer.is_transactional() && writer.close().unwrap());
        let mut writer = Sink::<u64>::open(&collected, &sink_context()).unwrap();
        writer.write(&mut batch(values)).unwrap();
        assert_eq!(collected.count() as u64, counting.count());
        assert!(!writer.is_transactional() && writer.close().unwrap());
    }
    assert_eq!((counting.count(), counting.checksum()), (5, 24));
    assert_eq!(collected.take(), [0, 1, 2, 10, 11]);
    assert_eq!(collected.count(), 0);
}

#[test]
fn results_are_there_once_they_are_committed_and_only_once() {
    let counting = crate::counting(|n: &Stamped<u64>| n.value);
    let collected = crate::collect();
    let context = SinkContext { checkpointing: true, cores: 2, ..sink_context() };
    let open_on = |core, sink: &dyn Sink<u64>, restored: Option<Restored>| {
        sink.open(&SinkContext { core, restored, ..context.clone() }).unwrap()
    };
    let open = |sink: &dyn Sink<u64>, restored| open_on(0, sink, restored);
    for sink in [&counting as &dyn Sink<u64>, &collected] {
        let mut first = open(sink, None);
        let mut second = open_on(1, sink, None);
        assert!(first.is_transactional());
        first.write(&mut batch(0..2)).unwrap();
        second.write(&mut batch(10..12)).unwrap();
        prepare(&mut *first, 1);
        prepare(&mut *second, 1);
        assert!(first.commit(1).unwrap());
        first.write(&mut batch(2..4)).unwrap();
        second.write(&mut batch(12..14)).unwrap();
        let of_first = prepare(&mut *first, 2);
        let of_second = prepare(&mut *second, 2);
        // Checkpoint 2 is durable, and 3 is not; neither was told before the job failed.
        first.write(&mut batch(90..95)).unwrap();
        prepare(&mut *first, 3);
        second.write(&mut batch(95..99)).unwrap();
        drop((first, second));

        // One core has taken over from two.
        for _ in 0..2 {
            let transactions = vec![of_first.clone(), of_second.clone()];
            let mut only = open(sink, Some(Restored { checkpoint: 2, transactions }));
            only.write(&mut batch(80..81)).unwrap();
            prepare(&mut *only, 4);
        }
        let transactions = vec![of_first, of_second];
        let mut only = open(sink, Some(Restored { checkpoint: 2, transactions }));
        only.write(&mut batch(20..22)).unwrap();
        prepare(&mut *only, 5);
        assert!(only.commit(5).unwrap() && only.close().unwrap());
    }
    let expected = [0, 1, 10, 11, 2, 3, 12, 13, 20, 21];
    assert_eq!(counting.count(), 10);
    assert_eq!(counting.checksum(), expected.iter().sum::<u64>());
    assert_eq!(collected.count(), 10);
    let mut values = collected.take();
    values.sort_unstable();
    let mut sorted = expected;
    sorted.sort_unstable();
    assert_eq!(values, sorted);
}

#[test]
fn another_process_has_no_results_to_commit() {
    let context = SinkContext { checkpointing: true, ..sink_context() };
    let mut writer = crate::collect().open(&context).unwrap();
    writer.write(&mut batch(0..2)).unwrap();
    let restored = Restored { checkpoint: 1, transactions: vec![prepare(&mut *writer, 1)] };
    let context = SinkContext { restored: Some(restored), ..context };
    let error = Sink::<u64>::open(&crate::collect(), &context).err().unwrap().to_string();
    assert!(error.contains("only within the process"), "{error}");
}
