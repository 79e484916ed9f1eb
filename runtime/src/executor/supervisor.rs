//! Runs a job attempt after attempt: sets each out with a checkpoint, waits for its end, and
//! decides whether another follows.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tailwater_core::{Error, ErrorKind, Random, Result, Span};
use tailwater_state::checkpoint::{CheckpointSettings, Checkpoints, OpenedCheckpoint, Which};
use tailwater_state::store::{CheckpointStore, DirectoryStore, Lock, RealDisk};
use tailwater_state::{Budget, StateContext};

use super::driver_seeded::{self, World};
use super::{
    CoreOutcome, RunCore, Shared, driver_glommio, driver_threads, memory_thread, panic_error,
    spawn_cores,
};
use crate::checkpoint::port::Register;
use crate::checkpoint::service::Service;
use crate::checkpoint::{Restore, Restoring, recovery};
use crate::config::{Driver, Local};
use crate::graph::Graph;
use crate::restart::Restarts;
use crate::task::drift::DriftGroups;
use crate::task::{Progress, Undertaking};

/// A checkpoint that an attempt begins with.
#[derive(Clone)]
pub(super) struct Origin {
    pub opened: Arc<OpenedCheckpoint>,
    /// Whether it lies where the job's own checkpoints go, so that these can build on it.
    is_own: bool,
}

/// One a core; in a simulation what reads a disk does so in one order.
pub(super) fn readers(driver: Driver, cores: u32) -> u32 {
    if matches!(driver, Driver::Seeded(_)) { 1 } else { cores }
}

/// Opens what the user wants to restore, if there is something; with what went otherwise.
pub(super) fn open_origin(
    job: &str,
    local: &Local,
    store: Option<&Arc<dyn CheckpointStore>>,
    readers: u32,
    warnings: &mut Vec<String>,
) -> Result<Option<Origin>> {
    let own = |which| match store {
        Some(store) => recovery::open(&**store, job, which, readers),
        None => Ok(None),
    };
    let opened = match &local.restore {
        Restore::None => return Ok(None),
        Restore::Latest => own(Which::Latest)?,
        Restore::Id(id) => own(Which::Id(*id))?,
        Restore::Path(path) => open_path(job, path, readers)?,
        Restore::Store { store, checkpoint } => {
            let which = checkpoint.map_or(Which::Latest, Which::Id);
            recovery::open(&*store.open()?, job, which, readers)?
        }
    };
    let Some(opened) = opened else {
        let elsewhere = match &local.restore {
            Restore::Path(path) => Some(path.display().to_string()),
            Restore::Store { store, .. } => Some(store.to_string()),
            _ => None,
        };
        if let Some(place) = elsewhere {
            return Err(Error::configuration(format!("there is no checkpoint in `{place}`")));
        }
        warnings.push("there is no checkpoint to restore yet: the job starts afresh".to_owned());
        return Ok(None);
    };
    warnings.extend(skipped(&opened));
    let is_own = !matches!(local.restore, Restore::Path(_) | Restore::Store { .. });
    Ok(Some(Origin { opened: Arc::new(opened), is_own }))
}

fn skipped(opened: &OpenedCheckpoint) -> Vec<String> {
    let used = opened.manifest().checkpoint;
    let skipped = opened.skipped().iter().map(|skipped| {
        let (number, problem) = (skipped.checkpoint, &skipped.problem);
        format!("checkpoint {number} cannot be used, {used} is restored instead: {problem}")
    });
    skipped.collect()
}

/// The latest checkpoint of a directory, or the one whose manifest is named.
fn open_path(job: &str, path: &Path, readers: u32) -> Result<Option<OpenedCheckpoint>> {
    let name = path.file_name().and_then(|name| name.to_str());
    let number = name
        .and_then(|name| name.strip_prefix("checkpoint-")?.strip_suffix(".manifest"))
        .and_then(|number| number.parse().ok());
    let (directory, which) = match (number, path.parent()) {
        (Some(number), Some(directory)) if path.is_file() => (directory, Which::Id(number)),
        _ => (path, Which::Latest),
    };
    if !directory.is_dir() {
        return Ok(None);
    }
    recovery::open(&DirectoryStore::at(RealDisk::default(), directory), job, which, readers)
}

