//! W2: the shape that Jaeger's comparison of storage backends has published figures for: 10 services,
//! 10 spans a trace, and on each span 11 attributes out of 97 keys with 1000 values each.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};

use super::{Schedule, layout, resource, resource_spans, scope, unix};
use crate::attrs::Attrs;
use crate::dice::{Dice, mix};

/// Services.
pub const SERVICES: usize = 10;
/// Operations of a service; one span in a hundred is of a given operation of a given service.
pub const OPERATIONS: u32 = 10;
/// Spans of a trace.
pub const SPANS: u64 = 10;
/// Attributes of a span.
pub const ATTRIBUTES: u64 = 11;
/// Distinct attribute keys. A prime, so that any step through them meets each once.
pub const KEYS: u64 = 97;
/// Distinct values of a key.
pub const VALUES: u32 = 1000;

/// The request with this number.
#[must_use]
pub fn request(schedule: &Schedule, number: u64) -> ExportTraceServiceRequest {
    let mut by_service: [Vec<Span>; SERVICES] = Default::default();
    for record in schedule.numbers(number) {
        let (service, span) = span(schedule, record);
        by_service[service].push(span);
    }
    let resource_spans = by_service.into_iter().enumerate().filter_map(|(service, spans)| {
        let mut attrs = Attrs::with_capacity(3);
        attrs.text("service.name", format!("service-{service}"));
        attrs.text("service.version", "1.2.3").text("host.name", format!("host-{}", service % 4));
        resource_spans(resource(attrs), scope("load-generator", "1.0.0"), spans)
    });
    ExportTraceServiceRequest { resource_spans: resource_spans.collect() }
}

/// A span and its service.
fn span(schedule: &Schedule, record: u64) -> (usize, Span) {
    let place = layout::place(&[SPANS], record);
    let trace = mix(mix(schedule.seed, 0x1ae6), place.trace);
    let length_ns = Dice::new(trace, 0).log_normal(80e6, 0.8) as i64;
    let (from, to) = layout::interval(trace, place.index, length_ns);
    let began = schedule.at_ns(place.first);
    let mut dice = Dice::new(trace, 1 + place.index);
    let service = dice.below(SERVICES as u32);
    let operation = dice.below(OPERATIONS);
    let parent = layout::parent(trace, place.index);
    let kind = match (parent, dice.below(10)) {
        (None, _) | (_, 0..4) => SpanKind::Server,
        (_, 4..8) => SpanKind::Client,
        _ => SpanKind::Internal,
    };
    let span = Span {
        trace_id: layout::trace_id(trace),
        span_id: layout::span_id(trace, place.index),
        trace_state: String::new(),
        parent_span_id: parent.map(|p| layout::span_id(trace, p)).unwrap_or_default(),
        flags: 0x101,
        name: format!("operation-{service}-{operation}"),
        kind: kind as i32,
        start_time_unix_nano: unix(began + from),
        end_time_unix_nano: unix(began + to),
        attributes: attributes(&mut dice).take(),
        dropped_attributes_count: 0,
        events: Vec::new(),
        dropped_events_count: 0,
        links: Vec::new(),
        dropped_links_count: 0,
        status: dice
            .chance(20_000)
            .then(|| Status { message: String::new(), code: StatusCode::Error as i32 }),
    };
    (service as usize, span)
}

fn attributes(dice: &mut Dice) -> Attrs {
    let first = u64::from(dice.below(KEYS as u32));
    let step = 1 + u64::from(dice.below(KEYS as u32 - 1));
    let mut attrs = Attrs::with_capacity(ATTRIBUTES as usize);
    for at in 0..ATTRIBUTES {
        let key = (first + at * step) % KEYS;
        attrs.text(format!("attribute_{key:02}"), format!("value_{:03}", dice.below(VALUES)));
    }
    attrs
}
