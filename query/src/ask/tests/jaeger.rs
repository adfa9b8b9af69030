//! Jaeger's storage conformance cases: typed tags wherever they stand.

use headrope_model::TimeRange;
use headrope_storage::Export;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use serde_json::{Value, json};

use crate::answer::trace::{TraceOrder, TraceQuery};
use crate::tests::{append, empty};
use crate::{Queries, QueryConfig, moment};

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn number(value: &Value) -> u64 {
    value.as_str().map_or_else(|| value.as_u64().unwrap_or(0), |s| s.parse().unwrap())
}

fn id(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap_or_default();
    let mut out = vec![0; text.len() / 2];
    headrope_model::id::decode_hex(text.as_bytes(), &mut out).unwrap();
    out
}

fn each<T>(value: &Value, make: impl Fn(&Value) -> T) -> Vec<T> {
    value.as_array().into_iter().flatten().map(make).collect()
}

fn any_value(value: &Value) -> AnyValue {
    let (kind, inner) = value.as_object().unwrap().iter().next().unwrap();
    let value = match kind.as_str() {
        "stringValue" => Any::StringValue(text(inner)),
        "intValue" => Any::IntValue(number(inner) as i64),
        "doubleValue" => Any::DoubleValue(inner.as_f64().unwrap()),
        "boolValue" => Any::BoolValue(inner.as_bool().unwrap()),
        "bytesValue" => Any::BytesValue(text(inner).into_bytes()),
        other => panic!("{other}"),
    };
    AnyValue { value: Some(value) }
}

fn attributes(value: &Value) -> Vec<KeyValue> {
    each(value, |pair| KeyValue {
        key: text(&pair["key"]),
        value: Some(any_value(&pair["value"])),
        ..KeyValue::default()
    })
}

fn span(value: &Value) -> Span {
    Span {
        trace_id: id(&value["traceId"]),
        span_id: id(&value["spanId"]),
        parent_span_id: id(&value["parentSpanId"]),
        name: text(&value["name"]),
        start_time_unix_nano: number(&value["startTimeUnixNano"]),
        end_time_unix_nano: number(&value["endTimeUnixNano"]),
        attributes: attributes(&value["attributes"]),
        events: each(&value["events"], |e| Event {
            time_unix_nano: number(&e["timeUnixNano"]),
            name: text(&e["name"]),
            attributes: attributes(&e["attributes"]),
            ..Event::default()
        }),
        links: each(&value["links"], |l| Link {
            trace_id: id(&l["traceId"]),
            span_id: id(&l["spanId"]),
            attributes: attributes(&l["attributes"]),
            ..Link::default()
        }),
        ..Span::default()
    }
}

fn request(value: &Value) -> ExportTraceServiceRequest {
    let scope = |s: &Value| ScopeSpans {
        scope: Some(InstrumentationScope {
            name: text(&s["scope"]["name"]),
            version: text(&s["scope"]["version"]),
            attributes: attributes(&s["scope"]["attributes"]),
            ..InstrumentationScope::default()
        }),
        spans: each(&s["spans"], span),
        ..ScopeSpans::default()
    };
    let resource = |r: &Value| ResourceSpans {
        resource: Some(Resource {
            attributes: attributes(&r["resource"]["attributes"]),
            ..Resource::default()
        }),
        scope_spans: each(&r["scopeSpans"], scope),
        ..ResourceSpans::default()
    };
    ExportTraceServiceRequest { resource_spans: each(&value["resourceSpans"], resource) }
}

fn query(case: &Value, tags: &Value) -> TraceQuery {
    let time = |name: &str| moment::parse(case[name].as_str().unwrap(), 0).unwrap();
    let duration = |name: &str| case[name].as_i64().filter(|ns| *ns > 0);
    let name = |name: &str| Some(text(&case[name])).filter(|t| !t.is_empty());
    TraceQuery {
        range: TimeRange::new(time("StartTimeMin"), time("StartTimeMax")).unwrap(),
        service: name("ServiceName"),
        operation: name("OperationName"),
        min_duration_ns: duration("DurationMin"),
        max_duration_ns: duration("DurationMax"),
        errors_only: false,
        tags: tags.as_object().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect(),
        order: TraceOrder::Newest,
        limit: 1000,
        cursor: None,
    }
}

async fn found(queries: &Queries, query: &TraceQuery) -> Vec<String> {
    let page = queries.search_traces(query).await.unwrap();
    let mut ids: Vec<String> = page.traces.into_iter().map(|t| t.trace_id).collect();
    ids.sort();
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jaegers_queries_find_exactly_their_traces() {
    let Some(folder) = headrope_testdata::fixtures::shared_data("jaeger-store") else { return };
    let read = |path: &std::path::Path| -> Value {
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    };
    let (engine, queries, _dir) = empty(QueryConfig::default()).await;
    let mut ids = std::collections::BTreeMap::new();
    let mut paths: Vec<_> =
        std::fs::read_dir(folder.join("traces")).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    for (at, path) in paths.iter().enumerate() {
        let value = read(path);
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let first = &value["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"];
        ids.insert(name, text(first).to_lowercase());
        let export = request(&value);
        let payload = export.encode_to_vec();
        append(&engine, Export::Traces(export), payload).await;
        // Half of them in a segment, half live.
        if at == paths.len() / 2 {
            engine.flush().await.unwrap();
        }
    }
    let cases = read(&folder.join("queries.json"));
    let cases = cases.as_array().unwrap();
    assert_eq!(cases.len(), 25);
    for case in cases {
        let expected = case["ExpectedFixtures"].as_array().unwrap();
        let mut want: Vec<String> =
            expected.iter().map(|name| ids[name.as_str().unwrap()].clone()).collect();
        want.sort();
        let asked = &case["Query"];
        assert_eq!(
            found(&queries, &query(asked, &asked["Tags"])).await,
            want,
            "{}",
            case["Caption"]
        );
    }
    let first = &cases[0]["Query"];
    assert_eq!(found(&queries, &query(first, &json!({"sameplacetag2": 123}))).await.len(), 1);
    for other in [
        json!({"sameplacetag2": "123"}),
        json!({"sameplacetag2": 123.0}),
        json!({"sameplacetag4": "true"}),
    ] {
        assert_eq!(found(&queries, &query(first, &other)).await, Vec::<String>::new(), "{other}");
    }
}
