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
    service: Option<Service>,
) -> Result<Vec<CoreOutcome>> {
    let World { random, clock, between_steps } = world;
    let mut actors = Actors::open(shared, graph, service)?;
    // Some seeds starve a core: it gets one step in sixteen of its share.
    let starved = random.below(2 * actors.cores.len() as u64) as usize;
    while !actors.have_ended() && shared.control.mode() != Mode::Aborted {
        between_steps(clock)?;
        clock.advance_ns(random.below(TICK_NS_MAX));
        let core = random.below(actors.count() as u64) as usize;
        if core == actors.cores.len() {
            actors.step_service();
            continue;
        }
        let tasks = actors.cores[core].tasks();
        if tasks == 0 || (core == starved && !random.chance(1, 16)) {
            continue;
        }
        let task = random.below(tasks as u64) as usize;
        let progress = actors.step_task(shared, (core, task), random, clock)?;
        // Sources that wait for time to pass would be asked some thousand times for each record.
        if progress == Progress::Idle {
            clock.advance_ns(random.below(TICK_NS_MAX));
        }
    }
    Ok(actors.outcomes())
}

/// All that the one thread steps: the tasks of the cores, and the checkpoint service.
pub(super) struct Actors {
    cores: Vec<DutyCycle>,
    service: Option<Service>,
}

impl Actors {
    /// Opens the tasks of all cores.
    pub fn open(shared: &Shared, graph: &Graph, service: Option<Service>) -> Result<Self> {
        let mut cores = Vec::new();
        for core in 0..shared.placement.cores {
            let tasks = shared.open_tasks(graph, core, Waker::none())?;
            let gauges = shared.cores[core as usize].clone();
            cores.push(DutyCycle::new(tasks, gauges, Floor::default()));
        }
        shared.all_opened();
        Ok(Self { cores, service })
    }

    /// Whether no task is left.
    pub fn have_ended(&self) -> bool {
        self.cores.iter().all(|cycle| cycle.tasks() == 0)
    }

    /// Cores, and the service.
    fn count(&self) -> usize {
        self.cores.len() + usize::from(self.service.is_some())
    }

    fn step_service(&mut self) -> Progress {
        self.service.as_mut().map_or(Progress::Idle, Service::step)
    }

    fn step_task(
        &mut self,
        shared: &Shared,
        (core, task): (usize, usize),
        random: &mut Random,
        clock: &ManualClock,
    ) -> Result<Progress> {
        let budget = 1 + random.below(shared.local.batch_max as u64) as usize;
        let step = shared.step(clock.monotonic_ns(), budget);
        self.cores[core].step_one(shared, task, &step)
    }

    /// Steps each task and the service once, in an order that is drawn; what the busiest of them
    /// came to. The clock stands still.
    pub fn round(
        &mut self,
        shared: &Shared,
        random: &mut Random,
        clock: &ManualClock,
    ) -> Result<Progress> {
        let tasks = |core: usize| self.cores.get(core).map_or(1, DutyCycle::tasks);
        let mut order: Vec<_> =
            (0..self.count()).flat_map(|core| (0..tasks(core)).map(move |t| (core, t))).collect();
        for last in (1..order.len()).rev() {
            order.swap(last, random.below(last as u64 + 1) as usize);
        }
        let mut progress = Progress::Idle;
        for (core, task) in order {
            if core == self.cores.len() {
                progress = progress.max(self.step_service());
                continue;
            }
            let stepped = self.step_task(shared, (core, task), random, clock)?;
            if stepped == Progress::Done {
                // The tasks behind it have other numbers now.
                return Ok(Progress::Worked);
            }
            progress = progress.max(stepped);
        }
        Ok(progress)
    }

    fn outcomes(self) -> Vec<CoreOutcome> {
        self.cores.into_iter().map(|cycle| CoreOutcome { floor: cycle.floor }).collect()
    }
}
