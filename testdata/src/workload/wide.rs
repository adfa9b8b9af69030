//! W3: spans as production sends them: 1.2 to 1.7 kB each, with statements, URLs, user agents, more
//! than 25 attributes, resources of pods and containers, and stack traces on errors.

mod attributes;
mod pods;
mod texts;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};

use self::attributes::{Operation, Shape, User};
use self::pods::{PODS, SERVICES};
use super::fill::filled;
use super::{Schedule, layout, resource_spans, scope, unix};
use crate::attrs::Attrs;
use crate::dice::{Dice, mix};

/// Key of an attribute that every span has; each of its values is on one span in a hundred.
pub const TENANT_KEY: &str = "app.tenant.id";
/// Distinct values of [`TENANT_KEY`].
pub const TENANTS: u32 = 100;

/// Sizes of the traces, over and over: 120 spans in 9 traces.
const SIZES: [u64; 9] = [8, 1, 21, 3, 37, 2, 13, 5, 30];
/// Spans that are sent in another order than they begin: what arrives together belongs to many traces.
pub const SHUFFLED: u64 = 24_000;
/// Where a span of a shuffled block comes from; it shares no factor with [`SHUFFLED`].
const STRIDE: u64 = 7919;
/// Operations of a service.
const OPERATIONS: u32 = 8;
/// Spans with an error, in a million.
const ERRORS_PPM: u32 = 30_000;

/// A value of [`TENANT_KEY`].
#[must_use]
pub fn tenant(number: u32) -> String {
    format!("tenant-{:03}", number % TENANTS)
}

/// The request with this number.
#[must_use]
pub fn request(schedule: &Schedule, number: u64) -> ExportTraceServiceRequest {
    let mut by_pod: Vec<Vec<Span>> = (0..PODS).map(|_| Vec::new()).collect();
    for record in schedule.numbers(number) {
        let (pod, span) = span(schedule, record);
        by_pod[pod].push(span);
    }
    let resource_spans = by_pod.into_iter().enumerate().filter_map(|(pod, spans)| {
        let service = pods::service_of(pod);
        let library = format!("io.opentelemetry.{}-instrumentation", service.language);
        resource_spans(pods::resource_of(schedule.seed, pod), scope(&library, service.sdk), spans)
    });
    ExportTraceServiceRequest { resource_spans: resource_spans.collect() }
}

/// A span and its pod.
fn span(schedule: &Schedule, record: u64) -> (usize, Span) {
    let block = record / SHUFFLED * SHUFFLED;
    let place = layout::place(&SIZES, block + (record - block) * STRIDE % SHUFFLED);
    let trace = mix(mix(schedule.seed, 0x31de), place.trace);
    let mut of_trace = Dice::new(trace, 0);
    let length_ns = of_trace.log_normal(120e6, 1.0) as i64;
    let user = User::of(&mut of_trace);
    let (from, to) = layout::interval(trace, place.index, length_ns);
    let began = schedule.at_ns(place.first);
    let mut dice = Dice::new(trace, 1 + place.index);
    let service = dice.below(SERVICES.len() as u32) as usize;
    let operation = dice.below(OPERATIONS);
    let at = Operation { service, number: operation };
    let shape = Shape::of(operation);
    let parent = layout::parent(trace, place.index);
    let error = dice.chance(ERRORS_PPM).then(|| Error::of(&mut dice));
    let mut attrs = Attrs::with_capacity(36);
    attributes::common(&user, &mut dice, &mut attrs);
    let name = attributes::of_shape(at, &user, error.is_some(), &mut dice, &mut attrs);
    let span = Span {
        trace_id: layout::trace_id(trace),
        span_id: layout::span_id(trace, place.index),
        trace_state: String::new(),
        parent_span_id: parent.map(|p| layout::span_id(trace, p)).unwrap_or_default(),
        flags: 0x101,
        name,
        kind: if parent.is_none() { SpanKind::Server } else { shape.kind() } as i32,
        start_time_unix_nano: unix(began + from),
        end_time_unix_nano: unix(began + to),
        attributes: attrs.take(),
        dropped_attributes_count: 0,
        events: error.iter().map(|e| e.event(unix(began + to))).collect(),
        dropped_events_count: 0,
        links: Vec::new(),
        dropped_links_count: 0,
        status: error.map(|e| Status { message: e.message, code: StatusCode::Error as i32 }),
    };
    (pods::pod(service, dice.below(pods::REPLICAS as u32) as usize), span)
}

/// What went wrong.
struct Error {
    kind: &'static str,
    message: String,
    stack: String,
}

impl Error {
    fn of(dice: &mut Dice) -> Self {
        let (kind, message) = texts::ERRORS[dice.below(texts::ERRORS.len() as u32) as usize];
        let message = filled(message, dice);
        let stack =
            format!("{kind}: {message}\n{}", filled(texts::pick(&texts::STACKS, dice), dice));
        Self { kind, message, stack }
    }

    fn event(&self, at: u64) -> Event {
        let mut attrs = Attrs::with_capacity(3);
        attrs.text("exception.type", self.kind).text("exception.message", self.message.as_str());
        attrs.text("exception.stacktrace", self.stack.as_str());
        Event {
            time_unix_nano: at,
            name: "exception".to_owned(),
            attributes: attrs.take(),
            dropped_attributes_count: 0,
        }
    }
}
