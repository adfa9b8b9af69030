//! Trace parts: one row per trace of a batch of spans.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeBinaryArray, FixedSizeBinaryBuilder, Int64Array,
    Int64Builder, ListBuilder, RecordBatch, StringArray, StringBuilder, TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, TimestampNanosecondType};
use arrow::error::ArrowError;
use headrope_model::DataSet;

use super::columns::{Label, batch, time_builder};

/// What is known of a trace from some of its spans.
struct Part {
    start: i64,
    end: i64,
    root: Option<usize>,
    spans: i64,
    errors: i64,
    /// Dictionary keys of the services, in order of appearance; few per trace.
    services: Vec<i32>,
}

/// A text column stored as a dictionary.
struct Labels<'a> {
    keys: &'a [i32],
    values: &'a StringArray,
}

impl<'a> Labels<'a> {
    fn of(spans: &'a RecordBatch, name: &str) -> Result<Self, ArrowError> {
        let column = column(spans, name)?;
        let dictionary = column.as_dictionary_opt::<Int32Type>().ok_or_else(|| wrong(name))?;
        let values = dictionary.values().as_string_opt::<i32>().ok_or_else(|| wrong(name))?;
        Ok(Self { keys: dictionary.keys().values(), values })
    }

    fn key(&self, row: usize) -> i32 {
        self.keys.get(row).copied().unwrap_or_default()
    }

    fn text(&self, key: i32) -> &'a str {
        let at = usize::try_from(key).unwrap_or(usize::MAX);
        if at < self.values.len() { self.values.value(at) } else { "" }
    }
}

fn column<'a>(spans: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, ArrowError> {
    spans.column_by_name(name).ok_or_else(|| wrong(name))
}

fn wrong(name: &str) -> ArrowError {
    ArrowError::SchemaError(format!("column {name} is missing or has another type"))
}

/// The columns of spans that trace parts are made of.
struct Spans<'a> {
    trace_id: &'a FixedSizeBinaryArray,
    parent: &'a FixedSizeBinaryArray,
    start: &'a TimestampNanosecondArray,
    duration: &'a Int64Array,
    service: Labels<'a>,
    name: Labels<'a>,
    status: Labels<'a>,
}

impl<'a> Spans<'a> {
    fn of(spans: &'a RecordBatch) -> Result<Self, ArrowError> {
        let id = |name| column(spans, name)?.as_fixed_size_binary_opt().ok_or_else(|| wrong(name));
        Ok(Self {
            trace_id: id("trace_id")?,
            parent: id("parent_span_id")?,
            start: column(spans, "start_time")?
                .as_primitive_opt::<TimestampNanosecondType>()
                .ok_or_else(|| wrong("start_time"))?,
            duration: column(spans, "duration_ns")?
                .as_primitive_opt::<Int64Type>()
                .ok_or_else(|| wrong("duration_ns"))?,
            service: Labels::of(spans, "service_name")?,
            name: Labels::of(spans, "name")?,
            status: Labels::of(spans, "status_code")?,
        })
    }
}

/// One row per trace of a batch in the stored schema of spans, sorted by trace id.
///
/// # Errors
/// If the batch is not in that schema.
pub(crate) fn trace_parts(batch_of_spans: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let spans = Spans::of(batch_of_spans)?;
    let mut parts: HashMap<&[u8], Part, foldhash::fast::FixedState> = HashMap::default();
    for row in 0..batch_of_spans.num_rows() {
        let start = spans.start.value(row);
        let end = start.saturating_add(spans.duration.value(row));
        let part = parts.entry(spans.trace_id.value(row)).or_insert_with(|| Part {
            start,
            end,
            root: None,
            spans: 0,
            errors: 0,
            services: Vec::new(),
        });
        part.start = part.start.min(start);
        part.end = part.end.max(end);
        part.spans += 1;
        part.errors += i64::from(spans.status.text(spans.status.key(row)) == "ERROR");
        let service = spans.service.key(row);
        if !part.services.contains(&service) {
            part.services.push(service);
        }
        // The earliest root stands for the trace if there are several.
        if spans.parent.is_null(row)
            && part.root.is_none_or(|other| start < spans.start.value(other))
        {
            part.root = Some(row);
        }
    }
    let mut sorted: Vec<_> = parts.into_iter().collect();
    sorted.sort_unstable_by_key(|(id, _)| *id);
    rows(&spans, &sorted)
}

fn rows(spans: &Spans<'_>, parts: &[(&[u8], Part)]) -> Result<RecordBatch, ArrowError> {
    let mut trace_id = FixedSizeBinaryBuilder::with_capacity(parts.len(), 16);
    let (mut start, mut end) = (time_builder(), time_builder());
    let (mut root_service, mut root_name, mut root_status) =
        (Label::new(), Label::new(), Label::new());
    let mut root_duration = Int64Builder::new();
    let (mut span_count, mut error_count) = (Int64Builder::new(), Int64Builder::new());
    let mut services = ListBuilder::new(StringBuilder::new()).with_field(Field::new(
        "element",
        DataType::Utf8,
        false,
    ));
    for (id, part) in parts {
        trace_id.append_value(id)?;
        start.append_value(part.start);
        end.append_value(part.end);
        root_service.push_opt(part.root.map(|r| spans.service.text(spans.service.key(r))));
        root_name.push_opt(part.root.map(|r| spans.name.text(spans.name.key(r))));
        root_status.push_opt(part.root.map(|r| spans.status.text(spans.status.key(r))));
        root_duration.append_option(part.root.map(|r| spans.duration.value(r)));
        span_count.append_value(part.spans);
        error_count.append_value(part.errors);
        let mut names: Vec<_> = part.services.iter().map(|k| spans.service.text(*k)).collect();
        names.sort_unstable();
        names.iter().for_each(|name| services.values().append_value(name));
        services.append(true);
    }
    batch(
        DataSet::TraceParts,
        vec![
            Arc::new(trace_id.finish()),
            Arc::new(start.finish()),
            Arc::new(end.finish()),
            root_service.finish(),
            root_name.finish(),
            root_status.finish(),
            Arc::new(root_duration.finish()),
            Arc::new(span_count.finish()),
            Arc::new(error_count.finish()),
            Arc::new(services.finish()),
        ],
    )
}
