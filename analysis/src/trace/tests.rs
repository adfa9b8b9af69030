use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

fn id(n: u64) -> SpanId {
    SpanId::from_bytes(&n.to_be_bytes()).unwrap()
}

/// An internal span of service `a` on host `a`.
fn span(n: u64, parent: u64, start: i64, duration: i64) -> SpanRecord {
    SpanRecord {
        span_id: id(n),
        parent_span_id: (parent > 0).then(|| id(parent)),
        kind: SpanKind::Internal,
        status: SpanStatus::Unset,
        service: "a".into(),
        host: "a".into(),
        name: format!("op{n}").into(),
        start_ns: start,
        duration_ns: duration,
        source: n as usize,
    }
}

fn on(service: &str, kind: SpanKind, record: SpanRecord) -> SpanRecord {
    SpanRecord { service: service.into(), host: service.into(), kind, ..record }
}

/// The node that came from `source`.
fn by_source(chain: &CallChain, source: usize) -> &Node {
    chain.nodes.iter().find(|n| n.source == Some(source)).unwrap()
}

fn parent_source(chain: &CallChain, source: usize) -> Option<usize> {
    by_source(chain, source).parent.and_then(|p| chain.nodes[p].source)
}

prop_compose! {
    fn any_record()(
        (n, parent) in (1u64..25, 0u64..30), start in 10_000i64..10_100, duration in -2i64..60,
        kind in 0usize..6, service in 0usize..3, host in 0usize..3, error in any::<bool>(),
    ) -> SpanRecord {
        let kinds = [
            SpanKind::Unspecified, SpanKind::Internal, SpanKind::Server, SpanKind::Client,
            SpanKind::Producer, SpanKind::Consumer,
        ];
        SpanRecord {
            kind: kinds[kind],
            status: if error { SpanStatus::Error } else { SpanStatus::Ok },
            service: ["a", "b", "c"][service].into(),
            host: ["", "h1", "h2"][host].into(),
            ..span(n, parent, start, duration)
        }
    }
}

fn any_trace() -> impl Strategy<Value = Vec<SpanRecord>> {
    prop::collection::vec(any_record(), 0..40).prop_map(|mut records| {
        records.iter_mut().enumerate().for_each(|(i, r)| r.source = i);
        records
    })
}

proptest! {
    #[test]
    fn the_forest_is_sound(records in any_trace()) {
        let chain = assemble(records.clone());
        let real = chain.nodes.iter().filter(|n| !n.is_synthetic).count();
        prop_assert_eq!(real + chain.duplicates, records.len());
        let mut seen = vec![false; records.len()];
        for (i, node) in chain.nodes.iter().enumerate() {
            prop_assert_eq!(node.is_synthetic, node.source.is_none());
            if let Some(s) = node.source {
                prop_assert!(!std::mem::replace(&mut seen[s], true));
                prop_assert_eq!(node.duration_ns, records[s].duration_ns.max(0));
                prop_assert_eq!(node.start_ns - node.skew_ns, records[s].start_ns);
            }
            match node.parent {
                Some(p) => {
                    prop_assert!(p < i && i < p + chain.nodes[p].subtree_size);
                    prop_assert_eq!(node.depth, chain.nodes[p].depth + 1);
                }
                None => {
                    prop_assert_eq!(node.depth, 0);
                    prop_assert!(chain.roots.contains(&i));
                }
            }
            let below = |j: usize| (i..i + node.subtree_size).contains(&j);
            let errors = chain.nodes.iter().enumerate().filter(|(j, n)| below(*j) && n.status == SpanStatus::Error);
            prop_assert_eq!(errors.count(), node.subtree_errors);
            let kids: Vec<usize> = (0..chain.nodes.len()).filter(|j| chain.nodes[*j].parent == Some(i)).collect();
            prop_assert_eq!(chain.children(i).collect::<Vec<_>>(), kids.clone());
            let place = |k: usize| (chain.nodes[k].start_ns, chain.nodes[k].span_id);
            prop_assert!(kids.windows(2).all(|w| place(w[0]) <= place(w[1])));
        }
        prop_assert_eq!(chain.roots.iter().map(|r| chain.nodes[*r].subtree_size).sum::<usize>(), chain.nodes.len());
        prop_assert_eq!(chain.main_root().is_some(), !records.is_empty());
    }

    #[test]
    fn the_order_of_records_does_not_matter(records in any_trace(), seed in any::<u64>()) {
        let mut shuffled = records.clone();
        let mut state = seed | 1;
        for i in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            shuffled.swap(i, (state >> 33) as usize % (i + 1));
        }
        prop_assert_eq!(assemble(records), assemble(shuffled));
    }

    #[test]
    fn self_time_is_what_no_awaited_child_covers(records in any_trace()) {
        let chain = assemble(records);
        for (i, node) in chain.nodes.iter().enumerate().filter(|(_, n)| !n.is_synthetic) {
            let awaited = |t: i64| chain.children(i).map(|c| &chain.nodes[c])
                .any(|c| !c.is_async && c.start_ns <= t && t < c.end_ns());
            let free = (node.start_ns..node.end_ns()).filter(|t| !awaited(*t)).count();
            prop_assert_eq!(node.self_ns, free as i64);
        }
    }

    #[test]
    fn repaired_children_fit_their_parents(records in any_trace()) {
        let hosts: HashMap<usize, SpanRecord> = records.iter().map(|r| (r.source, r.clone())).collect();
        let chain = assemble(records);
        for node in &chain.nodes {
            let Some(parent) = node.parent.map(|p| &chain.nodes[p]).filter(|p| !p.is_synthetic) else { continue };
            let (child, above) = (&hosts[&node.source.unwrap()], &hosts[&parent.source.unwrap()]);
            let known = !child.host.is_empty() && !above.host.is_empty();
            let same_clock = if known { child.host == above.host } else { child.service == above.service };
            let messaging = node.kind == SpanKind::Consumer || parent.kind == SpanKind::Producer;
            if same_clock {
                prop_assert_eq!(node.skew_ns, parent.skew_ns);
            } else if messaging {
                prop_assert_eq!(node.skew_ns, 0);
            } else {
                prop_assert!(node.start_ns >= parent.start_ns);
                prop_assert!(node.end_ns() <= parent.end_ns() || node.duration_ns > parent.duration_ns);
            }
        }
    }

    #[test]
    fn hostile_times_do_no_harm(times in prop::collection::vec((any::<i64>(), any::<i64>(), 0u64..6), 1..12)) {
        let records: Vec<SpanRecord> = times.iter().enumerate().map(|(i, (start, duration, parent))| {
            let host = ["", "h1", "h2"][i % 3].into();
            SpanRecord { host, source: i, ..span(i as u64 + 1, *parent, *start, *duration) }
        }).collect();
        let chain = assemble(records);
        for node in &chain.nodes {
            prop_assert!(node.start_ns >= 0 && node.duration_ns >= 0);
            prop_assert!(node.start_ns.checked_add(node.duration_ns).is_some());
            prop_assert!(0 <= node.self_ns && node.self_ns <= node.duration_ns);
        }
    }
}

