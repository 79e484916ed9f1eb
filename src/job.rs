//! A job: the graph that grows as streams are added, and the ways to run it.

use std::cell::RefCell;
use std::rc::Rc;

use tailwater_core::{Error, KeyGroups, ManualClock, Result, Span};
use tailwater_operators::Source;
use tailwater_runtime::executor::placement::Placement;
use tailwater_runtime::executor::{BetweenSteps, start_between};
use tailwater_runtime::{Graph, JobHandle, Local, Objective, Report, start};

use crate::SourceStream;

/// What all streams of a job share while it is built.
pub struct Plan {
    pub(crate) graph: Graph,
    /// The first thing that makes the job impossible; told when it is started.
    pub(crate) defect: Option<Error>,
}

pub type SharedPlan = Rc<RefCell<Plan>>;

/// A job: add sources, lead every stream to a sink, run it.
pub struct Job {
    plan: SharedPlan,
}

impl Job {
    /// An empty job.
    pub fn new(name: impl Into<String>) -> Self {
        let plan = Plan { graph: Graph::new(name), defect: None };
        Self { plan: Rc::new(RefCell::new(plan)) }
    }

    /// A stream of what `source` reads; give it its event time next.
    pub fn source<S: Source>(&self, source: S) -> SourceStream<S> {
        SourceStream::new(self.plan.clone(), source)
    }

    /// Promises a latency from every source to every sink: `job.objective(99.0, 50.micros())`. The
    /// report says whether it was kept, and how much of a miss was the machine.
    pub fn objective(&self, percentile: f64, limit: Span) -> &Self {
        let objective = Objective { percentile, limit };
        self.plan.borrow_mut().graph.objectives.push(objective);
        self
    }

    /// Runs the job to its end.
    ///
    /// # Errors
    /// When the job cannot run as asked, or fails.
    pub fn run(self, local: Local) -> Result<Report> {
        self.start(local)?.join()
    }

    /// Starts the job on threads of its own and returns its handle.
    ///
    /// # Errors
    /// When the job cannot run as asked.
    pub fn start(self, local: Local) -> Result<JobHandle> {
        start(self.into_graph()?, local)
    }

    /// As [`start`](Job::start) on the seeded driver, inside a simulation: with its clock, and with
    /// `between_steps` called before each step; an error of it ends the attempt there.
    ///
    /// # Errors
    /// When the job cannot run as asked.
    pub fn start_between(
        self,
        local: Local,
        clock: ManualClock,
        between_steps: BetweenSteps,
    ) -> Result<JobHandle> {
        start_between(self.into_graph()?, local, clock, between_steps)
    }

    /// The job as text: its tasks, what is in them, and how they are connected.
    ///
    /// # Errors
    /// When the cores asked for do not exist.
    pub fn explain(&self, local: &Local) -> Result<String> {
        let (cores, groups) = sizes(local)?;
        Ok(self.plan.borrow().graph.explain_text(cores, groups))
    }

    /// The job as a Graphviz digraph.
    ///
    /// # Errors
    /// When the cores asked for do not exist.
    pub fn explain_dot(&self, local: &Local) -> Result<String> {
        let (cores, _) = sizes(local)?;
        Ok(self.plan.borrow().graph.explain_dot(cores))
    }

    /// The job as one JSON object.
    ///
    /// # Errors
    /// When the cores asked for do not exist.
    pub fn explain_json(&self, local: &Local) -> Result<String> {
        let (cores, groups) = sizes(local)?;
        Ok(self.plan.borrow().graph.explain_json(cores, groups))
    }

    pub(crate) fn into_graph(self) -> Result<Graph> {
        let mut plan = self.plan.borrow_mut();
        match plan.defect.take() {
            Some(defect) => Err(defect),
            None => Ok(std::mem::take(&mut plan.graph)),
        }
    }
}

fn sizes(local: &Local) -> Result<(u32, u32)> {
    let cores = Placement::plan(local)?.cores;
    let groups = match local.max_parallelism {
        Some(count) => KeyGroups::new(count)?,
        None => KeyGroups::default_for(cores),
    };
    Ok((cores, groups.count()))
}
