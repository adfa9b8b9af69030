//! Which end of a slow way is at fault.

use std::collections::BTreeMap;

use super::{Edge, Found, LEAST_CALLS, Node};

/// The ways that a node has, and those of them that lead to it.
#[derive(Debug, Clone, Copy, Default)]
struct Ways {
    worse: usize,
    all: usize,
    worse_inward: usize,
    inward: usize,
}

impl Ways {
    /// The share of them that are worse.
    fn coherence(self) -> f64 {
        self.worse as f64 / (self.all as f64).max(1.0)
    }

    /// The share of those to the node that are worse; 1 with fewer than two.
    fn inward(self) -> f64 {
        if self.inward < 2 { 1.0 } else { self.worse_inward as f64 / self.inward as f64 }
    }
}

impl Found {
    fn ways(&self, node: &Node) -> Ways {
        let mut ways = Ways::default();
        for ((caller, callee), edge) in &self.edges {
            let is_end = caller == node || callee == node;
            if !is_end || edge.weight < LEAST_CALLS as f64 {
                continue;
            }
            let worse = usize::from(edge.is_worse());
            (ways.all, ways.worse) = (ways.all + 1, ways.worse + worse);
            if callee == node {
                (ways.inward, ways.worse_inward) = (ways.inward + 1, ways.worse_inward + worse);
            }
        }
        ways
    }

    /// Gives worse ways to the ends that explain them.
    pub(super) fn give_ways(&mut self) {
        let mut nodes: BTreeMap<Node, Ways> =
            self.suspects.keys().map(|node| (node.clone(), self.ways(node))).collect();
        let mut left: BTreeMap<(Node, Node), Edge> = self
            .edges
            .iter()
            .filter(|(_, edge)| edge.is_worse())
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        while !left.is_empty() && !nodes.is_empty() {
            // A single way says nothing against who calls: it is put to who is called.
            let is_end = |node: &Node, ends: &(Node, Node), ways: Ways| {
                ends.1 == *node || ends.0 == *node && ways.worse > 1 && ways.coherence() > 0.5
            };
            let explained = |node: &Node, ways: Ways| {
                let own = left.iter().filter(|(ends, _)| is_end(node, ends, ways));
                ways.coherence() * own.map(|(_, edge)| edge.harm).sum::<f64>()
            };
            let work = |node: &Node| self.suspects.get(node).map_or(0.0, |s| s.work);
            let Some((node, ways)) = nodes
                .iter()
                .map(|(node, ways)| (explained(node, *ways), node, *ways))
                .filter(|(explained, ..)| *explained > 0.0)
                .max_by(|a, b| {
                    let whole = |(explained, node): (f64, &Node)| explained + work(node);
                    whole((a.0, a.1)).total_cmp(&whole((b.0, b.1))).then(b.1.cmp(a.1))
                })
                .map(|(_, node, ways)| (node.clone(), ways))
            else {
                return;
            };
            nodes.remove(&node);
            let own: Vec<(Node, Node)> =
                left.keys().filter(|ends| is_end(&node, ends, ways)).cloned().collect();
            let (mut sum, mut worst) = (0.0, 0.0_f64);
            for ends in own {
                let Some(edge) = left.remove(&ends) else { continue };
                sum += edge.harm;
                let suspect = self.at(&node);
                suspect.way += edge.harm;
                suspect.added_ns += edge.added;
                suspect.z = suspect.z.max(edge.z);
                if let Some((size, part)) = edge.worst {
                    worst = worst.max(size);
                    self.note(&node, edge.added, &part);
                }
            }
            let suspect = self.at(&node);
            (suspect.coherence, suspect.inward) = (ways.coherence(), ways.inward());
            suspect.statement_share = if sum > 0.0 { worst / sum } else { 0.0 };
        }
    }
}
