//! Failures in the middle of a script: what a checkpoint has must be what the barrier saw, though
//! it is drained while more elements come, and must fit any number of cores.

use std::fmt::Debug;
use std::sync::Arc;

use tailwater_core::{Element, Error, Result};
use tailwater_state::{Drain, MemorySnapshot, SnapshotKind};

use super::{Harness, KeyedHarness, Order, Outcome, Restores, Room, assert_same};
use crate::Operator;

/// One checkpoint in so many is full.
const FULL_EVERY: usize = 4;
/// One checkpoint in so many is followed by a failure; those between make a chain.
const FAILURE_EVERY: usize = 3;
/// On how many cores a keyed operator runs, in turn.
const PARALLELISMS: [u32; 4] = [1, 3, 2, 5];

/// Takes a checkpoint every so many elements, drains it `entries` at a time between the elements
/// that follow, and in one case of three fails when it is drained: output after the barrier is
/// dropped, and the elements come again.
pub(super) fn run<O: Operator<In: Clone>>(
    make: &impl Fn() -> O,
    script: &[Element<O::In>],
    every: usize,
    entries: usize,
) -> Outcome<O::Out> {
    let outcome = try_run(make, script, every, entries);
    outcome.unwrap_or_else(|error| panic!("cannot go on from a checkpoint: {error}"))
}

fn try_run<O: Operator<In: Clone>>(
    make: &impl Fn() -> O,
    script: &[Element<O::In>],
    every: usize,
    entries: usize,
) -> Result<Outcome<O::Out>> {
    let mut harness = Harness::new(make())?;
    let mut chain = MemorySnapshot::new(1);
    let (mut position, mut checkpoint) = (0, 0);
    while position < script.len() && harness.error().is_none() {
        for element in script.iter().skip(position).take(every) {
            harness.element(element.clone());
        }
        position += every;
        if harness.error().is_some() {
            break;
        }
        checkpoint += 1;
        let is_full = checkpoint % FULL_EVERY == 0;
        let kind = if is_full { SnapshotKind::Full } else { SnapshotKind::Incremental };
        let parts = harness.cut(kind)?;
        let output_len = harness.output.elements.len();
        let mut ahead = script.iter().skip(position);
        let (mut drain, mut chunks) = (Drain::new(), Vec::new());
        let mut passed = 0;
        loop {
            drain.allow(entries);
            let done = harness.operator.drain(&mut drain)?;
            chunks.extend(drain.take());
            if done {
                break;
            }
            if let Some(element) = ahead.next() {
                harness.element(element.clone());
                passed += 1;
            }
        }
        if is_full {
            chain = MemorySnapshot::new(1);
        }
        chain.begin();
        chain.add("", 0, parts, chunks);
        if checkpoint % FAILURE_EVERY == 0 {
            harness.output.elements.truncate(output_len);
            harness.output.error = None;
            harness.restore(make(), Arc::new(chain.clone()))?;
        } else {
            position += passed;
        }
    }
    Ok(Outcome { counts: None, ..Outcome::of(harness) })
}

/// Runs a script on a keyed operator and returns its output, after running it on several cores that
/// become more and fewer: every so many elements all of them take a checkpoint, and others go on
/// from it. Records go to the core that owns the key whose stable hash `hash_of` gives, control
/// elements to all. What comes out between two control elements may have any order.
///
/// # Panics
/// As [`check_operator`](super::check_operator).
pub fn check_rescaling<O>(
    make: impl Fn() -> O,
    hash_of: impl Fn(&O::In) -> u64,
    script: &[Element<O::In>],
) -> Vec<Element<O::Out>>
where
    O: Operator<In: Clone, Out: Debug + PartialEq>,
{
    let plain = super::run(&make, script, Room::Always, Restores::Never);
    for every in [1, script.len().div_ceil(7).max(2)] {
        let outcome = run_rescaled(&make, &hash_of, script, every)
            .unwrap_or_else(|error| panic!("cannot go on with another number of cores: {error}"));
        let way = format!("with other cores every {every} elements");
        assert_same(&plain, outcome, Order::AnyBetweenControls, &way);
    }
    plain.elements
}

fn run_rescaled<O: Operator<In: Clone>>(
    make: &impl Fn() -> O,
    hash_of: &impl Fn(&O::In) -> u64,
    script: &[Element<O::In>],
    every: usize,
) -> Result<Outcome<O::Out>> {
    let mut parallelisms = PARALLELISMS.iter().copied().cycle();
    let mut next = || parallelisms.next().unwrap_or(1);
    let mut harness = KeyedHarness::by_hash(make, hash_of, next())?;
    for (index, element) in script.iter().enumerate() {
        harness.element(element.clone());
        if harness.error().is_some() {
            break;
        }
        if (index + 1) % every == 0 {
            harness.rescale(next())?;
        }
    }
    Ok(Outcome {
        elements: harness.take_output(),
        error: harness.error().map(Error::to_string),
        counts: Some(harness.context.counters.all()),
    })
}
