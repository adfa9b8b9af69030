//! The critical path of a request: which span held it up at each instant.
//!
//! The last-finishing-child rule of CRISP (Zhang et al., *CRISP: Critical Path Analysis of
//! Large-Scale Microservice Architectures*, USENIX ATC 2022), as Jaeger's trace page has it: walk
//! back from the end of the root; the child that finished last before the present point held the
//! span up, what lies between is the span's own time; go on from that child's start. A child that
//! was still running when the chosen one began did not cause it and is passed over. Children are
//! clipped to their parents, and a span that its parent does not wait for (a consumer, or one that
//! starts after the parent's end) is never on the path.

#[cfg(test)]
mod tests;

use crate::trace::CallChain;

/// A stretch of the critical path: during `[from_ns, to_ns)` the request waited for this span's own
/// work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Pre-order index into [`CallChain::nodes`].
    pub node: usize,
    /// Start, Unix nanoseconds.
    pub from_ns: i64,
    /// End, Unix nanoseconds, after `from_ns`.
    pub to_ns: i64,
}

impl Segment {
    /// Length in nanoseconds, positive.
    #[must_use]
    pub const fn duration_ns(&self) -> i64 {
        self.to_ns - self.from_ns
    }
}

/// A span on the way, with the children that may still turn out to have held it up.
struct Frame {
    node: usize,
    from: i64,
    /// The walk has come back to this instant.
    cursor: i64,
    /// Clipped children `(to, from, node)`, the last one to look at first.
    children: Vec<(i64, i64, usize)>,
}

/// The critical path under `root` in order of time: segments follow one another without a gap or an
/// overlap and cover exactly the root's duration. Empty for a root without duration or an index
/// that does not exist. Cost is `O(n log n)` in the size of the subtree.
#[must_use]
pub fn critical_path(chain: &CallChain, root: usize) -> Vec<Segment> {
    let mut path = Vec::new();
    let Some(node) = chain.nodes.get(root) else { return path };
    let mut stack = vec![frame(chain, root, node.start_ns, node.end_ns())];
    while let Some(top) = stack.last_mut() {
        let cursor = top.cursor;
        while top.children.last().is_some_and(|(to, ..)| *to > cursor) {
            top.children.pop();
        }
        if let Some((to, from, child)) = top.children.pop() {
            push(&mut path, top.node, to, cursor);
            top.cursor = from;
            stack.push(frame(chain, child, from, to));
        } else {
            push(&mut path, top.node, top.from, cursor);
            stack.pop();
        }
    }
    path.reverse();
    path
}

/// Time each node spends on the path, nanoseconds, by pre-order index.
#[must_use]
pub fn time_on_path(chain: &CallChain, path: &[Segment]) -> Vec<i64> {
    let mut times = vec![0; chain.nodes.len()];
    for segment in path {
        if let Some(time) = times.get_mut(segment.node) {
            *time += segment.duration_ns();
        }
    }
    times
}

fn frame(chain: &CallChain, node: usize, from: i64, to: i64) -> Frame {
    let mut children: Vec<(i64, i64, usize)> = chain
        .children(node)
        .filter_map(|i| chain.nodes.get(i).map(|child| (i, child)))
        .filter(|(_, child)| !child.is_async)
        .map(|(i, child)| (child.end_ns().min(to), child.start_ns.max(from), i))
        .filter(|(end, start, _)| start < end)
        .collect();
    // Last end at the back; of two that end together the longer one, then the first sibling.
    children.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)).then(b.2.cmp(&a.2)));
    Frame { node, from, cursor: to, children }
}

fn push(path: &mut Vec<Segment>, node: usize, from_ns: i64, to_ns: i64) {
    if from_ns < to_ns {
        path.push(Segment { node, from_ns, to_ns });
    }
}
