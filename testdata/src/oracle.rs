//! The oracle: folds OTLP requests and answers exactly what a backend is asked about them.
//!
//! Service is `service.name` of the resource (`unknown_service` when missing or empty), operation is
//! the span name, duration is end minus start. It keeps every duration and every span's identity:
//! about 130 bytes a span, log terms included.

mod rank;
mod terms;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use headrope_model::semconv::{SERVICE_NAME, UNKNOWN_SERVICE};
use headrope_model::{SpanId, TraceId};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use crate::shop::Slice;

pub use rank::{By, Kinds, OperationStats, Ranked};
pub use terms::{body_text, tokens};

/// Exact answers about everything that was folded in.
#[derive(Debug, Clone, Default)]
pub struct Oracle {
    names: Names,
    spans: u64,
    span_errors: u64,
    logs: u64,
    points: u64,
    groups: HashMap<GroupKey, Group>,
    traces: HashMap<TraceId, Vec<Kept>>,
    logs_by_service: HashMap<u32, BTreeMap<i32, u64>>,
    logs_by_trace: HashMap<TraceId, u64>,
    points_by_metric: BTreeMap<String, u64>,
    terms: Option<HashMap<String, u64>>,
    ignored: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct GroupKey {
    service: u32,
    name: u32,
    kind: i32,
}

#[derive(Debug, Clone, Default)]
struct Group {
    errors: u64,
    total_ns: u128,
    max_ns: u64,
    durations: Vec<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Kept {
    span_id: [u8; 8],
    parent: [u8; 8],
    service: u32,
    name: u32,
    start_ns: u64,
    duration_ns: u64,
    status: u8,
    kind: u8,
}

/// A span as the oracle knows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OracleSpan {
    /// Span id.
    pub span_id: SpanId,
    /// Parent span id; `None` for a root.
    pub parent: Option<SpanId>,
    /// Service.
    pub service: String,
    /// Operation (span name).
    pub name: String,
    /// Start, Unix nanoseconds.
    pub start_ns: u64,
    /// Duration in nanoseconds.
    pub duration_ns: u64,
    /// OTLP status code: 0 unset, 1 ok, 2 error.
    pub status: i32,
    /// OTLP span kind number.
    pub kind: i32,
}

/// Text to number and back, so that a span costs two numbers instead of two strings.
#[derive(Debug, Clone, Default)]
struct Names {
    by_text: HashMap<String, u32>,
    by_number: Vec<String>,
}

impl Names {
    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.by_text.get(text) {
            return *number;
        }
        let number = u32::try_from(self.by_number.len()).unwrap_or(u32::MAX);
        self.by_number.push(text.to_owned());
        self.by_text.insert(text.to_owned(), number);
        number
    }

    fn text(&self, number: u32) -> &str {
        self.by_number.get(number as usize).map_or("", String::as_str)
    }
}

impl Oracle {
    /// An empty oracle that answers everything.
    #[must_use]
    pub fn new() -> Self {
        Self { terms: Some(HashMap::new()), ..Self::default() }
    }

    /// An empty oracle that does not keep log terms, which are most of its memory.
    #[must_use]
    pub fn without_terms() -> Self {
        Self::default()
    }

    /// Folds all requests of a slice.
    pub fn fold(&mut self, slice: &Slice) {
        slice.traces.iter().for_each(|r| self.fold_traces(r));
        slice.logs.iter().for_each(|r| self.fold_logs(r));
        slice.metrics.iter().for_each(|r| self.fold_metrics(r));
    }

    /// Folds a trace request. Spans with invalid ids are counted in [`Oracle::ignored`] only.
    pub fn fold_traces(&mut self, request: &ExportTraceServiceRequest) {
        for resource in &request.resource_spans {
            let service = self.service(resource.resource.as_ref());
            for span in resource.scope_spans.iter().flat_map(|s| &s.spans) {
                self.fold_span(service, span);
            }
        }
    }

