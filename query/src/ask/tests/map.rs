//! The service map against the spans that the shop knows.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use headrope_model::TimeRange;
use headrope_testdata::oracle::OracleSpan;
use headrope_testdata::{Incident, Planned, Shop, ShopConfig};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::Link;

use crate::QueryConfig;
use crate::answer::map::{Map, NodeKind};
use crate::tests::{Placed, Seeded, empty, resource, seeded, send, text, traces};

const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const PRODUCER: i32 = 4;
const CONSUMER: i32 = 5;
const ERROR: i32 = 2;
const SECOND: i64 = 1_000_000_000;
/// 2025-01-06T00:10:00Z.
const FROM: i64 = 1_736_122_200 * SECOND;

/// Calls without a span of another service below them, and messages that are sent.
fn alone(traces: &[Vec<OracleSpan>]) -> u64 {
    let is_alone = |spans: &[OracleSpan], span: &OracleSpan| {
        let mut children = spans.iter().filter(|child| child.parent == Some(span.span_id));
        match span.kind {
            CLIENT => !children.any(|child| child.service != span.service),
            kind => kind == PRODUCER,
        }
    };
    traces.iter().map(|spans| spans.iter().filter(|s| is_alone(spans, s)).count() as u64).sum()
}

/// Messages that are consumed: below the span that sent them, and in traces that only link to it.
fn consumed(spans: &[OracleSpan]) -> [u64; 2] {
    let sent = |id| spans.iter().any(|span| span.span_id == id && span.kind == PRODUCER);
    let consumers = || spans.iter().filter(|span| span.kind == CONSUMER);
    let below = consumers().filter(|span| span.parent.is_some_and(sent)).count() as u64;
    [below, consumers().count() as u64 - below]
}

/// Calls between services as parents and children say: calls, and those of which either end failed.
fn expected(traces: &[Vec<OracleSpan>]) -> BTreeMap<(String, String), (u64, u64)> {
    let mut found: BTreeMap<(String, String), (u64, u64)> = BTreeMap::new();
    for spans in traces {
        let by_id: HashMap<_, _> = spans.iter().map(|span| (span.span_id, span)).collect();
        for span in spans.iter().filter(|span| span.kind == SERVER) {
            let Some(parent) = span.parent.and_then(|id| by_id.get(&id)) else { continue };
            if parent.service == span.service || parent.kind == PRODUCER {
                continue;
            }
            let key = (parent.service.clone(), span.service.clone());
            let sums = found.entry(key).or_default();
            sums.0 += 1;
            sums.1 += u64::from(parent.status == ERROR || span.status == ERROR);
        }
    }
    found
}

fn services(map: &Map) -> BTreeSet<String> {
    let services = map.nodes.iter().filter(|node| node.kind == NodeKind::Service);
    services.map(|node| node.id.clone()).collect()
}

