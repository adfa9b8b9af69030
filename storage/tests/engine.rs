//! The engine against a naive oracle: every acknowledged row exactly once, whatever happens between.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step fails the test")]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray as _, RecordBatch};
use headrope_model::{DataSet, RefuseReason};
use headrope_storage::joined::column;
use headrope_storage::text::{TextIndex, TextQuery};
use headrope_storage::{AppendError, Engine, Export, Snapshot, StorageConfig, Submission};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;
use prost::Message as _;

fn config(dir: &Path) -> StorageConfig {
    let mut config = StorageConfig::new(dir.to_owned());
    // Background work is driven by the tests.
    config.flush_age = Duration::from_secs(3600);
    config.maintenance_interval = Duration::from_secs(3600);
    config.compact_fan_in = 2;
    config.retain_traces = None;
    config.retain_logs = None;
    config.min_free_bytes = 0;
    config
}

fn resource(service: &str) -> Option<Resource> {
    let value = Some(AnyValue { value: Some(Value::StringValue(service.to_owned())) });
    let attributes =
        vec![KeyValue { key: "service.name".to_owned(), value, ..KeyValue::default() }];
    Some(Resource { attributes, ..Resource::default() })
}

fn spans(ids: &[u64]) -> Submission {
    let span = |id: &u64| Span {
        trace_id: u128::from(id / 3 + 1).to_be_bytes().to_vec(),
        span_id: (id + 1).to_be_bytes().to_vec(),
        name: format!("op-{}", id % 5),
        start_time_unix_nano: 1_700_000_000_000_000_000 + id * 7919 % 1000,
        end_time_unix_nano: 1_700_000_000_000_005_000,
        ..Span::default()
    };
    let request = ExportTraceServiceRequest {
        resource_spans: ids
            .iter()
            .map(|id| ResourceSpans {
                resource: resource(&format!("svc-{}", id % 3)),
                scope_spans: vec![ScopeSpans { spans: vec![span(id)], ..ScopeSpans::default() }],
                ..ResourceSpans::default()
            })
            .collect(),
    };
    submission(ids, Export::Traces(request))
}

fn logs(ids: &[u64]) -> Submission {
    let record = |id: &u64| LogRecord {
        time_unix_nano: 1_700_000_000_000_000_000 + id,
        body: Some(AnyValue { value: Some(Value::StringValue(format!("line {id}"))) }),
        ..LogRecord::default()
    };
    let request = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: resource("svc-log"),
            scope_logs: vec![ScopeLogs {
                log_records: ids.iter().map(record).collect(),
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    };
    submission(ids, Export::Logs(request))
}

/// Some requests are handed over decoded, some as they came.
fn submission(ids: &[u64], export: Export) -> Submission {
    let payload = match &export {
        Export::Traces(request) => request.encode_to_vec(),
        Export::Logs(request) => request.encode_to_vec(),
        Export::Metrics(request) => request.encode_to_vec(),
    };
    let payload = payload.into();
    if ids.first().is_some_and(|id| id % 2 == 0) {
        return Submission::Decoded { export, payload };
    }
    Submission::Plain { signal: export.signal(), records: ids.len() as u64, payload }
}

async fn append(engine: &Engine, submission: Submission) -> Result<u64, AppendError> {
    let permit = engine.admit(submission.payload().len())?;
    Ok(engine.append(permit, submission).await?.rows)
}

/// All rows of a data set, segments through Parquet's own reader.
fn rows(snapshot: &Snapshot, data_set: DataSet) -> Vec<RecordBatch> {
    let mut all = Vec::new();
    for segment in snapshot.segments(data_set) {
        let file = File::open(segment.path()).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
        let batches: Vec<_> = reader.map(Result::unwrap).collect();
        let count: usize = batches.iter().map(RecordBatch::num_rows).sum();
        assert_eq!(u64::try_from(count).unwrap(), segment.meta().rows);
        all.extend(batches);
    }
    all.extend(snapshot.live(data_set).iter().map(|live| live.batch.clone()));
    all
}

/// Span ids with how often each is found.
fn span_ids(snapshot: &Snapshot) -> BTreeMap<u64, usize> {
    let mut found = BTreeMap::new();
    for batch in rows(snapshot, DataSet::Spans) {
        for id in batch.column_by_name("span_id").unwrap().as_fixed_size_binary().iter().flatten() {
            *found.entry(u64::from_be_bytes(id.try_into().unwrap()) - 1).or_default() += 1;
        }
    }
    found
}

fn bodies(snapshot: &Snapshot) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for batch in rows(snapshot, DataSet::Logs) {
        for body in column(&batch, "body").unwrap().unwrap().as_string::<i32>().iter().flatten() {
            *found.entry(body.to_owned()).or_default() += 1;
        }
    }
    found
}