/// What runs the attempts of one job.
pub(super) struct Supervisor {
    pub shared: Shared,
    pub graph: Arc<Graph>,
    pub driver: Driver,
    pub store: Option<Arc<dyn CheckpointStore>>,
    /// What the job was started from.
    pub origin: Option<Origin>,
    /// The number of this run's first checkpoint; zero before it is known.
    pub first: u64,
    /// The seeded driver's.
    pub world: World,
    /// Keeps other jobs off the store until this one has ended.
    pub _lock: Option<Lock>,
}

/// An attempt that is ready to run.
pub(super) struct Attempt {
    pub shared: Shared,
    pub service: Option<Service>,
    /// Prepares memory for the attempt's tables.
    memory: Option<JoinHandle<()>>,
}

impl Supervisor {
    /// All attempts, of which the first is ready; what their cores leave behind.
    pub fn run(mut self, first: Attempt) -> Vec<CoreOutcome> {
        let strategy = self.shared.local.restart.settled(self.store.is_some());
        let seed = match self.driver {
            Driver::Seeded(seed) => seed,
            Driver::Glommio | Driver::Threads => self.shared.clock.wall().0 as u64,
        };
        let mut restarts = Restarts::new(strategy, Random::from_seed(seed));
        let mut outcomes = Vec::new();
        let mut next = Ok(Some(first));
        loop {
            let started_ns = self.shared.clock.monotonic_ns();
            match next {
                Ok(Some(attempt)) => outcomes.extend(self.drive(attempt)),
                Ok(None) => return outcomes,
                Err(error) => self.shared.control.fail(error),
            }
            let Some(error) = self.shared.control.take_failure() else { return outcomes };
            let now_ns = self.shared.clock.monotonic_ns();
            let Some(delay) = restarts.after(&error, started_ns, now_ns) else {
                self.shared.control.fail(error);
                return outcomes;
            };
            self.shared.summary.note(|report| {
                report.restarts += 1;
                report.last_restart = Some(error.to_string());
            });
            self.pause(delay);
            next = self.set_out();
        }
    }

    fn pause(&self, delay: Span) {
        let delay_ns = delay.0.max(0) as u64;
        match self.driver {
            Driver::Seeded(_) => self.world.clock.advance_ns(delay_ns),
            Driver::Glommio | Driver::Threads => {
                self.shared.control.wait(Duration::from_nanos(delay_ns));
            }
        }
    }

    /// How many threads read a checkpoint to see that it is whole.
    fn readers(&self) -> u32 {
        readers(self.driver, self.shared.placement.cores)
    }

    /// What the next attempt begins with: the latest checkpoint of this run, or the one that it was
    /// started from, or nothing.
    fn choose(&self) -> Result<Option<Origin>> {
        let Some(store) = &self.store else { return Ok(self.origin.clone()) };
        let job = &self.shared.outline.name;
        match recovery::open(&**store, job, Which::Latest, self.readers()) {
            // Also one that this run believes to have failed: a restart from before it would
            // discard what sinks prepared for it, and a later one would find it and want that.
            Ok(Some(opened)) if opened.manifest().checkpoint >= self.first => {
                for warning in skipped(&opened) {
                    self.shared.summary.note(|report| report.last_warning = Some(warning));
                }
                Ok(Some(Origin { opened: Arc::new(opened), is_own: true }))
            }
            Ok(_) => Ok(self.origin.clone()),
            // Damaged ones that this run did not write are none of its affair.
            Err(error)
                if error.kind() == ErrorKind::Format
                    && self.shared.summary.report().completed == 0 =>
            {
                Ok(self.origin.clone())
            }
            Err(error) => Err(error),
        }
    }

