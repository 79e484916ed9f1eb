//! One run: a job from its first record to its last, through as many processes as it takes.

use std::sync::Arc;

use tailwater_core::Random;

use crate::disk::{SimDisk, Trouble};
use crate::jobs::{Scenario, draw_job};
use crate::life::{End, Life};
use crate::store;
use crate::swarm::Swarm;
use crate::trace::Trace;
use crate::world::World;

/// What all runs have in common.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The only job to run.
    pub job: Option<String>,
    /// Keep what happened as text.
    pub verbose: bool,
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// The job that it ran.
    pub job: &'static str,
    /// What went wrong.
    pub problem: Option<String>,
    /// All that happened, in one number.
    pub trace: u64,
    /// How much happened.
    pub events: u64,
    /// Steps of tasks and of the checkpoint service.
    pub steps: u64,
    /// Records of the input.
    pub records: u64,
    /// Processes.
    pub lives: u64,
    /// Checkpoints of which something was committed.
    pub checkpoints: u64,
    swarm: Swarm,
    lines: Vec<String>,
}

impl Outcome {
    /// What happened, for people.
    pub fn story(&self) -> Vec<String> {
        let mut story = vec![format!("seed {} runs {}: {:?}", self.seed, self.job, self.swarm)];
        story.extend(self.lines.iter().map(|line| format!("  {line}")));
        story.push(format!(
            "seed {}: trace {:016x}, {} events, {} steps, {} processes, {} checkpoints: {}",
            self.seed,
            self.trace,
            self.events,
            self.steps,
            self.lives,
            self.checkpoints,
            self.problem.as_deref().unwrap_or("fine")
        ));
        story
    }
}

/// A run under way.
struct Run {
    name: &'static str,
    scenario: Arc<dyn Scenario>,
    swarm: Swarm,
    world: Arc<World>,
    disk: SimDisk,
    random: Random,
    steps: u64,
    lives: u64,
}

/// Runs a seed.
pub fn run(seed: u64, settings: &Settings) -> Outcome {
    let mut random = Random::from_seed(seed ^ 0x7A11_3A7E_5EED_0001);
    let mut swarm_random = Random::from_seed(random.next_u64());
    let mut input_random = Random::from_seed(random.next_u64());
    let (name, draw) = draw_job(&mut random, settings.job.as_deref());
    let trace = if settings.verbose { Trace::verbose() } else { Trace::default() };
    let world = Arc::new(World::new(Random::from_seed(random.next_u64()), trace));
    let mut run = Run {
        name,
        scenario: draw(&mut input_random).into(),
        swarm: Swarm::draw(&mut swarm_random),
        disk: SimDisk::new(&world),
        world,
        random,
        steps: 0,
        lives: 0,
    };
    let problem = run.live().err();
    let Run { scenario, swarm, world, steps, lives, .. } = run;
    Outcome {
        seed,
        job: name,
        problem,
        trace: world.trace.hash(),
        events: world.trace.events(),
        steps,
        records: scenario.records() as u64,
        lives,
        checkpoints: world.ledger.commits(),
        lines: world.trace.lines(),
        swarm,
    }
}

impl Run {
    /// Process after process, until the job has ended.
    fn live(&mut self) -> Result<(), String> {
        loop {
            let is_last = self.lives >= u64::from(self.swarm.lives);
            self.lives += 1;
            let life = Life::draw(&self.swarm, &mut self.random, is_last);
            self.world.trace.event("process", &[self.lives, u64::from(life.cores)]);
            self.disk = self.disk.next_process();
            let (end, steps) = life.run(self.name, &self.scenario, &self.world, &self.disk);
            self.steps += steps;
            self.world.trace.event(end.name(), &[steps]);
            let had_trouble = self.disk.has_troubled() || self.world.panicked();
            self.disk = self.disk.next_process();
            self.disk.set_trouble(Trouble::default());
            if let End::Crashed { loss: Some(loss) } = end {
                self.disk.crash(loss);
            }
            if let Some(violation) = self.world.violation() {
                return Err(violation);
            }
            self.scenario.check(&self.world, &self.disk, matches!(end, End::Ended))?;
            store::check(&self.disk, &self.world, &self.swarm)?;
            match end {
                End::Ended => return Ok(()),
                End::Crashed { .. } => {}
                End::Failed(error) if is_last || !(had_trouble || life.may_time_out) => {
                    return Err(format!("the job failed for no reason: {error}"));
                }
                End::Failed(_) => {}
            }
            // Where results may be put out again there is more that may rot, so it often does.
            let newest_too = self.scenario.may_repeat();
            let rots = match newest_too {
                true => self.random.chance(2, 3),
                false => self.swarm.rot && self.random.chance(1, 2),
            };
            if rots {
                store::rot(&self.disk, &self.world, &mut self.random, newest_too);
            }
        }
    }
}
