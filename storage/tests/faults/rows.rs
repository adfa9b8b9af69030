//! Requests whose records carry a number, and the numbers found again.

use std::collections::BTreeMap;

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::Int64Type;
use headrope_model::DataSet;
use headrope_storage::joined::column;
use headrope_storage::{Export, Segment, Snapshot, StorageError, Submission};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use prost::Message as _;

/// Spans and logs have numbers of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Span,
    Log,
}

/// A record: its kind and its number.
pub(crate) type Record = (Kind, u64);

/// 2023-11-14: past every age.
pub(crate) const OLD_NS: u64 = 1_700_000_000_000_000_000;

fn text(value: &str) -> Option<AnyValue> {
    Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) })
}

fn resource(service: &str) -> Option<Resource> {
    let key = "service.name".to_owned();
    let attributes = vec![KeyValue { key, value: text(service), ..KeyValue::default() }];
    Some(Resource { attributes, ..Resource::default() })
}

fn now() -> u64 {
    headrope_model::time::now_ns().cast_unsigned()
}

/// A request with records of these numbers.
pub(crate) fn request(kind: Kind, ids: &[u64], old: bool) -> Submission {
    let base = if old { OLD_NS } else { now() };
    let export = match kind {
        Kind::Span => Export::Traces(ExportTraceServiceRequest {
            resource_spans: ids
                .iter()
                .map(|id| ResourceSpans {
                    resource: resource(&format!("svc-{}", id % 3)),
                    scope_spans: vec![ScopeSpans {
                        spans: vec![span(*id, base)],
                        ..ScopeSpans::default()
                    }],
                    ..ResourceSpans::default()
                })
                .collect(),
        }),
        Kind::Log => Export::Logs(ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs {
                resource: resource("svc-log"),
                scope_logs: vec![ScopeLogs {
                    log_records: ids.iter().map(|id| log(*id, base)).collect(),
                    ..ScopeLogs::default()
                }],
                ..ResourceLogs::default()
            }],
        }),
    };
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

fn span(id: u64, base: u64) -> Span {
    Span {
        trace_id: u128::from(id / 3 + 1).to_be_bytes().to_vec(),
        span_id: (id + 1).to_be_bytes().to_vec(),
        name: format!("op-{}", id % 5),
        start_time_unix_nano: base + id * 7919 % 1000,
        end_time_unix_nano: base + 5000,
        ..Span::default()
    }
}

fn log(id: u64, base: u64) -> LogRecord {
    LogRecord {
        time_unix_nano: base + id,
        body: text(&format!("line {id}")),
        ..LogRecord::default()
    }
}

/// Rows of a segment, read and checked as queries do.
pub(crate) fn of_segment(segment: &Segment) -> Result<Vec<RecordBatch>, StorageError> {
    let whole = segment.read(std::slice::from_ref(&(0..segment.meta().bytes)))?;
    let bytes = whole.into_iter().next().unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)?.build()?;
    Ok(reader.collect::<Result<Vec<_>, _>>()?)
}

/// All rows of a data set.
pub(crate) fn all(
    snapshot: &Snapshot,
    data_set: DataSet,
) -> Result<Vec<RecordBatch>, StorageError> {
    let mut all = Vec::new();
    for segment in snapshot.segments(data_set) {
        all.extend(of_segment(segment)?);
    }
    all.extend(snapshot.live(data_set).iter().map(|live| live.batch.clone()));
    Ok(all)
}

/// The records of rows of spans or logs.
pub(crate) fn records(data_set: DataSet, batches: &[RecordBatch]) -> Vec<Record> {
    let mut found = Vec::new();
    for batch in batches {
        match data_set {
            DataSet::Spans => {
                let ids = batch.column_by_name("span_id").unwrap().as_fixed_size_binary();
                let number = |id: &[u8]| u64::from_be_bytes(id.try_into().unwrap()) - 1;
                found.extend(ids.iter().flatten().map(|id| (Kind::Span, number(id))));
            }
            DataSet::Logs => {
                let bodies = column(batch, "body").unwrap().unwrap();
                let bodies = bodies.as_string::<i32>();
                let number = |body: &str| body.strip_prefix("line ").unwrap().parse().unwrap();
                found.extend(bodies.iter().flatten().map(|body| (Kind::Log, number(body))));
            }
            _ => {}
        }
    }
    found
}

/// Every record of a snapshot with how often it is found.
pub(crate) fn seen(snapshot: &Snapshot) -> Result<BTreeMap<Record, usize>, StorageError> {
    let mut found = BTreeMap::new();
    for data_set in [DataSet::Spans, DataSet::Logs] {
        for record in records(data_set, &all(snapshot, data_set)?) {
            *found.entry(record).or_default() += 1;
        }
    }
    Ok(found)
}

/// Spans counted by the trace parts.
pub(crate) fn part_spans(snapshot: &Snapshot) -> Result<i64, StorageError> {
    let count = |batch: &RecordBatch| -> i64 {
        let counts = batch.column_by_name("span_count").unwrap();
        counts.as_primitive::<Int64Type>().values().iter().sum()
    };
    Ok(all(snapshot, DataSet::TraceParts)?.iter().map(count).sum())
}
