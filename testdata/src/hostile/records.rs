//! Spans and log records with bad fields.

use headrope_model::{RefuseReason, Signal};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::Link;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;

use super::{Answer, Case};
use crate::attrs::{Attrs, string_value};
use crate::dice::mix;

pub(super) fn resource() -> Resource {
    let mut attrs = Attrs::with_capacity(1);
    attrs.text("service.name", "hostile");
    Resource { attributes: attrs.take(), ..Resource::default() }
}

/// A good span; its ids come from `number`.
pub(super) fn span(number: u64, at_ns: u64) -> Span {
    let mut trace_id = (mix(0x7e57, number) | 1).to_be_bytes().to_vec();
    trace_id.extend(number.to_be_bytes());
    Span {
        trace_id,
        span_id: (mix(0x59a9, number) | 1).to_be_bytes().to_vec(),
        name: "probe".to_owned(),
        kind: 2,
        start_time_unix_nano: at_ns,
        end_time_unix_nano: at_ns + 1_000_000,
        ..Span::default()
    }
}

pub(super) fn trace_request(spans: Vec<Span>) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource()),
            scope_spans: vec![ScopeSpans { spans, ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }],
    }
}

pub(super) fn numbered(number: u64) -> KeyValue {
    KeyValue {
        key: format!("key.{number:07}"),
        value: Some(AnyValue { value: Some(Value::IntValue(number as i64)) }),
        key_strindex: 0,
    }
}

pub(super) fn nested(levels: usize) -> AnyValue {
    let mut value = string_value("bottom");
    for _ in 0..levels {
        value = AnyValue { value: Some(Value::ArrayValue(ArrayValue { values: vec![value] })) };
    }
    value
}

pub(super) fn deep_span(levels: usize, at_ns: u64) -> Span {
    let mut bad = span(1, at_ns);
    bad.attributes =
        vec![KeyValue { key: "deep".into(), value: Some(nested(levels)), key_strindex: 0 }];
    bad
}

fn log(number: u64, at_ns: u64) -> LogRecord {
    LogRecord {
        time_unix_nano: at_ns + number,
        observed_time_unix_nano: at_ns + number,
        severity_number: 9,
        severity_text: "INFO".to_owned(),
        body: Some(string_value(format!("probe line {number}"))),
        ..LogRecord::default()
    }
}

fn log_request(log_records: Vec<LogRecord>) -> ExportLogsServiceRequest {
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource()),
            scope_logs: vec![ScopeLogs { log_records, ..ScopeLogs::default() }],
            ..ResourceLogs::default()
        }],
    }
}

/// A way to spoil a span.
type Spoil = (&'static str, RefuseReason, fn(&mut Span));

const BAD_SPANS: &[Spoil] = &[
    ("empty trace id", RefuseReason::InvalidTraceId, |s| s.trace_id.clear()),
    ("zero trace id", RefuseReason::InvalidTraceId, |s| s.trace_id = vec![0; 16]),
    ("short trace id", RefuseReason::InvalidTraceId, |s| s.trace_id.truncate(8)),
    ("long trace id", RefuseReason::InvalidTraceId, |s| s.trace_id.push(1)),
    ("empty span id", RefuseReason::InvalidSpanId, |s| s.span_id.clear()),
    ("zero span id", RefuseReason::InvalidSpanId, |s| s.span_id = vec![0; 8]),
    ("short span id", RefuseReason::InvalidSpanId, |s| s.span_id.truncate(7)),
    ("short parent id", RefuseReason::InvalidParentSpanId, |s| s.parent_span_id = vec![1; 5]),
    ("link with a short trace id", RefuseReason::InvalidLink, |s| {
        s.links = vec![Link { trace_id: vec![1; 3], span_id: vec![1; 8], ..Link::default() }];
    }),
    ("end before start", RefuseReason::EndBeforeStart, |s| {
        s.end_time_unix_nano = s.start_time_unix_nano - 1;
    }),
    ("start beyond the year 2262", RefuseReason::InvalidTime, |s| {
        s.start_time_unix_nano = u64::MAX - 1;
        s.end_time_unix_nano = u64::MAX;
    }),
    ("start at zero", RefuseReason::InvalidTime, |s| s.start_time_unix_nano = 0),
];

/// A way to make a span odd but legal.
type Bend = (&'static str, fn(&mut Span));

const ODD_SPANS: &[Bend] = &[
    ("zero duration", |s| s.end_time_unix_nano = s.start_time_unix_nano),
    ("empty name", |s| s.name.clear()),
    ("its own parent", |s| s.parent_span_id = s.span_id.clone()),
    ("unknown kind and flags", |s| (s.kind, s.flags) = (77, u32::MAX)),
    ("attribute without a value", |s| {
        s.attributes = vec![KeyValue { key: "empty".into(), value: None, key_strindex: 0 }];
    }),
    ("the same key twice", |s| s.attributes = vec![numbered(1), numbered(1)]),
    ("not-a-number and infinite attributes", |s| {
        let mut attrs = Attrs::with_capacity(3);
        attrs.double("nan", f64::NAN).double("up", f64::INFINITY).double("down", f64::NEG_INFINITY);
        s.attributes = attrs.take();
    }),
    ("control characters and quotes", |s| s.name = "a\0b\"c\\d\n\u{202e}e\u{10ffff}".into()),
];

pub(super) fn cases(at_ns: u64) -> Vec<Case> {
    let mut all = Vec::new();
    for (name, reason, spoil) in BAD_SPANS {
        let mut bad = span(1, at_ns);
        spoil(&mut bad);
        let body = trace_request(vec![span(0, at_ns), bad]).encode_to_vec();
        let answer = Answer::Partly { accepted: 1, refused: 1, reason: *reason };
        all.push(Case::new(name, Signal::Traces, body, answer));
    }
    for (name, change) in ODD_SPANS {
        let mut odd = span(1, at_ns);
        change(&mut odd);
        let body = trace_request(vec![span(0, at_ns), odd]).encode_to_vec();
        all.push(Case::new(name, Signal::Traces, body, Answer::Accepted { records: 2 }));
    }
    let body = trace_request(vec![span(0, at_ns), deep_span(40, at_ns)]).encode_to_vec();
    let too_deep = Answer::Partly { accepted: 1, refused: 1, reason: RefuseReason::TooDeep };
    all.push(Case::new("attribute 40 levels deep", Signal::Traces, body, too_deep));
    all.extend(log_cases(at_ns, too_deep));
    all
}

fn log_cases(at_ns: u64, too_deep: Answer) -> Vec<Case> {
    let mut deep = log(1, at_ns);
    deep.body = Some(nested(40));
    let mut bare = log(1, at_ns);
    bare.body = None;
    bare.observed_time_unix_nano = 0;
    let with = |record: LogRecord| log_request(vec![log(0, at_ns), record]).encode_to_vec();
    vec![
        Case::new("log body 40 levels deep", Signal::Logs, with(deep), too_deep),
        Case::new(
            "log record without body and observed time",
            Signal::Logs,
            with(bare),
            Answer::Accepted { records: 2 },
        ),
    ]
}