/// Spans counted by the trace parts must equal the spans.
fn part_spans(snapshot: &Snapshot) -> i64 {
    use arrow::datatypes::Int64Type;
    let count = |batch: &RecordBatch| -> i64 {
        batch
            .column_by_name("span_count")
            .unwrap()
            .as_primitive::<Int64Type>()
            .values()
            .iter()
            .sum()
    };
    rows(snapshot, DataSet::TraceParts).iter().map(count).sum()
}

#[derive(Debug, Clone)]
enum Step {
    Spans(u64),
    Logs(u64),
    Flush,
    Compact,
    /// The process dies: the directory as it is on disk is opened again.
    Crash,
    /// The process stops in good order.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1u64..40).prop_map(Step::Spans),
        2 => (1u64..40).prop_map(Step::Logs),
        2 => Just(Step::Flush),
        1 => Just(Step::Compact),
        1 => Just(Step::Crash),
        1 => Just(Step::Restart),
    ]
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target)
        } else {
            std::fs::copy(&path, &target).map(|_| ()).unwrap()
        }
    }
}

async fn check(engine: &Engine, spans_sent: u64, logs_sent: u64) {
    let snapshot = engine.snapshot().await.unwrap();
    let want: BTreeMap<u64, usize> = (0..spans_sent).map(|id| (id, 1)).collect();
    assert_eq!(span_ids(&snapshot), want);
    let want: BTreeMap<String, usize> =
        (0..logs_sent).map(|id| (format!("line {id}"), 1)).collect();
    assert_eq!(bodies(&snapshot), want);
    assert_eq!(part_spans(&snapshot), i64::try_from(spans_sent).unwrap());
}

