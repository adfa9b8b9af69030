//! Log records.

use std::sync::Arc;

use arrow::array::{ArrayRef, NullBufferBuilder, RecordBatch};
use arrow::datatypes::{Int32Type, TimestampNanosecondType, UInt32Type};
use arrow::error::ArrowError;
use headrope_model::DataSet;

use super::super::columns::{batch, nanos};
use super::Declined;
use super::attributes::{Attributes, MAX_DEPTH, push_value};
use super::cells::{Ids, Numbers, Text, all_times, times};
use super::label::{self, Fixed, Label};
use super::origin::Origins;
use super::promoted::no_places;
use crate::wire::{self, AnyValue};

/// What a body may be, by [`body_type`].
const BODY_TYPES: &[&str] =
    &["empty", "string", "bool", "int", "double", "array", "kvlist", "bytes"];

struct Columns {
    rows: usize,
    time: Vec<i64>,
    event_time: Numbers<TimestampNanosecondType>,
    observed_time: Numbers<TimestampNanosecondType>,
    severity_number: Numbers<Int32Type>,
    severity_text: Label,
    body: Text,
    body_nulls: NullBufferBuilder,
    body_type: Fixed,
    event_name: Label,
    trace_id: Ids<16>,
    span_id: Ids<8>,
    flags: Numbers<UInt32Type>,
    attributes: Attributes,
    dropped_attributes: Numbers<UInt32Type>,
}

pub(super) fn encode<'a>(
    payloads: impl IntoIterator<Item = &'a [u8]>,
) -> Result<RecordBatch, Declined> {
    let mut columns = Columns::new();
    let mut origins = Origins::new();
    for payload in payloads {
        wire::groups(payload, |group| {
            group.scopes(|scope| {
                scope.records(|record| columns.push(record))?;
                origins.extend(&group, &scope, columns.rows)
            })
        })?;
    }
    Ok(columns.finish(origins)?)
}

impl Columns {
    fn new() -> Self {
        Self {
            rows: 0,
            time: Vec::new(),
            event_time: Numbers::new(),
            observed_time: Numbers::new(),
            severity_number: Numbers::new(),
            severity_text: Label::new(),
            body: Text::new(),
            body_nulls: NullBufferBuilder::new(0),
            body_type: Fixed::new(BODY_TYPES),
            event_name: Label::new(),
            trace_id: Ids::new(),
            span_id: Ids::new(),
            flags: Numbers::new(),
            attributes: Attributes::new(no_places()),
            dropped_attributes: Numbers::new(),
        }
    }

    fn push(&mut self, message: &[u8]) -> Result<(), Declined> {
        let row = self.rows;
        let record = wire::log_record(message, |pair| self.attributes.push(&pair).map(drop))?;
        self.attributes.end();
        // A record without an event time is placed where it was observed (log data model).
        let placed = if record.time == 0 { record.observed_time } else { record.time };
        self.time.push(nanos(placed));
        if record.time != 0 {
            self.event_time.set(row, nanos(record.time));
        }
        if record.observed_time != 0 {
            self.observed_time.set(row, nanos(record.observed_time));
        }
        if record.severity_number != 0 {
            let bits = record.severity_number.to_le_bytes();
            self.severity_number.set(row, i32::from_le_bytes(bits));
        }
        self.severity_text.set_text(row, record.severity_text)?;
        self.push_body(record.body)?;
        self.event_name.set_text(row, record.event_name)?;
        self.trace_id.push_opt(record.trace_id);
        self.span_id.push_opt(record.span_id);
        for (column, value) in [
            (&mut self.flags, record.flags),
            (&mut self.dropped_attributes, record.dropped_attributes),
        ] {
            if value != 0 {
                column.set(row, value);
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// Text as it is; anything else as canonical JSON.
    fn push_body(&mut self, body: AnyValue<'_>) -> Result<(), Declined> {
        match body {
            AnyValue::Empty => {}
            AnyValue::Str(text) => self.body.open().push_str(std::str::from_utf8(text)?),
            other => push_value(other, MAX_DEPTH, self.body.open())?,
        }
        self.body.end();
        self.body_nulls.append(!matches!(body, AnyValue::Empty));
        self.body_type.push(body_type(body));
        Ok(())
    }

    fn finish(mut self, origins: Origins) -> Result<RecordBatch, ArrowError> {
        let (rows, none) = (self.rows, label::none(self.rows));
        let count = |column: Numbers<UInt32Type>| -> Result<ArrayRef, ArrowError> {
            Ok(Arc::new(column.finish(rows)?))
        };
        let mut all: Vec<ArrayRef> = vec![
            all_times(self.time),
            times(self.event_time.finish(rows)?),
            times(self.observed_time.finish(rows)?),
            Arc::new(self.severity_number.finish(rows)?),
            self.severity_text.finish(rows, &none)?,
            Arc::new(self.body.finish(self.body_nulls.finish())?),
            self.body_type.finish()?,
            self.event_name.finish(rows, &none)?,
            Arc::new(self.trace_id.finish()?),
            Arc::new(self.span_id.finish()?),
            count(self.flags)?,
            self.attributes.finish()?,
            count(self.dropped_attributes)?,
        ];
        all.extend(origins.finish(&none)?);
        batch(DataSet::Logs, all)
    }
}

/// Position in [`BODY_TYPES`].
const fn body_type(body: AnyValue<'_>) -> u32 {
    match body {
        AnyValue::Empty => 0,
        AnyValue::Str(_) => 1,
        AnyValue::Bool(_) => 2,
        AnyValue::Int(_) => 3,
        AnyValue::Double(_) => 4,
        AnyValue::Array(_) => 5,
        AnyValue::Map(_) => 6,
        AnyValue::Bytes(_) => 7,
    }
}
