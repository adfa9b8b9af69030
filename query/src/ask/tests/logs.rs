//! Log search against SQL, which reads every row: random texts, many records of one time, alike ones,
//! in segments, merged and live, while more arrive.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use headrope_model::{Signal, TimeRange, TraceId};
use headrope_storage::{Engine, StorageConfig, Submission};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use prost::Message as _;

use crate::Queries;
use crate::answer::log::{LogQuery, LogRow};
use crate::sql::SqlRequest;

const FROM: u64 = 1_748_844_000_000_000_000;
const WORDS: [&str; 12] = [
    "connection",
    "refused",
    "Connected",
    "GET",
    "status",
    "500",
    "7",
    "42",
    "a1b2c3d4",
    "größe",
    "支付",
    "x_y",
];

fn text(value: String) -> Option<AnyValue> {
    Some(AnyValue { value: Some(Value::StringValue(value)) })
}

/// A record by number: few times, few services, some records alike.
fn record(number: u64) -> (u64, LogRecord) {
    let mix = |salt: u64| (number + salt).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
    let words: Vec<_> =
        (0..1 + mix(1) % 5).map(|at| WORDS[(mix(10 + at) % WORDS.len() as u64) as usize]).collect();
    let body = match number % 5 {
        0 => words.join(" "),
        1 => format!("{} {}", words.join("-"), number / 3),
        _ => format!("request {:x} {}", mix(5) % 5000, words.join(" ")),
    };
    let record = LogRecord {
        time_unix_nano: FROM + mix(2) % 40 * 1000,
        severity_number: (mix(3) % 25) as i32,
        body: (number % 50 != 7).then(|| text(body)).flatten(),
        trace_id: u128::from(mix(4) % 30 + 1).to_be_bytes().to_vec(),
        ..LogRecord::default()
    };
    (number % 3, record)
}

async fn append(engine: &Engine, numbers: std::ops::Range<u64>) {
    let mut groups: BTreeMap<u64, Vec<LogRecord>> = BTreeMap::new();
    for number in numbers.clone() {
        let (service, record) = record(number);
        groups.entry(service).or_default().push(record);
    }
    let resource_logs = groups.into_iter().map(|(service, log_records)| {
        let name = text(format!("svc-{service}"));
        let name = KeyValue { key: "service.name".to_owned(), value: name, ..KeyValue::default() };
        ResourceLogs {
            resource: Some(Resource { attributes: vec![name], ..Resource::default() }),
            scope_logs: vec![ScopeLogs { log_records, ..ScopeLogs::default() }],
            ..ResourceLogs::default()
        }
    });
    let request = ExportLogsServiceRequest { resource_logs: resource_logs.collect() };
    let payload: bytes::Bytes = request.encode_to_vec().into();
    let permit = engine.admit(payload.len()).unwrap();
    let records = numbers.end - numbers.start;
    let submission = Submission::Plain { signal: Signal::Logs, records, payload };
    engine.append(permit, submission).await.unwrap();
}

async fn stored(dir: &Path) -> Arc<Engine> {
    let mut config = StorageConfig::new(dir.to_owned());
    (config.retain_logs, config.min_free_bytes, config.compact_fan_in) = (None, 0, 2);
    let engine = Engine::open(config).await.unwrap();
    for (at, from) in (0..6).zip((0..).step_by(1500)) {
        append(&engine, from..from + 1500).await;
        engine.flush().await.unwrap();
        if at == 3 {
            engine.compact().await.unwrap();
        }
    }
    append(&engine, 9000..9700).await;
    engine
}

fn query() -> impl Strategy<Value = LogQuery> {
    let texts = prop::sample::select(vec![
        "connection",
        "conn*",
        "\"connection refused\"",
        "refused OR 支付",
        "-get",
        "500 -status",
        "7",
        "4*",
        "a1b2c3d4",
        "größe x_y",
        "request",
        "3a*",
        "absent",
        "(get OR 42) status",
    ]);
    (
        prop::option::weighted(0.8, texts),
        prop::option::weighted(0.2, 0..4_u64),
        prop::option::weighted(0.2, 1..25_i32),
        prop::option::weighted(0.1, 1..32_u128),
        (0_i64..45, 0_i64..45, any::<bool>()),
        prop::sample::select(vec![1_usize, 7, 60, 1000]),
    )
        .prop_map(|(text, service, min_severity, trace, (from, to, all), limit)| {
            let at = |step: i64| FROM as i64 + step * 1000;
            let range = TimeRange::new(at(from.min(to)), at(from.max(to)));
            LogQuery {
                range: if all { TimeRange::ALL } else { range.unwrap() },
                text: text.map(str::to_owned),
                service: service.map(|s| format!("svc-{s}")),
                min_severity,
                trace_id: trace.and_then(|id| TraceId::from_bytes(&id.to_be_bytes())),
                span_id: None,
                limit,
                cursor: None,
            }
        })
}

/// What tells records apart that are not alike.
type Shown = (i64, String, i64, String, String);

fn shown(row: &LogRow) -> Shown {
    let trace = row.trace_id.clone().unwrap_or_default();
    (row.time.0, row.service.clone(), row.severity_number.into(), trace, row.body.clone())
}

