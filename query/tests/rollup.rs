//! Aggregations over spans give the same from roll-ups as from the spans.
//!
//! Random spans are stored in random states (live, flushed, merged, not rolled up), and random
//! statements are answered with roll-ups, without, and some by counting the spans that were sent.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step fails the test")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use headrope_model::TimeRange;
use headrope_query::answer::latency::LatencyQuery;
use headrope_query::answer::service::{RankScope, TopQuery};
use headrope_query::answer::{RankBy, SpanScope};
use headrope_query::{Queries, QueryConfig, SqlRequest};
use headrope_storage::{Durability, Engine, Export, StorageConfig, Submission};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use prost::Message as _;

/// 2025-01-06T00:00:00Z.
const DAY: i64 = 1_736_121_600_000_000_000;
const MINUTE: i64 = 60_000_000_000;

/// A span as far as roll-ups see it.
#[derive(Debug, Clone)]
struct One {
    service: u8,
    instance: Option<u8>,
    name: u32,
    database: Option<u8>,
    peer: Option<u8>,
    kind: i32,
    status: i32,
    root: bool,
    start: i64,
    duration: i64,
}

fn instant() -> impl Strategy<Value = i64> {
    let minute = (0i64..4, prop::sample::select(vec![0i64, 1, 12, 23]), 0i64..4);
    let within = prop_oneof![3 => 0..MINUTE, 1 => Just(0), 1 => Just(MINUTE - 1)];
    (minute, within).prop_map(|((day, hour, minute), ns)| {
        DAY + ((day * 24 + hour) * 60 + minute * 19) * MINUTE + ns
    })
}

fn one() -> impl Strategy<Value = One> {
    let duration = prop_oneof![Just(0), 0i64..100, 0i64..10_000_000_000];
    (
        0u8..3,
        prop::option::of(0u8..3),
        0u32..4,
        prop::option::of(0u8..4),
        prop::option::of(0u8..4),
        0i32..6,
        0i32..3,
        any::<bool>(),
        instant(),
        duration,
    )
        .prop_map(
            |(service, instance, name, database, peer, kind, status, root, start, duration)| One {
                service,
                instance,
                name,
                database,
                peer,
                kind,
                status,
                root,
                start,
                duration,
            },
        )
}

fn text(key: &str, value: String) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value)) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

fn statement_of(database: u8) -> [KeyValue; 2] {
    let system = if database == 0 { "redis" } else { "postgresql" };
    [text("db.system.name", system.to_owned()), text("db.query.text", format!("SELECT {database}"))]
}

/// A service at one of two ports of an address, one with a name, a queue.
fn peer_of(peer: u8) -> Vec<KeyValue> {
    let port = |port| Some(AnyValue { value: Some(Value::IntValue(port)) });
    let port =
        |n| KeyValue { key: "server.port".to_owned(), value: port(n), ..KeyValue::default() };
    let address = text("server.address", "10.0.0.1".to_owned());
    match peer {
        0 => vec![address, port(80)],
        1 => vec![address, port(8080), text("http.request.method", "GET".to_owned())],
        2 => vec![address, text("service.peer.name", "s1".to_owned())],
        _ => vec![
            text("messaging.system", "kafka".to_owned()),
            text("messaging.destination.name", "orders".to_owned()),
        ],
    }
}

fn request(spans: &[One]) -> ExportTraceServiceRequest {
    let of = |s: &One| {
        let mut attributes = vec![text("service.name", format!("s{}", s.service))];
        if let Some(i) = s.instance {
            attributes.push(text("service.instance.id", format!("i{i}")));
            attributes.push(text("service.version", format!("v{}", i % 2)));
        }
        let span = Span {
            trace_id: s.start.to_be_bytes().repeat(2),
            span_id: vec![2; 8],
            parent_span_id: if s.root { Vec::new() } else { vec![3; 8] },
            name: format!("op{}", s.name),
            kind: s.kind,
            attributes: (s.database.into_iter().flat_map(statement_of))
                .chain(s.peer.into_iter().flat_map(peer_of))
                .collect(),
            start_time_unix_nano: s.start.unsigned_abs(),
            end_time_unix_nano: (s.start + s.duration).unsigned_abs(),
            status: Some(Status { code: s.status, ..Status::default() }),
            ..Span::default()
        };
        ResourceSpans {
            resource: Some(Resource { attributes, ..Resource::default() }),
            scope_spans: vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }
    };
    ExportTraceServiceRequest { resource_spans: spans.iter().map(of).collect() }
}

