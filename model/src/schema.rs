//! The one list of columns.
//!
//! Each data set has two Arrow schemas with the same columns in the same order: the **stored** one
//! (live buffer and Parquet writer; low-cardinality text and attributes are dictionary-encoded, ids are
//! fixed-size binary) and the **query** one (what SQL sees; text is `Utf8View`, ids are lower-case hex text).
//! Nested ids (links, exemplars) are hex text in both. Field names inside lists and maps are those
//! Parquet gives back (`element`, `key_value`/`key`/`value`).

use std::sync::{Arc, LazyLock};

use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

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

/// What a roll-up knows of the spans of a row: how many, their durations and their starts.
const ROLLUP_MEASURES: &[ColumnDef] = &[
    req("calls", Column::Int),
    req("total_ns", Column::Int),
    req("min_ns", Column::Int),
    req("max_ns", Column::Int),
    req("first_start", Column::Time),
    req("last_start", Column::Time),
    req("sketch", Column::Bytes),
];

/// What every roll-up tells spans apart by, besides its labels.
const ROLLUP_STEP: &[ColumnDef] =
    &[req("step_ns", Column::Int), req("time", Column::Time), req("is_root", Column::Bool)];

/// Labels of spans that a roll-up tells them apart by; empty for other data sets. The same columns
/// as those of spans.
#[must_use]
pub const fn dimensions(data_set: DataSet) -> &'static [ColumnDef] {
    const OPERATION: &[ColumnDef] = &[
        req("service_name", Column::Label),
        req("name", Column::Label),
        req("kind", Column::Label),
        req("status_code", Column::Label),
    ];
    const SERVICE: &[ColumnDef] = &[
        req("service_name", Column::Label),
        opt("service_namespace", Column::Label),
        opt("service_version", Column::Label),
        opt("service_instance_id", Column::Label),
        opt("deployment_environment_name", Column::Label),
        opt("host_name", Column::Label),
        opt("telemetry_sdk_language", Column::Label),
        req("kind", Column::Label),
        req("status_code", Column::Label),
    ];
    const STATEMENT: &[ColumnDef] = &[
        req("service_name", Column::Label),
        opt("db_system_name", Column::Label),
        opt("db_namespace", Column::Label),
        opt("db_collection_name", Column::Label),
        opt("db_operation_name", Column::Label),
        opt("db_query_summary", Column::Label),
        opt("db_query_text", Column::Label),
        opt("server_address", Column::Label),
        req("kind", Column::Label),
        req("status_code", Column::Label),
    ];
    match data_set {
        DataSet::OperationRollup => OPERATION,
        DataSet::ServiceRollup => SERVICE,
        DataSet::StatementRollup => STATEMENT,
        _ => &[],
    }
}

/// The label that spans must have to be counted by a roll-up; `None` if it counts all.
#[must_use]
pub const fn required_label(rollup: DataSet) -> Option<&'static str> {
    match rollup {
        DataSet::StatementRollup => Some("db_system_name"),
        _ => None,
    }
}

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
        DataSet::OperationRollup | DataSet::ServiceRollup | DataSet::StatementRollup => {
            return [ROLLUP_STEP, dimensions(data_set), ROLLUP_MEASURES].concat();
        }
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
        | DataSet::StatementRollup => "time",
    }
}

/// The order of rows inside a row group.
#[must_use]
pub const fn sort_columns(data_set: DataSet) -> &'static [&'static str] {
    match data_set {
        DataSet::Spans => &["service_name", "start_time"],
        DataSet::TraceParts => &["trace_id"],
        DataSet::Logs => &["time"],
        DataSet::Metrics => &["name", "series_id", "time"],
        DataSet::OperationRollup => {
            &["step_ns", "time", "service_name", "name", "kind", "status_code", "is_root"]
        }
        DataSet::ServiceRollup => &[
            "step_ns",
            "time",
            "service_name",
            "service_namespace",
            "service_version",
            "service_instance_id",
            "deployment_environment_name",
            "host_name",
            "telemetry_sdk_language",
            "kind",
            "status_code",
            "is_root",
        ],
        DataSet::StatementRollup => &[
            "step_ns",
            "time",
            "service_name",
            "db_system_name",
            "db_namespace",
            "db_collection_name",
            "db_operation_name",
            "db_query_summary",
            "db_query_text",
            "server_address",
            "kind",
            "status_code",
            "is_root",
        ],
    }
}

/// Timestamp type of every time column.
#[must_use]
pub fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some(Arc::from("UTC")))
}

/// Type of a label column.
#[must_use]
pub fn label_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// Fields of an attribute map's entry in memory: few distinct texts, so codes.
#[must_use]
pub fn stored_attribute_entry() -> Fields {
    Fields::from(vec![
        Field::new("key", label_type(), false),
        Field::new("value", label_type(), true),
    ])
}

/// Fields of an attribute map's entry as SQL sees it.
#[must_use]
pub fn attribute_entry() -> Fields {
    Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Utf8, true),
    ])
}