/// The records that match, by SQL, which looks at each.
async fn by_sql(queries: &Queries, query: &LogQuery) -> Vec<Shown> {
    let mut sql = "SELECT CAST(time AS BIGINT), service_name, coalesce(severity_number, 0), \
                   coalesce(trace_id, ''), coalesce(body, '') FROM logs WHERE (true) = (random() >= 0.0)"
        .to_owned();
    if query.range != TimeRange::ALL {
        let (from, to) = (query.range.from(), query.range.to());
        sql += &format!(" AND CAST(time AS BIGINT) >= {from} AND CAST(time AS BIGINT) < {to}");
    }
    if let Some(text) = &query.text {
        // A text that is no column is not looked up in an index.
        sql += &format!(" AND text_match(concat(body, ''), '{text}')");
    }
    if let Some(service) = &query.service {
        sql += &format!(" AND service_name = '{service}'");
    }
    if let Some(least) = query.min_severity {
        sql += &format!(" AND severity_number >= {least}");
    }
    if let Some(id) = &query.trace_id {
        sql += &format!(" AND trace_id = '{id}'");
    }
    let request = SqlRequest {
        query: sql,
        params: BTreeMap::new(),
        max_rows: Some(100_000),
        timeout_ms: None,
    };
    let answer = queries.sql(&request).await.unwrap();
    let answer: serde_json::Value = serde_json::from_str(&answer.json()).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let number = |value: &serde_json::Value| {
        value.as_i64().or_else(|| value.as_str()?.parse().ok()).unwrap()
    };
    let mut found: Vec<Shown> = answer["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| (number(&r[0]), text(&r[1]), number(&r[2]), text(&r[3]), text(&r[4])))
        .collect();
    found.sort();
    found
}

/// All pages; `between` runs between any two.
async fn pages<F: Future<Output = ()>>(
    queries: &Queries,
    mut query: LogQuery,
    mut between: impl FnMut() -> F,
) -> Vec<Shown> {
    let (mut found, mut last) = (Vec::new(), i64::MAX);
    loop {
        let page = queries.search_logs(&query).await.unwrap();
        assert!(page.logs.len() <= query.limit);
        for row in &page.logs {
            assert!(row.time.0 <= last, "not the newest first");
            last = row.time.0;
        }
        found.extend(page.logs.iter().map(shown));
        let Some(next) = page.next else { break };
        assert_eq!(page.logs.len(), query.limit);
        query.cursor = Some(next);
        between().await;
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_hold_what_sql_finds() {
    let dir = tempfile::tempdir().unwrap();
    let engine = stored(dir.path()).await;
    let queries = Queries::new(Arc::clone(&engine));
    let mut runner = TestRunner::deterministic();
    let mut matched = 0;
    for _ in 0..60 {
        let mut query = query().new_tree(&mut runner).unwrap().current();
        let want = by_sql(&queries, &query).await;
        // Short pages of a long list say nothing new.
        query.limit = query.limit.max(want.len() / 40);
        let mut got = pages(&queries, query.clone(), || async {}).await;
        got.sort();
        assert_eq!(got, want, "{query:?}");
        matched += want.len();
        let volume = queries.log_volume(&query).await.unwrap();
        let sum: u64 = [volume.info, volume.warn, volume.error].iter().flatten().sum();
        assert_eq!(sum, want.len() as u64, "{query:?}");
    }
    assert!(matched > 10_000, "{matched}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_arrives_between_pages_moves_none() {
    let dir = tempfile::tempdir().unwrap();
    let engine = stored(dir.path()).await;
    let queries = Queries::new(Arc::clone(&engine));
    let (range, text) = (TimeRange::ALL, Some("status OR get".to_owned()));
    let query = LogQuery {
        range,
        text,
        service: None,
        min_severity: None,
        trace_id: None,
        span_id: None,
        limit: 100,
        cursor: None,
    };
    let before = by_sql(&queries, &query).await;
    let next = std::cell::Cell::new(20_000);
    let found = pages(&queries, query, || async {
        let from = next.replace(next.get() + 30);
        append(&engine, from..from + 30).await;
        if from.is_multiple_of(4) {
            engine.flush().await.unwrap();
        }
    })
    .await;
    // Each that was there is there as often as it was; what came meanwhile may be too.
    let count = |rows: &[Shown]| {
        let mut counts: BTreeMap<Shown, usize> = BTreeMap::new();
        rows.iter().for_each(|row| *counts.entry(row.clone()).or_default() += 1);
        counts
    };
    let (found, after) = (count(&found), count(&by_sql(&queries, &LogQuery { ..all() }).await));
    for (row, n) in count(&before) {
        let found = found.get(&row).copied().unwrap_or_default();
        assert!(found >= n && found <= after[&row], "{row:?}: {found} of {n}");
    }
}

fn all() -> LogQuery {
    LogQuery {
        range: TimeRange::ALL,
        text: None,
        service: None,
        min_severity: None,
        trace_id: None,
        span_id: None,
        limit: 1,
        cursor: None,
    }
}
