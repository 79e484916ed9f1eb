//! Runs a job: puts its tasks onto cores, drives them, and gathers what came of it.

mod driver_glommio;
mod driver_seeded;
mod driver_threads;
mod duty_cycle;
pub mod handle;
pub mod placement;
pub mod stepped;
mod supervisor;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::sync::{Arc, Barrier, OnceLock};
use std::thread::{JoinHandle, Scope};

use tailwater_core::{Clock, Counters, Error, ErrorKind, KeyGroups, ManualClock, Random, Result};
use tailwater_network::Parker;
use tailwater_operators::Waker;
use tailwater_state::{Budget, Chore, Prefault, StateContext};

use crate::checkpoint::port::Register;
use crate::checkpoint::{Restoring, Summary};
use crate::clock::SystemClock;
use crate::config::{Driver, Idle, Local, Objective};
use crate::control::{Control, Mode};
use crate::graph::{Graph, Node};
use crate::latency::{Floor, LatencyLog};
use crate::metrics::CoreGauges;
use crate::splits::SourceBoard;
use crate::task::drift::DriftGroups;
use crate::task::lineage::Lineage;
use crate::task::{Step, Task, TaskContext};

pub use driver_seeded::BetweenSteps;
use driver_seeded::World;
pub use handle::JobHandle;
use placement::Placement;
pub use stepped::SteppedJob;
use supervisor::Supervisor;

/// How often the threads of all cores wait for each other before the first record: until all can be
/// woken, until all have opened their tasks, and until it is known whether these fit the
/// checkpoint.
const WAITS_FOR_ALL: usize = 3;

/// Everything that the cores of one running job share.
#[derive(Clone)]
pub(crate) struct Shared {
    outline: Arc<Outline>,
    local: Arc<Local>,
    placement: Arc<Placement>,
    key_groups: KeyGroups,
    control: Arc<Control>,
    clock: Arc<dyn Clock>,
    counters: Counters,
    latency: LatencyLog,
    sources: SourceBoard,
    /// The groups of sources that wait for each other, of an attempt.
    drift_groups: DriftGroups,
    cores: Arc<[CoreGauges]>,
    summary: Summary,
    /// What the tables of an attempt share.
    state: StateContext,
    /// Where the tasks of an attempt make themselves known, if checkpoints are taken.
    register: Option<Arc<Register>>,
    /// What an attempt goes on from.
    restoring: Option<Restoring>,
    /// When it was opened.
    restore_began_ns: u64,
    /// When the first core was ready to work: its tasks opened, their state made or restored.
    ready_ns: Arc<OnceLock<u64>>,
}

/// What reports need of a job's graph.
///
/// The graph itself belongs to the cores and goes with the last of them, so that sources and sinks
/// which somebody outside waits for end with the job, whoever still holds its handle.
pub(crate) struct Outline {
    name: String,
    sources: Vec<Arc<str>>,
    objectives: Vec<Objective>,
}

impl Outline {
    fn of(graph: &Graph) -> Self {
        let sources = graph.nodes.iter().filter(|node| node.is_source);
        Self {
            name: graph.name.clone(),
            sources: sources.map(|node| node.name.clone()).collect(),
            objectives: graph.objectives.clone(),
        }
    }
}

/// What a core leaves behind.
pub(crate) struct CoreOutcome {
    pub(crate) floor: Floor,
}

impl Shared {
    fn task_context(&self, core: u32, waker: Waker) -> TaskContext {
        TaskContext {
            core,
            cores: self.placement.cores,
            task_cores: self.placement.cores,
            key_groups: self.key_groups,
            counters: self.counters.clone(),
            clock: self.clock.clone(),
            waker,
            inline: matches!(self.local.driver, Driver::Seeded(_)),
            parking: self.local.idle == Idle::Park,
            ring_capacity: self.local.ring_capacity,
            batch_max: self.local.batch_max,
            marker_interval_ns: self.local.marker_interval.map_or(0, |span| span.0.max(0) as u64),
            control: self.control.clone(),
            latency: self.latency.clone(),
            sources: self.sources.clone(),
            drift_groups: self.drift_groups.clone(),
            state: self.state.clone(),
            register: self.register.clone(),
            guarantee: self
                .local
                .checkpoints
                .as_ref()
                .map_or_else(Default::default, |c| c.guarantee),
            restoring: self.restoring.clone(),
            mode: self.local.mode,
            sort: self.local.sort.clone(),
            lineage: None,
        }
    }

    /// What tasks are told in a round.
    fn step(&self, now_ns: u64, budget: usize) -> Step {
        Step {
            now_ns,
            mode: self.control.mode(),
            barrier: self.control.barrier(),
            completed: self.control.completed(),
            is_over: self.control.is_over(),
            budget,
        }
    }

