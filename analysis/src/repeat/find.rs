//! Finding repetitions in one call chain.

use std::collections::BTreeMap;

use super::{Call, LEAST_LOOP, Repeat, RepeatKind};
use crate::trace::{CallChain, Node, SpanKind, SpanStatus};

/// A call with its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Made<'a> {
    pub(super) node: usize,
    pub(super) caller: usize,
    pub(super) call: Call<'a>,
}

/// Repetitions in a chain, ordered by caller, target and kind. `call_of` describes the node at a
/// pre-order index, `None` for one that is not an outgoing call. The roots and calls of synthetic parents
/// are looked at like any other; what their parent was is not known.
#[must_use]
pub fn find<'a>(chain: &CallChain, call_of: impl Fn(usize) -> Option<Call<'a>>) -> Vec<Repeat> {
    find_in(chain, &calls(chain, call_of))
}

/// Every call with its caller, in pre-order.
pub(super) fn calls<'a>(
    chain: &CallChain,
    call_of: impl Fn(usize) -> Option<Call<'a>>,
) -> Vec<Made<'a>> {
    // Who answers for the calls made right below a node.
    let mut answers: Vec<usize> = Vec::with_capacity(chain.nodes.len());
    let mut made = Vec::new();
    for (node, span) in chain.nodes.iter().enumerate() {
        let call = call_of(node);
        let caller = span.parent.and_then(|p| answers.get(p).copied());
        if let (Some(call), Some(caller)) = (call, caller) {
            made.push(Made { node, caller, call });
        }
        let parent = span.parent.and_then(|p| chain.nodes.get(p));
        let within = parent.is_some_and(|p| is_part_of(span, p) && call.is_none());
        answers.push(caller.filter(|_| within).unwrap_or(node));
    }
    made
}

/// Whether a span is a part of its parent rather than work of its own.
fn is_part_of(span: &Node, parent: &Node) -> bool {
    matches!(span.kind, SpanKind::Internal | SpanKind::Unspecified)
        && !span.is_async
        && !span.is_synthetic
        && !parent.is_synthetic
        && span.service == parent.service
}

