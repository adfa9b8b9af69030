use std::fmt::Debug;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point};
use proptest::prelude::*;

use super::*;
use headrope_testdata::arbitrary::Dice;

fn same<M: Document + Debug>(message: &M) -> Result<(), TestCaseError> {
    let text = encode(message);
    let back: M = decode(&text, usize::MAX)
        .map_err(|e| TestCaseError::fail(format!("{e}\n{}", String::from_utf8_lossy(&text))))?;
    // Debug text, because NaN is not equal to itself.
    prop_assert_eq!(format!("{back:?}"), format!("{message:?}"));
    // And it is JSON by another reader too.
    prop_assert!(serde_json::from_slice::<serde_json::Value>(&text).is_ok());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_written_reads_back_the_same(seed in any::<u64>()) {
        let mut dice = Dice::new(seed);
        same(&dice.traces())?;
        same(&dice.logs())?;
        same(&dice.metrics())?;
    }

    #[test]
    fn mutations_never_panic(seed in any::<u64>(), cuts in 1usize..6) {
        let mut dice = Dice::new(seed);
        let mut text = encode(&dice.traces());
        for _ in 0..cuts {
            if text.is_empty() { break }
            let at = dice.below(text.len() as u64) as usize;
            match dice.below(3) {
                0 => text[at] = b"{}[]\",:0n\\u-"[dice.below(12) as usize],
                1 => text.truncate(at),
                _ => { let tail = text.split_off(at); text.extend_from_within(at / 2..); text.extend(tail) }
            }
        }
        let _ = decode::<ExportTraceServiceRequest>(&text, 1 << 20);
        let _ = decode::<ExportMetricsServiceRequest>(&text, 1 << 20);
    }
}

fn span_error(field: &str) -> String {
    let text =
        format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{}},{{{field}}}]}}]}}]}}"#);
    decode::<ExportTraceServiceRequest>(text.as_bytes(), usize::MAX).unwrap_err().to_string()
}

fn span(field: &str) -> opentelemetry_proto::tonic::trace::v1::Span {
    let text = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{field}}}]}}]}}]}}"#);
    let mut request: ExportTraceServiceRequest = decode(text.as_bytes(), usize::MAX).unwrap();
    request.resource_spans.remove(0).scope_spans.remove(0).spans.remove(0)
}

