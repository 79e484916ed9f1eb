//! Runs a job: puts its tasks onto cores, drives them, and gathers what came of it.

mod driver_glommio;
mod driver_seeded;
mod driver_threads;
mod duty_cycle;
pub mod handle;
pub mod placement;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Barrier, OnceLock};
use std::thread::JoinHandle;

use tailwater_core::{Clock, Counters, Error, ErrorKind, KeyGroups, Result};
use tailwater_network::Parker;
use tailwater_operators::Waker;

use crate::checkpoint::SnapshotTaker;
use crate::clock::SystemClock;
use crate::config::{Driver, Idle, Local, Objective};
use crate::control::Control;
use crate::graph::Graph;
use crate::latency::{Floor, LatencyLog};
use crate::metrics::{CoreGauges, SourceBoard};
use crate::task::{Task, TaskContext};

pub use handle::JobHandle;
use placement::Placement;

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
    cores: Arc<[CoreGauges]>,
    snapshots: Arc<dyn SnapshotTaker>,
    /// When the first core was ready to work, after the machine's floor was measured.
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
    pub(crate) core: u32,
    pub(crate) floor: Floor,
}

impl Shared {
    fn task_context(&self, core: u32, waker: Waker) -> TaskContext {
        TaskContext {
            core,
            cores: self.placement.cores,
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
            snapshots: self.snapshots.clone(),
        }
    }

    /// The tasks of one core, opened on the thread that calls.
    fn open_tasks(&self, graph: &Graph, core: u32, waker: Waker) -> Result<Vec<Box<dyn Task>>> {
        let context = self.task_context(core, waker);
        let mut tasks = Vec::new();
        for (node, info) in graph.nodes.iter().enumerate() {
            // Sources, sinks and the clones of closures are user code; the other cores wait for
            // this one, so a panic must not leave it.
            let open = || info.plan.open(node as u32, &info.name, &context);
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
/// When the graph has loose ends, an input does not exist, or the cores asked for do not.
pub fn start(graph: Graph, local: Local, snapshots: Arc<dyn SnapshotTaker>) -> Result<JobHandle> {
    local.check()?;
    let placement = Placement::plan(&local)?;
    let cores = placement.cores;
    let key_groups = match local.max_parallelism {
        Some(count) => KeyGroups::new(count)?,
        None => KeyGroups::default_for(cores),
    };
    if cores > key_groups.count() {
        return Err(Error::configuration(format!(
            "{cores} cores cannot share {} key groups: raise max_parallelism",
            key_groups.count()
        )));
    }
    graph.prepare(cores)?;
    let mut warnings = placement.warnings.clone();
    let driver = driver_glommio::choose(local.driver, &mut warnings);
    let shared = Shared {
        outline: Arc::new(Outline::of(&graph)),
        local: Arc::new(local),
        placement: Arc::new(placement),
        key_groups,
        control: Arc::new(Control::new(cores)),
        clock: Arc::new(SystemClock::default()),
        counters: Counters::default(),
        latency: LatencyLog::default(),
        sources: SourceBoard::default(),
        cores: (0..cores).map(|_| CoreGauges::default()).collect(),
        snapshots,
        ready_ns: Arc::default(),
    };
    let threads = match driver {
        Driver::Seeded(seed) => vec![driver_seeded::spawn(&shared, graph, seed)?],
        Driver::Threads => spawn_cores(&shared, graph, driver_threads::run)?,
        Driver::Glommio => spawn_cores(&shared, graph, driver_glommio::run)?,
    };
    Ok(JobHandle::new(shared, driver, threads, warnings))
}

/// What a core's thread runs until the job ends.
type RunCore = fn(&Shared, &Graph, u32, Arc<Parker>, &Barrier) -> Result<CoreOutcome>;

fn spawn_cores(
    shared: &Shared,
    graph: Graph,
    run: RunCore,
) -> Result<Vec<JoinHandle<Vec<CoreOutcome>>>> {
    let graph = Arc::new(graph);
    let cores = shared.placement.cores;
    // No core opens its tasks before all can be woken.
    let all_ready = Arc::new(Barrier::new(cores as usize));
    let mut threads = Vec::new();
    for core in 0..cores {
        let (of_core, ready, graph) = (shared.clone(), all_ready.clone(), graph.clone());
        let body = move || {
            let parker = Arc::new(Parker::for_this_thread());
            of_core.control.register_parker(core, parker.clone());
            match run(&of_core, &graph, core, parker, &ready) {
                Ok(outcome) => vec![outcome],
                Err(error) => {
                    of_core.control.fail(error);
                    Vec::new()
                }
            }
        };
        let name = format!("tailwater-{core}");
        match std::thread::Builder::new().name(name).spawn(body) {
            Ok(thread) => threads.push(thread),
            Err(cause) => {
                shared.control.abort();
                // The threads that wait for this one must not wait for ever: they are released by
                // threads that only wait with them, once for "can be woken", once for "has opened".
                for _ in core..cores {
                    let all_ready = all_ready.clone();
                    let wait = move || {
                        all_ready.wait();
                        all_ready.wait();
                    };
                    let _ = std::thread::Builder::new().spawn(wait);
                }
                return Err(Error::io("cannot start a thread for a core", cause));
            }
        }
    }
    Ok(threads)
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
