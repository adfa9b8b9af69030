//! Spans.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Array, ListArray, NullBufferBuilder, RecordBatch, StructArray, UInt32Array,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Fields, UInt32Type};
use arrow::error::ArrowError;
use headrope_model::id::push_hex;
use headrope_model::{DataSet, schema};

use super::super::columns::{batch, nanos};
use super::super::spans::{KINDS, STATUS_CODES};
use super::Declined;
use super::attributes::{Attributes, Object};
use super::cells::{Ids, Numbers, Text, all_times};
use super::label::{self, Fixed, Label};
use super::origin::Origins;
use super::promoted::{Chosen, Promoted, span_places};
use crate::wire::{self, KeyValue, NotPlain, SpanParts};

struct Columns {
    rows: usize,
    trace_id: Ids<16>,
    span_id: Ids<8>,
    parent_span_id: Ids<8>,
    start_time: Vec<i64>,
    duration: Vec<i64>,
    name: Label,
    kind: Fixed,
    status_code: Fixed,
    status_message: Label,
    trace_state: Label,
    flags: Numbers<UInt32Type>,
    attributes: Attributes,
    dropped_attributes: Numbers<UInt32Type>,
    events: Events,
    dropped_events: Numbers<UInt32Type>,
    links: Links,
    dropped_links: Numbers<UInt32Type>,
    promoted: Promoted,
}

pub(super) fn encode<'a>(
    payloads: impl IntoIterator<Item = &'a [u8]>,
) -> Result<RecordBatch, Declined> {
    let mut columns = Columns::new();
    let mut origins = Origins::new();
    for payload in payloads {
        wire::groups(payload, |group| {
            group.scopes(|scope| {
                scope.records(|span| columns.push(span))?;
                origins.extend(&group, &scope, columns.rows)
            })
        })?;
    }
    Ok(columns.finish(origins)?)
}

/// Where the repeated parts of one span go.
struct Row<'c, 'a> {
    columns: &'c mut Columns,
    chosen: Chosen<'a>,
}

impl<'a> SpanParts<'a> for Row<'_, 'a> {
    type Error = Declined;

    fn attribute(&mut self, attribute: KeyValue<'a>) -> Result<(), Declined> {
        if let Some(place) = self.columns.attributes.push(&attribute)? {
            self.chosen.offer(place, attribute.value);
        }
        Ok(())
    }

    fn event(&mut self, message: &'a [u8]) -> Result<(), Declined> {
        self.columns.events.push(message)
    }

    fn link(&mut self, message: &'a [u8]) -> Result<(), Declined> {
        self.columns.links.push(message)
    }
}

fn shrunk<T>(mut values: Vec<T>) -> Vec<T> {
    values.shrink_to_fit();
    values
}

/// A count that is null when it is 0.
fn set_count(column: &mut Numbers<UInt32Type>, row: usize, value: u32) {
    if value != 0 {
        column.set(row, value);
    }
}

impl Columns {
    fn new() -> Self {
        Self {
            rows: 0,
            trace_id: Ids::new(),
            span_id: Ids::new(),
            parent_span_id: Ids::new(),
            start_time: Vec::new(),
            duration: Vec::new(),
            name: Label::new(),
            kind: Fixed::new(KINDS),
            status_code: Fixed::new(STATUS_CODES),
            status_message: Label::new(),
            trace_state: Label::new(),
            flags: Numbers::new(),
            attributes: Attributes::new(span_places()),
            dropped_attributes: Numbers::new(),
            events: Events::new(),
            dropped_events: Numbers::new(),
            links: Links::new(),
            dropped_links: Numbers::new(),
            promoted: Promoted::new(),
        }
    }

    fn push(&mut self, message: &[u8]) -> Result<(), Declined> {
        let row = self.rows;
        let mut parts = Row { columns: self, chosen: Chosen::new() };
        let span = wire::span(message, &mut parts)?;
        let chosen = parts.chosen;
        self.promoted.set(row, &chosen)?;
        self.attributes.end();
        self.events.end();
        self.links.end();
        self.trace_id.push(span.trace_id.try_into().map_err(|_| NotPlain)?);
        self.span_id.push(span.span_id.try_into().map_err(|_| NotPlain)?);
        self.parent_span_id.push_opt(span.parent_span_id);
        let start = nanos(span.start_time);
        self.start_time.push(start);
        self.duration.push(nanos(span.end_time).saturating_sub(start));
        self.name.push(span.name)?;
        self.kind.push(span.kind);
        self.status_code.push(span.status_code);
        self.status_message.set_text(row, span.status_message)?;
        self.trace_state.set_text(row, span.trace_state)?;
        set_count(&mut self.flags, row, span.flags);
        set_count(&mut self.dropped_attributes, row, span.dropped_attributes);
        set_count(&mut self.dropped_events, row, span.dropped_events);
        set_count(&mut self.dropped_links, row, span.dropped_links);
        self.rows += 1;
        Ok(())
    }