#[test]
fn nothing_gives_nothing() {
    let chain = assemble(Vec::new());
    assert_eq!((chain.main_root(), chain.extent_ns()), (None, None));
    assert_eq!(chain, CallChain::default());
}

#[test]
fn a_duplicate_is_dropped_and_the_longer_form_kept() {
    let chain = assemble(vec![span(1, 0, 0, 10), span(1, 0, 0, 30), span(2, 1, 1, 2)]);
    assert_eq!((chain.nodes.len(), chain.duplicates), (2, 1));
    assert_eq!(chain.nodes[0].duration_ns, 30);
}

#[test]
fn orphans_of_one_parent_stay_together() {
    let chain =
        assemble(vec![span(1, 0, 5, 10), span(2, 9, 1, 2), span(3, 9, 4, 3), span(4, 8, 2, 1)]);
    assert_eq!((chain.orphans, chain.roots.len()), (3, 3));
    let stand_in = &chain.nodes[0];
    assert!(stand_in.is_synthetic);
    assert_eq!((stand_in.span_id, stand_in.start_ns, stand_in.duration_ns), (id(9), 1, 6));
    assert_eq!(stand_in.subtree_size, 3);
    assert_eq!(chain.main_root().map(|r| chain.nodes[r].span_id), Some(id(1)));
    assert_eq!(chain.extent_ns(), Some((1, 15)));
    let only = assemble(vec![span(2, 9, 1, 2)]);
    assert_eq!(only.main_root(), Some(0));
}

#[test]
fn shared_ids_put_the_server_under_the_client() {
    let chain = assemble(vec![
        on("front", SpanKind::Server, SpanRecord { source: 1, ..span(1, 0, 0, 100) }),
        on("front", SpanKind::Client, SpanRecord { source: 2, ..span(2, 1, 10, 80) }),
        on("back", SpanKind::Server, SpanRecord { source: 3, ..span(2, 1, 20, 60) }),
        on("back", SpanKind::Internal, SpanRecord { source: 4, ..span(4, 2, 30, 10) }),
        on("front", SpanKind::Internal, SpanRecord { source: 5, ..span(5, 2, 12, 3) }),
    ]);
    assert_eq!((chain.duplicates, chain.cycles, chain.orphans), (0, 0, 0));
    assert_eq!(parent_source(&chain, 2), Some(1));
    assert_eq!(parent_source(&chain, 3), Some(2));
    assert_eq!(parent_source(&chain, 4), Some(3));
    assert_eq!(parent_source(&chain, 5), Some(2));
}

