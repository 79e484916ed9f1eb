//! One process of a run: starts the job where the one before left it, and ends it, in whatever way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use tailwater::runtime::{Checkpoints, Guarantee, OpenStore, Restart, Restore};
use tailwater::{Error, ErrorKind, Job, Local, ManualClock, Result, Span};
use tailwater_core::Random;

use crate::disk::{Loss, SimDisk, Trouble};
use crate::jobs::Scenario;
use crate::store;
use crate::swarm::{Checkpointing, Swarm};
use crate::world::World;

/// A process that takes more steps than this goes round in circles: some hundred times as many as
/// the longest needs.
const STEPS_MAX: u64 = 2_000_000;
/// One commit in so many is looked at by a reader at once; all are when the process has ended.
const LOOK_EVERY: u64 = 4;
/// The same for outputs on the disk, in steps.
const LOOK_AT_DISK_EVERY: u64 = 100;
/// A clock that jumps does it once in so many steps.
const JUMP_EVERY: u64 = 400;

/// How a process ends.
#[derive(Debug)]
pub enum End {
    /// The job is done.
    Ended,
    /// It was killed, and with `loss` the machine too.
    Crashed {
        /// What becomes of what was not synced, where the machine stopped.
        loss: Option<Loss>,
    },
    /// The job failed, and gave up.
    Failed(Error),
}

impl End {
    /// A word for the trace.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Crashed { loss: None } => "killed",
            Self::Crashed { loss: Some(_) } => "lost power",
            Self::Failed(_) => "failed",
        }
    }
}

/// What one process is like, and what happens to it.
#[derive(Clone, Debug)]
pub struct Life {
    /// Simulated cores.
    pub cores: u32,
    /// A checkpoint may take longer than it is given.
    pub may_time_out: bool,
    ring_capacity: usize,
    batch_max: usize,
    seed: u64,
    key_groups: u32,
    checkpoints: Checkpointing,
    restart: Restart,
    trouble: Trouble,
    panic_after: Option<u64>,
    crash_at: Option<u64>,
    loss: Option<Loss>,
    slow_source: bool,
    slow_sink: bool,
    clock_jumps: bool,
}

impl Life {
    /// Draws a process. The last one of a run has no trouble.
    pub fn draw(swarm: &Swarm, random: &mut Random, is_last: bool) -> Self {
        let mut life = Self {
            cores: if swarm.rescale { 1 + random.below(4) as u32 } else { swarm.cores },
            may_time_out: swarm.checkpoints.timeout < Checkpointing::TIMEOUT_NEVER,
            // Of all magnitudes: small rings are full all the time, and small batches make many
            // steps of few records, so that much falls between them.
            ring_capacity: 1 << random.below(7),
            batch_max: 1 << random.below(7),
            seed: random.next_u64(),
            key_groups: swarm.key_groups,
            checkpoints: swarm.checkpoints.clone(),
            restart: Restart::None,
            trouble: Trouble::default(),
            panic_after: None,
            crash_at: None,
            loss: None,
            slow_source: swarm.slow_source,
            slow_sink: swarm.slow_sink,
            clock_jumps: swarm.clock_jumps && !is_last,
        };
        if is_last {
            life.checkpoints.timeout = Checkpointing::TIMEOUT_NEVER;
            return life;
        }
        let delay = Span(random.below(100_000) as i64);
        life.restart = match random.below(3) {
            0 => Restart::None,
            1 => Restart::Fixed { restarts: 1 + random.below(3) as u32, delay },
            _ => Restart::Rate { failures: 3, within: Checkpointing::TIMEOUT_NEVER, delay },
        };
        if swarm.disk_full {
            life.trouble.full_one_in = 40 << random.below(4);
            life.trouble.full_for = 1 + random.below(12);
        }
        if swarm.disk_errors {
            life.trouble.error_one_in = 40 << random.below(5);
        }
        if swarm.panics && random.chance(2, 3) {
            life.panic_after = Some(random.below(400));
        }
        if swarm.crashes {
            if random.chance(1, 3) {
                life.trouble.crash_in = Some(1 + random.below(150));
            } else {
                // Runs have some hundreds of steps to some ten thousands.
                let steps_max = 1 << (7 + random.below(9));
                life.crash_at = Some(random.below(steps_max));
            }
            let loss = Loss { torn_writes: swarm.torn_writes, lost_names: swarm.lost_names };
            life.loss = random.chance(2, 3).then_some(loss);
        }
        life
    }

