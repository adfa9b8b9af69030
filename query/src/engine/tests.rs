//! What a scan skips never holds a row that was asked for.

mod longest;
mod narrow;

use std::sync::Arc;

use headrope_model::DataSet;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::Value;

use super::Session;
use crate::engine::Params;
use crate::sql::SqlRequest;
use crate::tests::{Placed, Seeded, seeded};

async fn row(data: &Seeded, query: &str) -> (Value, u64, u64) {
    let request = SqlRequest { query: query.to_owned(), ..SqlRequest::default() };
    let answer = data.queries.sql(&request).await.unwrap_or_else(|e| panic!("{query}\n{e}"));
    let json: Value = serde_json::from_str(&answer.json()).unwrap();
    (json["rows"].clone(), answer.stats.segments_scanned, answer.stats.segments_pruned)
}

/// Values that occur in the data and values that do not.
struct Known {
    services: Vec<String>,
    traces: Vec<String>,
    terms: Vec<String>,
    from: i64,
}

fn known(data: &Seeded) -> Known {
    let services = data.oracle.services(headrope_testdata::oracle::Kinds::All).into_keys();
    let mut terms: Vec<String> = data.oracle.terms().unwrap().keys().cloned().collect();
    terms.sort();
    Known {
        services: services.chain(["nobody".to_owned()]).collect(),
        traces: data
            .oracle
            .sample_traces(40, 1)
            .iter()
            .map(ToString::to_string)
            .chain(["ffffffffffffffffffffffffffffffff".to_owned(), "zz".to_owned()])
            .collect(),
        terms: terms.into_iter().step_by(17).collect(),
        from: data.range.from(),
    }
}

fn time(known: &Known, column: &'static str) -> BoxedStrategy<String> {
    let from = known.from;
    let op = prop::sample::select(vec!["<", "<=", ">", ">=", "="]);
    (op, 0i64..120)
        .prop_map(move |(op, s)| {
            let at = crate::answer::Time(from + s * 1_000_000_000).rfc3339();
            format!("{column} {op} TIMESTAMP '{at}'")
        })
        .boxed()
}

fn predicate(known: &Known, data_set: DataSet) -> BoxedStrategy<String> {
    let pick = |values: &[String]| prop::sample::select(values.to_vec());
    let time_column = headrope_model::schema::time_column(data_set);
    let service = prop_oneof![
        pick(&known.services).prop_map(|s| format!("service_name = '{s}'")),
        pick(&known.services).prop_map(|s| format!("service_name <> '{s}'")),
        prop::collection::vec(pick(&known.services), 1..4)
            .prop_map(|s| format!("service_name IN ('{}')", s.join("','"))),
        pick(&known.services).prop_map(|s| format!("service_name NOT IN ('{s}')")),
        pick(&known.services).prop_map(|s| format!("service_name LIKE '{}%'", &s[..2])),
    ];
    let id = prop_oneof![
        pick(&known.traces).prop_map(|t| format!("trace_id = '{t}'")),
        prop::collection::vec(pick(&known.traces), 1..30)
            .prop_map(|t| format!("trace_id IN ('{}')", t.join("','"))),
        pick(&known.traces).prop_map(|t| format!("trace_id <> '{t}'")),
        pick(&known.traces).prop_map(|t| format!("trace_id > '{t}'")),
        Just("span_id IS NOT NULL".to_owned()),
    ];
    let own = match data_set {
        DataSet::Logs => prop_oneof![
            pick(&known.terms)
                .prop_map(|t| format!("text_match(body, '\"{}\"')", t.replace('\'', ""))),
            pick(&known.terms)
                .prop_map(|t| format!("NOT text_match(body, '{}*')", t.replace('\'', ""))),
            (1i64..24).prop_map(|n| format!("severity_number >= {n}")),
        ]
        .boxed(),
        _ => prop_oneof![
            (0i64..50).prop_map(|ms| format!("duration_ns > {}", ms * 1_000_000)),
            Just("status_code = 'ERROR'".to_owned()),
            Just("parent_span_id IS NULL".to_owned()),
            Just("http_response_status_code >= 500".to_owned()),
            Just("attr(attributes, 'http.request.method') = 'GET'".to_owned()),
            Just("attr(attributes, 'http.request.method') = 'BREW'".to_owned()),
            Just("attr(attributes, 'http.request.method') IS NULL".to_owned()),
            Just("db_system_name LIKE 'post%'".to_owned()),
            Just("coalesce(db_system_name, 'none') = 'none'".to_owned()),
        ]
        .boxed(),
    };
    let leaf = prop_oneof![time(known, time_column), service, id, own];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} AND {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} OR {b})")),
            inner.prop_map(|a| format!("(NOT {a})")),
        ]
    })
    .boxed()
}

