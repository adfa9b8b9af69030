//! W6: what makes columns, dictionaries and traces burst. Every span has an attribute key that no
//! other has; one in 5,000 has an attribute of a million bytes; every second span belongs to a trace of
//! 100,000; every second request holds a single span; the clocks of the services are up to 24 hours
//! apart.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use super::{Schedule, layout, resource, resource_spans, scope, unix, words};
use crate::attrs::Attrs;
use crate::dice::{Dice, mix};

/// Spans of the largest traces.
pub const LARGE_TRACE: u64 = 100_000;
/// Bytes of the largest attribute values.
pub const LARGE_VALUE: usize = 1_000_000;
/// Spans of which one has a value of [`LARGE_VALUE`] bytes.
pub const LARGE_VALUE_EVERY: u64 = 5000;

/// Spans of the other traces, over and over.
const SIZES: [u64; 4] = [1, 3, 1, 5];
const HOUR_NS: i64 = 3_600_000_000_000;
/// How far the clock of each service is ahead.
const CLOCKS_NS: [i64; 6] = [0, 24 * HOUR_NS, -24 * HOUR_NS, 3_000_000_000, -HOUR_NS / 2, 0];

/// Number of the first span of a request, and how many it has: the schedule's records and one in
/// turn.
#[must_use]
pub fn spans_of(schedule: &Schedule, number: u64) -> std::ops::Range<u64> {
    let records = schedule.records.max(1);
    let first = number / 2 * (records + 1);
    match number % 2 {
        0 => first..first + records,
        _ => first + records..first + records + 1,
    }
}

/// The request with this number; see [`spans_of`] for its size.
#[must_use]
pub fn request(schedule: &Schedule, number: u64) -> ExportTraceServiceRequest {
    let mut by_service: [Vec<Span>; CLOCKS_NS.len()] = Default::default();
    let records = spans_of(schedule, number);
    let count = records.end - records.start;
    for (at, record) in records.enumerate() {
        let service = (mix(mix(schedule.seed, 0x5e4), record) % CLOCKS_NS.len() as u64) as usize;
        let start = schedule.within_ns(number, at as u64, count) + CLOCKS_NS[service];
        by_service[service].push(span(schedule.seed, record, start));
    }
    let resource_spans = by_service.into_iter().enumerate().filter_map(|(service, spans)| {
        let mut attrs = Attrs::with_capacity(2);
        attrs.text("service.name", format!("adversary-{service}"));
        attrs.text("host.name", format!("adversary-host-{service}"));
        resource_spans(resource(attrs), scope("adversary", "1"), spans)
    });
    ExportTraceServiceRequest { resource_spans: resource_spans.collect() }
}

fn span(seed: u64, record: u64, start: i64) -> Span {
    let (trace, index) = if record.is_multiple_of(2) {
        (mix(mix(seed, 0xb16), record / (2 * LARGE_TRACE)), record / 2 % LARGE_TRACE)
    } else {
        let place = layout::place(&SIZES, record / 2);
        (mix(mix(seed, 0x5a11), place.trace), place.index)
    };
    let mut dice = Dice::new(mix(seed, 0xad), record);
    let length_ns = dice.log_normal(20e6, 2.0) as i64;
    let mut attrs = Attrs::with_capacity(2);
    attrs.text(format!("unique.{record:x}.{:08x}", dice.word() >> 32), "x");
    if mix(mix(seed, 0x1a46e), record / LARGE_VALUE_EVERY) % LARGE_VALUE_EVERY
        == record % LARGE_VALUE_EVERY
    {
        attrs.text("large", large_value(&mut dice));
    }
    let parent = layout::parent(trace, index);
    Span {
        trace_id: layout::trace_id(trace),
        span_id: layout::span_id(trace, index),
        trace_state: String::new(),
        parent_span_id: parent.map(|p| layout::span_id(trace, p)).unwrap_or_default(),
        flags: 0x101,
        name: format!("operation-{}", dice.below(100)),
        kind: if parent.is_none() { SpanKind::Server } else { SpanKind::Internal } as i32,
        start_time_unix_nano: unix(start),
        end_time_unix_nano: unix(start + length_ns),
        attributes: attrs.take(),
        dropped_attributes_count: 0,
        events: Vec::new(),
        dropped_events_count: 0,
        links: Vec::new(),
        dropped_links_count: 0,
        status: None,
    }
}

fn large_value(dice: &mut Dice) -> String {
    let mut value = String::with_capacity(LARGE_VALUE + 16);
    while value.len() < LARGE_VALUE {
        words::push(words::rank(dice), &mut value);
        value.push(' ');
    }
    value.truncate(LARGE_VALUE);
    value
}
