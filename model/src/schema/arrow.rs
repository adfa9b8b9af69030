//! Arrow types and schemas of the columns.

use std::sync::{Arc, LazyLock};

use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

use super::{Column, columns};
use crate::signal::DataSet;

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
