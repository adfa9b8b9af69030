use headrope_model::SpanId;
use proptest::prelude::*;

use super::*;
use crate::trace::{SpanKind, SpanRecord, SpanStatus, assemble};

fn id(n: u64) -> SpanId {
    SpanId::from_bytes(&n.to_be_bytes()).unwrap()
}

fn span(n: u64, parent: u64, from: i64, to: i64) -> SpanRecord {
    SpanRecord {
        span_id: id(n),
        parent_span_id: (parent > 0).then(|| id(parent)),
        kind: SpanKind::Internal,
        status: SpanStatus::Unset,
        service: "a".into(),
        host: "a".into(),
        name: "".into(),
        start_ns: from,
        duration_ns: to - from,
        source: n as usize,
    }
}

/// The path of the main root as `(span, from, to)`.
fn path(records: Vec<SpanRecord>) -> Vec<(usize, i64, i64)> {
    let chain = assemble(records);
    let segments = critical_path(&chain, chain.main_root().unwrap());
    segments.iter().map(|s| (chain.nodes[s.node].source.unwrap(), s.from_ns, s.to_ns)).collect()
}

/// The rule word for word, looking at every child each time. `(from, to)` is what is left of the span
/// after clipping, `until` the instant the walk has come back to.
fn by_the_book(
    chain: &CallChain,
    node: usize,
    (from, to): (i64, i64),
    until: i64,
    out: &mut Vec<Segment>,
) {
    let last = chain
        .children(node)
        .filter(|c| !chain.nodes[*c].is_async)
        .map(|c| (chain.nodes[c].start_ns.max(from), chain.nodes[c].end_ns().min(to), c))
        .filter(|(start, end, _)| *end <= until && start < end)
        .max_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(&a.0)).then(b.2.cmp(&a.2)));
    let own_from = last.map_or(from, |(_, end, _)| end);
    if own_from < until {
        out.push(Segment { node, from_ns: own_from, to_ns: until });
    }
    if let Some((start, end, child)) = last {
        by_the_book(chain, child, (start, end), end, out);
        by_the_book(chain, node, (from, to), start, out);
    }
}

/// Trees in which children mostly lie inside their parents and sometimes stick out.
fn any_tree() -> impl Strategy<Value = Vec<SpanRecord>> {
    let one = (any::<prop::sample::Index>(), 0i64..40, 0i64..40, 0usize..12);
    prop::collection::vec(one, 0..40).prop_map(|shapes| {
        let mut spans = vec![span(1, 0, 50, 150)];
        for (i, (parent, offset, length, kind)) in shapes.into_iter().enumerate() {
            let p = &spans[parent.index(spans.len())];
            let from = p.start_ns + offset - 5;
            let mut s = span(i as u64 + 2, p.source as u64, from, from + length);
            if kind == 0 {
                s.kind = SpanKind::Consumer;
            }
            spans.push(s);
        }
        spans
    })
}

proptest! {
    #[test]
    fn the_path_covers_the_root_exactly(records in any_tree()) {
        let chain = assemble(records);
        for root in 0..chain.nodes.len() {
            let path = critical_path(&chain, root);
            let mut at = chain.nodes[root].start_ns;
            for s in &path {
                prop_assert_eq!(s.from_ns, at);
                prop_assert!(s.to_ns > s.from_ns);
                let node = &chain.nodes[s.node];
                prop_assert!(node.start_ns <= s.from_ns && s.to_ns <= node.end_ns());
                at = s.to_ns;
            }
            prop_assert_eq!(at, chain.nodes[root].end_ns());
            let times = time_on_path(&chain, &path);
            prop_assert_eq!(times.iter().sum::<i64>(), chain.nodes[root].duration_ns);
        }
    }

    #[test]
    fn the_path_follows_the_rule(records in any_tree()) {
        let chain = assemble(records);
        let root = chain.main_root().unwrap();
        let mut expected = Vec::new();
        let whole = (chain.nodes[root].start_ns, chain.nodes[root].end_ns());
        by_the_book(&chain, root, whole, whole.1, &mut expected);
        expected.reverse();
        prop_assert_eq!(critical_path(&chain, root), expected);
    }

    #[test]
    fn the_order_of_records_does_not_matter(records in any_tree()) {
        let mut reversed = records.clone();
        reversed.reverse();
        prop_assert_eq!(path(records), path(reversed));
    }
}

#[test]
fn the_walk_alternates_between_parent_and_children() {
    let got = path(vec![
        span(1, 0, 0, 100),
        span(2, 1, 20, 40),
        span(3, 1, 50, 60),
        span(4, 3, 50, 55),
        span(5, 1, 52, 90),
    ]);
    // Span 3 still ran when span 5 began, so it did not cause it.
    assert_eq!(got, [(1, 0, 20), (2, 20, 40), (1, 40, 52), (5, 52, 90), (1, 90, 100)]);
}

#[test]
fn concurrent_children_count_by_the_one_that_ended_last() {
    let got = path(vec![span(1, 0, 1, 101), span(2, 1, 11, 31), span(3, 1, 11, 61)]);
    assert_eq!(got, [(1, 1, 11), (3, 11, 61), (1, 61, 101)]);
}

#[test]
fn back_to_back_children_are_both_on_the_path() {
    let got = path(vec![span(1, 0, 0, 30), span(2, 1, 0, 10), span(3, 1, 10, 30)]);
    assert_eq!(got, [(2, 0, 10), (3, 10, 30)]);
}

#[test]
fn a_child_that_sticks_out_is_clipped() {
    assert_eq!(path(vec![span(1, 0, 10, 30), span(2, 1, 5, 35)]), [(2, 10, 30)]);
    let late = path(vec![span(1, 0, 10, 30), span(2, 1, 15, 40)]);
    assert_eq!(late, [(1, 10, 15), (2, 15, 30)]);
    // What sticks out of a clipped span is clipped with it.
    let nested = path(vec![span(1, 0, 10, 30), span(2, 1, 5, 40), span(3, 2, 6, 33)]);
    assert_eq!(nested, [(3, 10, 30)]);
}

#[test]
fn a_child_outside_its_parent_is_not_on_the_path() {
    let whole = [(1, 10, 30)];
    assert_eq!(path(vec![span(1, 0, 10, 30), span(2, 1, 1, 5)]), whole);
    assert_eq!(path(vec![span(1, 0, 10, 30), span(2, 1, 31, 50), span(3, 2, 12, 45)]), whole);
}

#[test]
fn a_consumer_holds_nobody_up() {
    let consumer = SpanRecord { kind: SpanKind::Consumer, ..span(2, 1, 12, 28) };
    assert_eq!(path(vec![span(1, 0, 10, 30), consumer, span(3, 2, 13, 20)]), [(1, 10, 30)]);
}

#[test]
fn no_duration_no_path() {
    let chain = assemble(vec![span(1, 0, 10, 10), span(2, 1, 10, 10)]);
    assert!(critical_path(&chain, 0).is_empty());
    assert!(critical_path(&chain, 99).is_empty());
}

#[test]
fn deep_and_wide_traces_are_walked_without_recursion() {
    let n = 100_000u64;
    let deep = (1..=n).map(|i| span(i, i - 1, i as i64, (3 * n - i) as i64)).collect();
    assert_eq!(path(deep).len() as u64, 2 * n - 1);
    let wide = (2..=n).map(|i| span(i, 1, 2 * i as i64, 2 * i as i64 + 1));
    let wide: Vec<_> = std::iter::once(span(1, 0, 0, 3 * n as i64)).chain(wide).collect();
    assert_eq!(path(wide).len() as u64, 2 * n - 1);
}