/// What happens after spans were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Nothing,
    Flush,
    Merge,
}

struct World {
    engine: Arc<Engine>,
    with: Queries,
    without: Queries,
    spans: Vec<One>,
    dir: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        Self::open(tempfile::TempDir::new().unwrap(), None).await
    }

    /// Over a directory; spans are dropped when they are older.
    async fn open(dir: tempfile::TempDir, retain_traces: Option<Duration>) -> Self {
        let forever = Duration::from_secs(86_400);
        let config = StorageConfig {
            flush_age: forever,
            maintenance_interval: forever,
            retain_traces,
            retain_rollups: None,
            compact_fan_in: 2,
            durability: Durability::PageCache,
            min_free_bytes: 0,
            ..StorageConfig::new(dir.path().join("data"))
        };
        let engine = Engine::open(config).await.unwrap();
        let queries = |use_rollups| {
            let config = QueryConfig { use_rollups, ..QueryConfig::default() };
            Queries::with_config(Arc::clone(&engine), config)
        };
        let (with, without) = (queries(true), queries(false));
        Self { engine, with, without, spans: Vec::new(), dir }
    }

    async fn send(&mut self, spans: &[One], then: Then) {
        let request = request(spans);
        let payload = request.encode_to_vec();
        let permit = self.engine.admit(payload.len()).unwrap();
        let export = Export::Traces(request);
        let submission = Submission::Decoded { export, payload: payload.into() };
        self.engine.append(permit, submission).await.unwrap();
        self.spans.extend_from_slice(spans);
        if then != Then::Nothing {
            self.engine.flush().await.unwrap();
        }
        if then == Then::Merge {
            self.engine.compact().await.unwrap();
        }
    }

    /// The rows of a statement in an order of their own, and the roll-ups that were read.
    async fn rows(&self, queries: &Queries, query: &str) -> (Vec<String>, Option<String>) {
        let request = SqlRequest { query: query.to_owned(), ..SqlRequest::default() };
        let answer = queries.sql(&request).await.unwrap_or_else(|e| panic!("{query}\n{e}"));
        let rollup = answer.stats.rollup.clone();
        let json: serde_json::Value = serde_json::from_str(&answer.json()).unwrap();
        let mut rows: Vec<String> =
            json["rows"].as_array().unwrap().iter().map(ToString::to_string).collect();
        // Names and types are part of the answer.
        rows.push(json["columns"].to_string());
        rows.sort();
        (rows, rollup)
    }

    async fn same(&self, query: &str) -> Option<String> {
        let (want, none) = self.rows(&self.without, query).await;
        assert_eq!(none, None);
        let (got, rollup) = self.rows(&self.with, query).await;
        assert_eq!(got, want, "{query}");
        rollup
    }
}

async fn random_world(runner: &mut TestRunner) -> World {
    let spans = prop::collection::vec(one(), 1..40);
    let then =
        prop_oneof![1 => Just(Then::Nothing), 3 => Just(Then::Flush), 1 => Just(Then::Merge)];
    let steps = prop::collection::vec((spans, then), 2..9).new_tree(runner).unwrap().current();
    let mut world = World::new().await;
    for (spans, then) in steps {
        world.send(&spans, then).await;
    }
    world
}

fn timestamp(ns: i64) -> String {
    format!("to_timestamp_nanos({ns})")
}

/// An end of a range: on a step, beside one, anywhere, beyond everything.
fn end() -> impl Strategy<Value = i64> {
    let aligned = (0i64..5, 0i64..24, prop::sample::select(vec![0i64, 0, 1, 19, 38]), -1i64..2)
        .prop_map(|(day, hour, minute, ns)| DAY + ((day * 24 + hour) * 60 + minute) * MINUTE + ns);
    prop_oneof![4 => aligned, 4 => instant(), 1 => Just(0), 1 => Just(i64::MAX)]
}