/// Fields of a span event.
#[must_use]
pub fn event_fields() -> Fields {
    Fields::from(vec![
        Field::new("time", time_type(), false),
        Field::new("name", DataType::Utf8, false),
        Field::new("attributes", DataType::Utf8, false),
        Field::new("dropped_attributes_count", DataType::UInt32, false),
    ])
}

/// Fields of a span link.
#[must_use]
pub fn link_fields() -> Fields {
    Fields::from(vec![
        Field::new("trace_id", DataType::Utf8, false),
        Field::new("span_id", DataType::Utf8, false),
        Field::new("trace_state", DataType::Utf8, false),
        Field::new("attributes", DataType::Utf8, false),
        Field::new("dropped_attributes_count", DataType::UInt32, false),
        Field::new("flags", DataType::UInt32, false),
    ])
}

/// Fields of a summary's quantile.
#[must_use]
pub fn quantile_fields() -> Fields {
    Fields::from(vec![
        Field::new("quantile", DataType::Float64, false),
        Field::new("value", DataType::Float64, false),
    ])
}

/// Fields of an exemplar.
#[must_use]
pub fn exemplar_fields() -> Fields {
    Fields::from(vec![
        Field::new("time", time_type(), false),
        Field::new("value", DataType::Float64, true),
        Field::new("value_int", DataType::Int64, true),
        Field::new("trace_id", DataType::Utf8, true),
        Field::new("span_id", DataType::Utf8, true),
        Field::new("attributes", DataType::Utf8, false),
    ])
}

fn attribute_map(entry: Fields) -> DataType {
    DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(entry), false)), false)
}

/// The type of an attribute map as SQL sees it.
#[must_use]
pub fn attributes_type() -> DataType {
    attribute_map(attribute_entry())
}

fn list(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("element", item, false)))
}

fn stored_type(column: Column) -> DataType {
    match column {
        Column::TraceId => DataType::FixedSizeBinary(16),
        Column::SpanId => DataType::FixedSizeBinary(8),
        Column::Label => label_type(),
        Column::Text => DataType::Utf8,
        Column::Time => time_type(),
        Column::Int => DataType::Int64,
        Column::Int32 => DataType::Int32,
        Column::UInt => DataType::UInt64,
        Column::UInt32 => DataType::UInt32,
        Column::Double => DataType::Float64,
        Column::Bool => DataType::Boolean,
        Column::Attributes => attribute_map(stored_attribute_entry()),
        Column::Bytes => DataType::Binary,
        Column::Events => list(DataType::Struct(event_fields())),
        Column::Links => list(DataType::Struct(link_fields())),
        Column::UIntList => list(DataType::UInt64),
        Column::DoubleList => list(DataType::Float64),
        Column::TextList => list(DataType::Utf8),
        Column::Quantiles => list(DataType::Struct(quantile_fields())),
        Column::Exemplars => list(DataType::Struct(exemplar_fields())),
    }
}

fn schema_of(data_set: DataSet, to_type: impl Fn(Column) -> DataType) -> SchemaRef {
    let fields: Vec<Field> = columns(data_set)
        .iter()
        .map(|c| Field::new(c.name, to_type(c.column), c.nullable))
        .collect();
    Arc::new(Schema::new(fields))
}

/// Schema of live batches and of the Parquet writer's input.
#[must_use]
pub fn stored(data_set: DataSet) -> SchemaRef {
    static ALL: LazyLock<[SchemaRef; DataSet::COUNT]> =
        LazyLock::new(|| DataSet::ALL.map(|d| schema_of(d, stored_type)));
    Arc::clone(&ALL[data_set.slot()])
}

/// Schema a scan yields before ids become text: as stored, with `Utf8View` for every text column and
/// plain text in attribute maps.
#[must_use]
pub fn scanned(data_set: DataSet) -> SchemaRef {
    static ALL: LazyLock<[SchemaRef; DataSet::COUNT]> = LazyLock::new(|| {
        DataSet::ALL.map(|d| {
            schema_of(d, |c| match c {
                Column::Label | Column::Text => DataType::Utf8View,
                Column::Attributes => attributes_type(),
                other => stored_type(other),
            })
        })
    });
    Arc::clone(&ALL[data_set.slot()])
}

/// Schema SQL sees: text is `Utf8View`, ids are hex text.
#[must_use]
pub fn query(data_set: DataSet) -> SchemaRef {
    static ALL: LazyLock<[SchemaRef; DataSet::COUNT]> = LazyLock::new(|| {
        DataSet::ALL.map(|d| {
            schema_of(d, |c| match c {
                Column::Label | Column::Text | Column::TraceId | Column::SpanId => {
                    DataType::Utf8View
                }
                Column::Attributes => attributes_type(),
                other => stored_type(other),
            })
        })
    });
    Arc::clone(&ALL[data_set.slot()])
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