    fn fold_span(&mut self, service: u32, span: &Span) {
        let id = TraceId::from_bytes(&span.trace_id).zip(SpanId::from_bytes(&span.span_id));
        let Some((trace_id, span_id)) = id else {
            self.ignored += 1;
            return;
        };
        let name = self.names.number(&span.name);
        let duration_ns = span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano);
        let status = span.status.as_ref().map_or(0, |s| s.code);
        let failed = status == StatusCode::Error as i32;
        self.spans += 1;
        self.span_errors += u64::from(failed);
        let group = self.groups.entry(GroupKey { service, name, kind: span.kind }).or_default();
        group.errors += u64::from(failed);
        group.total_ns += u128::from(duration_ns);
        group.max_ns = group.max_ns.max(duration_ns);
        group.durations.push(duration_ns);
        let parent = SpanId::from_bytes(&span.parent_span_id).map_or([0; 8], |p| *p.bytes());
        self.traces.entry(trace_id).or_default().push(Kept {
            span_id: *span_id.bytes(),
            parent,
            service,
            name,
            start_ns: span.start_time_unix_nano,
            duration_ns,
            status: u8::try_from(status).unwrap_or(u8::MAX),
            kind: u8::try_from(span.kind).unwrap_or(u8::MAX),
        });
    }

    /// Folds a log request.
    pub fn fold_logs(&mut self, request: &ExportLogsServiceRequest) {
        for resource in &request.resource_logs {
            let service = self.service(resource.resource.as_ref());
            for record in resource.scope_logs.iter().flat_map(|s| &s.log_records) {
                self.logs += 1;
                let by_severity = self.logs_by_service.entry(service).or_default();
                *by_severity.entry(record.severity_number).or_default() += 1;
                if let Some(trace_id) = TraceId::from_bytes(&record.trace_id) {
                    *self.logs_by_trace.entry(trace_id).or_default() += 1;
                }
                if let (Some(terms), Some(body)) = (&mut self.terms, &record.body) {
                    terms::count(&body_text(body), terms);
                }
            }
        }
    }

    /// Folds a metric request.
    pub fn fold_metrics(&mut self, request: &ExportMetricsServiceRequest) {
        let scopes = request.resource_metrics.iter().flat_map(|r| &r.scope_metrics);
        for metric in scopes.flat_map(|s| &s.metrics) {
            let points = match &metric.data {
                Some(Data::Gauge(d)) => d.data_points.len(),
                Some(Data::Sum(d)) => d.data_points.len(),
                Some(Data::Histogram(d)) => d.data_points.len(),
                Some(Data::ExponentialHistogram(d)) => d.data_points.len(),
                Some(Data::Summary(d)) => d.data_points.len(),
                None => 0,
            } as u64;
            self.points += points;
            *self.points_by_metric.entry(metric.name.clone()).or_default() += points;
        }
    }

    fn service(&mut self, resource: Option<&Resource>) -> u32 {
        let named = resource.into_iter().flat_map(|r| &r.attributes).find_map(|kv| {
            match kv.value.as_ref().and_then(|v| v.value.as_ref()) {
                Some(Value::StringValue(name)) if kv.key == SERVICE_NAME && !name.is_empty() => {
                    Some(name.as_str())
                }
                _ => None,
            }
        });
        self.names.number(named.unwrap_or(UNKNOWN_SERVICE))
    }

    /// Spans folded in.
    #[must_use]
    pub fn span_count(&self) -> u64 {
        self.spans
    }

    /// Spans whose status is error.
    #[must_use]
    pub fn error_count(&self) -> u64 {
        self.span_errors
    }

    /// Log records folded in.
    #[must_use]
    pub fn log_count(&self) -> u64 {
        self.logs
    }

    /// Metric data points folded in.
    #[must_use]
    pub fn point_count(&self) -> u64 {
        self.points
    }

    /// Spans that were not counted because their ids are invalid.
    #[must_use]
    pub fn ignored(&self) -> u64 {
        self.ignored
    }

    /// Distinct trace ids of spans.
    #[must_use]
    pub fn trace_count(&self) -> usize {
        self.traces.len()
    }

    /// The spans of a trace, ordered by (start, span id); empty when the trace is unknown.
    #[must_use]
    pub fn trace(&self, id: &TraceId) -> Vec<OracleSpan> {
        let kept = self.traces.get(id).map_or(&[][..], Vec::as_slice);
        let mut spans: Vec<OracleSpan> = kept.iter().filter_map(|k| self.shown(k)).collect();
        spans.sort_by_key(|s| (s.start_ns, s.span_id));
        spans
    }

    fn shown(&self, kept: &Kept) -> Option<OracleSpan> {
        Some(OracleSpan {
            span_id: SpanId::from_bytes(&kept.span_id)?,
            parent: SpanId::from_bytes(&kept.parent),
            service: self.names.text(kept.service).to_owned(),
            name: self.names.text(kept.name).to_owned(),
            start_ns: kept.start_ns,
            duration_ns: kept.duration_ns,
            status: i32::from(kept.status),
            kind: i32::from(kept.kind),
        })
    }

    /// Every trace id, in ascending order.
    #[must_use]
    pub fn trace_ids(&self) -> Vec<TraceId> {
        let mut ids: Vec<TraceId> = self.traces.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// `count` distinct trace ids chosen by `seed` (all of them when there are fewer).
    #[must_use]
    pub fn sample_traces(&self, count: usize, seed: u64) -> Vec<TraceId> {
        let mut ids = self.trace_ids();
        let mut state = seed;
        for at in 0..count.min(ids.len()) {
            state = crate::dice::mix(state, at as u64);
            let left = (ids.len() - at) as u64;
            let pick = at + usize::try_from(state % left).unwrap_or_default();
            ids.swap(at, pick);
        }
        ids.truncate(count);
        ids
    }

    /// Log records per OTLP severity number, for one service.
    #[must_use]
    pub fn logs_by_severity(&self, service: &str) -> BTreeMap<i32, u64> {
        let number = self.names.by_text.get(service);
        number.and_then(|n| self.logs_by_service.get(n)).cloned().unwrap_or_default()
    }

    /// Log records per service.
    #[must_use]
    pub fn logs_by_service(&self) -> BTreeMap<String, u64> {
        let named = |(n, c): (&u32, &BTreeMap<i32, u64>)| {
            (self.names.text(*n).to_owned(), c.values().sum::<u64>())
        };
        self.logs_by_service.iter().map(named).collect()
    }

    /// Log records that carry this trace id.
    #[must_use]
    pub fn logs_of_trace(&self, id: &TraceId) -> u64 {
        self.logs_by_trace.get(id).copied().unwrap_or_default()
    }

    /// Log records whose body contains the term (see [`tokens`]); `None` if terms are not kept.
    #[must_use]
    pub fn logs_with_term(&self, term: &str) -> Option<u64> {
        let terms = self.terms.as_ref()?;
        Some(terms.get(&term.to_lowercase()).copied().unwrap_or_default())
    }

    /// Every term with the number of log records that contain it; `None` if terms are not kept.
    #[must_use]
    pub fn terms(&self) -> Option<&HashMap<String, u64>> {
        self.terms.as_ref()
    }

    /// Data points per metric name.
    #[must_use]
    pub fn points_by_metric(&self) -> &BTreeMap<String, u64> {
        &self.points_by_metric
    }

    /// Whether the kind is one that answers a caller (server or consumer).
    const fn is_entry(kind: i32) -> bool {
        kind == SpanKind::Server as i32 || kind == SpanKind::Consumer as i32
    }
}