#[test]
fn errors_name_the_path_and_what_was_wanted() {
    let path = "resourceSpans[0].scopeSpans[0].spans[1]";
    for (field, at, wanted) in [
        (r#""traceId":"0g""#, "traceId", "expected an id in hex digits, got \"0g\""),
        (r#""kind":"SPAN_KIND_SERVER""#, "kind", "OTLP/JSON does not use enum names"),
        (r#""kind":"2""#, "kind", "an integer"),
        (r#""startTimeUnixNano":-1"#, "startTimeUnixNano", "unsigned 64-bit number, got -1"),
        (r#""startTimeUnixNano":1.5"#, "startTimeUnixNano", "got 1.5"),
        (r#""startTimeUnixNano":"18446744073709551616""#, "startTimeUnixNano", "expected"),
        (r#""flags":4294967296"#, "flags", "an unsigned 32-bit number"),
        (r#""name":5"#, "name", "expected a string, got 5"),
        (r#""attributes":{}"#, "attributes", "an array"),
        (r#""attributes":[null]"#, "attributes[0]", "null is not allowed"),
        (r#""attributes":[{"value":{"boolValue":1}}]"#, "attributes[0].value.boolValue", "true"),
        (
            r#""attributes":[{"value":{"intValue":1,"boolValue":true}}]"#,
            "attributes[0].value.boolValue",
            "only one",
        ),
        (
            r#""attributes":[{"value":{"bytesValue":"*"}}]"#,
            "attributes[0].value.bytesValue",
            "base64",
        ),
        (r#""status":{"code":"ERROR"}"#, "status.code", "an integer"),
        (r#""surprise":tru"#, "surprise", "expected"),
    ] {
        let error = span_error(field);
        assert!(error.starts_with(&format!("{path}.{at}: ")), "{error}");
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn only_lower_camel_case_and_unknown_fields_are_ignored() {
    let read = span(r#""trace_id":"01","future":{"a":[1,{"b":null}]},"traceId":"fF","name":null"#);
    assert_eq!(read.trace_id, [255]);
    assert_eq!(read.name, "");
}

#[test]
fn numbers_as_strings_or_numbers() {
    for time in ["\"1700000000000000001\"", "1700000000000000001"] {
        assert_eq!(
            span(&format!("\"startTimeUnixNano\":{time}")).start_time_unix_nano,
            1_700_000_000_000_000_001
        );
    }
    assert_eq!(
        span("\"startTimeUnixNano\":1.7e18").start_time_unix_nano,
        1_700_000_000_000_000_000
    );
    assert_eq!(span("\"flags\":\"257\"").flags, 257);
    assert_eq!(span("\"kind\":3").kind, 3);
    assert_eq!(span("\"kind\":77").kind, 77, "enums are open");
}

#[test]
fn values_of_every_kind() {
    let read = |value: &str| {
        let span = span(&format!(r#""attributes":[{{"key":"k","value":{value}}}]"#));
        span.attributes.into_iter().next().unwrap().value.and_then(|v| v.value)
    };
    assert_eq!(read(r#"{"intValue":"-9223372036854775808"}"#), Some(Value::IntValue(i64::MIN)));
    assert_eq!(read(r#"{"intValue":0}"#), Some(Value::IntValue(0)));
    assert_eq!(read(r#"{"doubleValue":3}"#), Some(Value::DoubleValue(3.0)));
    assert_eq!(read(r#"{"doubleValue":"-Infinity"}"#), Some(Value::DoubleValue(f64::NEG_INFINITY)));
    assert!(matches!(read(r#"{"doubleValue":"NaN"}"#), Some(Value::DoubleValue(v)) if v.is_nan()));
    assert_eq!(read(r#"{"bytesValue":"-_8"}"#), Some(Value::BytesValue(vec![251, 255])));
    assert_eq!(read(r#"{"bytesValue":"+/8="}"#), Some(Value::BytesValue(vec![251, 255])));
    assert_eq!(
        read(r#"{"stringValue":"\u0041\ud834\udd1e"}"#),
        Some(Value::StringValue("A𝄞".into()))
    );
    assert_eq!(read(r#"{"stringValue":null}"#), None);
    assert_eq!(read("{}"), None);
    assert_eq!(read("null"), None);
}

#[test]
fn the_memory_of_the_result_is_limited() {
    let text = format!(r#"{{"resourceSpans":[{}{{}}]}}"#, "{},".repeat(9999));
    let error = decode::<ExportTraceServiceRequest>(text.as_bytes(), 8 * text.len()).unwrap_err();
    assert!(matches!(error, JsonError::TooLarge { .. }), "{error}");
    assert!(decode::<ExportTraceServiceRequest>(text.as_bytes(), usize::MAX).is_ok());
    let dense = format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"m","histogram":{{"dataPoints":[{{"bucketCounts":[{}1]}}]}}}}]}}]}}]}}"#,
        "1,".repeat(100_000)
    );
    assert!(decode::<ExportMetricsServiceRequest>(dense.as_bytes(), 8 * dense.len()).is_ok());
}

#[test]
fn examples_of_the_specification_keep_every_field() {
    let Some(folder) = headrope_testdata::fixtures::shared_data("otlp-examples") else { return };
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let mut checked = 0;
    let mut check = |text: &[u8], written: Vec<u8>| {
        let before: serde_json::Value = serde_json::from_slice(text).unwrap();
        let after: serde_json::Value = serde_json::from_slice(&written).unwrap();
        assert_eq!(canonical(before), canonical(after));
        checked += 1;
    };
    let traces = read("trace.json");
    let decoded: ExportTraceServiceRequest = decode(&traces, 8 * traces.len()).unwrap();
    check(&traces, encode(&decoded));
    let metrics = read("metrics.json");
    let decoded: ExportMetricsServiceRequest = decode(&metrics, 8 * metrics.len()).unwrap();
    let data = &decoded.resource_metrics[0].scope_metrics[0].metrics[0].data;
    let Some(Data::Sum(sum)) = data else { panic!("{data:?}") };
    assert_eq!(sum.data_points[0].value, Some(number_data_point::Value::AsDouble(5.0)));
    check(&metrics, encode(&decoded));
    for name in ["logs.json", "events.json"] {
        let logs = read(name);
        let decoded: ExportLogsServiceRequest = decode(&logs, 8 * logs.len()).unwrap();
        check(&logs, encode(&decoded));
    }
    assert_eq!(checked, 4);
}

/// The same JSON however its numbers, ids and defaults are written.
fn canonical(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value as Json;
    match value {
        Json::Array(values) => values.into_iter().map(canonical).collect(),
        Json::Object(fields) => fields
            .into_iter()
            .map(|(key, value)| (key, canonical(value)))
            .filter(|(key, value)| {
                let choice = key.ends_with("Value")
                    || key.starts_with("as")
                    || ["min", "max", "sum"].contains(&key.as_str());
                choice
                    || !matches!(value, Json::String(s) if s.is_empty() || s == "0" || s == "false")
            })
            .collect(),
        Json::Number(number) => {
            let number = number.as_f64().unwrap();
            Json::String(number.to_string())
        }
        Json::Bool(flag) => Json::String(flag.to_string()),
        Json::String(text) => match text.parse::<f64>() {
            Ok(number) if text.len() < 25 => Json::String(number.to_string()),
            _ => Json::String(text.to_lowercase()),
        },
        Json::Null => Json::Null,
    }
}

#[test]
fn jaeger_conformance_traces_are_read() {
    let Some(folder) = headrope_testdata::fixtures::shared_data("jaeger-store/traces") else {
        return;
    };
    let mut spans = 0;
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read(entry.unwrap().path()).unwrap();
        let request: ExportTraceServiceRequest = decode(&text, 8 * text.len()).unwrap();
        let scopes = request.resource_spans.iter().flat_map(|r| &r.scope_spans);
        spans += scopes.map(|s| s.spans.len()).sum::<usize>();
        files += 1;
    }
    assert_eq!(files, 32);
    assert!(spans >= 32, "{spans}");
}
