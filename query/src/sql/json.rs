//! Rows as JSON text.
//!
//! Timestamps are RFC 3339 with nanoseconds; integers outside ±2^53 are text, because readers keep
//! numbers as doubles; not-a-number and infinities are the text `NaN`, `Infinity`, `-Infinity`;
//! bytes are hex text; attribute maps are objects with typed values.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, MapArray, RecordBatch};
use datafusion::arrow::datatypes::{
    DataType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use headrope_model::attr::push_str;
use headrope_model::id::push_hex;

use crate::answer::Time;
use crate::column::Texts;

/// Largest integer every reader keeps exactly.
const MAX_EXACT: u64 = 1 << 53;
/// Name of the entries of an attribute map, whose values are canonical JSON already.
const ATTRIBUTE_ENTRIES: &str = "key_value";

/// Appends the rows as JSON arrays, separated by commas.
pub(super) fn push_rows(batch: &RecordBatch, out: &mut String) {
    for row in 0..batch.num_rows() {
        if row > 0 {
            out.push(',');
        }
        out.push('[');
        for (at, column) in batch.columns().iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            push(column, row, out);
        }
        out.push(']');
    }
}

/// Appends one value.
pub(super) fn push(array: &ArrayRef, row: usize, out: &mut String) {
    if array.is_null(row) || array.data_type().is_null() {
        out.push_str("null");
        return;
    }
    match array.data_type() {
        DataType::Boolean => {
            out.push_str(if array.as_boolean().value(row) { "true" } else { "false" })
        }
        DataType::Int8 => push_i64(array.as_primitive::<Int8Type>().value(row).into(), out),
        DataType::Int16 => push_i64(array.as_primitive::<Int16Type>().value(row).into(), out),
        DataType::Int32 => push_i64(array.as_primitive::<Int32Type>().value(row).into(), out),
        DataType::Int64 => push_i64(array.as_primitive::<Int64Type>().value(row), out),
        DataType::UInt8 => push_u64(array.as_primitive::<UInt8Type>().value(row).into(), out),
        DataType::UInt16 => push_u64(array.as_primitive::<UInt16Type>().value(row).into(), out),
        DataType::UInt32 => push_u64(array.as_primitive::<UInt32Type>().value(row).into(), out),
        DataType::UInt64 => push_u64(array.as_primitive::<UInt64Type>().value(row), out),
        DataType::Float16 => push_f64(array.as_primitive::<Float16Type>().value(row).into(), out),
        DataType::Float32 => push_f64(array.as_primitive::<Float32Type>().value(row).into(), out),
        DataType::Float64 => push_f64(array.as_primitive::<Float64Type>().value(row), out),
        DataType::Utf8 => push_str(array.as_string::<i32>().value(row), out),
        DataType::LargeUtf8 => push_str(array.as_string::<i64>().value(row), out),
        DataType::Utf8View => push_str(array.as_string_view().value(row), out),
        DataType::Binary => push_bytes(array.as_binary::<i32>().value(row), out),
        DataType::LargeBinary => push_bytes(array.as_binary::<i64>().value(row), out),
        DataType::BinaryView => push_bytes(array.as_binary_view().value(row), out),
        DataType::FixedSizeBinary(_) => push_bytes(array.as_fixed_size_binary().value(row), out),
        DataType::Timestamp(unit, _) => push_time(array, *unit, row, out),
        _ => push_nested(array, row, out),
    }
}

fn push_nested(array: &ArrayRef, row: usize, out: &mut String) {
    match array.data_type() {
        DataType::List(_) => push_list(&array.as_list::<i32>().value(row), out),
        DataType::LargeList(_) => push_list(&array.as_list::<i64>().value(row), out),
        DataType::FixedSizeList(..) => push_list(&array.as_fixed_size_list().value(row), out),
        DataType::Map(..) => push_map(array.as_map(), row, out),
        DataType::Struct(fields) => {
            let columns = array.as_struct();
            out.push('{');
            for (at, (field, column)) in fields.iter().zip(columns.columns()).enumerate() {
                if at > 0 {
                    out.push(',');
                }
                push_str(field.name(), out);
                out.push(':');
                push(column, row, out);
            }
            out.push('}');
        }
        // Dates, intervals, decimals and the rest as Arrow prints them.
        _ => {
            let shown = ArrayFormatter::try_new(array.as_ref(), &FormatOptions::default())
                .and_then(|f| f.value(row).try_to_string());
            match shown {
                Ok(text) => push_str(&text, out),
                Err(_) => out.push_str("null"),
            }
        }
    }
}

fn push_list(items: &ArrayRef, out: &mut String) {
    out.push('[');
    for at in 0..items.len() {
        if at > 0 {
            out.push(',');
        }
        push(items, at, out);
    }
    out.push(']');
}

fn push_map(map: &MapArray, row: usize, out: &mut String) {
    let DataType::Map(entries, _) = map.data_type() else { return out.push_str("null") };
    let canonical = entries.name() == ATTRIBUTE_ENTRIES;
    let entries = map.value(row);
    let (Ok(keys), Some(values)) = (Texts::of(entries.column(0)), entries.columns().get(1)) else {
        return out.push_str("null");
    };
    let texts = canonical.then(|| Texts::of(values).ok()).flatten();
    out.push('{');
    for at in 0..entries.len() {
        if at > 0 {
            out.push(',');
        }
        push_str(keys.text(at), out);
        out.push(':');
        match &texts {
            Some(texts) => out.push_str(texts.get(at).unwrap_or("null")),
            None => push(values, at, out),
        }
    }
    out.push('}');
}

fn push_time(array: &ArrayRef, unit: TimeUnit, row: usize, out: &mut String) {
    let (value, scale) = match unit {
        TimeUnit::Second => (array.as_primitive::<TimestampSecondType>().value(row), 1_000_000_000),
        TimeUnit::Millisecond => {
            (array.as_primitive::<TimestampMillisecondType>().value(row), 1_000_000)
        }
        TimeUnit::Microsecond => {
            (array.as_primitive::<TimestampMicrosecondType>().value(row), 1_000)
        }
        TimeUnit::Nanosecond => (array.as_primitive::<TimestampNanosecondType>().value(row), 1),
    };
    match value.checked_mul(scale) {
        Some(ns) => push_str(&Time(ns).rfc3339(), out),
        None => push_str(&value.to_string(), out),
    }
}

fn push_i64(value: i64, out: &mut String) {
    let quote = value.unsigned_abs() > MAX_EXACT;
    push_number(&value.to_string(), quote, out);
}

fn push_u64(value: u64, out: &mut String) {
    push_number(&value.to_string(), value > MAX_EXACT, out);
}

fn push_number(text: &str, quote: bool, out: &mut String) {
    if quote {
        push_str(text, out);
    } else {
        out.push_str(text);
    }
}

fn push_f64(value: f64, out: &mut String) {
    if value.is_finite() {
        // The shortest text that reads back as the same double.
        out.push_str(
            &serde_json::Number::from_f64(value).map_or_else(String::new, |n| n.to_string()),
        );
    } else if value.is_nan() {
        out.push_str("\"NaN\"");
    } else {
        out.push_str(if value > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" });
    }
}

fn push_bytes(value: &[u8], out: &mut String) {
    out.push('"');
    push_hex(value, out);
    out.push('"');
}
