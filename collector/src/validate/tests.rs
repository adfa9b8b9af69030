use headrope_model::RefuseReason as R;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, KeyValue, KeyValueList, any_value::Value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram,
    HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data,
    number_data_point,
};
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span,
    span::{Event, Link},
};
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::pipeline::judge;
use headrope_storage::Export;
use headrope_testdata::arbitrary::Dice;

const NOW: u64 = 1_700_000_000_000_000_000;

fn good_span() -> Span {
    Span {
        trace_id: vec![1; 16],
        span_id: vec![1; 8],
        start_time_unix_nano: NOW,
        end_time_unix_nano: NOW,
        ..Span::default()
    }
}

fn traces(spans: Vec<Span>) -> Export {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    Export::Traces(ExportTraceServiceRequest { resource_spans })
}

fn logs(log_records: Vec<LogRecord>) -> Export {
    let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
    let resource_logs = vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }];
    Export::Logs(ExportLogsServiceRequest { resource_logs })
}

fn metric(data: Data) -> Export {
    let metrics = vec![Metric { name: "m".into(), data: Some(data), ..Metric::default() }];
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    let resource_metrics = vec![ResourceMetrics { scope_metrics, ..ResourceMetrics::default() }];
    Export::Metrics(ExportMetricsServiceRequest { resource_metrics })
}

fn run(export: &mut Export) -> Verdict {
    judge(export, &Limits::default(), true, NOW)
}

/// The reason why the only record of `export` is refused.
fn reason(mut export: Export) -> Option<R> {
    let verdict = run(&mut export);
    assert_eq!(verdict.accepted + verdict.refused.total(), 1);
    assert_eq!(verdict.changed, verdict.accepted == 0);
    verdict.refused.iter().next().map(|(reason, _)| reason)
}

fn span_reason(edit: impl FnOnce(&mut Span)) -> Option<R> {
    let mut span = good_span();
    edit(&mut span);
    reason(traces(vec![span]))
}

fn nested(levels: usize, list: bool) -> AnyValue {
    (0..levels).fold(AnyValue { value: Some(Value::IntValue(1)) }, |inner, _| {
        let value = if list {
            let value = Some(inner);
            let pair = KeyValue { key: "k".into(), value, ..KeyValue::default() };
            Value::KvlistValue(KeyValueList { values: vec![pair] })
        } else {
            Value::ArrayValue(ArrayValue { values: vec![AnyValue::default(), inner] })
        };
        AnyValue { value: Some(value) }
    })
}

fn attribute(value: AnyValue) -> Vec<KeyValue> {
    vec![KeyValue { key: "k".into(), value: Some(value), ..KeyValue::default() }]
}

#[test]
fn spans_one_fault_at_a_time() {
    assert_eq!(span_reason(|_| ()), None);
    assert_eq!(span_reason(|s| s.trace_id[15] = 0), None);
    assert_eq!(span_reason(|s| s.trace_id = vec![0; 16]), Some(R::InvalidTraceId));
    assert_eq!(span_reason(|s| s.trace_id = vec![1; 8]), Some(R::InvalidTraceId));
    assert_eq!(span_reason(|s| s.span_id = vec![0; 8]), Some(R::InvalidSpanId));
    assert_eq!(span_reason(|s| s.span_id = vec![1; 9]), Some(R::InvalidSpanId));
    assert_eq!(span_reason(|s| s.parent_span_id = vec![0; 8]), None);
    assert_eq!(span_reason(|s| s.parent_span_id = vec![1; 16]), Some(R::InvalidParentSpanId));
    assert_eq!(span_reason(|s| s.start_time_unix_nano = 0), Some(R::InvalidTime));
    assert_eq!(span_reason(|s| s.end_time_unix_nano = 0), Some(R::InvalidTime));
    assert_eq!(span_reason(|s| s.end_time_unix_nano = 1 << 63), Some(R::InvalidTime));
    assert_eq!(span_reason(|s| s.end_time_unix_nano = (1 << 63) - 1), None);
    assert_eq!(span_reason(|s| s.end_time_unix_nano = NOW - 1), Some(R::EndBeforeStart));
    let link = |trace_id: usize, span_id: usize| {
        let link =
            Link { trace_id: vec![0; trace_id], span_id: vec![0; span_id], ..Link::default() };
        span_reason(|s| s.links.push(link))
    };
    assert_eq!(link(16, 8), None);
    assert_eq!(link(0, 0), None);
    assert_eq!(link(16, 7), Some(R::InvalidLink));
    assert_eq!(link(1, 8), Some(R::InvalidLink));
    let event = |time_unix_nano| {
        span_reason(|s| s.events.push(Event { time_unix_nano, ..Event::default() }))
    };
    assert_eq!(event(0), None);
    assert_eq!(event(u64::MAX), Some(R::InvalidTime));
}

