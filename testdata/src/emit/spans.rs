//! Trace requests.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::span::{Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

use super::{SCHEMA_URL, scope, span_attrs, trouble, unix};
use crate::catalogue::graph::Proto;
use crate::catalogue::mishaps::Mishap;
use crate::catalogue::services::Language;
use crate::simulate::{Home, Shape, SpanRecord, TraceRecord, Window};
use crate::world::World;

/// W3C flags (sampled, random id) and the OTLP bit that says whether the parent is remote is known.
const FLAGS: u32 = 0x103;
/// The OTLP bit that says the parent is remote.
const REMOTE: u32 = 0x200;

/// Which library made a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Library {
    Server,
    Client,
    Database,
    Own,
    Kafka,
}

fn library(span: &SpanRecord) -> Library {
    match span.shape {
        Shape::Answer(op) => match op.facts().proto {
            Proto::Internal => Library::Own,
            Proto::Consumer(_) => Library::Kafka,
            Proto::Http(..) | Proto::Grpc(_) => Library::Server,
        },
        Shape::Ask(_) | Shape::Charge(_) => Library::Client,
        Shape::Query(_) => Library::Database,
        Shape::Publish => Library::Kafka,
    }
}

/// The window's spans in the order in which they ended, as requests of at most `batch_records`.
pub(crate) fn requests(world: &World, window: &Window) -> Vec<ExportTraceServiceRequest> {
    let mut order: Vec<u32> = (0..window.spans.len() as u32).collect();
    order.retain(|at| !window.spans[*at as usize].lost);
    order.sort_by_key(|at| window.spans[*at as usize].end_ns);
    order.chunks_mut(world.config.batch_records).map(|part| request(world, window, part)).collect()
}

fn request(world: &World, window: &Window, part: &mut [u32]) -> ExportTraceServiceRequest {
    let span = |at: &u32| &window.spans[*at as usize];
    part.sort_by_key(|at| (span(at).home, library(span(at))));
    let mut resource_spans = Vec::new();
    for of_home in part.chunk_by(|a, b| span(a).home == span(b).home) {
        let Some(home) = of_home.first().map(|at| span(at).home) else { continue };
        let scope_spans = of_home
            .chunk_by(|a, b| library(span(a)) == library(span(b)))
            .map(|of_library| scope_spans(window, home, of_library))
            .collect();
        resource_spans.push(ResourceSpans {
            resource: Some(world.resources.instance(home).clone()),
            scope_spans,
            schema_url: SCHEMA_URL.to_owned(),
        });
    }
    ExportTraceServiceRequest { resource_spans }
}

fn scope_spans(window: &Window, home: Home, part: &[u32]) -> ScopeSpans {
    let service = home.instance.service();
    let runtime = service.language.runtime();
    let kind = part.first().map_or(Library::Own, |at| library(&window.spans[*at as usize]));
    let name = match (kind, service.language) {
        (Library::Server, _) => runtime.server_scope,
        (Library::Client, _) => runtime.client_scope,
        (Library::Database, _) => runtime.database_scope,
        (Library::Own, _) => service.name,
        (Library::Kafka, Language::Java) => "io.opentelemetry.kafka-clients-2.6",
        (Library::Kafka, Language::Node) => "@opentelemetry/instrumentation-kafkajs",
        (Library::Kafka, _) => "OpenTelemetry::Instrumentation::Rdkafka",
    };
    let version = if kind == Library::Own { service.version } else { runtime.sdk_version };
    ScopeSpans {
        scope: Some(scope(name, version)),
        spans: part.iter().map(|at| span(window, &window.spans[*at as usize])).collect(),
        schema_url: String::new(),
    }
}

fn span(window: &Window, record: &SpanRecord) -> Span {
    let trace = &window.traces[record.trace as usize];
    let mut flags = FLAGS;
    if span_kind(record.shape) == SpanKind::Server || record.link != 0 {
        flags |= REMOTE;
    }
    let parent_span_id =
        if record.parent == 0 { Vec::new() } else { record.parent.to_be_bytes().to_vec() };
    let events = match record.mishap {
        Some(mishap) if failed(record, mishap) => {
            vec![trouble::event(record, mishap, name(record))]
        }
        _ => Vec::new(),
    };
    Span {
        trace_id: trace.id.to_vec(),
        span_id: record.id.to_be_bytes().to_vec(),
        trace_state: trace_state(trace),
        parent_span_id,
        flags,
        name: name(record).to_owned(),
        kind: span_kind(record.shape) as i32,
        start_time_unix_nano: unix(record.start_ns),
        end_time_unix_nano: unix(record.end_ns),
        attributes: span_attrs::attributes(trace, record),
        dropped_attributes_count: 0,
        events,
        dropped_events_count: 0,
        links: links(window, record),
        dropped_links_count: 0,
        status: status(record),
    }
}

/// One user in a hundred is in the canary group, which travels in the trace state.
fn trace_state(trace: &TraceRecord) -> String {
    if trace.draws.is_multiple_of(100) { "shop=canary".to_owned() } else { String::new() }
}

fn links(window: &Window, record: &SpanRecord) -> Vec<Link> {
    let Some((trace_id, span_id)) = window.links.get((record.link as usize).wrapping_sub(1)) else {
        return Vec::new();
    };
    vec![Link {
        trace_id: trace_id.to_vec(),
        span_id: span_id.to_be_bytes().to_vec(),
        trace_state: String::new(),
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        flags: FLAGS | REMOTE,
    }]
}

/// The span's name.
pub(super) fn name(record: &SpanRecord) -> &'static str {
    match record.shape {
        Shape::Answer(op) => op.facts().name,
        Shape::Ask(op) => match op.facts().proto {
            Proto::Grpc(method) => method,
            Proto::Http(method, _) => method,
            Proto::Internal | Proto::Consumer(_) => op.facts().name,
        },
        Shape::Query(stmt) => stmt.facts().summary,
        Shape::Charge(_) => "POST",
        Shape::Publish => "send orders",
    }
}

pub(super) fn span_kind(shape: Shape) -> SpanKind {
    match shape {
        Shape::Answer(op) => match op.facts().proto {
            Proto::Http(..) | Proto::Grpc(_) => SpanKind::Server,
            Proto::Internal => SpanKind::Internal,
            Proto::Consumer(_) => SpanKind::Consumer,
        },
        Shape::Ask(_) | Shape::Query(_) | Shape::Charge(_) => SpanKind::Client,
        Shape::Publish => SpanKind::Producer,
    }
}

/// Whether the span's status is error: a server is not to blame for its caller's mistakes, a client
/// reports every failure (semantic conventions for HTTP and RPC).
pub(crate) fn failed(record: &SpanRecord, mishap: Mishap) -> bool {
    span_kind(record.shape) != SpanKind::Server || !mishap.is_callers()
}

fn status(record: &SpanRecord) -> Option<Status> {
    match record.mishap {
        Some(mishap) if failed(record, mishap) => {
            // HTTP instrumentation leaves the message empty; the others say what happened.
            let silent = matches!(record.shape, Shape::Ask(_)) && !record.origin;
            let message = if silent { String::new() } else { mishap.facts().message.to_owned() };
            Some(Status { message, code: StatusCode::Error as i32 })
        }
        _ if record.shape == Shape::Publish => {
            Some(Status { message: String::new(), code: StatusCode::Ok as i32 })
        }
        _ => None,
    }
}
