//! The channel against a queue, on one thread with all interleavings drawn, and on two threads.

use std::collections::VecDeque;

use proptest::prelude::*;
use tailwater_core::{Barrier, Element};

use super::*;

#[derive(Clone, Debug)]
enum Operation {
    Stage(u32),
    Control(i64),
    /// More than their ring holds.
    Controls(usize),
    Flush,
    Poll(usize),
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        4 => any::<u32>().prop_map(Operation::Stage),
        1 => any::<i64>().prop_map(Operation::Control),
        1 => (1usize..150).prop_map(Operation::Controls),
        2 => Just(Operation::Flush),
        3 => (1usize..9).prop_map(Operation::Poll),
    ]
}

/// Polls once and checks what came against the model, a plain queue of what was sent.
fn check_poll(
    receiver: &mut Receiver<u32>,
    limit: usize,
    model: &mut VecDeque<Element<u32>>,
) -> bool {
    let mut batch = Vec::new();
    match receiver.poll(limit, &mut batch) {
        Polled::Empty => return false,
        Polled::Records(count) => assert_eq!(count, batch.len()),
        Polled::Control(control) => {
            assert_eq!(model.pop_front(), Some(Element::Control(control)));
        }
    }
    for record in batch {
        assert_eq!(model.pop_front(), Some(Element::Record(record)));
    }
    true
}

proptest! {
    #[test]
    fn nothing_is_lost_doubled_or_reordered(
        capacity in 1usize..9,
        operations in prop::collection::vec(operation(), 0..400),
    ) {
        let (mut sender, mut receiver) = channel(capacity);
        let mut model = VecDeque::new();
        for operation in operations {
            match operation {
                Operation::Stage(value) => {
                    sender.send(Timestamp(1), value);
                    model.push_back(Element::Record(Stamped::new(Timestamp(1), value)));
                }
                Operation::Control(at) => {
                    let control = Control::Watermark(Timestamp(at));
                    sender.control(control);
                    model.push_back(Element::Control(control));
                }
                Operation::Controls(count) => {
                    for _ in 0..count {
                        sender.control(Control::Idle);
                        model.push_back(Element::Control(Control::Idle));
                    }
                }
                Operation::Flush => { sender.flush(); }
                Operation::Poll(limit) => { check_poll(&mut receiver, limit, &mut model); }
            }
        }
        loop {
            let all_sent = sender.flush();
            while check_poll(&mut receiver, 3, &mut model) {}
            if all_sent { break; }
        }
        prop_assert!(model.is_empty());
    }
}

#[test]
fn two_threads_keep_controls_among_their_records() {
    const RECORDS: u64 = 50_000;
    let (mut sender, mut receiver) = channel::<u64>(64);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for index in 0..RECORDS {
                sender.send(Timestamp(index as i64), index);
                if index % 7 == 0 {
                    sender.control(Control::Barrier(Barrier { checkpoint: index + 1 }));
                }
                while !sender.flush() {
                    std::thread::yield_now();
                }
            }
        });
        let (mut received, mut batch) = (0, Vec::new());
        while received < RECORDS {
            match receiver.poll(16, &mut batch) {
                Polled::Empty => std::thread::yield_now(),
                Polled::Records(_) => {
                    for record in batch.drain(..) {
                        assert_eq!(record.value, received);
                        received += 1;
                    }
                }
                Polled::Control(Control::Barrier(barrier)) => {
                    assert_eq!(barrier.checkpoint, received);
                }
                other => panic!("{other:?}"),
            }
        }
    });
}
