//! From a linked forest to nodes in pre-order.

use std::sync::Arc;

use super::link::Forest;
use super::{CallChain, Node, SpanKind, SpanRecord, SpanStatus};

/// Direct children of a node, by pre-order index.
#[derive(Debug, Clone)]
pub struct Children<'a> {
    nodes: &'a [Node],
    next: usize,
    end: usize,
}

impl<'a> Children<'a> {
    pub(super) fn of(nodes: &'a [Node], index: usize) -> Self {
        let (next, end) = match nodes.get(index) {
            Some(node) => (index + 1, index + node.subtree_size),
            None => (0, 0),
        };
        Self { nodes, next, end }
    }
}

impl Iterator for Children<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let at = self.next;
        let node = self.nodes.get(at).filter(|_| at < self.end)?;
        self.next = at + node.subtree_size;
        Some(at)
    }
}

pub(super) fn emit(mut forest: Forest, skews: Vec<i64>) -> CallChain {
    let order = order_siblings(&mut forest);
    let mut chain = CallChain {
        duplicates: forest.duplicates,
        orphans: forest.orphans,
        cycles: forest.cut.iter().filter(|c| **c).count(),
        skewed: skews.iter().filter(|s| **s != 0).count(),
        ..CallChain::default()
    };
    let missing_extent: Vec<(i64, i64)> =
        (0..forest.missing.len()).map(|k| extent(&forest, forest.records.len() + k)).collect();
    let children = std::mem::take(&mut forest.children);
    let mut records: Vec<Option<SpanRecord>> = forest.records.into_iter().map(Some).collect();
    let mut pending: Vec<(usize, Option<usize>)> =
        order.into_iter().rev().map(|i| (i, None)).collect();
    while let Some((i, parent)) = pending.pop() {
        let mut node = match records.get_mut(i) {
            Some(slot) => match slot.take() {
                Some(record) => real(record, skews[i], forest.cut[i]),
                None => continue,
            },
            None => {
                let k = i - records.len();
                synthetic(forest.missing[k], missing_extent[k])
            }
        };
        let at = chain.nodes.len();
        match parent.and_then(|p| chain.nodes.get(p)) {
            Some(p) => {
                node.depth = p.depth + 1;
                node.is_async = !p.is_synthetic
                    && (node.kind == SpanKind::Consumer || node.start_ns > p.end_ns());
            }
            None => chain.roots.push(at),
        }
        node.parent = parent;
        chain.nodes.push(node);
        pending.extend(children[i].iter().rev().map(|c| (*c, Some(at))));
    }
    sum_subtrees(&mut chain.nodes);
    self_times(&mut chain.nodes);
    chain
}

/// Sorts children by repaired (start, span id) and returns the roots in the same order.
fn order_siblings(forest: &mut Forest) -> Vec<usize> {
    let records = &forest.records;
    for list in &mut forest.children {
        list.sort_by_key(|i| records.get(*i).map(|r| (r.start_ns, r.span_id, *i)));
    }
    let mut roots: Vec<usize> = forest.roots().collect();
    roots.sort_by_key(|i| match forest.records.get(*i) {
        Some(r) => (r.start_ns, r.span_id, *i),
        None => (extent(forest, *i).0, forest.missing[*i - forest.records.len()], *i),
    });
    roots
}

/// First start and last end of the children of a synthetic parent.
fn extent(forest: &Forest, index: usize) -> (i64, i64) {
    let kids = || forest.children[index].iter().map(|c| &forest.records[*c]);
    let from = kids().map(|r| r.start_ns).min().unwrap_or(0);
    let to = kids().map(|r| r.start_ns + r.duration_ns).max().unwrap_or(from);
    (from, to)
}

fn real(record: SpanRecord, skew_ns: i64, cut_cycle: bool) -> Node {
    Node {
        source: Some(record.source),
        span_id: record.span_id,
        kind: record.kind,
        status: record.status,
        service: record.service,
        name: record.name,
        start_ns: record.start_ns,
        duration_ns: record.duration_ns,
        skew_ns,
        self_ns: 0,
        parent: None,
        depth: 0,
        subtree_size: 1,
        subtree_errors: usize::from(record.status == SpanStatus::Error),
        is_async: false,
        is_synthetic: false,
        cut_cycle,
    }
}

fn synthetic(span_id: headrope_model::SpanId, (from, to): (i64, i64)) -> Node {
    Node {
        source: None,
        span_id,
        kind: SpanKind::Unspecified,
        status: SpanStatus::Unset,
        service: Arc::default(),
        name: Arc::default(),
        start_ns: from,
        duration_ns: to - from,
        skew_ns: 0,
        self_ns: 0,
        parent: None,
        depth: 0,
        subtree_size: 1,
        subtree_errors: 0,
        is_async: false,
        is_synthetic: true,
        cut_cycle: false,
    }
}

/// Children come after their parents, so one pass from the back adds every subtree up.
fn sum_subtrees(nodes: &mut [Node]) {
    for i in (0..nodes.len()).rev() {
        let (size, errors) = (nodes[i].subtree_size, nodes[i].subtree_errors);
        if let Some(parent) = nodes[i].parent.and_then(|p| nodes.get_mut(p)) {
            parent.subtree_size += size;
            parent.subtree_errors += errors;
        }
    }
}

/// Duration minus the union of the awaited children, clipped to the span. Siblings are ordered by
/// start, so one forward pass with the end of the union so far is enough.
fn self_times(nodes: &mut [Node]) {
    let mut covered_to: Vec<i64> = nodes.iter().map(|n| n.start_ns).collect();
    for node in nodes.iter_mut().filter(|n| !n.is_synthetic) {
        node.self_ns = node.duration_ns;
    }
    for i in 0..nodes.len() {
        let (from, to) = (nodes[i].start_ns, nodes[i].end_ns());
        let Some(p) = nodes[i].parent.filter(|_| !nodes[i].is_async) else { continue };
        let parent = &mut nodes[p];
        let to = to.min(parent.end_ns());
        let fresh = to.saturating_sub(from.max(covered_to[p])).max(0);
        covered_to[p] = covered_to[p].max(to);
        if !parent.is_synthetic {
            parent.self_ns -= fresh;
        }
    }
}