/// Stores are called as often by what callers say as by call chains.
async fn stores_are_called_as_their_callers_say(data: &Seeded, map: &Map) {
    for service in services(map) {
        let dependencies = data.queries.dependencies(&service, data.range).await.unwrap();
        let stores = dependencies.into_iter().filter(|row| row.kind == "database");
        let by_caller: BTreeMap<_, _> = stores.map(|row| (row.peer, row.stats.calls)).collect();
        let edges = map.edges.iter().filter(|e| e.caller == service && e.kind == "database");
        let by_map = edges.map(|edge| (edge.callee.clone(), edge.red.calls)).collect();
        assert_eq!(by_caller, by_map, "{service}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_those_of_the_traces() {
    let data = seeded(Placed::Mixed).await;
    let map = data.queries.map(data.range).await.unwrap();
    let ids = data.oracle.trace_ids();
    let traces: Vec<Vec<OracleSpan>> = ids.iter().map(|id| data.oracle.trace(id)).collect();
    assert!((map.sampled - 1.0).abs() < 1e-9);
    let known = services(&map);
    let all: BTreeSet<String> = traces.iter().flatten().map(|span| span.service.clone()).collect();
    assert_eq!(known, all);
    let between: BTreeMap<(String, String), (u64, u64)> = map
        .edges
        .iter()
        .filter(|edge| known.contains(&edge.caller) && known.contains(&edge.callee))
        .map(|e| ((e.caller.clone(), e.callee.clone()), (e.red.calls, e.red.errors)))
        .collect();
    let want = expected(&traces);
    assert_eq!(between.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>());
    // What is called by its name and did not answer is that service, too.
    let more = between.iter().map(|(key, (calls, errors))| {
        let (known, failed) = want[key];
        assert!(*calls >= known && *errors >= failed, "{key:?}");
        assert!(*calls > known || *errors == failed, "{key:?}");
        calls - known
    });
    let outside = map.edges.iter().filter(|edge| !known.contains(&edge.callee));
    let outside: u64 = outside.map(|edge| edge.red.calls).sum();
    assert_eq!(more.sum::<u64>() + outside, alone(&traces));
    stores_are_called_as_their_callers_say(&data, &map).await;
    // What consumes messages is called by the queue that a service sends to.
    let [below, linked] =
        traces.iter().map(|spans| consumed(spans)).fold([0, 0], |[a, b], [c, d]| [a + c, b + d]);
    let queues: BTreeSet<&String> = map
        .nodes
        .iter()
        .filter(|node| node.kind == NodeKind::Messaging)
        .map(|node| &node.id)
        .collect();
    let from_queues = map.edges.iter().filter(|edge| queues.contains(&edge.caller));
    assert!(below > 0 && linked > 0);
    assert_eq!(from_queues.map(|edge| edge.red.calls).sum::<u64>(), below + linked);
    let databases = map.nodes.iter().filter(|node| node.kind == NodeKind::Database);
    assert!(databases.count() >= 2, "{:?}", map.nodes);
    for edge in &map.edges {
        assert!(edge.red.p50 <= edge.red.p95 && edge.red.p95 <= edge.red.p99, "{edge:?}");
        assert!(map.nodes.iter().any(|node| node.id == edge.callee), "{edge:?}");
        assert!(map.nodes.iter().any(|node| node.id == edge.caller), "{edge:?}");
    }
    for chain in &map.critical_chains {
        assert_eq!(chain.nodes.first(), Some(&chain.service));
        assert!(map.nodes.iter().any(|node| node.id == chain.service && node.is_entry));
        assert!((0.0..=1.0).contains(&chain.share), "{chain:?}");
    }
    assert!(!map.critical_chains.is_empty() && map.cycles.is_empty(), "{:?}", map.cycles);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dependency_is_strong_if_its_caller_fails_with_it() {
    let (engine, queries, _dir) = empty(QueryConfig::default()).await;
    let range = TimeRange::new(FROM, FROM + 240 * SECOND).unwrap();
    let shop = Box::new(Shop::with_config(ShopConfig {
        seed: 3,
        traces_per_second: 12.0,
        start_ns: FROM - 3600 * SECOND,
        incidents: vec![Planned::new(Incident::DependencyErrors, range)],
        ..ShopConfig::default()
    }));
    for slice in shop.slices(range, 60) {
        send(&engine, slice).await;
    }
    let map = queries.map(range).await.unwrap();
    let edge = map.edges.iter().find(|edge| edge.callee.contains("api.payments.example")).unwrap();
    assert!(edge.red.errors > 20, "{edge:?}");
    let of = edge.dependency;
    let asked = of.both_failed + of.callee_failed + of.caller_failed + of.none_failed;
    assert!(asked <= edge.red.calls && of.both_failed + of.callee_failed > 0, "{edge:?}");
    let given = of.both_failed as f64 / (of.both_failed + of.callee_failed) as f64;
    assert!(of.given_failure[0] <= given && given <= of.given_failure[1], "{edge:?}");
    let strength = match given {
        share if share > 0.7 => "strong",
        share if share < 0.3 => "weak",
        _ => edge.strength,
    };
    assert_eq!(edge.strength, strength, "{edge:?}");
    assert_ne!(edge.strength, "unknown", "{edge:?}");
    // Nothing fails where nothing was planted.
    let fine = map.edges.iter().filter(|edge| edge.red.errors == 0);
    assert!(fine.clone().count() > 5 && fine.into_iter().all(|edge| edge.strength == "unknown"));
}

/// A span of the test's time.
fn span(trace: u8, id: u8, kind: i32, attributes: &[(&str, &str)]) -> Span {
    Span {
        trace_id: vec![trace; 16],
        span_id: vec![id; 8],
        name: "orders".to_owned(),
        kind,
        start_time_unix_nano: (FROM + i64::from(id) * SECOND) as u64,
        end_time_unix_nano: (FROM + i64::from(id) * SECOND + 1_000_000) as u64,
        attributes: attributes.iter().map(|(key, value)| text(key, value)).collect(),
        ..Span::default()
    }
}

/// Whoever consumes in batches is no child of who sent, links to it, and may not say where the broker is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn linked_consumers_hang_on_their_queue() {
    let (engine, queries, _dir) = empty(QueryConfig::default()).await;
    let topic = [("messaging.system", "kafka"), ("messaging.destination.name", "orders")];
    let sent = [topic[0], topic[1], ("server.address", "broker-1")];
    let named = |name| resource(&[("service.name", name)]);
    let cart = vec![span(1, 1, SERVER, &[]), span(1, 2, PRODUCER, &sent)];
    traces(&engine, named("cart"), cart).await;
    let links = vec![Link { trace_id: vec![1; 16], span_id: vec![2; 8], ..Link::default() }];
    let batch = Span { links, ..span(2, 3, CONSUMER, &topic) };
    let handled = Span { parent_span_id: vec![3; 8], ..span(2, 4, CONSUMER, &topic) };
    traces(&engine, named("mailer"), vec![batch, handled]).await;
    let alone = [topic[0], ("messaging.destination.name", "returns")];
    traces(&engine, named("stock"), vec![span(3, 5, CONSUMER, &alone)]).await;
    let map = queries.map(TimeRange::new(FROM, FROM + 60 * SECOND).unwrap()).await.unwrap();
    let edges: BTreeSet<_> =
        map.edges.iter().map(|e| (&*e.caller, &*e.callee, &*e.kind, e.red.calls)).collect();
    let orders = "kafka orders broker-1";
    let want = [
        ("cart", orders, "messaging", 1),
        (orders, "mailer", "messaging", 1),
        ("kafka returns", "stock", "messaging", 1),
    ];
    assert_eq!(edges, want.into());
    let queues: Vec<_> = map.nodes.iter().filter(|n| n.kind == NodeKind::Messaging).collect();
    assert_eq!(queues.len(), 2, "{queues:?}");
}
