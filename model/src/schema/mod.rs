//! The one list of columns.
//!
//! Each data set has two Arrow schemas with the same columns in the same order: the **stored** one
//! (live buffer and Parquet writer; low-cardinality text and attributes are dictionary-encoded, ids are
//! fixed-size binary) and the **query** one (what SQL sees; text is `Utf8View`, ids are lower-case hex text).
//! Nested ids (links, exemplars) are hex text in both. Field names inside lists and maps are those
//! Parquet gives back (`element`, `key_value`/`key`/`value`).

mod arrow;
mod rollup;

pub use arrow::{
    attribute_entry, attributes_type, event_fields, exemplar_fields, label_type, link_fields,
    quantile_fields, query, scanned, stored, stored_attribute_entry, time_type,
};
pub use rollup::{Counted, counted, dimensions};

use crate::semconv::{self, Kind, Promoted};
use crate::signal::DataSet;

/// Version of the stored schemas, written into every segment's metadata.
pub const SCHEMA_VERSION: u32 = 5;

/// Width and meaning of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// Trace id: 16 bytes stored, hex text in SQL.
    TraceId,
    /// Span id: 8 bytes stored, hex text in SQL.
    SpanId,
    /// Text with few distinct values: dictionary stored, `Utf8View` in SQL.
    Label,
    /// Text with many distinct values: `Utf8` stored, `Utf8View` in SQL.
    Text,
    /// Timestamp in nanoseconds, UTC.
    Time,
    /// 64-bit signed integer.
    Int,
    /// 32-bit signed integer.
    Int32,
    /// 64-bit unsigned integer.
    UInt,
    /// 32-bit unsigned integer.
    UInt32,
    /// Double.
    Double,
    /// Boolean.
    Bool,
    /// Bytes.
    Bytes,
    /// Attribute map: key to canonical JSON text (see [`crate::attr`]).
    Attributes,
    /// List of `{time, name, attributes, dropped_attributes_count}`.
    Events,
    /// List of `{trace_id, span_id, trace_state, attributes, dropped_attributes_count, flags}`.
    Links,
    /// List of unsigned 64-bit integers.
    UIntList,
    /// List of doubles.
    DoubleList,
    /// List of text.
    TextList,
    /// List of `{quantile, value}`.
    Quantiles,
    /// List of `{time, value, value_int, trace_id, span_id, attributes}`.
    Exemplars,
}

/// A column: name, kind, whether it may be null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnDef {
    /// Name in Parquet and SQL.
    pub name: &'static str,
    /// Kind.
    pub column: Column,
    /// Whether it may be null.
    pub nullable: bool,
}

const fn req(name: &'static str, column: Column) -> ColumnDef {
    ColumnDef { name, column, nullable: false }
}

const fn opt(name: &'static str, column: Column) -> ColumnDef {
    ColumnDef { name, column, nullable: true }
}

const SCOPE_AND_RESOURCE: &[ColumnDef] = &[
    req("service_name", Column::Label),
    opt("scope_name", Column::Label),
    opt("scope_version", Column::Label),
    opt("scope_attributes", Column::Label),
    opt("scope_dropped_attributes_count", Column::UInt32),
    opt("scope_schema_url", Column::Label),
    req("resource", Column::Label),
    opt("resource_dropped_attributes_count", Column::UInt32),
    opt("resource_schema_url", Column::Label),
];

const SPANS: &[ColumnDef] = &[
    req("trace_id", Column::TraceId),
    req("span_id", Column::SpanId),
    opt("parent_span_id", Column::SpanId),
    req("start_time", Column::Time),
    req("duration_ns", Column::Int),
    req("name", Column::Label),
    req("kind", Column::Label),
    req("status_code", Column::Label),
    opt("status_message", Column::Label),
    opt("trace_state", Column::Label),
    opt("flags", Column::UInt32),
    req("attributes", Column::Attributes),
    opt("dropped_attributes_count", Column::UInt32),
    opt("events", Column::Events),
    opt("dropped_events_count", Column::UInt32),
    opt("links", Column::Links),
    opt("dropped_links_count", Column::UInt32),
];

const TRACE_PARTS: &[ColumnDef] = &[
    req("trace_id", Column::TraceId),
    req("start_time", Column::Time),
    req("end_time", Column::Time),
    opt("root_service_name", Column::Label),
    opt("root_name", Column::Label),
    opt("root_status_code", Column::Label),
    opt("root_duration_ns", Column::Int),
    req("span_count", Column::Int),
    req("error_count", Column::Int),
    req("service_names", Column::TextList),
];