    /// All cores have opened their tasks: fails the attempt where these do not fit the checkpoint,
    /// and lets the checkpoint service begin where they do.
    fn all_opened(&self) {
        if let Some(restoring) = &self.restoring {
            let Local { allow_missing_state, allow_dropped_state, .. } = *self.local;
            if self.control.mode() != Mode::Aborted
                && let Err(error) = restoring.verdict(allow_missing_state, allow_dropped_state)
            {
                return self.control.fail(error);
            }
            let took_ns = self.clock.monotonic_ns().saturating_sub(self.restore_began_ns);
            self.summary.note(|report| report.restore_ns = took_ns);
        }
        if let Some(register) = &self.register {
            register.complete();
        }
    }

    /// Notes how much memory state takes, before some is given back.
    fn note_state(&self) {
        let used = self.state.budget.used();
        self.summary.note(|report| report.state_bytes = report.state_bytes.max(used));
    }

    /// The tasks of one core, opened on the thread that calls.
    fn open_tasks(&self, graph: &Graph, core: u32, waker: Waker) -> Result<Vec<Box<dyn Task>>> {
        let context = self.task_context(core, waker);
        let mut tasks = Vec::new();
        for (info, stage) in graph.nodes.iter().zip(0..) {
            let lineage = self.local.deterministic.then(|| Lineage::new(stage));
            let context = TaskContext { lineage, ..context.clone() };
            // Sources, sinks and the clones of closures are user code; the other cores wait for
            // this one, so a panic must not leave it.
            let open = || info.plan.open(&info.name, &context);
            match catch_unwind(AssertUnwindSafe(open)) {
                Ok(opened) => tasks.extend(opened?),
                Err(payload) => {
                    let error = panic_error(&info.name, &*payload);
                    return Err(error.context(format!("cannot open task `{}`", info.name)));
                }
            }
        }
        // Downstream first: what a round emits is seen in the same round by nobody, in the next by
        // all, and rings are emptied before they are filled again.
        tasks.reverse();
        Ok(tasks)
    }
}

/// Starts a job on this machine.
///
/// # Errors
/// When the graph has loose ends, an input does not exist, the cores asked for do not, or what is
/// to be restored cannot be.
pub fn start(graph: Graph, local: Local) -> Result<JobHandle> {
    start_between(graph, local, ManualClock::at(1), Box::new(|_| Ok(())))
}

/// As [`start`], for the seeded driver in a simulation: with this clock, and with `between_steps`
/// called before each step. An error of it ends the attempt there, as a crash would if its kind is
/// [`Cancelled`](ErrorKind::Cancelled): nothing is tried again.
///
/// # Errors
/// As [`start`].
pub fn start_between(
    graph: Graph,
    local: Local,
    clock: ManualClock,
    between_steps: BetweenSteps,
) -> Result<JobHandle> {
    let graph = Arc::new(graph);
    let (mut supervisor, warnings) = supervise(graph, local, clock, between_steps)?;
    let first = supervisor.set_out()?;
    let (shared, driver) = (supervisor.shared.clone(), supervisor.driver);
    let name = match driver {
        Driver::Seeded(_) => "tailwater-seeded",
        Driver::Glommio | Driver::Threads => "tailwater-job",
    };
    let thread = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || first.map_or_else(Vec::new, |first| supervisor.run(first)))
        .map_err(|cause| Error::io("cannot start the job's thread", cause))?;
    Ok(JobHandle::new(shared, driver, thread, warnings))
}

/// What will run the attempts of a job, and what goes otherwise than asked.
fn supervise(
    graph: Arc<Graph>,
    local: Local,
    clock: ManualClock,
    between_steps: BetweenSteps,
) -> Result<(Supervisor, Vec<String>)> {
    local.check()?;
    let placement = Placement::plan(&local)?;
    let mut warnings = placement.warnings.clone();
    let unbounded = graph.nodes.iter().find(|node| !node.is_bounded);
    let local = local.settled(unbounded.map(|node| &*node.name), &mut warnings)?;
    if local.checkpoints.is_some() {
        warnings.extend(graph.nodes.iter().filter(|node| node.may_repeat).map(may_repeat));
    }
    let chosen = driver_glommio::choose(local.driver);
    let store = local.checkpoints.as_ref().map(|config| config.store.open()).transpose()?;
    let lock = store.as_ref().map(|store| store.lock()).transpose()?;
    let readers = supervisor::readers(local.driver, placement.cores);
    let store_of = store.as_ref();
    let origin = supervisor::open_origin(&graph.name, &local, store_of, readers, &mut warnings)?;
    let driver = chosen.wait(&mut warnings);
    let stored = origin.as_ref().map(|origin| origin.opened.manifest().key_groups);
    let key_groups = key_groups(&local, placement.cores, stored)?;
    let cores = placement.cores;
    let seed = if let Driver::Seeded(seed) = driver { seed } else { 0 };
    let shared = Shared {
        outline: Arc::new(Outline::of(&graph)),
        local: Arc::new(local),
        placement: Arc::new(placement),
        key_groups,
        control: Arc::new(Control::new(cores)),
        clock: match driver {
            Driver::Seeded(_) => Arc::new(clock.clone()),
            Driver::Glommio | Driver::Threads => Arc::new(SystemClock::cold()),
        },
        counters: Counters::default(),
        latency: LatencyLog::default(),
        sources: SourceBoard::default(),
        drift_groups: DriftGroups::default(),
        cores: (0..cores).map(|_| CoreGauges::default()).collect(),
        summary: Summary::default(),
        state: StateContext::new(key_groups, Budget::unlimited()),
        register: None,
        restoring: None,
        restore_began_ns: 0,
        ready_ns: Arc::default(),
    };
    let world = World { random: Random::from_seed(seed), clock, between_steps };
    let supervisor =
        Supervisor { shared, graph, driver, store, origin, first: 0, world, _lock: lock };
    Ok((supervisor, warnings))
}