#[test]
fn depth_is_counted_in_containers() {
    for list in [false, true] {
        assert_eq!(span_reason(|s| s.attributes = attribute(nested(32, list))), None);
        assert_eq!(span_reason(|s| s.attributes = attribute(nested(33, list))), Some(R::TooDeep));
    }
    let event = Event { attributes: attribute(nested(33, true)), ..Event::default() };
    assert_eq!(span_reason(|s| s.events.push(event)), Some(R::TooDeep));
    let body = |levels| {
        let body = Some(nested(levels, false));
        reason(logs(vec![LogRecord { time_unix_nano: 1, body, ..LogRecord::default() }]))
    };
    assert_eq!(body(32), None);
    assert_eq!(body(33), Some(R::TooDeep));
}

#[test]
fn size_is_that_of_the_record_or_of_what_it_shares() {
    let limit = Limits::default().max_record_bytes;
    let text = |n: usize| AnyValue { value: Some(Value::StringValue("x".repeat(n))) };
    let mut span = good_span();
    span.attributes = attribute(text(limit));
    let over = span.encoded_len() - limit;
    assert_eq!(span_reason(|s| s.attributes = attribute(text(limit))), Some(R::RecordTooLarge));
    assert_eq!(span_reason(|s| s.attributes = attribute(text(limit - over))), None);

    let mut export = traces(vec![good_span(), good_span()]);
    if let Export::Traces(request) = &mut export {
        let resource = request.resource_spans[0].resource.get_or_insert_default();
        resource.attributes = attribute(text(limit + 1));
        request.resource_spans.push(request.resource_spans[0].clone());
        request.resource_spans[1].resource = None;
    }
    let verdict = run(&mut export);
    assert_eq!((verdict.accepted, verdict.refused.total()), (2, 2));
    let Export::Traces(request) = &export else { unreachable!() };
    assert_eq!(request.resource_spans.len(), 1, "empty envelopes go with their records");
}

#[test]
fn logs_without_a_time_get_the_receive_time() {
    let mut export = logs(vec![
        LogRecord::default(),
        LogRecord { observed_time_unix_nano: 5, ..LogRecord::default() },
        LogRecord { time_unix_nano: 6, ..LogRecord::default() },
    ]);
    let verdict = run(&mut export);
    assert_eq!((verdict.accepted, verdict.changed), (3, true));
    let Export::Logs(request) = &export else { unreachable!() };
    let records = &request.resource_logs[0].scope_logs[0].log_records;
    let times: Vec<_> =
        records.iter().map(|r| (r.time_unix_nano, r.observed_time_unix_nano)).collect();
    assert_eq!(times, [(0, NOW), (0, 5), (6, 0)]);

    let bad = |edit: fn(&mut LogRecord)| {
        let mut record = LogRecord { time_unix_nano: 1, ..LogRecord::default() };
        edit(&mut record);
        reason(logs(vec![record]))
    };
    assert_eq!(bad(|r| r.trace_id = vec![0; 16]), None);
    assert_eq!(bad(|r| r.trace_id = vec![1; 4]), Some(R::InvalidTraceId));
    assert_eq!(bad(|r| r.span_id = vec![1; 16]), Some(R::InvalidSpanId));
    assert_eq!(bad(|r| r.time_unix_nano = u64::MAX), Some(R::InvalidTime));
    assert_eq!(bad(|r| r.observed_time_unix_nano = u64::MAX), Some(R::InvalidTime));
}

#[test]
fn numbers() {
    let number = |edit: fn(&mut NumberDataPoint)| {
        let value = Some(number_data_point::Value::AsDouble(f64::NAN));
        let mut point = NumberDataPoint { time_unix_nano: NOW, value, ..Default::default() };
        edit(&mut point);
        reason(metric(Data::Gauge(Gauge { data_points: vec![point] })))
    };
    assert_eq!(number(|_| ()), None);
    assert_eq!(number(|p| p.value = None), Some(R::EmptyMetric));
    assert_eq!(number(|p| (p.value, p.flags) = (None, 1)), None);
    assert_eq!(number(|p| p.time_unix_nano = 0), Some(R::InvalidTime));
    assert_eq!(number(|p| p.start_time_unix_nano = NOW + 1), None);
    assert_eq!(number(|p| p.start_time_unix_nano = 1 << 63), Some(R::InvalidTime));
    assert_eq!(number(|p| p.exemplars.push(Exemplar::default())), None);
    let bad = |p: &mut NumberDataPoint| {
        p.exemplars.push(Exemplar { trace_id: vec![1; 3], ..Default::default() });
    };
    assert_eq!(number(bad), Some(R::InvalidTraceId));
}

