//! The chain of calls that the critical time of an entry point goes through.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::Graph;
use super::cycles::strong_components;

/// What calls over an edge add to the critical path of an entry point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimedEdge {
    /// Who calls.
    pub caller: u32,
    /// Who is called.
    pub callee: u32,
    /// Critical-path time of the callee's own work in calls over this edge, nanoseconds; negative counts
    /// as zero. Edges given twice are added up.
    pub critical_ns: i64,
}

/// The heaviest path through the edges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CriticalChain {
    /// Nodes in the order of calls, the entry first. Only the entry if nothing below it carries time.
    pub nodes: Vec<u32>,
    /// Sum over the edges of the path, nanoseconds.
    pub critical_ns: i64,
    /// Sum over all edges that can be reached from the entry, nanoseconds.
    pub reachable_ns: i64,
}

/// What is known of the best way on from a node.
#[derive(Debug, Clone, Copy, Default)]
struct Best {
    ns: i64,
    /// Where the path leaves the component, and where to; `None` where the path ends.
    step: Option<(usize, usize)>,
}

/// The path from `entry` whose edges carry the most critical-path time. It is the exact optimum of a
/// graph without cycles: the best way on is found component by component, callees first. Within a
/// cycle, where the optimum is intractable, the path takes the fewest edges from where it enters to
/// where it leaves, and never repeats a node. Edges without time at the end of the path are left off.
/// Cost is `O(edges log nodes)` without cycles, and `O(nodes · edges)` of each component with.
#[must_use]
pub fn critical_chain(entry: u32, edges: &[TimedEdge]) -> CriticalChain {
    let mut weights: BTreeMap<(u32, u32), i64> = BTreeMap::new();
    for edge in edges {
        let sum = weights.entry((edge.caller, edge.callee)).or_default();
        *sum = sum.saturating_add(edge.critical_ns.max(0));
    }
    let graph = Graph::new(weights.keys().copied());
    let Ok(start) = graph.nodes.binary_search(&entry) else {
        return CriticalChain { nodes: vec![entry], critical_ns: 0, reachable_ns: 0 };
    };
    let weight = |a: usize, b: usize| -> i64 {
        let pair = graph.nodes.get(a).zip(graph.nodes.get(b));
        pair.and_then(|(a, b)| weights.get(&(*a, *b))).copied().unwrap_or(0)
    };
    let reachable = reachable(&graph, start);
    let components = strong_components(&graph);
    let mut component_of = vec![0; graph.nodes.len()];
    for (number, members) in components.iter().enumerate() {
        members.iter().for_each(|m| component_of[*m] = number);
    }
    let mut best = vec![Best::default(); graph.nodes.len()];
    for members in components.iter().filter(|m| m.first().is_some_and(|f| reachable[*f])) {
        for &from in members {
            best[from] = best_from(&graph, &component_of, &best, from, &weight);
        }
    }
    let reachable_ns = (0..graph.nodes.len())
        .filter(|a| reachable[*a])
        .flat_map(|a| graph.callees(a).iter().map(move |b| (a, *b)))
        .fold(0i64, |sum, (a, b)| sum.saturating_add(weight(a, b)));
    let mut places = vec![start];
    let mut at = start;
    while let Some((leave, to)) = best[at].step {
        places.extend(inside(&graph, &component_of, at).path_to(at, leave));
        if to != leave {
            places.push(to);
        }
        if component_of[to] == component_of[at] {
            break;
        }
        at = to;
    }
    let nodes = places.iter().filter_map(|p| graph.nodes.get(*p)).copied().collect();
    CriticalChain { nodes, critical_ns: best[start].ns, reachable_ns }
}

/// The best path from a node on, when those of later components are known. A step whose target is the
/// place it leaves from ends inside the component.
fn best_from(
    graph: &Graph,
    component_of: &[usize],
    best: &[Best],
    from: usize,
    weight: &impl Fn(usize, usize) -> i64,
) -> Best {
    let around = inside(graph, component_of, from);
    let mut found = Best::default();
    for &member in &around.order {
        let to_member = around.weight_to(from, member, weight);
        if to_member > found.ns {
            found = Best { ns: to_member, step: Some((member, member)) };
        }
        for &callee in graph.callees(member) {
            if component_of[callee] == component_of[from] {
                continue;
            }
            let ns =
                to_member.saturating_add(weight(member, callee)).saturating_add(best[callee].ns);
            if ns > found.ns {
                found = Best { ns, step: Some((member, callee)) };
            }
        }
    }
    found
}

/// The shortest paths from a node to the others of its component.
struct Around {
    /// Nodes in the order they are reached.
    order: Vec<usize>,
    reached_from: HashMap<usize, usize>,
}

fn inside(graph: &Graph, component_of: &[usize], from: usize) -> Around {
    let mut around = Around { order: vec![from], reached_from: HashMap::new() };
    let mut queue = VecDeque::from([from]);
    while let Some(at) = queue.pop_front() {
        for &callee in graph.callees(at) {
            let fresh = callee != from && !around.reached_from.contains_key(&callee);
            if fresh && component_of[callee] == component_of[from] {
                around.reached_from.insert(callee, at);
                around.order.push(callee);
                queue.push_back(callee);
            }
        }
    }
    around
}

impl Around {
    /// The nodes after `from` up to and with `to`.
    fn path_to(&self, from: usize, to: usize) -> Vec<usize> {
        let mut path = Vec::new();
        let mut at = to;
        while at != from {
            path.push(at);
            match self.reached_from.get(&at) {
                Some(before) => at = *before,
                None => break,
            }
        }
        path.reverse();
        path
    }

    fn weight_to(&self, from: usize, to: usize, weight: &impl Fn(usize, usize) -> i64) -> i64 {
        let (mut sum, mut at) = (0i64, to);
        while at != from {
            let Some(&before) = self.reached_from.get(&at) else { break };
            sum = sum.saturating_add(weight(before, at));
            at = before;
        }
        sum
    }
}

fn reachable(graph: &Graph, start: usize) -> Vec<bool> {
    let mut seen = vec![false; graph.nodes.len()];
    let mut pending = vec![start];
    while let Some(at) = pending.pop() {
        if !std::mem::replace(&mut seen[at], true) {
            pending.extend(graph.callees(at));
        }
    }
    seen
}