async fn same_as_full_scan(data: &Seeded, data_set: DataSet, cases: usize) {
    let known = known(data);
    let strategy = predicate(&known, data_set);
    let mut runner = TestRunner::deterministic();
    let time = headrope_model::schema::time_column(data_set);
    let mut pruned = 0;
    for case in 0..cases {
        let predicate = strategy.new_tree(&mut runner).unwrap().current();
        // A wide and a narrow projection are read in different ways.
        let what = match case % 2 {
            0 => format!("count(*), min({time}), max(span_id)"),
            _ => format!("count(*), max({time}), max(attributes_json(attributes))"),
        };
        let skipping = format!("SELECT {what} FROM {data_set} WHERE {predicate}");
        // A volatile comparison cannot be moved into the scan, nor split.
        let full = format!("SELECT {what} FROM {data_set} WHERE ({predicate}) = (random() >= 0.0)");
        let (got, scanned, skipped) = row(data, &skipping).await;
        let (want, ..) = row(data, &full).await;
        assert_eq!(got, want, "{predicate}");
        let segments = data.engine.snapshot().await.unwrap().segments(data_set).len() as u64;
        // A condition that can never hold is answered without a scan.
        assert!([0, segments].contains(&(scanned + skipped)), "{predicate}");
        pruned += skipped;
    }
    assert!(pruned > 0, "no segment was ever skipped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn skipping_never_loses_a_span() {
    let data = seeded(Placed::Mixed).await;
    same_as_full_scan(&data, DataSet::Spans, 150).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn skipping_never_loses_a_log_record() {
    let data = seeded(Placed::Mixed).await;
    same_as_full_scan(&data, DataSet::Logs, 150).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_are_text_in_any_letter_case() {
    let data = seeded(Placed::Mixed).await;
    let id = data.oracle.sample_traces(1, 5)[0];
    let spans = data.oracle.trace(&id).len() as u64;
    let upper = id.to_string().to_uppercase();
    for (condition, want) in [
        (format!("trace_id = '{id}'"), spans),
        (format!("'{id}' = trace_id"), spans),
        (format!("trace_id = '{upper}'"), spans),
        (format!("trace_id IN ('{upper}', 'nonsense')"), spans),
        ("trace_id = 'nonsense'".to_owned(), 0),
        (format!("trace_id = '{id}' AND trace_id = 'ff'"), 0),
        (format!("trace_id = '{id}0'"), 0),
        (format!("trace_id LIKE '{id}'"), spans),
        (format!("trace_id = '{id}' OR false"), spans),
    ] {
        let (rows, ..) = row(&data, &format!("SELECT count(*) FROM spans WHERE {condition}")).await;
        assert_eq!(rows[0][0], want, "{condition}");
        let all = format!("SELECT DISTINCT trace_id FROM spans WHERE {condition}");
        let (rows, ..) = row(&data, &all).await;
        assert_eq!(rows.as_array().unwrap().len() as u64, u64::from(want > 0));
        let limited = format!("SELECT span_id FROM spans WHERE {condition} LIMIT 2");
        let (rows, ..) = row(&data, &limited).await;
        assert_eq!(rows.as_array().unwrap().len() as u64, want.min(2), "{condition}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_question_sees_one_snapshot() {
    let data = seeded(Placed::Mixed).await;
    let session =
        Session::open(&data.queries.machine(), data.engine.snapshot().await.unwrap()).unwrap();
    let count = "SELECT count(*) AS n, count(DISTINCT span_id) AS d, max(duration_ns) FROM spans";
    let before = session.rows(count, Params::new()).await.unwrap();
    let frame = session.plan("SELECT * FROM spans", Params::new()).await.unwrap();
    // Segments are written, merged and dropped while the session goes on reading its own.
    data.engine.flush().await.unwrap();
    data.engine.compact().await.unwrap();
    let streamed: usize = frame.collect().await.unwrap().iter().map(|b| b.num_rows()).sum();
    assert_eq!(streamed as u64, data.oracle.span_count());
    assert_eq!(session.rows(count, Params::new()).await.unwrap(), before);
    let later =
        Session::open(&data.queries.machine(), data.engine.snapshot().await.unwrap()).unwrap();
    assert_eq!(later.rows(count, Params::new()).await.unwrap(), before);
    assert!(session.snapshot().version() < later.snapshot().version());
    drop(Arc::new(session));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_come_from_what_is_known() {
    let data = seeded(Placed::Mixed).await;
    let (rows, ..) = row(&data, "SELECT count(*) FROM spans").await;
    assert_eq!(rows[0][0], data.oracle.span_count());
    let (plan, ..) = row(&data, "EXPLAIN SELECT count(*) FROM spans").await;
    let plan = plan.to_string();
    assert!(plan.contains("PlaceholderRowExec") && !plan.contains("DataSourceExec"), "{plan}");
}
