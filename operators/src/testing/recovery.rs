//! Failures in the middle of a script: what a checkpoint has must be what the barrier saw, though
//! it is drained while more elements come, and must fit any number of cores.

use std::fmt::Debug;
use std::sync::Arc;

use tailwater_core::{Element, Error, Result, Stamped};
use tailwater_state::{Drain, MemorySnapshot, SnapshotKind};

use super::{Harness, Order, Outcome, Restores, Room, assert_same, drain_all};
use crate::{Operator, OperatorContext};

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
    let context = OperatorContext::single_core();
    let instances = |cores: u32| -> Result<Vec<Harness<O>>> {
        let instance = |core| {
            let context = OperatorContext { core, cores, ..context.clone() };
            Harness::on_core(make(), context, Room::Always)
        };
        (0..cores).map(instance).collect()
    };
    let mut parallelisms = PARALLELISMS.iter().copied().cycle();
    let mut all = instances(parallelisms.next().unwrap_or(1))?;
    let mut chain = MemorySnapshot::new(1);
    let mut elements = Vec::new();
    for (index, element) in script.iter().enumerate() {
        match element {
            Element::Record(Stamped { at, value }) => {
                let group = context.key_groups.of_hash(hash_of(value));
                let owner = context.key_groups.owner(group, all.len() as u32);
                all[owner as usize].record(*at, value.clone());
            }
            Element::Control(_) => {
                all.iter_mut().for_each(|instance| instance.element(element.clone()));
            }
        }
        collect(&mut all, &mut elements);
        if all.iter().any(|instance| instance.error().is_some()) {
            break;
        }
        if (index + 1) % every == 0 {
            chain.begin_on(all.len() as u32);
            for instance in &mut all {
                let parts = instance.cut(SnapshotKind::Incremental)?;
                let chunks = drain_all(&mut instance.operator)?;
                chain.add("", instance.context.core, parts, chunks);
            }
            collect(&mut all, &mut elements);
            all = instances(parallelisms.next().unwrap_or(1))?;
            let source = Arc::new(chain.clone());
            for instance in &mut all {
                instance.restore(make(), source.clone())?;
            }
        }
    }
    let error = all.iter().find_map(|instance| instance.error()).map(Error::to_string);
    Ok(Outcome { elements, error, counts: Some(context.counters.all()) })
}

/// Appends what came out of all instances in one step: the records of all, and one of the control
/// elements, which all must have emitted.
fn collect<O: Operator>(all: &mut [Harness<O>], elements: &mut Vec<Element<O::Out>>) {
    let mut controls = Vec::new();
    for (index, instance) in all.iter_mut().enumerate() {
        let mut own = Vec::new();
        for element in instance.take_output() {
            match element {
                Element::Record(_) => elements.push(element),
                Element::Control(control) => own.push(control),
            }
        }
        if index == 0 {
            controls = own;
        } else {
            assert_eq!(controls, own, "cores hand on other control elements");
        }
    }
    elements.extend(controls.into_iter().map(Element::Control));
}