    /// Runs it; how it ended, and after how many steps.
    pub fn run(
        &self,
        name: &str,
        scenario: &Arc<dyn Scenario>,
        world: &Arc<World>,
        disk: &SimDisk,
    ) -> (End, u64) {
        world.set_slow(self.slow_source, self.slow_sink);
        world.set_panic(self.panic_after);
        disk.set_trouble(self.trouble.clone());
        let watch = Arc::new(Watch::default());
        let ran = self.start(name, scenario, world, disk, watch.clone());
        let end = match ran {
            _ if watch.is_killed.load(Relaxed) || disk.is_killed() => {
                End::Crashed { loss: self.loss }
            }
            Ok(()) => End::Ended,
            Err(error) => End::Failed(error),
        };
        (end, watch.steps.load(Relaxed))
    }

    fn start(
        &self,
        name: &str,
        scenario: &Arc<dyn Scenario>,
        world: &Arc<World>,
        disk: &SimDisk,
        watch: Arc<Watch>,
    ) -> Result<()> {
        let job = Job::new(name);
        scenario.build(&job, world, disk);
        let clock = ManualClock::at(1);
        let mut between = Between {
            crash_at: self.crash_at,
            clock_jumps: self.clock_jumps,
            scenario: scenario.clone(),
            world: world.clone(),
            disk: disk.clone(),
            commits: world.ledger.commits(),
            random: Random::from_seed(self.seed ^ 1),
            watch,
        };
        let between = Box::new(move |clock: &ManualClock| between.step(clock));
        let handle =
            job.start_between(self.local(scenario.at_least_once(), disk), clock, between)?;
        handle.join().map(drop)
    }

    fn local(&self, at_least_once: bool, disk: &SimDisk) -> Local {
        let Checkpointing { interval, timeout, min_pause, tolerable_failures, retain, .. } =
            self.checkpoints;
        let disk = disk.clone();
        let store = OpenStore::new("the simulated disk", move || store::open(&disk));
        let checkpoints = Checkpoints {
            timeout,
            min_pause,
            tolerable_failures,
            retain,
            guarantee: match at_least_once {
                true => Guarantee::AtLeastOnce,
                false => Guarantee::ExactlyOnce,
            },
            ..Checkpoints::new(store, Some(interval))
        };
        Local {
            marker_interval: None,
            max_parallelism: Some(self.key_groups),
            ring_capacity: self.ring_capacity,
            batch_max: self.batch_max,
            checkpoints: Some(checkpoints),
            restore: Restore::Latest,
            restart: self.restart,
            ..Local::seeded(self.cores, self.seed)
        }
    }
}

/// What the simulator learns while a process runs.
#[derive(Debug, Default)]
struct Watch {
    steps: AtomicU64,
    is_killed: AtomicBool,
}

/// What happens between two steps of a process.
struct Between {
    crash_at: Option<u64>,
    clock_jumps: bool,
    scenario: Arc<dyn Scenario>,
    world: Arc<World>,
    disk: SimDisk,
    commits: u64,
    random: Random,
    watch: Arc<Watch>,
}

impl Between {
    fn step(&mut self, clock: &ManualClock) -> Result<()> {
        let steps = self.watch.steps.fetch_add(1, Relaxed) + 1;
        if self.crash_at == Some(steps) || self.disk.is_killed() {
            self.watch.is_killed.store(true, Relaxed);
            return Err(killed());
        }
        if steps > STEPS_MAX {
            self.world.violate(format!("the job has not ended after {STEPS_MAX} steps"));
        }
        if self.clock_jumps && self.random.chance(1, JUMP_EVERY) {
            self.jump(clock);
        }
        let commits = self.world.ledger.commits();
        let looks = match commits != self.commits {
            true => self.random.chance(1, LOOK_EVERY),
            false => self.scenario.is_on_disk() && self.random.chance(1, LOOK_AT_DISK_EVERY),
        };
        self.commits = commits;
        if looks && let Err(what) = self.scenario.check(&self.world, &self.disk, false) {
            self.world.violate(what);
        }
        if self.world.is_violated() { Err(killed()) } else { Ok(()) }
    }

    fn jump(&mut self, clock: &ManualClock) {
        let far = 1 << self.random.below(36);
        if self.random.chance(1, 2) {
            self.world.trace.event("clock jumps", &[far]);
            clock.advance_ns(far);
        } else {
            self.world.trace.event("wall clock goes back", &[far]);
            clock.set_wall_back_ns(far as i64);
        }
    }
}

fn killed() -> Error {
    Error::new(ErrorKind::Cancelled, "the simulated process was killed")
}