async fn play(steps: Vec<Step>) {
    let root = tempfile::tempdir().unwrap();
    let mut dir = root.path().join("0");
    let mut engine = Engine::open(config(&dir)).await.unwrap();
    let (mut spans_sent, mut logs_sent) = (0, 0);
    for (at, step) in steps.into_iter().enumerate() {
        match step {
            Step::Spans(n) => {
                let ids: Vec<u64> = (spans_sent..spans_sent + n).collect();
                assert_eq!(append(&engine, spans(&ids)).await.unwrap(), n);
                spans_sent += n;
            }
            Step::Logs(n) => {
                let ids: Vec<u64> = (logs_sent..logs_sent + n).collect();
                assert_eq!(append(&engine, logs(&ids)).await.unwrap(), n);
                logs_sent += n;
            }
            Step::Flush => engine.flush().await.unwrap(),
            Step::Compact => engine.compact().await.unwrap(),
            Step::Crash => {
                let next = root.path().join((at + 1).to_string());
                copy(&dir, &next);
                dir = next;
                engine = Engine::open(config(&dir)).await.unwrap();
            }
            Step::Restart => {
                engine.shutdown().await.unwrap();
                drop(engine);
                engine = Engine::open(config(&dir)).await.unwrap();
            }
        }
        check(&engine, spans_sent, logs_sent).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Scenario: any order of appends, flushes, merges, crashes and restarts. Guarantee: after each
    /// step every acknowledged row is visible exactly once, and nothing else is.
    #[test]
    fn exactly_once(steps in prop::collection::vec(step(), 1..25)) {
        tokio::runtime::Runtime::new().unwrap().block_on(play(steps));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_stays_whole_while_its_segments_are_merged_away() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(config(dir.path())).await.unwrap();
    for at in 0..4 {
        append(&engine, spans(&[at])).await.unwrap();
        engine.flush().await.unwrap();
    }
    let before = engine.snapshot().await.unwrap();
    engine.compact().await.unwrap();
    assert_eq!(span_ids(&before).len(), 4);
    assert_eq!(engine.snapshot().await.unwrap().segments(DataSet::Spans).len(), 1);
    let old = before.segments(DataSet::Spans)[0].path().to_owned();
    drop(before);
    assert!(!old.try_exists().unwrap(), "merged files go with the last snapshot");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_budget_refuses_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.memory_budget_bytes = 2 << 20;
    config.flush_bytes = usize::MAX;
    let engine = Engine::open(config).await.unwrap();
    let mut sent = 0u64;
    let refused = loop {
        let ids: Vec<u64> = (sent..sent + 200).collect();
        match append(&engine, spans(&ids)).await {
            Ok(_) => sent += 200,
            Err(error) => break error,
        }
        assert!(sent < 100_000, "the budget never refused");
    };
    assert!(matches!(refused, AppendError::Retry { reason: RefuseReason::OverBudget, .. }));
    engine.flush().await.unwrap();
    append(&engine, spans(&[sent])).await.unwrap();
    check(&engine, sent + 1, 0).await;
}

/// Whether a future is ready at once.
async fn ready<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = std::future::ready(()) => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn room_goes_to_who_waited_first() {
    const BYTES: usize = 100 << 10;
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.memory_budget_bytes = 1 << 20;
    let engine = Engine::open(config).await.unwrap();
    ready(&mut Box::pin(engine.await_room(BYTES))).await.expect("an empty budget has room");
    let mut taken: Vec<_> = std::iter::from_fn(|| engine.admit(BYTES).ok()).collect();
    let mut first = Box::pin(engine.await_room(BYTES));
    let mut second = Box::pin(engine.await_room(BYTES));
    assert!(ready(&mut first).await.is_none() && ready(&mut second).await.is_none());
    taken.pop();
    assert!(ready(&mut second).await.is_none(), "it came later");
    first.await;
    taken.push(engine.admit(BYTES).unwrap());
    assert!(ready(&mut second).await.is_none(), "the room is taken again");
    taken.clear();
    second.await;
    // What can never have room is refused, not kept waiting.
    engine.await_room(usize::MAX).await;
    assert!(engine.admit(usize::MAX).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_appends_flushes_and_merges_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.flush_bytes = 256 << 10;
    let engine = Engine::open(config).await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8u64 {
        let engine = Arc::clone(&engine);
        writers.spawn(async move {
            for at in 0..25u64 {
                let from = (writer * 25 + at) * 20;
                append(&engine, spans(&(from..from + 20).collect::<Vec<_>>())).await.unwrap();
                let snapshot = engine.snapshot().await.unwrap();
                assert!(span_ids(&snapshot).values().all(|n| *n == 1));
                if at % 10 == 9 {
                    engine.compact().await.unwrap();
                }
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    check(&engine, 4000, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_per_directory_and_damage_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(config(dir.path())).await.unwrap();
    let second = Engine::open(config(dir.path())).await.unwrap_err().to_string();
    assert!(second.contains("in use by another headrope process"), "{second}");
    append(&engine, spans(&[0, 1])).await.unwrap();
    engine.shutdown().await.unwrap();
    let path = engine.snapshot().await.unwrap().segments(DataSet::Spans)[0].path().to_owned();
    drop(engine);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let error = Engine::open(config(dir.path())).await.unwrap_err().to_string();
    assert!(error.contains(path.file_name().unwrap().to_str().unwrap()), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_over_is_merged_when_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.compact_fan_in = 8;
    let engine = Engine::open(config).await.unwrap();
    for part in 0..3 {
        append(&engine, logs(&(part * 10..part * 10 + 10).collect::<Vec<_>>())).await.unwrap();
        append(&engine, spans(&(part * 10..part * 10 + 10).collect::<Vec<_>>())).await.unwrap();
        engine.flush().await.unwrap();
    }
    let segments = async |data_set| engine.snapshot().await.unwrap().segments(data_set).len();
    engine.compact().await.unwrap();
    assert_eq!(segments(DataSet::Logs).await, 3, "fewer than are merged as a rule, and new");
    engine.compact_all().await.unwrap();
    assert_eq!((segments(DataSet::Logs).await, segments(DataSet::Spans).await), (1, 1));
    check(&engine, 30, 30).await;
    let id = engine.snapshot().await.unwrap().segments(DataSet::Logs)[0].meta().id.clone();
    engine.compact_all().await.unwrap();
    let now = engine.snapshot().await.unwrap().segments(DataSet::Logs)[0].meta().id.clone();
    assert_eq!(now, id, "nothing is left to do");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_of_an_older_format_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(config(dir.path())).await.unwrap();
    append(&engine, logs(&(0..100).collect::<Vec<_>>())).await.unwrap();
    engine.flush().await.unwrap();
    let index = engine.snapshot().await.unwrap().segments(DataSet::Logs)[0]
        .index_path()
        .unwrap()
        .to_owned();
    assert!(TextIndex::is_current(&index).unwrap());
    let mut bytes = std::fs::read(&index).unwrap();
    bytes[..8].copy_from_slice(b"HRTEXT1\n");
    std::fs::write(&index, bytes).unwrap();
    assert!(!TextIndex::is_current(&index).unwrap());
    engine.compact().await.unwrap();
    check(&engine, 0, 100).await;
    let snapshot = engine.snapshot().await.unwrap();
    let [segment] = snapshot.segments(DataSet::Logs) else { panic!("one segment") };
    assert_eq!(segment.meta().level, 1);
    let index = TextIndex::open(segment.index_path().unwrap()).unwrap();
    let found = index.candidates(&TextQuery::parse("77").unwrap()).unwrap();
    assert!(found.is_none(), "numbers of two digits may be anywhere");
    let found = index.candidates(&TextQuery::parse("line").unwrap()).unwrap().unwrap();
    assert!(found.is_exact() && found.rows.len() == 100);
    // Nothing is left to do.
    let id = segment.meta().id.clone();
    engine.compact().await.unwrap();
    assert_eq!(engine.snapshot().await.unwrap().segments(DataSet::Logs)[0].meta().id, id);
}
