//! Drives all cores' tasks on one thread, in an order drawn from a seed: the same seed, the same
//! run.

use std::sync::Arc;
use std::thread::JoinHandle;

use tailwater_core::{Clock, Error, ManualClock, Random, Result};
use tailwater_operators::Waker;

use super::duty_cycle::DutyCycle;
use super::{CoreOutcome, Shared};
use crate::control::Mode;
use crate::graph::Graph;
use crate::latency::Floor;
use crate::task::{Progress, Step};

/// The most nanoseconds that the clock moves between two steps.
const TICK_NS_MAX: u64 = 5_000;

/// Starts the one thread.
pub(super) fn spawn(
    shared: &Shared,
    graph: Graph,
    seed: u64,
) -> Result<JoinHandle<Vec<CoreOutcome>>> {
    let mut shared = shared.clone();
    let clock = ManualClock::at(1);
    shared.clock = Arc::new(clock.clone());
    std::thread::Builder::new()
        .name("tailwater-seeded".to_owned())
        .spawn(move || match run(&shared, &graph, &clock, seed) {
            Ok(outcomes) => outcomes,
            Err(error) => {
                shared.control.fail(error.context(format!("the run with seed {seed} failed")));
                Vec::new()
            }
        })
        .map_err(|cause| Error::io("cannot start the seeded driver's thread", cause))
}

fn run(shared: &Shared, graph: &Graph, clock: &ManualClock, seed: u64) -> Result<Vec<CoreOutcome>> {
    let mut random = Random::from_seed(seed);
    let mut cores = Vec::new();
    for core in 0..shared.placement.cores {
        let tasks = shared.open_tasks(graph, core, Waker::none())?;
        let gauges = shared.cores[core as usize].clone();
        cores.push(DutyCycle::new(tasks, gauges, Floor::default()));
    }
    // Some seeds starve a core: it gets one step in sixteen of its share.
    let starved = random.below(2 * cores.len() as u64) as usize;
    while cores.iter().any(|cycle| cycle.tasks() > 0) && shared.control.mode() != Mode::Aborted {
        clock.advance_ns(random.below(TICK_NS_MAX));
        let core = random.below(cores.len() as u64) as usize;
        let tasks = cores[core].tasks();
        if tasks == 0 || (core == starved && !random.chance(1, 16)) {
            continue;
        }
        let task = random.below(tasks as u64) as usize;
        let step = Step {
            now_ns: clock.monotonic_ns(),
            mode: shared.control.mode(),
            barrier: shared.control.barrier(),
            budget: 1 + random.below(shared.local.batch_max as u64) as usize,
        };
        let progress = cores[core].step_one(task, &step)?;
        // Sources that wait for time to pass would be asked some thousand times for each record.
        if progress == Progress::Idle {
            clock.advance_ns(random.below(TICK_NS_MAX));
        }
    }
    let outcomes = cores.into_iter().enumerate();
    Ok(outcomes
        .map(|(core, cycle)| CoreOutcome { core: core as u32, floor: cycle.floor })
        .collect())
}
