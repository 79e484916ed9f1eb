//! The job as a graph: nodes and edges that are known before anything runs.

pub mod edge;
pub mod explain;
pub mod routes;

use std::any::type_name;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tailwater_core::{Error, Result};
use tailwater_operators::{Description, Operator};
use tailwater_state::snapshot::operator_id;

use crate::config::Objective;
use crate::task::stage::{StagePlan, TaskPlan};
use crate::task::{InputPlan, OutputPlan, Undertaking};

pub use edge::{Edge, InboxPlan, KeyedInboxPlan, OutboxPlan};
pub use routes::{Partition, Reach};

/// A task of the job, before it is put onto cores.
pub struct Node {
    /// Unique in the job.
    pub name: Arc<str>,
    /// The operators of its chain, in order.
    pub operators: Vec<Description>,
    /// Whether it reads a source.
    pub is_source: bool,
    /// Whether what it reads surely ends.
    pub is_bounded: bool,
    /// The sink that its output goes to, if it leaves the job.
    pub sink: Option<String>,
    /// Whether what leaves the job there may do so again after a restore.
    pub may_repeat: bool,
    /// The most cores that it runs on, the first ones.
    pub cores_max: u32,
    pub(crate) plan: Box<dyn TaskPlan>,
}

/// An edge between two nodes.
#[derive(Clone, Debug)]
pub struct EdgeInfo {
    /// The node that writes it, once there is one.
    pub from: Option<usize>,
    /// The node that reads it, once there is one.
    pub to: Option<usize>,
    /// How its records are spread.
    pub partition: Partition,
    /// Which cores write and read it.
    pub reach: Arc<Reach>,
    /// The type of its records, without its path.
    pub records: String,
}

/// A job's nodes and edges.
#[derive(Default)]
pub struct Graph {
    /// The job's name.
    pub name: String,
    /// In the order they were added: an edge leads from an earlier to a later one.
    pub nodes: Vec<Node>,
    /// In the order they were made.
    pub edges: Vec<EdgeInfo>,
    /// What the job promises.
    pub objectives: Vec<Objective>,
    sources: u16,
    /// The names that were given out, with those that were asked for.
    names: HashMap<String, String>,
}

impl Graph {
    /// An empty job.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// The number of the next source, for its markers.
    pub fn next_source(&mut self) -> u16 {
        self.sources += 1;
        self.sources - 1
    }

    /// A name that no node has yet: `wanted`, or `wanted-2`, and so on.
    pub fn unique_name(&mut self, wanted: &str) -> Arc<str> {
        let mut name = wanted.to_owned();
        let mut number = 2;
        while self.names.contains_key(&name) {
            name = format!("{wanted}-{number}");
            number += 1;
        }
        self.names.insert(name.clone(), wanted.to_owned());
        name.into()
    }

    /// A new edge; the nodes at its ends are known when they are added.
    pub fn edge<T>(&mut self, partition: Partition) -> Arc<Edge<T>> {
        let reach = Arc::new(Reach::new(partition));
        self.edges.push(EdgeInfo {
            reach: reach.clone(),
            from: None,
            to: None,
            partition,
            records: explain::short_name(type_name::<T>()),
        });
        Arc::new(Edge::new(self.edges.len() - 1, partition, reach))
    }

    /// Adds a chain between its two ends under a name from [`unique_name`](Graph::unique_name). It
    /// runs on the first `parallelism` cores, or where its input leads where that is `None`.
    ///
    /// # Errors
    /// When its input cannot lead to so many cores.
    pub fn add<C, P>(
        &mut self,
        name: Arc<str>,
        input: Arc<dyn InputPlan<C::In>>,
        chain: C,
        output: P,
        parallelism: Option<u32>,
    ) -> Result<()>
    where
        C: Operator + Clone,
        P: OutputPlan<C::Out>,
    {
        let node = self.nodes.len();
        let inputs = input.edges();
        let is_bounded = input.is_bounded();
        for &edge in &inputs {
            self.edges[edge].to = Some(node);
        }
        let cores_max = self.settle_readers(&name, &inputs, parallelism)?;
        for edge in output.edges() {
            self.edges[edge].from = Some(node);
            self.edges[edge].reach.writers.store(cores_max, Ordering::Relaxed);
        }
        let mut operators = Vec::new();
        chain.describe(&mut operators);
        let (sink, may_repeat) = (output.sink_name(), output.may_repeat());
        let plan = StagePlan::new(input, chain, output);
        let plan = plan.on_cores(cores_max);
        self.nodes.push(Node {
            name,
            operators,
            is_source: inputs.is_empty(),
            is_bounded,
            sink,
            may_repeat,
            cores_max,
            plan: Box::new(plan),
        });
        Ok(())
    }