#[test]
fn histograms() {
    let explicit = |bounds: &[f64], counts: &[u64]| {
        let point = HistogramDataPoint {
            time_unix_nano: NOW,
            explicit_bounds: bounds.to_vec(),
            bucket_counts: counts.to_vec(),
            ..Default::default()
        };
        reason(metric(Data::Histogram(Histogram {
            data_points: vec![point],
            ..Default::default()
        })))
    };
    assert_eq!(explicit(&[], &[]), None);
    assert_eq!(explicit(&[], &[7]), None);
    assert_eq!(explicit(&[1.0, 2.0], &[1, 2, 3]), None);
    for (bounds, counts) in [
        (&[1.0, 2.0][..], &[1, 2][..]),
        (&[1.0], &[]),
        (&[2.0, 1.0], &[1, 2, 3]),
        (&[1.0, 1.0], &[1, 2, 3]),
        (&[f64::NAN], &[1, 2]),
    ] {
        assert_eq!(explicit(bounds, counts), Some(R::InvalidHistogram), "{bounds:?} {counts:?}");
    }
    let exponential = |scale, offset, len| {
        let positive = Some(Buckets { offset, bucket_counts: vec![1; len] });
        let point = ExponentialHistogramDataPoint {
            time_unix_nano: NOW,
            scale,
            positive,
            ..Default::default()
        };
        let data_points = vec![point];
        let data = ExponentialHistogram { data_points, ..Default::default() };
        reason(metric(Data::ExponentialHistogram(data)))
    };
    assert_eq!(exponential(20, i32::MIN, 3), None);
    assert_eq!(exponential(-10, i32::MAX - 3, 3), None);
    assert_eq!(exponential(21, 0, 3), Some(R::InvalidHistogram));
    assert_eq!(exponential(-11, 0, 3), Some(R::InvalidHistogram));
    assert_eq!(exponential(0, i32::MAX - 2, 3), Some(R::InvalidHistogram));
}

fn encoded(export: &Export) -> Vec<u8> {
    match export {
        Export::Traces(request) => request.encode_to_vec(),
        Export::Metrics(request) => request.encode_to_vec(),
        Export::Logs(request) => request.encode_to_vec(),
    }
}

fn damaged(dice: &mut Dice, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=dice.below(2) {
        let at = dice.below(bytes.len() as u64 + 1) as usize;
        match dice.below(4) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, dice.next() as u8),
            2 => bytes.extend_from_within(at..),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << dice.below(8);
                }
            }
        }
    }
    bytes
}

#[test]
fn sizes_and_depth_are_left_to_the_judge() {
    let mut dice = Dice::plain(3);
    let request = loop {
        let request = dice.logs();
        if plain_records(Signal::Logs, &request.encode_to_vec(), &Limits::default()) > Some(0) {
            break request.encode_to_vec();
        }
    };
    let small = Limits { max_record_bytes: 1, ..Limits::default() };
    assert_eq!(plain_records(Signal::Logs, &request, &small), None);
    assert_eq!(plain_records(Signal::Metrics, &[], &Limits::default()), None);
}

#[test]
fn a_metric_without_points_is_an_empty_envelope() {
    let mut export = metric(Data::Gauge(Gauge::default()));
    assert_eq!(run(&mut export), Verdict::default());
    let point = NumberDataPoint {
        time_unix_nano: NOW,
        value: Some(number_data_point::Value::AsInt(1)),
        ..Default::default()
    };
    let mut export = metric(Data::Gauge(Gauge { data_points: vec![point; 3] }));
    if let Export::Metrics(request) = &mut export {
        request.resource_metrics[0].scope_metrics[0].metrics[0].name.clear();
    }
    let verdict = run(&mut export);
    assert_eq!(verdict.refused.iter().collect::<Vec<_>>(), [(R::EmptyMetric, 3)]);
}

proptest! {
    /// A request is called plain only if all its records are kept and nothing is changed.
    #[test]
    fn plain_requests_are_kept_whole(seed in any::<u64>()) {
        let mut dice = if seed % 2 == 0 { Dice::new(seed) } else { Dice::plain(seed) };
        for export in [Export::Traces(dice.traces()), Export::Logs(dice.logs())] {
            let payload = encoded(&export);
            let records = plain_records(export.signal(), &payload, &Limits::default());
            // What is generated as plain is recognised as such.
            prop_assert!(seed % 2 == 0 || records.is_some());
            let mut payloads = vec![payload];
            for _ in 0..8 {
                payloads.push(damaged(&mut dice, &payloads[0]));
            }
            for payload in payloads {
                let records = plain_records(export.signal(), &payload, &Limits::default());
                let Some(records) = records else { continue };
                let mut decoded = Export::decode(export.signal(), &payload).unwrap();
                let verdict = run(&mut decoded);
                prop_assert_eq!(verdict.accepted, records);
                prop_assert_eq!(verdict.refused.total(), 0);
                prop_assert!(!verdict.changed);
            }
        }
    }

    /// What is kept passes again unchanged, nothing is counted twice, and nothing is lost.
    #[test]
    fn judging_is_stable_and_complete(seed in any::<u64>()) {
        let mut dice = Dice::new(seed);
        for mut export in
            [Export::Traces(dice.traces()), Export::Logs(dice.logs()), Export::Metrics(dice.metrics())]
        {
            let before = format!("{export:?}");
            let first = run(&mut export);
            prop_assert_eq!(first.changed, before != format!("{export:?}"));
            let kept = format!("{export:?}");
            let second = run(&mut export);
            prop_assert_eq!(second.accepted, first.accepted);
            prop_assert_eq!(second.refused.total(), 0);
            prop_assert!(!second.changed);
            prop_assert_eq!(kept, format!("{export:?}"));
        }
    }
}
