//! The graph told to people and programs: text, DOT, JSON.

use serde::Serialize;
use std::fmt::Write;

use super::{EdgeInfo, Graph, Node, Partition};

#[derive(Serialize)]
struct Explained<'a> {
    job: &'a str,
    cores: u32,
    key_groups: u32,
    nodes: Vec<ExplainedNode<'a>>,
    edges: Vec<ExplainedEdge<'a>>,
}

#[derive(Serialize)]
struct ExplainedNode<'a> {
    id: usize,
    name: &'a str,
    cores: u32,
    operators: Vec<String>,
}

#[derive(Serialize)]
struct ExplainedEdge<'a> {
    from: usize,
    to: usize,
    partition: Partition,
    records: &'a str,
    rings: u32,
}

/// A type's name without the paths of its parts: `tailwater::Trade` is `Trade`.
pub(super) fn short_name(full: &str) -> String {
    let mut short = String::new();
    let mut segment = String::new();
    for character in full.chars() {
        if character.is_alphanumeric() || character == '_' {
            segment.push(character);
        } else if character == ':' {
            segment.clear();
        } else {
            short.push_str(&segment);
            segment.clear();
            short.push(character);
        }
    }
    short + &segment
}

impl Node {
    /// The operators, one a line, with the sink last.
    fn steps(&self) -> Vec<String> {
        let mut steps: Vec<_> = self
            .operators
            .iter()
            .map(|operator| {
                if operator.detail.is_empty() {
                    operator.name.clone()
                } else {
                    format!("{} ({})", operator.name, operator.detail)
                }
            })
            .collect();
        steps.extend(self.sink.as_ref().map(|sink| format!("sink {sink}")));
        steps
    }
}

impl Graph {
    fn node_cores(&self, node: &Node, cores: u32) -> u32 {
        node.cores_max.min(cores)
    }

    fn rings(&self, edge: &EdgeInfo, cores: u32) -> u32 {
        let (writers, readers) = edge.reach.of(cores);
        let joins = |writer, reader| edge.partition.joins(writer, reader, (writers, readers));
        let rings = (0..writers).map(|writer| (0..readers).filter(|r| joins(writer, *r)).count());
        rings.sum::<usize>() as u32
    }

    /// One paragraph a node, with what it reads and from whom.
    pub fn explain_text(&self, cores: u32, key_groups: u32) -> String {
        let mut text = String::new();
        let plural = if cores == 1 { "" } else { "s" };
        let _ =
            writeln!(text, "job {} on {cores} core{plural}, {key_groups} key groups", self.name);
        for (id, node) in self.nodes.iter().enumerate() {
            let on = self.node_cores(node, cores);
            let on = match on {
                _ if on == cores => "every core".to_owned(),
                1 => "core 0".to_owned(),
                _ => format!("cores 0 to {}", on - 1),
            };
            let _ = writeln!(text, "\n[{id}] {}, on {on}", node.name);
            for edge in self.edges.iter().filter(|edge| edge.to == Some(id)) {
                if let Some(from) = edge.from {
                    let partition = edge.partition.name();
                    let rings = self.rings(edge, cores);
                    let _ = writeln!(
                        text,
                        "    <- [{from}] {partition}: {} over {rings} ring{}",
                        edge.records,
                        if rings == 1 { "" } else { "s" }
                    );
                }
            }
            for step in node.steps() {
                let _ = writeln!(text, "    {step}");
            }
        }
        for objective in &self.objectives {
            let _ = writeln!(text, "\nobjective: p{} <= {}", objective.percentile, objective.limit);
        }
        text
    }

    /// A Graphviz digraph.
    pub fn explain_dot(&self, cores: u32) -> String {
        let mut dot =
            format!("digraph \"{}\" {{\n  rankdir=LR; node [shape=box];\n", escape(&self.name));
        for (id, node) in self.nodes.iter().enumerate() {
            let mut lines = vec![format!("{} x{}", node.name, self.node_cores(node, cores))];
            lines.extend(node.steps());
            let lines: Vec<_> = lines.iter().map(|line| escape(line)).collect();
            let _ = writeln!(dot, "  n{id} [label=\"{}\"];", lines.join("\\n"));
        }
        for edge in &self.edges {
            if let (Some(from), Some(to)) = (edge.from, edge.to) {
                let label = format!("{} {}", edge.partition.name(), edge.records);
                let _ = writeln!(dot, "  n{from} -> n{to} [label=\"{}\"];", escape(&label));
            }
        }
        dot + "}\n"
    }

    /// One JSON object.
    pub fn explain_json(&self, cores: u32, key_groups: u32) -> String {
        let nodes = self.nodes.iter().enumerate().map(|(id, node)| ExplainedNode {
            id,
            name: &node.name,
            cores: self.node_cores(node, cores),
            operators: node.steps(),
        });
        let edges = self.edges.iter().filter_map(|edge| {
            Some(ExplainedEdge {
                from: edge.from?,
                to: edge.to?,
                partition: edge.partition,
                records: &edge.records,
                rings: self.rings(edge, cores),
            })
        });
        let explained = Explained {
            job: &self.name,
            cores,
            key_groups,
            nodes: nodes.collect(),
            edges: edges.collect(),
        };
        serde_json::to_string_pretty(&explained).unwrap_or_default()
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    #[test]
    fn paths_are_dropped_from_type_names() {
        assert_eq!(
            super::short_name("a::b::WindowResult<core::Symbol, (u32, x::Vwap)>"),
            "WindowResult<Symbol, (u32, Vwap)>"
        );
    }
}