    /// Tells the edges that a task reads on which cores it runs; on how many at most.
    fn settle_readers(
        &self,
        name: &str,
        inputs: &[usize],
        parallelism: Option<u32>,
    ) -> Result<u32> {
        let refuse = |why: &str| {
            let wanted = parallelism.unwrap_or(u32::MAX);
            let why = format!("`{name}` cannot run on {wanted} cores: {why}");
            Err(Error::configuration(why))
        };
        if parallelism == Some(0) {
            return refuse("it needs at least one");
        }
        if inputs.is_empty() && parallelism.is_some() {
            return refuse(
                "a source runs on every core; bring its records to fewer with `.rebalance()` or \
                 `.rescale()`, and say it there",
            );
        }
        let mut cores_max = if inputs.is_empty() { u32::MAX } else { 0 };
        for &edge in inputs {
            let EdgeInfo { partition, reach, .. } = &self.edges[edge];
            let readers = match partition {
                Partition::Forward => reach.writers.load(Ordering::Relaxed),
                Partition::Global => 1,
                _ => parallelism.unwrap_or(u32::MAX),
            };
            if parallelism.is_some_and(|wanted| wanted != readers) {
                return refuse(
                    "its input stays on the cores where it is; bring it to others before with \
                     `.rebalance()`, `.rescale()` or `.key_by(..)`",
                );
            }
            reach.readers.store(readers, Ordering::Relaxed);
            cores_max = cores_max.max(readers);
        }
        Ok(cores_max)
    }

    /// Refuses a graph with loose ends, and lets every input look at what it will read. Each
    /// attempt of the job begins with it.
    ///
    /// # Errors
    /// When a stream leads nowhere, there is no source, or an input does not exist.
    pub fn prepare(&self, undertaking: &Undertaking) -> Result<()> {
        if !self.nodes.iter().any(|node| node.is_source) {
            return Err(Error::configuration(format!(
                "job `{}` has no source with a sink",
                self.name
            )));
        }
        for edge in &self.edges {
            let Some(from) = edge.from else { continue };
            if edge.to.is_none() {
                return Err(Error::configuration(format!(
                    "the output of `{}` leads nowhere: end every stream with a sink",
                    self.nodes[from].name
                )));
            }
        }
        self.refuse_equal_names(undertaking.checkpointing)?;
        let mut nodes = self.nodes.iter();
        nodes.try_for_each(|node| node.plan.prepare(&node.name, undertaking))
    }

    /// What remembers something is found again by its name. Sinks remember something where
    /// checkpoints are taken.
    fn refuse_equal_names(&self, checkpointing: bool) -> Result<()> {
        let mut seen = HashMap::new();
        for node in &self.nodes {
            let task = self.names.get(&*node.name).map_or(&*node.name, String::as_str);
            let operators = node.operators.iter().filter(|operator| operator.stateful);
            let mut things: Vec<_> = operators
                .map(|operator| ("operators", operator_id(task, &operator.name)))
                .collect();
            if node.is_source {
                things.push(("sources", task.to_owned()));
            }
            let sink = node.sink.iter().filter(|_| checkpointing);
            things.extend(sink.map(|sink| ("sinks", format!("{task} > {sink}"))));
            for (what, id) in things {
                if let Some(other) = seen.insert((what, id.clone()), &node.name) {
                    let id = id.replace(&format!("{task} > {task}"), task);
                    let (one, two) = (other, &node.name);
                    return Err(Error::configuration(format!(
                        "two {what} are named `{id}` (in the tasks `{one}` and `{two}`), and what \
                         they remember is found by name: give each a name of its own with \
                         `.named(..)`"
                    )));
                }
            }
        }
        Ok(())
    }
}