fn range() -> impl Strategy<Value = String> {
    let from = prop_oneof![
        3 => end().prop_map(|t| format!("start_time >= {}", timestamp(t))),
        1 => end().prop_map(|t| format!("start_time > {}", timestamp(t))),
        2 => Just("true".to_owned()),
    ];
    let to = prop_oneof![
        3 => end().prop_map(|t| format!("start_time < {}", timestamp(t))),
        1 => end().prop_map(|t| format!("{} >= start_time", timestamp(t))),
        2 => Just("true".to_owned()),
    ];
    prop_oneof![
        8 => (from, to).prop_map(|(from, to)| format!("{from} AND {to}")),
        1 => (end(), end()).prop_map(|(a, b)| {
            format!("start_time BETWEEN {} AND {}", timestamp(a.min(b)), timestamp(a.max(b)))
        }),
    ]
}

fn condition() -> impl Strategy<Value = String> {
    let own = |list: &[&str]| {
        prop::sample::select(list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>())
    };
    own(&[
        "true",
        "service_name = 's1'",
        "service_name IN ('s0', 's2')",
        "name <> 'op1'",
        "name LIKE 'op%' AND status_code = 'ERROR'",
        "(kind IN ('SERVER', 'CONSUMER') OR parent_span_id IS NULL)",
        "parent_span_id IS NOT NULL",
        "NOT (parent_span_id IS NULL AND kind = 'CLIENT')",
        "service_instance_id = 'i1'",
        "service_version IS NULL",
        "coalesce(service_instance_id, 'none') <> 'i0'",
        "upper(service_name) = 'S0'",
        "db_system_name IS NOT NULL",
        "db_system_name = 'postgresql'",
        "db_system_name <> 'redis'",
        "kind IN ('CLIENT', 'PRODUCER')",
        "(kind = 'CLIENT' OR 'CONSUMER' = kind) AND server_port IS NOT NULL",
        "server_port > 80 AND kind = 'CLIENT'",
        "kind IN ('CLIENT', 'SERVER')",
        "kind <> 'SERVER'",
    ])
}

const GROUPS: &[&str] = &[
    "service_name",
    "name",
    "kind",
    "status_code",
    "parent_span_id IS NULL",
    "service_instance_id",
    "service_version",
    "concat(service_name, '/', kind)",
    "time_bucket(INTERVAL '1 minute', start_time)",
    "time_bucket(INTERVAL '5 minutes', start_time)",
    "time_bucket(3600000000000, start_time)",
    "time_bucket(INTERVAL '2 days', start_time)",
    "date_trunc('hour', start_time)",
    "coalesce(db_query_summary, db_query_text)",
    "date_trunc('week', start_time)",
    "server_port",
    "coalesce(service_peer_name, server_address, messaging_destination_name, name)",
    "CASE WHEN status_code = 'ERROR' THEN 'bad' ELSE 'good' END",
    "'all'",
];

const AGGREGATES: &[&str] = &[
    "count(*)",
    "count(1) FILTER (WHERE kind = 'SERVER')",
    "sum(duration_ns)",
    "sum(duration_ns) FILTER (WHERE status_code = 'ERROR' AND parent_span_id IS NULL)",
    "min(duration_ns)",
    "max(duration_ns)",
    "avg(duration_ns)",
    "latency_sketch(duration_ns)",
    "latency_sketch(duration_ns) FILTER (WHERE status_code = 'ERROR')",
    "p(latency_sketch(duration_ns), 0.99)",
    "min(start_time)",
    "max(start_time)",
    "sum(CASE WHEN status_code = 'ERROR' THEN 1 ELSE 0 END)",
    "sum(CASE WHEN kind = 'SERVER' THEN 3 WHEN parent_span_id IS NULL THEN -1 END)",
    "count(DISTINCT name)",
    "min(service_name)",
    "max(date_trunc('day', start_time))",
    "max(duration_ns) - min(duration_ns)",
];

