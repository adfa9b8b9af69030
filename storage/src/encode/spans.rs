//! Spans to rows.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, FixedSizeBinaryBuilder, Int64Builder, ListBuilder, RecordBatch, StringBuilder,
    StructBuilder, TimestampNanosecondBuilder, UInt32Builder,
};
use arrow::error::ArrowError;
use headrope_model::{DataSet, schema, semconv};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};

use super::columns::{
    Attributes, Label, Origin, OriginColumns, PromotedColumns, batch, field, hex, nanos,
    push_count, push_id, struct_list, time_builder,
};
use super::json;

struct SpanColumns {
    trace_id: FixedSizeBinaryBuilder,
    span_id: FixedSizeBinaryBuilder,
    parent_span_id: FixedSizeBinaryBuilder,
    start_time: TimestampNanosecondBuilder,
    duration: Int64Builder,
    name: Label,
    kind: Label,
    status_code: Label,
    status_message: Label,
    trace_state: Label,
    flags: UInt32Builder,
    attributes: Attributes,
    dropped_attributes: UInt32Builder,
    events: ListBuilder<StructBuilder>,
    dropped_events: UInt32Builder,
    links: ListBuilder<StructBuilder>,
    dropped_links: UInt32Builder,
    promoted: PromotedColumns,
}

/// Encodes a request; rows in the order received.
pub(super) fn encode(request: &ExportTraceServiceRequest) -> Result<RecordBatch, ArrowError> {
    let mut columns = SpanColumns::new();
    let mut origins = OriginColumns::new();
    for group in &request.resource_spans {
        let origin = Origin::new(group.resource.as_ref(), &group.schema_url);
        for scoped in &group.scope_spans {
            for span in &scoped.spans {
                columns.push(span)?;
            }
            let scope = scoped.scope.as_ref();
            origins.push_n(&origin, scope, &scoped.schema_url, scoped.spans.len())?;
        }
    }
    columns.finish(origins)
}

impl SpanColumns {
    fn new() -> Self {
        Self {
            trace_id: FixedSizeBinaryBuilder::new(16),
            span_id: FixedSizeBinaryBuilder::new(8),
            parent_span_id: FixedSizeBinaryBuilder::new(8),
            start_time: time_builder(),
            duration: Int64Builder::new(),
            name: Label::new(),
            kind: Label::new(),
            status_code: Label::new(),
            status_message: Label::new(),
            trace_state: Label::new(),
            flags: UInt32Builder::new(),
            attributes: Attributes::new(),
            dropped_attributes: UInt32Builder::new(),
            events: struct_list(schema::event_fields()),
            dropped_events: UInt32Builder::new(),
            links: struct_list(schema::link_fields()),
            dropped_links: UInt32Builder::new(),
            promoted: PromotedColumns::new(semconv::SPAN),
        }
    }

    fn push(&mut self, span: &Span) -> Result<(), ArrowError> {
        self.trace_id.append_value(&span.trace_id)?;
        self.span_id.append_value(&span.span_id)?;
        push_id(&mut self.parent_span_id, &span.parent_span_id);
        let start = nanos(span.start_time_unix_nano);
        self.start_time.append_value(start);
        self.duration.append_value(nanos(span.end_time_unix_nano).saturating_sub(start));
        self.name.push(&span.name);
        self.kind.push(named(KINDS, span.kind));
        let status = span.status.as_ref();
        self.status_code.push(named(STATUS_CODES, status.map_or(0, |s| s.code)));
        self.status_message.push_text(status.map_or("", |s| &s.message));
        self.trace_state.push_text(&span.trace_state);
        push_count(&mut self.flags, span.flags);
        self.attributes.push(&span.attributes)?;
        push_count(&mut self.dropped_attributes, span.dropped_attributes_count);
        push_events(&mut self.events, &span.events)?;
        push_count(&mut self.dropped_events, span.dropped_events_count);
        push_links(&mut self.links, &span.links)?;
        push_count(&mut self.dropped_links, span.dropped_links_count);
        self.promoted.push(&span.attributes);
        Ok(())
    }

    fn finish(mut self, origins: OriginColumns) -> Result<RecordBatch, ArrowError> {
        let mut all: Vec<ArrayRef> = vec![
            Arc::new(self.trace_id.finish()),
            Arc::new(self.span_id.finish()),
            Arc::new(self.parent_span_id.finish()),
            Arc::new(self.start_time.finish()),
            Arc::new(self.duration.finish()),
            self.name.finish(),
            self.kind.finish(),
            self.status_code.finish(),
            self.status_message.finish(),
            self.trace_state.finish(),
            Arc::new(self.flags.finish()),
            self.attributes.finish(),
            Arc::new(self.dropped_attributes.finish()),
            Arc::new(self.events.finish()),
            Arc::new(self.dropped_events.finish()),
            Arc::new(self.links.finish()),
            Arc::new(self.dropped_links.finish()),
        ];
        all.extend(origins.finish());
        all.extend(self.promoted.finish());
        batch(DataSet::Spans, all)
    }
}

/// Span kinds as SQL shows them, by their numbers: the protobuf names without their prefix.
pub(super) const KINDS: &[&str] =
    &["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"];
/// Status codes as SQL shows them, by their numbers.
pub(super) const STATUS_CODES: &[&str] = &["UNSET", "OK", "ERROR"];

/// The name of a number; that of 0 if there is none.
fn named(names: &'static [&'static str], number: i32) -> &'static str {
    let name = usize::try_from(number).ok().and_then(|at| names.get(at));
    name.or(names.first()).copied().unwrap_or_default()
}

fn push_events(list: &mut ListBuilder<StructBuilder>, events: &[Event]) -> Result<(), ArrowError> {
    for event in events {
        let row = list.values();
        field!(row, 0, TimestampNanosecondBuilder).append_value(nanos(event.time_unix_nano));
        field!(row, 1, StringBuilder).append_value(&event.name);
        field!(row, 2, StringBuilder).append_value(json::object(&event.attributes));
        field!(row, 3, UInt32Builder).append_value(event.dropped_attributes_count);
        row.append(true);
    }
    list.append(!events.is_empty());
    Ok(())
}

fn push_links(list: &mut ListBuilder<StructBuilder>, links: &[Link]) -> Result<(), ArrowError> {
    for link in links {
        let row = list.values();
        field!(row, 0, StringBuilder).append_value(hex(&link.trace_id));
        field!(row, 1, StringBuilder).append_value(hex(&link.span_id));
        field!(row, 2, StringBuilder).append_value(&link.trace_state);
        field!(row, 3, StringBuilder).append_value(json::object(&link.attributes));
        field!(row, 4, UInt32Builder).append_value(link.dropped_attributes_count);
        field!(row, 5, UInt32Builder).append_value(link.flags);
        row.append(true);
    }
    list.append(!links.is_empty());
    Ok(())
}