/// Said of a sink that checkpoints do not help.
fn may_repeat(node: &Node) -> String {
    let sink = node.sink.as_deref().unwrap_or(&node.name);
    format!(
        "the sink `{sink}` cannot take back what it wrote: its results are there at least once, \
         and those since the last checkpoint come again after a restore (files and `two_phase` \
         sinks have them exactly once)"
    )
}

/// Max parallelism is fixed for life once there is state (SEMANTICS 61): one that was derived gives
/// way to the stored one, one that was asked for must be the same.
fn key_groups(local: &Local, cores: u32, stored: Option<u32>) -> Result<KeyGroups> {
    let key_groups = match (local.max_parallelism, stored) {
        (Some(asked), Some(stored)) if asked != stored => {
            return Err(Error::configuration(format!(
                "the checkpoint has max parallelism {stored}, and {asked} was asked for: it is \
                 fixed once there is state"
            )));
        }
        (Some(count), _) | (None, Some(count)) => KeyGroups::new(count)?,
        (None, None) => KeyGroups::default_for(cores),
    };
    if cores > key_groups.count() {
        return Err(Error::configuration(format!(
            "{cores} cores cannot share {} key groups: {}",
            key_groups.count(),
            match stored {
                Some(_) => "run on fewer cores, the checkpoint has fixed their number",
                None => "raise max_parallelism",
            }
        )));
    }
    Ok(key_groups)
}

/// What a core's thread runs until the job ends.
type RunCore = fn(&Shared, &Graph, u32, Arc<Parker>, &Barrier) -> Result<CoreOutcome>;

/// Runs a thread a core, and waits for all of them.
fn spawn_cores<'scope>(
    scope: &'scope Scope<'scope, '_>,
    shared: &'scope Shared,
    graph: &'scope Graph,
    run: RunCore,
) -> Vec<CoreOutcome> {
    let cores = shared.placement.cores;
    // No core opens its tasks before all can be woken.
    let all_ready = Arc::new(Barrier::new(cores as usize));
    let mut threads = Vec::new();
    for core in 0..cores {
        let ready = all_ready.clone();
        let body = move || {
            let parker = Arc::new(Parker::for_this_thread());
            shared.control.register_parker(core, parker.clone());
            run(shared, graph, core, parker, &ready)
                .map_err(|error| shared.control.fail(error))
                .ok()
        };
        let name = format!("tailwater-{core}");
        match std::thread::Builder::new().name(name).spawn_scoped(scope, body) {
            Ok(thread) => threads.push(thread),
            Err(cause) => {
                shared.control.fail(Error::io("cannot start a thread for a core", cause));
                // The threads that wait for this one must not wait for ever: they are released by
                // threads that only wait with them.
                for _ in core..cores {
                    let ready = all_ready.clone();
                    let wait = move || {
                        for _ in 0..WAITS_FOR_ALL {
                            ready.wait();
                        }
                    };
                    let _ = std::thread::Builder::new().spawn_scoped(scope, wait);
                }
                break;
            }
        }
    }
    let mut outcomes = Vec::new();
    for thread in threads {
        match thread.join() {
            Ok(outcome) => outcomes.extend(outcome),
            Err(payload) => shared.control.fail(panic_error("core", &*payload)),
        }
    }
    outcomes
}

/// A thread that prepares memory for tables as long as there is somebody who may ask for it.
fn memory_thread() -> Result<(Prefault, JoinHandle<()>)> {
    let (sender, chores) = mpsc::channel::<Chore>();
    let thread = std::thread::Builder::new()
        .name("tailwater-memory".to_owned())
        .spawn(move || chores.into_iter().for_each(|chore| chore()))
        .map_err(|cause| Error::io("cannot start the thread that prepares memory", cause))?;
    // Where the thread is gone the job is ending.
    let prefault = Prefault::with(move |chore| drop(sender.send(chore)));
    Ok((prefault, thread))
}

/// The error for a panic that came out of user code or the engine itself.
pub(crate) fn panic_error(task: &str, payload: &(dyn std::any::Any + Send)) -> Error {
    let message = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned());
    match tailwater_operators::blame::take() {
        Some((operator, at)) => Error::user(&operator, at, format!("panicked: {message}"))
            .context(format!("task `{task}` stopped")),
        None => Error::new(ErrorKind::Internal, format!("task `{task}` panicked: {message}")),
    }
}