fn statement() -> impl Strategy<Value = String> {
    let groups = prop::sample::subsequence(GROUPS, 0..4);
    let aggregates = prop::sample::subsequence(AGGREGATES, 1..6);
    let conditions = prop::collection::vec(condition(), 0..3);
    (groups, aggregates, range(), conditions, 0u8..4).prop_map(
        |(groups, aggregates, range, conditions, form)| {
            let all: Vec<&str> = groups.iter().chain(&aggregates).copied().collect();
            let by = match groups.is_empty() {
                true => String::new(),
                false => format!("GROUP BY {}", groups.join(", ")),
            };
            let only = std::iter::once(range).chain(conditions).collect::<Vec<_>>().join(" AND ");
            let what = all.join(", ");
            match form {
                0 => format!("SELECT {what} FROM spans s WHERE {only} {by}"),
                1 => format!("SELECT {what} FROM (SELECT * FROM spans WHERE {only}) x {by}"),
                2 => format!(
                    "WITH some AS (SELECT *, kind AS k FROM spans) SELECT {what} FROM some AS y WHERE {only} {by}"
                ),
                _ => format!("SELECT {what} FROM spans WHERE {only} {by} HAVING count(*) > 1"),
            }
        },
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_the_same() {
    let mut runner = TestRunner::deterministic();
    let statement = statement();
    let (mut used, mut asked) = (0, 0);
    for _ in 0..8 {
        let world = random_world(&mut runner).await;
        for _ in 0..50 {
            let query = statement.new_tree(&mut runner).unwrap().current();
            used += usize::from(world.same(&query).await.is_some());
            asked += 1;
        }
    }
    assert!(used * 3 > asked, "{used} of {asked} statements read a roll-up");
}

/// The pairs of name and kind of a service's calls in a range: count, total, errors, greatest.
type Counted = BTreeMap<(String, bool), (i64, i64, i64, i64)>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_what_was_sent() {
    let mut runner = TestRunner::deterministic();
    let mut used = 0;
    for _ in 0..6 {
        let world = random_world(&mut runner).await;
        for _ in 0..15 {
            let (a, b) = (end(), end()).new_tree(&mut runner).unwrap().current();
            let (from, to) = (a.min(b), a.max(b));
            let query = format!(
                "SELECT name, parent_span_id IS NULL AS root, count(*), sum(duration_ns), \
                 sum(CASE WHEN status_code = 'ERROR' THEN 1 ELSE 0 END), max(duration_ns) FROM spans \
                 WHERE start_time >= {} AND start_time < {} AND service_name = 's1' GROUP BY 1, 2",
                timestamp(from),
                timestamp(to)
            );
            let mut want = Counted::new();
            for s in world.spans.iter().filter(|s| s.service == 1 && (from..to).contains(&s.start))
            {
                let sums = want.entry((format!("op{}", s.name), s.root)).or_default();
                sums.0 += 1;
                sums.1 += s.duration;
                sums.2 += i64::from(s.status == 2);
                sums.3 = sums.3.max(s.duration);
            }
            let mut want: Vec<String> = want
                .into_iter()
                .map(|((name, root), (n, total, errors, most))| {
                    format!("[\"{name}\",{root},{n},{total},{errors},{most}]")
                })
                .collect();
            want.sort();
            let (mut got, rollup) = world.rows(&world.with, &query).await;
            got.retain(|row| row.starts_with("[\""));
            assert_eq!(got, want, "{query}");
            used += usize::from(rollup.is_some());
        }
    }
    assert!(used > 20, "{used} statements read a roll-up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn typed_answers_are_the_same() {
    let mut runner = TestRunner::deterministic();
    for _ in 0..4 {
        let world = random_world(&mut runner).await;
        for _ in 0..6 {
            let (a, b) = (end(), end()).new_tree(&mut runner).unwrap().current();
            let range = TimeRange::new(a.min(b), a.max(b)).unwrap();
            for range in [range, TimeRange::ALL] {
                let (with, without) = (&world.with, &world.without);
                let services = with.services(range).await.unwrap();
                assert_eq!(services, without.services(range).await.unwrap());
                let operations = with.operations("s1", range).await.unwrap();
                assert_eq!(operations, without.operations("s1", range).await.unwrap());
                let dependencies = with.dependencies("s1", range).await.unwrap();
                assert_eq!(dependencies, without.dependencies("s1", range).await.unwrap());
                let overview = with.overview(range).await.unwrap();
                assert_eq!(overview, without.overview(range).await.unwrap());
                for (scope, by, spans) in [
                    (RankScope::Operation, RankBy::P99, SpanScope::All),
                    (RankScope::Service, RankBy::TotalTime, SpanScope::Entry),
                ] {
                    let reference = None;
                    let query =
                        TopQuery { scope, by, reference, spans, range, service: None, limit: 5 };
                    assert_eq!(with.top(&query).await.unwrap(), without.top(&query).await.unwrap());
                }
                let query = LatencyQuery {
                    service: "s1".to_owned(),
                    operation: None,
                    spans: SpanScope::All,
                    range,
                };
                let latency = with.latency(&query).await.unwrap();
                assert_eq!(latency, without.latency(&query).await.unwrap());
            }
        }
    }
}

fn simple(name: u32, minute: i64) -> One {
    let start = DAY + minute * MINUTE;
    One {
        service: 0,
        instance: Some(0),
        name,
        database: None,
        peer: None,
        kind: 2,
        status: 0,
        root: true,
        start,
        duration: 7,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_without_bound_are_read_from_the_spans() {
    let mut world = World::new().await;
    let many: Vec<One> = (0..=65_536).map(|name| simple(name, i64::from(name) % 3)).collect();
    world.send(&[simple(1, 0), simple(2, 1)], Then::Flush).await;
    world.send(&many, Then::Flush).await;
    world.send(&[simple(3, 1), simple(2, 2)], Then::Flush).await;
    world.send(&[simple(5, 1)], Then::Nothing).await;
    for merged in [false, true] {
        if merged {
            world.engine.compact().await.unwrap();
        }
        let named = "SELECT count(*), sum(duration_ns), max(name) FROM spans WHERE name < 'op3'";
        assert_eq!(world.same(named).await.as_deref(), Some("operation"));
        let all = "SELECT service_version, count(*) FROM spans GROUP BY 1";
        assert_eq!(world.same(all).await.as_deref(), Some("service"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_sum_up_what_is_in_segments() {
    let mut world = World::new().await;
    world.send(&[simple(1, 0), simple(1, 0), simple(2, 61)], Then::Flush).await;
    world.send(&[simple(1, 0), simple(2, 1441)], Then::Flush).await;
    world.send(&[simple(1, 0)], Then::Nothing).await;
    for (view, rows) in [
        ("operation_minute", "[1,1,3]"),
        ("operation_hour", "[1,1,3]"),
        ("operation_day", "[1,4]"),
        ("service_minute", "[1,1,3]"),
        ("service_hour", "[1,1,3]"),
        ("service_day", "[1,4]"),
    ] {
        let query = format!("SELECT time, sum(calls) AS n FROM {view} GROUP BY time");
        let (got, _) =
            world.rows(&world.with, &format!("SELECT n FROM ({query}) ORDER BY n")).await;
        let got: Vec<&str> =
            got.iter().filter(|r| !r.contains('{')).map(|r| r.trim_matches(['[', ']'])).collect();
        assert_eq!(format!("[{}]", got.join(",")), rows, "{view}");
    }
    let columns = "SELECT service_name, name, kind, status_code, is_root, calls, total_ns, min_ns, \
                   max_ns, first_start, last_start, p(sketch, 0.5) AS p50 FROM operation_day";
    let (rows, _) = world.rows(&world.with, columns).await;
    assert_eq!(rows.len(), 1 + 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_more_of_a_span_is_left_alone() {
    let mut world = World::new().await;
    world.send(&[simple(1, 0), simple(2, 1)], Then::Flush).await;
    for query in [
        "SELECT count(*) FROM spans",
        "SELECT count(*) FROM spans WHERE duration_ns > 5",
        "SELECT trace_id, count(*) FROM spans GROUP BY 1",
        "SELECT sum(duration_ns + 1) FROM spans WHERE service_name = 's0'",
        "SELECT time_bucket(INTERVAL '90 seconds', start_time), count(*) FROM spans GROUP BY 1",
        "SELECT count(DISTINCT duration_ns) FROM spans WHERE service_name = 's0'",
        "SELECT name, count(parent_span_id) FROM spans GROUP BY 1",
        "SELECT name, service_version, count(*) FROM spans GROUP BY 1, 2",
        "SELECT name, count(*) FROM spans GROUP BY ROLLUP (name)",
        "SELECT db_system_name, count(*) FROM spans GROUP BY 1",
        "SELECT name, count(*) FROM (SELECT * FROM spans LIMIT 1) GROUP BY 1",
    ] {
        assert_eq!(world.same(query).await, None, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_retention_dropped_is_not_counted() {
    let age = Duration::from_secs(20 * 86_400);
    let mut world = World::open(tempfile::TempDir::new().unwrap(), Some(age)).await;
    let minutes = (headrope_model::time::now_ns() - DAY) / MINUTE;
    let now = |back: i64| simple(2, minutes - back);
    world.send(&[simple(1, 0), simple(1, 61)], Then::Flush).await;
    // Segments that stay hold spans of before and after the time up to which spans were dropped.
    world.send(&[simple(1, 0), simple(1, 61), simple(1, 62), now(5)], Then::Flush).await;
    world.send(&[simple(3, 30), simple(3, 3000), now(1), now(9000)], Then::Flush).await;
    let queries = [
        "SELECT name, count(*), sum(duration_ns) FROM spans GROUP BY 1",
        "SELECT service_version, date_trunc('day', start_time), count(*) FROM spans GROUP BY 1, 2",
        "SELECT name, count(*) FROM spans WHERE start_time < now() - INTERVAL '20 days' GROUP BY 1",
    ];
    for query in queries {
        assert!(world.same(query).await.is_some(), "{query}");
    }
    assert_eq!(world.engine.expire().await.unwrap(), 2, "spans and trace parts of one flush");
    for query in queries {
        assert!(world.same(query).await.is_some(), "{query}");
    }
    let kept = "SELECT sum(calls) AS n FROM operation_day";
    let (rows, _) = world.rows(&world.with, kept).await;
    assert!(rows.contains(&"[10]".to_owned()), "{rows:?}");
    // The time is remembered.
    world.engine.shutdown().await.unwrap();
    let World { engine, with, without, dir, .. } = world;
    drop((engine, with, without));
    let world = World::open(dir, None).await;
    for query in queries {
        assert!(world.same(query).await.is_some(), "{query}");
    }
    // Rows of a roll-up may go as well.
    world.engine.compact().await.unwrap();
    for query in queries {
        assert!(world.same(query).await.is_some(), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_are_summed_up() {
    let mut world = World::new().await;
    let call = |database, minute| One { database, ..simple(1, minute) };
    let spans = [call(None, 0), call(Some(1), 0), call(Some(2), 1), call(Some(1), 70)];
    world.send(&spans, Then::Flush).await;
    world.send(&[call(Some(1), 0), call(None, 3)], Then::Merge).await;
    world.send(&[call(None, 0)], Then::Flush).await;
    world.send(&[call(Some(0), 0)], Then::Nothing).await;
    for query in [
        "SELECT coalesce(db_query_summary, db_query_text) AS statement, count(*), sum(duration_ns) \
         FROM spans WHERE db_system_name IS NOT NULL GROUP BY 1",
        "SELECT db_query_text, max(duration_ns) FROM spans WHERE db_system_name = 'postgresql' GROUP BY 1",
    ] {
        assert_eq!(world.same(query).await.as_deref(), Some("statement"), "{query}");
    }
    let view = "SELECT db_query_text, sum(calls) AS n FROM statement_day GROUP BY 1";
    let (rows, _) = world.rows(&world.with, view).await;
    let rows: Vec<&String> = rows.iter().filter(|r| !r.contains('{')).collect();
    assert_eq!(rows, [r#"["SELECT 1",3]"#, r#"["SELECT 2",1]"#]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_summed_up_by_who_calls_what() {
    let mut world = World::new().await;
    let call = |peer, kind, minute| One { peer, kind, ..simple(1, minute) };
    let spans = [call(Some(0), 3, 0), call(Some(0), 2, 0), call(Some(1), 3, 1), call(None, 3, 70)];
    world.send(&spans, Then::Flush).await;
    world.send(&[call(Some(0), 3, 0), call(Some(3), 4, 3)], Then::Merge).await;
    world.send(&[call(Some(3), 5, 0)], Then::Flush).await;
    world.send(&[call(Some(0), 3, 0)], Then::Nothing).await;
    for query in [
        "SELECT server_address, server_port, count(*), sum(duration_ns) FROM spans WHERE kind = 'CLIENT' GROUP BY 1, 2",
        "SELECT messaging_destination_name, kind, max(duration_ns) FROM spans \
         WHERE kind IN ('PRODUCER', 'CONSUMER') AND messaging_system IS NOT NULL GROUP BY 1, 2",
    ] {
        assert_eq!(world.same(query).await.as_deref(), Some("edge"), "{query}");
    }
    for query in [
        "SELECT server_port, count(*) FROM spans GROUP BY 1",
        "SELECT server_port, count(*) FROM spans WHERE kind IN ('CLIENT', 'SERVER') GROUP BY 1",
    ] {
        assert_eq!(world.same(query).await, None, "{query}");
    }
    let view = "SELECT server_port, sum(calls) AS n FROM edge_day WHERE kind = 'CLIENT' GROUP BY 1";
    let (rows, _) = world.rows(&world.with, view).await;
    let rows: Vec<&String> = rows.iter().filter(|r| !r.contains('{')).collect();
    assert_eq!(rows, ["[80,2]", "[8080,1]", "[null,1]"]);
    world.send(&[call(Some(2), 3, 5)], Then::Nothing).await;
    let rows = world.with.dependencies("s0", TimeRange::ALL).await.unwrap();
    let peers: BTreeMap<_, _> =
        rows.iter().map(|row| ((&*row.kind, &*row.peer), row.stats.calls)).collect();
    let want = [
        (("http", "10.0.0.1:8080"), 1),
        (("messaging", "kafka orders"), 1),
        (("other", "10.0.0.1:80"), 3),
        (("other", "op1"), 1),
        (("other", "s1"), 1),
    ];
    assert_eq!(peers, want.into());
}

/// User and system CPU time of this process in seconds (`/proc/self/stat`, 100 ticks a second).
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

/// CPU time of rankings: `cargo test --release --workspace --test rollup -- --ignored --nocapture`, with
/// the number of spans in `HEADROPE_ROLLUP_SPANS` (a million).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures"]
async fn what_a_ranking_costs() {
    use headrope_testdata::workload::{Schedule, jaeger};
    const ROUNDS: usize = 30;
    let spans = std::env::var("HEADROPE_ROLLUP_SPANS").map_or(1_000_000, |n| n.parse().unwrap());
    let ten_days = 10 * 86_400_000_000_000_i64;
    let batch = 1000;
    let step_ns = ten_days / (spans / batch);
    let schedule = Schedule { seed: 1, from_ns: DAY, step_ns, records: batch.unsigned_abs() };
    let world = World::new().await;
    for number in 0..(spans / batch).unsigned_abs() {
        let request = jaeger::request(&schedule, number);
        let payload = request.encode_to_vec().into();
        let permit = world.engine.admit(1 << 20).unwrap();
        let signal = headrope_model::Signal::Traces;
        let submission = Submission::Plain { signal, records: batch.unsigned_abs(), payload };
        world.engine.append(permit, submission).await.unwrap();
        if number % 200 == 199 {
            world.engine.flush().await.unwrap();
        }
    }
    world.engine.flush().await.unwrap();
    world.engine.compact().await.unwrap();
    let snapshot = world.engine.snapshot().await.unwrap();
    for data_set in headrope_model::DataSet::ALL {
        let metas = snapshot.segments(data_set).iter().map(|s| s.meta());
        let (files, rows, bytes) =
            metas.fold((0, 0, 0), |(n, rows, bytes), m| (n + 1, rows + m.rows, bytes + m.bytes));
        println!(
            "{data_set}: {files} segments, {rows} rows, {:.2} B/span",
            bytes as f64 / spans as f64
        );
    }
    let minute = 3 * 86_400_000_000_000 + 7 * MINUTE + 5;
    for (what, range) in [
        ("everything", TimeRange::ALL),
        ("broken ends", TimeRange::new(DAY + minute, DAY + ten_days - minute).unwrap()),
        ("an hour", TimeRange::new(DAY + minute, DAY + minute + 60 * MINUTE).unwrap()),
    ] {
        for scope in [RankScope::Service, RankScope::Operation] {
            let query = TopQuery {
                reference: None,
                scope,
                by: RankBy::P99,
                spans: SpanScope::All,
                range,
                service: None,
                limit: 10,
            };
            for (how, queries) in [("roll-ups", &world.with), ("spans", &world.without)] {
                queries.top(&query).await.unwrap();
                let rounds = if how == "spans" { ROUNDS / 10 } else { ROUNDS };
                let (began, started) = (cpu(), std::time::Instant::now());
                for _ in 0..rounds {
                    queries.top(&query).await.unwrap();
                }
                let each = |seconds: f64| seconds * 1e3 / rounds as f64;
                println!(
                    "{what}, {scope:?}, {how}: {:.1} ms CPU, {:.1} ms wall clock",
                    each(cpu() - began),
                    each(started.elapsed().as_secs_f64())
                );
            }
        }
    }
}
