//! Strongly connected components and cycles.

use std::collections::VecDeque;

use super::Graph;

/// Services that call each other in a circle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle {
    /// Every node of the strongly connected component, ascending.
    pub members: Vec<u32>,
    /// A shortest cycle in it, in the order of calls, beginning with its smallest node, which is not
    /// repeated at the end. Of several, the one that comes first in lexicographic order.
    pub shortest: Vec<u32>,
}

/// The strongly connected components of a graph of (caller, callee), callees before their callers; the
/// nodes of each ascend. A node that is in no circle is a component of its own. R. Tarjan,
/// *Depth-first search and linear graph algorithms* (SIAM J. Comput. 1, 1972), with a stack of its own.
/// Cost is `O(edges log nodes)`.
#[must_use]
pub fn components(edges: &[(u32, u32)]) -> Vec<Vec<u32>> {
    let graph = Graph::new(edges.iter().copied());
    let names =
        |places: Vec<usize>| places.iter().filter_map(|p| graph.nodes.get(*p)).copied().collect();
    strong_components(&graph).into_iter().map(names).collect()
}

/// The cycles of a graph of (caller, callee): one entry per strongly connected component that has any,
/// in ascending order of its smallest node. A service that calls itself is a cycle of one. Cost is
/// `O(nodes · edges)` of a component at worst.
#[must_use]
pub fn cycles(edges: &[(u32, u32)]) -> Vec<Cycle> {
    let graph = Graph::new(edges.iter().copied());
    let names =
        |places: &[usize]| places.iter().filter_map(|p| graph.nodes.get(*p)).copied().collect();
    let mut found: Vec<Cycle> = strong_components(&graph)
        .iter()
        .filter_map(|members| {
            let shortest = shortest_cycle(&graph, members)?;
            Some(Cycle { members: names(members), shortest: names(&shortest) })
        })
        .collect();
    found.sort_by(|a, b| a.members.cmp(&b.members));
    found
}

const UNSEEN: usize = usize::MAX;

/// What Tarjan's algorithm keeps of each node.
struct Search {
    /// Order of discovery, [`UNSEEN`] before.
    index: Vec<usize>,
    /// Smallest index reachable through one edge back.
    low: Vec<usize>,
    on_stack: Vec<bool>,
    stack: Vec<usize>,
    next: usize,
}

impl Search {
    fn enter(&mut self, place: usize) {
        self.index[place] = self.next;
        self.low[place] = self.next;
        self.on_stack[place] = true;
        self.stack.push(place);
        self.next += 1;
    }

    /// Takes the component that begins at `place` off the stack.
    fn close(&mut self, place: usize) -> Vec<usize> {
        let mut members = Vec::new();
        while let Some(top) = self.stack.pop() {
            self.on_stack[top] = false;
            members.push(top);
            if top == place {
                break;
            }
        }
        members.sort_unstable();
        members
    }
}

/// Components as ascending places, callees before callers.
pub(super) fn strong_components(graph: &Graph) -> Vec<Vec<usize>> {
    let n = graph.nodes.len();
    let mut search = Search {
        index: vec![UNSEEN; n],
        low: vec![0; n],
        on_stack: vec![false; n],
        stack: Vec::new(),
        next: 0,
    };
    let mut found = Vec::new();
    for start in 0..n {
        if search.index[start] != UNSEEN {
            continue;
        }
        search.enter(start);
        // A node and the position of the callee to look at next.
        let mut walk = vec![(start, 0)];
        while let Some(top) = walk.last_mut() {
            let (at, position) = *top;
            top.1 += 1;
            if let Some(&callee) = graph.callees(at).get(position) {
                if search.index[callee] == UNSEEN {
                    search.enter(callee);
                    walk.push((callee, 0));
                } else if search.on_stack[callee] {
                    search.low[at] = search.low[at].min(search.index[callee]);
                }
                continue;
            }
            walk.pop();
            if let Some((caller, _)) = walk.last() {
                search.low[*caller] = search.low[*caller].min(search.low[at]);
            }
            if search.low[at] == search.index[at] {
                found.push(search.close(at));
            }
        }
    }
    found
}

fn shortest_cycle(graph: &Graph, members: &[usize]) -> Option<Vec<usize>> {
    let mut best: Option<Vec<usize>> = None;
    for &start in members {
        let limit = best.as_ref().map_or(usize::MAX, Vec::len);
        if limit <= 1 {
            break;
        }
        if let Some(cycle) = cycle_from(graph, members, start, limit) {
            best = Some(cycle);
        }
    }
    best
}

/// The first shortest cycle through `start` with fewer than `limit` nodes. A breadth-first search over
/// ascending lists reaches each node by the lexicographically first of its shortest paths.
fn cycle_from(graph: &Graph, members: &[usize], start: usize, limit: usize) -> Option<Vec<usize>> {
    let place_of = |node: usize| members.binary_search(&node).ok();
    let mut reached_from: Vec<Option<usize>> = vec![None; members.len()];
    let mut queue = VecDeque::from([(start, 1)]);
    while let Some((at, length)) = queue.pop_front() {
        if length >= limit {
            return None;
        }
        for &callee in graph.callees(at) {
            if callee == start {
                let mut cycle = path_back(members, &reached_from, start, at);
                cycle.reverse();
                return Some(cycle);
            }
            let Some(slot) = place_of(callee).and_then(|p| reached_from.get_mut(p)) else {
                continue;
            };
            if slot.is_none() {
                *slot = Some(at);
                queue.push_back((callee, length + 1));
            }
        }
    }
    None
}

fn path_back(members: &[usize], from: &[Option<usize>], start: usize, end: usize) -> Vec<usize> {
    let mut path = vec![end];
    let mut at = end;
    while at != start {
        let before = members.binary_search(&at).ok().and_then(|p| *from.get(p)?);
        let Some(before) = before else { break };
        path.push(before);
        at = before;
    }
    path
}