pub(super) fn find_in(chain: &CallChain, made: &[Made<'_>]) -> Vec<Repeat> {
    let retried = retries(chain, made);
    let mut groups: BTreeMap<(usize, &str), Groups> = BTreeMap::new();
    for (call, is_retry) in made.iter().zip(&retried) {
        let group = groups.entry((call.caller, call.call.target)).or_default();
        let list = if *is_retry { &mut group.retries } else { &mut group.plain };
        list.push(call.node);
    }
    for call in duplicates(chain, made, &retried) {
        groups.entry((call.caller, call.call.target)).or_default().duplicates.push(call.node);
    }
    let mut found = Vec::new();
    for ((caller, target), group) in groups {
        let in_sequence = in_sequence(chain, &group.plain);
        let mut add = |kind, calls| found.extend(repeat(chain, kind, caller, target, calls));
        if in_sequence >= LEAST_LOOP {
            add(RepeatKind::Loop, group.plain);
        }
        add(RepeatKind::Retry, group.retries);
        add(RepeatKind::DuplicateRead, group.duplicates);
    }
    found
}

/// Calls of one caller to one target.
#[derive(Debug, Default)]
struct Groups {
    plain: Vec<usize>,
    retries: Vec<usize>,
    duplicates: Vec<usize>,
}

fn repeat(
    chain: &CallChain,
    kind: RepeatKind,
    caller: usize,
    target: &str,
    mut calls: Vec<usize>,
) -> Option<Repeat> {
    if calls.is_empty() {
        return None;
    }
    calls.sort_unstable();
    let time_ns = covered(chain, caller, &calls);
    let whole = chain.nodes.get(caller).map_or(0, |n| n.duration_ns);
    Some(Repeat {
        kind,
        caller,
        target: target.to_owned(),
        in_sequence: in_sequence(chain, &calls),
        succeeded: calls.iter().filter(|c| !failed(chain, **c)).count(),
        time_ns,
        share: if whole > 0 { time_ns as f64 / whole as f64 } else { 0.0 },
        calls,
    })
}

fn failed(chain: &CallChain, node: usize) -> bool {
    chain.nodes.get(node).is_some_and(|n| n.status == SpanStatus::Error)
}

/// Start and end of a node.
fn times(chain: &CallChain, node: usize) -> (i64, i64) {
    chain.nodes.get(node).map_or((0, 0), |n| (n.start_ns, n.end_ns()))
}

/// For each call, whether it is a further attempt of another.
fn retries(chain: &CallChain, made: &[Made<'_>]) -> Vec<bool> {
    let mut same: BTreeMap<(usize, &str, Option<&str>), Vec<usize>> = BTreeMap::new();
    for (at, m) in made.iter().enumerate() {
        same.entry((m.caller, m.call.target, m.call.identity)).or_default().push(at);
    }
    let mut retried = vec![false; made.len()];
    for ((_, _, identity), mut group) in same {
        let node = |at: usize| made.get(at).map_or(0, |m| m.node);
        group.sort_by_key(|at| (times(chain, node(*at)), node(*at)));
        // The end of the last attempt that failed and was not made good, and of the last one that did not.
        let (mut open, mut fine): (Option<i64>, Option<i64>) = (None, None);
        for at in group {
            let Some(m) = made.get(at) else { continue };
            let ((start, end), failed) = (times(chain, m.node), failed(chain, m.node));
            let after = open.is_some_and(|o| o <= start);
            let beside = identity.is_some()
                && (open.is_some_and(|o| start < o) || (failed && fine.is_some_and(|f| start < f)));
            let is_retry = m.call.is_resend || after || beside;
            if let Some(slot) = retried.get_mut(at) {
                *slot = is_retry;
            }
            if failed {
                open = Some(open.map_or(end, |o| o.max(end)));
            } else {
                fine = Some(fine.map_or(end, |f| f.max(end)));
                open = open.filter(|_| !is_retry);
            }
        }
    }
    retried
}

/// Reads that repeat an earlier one of the same service, none of them failed or retried.
fn duplicates<'a>(chain: &CallChain, made: &[Made<'a>], retried: &[bool]) -> Vec<Made<'a>> {
    let mut same: BTreeMap<(&str, &str, &str), Vec<Made<'a>>> = BTreeMap::new();
    for (m, is_retry) in made.iter().zip(retried) {
        let service = chain.nodes.get(m.node).map_or("", |n| &*n.service);
        if let Some(identity) = m.call.identity
            && m.call.is_read
            && !is_retry
            && !failed(chain, m.node)
        {
            same.entry((service, m.call.target, identity)).or_default().push(*m);
        }
    }
    let mut again = Vec::new();
    for (_, mut group) in same {
        group.sort_by_key(|m| (times(chain, m.node), m.node));
        again.extend(group.into_iter().skip(1));
    }
    again
}

/// The most calls of which none begins before another has ended, by taking the one that ends first.
fn in_sequence(chain: &CallChain, calls: &[usize]) -> usize {
    let mut spans: Vec<(i64, i64)> = calls.iter().map(|c| times(chain, *c)).collect();
    spans.sort_by_key(|(start, end)| (*end, *start));
    let (mut count, mut free_from) = (0, i64::MIN);
    for (start, end) in spans {
        if start >= free_from {
            count += 1;
            free_from = end;
        }
    }
    count
}

/// Time during which at least one of the calls ran, within the caller's time.
fn covered(chain: &CallChain, caller: usize, calls: &[usize]) -> i64 {
    let (from, to) = times(chain, caller);
    let mut spans: Vec<(i64, i64)> = calls.iter().map(|c| times(chain, *c)).collect();
    spans.sort_unstable();
    let (mut sum, mut until) = (0, from);
    for (start, end) in spans {
        let end = end.min(to);
        sum += end.saturating_sub(start.max(until)).max(0);
        until = until.max(end);
    }
    sum
}