const LOGS: &[ColumnDef] = &[
    req("time", Column::Time),
    opt("event_time", Column::Time),
    opt("observed_time", Column::Time),
    opt("severity_number", Column::Int32),
    opt("severity_text", Column::Label),
    opt("body", Column::Text),
    req("body_type", Column::Label),
    opt("event_name", Column::Label),
    opt("trace_id", Column::TraceId),
    opt("span_id", Column::SpanId),
    opt("flags", Column::UInt32),
    req("attributes", Column::Attributes),
    opt("dropped_attributes_count", Column::UInt32),
];

const METRICS: &[ColumnDef] = &[
    req("name", Column::Label),
    req("type", Column::Label),
    opt("unit", Column::Label),
    opt("description", Column::Label),
    opt("temporality", Column::Label),
    opt("is_monotonic", Column::Bool),
    opt("metadata", Column::Label),
    req("time", Column::Time),
    opt("start_time", Column::Time),
    opt("value", Column::Double),
    opt("value_int", Column::Int),
    opt("count", Column::UInt),
    opt("sum", Column::Double),
    opt("min", Column::Double),
    opt("max", Column::Double),
    opt("bucket_counts", Column::UIntList),
    opt("explicit_bounds", Column::DoubleList),
    opt("scale", Column::Int32),
    opt("zero_count", Column::UInt),
    opt("zero_threshold", Column::Double),
    opt("positive_offset", Column::Int32),
    opt("positive_bucket_counts", Column::UIntList),
    opt("negative_offset", Column::Int32),
    opt("negative_bucket_counts", Column::UIntList),
    opt("quantiles", Column::Quantiles),
    opt("exemplars", Column::Exemplars),
    opt("flags", Column::UInt32),
    req("series_id", Column::UInt),
    req("attributes", Column::Attributes),
];

fn promoted(p: &Promoted) -> ColumnDef {
    let column = match p.kind {
        Kind::Text => Column::Label,
        Kind::Int => Column::Int,
    };
    ColumnDef { name: p.column, column, nullable: true }
}

/// The columns of a data set, in stored order.
#[must_use]
pub fn columns(data_set: DataSet) -> Vec<ColumnDef> {
    let mut all = match data_set {
        DataSet::Spans => SPANS.to_vec(),
        DataSet::TraceParts => return TRACE_PARTS.to_vec(),
        DataSet::Logs => LOGS.to_vec(),
        DataSet::Metrics => METRICS.to_vec(),
        DataSet::OperationRollup
        | DataSet::ServiceRollup
        | DataSet::StatementRollup
        | DataSet::EdgeRollup => return rollup::columns(data_set),
    };
    all.extend_from_slice(SCOPE_AND_RESOURCE);
    all.extend(semconv::RESOURCE.iter().map(promoted));
    if data_set == DataSet::Spans {
        all.extend(semconv::SPAN.iter().map(promoted));
    }
    all
}

/// The column that orders a data set in time.
#[must_use]
pub const fn time_column(data_set: DataSet) -> &'static str {
    match data_set {
        DataSet::Spans | DataSet::TraceParts => "start_time",
        DataSet::Logs
        | DataSet::Metrics
        | DataSet::OperationRollup
        | DataSet::ServiceRollup
        | DataSet::StatementRollup
        | DataSet::EdgeRollup => "time",
    }
}

/// The order of rows inside a row group.
#[must_use]
pub fn sort_columns(data_set: DataSet) -> Vec<&'static str> {
    match data_set {
        DataSet::Spans => vec!["service_name", "start_time"],
        DataSet::TraceParts => vec!["trace_id"],
        DataSet::Logs => vec!["time"],
        DataSet::Metrics => vec!["name", "series_id", "time"],
        DataSet::OperationRollup
        | DataSet::ServiceRollup
        | DataSet::StatementRollup
        | DataSet::EdgeRollup => rollup::sort_columns(data_set),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_schemas_agree() {
        for d in DataSet::ALL {
            let names: HashSet<_> = columns(d).iter().map(|c| c.name).collect();
            assert_eq!(names.len(), columns(d).len(), "{d}");
            assert_eq!(stored(d).fields().len(), query(d).fields().len());
            assert!(stored(d).index_of(time_column(d)).is_ok());
            for c in sort_columns(d) {
                assert!(stored(d).index_of(c).is_ok(), "{d} {c}");
            }
            assert_eq!(DataSet::ALL[d.slot()], d);
            for c in dimensions(d) {
                assert!(columns(DataSet::Spans).contains(c), "{d} {}", c.name);
                assert!(sort_columns(d).contains(&c.name), "{d} {}", c.name);
            }
        }
    }
}
