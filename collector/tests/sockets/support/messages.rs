//! Small messages, good and bad.

use std::io::Write as _;

use headrope_model::Signal;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data,
    number_data_point::Value as Number,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

pub const TIME: u64 = 1_700_000_000_000_000_000;

pub fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

pub fn resource() -> Resource {
    Resource { attributes: vec![text("service.name", "shop")], ..Resource::default() }
}

pub fn span() -> Span {
    Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: "GET /".to_owned(),
        kind: 2,
        start_time_unix_nano: TIME,
        end_time_unix_nano: TIME + 1_000_000,
        attributes: vec![text("http.request.method", "GET")],
        ..Span::default()
    }
}

pub fn spans(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource = Some(resource());
    let resource_spans = vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }
}

pub fn logs(log_records: Vec<LogRecord>) -> ExportLogsServiceRequest {
    let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
    let resource = Some(resource());
    let resource_logs = vec![ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }];
    ExportLogsServiceRequest { resource_logs }
}

pub fn log(body: &str) -> LogRecord {
    let body = Some(AnyValue { value: Some(Value::StringValue(body.to_owned())) });
    LogRecord { time_unix_nano: TIME, severity_number: 9, body, ..LogRecord::default() }
}

pub fn point(value: f64) -> NumberDataPoint {
    NumberDataPoint {
        time_unix_nano: TIME,
        value: Some(Number::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}

pub fn gauge(name: &str, data_points: Vec<NumberDataPoint>) -> Metric {
    let data = Some(Data::Gauge(Gauge { data_points }));
    Metric { name: name.to_owned(), data, ..Metric::default() }
}

pub fn metrics(metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    let resource = Some(resource());
    let resource_metrics =
        vec![ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() }];
    ExportMetricsServiceRequest { resource_metrics }
}

/// One good record of a signal.
pub fn good(signal: Signal) -> Vec<u8> {
    match signal {
        Signal::Traces => spans(vec![span()]).encode_to_vec(),
        Signal::Metrics => metrics(vec![gauge("load", vec![point(0.5)])]).encode_to_vec(),
        Signal::Logs => logs(vec![log("hello")]).encode_to_vec(),
    }
}

pub fn gzip(content: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(content).unwrap();
    out.finish().unwrap()
}

pub fn zlib(content: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(content).unwrap();
    out.finish().unwrap()
}

pub fn compress(encoding: &str, content: &[u8]) -> Vec<u8> {
    match encoding {
        "gzip" => gzip(content),
        "deflate" => zlib(content),
        "zstd" => zstd::bulk::compress(content, 1).unwrap(),
        _ => content.to_vec(),
    }
}
