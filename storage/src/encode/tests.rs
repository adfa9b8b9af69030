use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimestampNanosecondType, UInt64Type};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, exemplar, exponential_histogram_data_point::Buckets, metric,
    number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};

use super::*;

fn kv(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn string(key: &str, value: &str) -> KeyValue {
    kv(key, Value::StringValue(value.to_owned()))
}

fn resource(service: Option<&str>) -> Option<Resource> {
    let mut attributes = vec![string("host.name", "h1"), kv("process.pid", Value::IntValue(7))];
    attributes.extend(service.map(|s| string("service.name", s)));
    Some(Resource { attributes, ..Resource::default() })
}

fn label(batch: &RecordBatch, column: &str, row: usize) -> Option<String> {
    let column = batch.column_by_name(column).unwrap().as_dictionary::<Int32Type>();
    let values = column.values().as_string::<i32>();
    column.key(row).map(|key| values.value(key).to_owned())
}

fn span(trace: u8, id: u8, parent: u8, attributes: Vec<KeyValue>) -> Span {
    Span {
        trace_id: vec![trace; 16],
        span_id: vec![id; 8],
        parent_span_id: if parent == 0 { Vec::new() } else { vec![parent; 8] },
        name: format!("op{id}"),
        kind: 2,
        start_time_unix_nano: 1_000 + u64::from(id),
        end_time_unix_nano: 2_000,
        attributes,
        ..Span::default()
    }
}

fn traces(service: Option<&str>, spans: Vec<Span>) -> Export {
    Export::Traces(ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: resource(service),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope {
                    name: "lib".to_owned(),
                    attributes: vec![string("s", "v")],
                    ..InstrumentationScope::default()
                }),
                spans,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    })
}

#[test]
fn span_fields_types_and_promotion() {
    let list = Value::ArrayValue(ArrayValue {
        values: vec![AnyValue { value: Some(Value::IntValue(1)) }, AnyValue { value: None }],
    });
    let nested = Value::KvlistValue(KeyValueList { values: vec![string("$bytes", "x")] });
    let mut one = span(
        1,
        1,
        0,
        vec![
            string("http.method", "OLD"),
            string("http.request.method", "GET"),
            kv("http.status_code", Value::IntValue(500)),
            kv("d", Value::DoubleValue(5.0)),
            kv("b", Value::BoolValue(true)),
            kv("raw", Value::BytesValue(vec![1])),
            kv("list", list),
            kv("map", nested),
        ],
    );
    one.status = Some(Status { code: 2, message: "boom".to_owned() });
    one.events = vec![span::Event {
        time_unix_nano: 1_500,
        name: "exception".to_owned(),
        attributes: vec![string("exception.type", "E")],
        dropped_attributes_count: 3,
    }];
    let batch = encode(&traces(Some("shop"), vec![one, span(1, 2, 1, vec![])])).unwrap();
    assert_eq!(batch.num_rows(), 2);
    assert_eq!(label(&batch, "service_name", 1).unwrap(), "shop");
    assert_eq!(label(&batch, "http_request_method", 0).unwrap(), "GET");
    assert_eq!(label(&batch, "http_request_method", 1), None);
    assert_eq!(label(&batch, "status_code", 0).unwrap(), "ERROR");
    assert_eq!(label(&batch, "status_message", 0).unwrap(), "boom");
    assert_eq!(label(&batch, "scope_attributes", 0).unwrap(), r#"{"s":"v"}"#);
    let ints = batch.column_by_name("http_response_status_code").unwrap();
    assert_eq!(ints.as_primitive::<Int64Type>().value(0), 500);
    let pids = batch.column_by_name("process_pid").unwrap();
    assert_eq!(pids.as_primitive::<Int64Type>().value(1), 7);
    let entries = batch.column_by_name("attributes").unwrap().as_map().value(0);
    let values = arrow::compute::cast(entries.column(1), &DataType::Utf8).unwrap();
    let values: Vec<_> = values.as_string::<i32>().iter().flatten().collect();
    assert_eq!(
        values,
        [
            r#""OLD""#,
            r#""GET""#,
            "500",
            "5.0",
            "true",
            r#"{"$bytes":"AQ=="}"#,
            "[1,null]",
            r#"{"$$bytes":"x"}"#,
        ]
    );
    let events = batch.column_by_name("events").unwrap().as_list::<i32>();
    assert!(events.is_null(1));
    let event = events.value(0);
    assert_eq!(
        event.as_struct().column(2).as_string::<i32>().value(0),
        r#"{"exception.type":"E"}"#
    );
}

#[test]
fn a_service_without_a_name_is_unknown() {
    let batch = encode(&traces(None, vec![span(1, 1, 0, vec![])])).unwrap();
    assert_eq!(label(&batch, "service_name", 0).unwrap(), "unknown_service");
    let batch = encode(&traces(Some(""), vec![span(1, 1, 0, vec![])])).unwrap();
    assert_eq!(label(&batch, "service_name", 0).unwrap(), "unknown_service");
}

#[test]
fn log_without_event_time_is_placed_where_observed() {
    let record = LogRecord {
        observed_time_unix_nano: 42,
        body: Some(AnyValue {
            value: Some(Value::KvlistValue(KeyValueList {
                values: vec![kv("n", Value::IntValue(1))],
            })),
        }),
        ..LogRecord::default()
    };
    let batch = encode(&Export::Logs(ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: resource(Some("s")),
            scope_logs: vec![ScopeLogs { log_records: vec![record], ..ScopeLogs::default() }],
            ..ResourceLogs::default()
        }],
    }))
    .unwrap();
    let time = batch.column_by_name("time").unwrap().as_primitive::<TimestampNanosecondType>();
    assert_eq!(time.value(0), 42);
    assert!(batch.column_by_name("event_time").unwrap().is_null(0));
    assert_eq!(batch.column_by_name("body").unwrap().as_string::<i32>().value(0), r#"{"n":1}"#);
    assert_eq!(label(&batch, "body_type", 0).unwrap(), "kvlist");
}