#[test]
fn cycles_are_cut_at_their_first_span() {
    let chain =
        assemble(vec![span(1, 3, 5, 10), span(2, 1, 6, 5), span(3, 2, 7, 3), span(4, 3, 8, 1)]);
    assert_eq!((chain.cycles, chain.roots.len(), chain.nodes.len()), (1, 1, 4));
    assert!(chain.nodes[0].cut_cycle);
    assert_eq!(chain.nodes[0].span_id, id(1));
    let own_parent = assemble(vec![span(1, 1, 0, 1)]);
    assert_eq!((own_parent.cycles, own_parent.roots.len()), (1, 1));
}

#[test]
fn a_skewed_callee_is_centred_and_takes_its_descendants_along() {
    let chain = assemble(vec![
        on("front", SpanKind::Client, span(1, 0, 1_000, 100)),
        on("back", SpanKind::Server, span(2, 1, 5_000, 40)),
        on("back", SpanKind::Internal, span(3, 2, 5_010, 10)),
        on("db", SpanKind::Server, span(4, 3, 1_043, 5)),
    ]);
    assert_eq!(by_source(&chain, 2).start_ns, 1_030);
    assert_eq!(by_source(&chain, 2).skew_ns, -3_970);
    assert_eq!(by_source(&chain, 3).start_ns, 1_040);
    assert_eq!(by_source(&chain, 4).skew_ns, 0, "its own clock agrees with the repaired parent");
    assert_eq!(chain.skewed, 2);
}

#[test]
fn a_callee_that_outlives_its_caller_only_may_not_start_before_it() {
    let early = assemble(vec![
        on("front", SpanKind::Client, span(1, 0, 1_000, 10)),
        on("back", SpanKind::Server, span(2, 1, 900, 400)),
    ]);
    assert_eq!((early.nodes[1].start_ns, early.nodes[1].skew_ns), (1_000, 100));
    let late = assemble(vec![
        on("front", SpanKind::Client, span(1, 0, 1_000, 10)),
        on("back", SpanKind::Server, span(2, 1, 1_005, 400)),
    ]);
    assert_eq!((late.nodes[1].skew_ns, late.skewed), (0, 0));
}

#[test]
fn one_host_is_one_clock_and_an_unknown_host_one_service() {
    let shared = assemble(vec![
        SpanRecord { service: "front".into(), ..span(1, 0, 1_000, 100) },
        SpanRecord { service: "back".into(), ..span(2, 1, 1_500, 10) },
    ]);
    assert_eq!((shared.skewed, shared.nodes[1].is_async), (0, true));
    let unknown = |service: &str| SpanRecord {
        service: service.into(),
        host: "".into(),
        ..span(2, 1, 1_500, 10)
    };
    let root = SpanRecord { host: "".into(), ..span(1, 0, 1_000, 100) };
    assert_eq!(assemble(vec![root.clone(), unknown("a")]).skewed, 0);
    assert_eq!(assemble(vec![root, unknown("b")]).skewed, 1);
}

#[test]
fn messages_are_asynchronous_and_not_moved() {
    let chain = assemble(vec![
        on("front", SpanKind::Server, span(1, 0, 0, 100)),
        on("front", SpanKind::Producer, span(2, 1, 10, 5)),
        on("worker", SpanKind::Consumer, span(3, 2, 900, 50)),
        on("worker", SpanKind::Internal, span(4, 3, 910, 10)),
    ]);
    assert_eq!(chain.skewed, 0);
    let async_spans: Vec<_> =
        chain.nodes.iter().filter(|n| n.is_async).filter_map(|n| n.source).collect();
    assert_eq!(async_spans, [3]);
}

#[test]
fn a_very_deep_trace_needs_no_stack() {
    let n = 200_000u64;
    let records = (1..=n).map(|i| span(i, i - 1, i as i64, (2 * n - i) as i64)).collect();
    let chain = assemble(records);
    assert_eq!(chain.nodes.len() as u64, n);
    assert_eq!(chain.nodes[chain.nodes.len() - 1].depth as u64, n - 1);
    let ring: Vec<_> = (1..=n).map(|i| span(i, if i == 1 { n } else { i - 1 }, 0, 1)).collect();
    assert_eq!(assemble(ring).cycles, 1);
}

#[test]
fn names_are_read_in_every_spelling() {
    for kind in [
        SpanKind::Server,
        SpanKind::Client,
        SpanKind::Producer,
        SpanKind::Consumer,
        SpanKind::Internal,
    ] {
        assert_eq!(SpanKind::from_name(kind.name()), kind);
        assert_eq!(SpanKind::from_name(&kind.name().to_uppercase()), kind);
        assert_eq!(SpanKind::from_name(&format!("SPAN_KIND_{}", kind.name().to_uppercase())), kind);
    }
    assert_eq!(SpanKind::from_name("sérver"), SpanKind::Unspecified);
    assert_eq!(SpanStatus::from_name("STATUS_CODE_ERROR"), SpanStatus::Error);
    assert_eq!(SpanStatus::from_name("Ok"), SpanStatus::Ok);
    assert_eq!(SpanStatus::from_name(""), SpanStatus::Unset);
}
