//! Drives all cores' tasks and the checkpoint service on one thread, in an order drawn from a seed:
//! the same seed, the same run.

use tailwater_core::{Clock, ManualClock, Random, Result};
use tailwater_operators::Waker;

use super::duty_cycle::DutyCycle;
use super::{CoreOutcome, Shared};
use crate::checkpoint::service::Service;
use crate::control::Mode;
use crate::graph::Graph;
use crate::latency::Floor;
use crate::task::Progress;

/// The most nanoseconds that the clock moves between two steps.
const TICK_NS_MAX: u64 = 5_000;

/// What a simulation does between two steps.
pub type BetweenSteps = Box<dyn FnMut(&ManualClock) -> Result<()> + Send>;

/// The one thread's world: its random numbers, its clock, and what happens between steps.
pub(super) struct World {
    pub random: Random,
    pub clock: ManualClock,
    pub between_steps: BetweenSteps,
}

/// One attempt of the job.
pub(super) fn run(
    shared: &Shared,
    graph: &Graph,
    world: &mut World,
    mut service: Option<Service>,
) -> Result<Vec<CoreOutcome>> {
    let World { random, clock, between_steps } = world;
    let mut cores = Vec::new();
    for core in 0..shared.placement.cores {
        let tasks = shared.open_tasks(graph, core, Waker::none())?;
        let gauges = shared.cores[core as usize].clone();
        cores.push(DutyCycle::new(tasks, gauges, Floor::default()));
    }
    shared.all_opened();
    // Some seeds starve a core: it gets one step in sixteen of its share.
    let starved = random.below(2 * cores.len() as u64) as usize;
    let actors = cores.len() + usize::from(service.is_some());
    while cores.iter().any(|cycle| cycle.tasks() > 0) && shared.control.mode() != Mode::Aborted {
        between_steps(clock)?;
        clock.advance_ns(random.below(TICK_NS_MAX));
        let core = random.below(actors as u64) as usize;
        if core == cores.len() {
            if let Some(service) = &mut service {
                service.step();
            }
            continue;
        }
        let tasks = cores[core].tasks();
        if tasks == 0 || (core == starved && !random.chance(1, 16)) {
            continue;
        }
        let task = random.below(tasks as u64) as usize;
        let budget = 1 + random.below(shared.local.batch_max as u64) as usize;
        let step = shared.step(clock.monotonic_ns(), budget);
        let progress = cores[core].step_one(shared, task, &step)?;
        // Sources that wait for time to pass would be asked some thousand times for each record.
        if progress == Progress::Idle {
            clock.advance_ns(random.below(TICK_NS_MAX));
        }
    }
    Ok(cores.into_iter().map(|cycle| CoreOutcome { floor: cycle.floor }).collect())
}