    /// Makes an attempt ready: opens its checkpoint, takes the store over, and lets the inputs look
    /// at what they will read. `None` where the job was aborted meanwhile.
    pub fn set_out(&mut self) -> Result<Option<Attempt>> {
        let mut shared = self.shared.clone();
        shared.restore_began_ns = shared.clock.monotonic_ns();
        let origin = if self.first == 0 { self.origin.clone() } else { self.choose()? };
        let restored = origin.as_ref().map_or(0, |origin| origin.opened.manifest().checkpoint);
        shared.restoring =
            origin.as_ref().map(|origin| Restoring::new(restored, origin.opened.clone()));
        let (service, barrier) = self.open_service(&mut shared, origin.as_ref(), restored)?;
        shared.sources.retire();
        shared.drift_groups = DriftGroups::default();
        if !shared.control.begin_attempt(barrier, restored) {
            return Ok(None);
        }
        shared.summary.note(|report| report.restored_from = restored);
        self.graph.prepare(&Undertaking {
            cores: shared.placement.cores,
            key_groups: shared.key_groups,
            checkpointing: shared.register.is_some(),
            restoring: shared.restoring.clone(),
        })?;
        let budget = shared.local.state_memory.map_or_else(Budget::unlimited, Budget::limited);
        let warnings = shared.state.warnings.clone();
        shared.state = StateContext::new(shared.key_groups, budget);
        shared.state.warnings = warnings;
        let mut memory = None;
        if !matches!(self.driver, Driver::Seeded(_)) {
            let (prefault, thread) = memory_thread()?;
            shared.state = shared.state.with_prefault(prefault);
            memory = Some(thread);
        }
        Ok(Some(Attempt { shared, service, memory }))
    }

    /// The checkpoint service, where checkpoints are taken, and the number of the checkpoint before
    /// its first.
    fn open_service(
        &mut self,
        shared: &mut Shared,
        origin: Option<&Origin>,
        restored: u64,
    ) -> Result<(Option<Service>, u64)> {
        let (Some(store), Some(config)) = (&self.store, &shared.local.checkpoints) else {
            return Ok((None, restored));
        };
        let settings = CheckpointSettings {
            job: shared.outline.name.clone(),
            key_groups: shared.key_groups.count(),
            cores: shared.placement.cores,
            retain: config.retain as usize,
        };
        let from = origin.filter(|origin| origin.is_own).map(|origin| &*origin.opened);
        let store = Checkpoints::take_over(store.clone(), settings, from)?;
        let first = store.next().max(restored + 1);
        if self.first == 0 {
            self.first = first;
        }
        let (register, receiver) = Register::new(shared.control.clone());
        shared.register = Some(register.clone());
        let service = Service::new(
            (register, receiver),
            shared.control.clone(),
            (store, first),
            shared.clock.clone(),
            config.timing(),
            shared.summary.clone(),
        );
        Ok((Some(service), first - 1))
    }

    /// One attempt, until its last core has ended.
    fn drive(&mut self, attempt: Attempt) -> Vec<CoreOutcome> {
        let Attempt { shared, service, memory } = attempt;
        let outcomes = match self.driver {
            Driver::Seeded(seed) => {
                driver_seeded::run(&shared, &self.graph, &mut self.world, service).unwrap_or_else(
                    |error| {
                        let context = format!("the run with seed {seed} failed");
                        shared.control.fail(error.context(context));
                        Vec::new()
                    },
                )
            }
            Driver::Threads => self.on_threads(&shared, service, driver_threads::run),
            Driver::Glommio => self.on_threads(&shared, service, driver_glommio::run),
        };
        drop(shared);
        if let Some(memory) = memory {
            // Its tables are gone, and with them all who could give it more to do.
            let _ = memory.join();
        }
        outcomes
    }

    /// A thread a core, and one for the checkpoint service. They borrow the graph.
    fn on_threads(
        &self,
        shared: &Shared,
        service: Option<Service>,
        run: RunCore,
    ) -> Vec<CoreOutcome> {
        std::thread::scope(|scope| {
            let spawned = service.map(|service| {
                let name = "tailwater-checkpoints".to_owned();
                let serve = || serve(shared, service);
                std::thread::Builder::new().name(name).spawn_scoped(scope, serve)
            });
            if let Some(Err(cause)) = spawned {
                let message = "cannot start the thread for checkpoints";
                shared.control.fail(Error::io(message, cause));
            }
            spawn_cores(scope, shared, &self.graph, run)
        })
    }
}

/// The loop of the checkpoint service's thread.
fn serve(shared: &Shared, mut service: Service) {
    let turn = || {
        loop {
            match service.step() {
                Progress::Done => return,
                Progress::Worked => {}
                Progress::Idle | Progress::Blocked => service.wait(),
            }
        }
    };
    if let Err(payload) = catch_unwind(AssertUnwindSafe(turn)) {
        shared.control.fail(panic_error("checkpoints", &*payload));
    }
}