    fn finish(self, origins: Origins) -> Result<RecordBatch, ArrowError> {
        let (rows, none) = (self.rows, label::none(self.rows));
        let count = |column: Numbers<UInt32Type>| -> Result<ArrayRef, ArrowError> {
            Ok(Arc::new(column.finish(rows)?))
        };
        let mut all: Vec<ArrayRef> = vec![
            Arc::new(self.trace_id.finish()?),
            Arc::new(self.span_id.finish()?),
            Arc::new(self.parent_span_id.finish()?),
            all_times(self.start_time),
            Arc::new(Int64Array::from(shrunk(self.duration))),
            self.name.finish(rows, &none)?,
            self.kind.finish()?,
            self.status_code.finish()?,
            self.status_message.finish(rows, &none)?,
            self.trace_state.finish(rows, &none)?,
            count(self.flags)?,
            self.attributes.finish()?,
            count(self.dropped_attributes)?,
            self.events.finish()?,
            count(self.dropped_events)?,
            self.links.finish()?,
            count(self.dropped_links)?,
        ];
        all.extend(origins.finish(&none)?);
        all.extend(self.promoted.finish(rows, &none)?);
        batch(DataSet::Spans, all)
    }
}

/// Where the lists of a column begin and end; an empty list is null.
struct Lists {
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl Lists {
    fn new() -> Self {
        Self { offsets: vec![0], nulls: NullBufferBuilder::new(0) }
    }

    /// Ends the current row's list, given how many items there are in all.
    fn end(&mut self, items: usize) {
        let last = self.offsets.last().copied().unwrap_or_default();
        let end = i32::try_from(items).unwrap_or(last);
        self.nulls.append(end != last);
        self.offsets.push(end);
    }

    fn finish(mut self, fields: Fields, items: Vec<ArrayRef>) -> Result<ArrayRef, ArrowError> {
        let item = Field::new("element", DataType::Struct(fields.clone()), false);
        let items = StructArray::try_new(fields, items, None)?;
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        let nulls = self.nulls.finish();
        Ok(Arc::new(ListArray::try_new(Arc::new(item), offsets, Arc::new(items), nulls)?))
    }
}

struct Events {
    lists: Lists,
    time: Vec<i64>,
    name: Text,
    attributes: Text,
    dropped: Vec<u32>,
}

impl Events {
    fn new() -> Self {
        Self {
            lists: Lists::new(),
            time: Vec::new(),
            name: Text::new(),
            attributes: Text::new(),
            dropped: Vec::new(),
        }
    }

    fn push(&mut self, message: &[u8]) -> Result<(), Declined> {
        let text = self.attributes.open();
        let mut object = Object::open(text);
        let event = wire::event(message, |pair| object.attribute(&pair, text))?;
        Object::close(text);
        self.attributes.end();
        self.time.push(nanos(event.time));
        self.name.push(std::str::from_utf8(event.name)?);
        self.dropped.push(event.dropped_attributes);
        Ok(())
    }

    fn end(&mut self) {
        self.lists.end(self.time.len());
    }

    fn finish(self) -> Result<ArrayRef, ArrowError> {
        let items: Vec<ArrayRef> = vec![
            all_times(self.time),
            Arc::new(self.name.finish(None)?),
            Arc::new(self.attributes.finish(None)?),
            Arc::new(UInt32Array::from(self.dropped)),
        ];
        self.lists.finish(schema::event_fields(), items)
    }
}

struct Links {
    lists: Lists,
    trace_id: Text,
    span_id: Text,
    trace_state: Text,
    attributes: Text,
    dropped: Vec<u32>,
    flags: Vec<u32>,
}

impl Links {
    fn new() -> Self {
        Self {
            lists: Lists::new(),
            trace_id: Text::new(),
            span_id: Text::new(),
            trace_state: Text::new(),
            attributes: Text::new(),
            dropped: Vec::new(),
            flags: Vec::new(),
        }
    }

    fn push(&mut self, message: &[u8]) -> Result<(), Declined> {
        let text = self.attributes.open();
        let mut object = Object::open(text);
        let link = wire::link(message, |pair| object.attribute(&pair, text))?;
        Object::close(text);
        self.attributes.end();
        push_hex(link.trace_id, self.trace_id.open());
        self.trace_id.end();
        push_hex(link.span_id, self.span_id.open());
        self.span_id.end();
        self.trace_state.push(std::str::from_utf8(link.trace_state)?);
        self.dropped.push(link.dropped_attributes);
        self.flags.push(link.flags);
        Ok(())
    }

    fn end(&mut self) {
        self.lists.end(self.flags.len());
    }

    fn finish(self) -> Result<ArrayRef, ArrowError> {
        let items: Vec<ArrayRef> = vec![
            Arc::new(self.trace_id.finish(None)?),
            Arc::new(self.span_id.finish(None)?),
            Arc::new(self.trace_state.finish(None)?),
            Arc::new(self.attributes.finish(None)?),
            Arc::new(UInt32Array::from(self.dropped)),
            Arc::new(UInt32Array::from(self.flags)),
        ];
        self.lists.finish(schema::link_fields(), items)
    }
}
