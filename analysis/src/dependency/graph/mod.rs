//! What follows from the edges of a whole service graph.
//!
//! Nodes are numbers that the caller gives out. Nothing recurses, and the order of the edges does not
//! matter.

mod chain;
mod cycles;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use chain::{CriticalChain, TimedEdge, critical_chain};
pub use cycles::{Cycle, components, cycles};

/// A graph by adjacency lists, each in ascending order without repeats.
struct Graph {
    nodes: Vec<u32>,
    /// Callees by position in `nodes`.
    callees: Vec<Vec<usize>>,
}

impl Graph {
    fn new(edges: impl IntoIterator<Item = (u32, u32)>) -> Self {
        let mut lists: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (caller, callee) in edges {
            lists.entry(caller).or_default().push(callee);
            lists.entry(callee).or_default();
        }
        let nodes: Vec<u32> = lists.keys().copied().collect();
        let place = |node: &u32| nodes.binary_search(node).ok();
        let callees = lists
            .values()
            .map(|list| {
                let mut places: Vec<usize> = list.iter().filter_map(place).collect();
                places.sort_unstable();
                places.dedup();
                places
            })
            .collect();
        Self { nodes, callees }
    }

    fn callees(&self, place: usize) -> &[usize] {
        self.callees.get(place).map_or(&[], Vec::as_slice)
    }
}