fn metrics(list: Vec<Metric>) -> RecordBatch {
    encode(&Export::Metrics(ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: resource(Some("s")),
            scope_metrics: vec![ScopeMetrics { metrics: list, ..ScopeMetrics::default() }],
            ..ResourceMetrics::default()
        }],
    }))
    .unwrap()
}

#[test]
fn metric_kinds_and_series_identity() {
    let number = |attributes| NumberDataPoint {
        attributes,
        time_unix_nano: 5,
        value: Some(number_data_point::Value::AsInt(9)),
        exemplars: vec![Exemplar {
            time_unix_nano: 4,
            trace_id: vec![0xab; 16],
            value: Some(exemplar::Value::AsDouble(1.5)),
            ..Exemplar::default()
        }],
        ..NumberDataPoint::default()
    };
    let (a, b) = (string("a", "1"), string("b", "2"));
    let gauge = metric::Data::Gauge(Gauge {
        data_points: vec![number(vec![a.clone(), b.clone()]), number(vec![b, a])],
    });
    let scaled = metric::Data::ExponentialHistogram(ExponentialHistogram {
        aggregation_temporality: 2,
        data_points: vec![ExponentialHistogramDataPoint {
            count: 3,
            scale: 4,
            positive: Some(Buckets { offset: -2, bucket_counts: vec![1, 2] }),
            ..ExponentialHistogramDataPoint::default()
        }],
    });
    let of =
        |name: &str, data| Metric { name: name.to_owned(), data: Some(data), ..Metric::default() };
    let batch = metrics(vec![of("g", gauge), of("e", scaled), Metric::default()]);
    assert_eq!(batch.num_rows(), 3);
    let series = batch.column_by_name("series_id").unwrap().as_primitive::<UInt64Type>();
    assert_eq!(series.value(0), series.value(1), "attribute order does not matter");
    assert_ne!(series.value(0), series.value(2));
    assert_eq!(label(&batch, "temporality", 2).unwrap(), "cumulative");
    let counts = batch.column_by_name("positive_bucket_counts").unwrap().as_list::<i32>();
    assert!(counts.is_null(0));
    assert_eq!(counts.value(2).as_primitive::<UInt64Type>().values(), &[1, 2]);
    let exemplar = batch.column_by_name("exemplars").unwrap().as_list::<i32>().value(0);
    let trace = exemplar.as_struct().column(3).as_string::<i32>();
    assert_eq!(trace.value(0), "abababababababababababababababab");
}

#[test]
fn parts_summarise_traces() {
    let mut failed = span(2, 5, 4, vec![]);
    failed.status = Some(Status { code: 2, ..Status::default() });
    let spans = vec![span(2, 4, 0, vec![]), span(1, 3, 9, vec![]), failed];
    let batch = encode(&traces(Some("s"), spans)).unwrap();
    let parts = trace_parts(&batch).unwrap();
    assert_eq!(parts.num_rows(), 2);
    assert_eq!(label(&parts, "root_name", 0), None);
    assert_eq!(label(&parts, "root_name", 1).unwrap(), "op4");
    let count = parts.column_by_name("span_count").unwrap().as_primitive::<Int64Type>();
    assert_eq!(count.values(), &[1, 2]);
    let errors = parts.column_by_name("error_count").unwrap().as_primitive::<Int64Type>();
    assert_eq!(errors.values(), &[0, 1]);
    let start =
        parts.column_by_name("start_time").unwrap().as_primitive::<TimestampNanosecondType>();
    assert_eq!(start.value(1), 1_004);
}
